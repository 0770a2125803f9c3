"""What the room reads and writes."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from careloop.database.queries import load_queries

SQL = load_queries("api.stocking")


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The row of a query, or None."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows of a query."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()
