"""What storage needs beside ingest: rollups of changed hours, retention, TimescaleDB's policies.

One process at a time does it, by an advisory lock; the others find it taken and try again later.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import Engine
from careloop.database.queries import load_queries
from ingest.storage.policy import StoragePolicy
from ingest.storage.retention import DAY, Retention, day_of

UPKEEP = load_queries("ingest.storage")

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
        policy: What is kept how long.

    Attributes:
        retention: Its part that keeps to the policy.
    """

    def __init__(self, connection: Connection[DictRow], engine: Engine, policy: StoragePolicy) -> None:
        self._connection = connection
        self._engine = engine
        self._keep = policy.keep_readings
        self._queries = load_queries("ingest")
        self.retention = Retention(connection, engine, policy)
        self._rolled_up: list[tuple[datetime, datetime]] = []
        self._noted_at: datetime | None = None

    def run(self, now: datetime) -> None:
        """Do what is due, unless another process is at it."""
        row = self._connection.execute(self._queries["lead_maintenance"]).fetchone()
        if not row or not row["leads"]:
            return
        try:
            self.retention.set_policies()
            self.roll_up(now)
            self.note_metrics(now)
            self.retention.run(now)
        finally:
            self._connection.execute(self._queries["release_maintenance"])

    def rollups_due(self) -> int:
        """Hours whose rollups are out of date."""
        row = self._connection.execute(self._queries["count_rollups_due"]).fetchone()
        return int(row["hours"]) if row else 0

    def roll_up(self, now: datetime) -> int:
        """Bring the rollups of changed hours up to date.

        Hours that retention is about to take are left alone: what the rollups know of them is all there is.
        TimescaleDB's rollups show an hour or a day that is not over as it is, so there it waits until it is:
        aggregating it again and again would read an hour of the whole fleet each time.

        Returns:
            How many spans were refreshed.
        """
        refreshed = 0
        rows = self._connection.execute(self._queries["find_rollups_due"]).fetchall()
        if self._engine.name == "timescaledb":
            for row in rows:
                if row["bucket"] + HOUR > now and len(row["ids"]) > 1:
                    self._connection.execute(self._queries["forget_rollups_due"], {"ids": sorted(row["ids"])[:-1]})
            rows = [row for row in rows if row["bucket"] + HOUR <= now]
        for due in join_hours([(row["bucket"], row["ids"]) for row in rows]):
            from_time = due.from_time
            if self._keep:
                from_time = max(from_time, day_of(now - self._keep) + DAY)
            if from_time < due.to_time:
                span = {"from_time": from_time, "to_time": due.to_time}
                self._connection.execute(self._queries["refresh_hourly"], span)
                self._connection.execute(UPKEEP["note_latest"], span)
                self._connection.execute(UPKEEP["add_daily_due"], span)
                self._rolled_up.append((from_time, due.to_time))
                refreshed += 1
            # Readings that came meanwhile left rows of their own, which are still there.
            self._connection.execute(self._queries["forget_rollups_due"], {"ids": due.ids})
        self._roll_up_days(now)
        if refreshed:
            log.info("rolled up %d changed hours", len(rows))
        return refreshed

    def _roll_up_days(self, now: datetime) -> None:
        # Elsewhere than on TimescaleDB a clock that is wrong may have brought a day of the future.
        before = day_of(now) if self._engine.name == "timescaledb" else datetime.max.replace(tzinfo=UTC)
        days = [row["day"] for row in self._connection.execute(UPKEEP["find_daily_due"], {"before": before}).fetchall()]
        while days:
            first, count = days[0], 1
            while count < len(days) and days[count] == first + count * DAY and count < LONGEST_REFRESH // DAY:
                count += 1
            span = {"from_time": first, "to_time": first + count * DAY}
            self._connection.execute(UPKEEP["refresh_daily"], span)
            self._connection.execute(UPKEEP["forget_daily_due"], span)
            del days[:count]

    def note_metrics(self, now: datetime) -> None:
        """Note which metrics the assets of each model sent in the hours rolled up; now and then."""
        if not self._rolled_up or (self._noted_at is not None and now - self._noted_at < NOTE_METRICS_EVERY):
            return
        for from_time, to_time in dict.fromkeys(self._rolled_up):
            self._connection.execute(self._queries["note_model_metrics"], {"from_time": from_time, "to_time": to_time})
        self._rolled_up.clear()
        self._noted_at = now
