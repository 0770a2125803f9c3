"""The database's side of the benchmark: a raw COPY of the same rows, and the count of what arrived."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from psycopg import Connection

from bench.ingest.load import METRICS, Load, Messages, Rows, in_turn

ROWS_PER_COPY = 60_000
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Progress:
    """What ingest had committed at a moment of our clock."""

    at_s: float
    messages: int
    readings: int


@dataclass(frozen=True, slots=True)
class Count:
    """What is in the tables at the end.

    Attributes:
        rows: Readings.
        distinct_rows: Of different asset, metric and time; no two that were published are the same in all three.
        missing_messages: Acknowledged by the broker, and their identity is not there.
        readings_by_identity: Readings that the identities say they brought.
    """

    rows: int
    distinct_rows: int
    missing_messages: int
    readings_by_identity: int


def register(connection: Connection[Any], loads: Sequence[Load]) -> list[Rows]:
    """Make the assets and metrics, and the days' partitions; returns each publisher's rows."""
    connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('bench', 'Bench', 'bench')")
    connection.cursor().executemany("INSERT INTO service.metric (name, unit) VALUES (%s, %s)", METRICS)
    serials = [serial for load in loads for serial in load.serials]
    connection.execute(
        "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
        "SELECT unnest(%s::text[]), model_id, now(), now() FROM service.product_model",
        (serials,),
    )
    connection.execute(
        "INSERT INTO telemetry.metric (name, unit, learned, first_seen_at) SELECT name, unit, false, now() "
        "FROM service.metric"
    )
    for load in loads:
        day = datetime.fromtimestamp(load.start_s, UTC).date()
        for later in range(3):
            connection.execute("SELECT telemetry.ensure_reading_day(%s)", (day + timedelta(days=later),))
    asset_ids = _numbers(connection, "SELECT serial AS name, asset_id AS number FROM telemetry.asset")
    metric_ids = _numbers(connection, "SELECT name, metric_id AS number FROM telemetry.metric")
    return [Rows(load, asset_ids, metric_ids) for load in loads]


def raw_copy_rows_per_s(connection: Connection[Any], rows: Sequence[Rows], readings: int, seconds: float) -> float:
    """Rows a second of nothing but binary COPY and commit, in batches, from one connection; the table is empty after.

    The time in which a batch is packed does not count.
    """
    per_copy = max(1, ROWS_PER_COPY // readings)
    sequence = 0
    copied, copying_s = 0, 0.0
    while copying_s < seconds:
        turn = ((who, number + sequence) for who, number in in_turn(per_copy, len(rows)))
        packed = _COPY_HEAD + b"".join(rows[who].packed(number) for who, number in turn) + _COPY_END
        sequence += -(-per_copy // len(rows))
        start = time.perf_counter()
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY telemetry.reading (time, asset_id, metric_id, value) FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.write(packed)
        copying_s += time.perf_counter() - start
        copied += per_copy * readings
    connection.execute("TRUNCATE telemetry.reading")
    # So that what is measured next does not pay for writing this back.
    connection.execute("CHECKPOINT")
    return copied / copying_s


def progress(connection: Connection[Any]) -> Progress:
    """What ingest has committed so far."""
    row = _row(
        connection,
        "SELECT coalesce(sum(messages), 0)::bigint AS messages, coalesce(sum(readings), 0)::bigint AS readings "
        "FROM telemetry.ingest_progress",
    )
    return Progress(time.perf_counter(), row["messages"], row["readings"])


def count(connection: Connection[Any], published: Iterable[tuple[Messages, Iterable[int]]]) -> Count:
    """Count rows and identities.

    Args:
        connection: To the database.
        published: Each publisher's messages, and the sequence numbers that the broker acknowledged.
    """
    connection.execute("SET work_mem = '512MB'")
    connection.execute("CREATE TEMP TABLE acknowledged (message_id uuid)")
    with connection.cursor() as cursor, cursor.copy("COPY acknowledged FROM STDIN") as copy:
        for messages, sequences in published:
            for sequence in sequences:
                copy.write(messages.identity(sequence).hex() + "\n")
    return Count(
        rows=_one(connection, "SELECT count(*) AS n FROM telemetry.reading"),
        distinct_rows=_one(
            connection,
            "SELECT count(*) AS n FROM (SELECT DISTINCT asset_id, metric_id, time FROM telemetry.reading) AS rows",
        ),
        missing_messages=_one(
            connection,
            "SELECT count(*) AS n FROM acknowledged a WHERE NOT EXISTS "
            "(SELECT FROM telemetry.message m WHERE m.message_id = a.message_id)",
        ),
        readings_by_identity=_one(connection, "SELECT coalesce(sum(readings), 0)::bigint AS n FROM telemetry.message"),
    )


def _one(connection: Connection[Any], query: LiteralString) -> int:
    return int(_row(connection, query)["n"])


def _row(connection: Connection[Any], query: LiteralString) -> dict[str, Any]:
    """The only row of a query."""
    (row,) = connection.execute(query).fetchall()
    return dict(row)


def _numbers(connection: Connection[Any], query: LiteralString) -> dict[str, int]:
    return {row["name"]: row["number"] for row in connection.execute(query).fetchall()}
