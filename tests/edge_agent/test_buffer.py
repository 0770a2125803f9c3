import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from careloop.errors import CareloopError
from edge_agent.buffer import Buffer, BufferFullError
from edge_agent.buffer_lanes import ROW_OVERHEAD_BYTES, Room, Stored
from edge_agent.packing import Message

LARGE = 1 << 30
SIZE = ROW_OVERHEAD_BYTES + len("t/0") + 100


def message(number: int, kind: str = "telemetry") -> Message:
    return Message(kind, f"t/{number % 10}", "text/plain", f"{number:0100d}".encode(), 5 if kind == "telemetry" else 0)


def take(buffer: Buffer, limit: int = 10000) -> list[Stored]:
    return buffer.take_live(Room(limit, LARGE))


def numbers(buffer: Buffer, limit: int = 10000) -> list[int]:
    return [int(stored.payload) for stored in take(buffer, limit)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "buffer.sqlite"


def test_messages_come_back_in_order_to_the_byte_and_only_once(file: Path):
    buffer = Buffer(file, LARGE)
    given = [message(number) for number in range(7)]
    buffer.add(given[:4])
    buffer.add(given[4:])
    taken = [*take(buffer, 3), *take(buffer, 100)]
    assert [(s.topic, s.content_type, s.payload, s.readings) for s in taken] == [tuple(m[1:]) for m in given]
    assert take(buffer, 100) == []


def test_what_was_in_flight_comes_again_after_a_restart_and_what_was_settled_does_not(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(6)])
    taken = take(buffer, 4)
    buffer.settle([taken[0].seq, taken[2].seq])
    assert buffer.depth.messages == 4
    buffer.close()
    buffer = Buffer(file, LARGE)
    assert (buffer.depth.messages, buffer.depth.readings, buffer.depth.size_bytes) == (4, 20, 4 * SIZE)
    assert numbers(buffer) == [1, 3, 4, 5]


def test_released_messages_take_their_old_place(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(6)])
    taken = take(buffer, 4)
    buffer.release([taken[1].seq, taken[3].seq])
    assert numbers(buffer) == [1, 3, 4, 5]


def test_places_are_never_used_twice(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(0)])
    (first,) = take(buffer, 1)
    buffer.settle([first.seq])
    buffer.close()
    buffer = Buffer(file, LARGE)
    buffer.add([message(1)])
    assert take(buffer, 1)[0].seq > first.seq


def test_the_oldest_telemetry_goes_first_and_is_counted_and_events_never_go(file: Path):
    buffer = Buffer(file, 10 * SIZE)
    buffer.add([message(0), message(1, "event"), *(message(number) for number in range(2, 10))])
    assert buffer.lost.messages == 0
    buffer.add([message(number) for number in range(10, 14)])
    assert (buffer.lost.messages, buffer.lost.readings) == (4, 20)
    assert buffer.depth.size_bytes <= 10 * SIZE
    assert numbers(buffer) == [1, *range(5, 14)]
    buffer.close()
    assert Buffer(file, 10 * SIZE).lost.readings == 20, "losses are remembered"


def test_messages_in_flight_are_not_dropped_for_the_broker_may_have_them(file: Path):
    buffer = Buffer(file, 4 * SIZE)
    buffer.add([message(number) for number in range(4)])
    in_flight = take(buffer, 2)
    buffer.add([message(4)])
    buffer.settle([stored.seq for stored in in_flight])
    assert [int(stored.payload) for stored in in_flight] == [0, 1]
    assert numbers(buffer) == [3, 4]
    assert buffer.lost.messages == 1


def test_events_alone_may_exceed_the_bound_and_then_telemetry_finds_no_room(file: Path):
    buffer = Buffer(file, 3 * SIZE)
    buffer.add([message(number, "event") for number in range(5)])
    buffer.add([message(9)])
    assert numbers(buffer) == [0, 1, 2, 3, 4]
    assert buffer.lost.messages == 1


def test_what_the_broker_will_never_take_counts_as_lost(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(0), message(1)])
    buffer.give_up([take(buffer, 1)[0].seq])
    assert (buffer.depth.messages, buffer.lost.messages, buffer.lost.readings) == (1, 1, 5)


