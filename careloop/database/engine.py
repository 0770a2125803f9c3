"""Which engine a server is, and how a process connects to it."""

from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from careloop.errors import CareloopError

OLDEST_POSTGRESQL = 150000
OLDEST_TIMESCALEDB = (2, 18)

EngineName = Literal["postgresql", "timescaledb"]


@dataclass(frozen=True)
class Engine:
    """What the server can do.

    Attributes:
        name: `timescaledb` where the extension with its community features is to be had, else `postgresql`.
        server_version: e.g. 180006.
        extension_version: e.g. `2.25.0`, or an empty string.
    """

    name: EngineName
    server_version: int
    extension_version: str

    def __str__(self) -> str:
        server = f"PostgreSQL {self.server_version // 10000}.{self.server_version % 10000}"
        return f"TimescaleDB {self.extension_version} on {server}" if self.name == "timescaledb" else server


def connect(database_url: str, *, autocommit: bool = True, **options: Any) -> Connection[DictRow]:
    """One connection that speaks UTC and returns rows as dictionaries.

    Raises:
        CareloopError: The server cannot be reached, refuses the login, or is too old.
    """
    try:
        connection = psycopg.connect(
            database_url, autocommit=autocommit, row_factory=dict_row, connect_timeout=10, **options
        )
    except psycopg.OperationalError as error:
        first_line = str(error).strip().splitlines()[0]
        raise CareloopError(
            f"cannot connect to the database: {first_line}; is it running, and is CARELOOP_DATABASE_URL right?"
        ) from error
    try:
        with connection.transaction():
            connection.execute("SET TIME ZONE 'UTC'")
        _refuse_too_old(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_too_old(connection: Connection[Any]) -> None:
    if connection.info.server_version < OLDEST_POSTGRESQL:
        raise CareloopError(
            f"the server is PostgreSQL {connection.info.server_version // 10000}; careloop needs 15 or newer"
        )


def detect_engine(connection: Connection[Any]) -> Engine:
    """Find out at run time what the server has; changes nothing.

    Raises:
        CareloopError: TimescaleDB is there but too old.
    """
    row = _one(
        connection,
        """
        SELECT coalesce(installed_version, default_version) AS version,
               coalesce(current_setting('timescaledb.license', true), 'timescale') AS license
        FROM pg_available_extensions WHERE name = 'timescaledb'
        """,
    )
    version = str(row["version"]) if row else ""
    server_version = connection.info.server_version
    # The Apache-licensed build has neither compression nor continuous aggregates: it serves as plain PostgreSQL.
    if not row or row["license"] == "apache":
        return Engine("postgresql", server_version, "")
    release = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
    if release < OLDEST_TIMESCALEDB:
        raise CareloopError(
            f"TimescaleDB {version} is too old; careloop needs {'.'.join(map(str, OLDEST_TIMESCALEDB))} or newer: "
            "install it and run ALTER EXTENSION timescaledb UPDATE"
        )
    return Engine("timescaledb", server_version, version)


def _one(connection: Connection[Any], query: LiteralString) -> DictRow | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchone()
