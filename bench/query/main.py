"""Loads a long record as the product would have stored it, and times what the product reads of it."""

import asyncio
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from api.conventions.call import Call
from api.conventions.roles import Principal
from api.telemetry import service
from api.telemetry.rules import Span
from bench.own_database import own_database
from bench.query import fleet
from careloop.database.engine import Engine, connect
from careloop.database.migrations import migrate, require_migrated
from careloop.database.queries import load_queries
from careloop.errors import CareloopError
from ingest.maintenance import Maintenance
from ingest.report.measure import measure_readings
from ingest.settings import IngestSettings

PREDICTOR = load_queries("predictor")

COMPRESSION_JOB = """
    SELECT job_id FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_compression' AND hypertable_schema = 'telemetry' AND hypertable_name = 'reading'
"""
LAST = "SELECT max(time) AS last FROM telemetry.reading"
POINTS = 500
WEEK = timedelta(days=7)
PAGE = 100
# How far the predictor reads back at each step, by its default.
REREAD = timedelta(hours=12)


@dataclass(frozen=True)
class Load:
    """What was loaded.

    Attributes:
        readings: How many.
        seconds: How long the COPY took.
    """

    readings: int
    seconds: float


def run(
    *,
    readings: int,
    assets: int,
    minutes: float,
    runs: int,
    jitter_ms: float,
    database_url: str | None,
    database: str,
    keep: bool,
    reuse: bool,
) -> Mapping[str, Any]:
    """Load, compress, roll up, and time.

    Args:
        readings: As many, or as many as can be loaded in half of `minutes`.
        assets: Machines that they are spread over.
        minutes: For everything, roughly.
        runs: Of each query.
        jitter_ms: Of the machines' punctuality; 0 for whole seconds.
        database_url: A server on which this login may make a database; None starts an embedded one.
        database: Name of the database made.
        keep: Leave it in place.
        reuse: Take the one that was left in place, and load nothing.

    Raises:
        CareloopError: The database is there already, or isn't.
    """
    began_s = time.monotonic()
    with own_database(database_url, database, keep=keep or reuse, reuse=reuse) as url:
        figures: dict[str, Any] = {"machine": _machine()}
        with connect(url) as connection:
            engine = require_migrated(connection) if reuse else migrate(connection)[0]
        figures["engine"] = str(engine)
        if not reuse:
            fleet.register(url, assets)
            loaded = _load(url, readings, assets, jitter_ms, began_s + minutes * 60 / 2)
            figures |= {"load_seconds": round(loaded.seconds, 1),
                        "load_rows_per_s": round(loaded.readings / loaded.seconds)}  # fmt: skip
            figures |= _settle(url, engine)
        figures |= _sizes(url)
        figures |= asyncio.run(_time_queries(url, runs))
    return figures


def _load(url: str, readings: int, assets: int, jitter_ms: float, deadline_s: float) -> Load:
    """Copy days from the newest back, so that whatever was loaded in time ends now."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    day = end.replace(hour=0, minute=0)
    began_s, stored = time.monotonic(), 0
    with connect(url, options="-c synchronous_commit=off") as connection:
        while stored < readings and time.monotonic() < deadline_s:
            rows = fleet.readings_of_day(day, end, assets, jitter_ms)
            connection.execute("SELECT telemetry.ensure_reading_day(%s)", (day.date(),))
            statement = load_queries("ingest")["copy_readings"]
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(fleet.COPY_HEAD)
                copy.write(rows)
                copy.write(fleet.COPY_END)
            stored += len(rows) // fleet.ROW.itemsize
            day -= timedelta(days=1)
            _tell(f"{stored:,} readings loaded")
        connection.execute(
            "INSERT INTO telemetry.rollup_due (bucket) SELECT generate_series(%s, %s, interval '1 hour')",
            (day + timedelta(days=1), end.replace(minute=0)),
        )
    return Load(stored, time.monotonic() - began_s)


def _settle(url: str, engine: Engine) -> dict[str, Any]:
    """What ingest's maintenance does as time goes by, done at once: rollups, compression by policy, statistics."""
    figures: dict[str, Any] = {}
    with connect(url) as connection:
        connection.execute("ANALYZE telemetry.reading")
        figures["bytes_per_reading_before"] = _rounded(measure_readings(connection).bytes_per_reading)
        now = _last(connection)
        policy = IngestSettings().storage_policy
        maintenance = Maintenance(connection, engine, policy)
        began_s = time.monotonic()
        maintenance.roll_up(now)
        figures["rollup_seconds"] = round(time.monotonic() - began_s, 1)
        _tell("rolled up")
        began_s = time.monotonic()
        if engine.name == "timescaledb":
            # In one transaction, or the extension's own scheduler would be at it at the same time.
            with connection.transaction():
                maintenance.retention.set_policies()
                row = connection.execute(COMPRESSION_JOB).fetchone()
                if row is None:
                    raise RuntimeError("the policy did not make its job")
                connection.execute("SELECT alter_job(%s, scheduled => false)", (row["job_id"],))
            connection.execute("CALL run_job(%s)", (row["job_id"],))
            connection.execute("SELECT alter_job(%s, scheduled => true)", (row["job_id"],))
        else:
            while maintenance.retention.settle(now):
                _tell("days put in order")
        figures["compress_seconds"] = round(time.monotonic() - began_s, 1)
        _tell("compressed")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return figures


