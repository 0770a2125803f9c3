"""Reservations as they are in the database, and the ledger's lines that they cause."""

from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.stock import service as stock
from api.stock.service import Cause, Entry
from careloop.database.queries import load_queries

SQL = load_queries("api.reservations")


async def get_reservation(call: Call, reservation_id: int) -> DictRow:
    """One reservation.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_reservation", {"reservation_id": reservation_id})
    if found is None:
        raise Problem.not_found("reservation", reservation_id)
    return found


async def locked(call: Call, reservation_id: int) -> DictRow:
    """A reservation whose row nobody else changes now: `part_id`, `warehouse_id`, `quantity`, `state`, `place`.

    Raises:
        Problem: 404.
    """
    found = await row(call, "lock_reservation", {"reservation_id": reservation_id})
    if found is None:
        raise Problem.not_found("reservation", reservation_id)
    return found


async def post(call: Call, reservation: DictRow, entry: Entry, cause: Cause) -> None:
    """Write the ledger's line of a reservation that the caller may touch, wherever its pieces are.

    Raises:
        Problem: 409 `stock-out-of-range`.
    """
    async with call.unscoped():
        await stock.post(call, [entry], cause, ticket_id=reservation["ticket_id"])


async def row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    """The first row of a query."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()
