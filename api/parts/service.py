"""What is done with parts."""

from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.models import NewPart
from careloop.database.queries import load_queries

SQL = load_queries("api.parts")


async def create_part(call: Call, body: NewPart) -> DictRow:
    """Add a part to the catalogue.

    Raises:
        Problem: 409 when the SKU is taken.
    """
    row = await _row(call, "insert_part", body.model_dump())
    if row is None:
        raise Problem.conflict("sku-taken", f"there is a part {body.sku} already")
    return row


async def get_part(call: Call, sku: str) -> DictRow:
    """One part.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise Problem.not_found("part", sku)
    return row


async def part_of_field(call: Call, sku: str, field: str = "body.sku") -> DictRow:
    """The part that a field of a body names.

    Raises:
        Problem: 422 naming the field.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")
    return row


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