def _sizes(url: str) -> dict[str, Any]:
    with connect(url) as connection:
        sizes = measure_readings(connection)
        span = connection.execute("SELECT min(time) AS first, max(time) AS last FROM telemetry.reading").fetchone()
    if span is None or span["first"] is None:
        raise CareloopError("the database holds no readings")
    return {
        "readings": sizes.readings,
        "days": round((span["last"] - span["first"]).total_seconds() / 86400, 1),
        "readings_compressed": sizes.settled_readings,
        "bytes_per_reading_compressed": _rounded(sizes.bytes_per_settled_reading),
        "bytes_per_reading_new": _rounded(sizes.bytes_per_new_reading),
        "compression_ratio": _rounded(sizes.ratio),
    }


async def _time_queries(url: str, runs: int) -> dict[str, Any]:
    """Each query `runs` times for assets taken at random, warm: a tenth as many runs go before and don't count."""
    choose = random.Random(1)  # noqa: S311 - picks assets, keeps nothing secret
    async with await AsyncConnection.connect(
        url, row_factory=dict_row, autocommit=True, options="-c timezone=UTC"
    ) as connection:
        rows = await (await connection.execute("SELECT asset_id, serial, kind FROM telemetry.asset")).fetchall()
        now = await _last_of(connection)
        call = Call(connection, now + timedelta(seconds=1), Principal("key:1", "bench", "agent"))
        metrics = [sensor.name for sensor in fleet.SENSORS]
        numbers = [row["metric_id"] for row in await (await connection.execute(PREDICTOR["metric_numbers"])).fetchall()]
        kinds = sorted({row["kind"] for row in rows})

        counted: dict[str, int] = {}

        async def chart() -> None:
            asset = choose.choice(rows)
            drawn = await service.chart(call, asset["serial"], choose.choice(metrics), Span(now - WEEK, now), POINTS)
            if not 1 <= len(drawn["points"]) <= POINTS + 1:
                raise RuntimeError(f"a chart of {len(drawn['points'])} points")

        async def latest() -> None:
            after = choose.randrange(max(1, len(rows) - PAGE))
            page = await service.latest(call, {"after_id": after, "fetch": PAGE + 1}, None)
            if any(len(asset["latest"]) != len(metrics) for asset in page):
                raise RuntimeError("an asset lacks a latest value")

        async def features() -> None:
            kind = choose.choice(kinds)
            parameters = {"from_time": now - REREAD, "to_time": now, "metrics": numbers,
                          "assets": [row["asset_id"] for row in rows if row["kind"] == kind]}  # fmt: skip
            async with connection.cursor() as cursor, cursor.copy(PREDICTOR["copy_readings"], parameters) as copy:
                counted["features_bytes"] = sum([len(block) async for block in copy])

        figures: dict[str, Any] = {"runs": runs, "assets": len(rows)}
        for name, query in (("chart", chart), ("latest", latest), ("features", features)):
            figures |= await _timed(name, query, runs)
        return figures | counted


async def _timed(name: str, query: Callable[[], Awaitable[None]], runs: int) -> dict[str, float]:
    for _ in range(max(runs // 10, 6)):
        await query()
    times_ms: list[float] = []
    for _ in range(runs):
        began_s = time.perf_counter()
        await query()
        times_ms.append((time.perf_counter() - began_s) * 1000)
    cuts = statistics.quantiles(times_ms, n=20)
    _tell(f"{name} timed")
    return {f"{name}_p50_ms": round(cuts[9], 2), f"{name}_p95_ms": round(cuts[18], 2)}


def _last(connection: psycopg.Connection[DictRow]) -> datetime:
    row = connection.execute(LAST).fetchone()
    return _known(row["last"] if row else None)


async def _last_of(connection: AsyncConnection[DictRow]) -> datetime:
    row = await (await connection.execute(LAST)).fetchone()
    return _known(row["last"] if row else None)


def _known(last: datetime | None) -> datetime:
    if last is None:
        raise CareloopError("the database holds no readings")
    return last


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 2)


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {len(_processors())} processors, Python {platform.python_version()}"
    )


def _processors() -> list[str]:
    return [
        line for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines() if line.startswith("processor")
    ]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
