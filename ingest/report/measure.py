"""What storage holds, as the database's own catalogue says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import Engine
from careloop.database.queries import load_queries

SQL = load_queries("ingest.report")

GROWTH_DAYS = 7


@dataclass(frozen=True)
class ReadingStorage:
    """The readings themselves; counts are the planner's, right after ANALYZE.

    Attributes:
        readings: How many.
        bytes: With indexes and toast.
        index_bytes: Of the indexes.
        settled_readings: Those compressed; on PostgreSQL those of days put in order.
        settled_bytes: What these take.
        settled_bytes_before: What they took before; 0 where that isn't known.
        settled_days: Chunks or partitions so treated.
        days: All chunks or partitions.
    """

    readings: int
    bytes: int
    index_bytes: int
    settled_readings: int
    settled_bytes: int
    settled_bytes_before: int
    settled_days: int
    days: int

    @property
    def bytes_per_reading(self) -> float | None:
        """Of all."""
        return self.bytes / self.readings if self.readings else None

    @property
    def bytes_per_settled_reading(self) -> float | None:
        """Of those compressed or put in order."""
        return self.settled_bytes / self.settled_readings if self.settled_readings else None

    @property
    def bytes_per_new_reading(self) -> float | None:
        """Of the others."""
        new = self.readings - self.settled_readings
        return (self.bytes - self.settled_bytes) / new if new > 0 else None

    @property
    def ratio(self) -> float | None:
        """How many times smaller compression made what it compressed."""
        if not self.settled_bytes or not self.settled_bytes_before:
            return None
        return self.settled_bytes_before / self.settled_bytes


@dataclass(frozen=True)
class TableStorage:
    """One table or rollup, with indexes and toast; its rows are estimated."""

    name: str
    rows: int
    bytes: int
    index_bytes: int


@dataclass(frozen=True)
class Storage:
    """Everything at a time.

    Attributes:
        engine: What the database is, in words.
        database_bytes: All of it, other schemas included.
        directory: The server's data directory, where it tells.
        reading: The readings.
        tables: Rollups and the other tables of telemetry, largest first.
        readings_by_day: Of the last days that are over, oldest first.
        jobs: TimescaleDB's own, with the ages that they keep to, how their last run went, and why it failed.
        backlog_hours: Hours that are over and whose rollups are out of date.
        backlog_days: Days likewise.
        backlog_oldest: The first of the hours.
    """

    engine: str
    database_bytes: int
    directory: str | None
    reading: ReadingStorage
    tables: Sequence[TableStorage]
    readings_by_day: Sequence[tuple[datetime, int]]
    jobs: Sequence[dict[str, Any]]
    backlog_hours: int
    backlog_days: int
    backlog_oldest: datetime | None


def measure_readings(connection: Connection[DictRow]) -> ReadingStorage:
    """How much the readings take."""
    return ReadingStorage(**_one(connection.execute(SQL["reading_storage"]).fetchone()))


def measure(connection: Connection[DictRow], engine: Engine, now: datetime) -> Storage:
    """Everything there is to say at a time."""
    rows = [row for query in ("tables", "rollup_storage") for row in connection.execute(SQL[query]).fetchall()]
    tables = [TableStorage(**row) for row in rows]
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    week = {"from_time": today - timedelta(days=GROWTH_DAYS), "to_time": today}
    database = _one(connection.execute(SQL["database_size"]).fetchone())
    over = {"before_day": today, "before_hour": now.replace(minute=0, second=0, microsecond=0)}
    backlog = _one(connection.execute(SQL["backlog"], over).fetchone())
    return Storage(
        engine=str(engine),
        database_bytes=database["bytes"],
        directory=database["directory"],
        reading=measure_readings(connection),
        tables=sorted(tables, key=lambda table: -table.bytes),
        readings_by_day=[
            (row["day"], row["readings"]) for row in connection.execute(SQL["readings_by_day"], week).fetchall()
        ],
        jobs=list(connection.execute(SQL["storage_jobs"]).fetchall()),
        backlog_hours=backlog["hours"],
        backlog_days=backlog["days"],
        backlog_oldest=backlog["oldest"],
    )


def _one(row: DictRow | None) -> DictRow:
    if row is None:
        raise LookupError("the catalogue answered nothing")
    return row
