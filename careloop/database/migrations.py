"""Migrations: plain SQL files, applied in order, each in its own transaction, once.

A file `NNNN_name.sql` is for every engine; `NNNN_name.postgresql.sql` and `NNNN_name.timescaledb.sql` are the two
variants of one step. What was applied stands in `careloop_migration` with the file's hash: an applied file never
changes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from careloop.database.engine import Engine, EngineName, detect_engine
from careloop.errors import CareloopError

_FILE = re.compile(r"(?P<step>\d{4}_[a-z0-9_]+)(?:\.(?P<engine>postgresql|timescaledb))?\.sql")

# Two processes may migrate at once; the second waits here and finds nothing left to do.
_LOCK = "SELECT pg_advisory_lock(7266, 1)"
_UNLOCK = "SELECT pg_advisory_unlock(7266, 1)"

_BOOK = """
CREATE TABLE IF NOT EXISTS public.careloop_migration (
    step        text PRIMARY KEY,
    engine      text NOT NULL,
    sha256      bytea NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One step, as it is for one engine."""

    step: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """Hash of the file's text."""
        return hashlib.sha256(self.sql.encode()).digest()


def migrations_for(engine: EngineName) -> list[Migration]:
    """All steps for an engine, in order."""
    steps: list[Migration] = []
    for file in sorted(files("careloop.database").joinpath("migrations").iterdir(), key=lambda entry: entry.name):
        match = _FILE.fullmatch(file.name)
        if match and match["engine"] in {None, engine}:
            steps.append(Migration(match["step"], file.read_text(encoding="utf-8")))
    return steps


def migrate(connection: Connection[Any]) -> tuple[Engine, list[str]]:
    """Bring a database up to date.

    Args:
        connection: In autocommit mode, with the right to create schemas.

    Returns:
        The engine, and the steps that were applied now.

    Raises:
        CareloopError: The database was made for the other engine, by a newer careloop, or by changed files; or
            TimescaleDB is there and the user may not create the extension.
    """
    engine = detect_engine(connection)
    connection.execute(_LOCK)
    try:
        connection.execute(_BOOK)
        applied = _applied(connection)
        engine = _engine_in_use(engine, applied)
        if engine.name == "timescaledb" and not applied:
            _create_extension(connection)
        todo = _todo(migrations_for(engine.name), applied)
        for migration in todo:
            with connection.transaction():
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO public.careloop_migration (step, engine, sha256) VALUES (%s, %s, %s)",
                    (migration.step, engine.name, migration.sha256),
                )
    finally:
        connection.execute(_UNLOCK)
    return engine, [migration.step for migration in todo]


def require_migrated(connection: Connection[Any]) -> Engine:
    """The engine of a database that is up to date; every process but `migrate` calls this first.

    Raises:
        CareloopError: The database is older or newer than this careloop.
    """
    engine = detect_engine(connection)
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT to_regclass('public.careloop_migration') IS NOT NULL AS there").fetchone()
    applied = _applied(connection) if row and row["there"] else {}
    engine = _engine_in_use(engine, applied)
    todo = _todo(migrations_for(engine.name), applied)
    if todo:
        raise CareloopError(f"the database lacks {len(todo)} migration(s), first {todo[0].step}; run: careloop migrate")
    return engine


def drop_everything(connection: Connection[Any]) -> None:
    """Drop all that careloop has in a database, readings and tickets included; for replays that start over."""
    engine = detect_engine(connection)
    connection.execute(_LOCK)
    try:
        if engine.name == "timescaledb":
            # Continuous aggregates do not go with their schema.
            for view in ("telemetry.daily", "telemetry.hourly"):
                connection.execute(f"DROP MATERIALIZED VIEW IF EXISTS {view} CASCADE")
        with connection.transaction():
            for schema in ("scheduling", "prediction", "telemetry", "service"):
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute("DROP TABLE IF EXISTS public.careloop_migration")
    finally:
        connection.execute(_UNLOCK)


def _applied(connection: Connection[Any]) -> dict[str, tuple[str, bytes]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT step, engine, sha256 FROM public.careloop_migration ORDER BY step").fetchall()
    return {row["step"]: (row["engine"], bytes(row["sha256"])) for row in rows}


def _engine_in_use(engine: Engine, applied: dict[str, tuple[str, bytes]]) -> Engine:
    used = {name for name, _ in applied.values()}
    if used == {"postgresql"} and engine.name == "timescaledb":
        # The extension came to the server later; the tables stay what they are.
        return Engine("postgresql", engine.server_version, "")
    if used == {"timescaledb"} and engine.name == "postgresql":
        raise CareloopError("the database was made with TimescaleDB, which the server no longer has; install it again")
    return engine


def _todo(migrations: Sequence[Migration], applied: dict[str, tuple[str, bytes]]) -> list[Migration]:
    known = {migration.step: migration for migration in migrations}
    for step, (_, sha256) in applied.items():
        if step not in known:
            raise CareloopError(
                f"the database has migration {step}, which this careloop does not know: upgrade careloop"
            )
        if known[step].sha256 != sha256:
            raise CareloopError(
                f"migration {step} was applied with another text; restore its file or start a new database"
            )
    return [migration for migration in migrations if migration.step not in applied]


def _create_extension(connection: Connection[Any]) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.InsufficientPrivilege as error:
        raise CareloopError(
            "TimescaleDB is available but this user may not create it; "
            "let an administrator run in this database: CREATE EXTENSION timescaledb"
        ) from error
