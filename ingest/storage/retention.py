"""Takes away what is older than the policy keeps, and puts older days of readings in order.

TimescaleDB's own jobs drop and compress the hypertables; the rest is done here. Rows are deleted in small transactions,
so that nothing waits long, and at most for a while in one go, so that rollups do not wait for a year's backlog.
"""

import logging
from datetime import datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import Engine
from careloop.database.queries import load_queries
from ingest.storage.policy import NEVER, StoragePolicy

log = logging.getLogger(__name__)

SQL = load_queries("ingest.storage")

DAY = timedelta(days=1)
SWEEP_EVERY = timedelta(minutes=10)
# One transaction deletes so many rows at most, one sweep so many of each kind.
MOST_ROWS = 50_000
MOST_BATCHES = 40
# Locks a whole day of readings for as long as it takes to write it anew.
MOST_DAYS_SETTLED = 2


class Retention:
    """Keeps to a policy over one connection.

    Args:
        connection: In autocommit mode.
        engine: What the database is.
        policy: What is kept how long.
    """

    def __init__(self, connection: Connection[DictRow], engine: Engine, policy: StoragePolicy) -> None:
        self._connection = connection
        self._engine = engine
        self._policy = policy
        self._policies_set = False
        self._days_done_before: datetime | None = None
        self._swept_at: datetime | None = None

    def set_policies(self) -> None:
        """Hand compression, retention and the refresh behind ours to TimescaleDB; PostgreSQL has no such thing."""
        if not self._policies_set:
            self._connection.execute(
                SQL["set_storage_policies"],
                {
                    "compress_after": self._policy.compress_after,
                    "keep_readings": self._policy.keep_readings,
                    "keep_hourly": self._policy.keep_hourly,
                    "keep_daily": self._policy.keep_daily,
                },
            )
            self._policies_set = True

    def run(self, now: datetime) -> None:
        """Do what is due; most calls find nothing to do."""
        if self._engine.name == "postgresql":
            self.drop_old_days(now)
        if self._swept_at is None or not NEVER <= now - self._swept_at < SWEEP_EVERY:
            finished = self.sweep(now)
            self._swept_at = now if finished else None
            if self._engine.name == "postgresql":
                self.settle(now)
            else:
                self.run_failed_jobs()

    def drop_old_days(self, now: datetime) -> int:
        """PostgreSQL: drop whole days of readings, and the rollups that are past their age.

        Returns:
            How many days of readings were dropped.
        """
        today = day_of(now)
        if self._days_done_before == today:
            return 0
        dropped = 0
        if self._policy.keep_readings:
            before = today - self._policy.keep_readings
            row = self._connection.execute(SQL["drop_readings_before"], {"before": before}).fetchone()
            dropped = int(row["dropped"]) if row else 0
            if dropped:
                log.info("dropped %d days of readings from before %s", dropped, before.date())
        if self._policy.keep_hourly:
            self._connection.execute(SQL["delete_hourly"], {"before": today - self._policy.keep_hourly})
        if self._policy.keep_daily:
            self._connection.execute(SQL["delete_daily"], {"before": today - self._policy.keep_daily})
        self._days_done_before = today
        return dropped

    def settle(self, now: datetime) -> int:
        """PostgreSQL: put days in order that are older than `compress_after`, a few at a time.

        Returns:
            How many days were put in order.
        """
        settled = 0
        while self._policy.compress_after and settled < MOST_DAYS_SETTLED:
            try:
                row = self._connection.execute(
                    SQL["settle_readings_before"], {"before": day_of(now - self._policy.compress_after)}
                ).fetchone()
            except psycopg.errors.LockNotAvailable:
                log.info("a day of readings is being read; putting it in order later")
                break
            if not row or not row["settled"]:
                break
            settled += 1
        return settled

    def run_failed_jobs(self) -> int:
        """TimescaleDB: run those of its jobs here whose last run failed, e.g. because all its workers were taken.

        Returns:
            How many were run.
        """
        failed = self._connection.execute(SQL["find_failed_jobs"]).fetchall()
        for job in failed:
            log.warning("TimescaleDB's %s of %s failed (%s); running it here", job["proc_name"], job["relation"],
                        job["error"])  # fmt: skip
            self._connection.execute(SQL["run_storage_job"], {"job_id": job["job_id"]})
        return len(failed)

    def sweep(self, now: datetime) -> bool:
        """Delete events, identities, dead letters and results of commands that are past their age.

        Returns:
            Whether nothing is left to delete.
        """
        policy = self._policy
        kinds = [
            ("events", SQL["delete_events"], policy.keep_events),
            ("message identities", SQL["delete_identities"], policy.keep_identities),
            ("dead letters", SQL["delete_dead_letters"], policy.keep_dead_letters),
            ("command results", SQL["delete_command_results"], policy.keep_command_results),
        ]
        finished = True
        for what, statement, keep in kinds:
            if keep:
                before = now - keep
                deleted, all_gone = self._delete(statement, before)
                finished &= all_gone
                if deleted:
                    log.info("deleted %d %s from before %s", deleted, what, before.isoformat(timespec="seconds"))
        return finished

    def _delete(self, statement: LiteralString, before: datetime) -> tuple[int, bool]:
        """Delete batch by batch; returns how many rows went, and whether they were all."""
        total = 0
        for _ in range(MOST_BATCHES):
            deleted = self._connection.execute(statement, {"before": before, "most": MOST_ROWS}).rowcount
            total += deleted
            if deleted < MOST_ROWS:
                return total, True
        return total, False


def day_of(time: datetime) -> datetime:
    """The start of the day, in the time's own zone."""
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
