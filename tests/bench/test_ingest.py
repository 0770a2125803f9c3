"""The benchmark measures what it says: the same rows, counted right; and it runs from nothing."""

import json
import subprocess
import sys
import time

import pytest

from bench.ingest.load import METRICS, Load, Messages, Rows, in_turn, loads
from bench.ingest.store import count, register
from bench.ingest.wire import length_of, packet, receive_maximum, split, text, varint
from careloop.contract.identity import identity_of
from careloop.database.engine import connect
from ingest.delivery import Delivery
from ingest.delivery import identity_of as row_identity_of
from ingest.rows import Sorter
from ingest.validate import Metric, span_as_of
from ingest.writer import read

START_S = int(time.time()) - 3600


@pytest.mark.parametrize("readings", [1, 7, 60])
def test_ingest_makes_of_its_messages_the_rows_that_are_copied_raw(readings: int) -> None:
    from datetime import UTC, datetime, timedelta

    load = Load(["A", "B", "C"], readings, START_S)
    numbers = {name: place for place, (name, _) in enumerate(METRICS, 1)}
    messages, rows = Messages(load), Rows(load, {"A": 1, "B": 2, "C": 3}, numbers)
    sorter = Sorter({name: Metric(numbers[name], unit) for name, unit in METRICS})
    now = datetime.now(UTC)
    seen = set()
    for sequence in range(20):
        topic, payload = messages.topics[sequence % 3], messages.payload(sequence)
        assert messages.identity(sequence) == identity_of(topic, payload)
        _, decoded = read(Delivery(topic, payload, len(payload), "", now, row_identity_of(topic, payload)))
        sorted_rows, problems = sorter.sort(decoded.readings, span_as_of(now, future=timedelta(days=1), keep=None))
        assert (len(sorted_rows), problems) == (readings, [])
        assert sorted_rows.packed(1 + sequence % 3).rows == rows.packed(sequence)
        seen |= {(sequence % 3, reading.metric, reading.time_s) for reading in decoded.readings}
    assert len(seen) == 20 * readings, "two readings that nothing tells apart"


def test_assets_are_dealt_to_publishers_and_messages_in_turn() -> None:
    dealt = loads(3, 100, 60, START_S)
    assert sorted(serial for load in dealt for serial in load.serials) == [f"BENCH-{i:04}" for i in range(100)]
    assert [*in_turn(5, 2)] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]


def test_it_finds_what_is_lost_and_what_is_doubled(database_url: str) -> None:
    load = Load(["A", "B"], 10, START_S)
    messages = Messages(load)
    with connect(database_url) as connection:
        (rows,) = register(connection, [load])
        add = (
            "INSERT INTO telemetry.message (message_id, received_at, asset_id, readings, events) "
            "VALUES (%s, now(), 1, 10, 0)"
        )
        head, end = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
        for sequence in (0, 1, 3, 3):
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    "COPY telemetry.reading (time, asset_id, metric_id, value) FROM STDIN (FORMAT binary)"
                ) as copy,
            ):
                copy.write(head + rows.packed(sequence) + end)
        for sequence in (0, 1, 3):
            connection.execute(add, (messages.identity(sequence).hex(),))
        found = count(connection, [(messages, range(5))])
    assert (found.rows, found.distinct_rows, found.missing_messages, found.readings_by_identity) == (40, 30, 2, 30)


def test_just_enough_mqtt() -> None:
    for value in (0, 127, 128, 16383, 16384, 268_435_455):
        assert varint(length_of(value), 0) == (value, len(length_of(value)))
    stream = packet(0x30, text("t") + b"\0p") + packet(0x40, b"\0\1")
    assert split(stream, 0) == (0x30, 2, 7)
    assert split(stream, 7) == (0x40, 9, 11)
    assert split(stream[:-1], 7) is None
    properties = b"\x13\x00\x0a" + b"\x1f" + text("why") + b"\x26" + text("a") + text("b") + b"\x21\x00\x64"
    assert receive_maximum(b"\0\0" + length_of(len(properties)) + properties) == 100
    assert receive_maximum(b"\0\0\0") == 65535


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "careloop", "bench", "ingest", *arguments],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("readings", "workers"), [("60", "1"), ("1", "2")])
def test_it_runs_from_nothing(readings: str, workers: str) -> None:
    done = bench("--json", "--seconds", "3", "--readings-per-message", readings, "--workers", workers)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["lost"], figures["doubled"], figures["unconfirmed_messages"]) == (0, 0, 0)
    assert figures["stored_readings"] == figures["acknowledged_messages"] * int(readings) > 0
    for name in ("readings_per_s", "raw_copy_rows_per_s", "bare_subscriber_messages_per_s", "commit_p50_ms"):
        assert figures[name] > 0, name
    assert figures["commit_p99_ms"] >= figures["commit_p50_ms"]
    assert figures["ratio"] == round(figures["readings_per_s"] / figures["raw_copy_rows_per_s"], 3)


@pytest.mark.parametrize("arguments", [("--seconds", "1"), ("--workers", "0"), ("--publishers", "101")])
def test_senseless_arguments_are_told_in_one_line(arguments: tuple[str, ...]) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("careloop bench: give at least 1 reading per message")
