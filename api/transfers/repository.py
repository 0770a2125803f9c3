"""Reads transfers."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.transfers")


async def get_transfer(call: Call, transfer_id: int) -> DictRow:
    """One transfer.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_transfer", {"transfer_id": transfer_id})
    if found is None:
        raise Problem.not_found("transfer", transfer_id)
    return found


async def list_transfers(call: Call, wanted: Mapping[str, Any], *, overdue: bool) -> list[DictRow]:
    """Transfers that fit, in ascending order of their number."""
    query = SQL["list_overdue_transfers" if overdue else "list_transfers"]
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(query, wanted, prepare=False)).fetchall()


async def locked(call: Call, transfer_ids: Sequence[int]) -> list[DictRow]:
    """Transfers that the caller sees, locked until the end of the call; in the order of their parts.

    Raises:
        Problem: 404 for the first that is not there.
    """
    for transfer_id in transfer_ids:
        await get_transfer(call, transfer_id)
    async with call.unscoped():
        wanted = {"transfer_ids": list(transfer_ids)}
        return await (await call.connection.execute(SQL["lock_transfers"], wanted)).fetchall()


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()
