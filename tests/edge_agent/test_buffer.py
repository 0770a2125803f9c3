import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from careloop.contract.senml import decode_pack
from careloop.errors import CareloopError
from edge_agent.buffer import Buffer, BufferFullError
from edge_agent.buffer_lanes import ROW_OVERHEAD_BYTES, Room, Stored
from edge_agent.packing import Message, Packer
from edge_agent.sources.source import Row

LARGE = 1 << 30
SIZE = ROW_OVERHEAD_BYTES + len("t/0") + 100


def message(number: int, kind: str = "telemetry") -> Message:
    return Message(kind, f"t/{number % 10}", "text/plain", f"{number:0100d}".encode(), 5 if kind == "telemetry" else 0)


def reading(number: int) -> Message:
    packer = Packer(500, lambda _serial: {"a": "bar"})
    packer.add_rows([Row(f"X{number % 2}", 1.7e9 + number, {"a": float(number)})])
    return packer.finish()[0]


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes that really gets full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=False)
    if mounted.returncode:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("may not mount a file system here, which takes root; the tests above use SQLite's own limit")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("sealed", [True, False], ids=["as they are", "merged"])
def test_a_really_full_disk_keeps_the_newest_sends_them_and_is_free_again(small_disk: Path, sealed: bool):
    buffer = Buffer(small_disk / "buffer.sqlite", LARGE)
    for number in range(0, 40_000, 40):
        buffer.add([reading(n) for n in range(number, number + 40)], {"place": str(number)}, sealed=sealed)
    assert buffer.lost.readings > 0
    assert buffer.depth.readings + buffer.lost.readings == 40_000
    assert buffer.recall("place") == "39960"
    buffer.lanes.part()
    values: list[float] = []
    while taken := buffer.take_backlog(Room(50, 1 << 20)):
        values += [record["v"] for stored in taken for record in json.loads(stored.payload)]
        buffer.settle([stored.seq for stored in taken])
    assert sorted(values) == list(range(40_000 - len(values), 40_000)), "the newest, without a gap"
    assert buffer.depth.messages == 0
    assert len(values) > 4000
    lost = buffer.lost.readings
    for number in range(2000):
        buffer.add([reading(number)])
    assert (buffer.lost.readings, buffer.depth.messages) == (lost, 2000)
    buffer.close()


def test_what_was_never_handed_out_is_merged_and_what_was_stays_as_it_is(file: Path):
    buffer = Buffer(file, LARGE, max_readings=30)
    buffer.add([reading(number) for number in range(10)])
    buffer.add([reading(10 + number) for number in range(40)] + [message(1, "event")], sealed=False)
    buffer.lanes.part()
    taken = buffer.take_backlog(Room(100, LARGE))
    assert [stored.readings for stored in taken] == [*[1] * 10, 20, 20, 0]
    readings = [r for s in taken[:-1] for r in decode_pack(json.loads(s.payload), s.topic.split("/")[2], 0.0)[0]]
    assert sorted(readings) == [(1.7e9 + n, "a", float(n), "bar") for n in range(50)]
    assert (buffer.depth.messages, buffer.depth.readings) == (13, 50)
    assert buffer.depth.size_bytes == sum(stored.size_bytes for stored in taken)
    buffer.close()
    # Whoever comes after a crash sends the same bytes, for they may have been stored already.
    again = Buffer(file, LARGE, max_readings=1000)
    again.lanes.part()
    assert again.take_backlog(Room(100, LARGE)) == taken


def test_merged_messages_stay_below_both_bounds_and_keep_the_order_of_each_asset(file: Path):
    buffer = Buffer(file, LARGE, max_readings=500)
    buffer.add([reading(number) for number in range(400)], sealed=False)
    buffer.lanes.part()
    taken = buffer.take_backlog(Room(1000, LARGE), 2000)
    assert max(len(stored.payload) for stored in taken) <= 2000
    assert len(taken) < 40
    for serial in ("X0", "X1"):
        values = [r["v"] for s in taken if f"/{serial}/" in s.topic for r in json.loads(s.payload)]
        assert values == list(range(int(serial[1]), 400, 2))


