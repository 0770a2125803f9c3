"""One leader among any number of schedulers: a session advisory lock on a connection of its own.

The lock goes with the session, so a leader that is killed, hangs up or loses its server stops being leader at that
moment, and a follower's next attempt succeeds. A leader whose machine lost power does not hang up; the server is told
to probe this one connection every second, so that it notices within about four.
"""

import logging
from typing import Any

import psycopg
from psycopg import Connection

from careloop.database.engine import connect
from careloop.database.queries import load_queries
from careloop.errors import CareloopError

QUERIES = load_queries("scheduler")

# Server-side settings of the session, and the same towards a server that is gone.
PROBES: dict[str, Any] = {
    "options": "-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3",
    "keepalives": 1,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}

log = logging.getLogger(__name__)


class Leadership:
    """This process's claim to lead.

    Args:
        database_url: Where the lock is.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: Connection[Any] | None = None
        self._leads = False

    @property
    def leads(self) -> bool:
        """Whether this process led when it last looked."""
        return self._leads

    def held(self) -> bool:
        """Whether this process leads now; tries to become leader when it does not. One round trip."""
        try:
            if self._connection is None:
                self._connection = connect(self._database_url, application_name="careloop scheduler lead", **PROBES)
            if self._leads:
                self._connection.execute("SELECT 1")
                return True
            row = self._connection.execute(QUERIES["try_lead"]).fetchone()
        except (psycopg.OperationalError, CareloopError) as error:
            self._lose(str(error).strip().splitlines()[0])
            return False
        self._leads = bool(row and row["leads"])
        if self._leads:
            log.info("this scheduler leads")
        return self._leads

    def _lose(self, why: str) -> None:
        log.warning("%s: %s", "no longer leading" if self._leads else "cannot lead", why)
        self.resign()

    def resign(self) -> None:
        """Hang up; another may lead at once."""
        self._leads = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
