"""Least privilege: a group role per service (`roles.sql`), and logins that are members of them."""

from importlib.resources import files
from typing import Any, Literal

import psycopg
from psycopg import Connection, sql

from careloop.errors import CareloopError

ServiceName = Literal["ingest", "predictor", "scheduler", "api"]

# As long as migrations: granting while a migration makes tables would miss some.
_LOCK = "SELECT pg_advisory_lock(7266, 1)"
_UNLOCK = "SELECT pg_advisory_unlock(7266, 1)"


def login_of(service: ServiceName) -> str:
    """The name of a service's login, a member of its group role."""
    return f"careloop_{service}_login"


def create_service_roles(connection: Connection[Any]) -> None:
    """Make the group roles and grant them what each service needs; safe to run again and at the same time.

    Args:
        connection: In autocommit mode, to a migrated database, of its owner with the right to create roles.

    Raises:
        CareloopError: The user may not create roles.
    """
    script = files("careloop.database").joinpath("roles.sql").read_text(encoding="utf-8")
    connection.execute(_LOCK)
    try:
        with connection.transaction():
            connection.execute(script)
    except psycopg.errors.InsufficientPrivilege as error:
        raise CareloopError(
            f"this database user may not create the service roles ({error.diag.message_primary}); "
            "run careloop migrate --service-roles as the database's owner with CREATEROLE"
        ) from error
    finally:
        connection.execute(_UNLOCK)


def create_service_login(connection: Connection[Any], service: ServiceName, login: str, password: str) -> None:
    """Make or renew a login that has the rights of one service.

    Args:
        connection: In autocommit mode, of a user with the right to create roles.
        service: Whose rights it gets.
        login: Its name.
        password: Sent as a SCRAM verifier, never in clear.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    with connection.transaction():
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login]).fetchone()
        verb = sql.SQL("ALTER ROLE" if there else "CREATE ROLE")
        connection.execute(
            sql.SQL("{} {} LOGIN PASSWORD {}").format(verb, sql.Identifier(login), sql.Literal(verifier))
        )
        connection.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(f"careloop_{service}"), sql.Identifier(login))
        )
