"""Whether the database can be worked with: it answers, and its tables are those of this careloop."""

from collections.abc import Callable

import psycopg

from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.errors import CareloopError

STATEMENT_TIMEOUT_MS = 2000


def database_check(database_url: str, process: str) -> Callable[[], str]:
    """A check for `/ready`, over a connection of its own each time: what hangs on an old one is not found by it.

    Args:
        database_url: As the process uses it.
        process: For the server's list of connections.
    """

    def check() -> str:
        try:
            with connect(
                database_url,
                application_name=f"careloop {process} ready",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            ) as connection:
                return f"{require_migrated(connection)}, migrations current"
        except psycopg.Error as error:
            raise CareloopError(f"the database does not answer: {str(error).strip()}") from error

    return check
