"""Reads of purchasing."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.purchasing")


async def get_order(call: Call, purchase_order_id: int) -> DictRow:
    """One order with its lines.

    Raises:
        Problem: 404.
    """
    key = {"purchase_order_id": purchase_order_id}
    found = await row(call, "get_order", key)
    if found is None:
        raise Problem.not_found("purchase order", purchase_order_id)
    every = {**key, "after_id": 0, "fetch": None, "sku": None}
    return {**found, "lines": await rows(call, "list_lines", every)}


async def get_line(call: Call, purchase_line_id: int) -> DictRow:
    """One line.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_line", {"purchase_line_id": purchase_line_id})
    if found is None:
        raise Problem.not_found("purchase line", purchase_line_id)
    return found


async def locked_order(call: Call, purchase_order_id: int) -> DictRow:
    """An order whose row nobody else changes now.

    Raises:
        Problem: 404.
    """
    found = await row(call, "lock_order", {"purchase_order_id": purchase_order_id})
    if found is None:
        raise Problem.not_found("purchase order", purchase_order_id)
    return found


async def supplier_of_field(call: Call, code: str, field: str) -> DictRow:
    """A supplier that a field of the body names, from whom something may be ordered.

    Raises:
        Problem: 422 naming the field.
    """
    found = await row(call, "get_supplier", {"code": code})
    if found is None:
        raise Problem.bad_field(field, f"there is no supplier {code}; POST /v1/suppliers first")
    if not found["active"]:
        raise Problem.bad_field(field, f"the supplier {code} is inactive and gets no orders")
    return found


def today_of(call: Call, time_zone: str) -> date:
    """The day of the call on a warehouse's calendar."""
    return call.now.astimezone(ZoneInfo(time_zone)).date()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows of a statement, planned for these values: filters decide the index."""
    return await (await call.connection.execute(SQL[query], values, prepare=False)).fetchall()


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()
