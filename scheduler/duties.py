"""Claims on recurring duties: each due time is worked once, whoever works it.

A duty is claimed by a lease and a fence. The lease is renewed while its owner lives and runs out soon after its death;
the fence grows with every claim, so an owner that was overtaken can't book the duty as done. The business effects of
a duty are safe beyond that: the API refuses a second job for the same occurrence.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from psycopg import Connection

from careloop.database.queries import load_queries

QUERIES = load_queries("scheduler")
# Runs are kept as a trail for this long.
TRAIL = timedelta(days=7)


@dataclass(frozen=True)
class Claim:
    """One due time of one duty, claimed."""

    name: str
    due_at: datetime
    fence: int


class Duties:
    """Claims duties for one owner.

    Args:
        connection: In autocommit mode.
        owner: Says who in the table, e.g. `host:1234`.
        lease: How long a claim outlives its owner.
    """

    def __init__(self, connection: Connection[Any], owner: str, lease: timedelta) -> None:
        self._connection = connection
        self._owner = owner
        self._lease = lease

    def ensure(self, name: str, every: timedelta, now: datetime) -> None:
        """Make a duty known, first due at once; a changed interval is taken over."""
        self._connection.execute(QUERIES["ensure_duty"], {"name": name, "every": every, "now": now})

    def ensure_daily(self, name: str, at: time, now: datetime) -> None:
        """Make a duty known that falls due once a day at a time of day (UTC); a changed time is taken over."""
        first = datetime.combine(now.astimezone(UTC).date(), at, UTC)
        if first <= now:
            first += timedelta(days=1)
        self.ensure(name, timedelta(days=1), first)
        self._connection.execute(QUERIES["move_daily_duty"], {"name": name, "first": first, "now": now})

    def claim(self, names: list[str], now: datetime) -> Claim | None:
        """Claim the duty that has been due longest, if any.

        A due time whose run was finished already (its owner died between the two) is only booked as done.
        """
        while True:
            with self._connection.transaction():
                row = self._connection.execute(
                    QUERIES["claim_duty"], {"names": names, "now": now, "owner": self._owner, "lease": self._lease}
                ).fetchone()
                if row is None:
                    return None
                claim = Claim(row["name"], row["due_at"], row["fence"])
                started = self._connection.execute(
                    QUERIES["start_run"],
                    {"name": claim.name, "due_at": claim.due_at, "owner": self._owner, "now": now},
                ).fetchone()
                if started:
                    return claim
                self._advance(claim, now)

    def renew(self, claim: Claim) -> bool:
        """Prolong the lease; False when somebody else has claimed the duty since."""
        parameters = {"name": claim.name, "fence": claim.fence, "lease": self._lease}
        return self._connection.execute(QUERIES["renew_lease"], parameters).fetchone() is not None

    def finish(self, claim: Claim, now: datetime, error: str | None = None) -> bool:
        """Book a run as finished and set the next due time; False when the duty was lost to somebody else."""
        with self._connection.transaction():
            if not self._advance(claim, now):
                return False
            parameters = {"name": claim.name, "due_at": claim.due_at, "now": now, "error": error}
            self._connection.execute(QUERIES["finish_run"], parameters)
            self._connection.execute(QUERIES["forget_old_runs"], {"name": claim.name, "before": now - TRAIL})
            return True

    def _advance(self, claim: Claim, now: datetime) -> bool:
        parameters = {"name": claim.name, "fence": claim.fence, "now": now}
        return self._connection.execute(QUERIES["finish_duty"], parameters).fetchone() is not None