def test_the_live_lane_does_not_wait_for_the_backlog(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(5)])
    buffer.lanes.part()
    buffer.add([message(5), message(6)])
    assert numbers(buffer, 1) == [5]
    assert [int(stored.payload) for stored in buffer.take_backlog(Room(2, LARGE))] == [0, 1]
    buffer.lanes.part()
    assert numbers(buffer) == []
    assert [int(stored.payload) for stored in buffer.take_backlog(Room(100, LARGE))] == [2, 3, 4, 6]


def test_no_more_bytes_are_taken_than_there_is_room_for_but_for_a_first_one(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(5)])
    assert buffer.take_live(Room(5, 10, first_may_be_larger=False)) == []
    assert len(buffer.take_live(Room(5, 10))) == 1
    assert len(buffer.take_live(Room(5, 2 * SIZE))) == 2


def test_telemetry_that_is_too_old_goes_and_is_counted_and_what_nobody_knows_the_age_of_stays(file: Path):
    buffer = Buffer(file, LARGE, max_age_s=100.0)
    buffer.add([message(0)], now_s=12.0)
    buffer.add([message(1), message(2, "event"), message(3)], now_s=1.7e9)
    buffer.add([message(4)], now_s=1.7e9 + 60)
    buffer.expire(1.7e9 + 101)
    assert buffer.lost.messages == 2
    assert numbers(buffer) == [0, 2, 4]


def test_a_clock_that_is_set_makes_nothing_older(file: Path):
    buffer = Buffer(file, LARGE, max_age_s=100.0)
    buffer.add([message(0)], now_s=1.6e9)
    buffer.shift_clock(0.1e9)
    buffer.expire(1.7e9 + 10)
    assert buffer.depth.messages == 1
    buffer.expire(1.7e9 + 101)
    assert buffer.depth.messages == 0


def spoil(file: Path, start: int) -> None:
    """Overwrite the file from a place on, as a dying card does."""
    content = bytearray(file.read_bytes())
    content[start:] = b"\xa5" * (len(content) - start)
    file.write_bytes(content)


@pytest.mark.parametrize("start", [0, 4096], ids=["all of it", "all but the first page"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(file: Path, start: int, caplog):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(1000)], {"place": "7"})
    buffer.close()
    spoil(file, start)
    buffer = Buffer(file, LARGE)
    assert "is damaged" in caplog.text
    assert file.with_name("buffer.sqlite.damaged").exists()
    buffer.add([message(0)])
    assert (buffer.damaged_files, numbers(buffer)) == (1, [0])
    buffer.close()
    buffer = Buffer(file, LARGE)
    assert (buffer.damaged_files, buffer.depth.messages) == (1, 1)


def test_damage_that_shows_while_running_costs_what_was_there_and_no_more(file: Path):
    buffer = Buffer(file, LARGE)
    buffer.add([message(number) for number in range(3000)], {"place": "7"})
    (first,) = take(buffer, 1)
    buffer._sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    spoil(file, 8192)
    while buffer.damaged_files == 0:
        buffer.settle([stored.seq for stored in take(buffer, 500)])
    buffer.add([message(8)], {"place": "8"})
    assert (buffer.depth.messages, buffer.recall("place")) == (1, "8")
    assert buffer.lost.messages > 2000
    # What was on the wire then means none of the new ones.
    buffer.settle([first.seq])
    assert numbers(buffer) == [8]


FIRST_LAYOUT = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, topic TEXT NOT NULL, content_type TEXT NOT NULL,
    payload BLOB NOT NULL, readings INTEGER NOT NULL, size_bytes INTEGER NOT NULL
);
CREATE INDEX message_kind ON message (kind, seq);
CREATE TABLE memory (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO message (kind, topic, content_type, payload, readings, size_bytes)
VALUES ('telemetry', 't', 'text/plain', CAST('42' AS BLOB), 5, 70);
PRAGMA user_version = 1;
"""


def test_a_buffer_of_the_first_layout_is_brought_up_to_date(file: Path):
    file.parent.mkdir()
    sqlite = sqlite3.connect(file)
    sqlite.executescript(FIRST_LAYOUT)
    sqlite.close()
    buffer = Buffer(file, LARGE, max_age_s=1.0)
    buffer.expire(1.7e9)
    assert numbers(buffer) == [42]


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