def test_memory_is_stored_with_the_messages_it_belongs_to(file: Path):
    buffer = Buffer(file, LARGE)
    assert buffer.recall("place") is None
    buffer.add([message(0)], {"place": "1"})
    buffer.add([], {"place": "2"})
    buffer.close()
    assert Buffer(file, LARGE).recall("place") == "2"


def test_on_a_full_disk_old_telemetry_makes_room(file: Path):
    buffer = Buffer(file, LARGE)
    # SQLite's own limit gives the very error of a full disk.
    buffer._sqlite.execute("PRAGMA max_page_count = 60")
    for number in range(0, 5000, 10):
        buffer.add([message(n) for n in range(number, number + 10)])
    left = numbers(buffer)
    assert left == list(range(left[0], 5000)), "the newest, without a gap"
    assert buffer.lost.messages == left[0] > 0
    assert buffer.depth.messages == len(left)


def test_on_a_disk_full_of_events_nothing_is_half_stored(file: Path):
    buffer = Buffer(file, LARGE)
    buffer._sqlite.execute("PRAGMA max_page_count = 40")
    stored = 0

    def fill() -> None:
        nonlocal stored
        while True:
            buffer.add([message(stored, "event"), message(stored + 1, "event")], {"place": str(stored)})
            stored += 2

    with pytest.raises(BufferFullError, match="no room on the disk"):
        fill()
    assert buffer.depth.messages == stored > 0
    assert buffer.recall("place") == str(stored - 2)
    assert numbers(buffer) == list(range(stored))


WRITER = """
import sys
from pathlib import Path
from edge_agent.buffer import Buffer
from edge_agent.buffer_lanes import Room
from edge_agent.packing import Message
buffer = Buffer(Path(sys.argv[1]), 1 << 30)
number = 0
while True:
    batch = [Message("telemetry", "t", "text/plain", b"%d" % n, 1) for n in range(number, number + 20)]
    buffer.add(batch, {"place": str(number + 20)})
    number += 20
    print(number, flush=True)
    if number % 60 == 0:
        buffer.settle([stored.seq for stored in buffer.take_live(Room(10, 1 << 30))])
"""


def test_nothing_that_was_accepted_is_lost_by_kill_9(file: Path):
    for after_s in (0.02, 0.05, 0.11):
        file.unlink(missing_ok=True)
        file.with_name(f"{file.name}-wal").unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "20\n"
        time.sleep(after_s)
        writer.kill()
        accepted = max([20, *(int(line) for line in writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        buffer = Buffer(file, LARGE)
        stored = int(buffer.recall("place") or 0)
        # The last batch may have been stored just before it could be said.
        assert accepted <= stored <= accepted + 20
        left = [int(s.payload) for s in take(buffer, 1_000_000)]
        assert left == list(range(left[0], stored)), "whole batches, in order, without a gap"
        assert left[0] % 10 == 0
        buffer.close()


def test_a_second_agent_on_the_same_file_is_refused(file: Path):
    buffer = Buffer(file, LARGE)
    with pytest.raises(CareloopError, match="in use by another agent"):
        Buffer(file, LARGE)
    buffer.close()
    Buffer(file, LARGE).close()


def test_a_file_that_is_no_buffer_is_set_aside_and_a_new_one_begins(tmp_path: Path, caplog):
    file = tmp_path / "notes.txt"
    file.write_text("not a database" * 100)
    buffer = Buffer(file, LARGE)
    assert "notes.txt.damaged" in caplog.text
    assert (tmp_path / "notes.txt.damaged").read_text() == "not a database" * 100
    buffer.add([message(0)])
    assert (buffer.damaged_files, numbers(buffer)) == (1, [0])
    with pytest.raises(CareloopError, match="CARELOOP_EDGE_BUFFER_FILE"):
        Buffer(file / "below", LARGE)


def test_a_buffer_of_a_newer_version_is_refused(file: Path):
    Buffer(file, LARGE).close()
    with sqlite3.connect(file) as sqlite:
        sqlite.execute("PRAGMA user_version = 99")
    sqlite.close()
    with pytest.raises(CareloopError, match="newer careloop"):
        Buffer(file, LARGE)
