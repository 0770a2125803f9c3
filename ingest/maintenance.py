"""What storage needs beside ingest: rollups of changed hours, retention, TimescaleDB's policies.

One process at a time does it, by an advisory lock; the others find it taken and try again later.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import Engine
from careloop.database.queries import load_queries

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
# One refresh commits at most this much, so that a replay of a year does not become one transaction.
LONGEST_REFRESH = timedelta(days=4)
# What a model's machines send changes slowly, and looking is a pass over the hours rolled up.
NOTE_METRICS_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Due:
    """Hours next to one another whose rollups are out of date.

    Attributes:
        from_time: Start of the first.
        to_time: End of the last.
        ids: Rows of `telemetry.rollup_due` that say so.
    """

    from_time: datetime
    to_time: datetime
    ids: list[int]


def join_hours(hours: Sequence[tuple[datetime, list[int]]]) -> Iterator[Due]:
    """Join hours, given in order, into spans of at most `LONGEST_REFRESH`; pure."""
    due: Due | None = None
    for bucket, ids in hours:
        if due is not None and bucket == due.to_time and bucket - due.from_time < LONGEST_REFRESH:
            due = Due(due.from_time, bucket + HOUR, due.ids + ids)
            continue
        if due is not None:
            yield due
        due = Due(bucket, bucket + HOUR, list(ids))
    if due is not None:
        yield due


class Maintenance:
    """Keeps storage in order over one connection.

    Args:
        connection: In autocommit mode, for this alone.
        engine: What the database is.
        compress_after: Age from which TimescaleDB compresses; zero never.
        keep_readings: Age from which readings are dropped; zero keeps them for ever. Their rollups stay.
    """

    def __init__(
        self, connection: Connection[DictRow], engine: Engine, *, compress_after: timedelta, keep_readings: timedelta
    ) -> None:
        self._connection = connection
        self._engine = engine
        self._compress_after = compress_after
        self._keep = keep_readings
        self._queries = load_queries("ingest")
        self._policies_set = False
        self._dropped_before: datetime | None = None
        self._rolled_up: list[tuple[datetime, datetime]] = []
        self._noted_at: datetime | None = None

    def run(self, now: datetime) -> None:
        """Do what is due, unless another process is at it."""
        row = self._connection.execute(self._queries["lead_maintenance"]).fetchone()
        if not row or not row["leads"]:
            return
        try:
            self.set_policies()
            self.roll_up(now)
            self.note_metrics(now)
            self.drop_old(now)
        finally:
            self._connection.execute(self._queries["release_maintenance"])

    def set_policies(self) -> None:
        """Hand compression, retention and the refresh behind ours to TimescaleDB; PostgreSQL has no such thing."""
        if not self._policies_set:
            self._connection.execute(
                self._queries["set_storage_policies"],
                {"compress_after": self._compress_after, "keep_readings": self._keep},
            )
            self._policies_set = True

    def roll_up(self, now: datetime) -> int:
        """Bring the rollups of changed hours up to date.

        Hours that retention is about to take are left alone: what the rollups know of them is all there is.

        Returns:
            How many spans were refreshed.
        """
        refreshed = 0
        rows = self._connection.execute(self._queries["find_rollups_due"]).fetchall()
        for due in join_hours([(row["bucket"], row["ids"]) for row in rows]):
            from_time = due.from_time
            if self._keep:
                from_time = max(from_time, _day(now - self._keep) + timedelta(days=1))
            if from_time < due.to_time:
                self._connection.execute(
                    self._queries["refresh_rollups"], {"from_time": from_time, "to_time": due.to_time}
                )
                self._rolled_up.append((from_time, due.to_time))
                refreshed += 1
            # Readings that came meanwhile left rows of their own, which are still there.
            self._connection.execute(self._queries["forget_rollups_due"], {"ids": due.ids})
        if refreshed:
            log.info("rolled up %d changed hours", len(rows))
        return refreshed

    def note_metrics(self, now: datetime) -> None:
        """Note which metrics the assets of each model sent in the hours rolled up; now and then."""
        if not self._rolled_up or (self._noted_at is not None and now - self._noted_at < NOTE_METRICS_EVERY):
            return
        for from_time, to_time in dict.fromkeys(self._rolled_up):
            self._connection.execute(self._queries["note_model_metrics"], {"from_time": from_time, "to_time": to_time})
        self._rolled_up.clear()
        self._noted_at = now

    def drop_old(self, now: datetime) -> int:
        """Drop readings older than the retention, whole days at a time; on TimescaleDB its policy does it.

        Returns:
            How many days were dropped.
        """
        before = _day(now - self._keep)
        if not self._keep or self._engine.name == "timescaledb" or before == self._dropped_before:
            return 0
        row = self._connection.execute(self._queries["drop_readings_before"], {"before": before}).fetchone()
        self._dropped_before = before
        dropped = int(row["dropped"]) if row else 0
        if dropped:
            log.info("dropped %d days of readings from before %s", dropped, before.date())
        return dropped


def _day(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
