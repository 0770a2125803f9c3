"""The making of API keys."""

from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from api.access.rules import new_key
from api.conventions.authentication import hash_key
from api.conventions.roles import Role
from careloop.database.queries import load_queries

SQL = load_queries("api.access")


async def create_key(
    connection: AsyncConnection[DictRow], name: str, role: Role, expires_at: datetime | None, now: datetime
) -> tuple[str, DictRow]:
    """Make a key; it is shown here and never again.

    Returns:
        The key, and its row without it.
    """
    key = new_key()
    cursor = await connection.execute(
        SQL["insert_key"],
        {"name": name, "role": role, "key_hash": hash_key(key), "expires_at": expires_at, "now": now},
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
    return key, row
