"""Takes kits apart and puts them together: one posting, in which as much arrives as leaves."""

from typing import Any, Literal

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.kits.models import Conversion
from api.parts.service import get_part
from api.stock.service import Cause, Entry, Place, post
from api.warehouses.service import require_own, warehouse_of_field
from careloop.database.queries import load_queries

SQL = load_queries("api.kits")

Done = Literal["taken_apart", "put_together"]


async def convert(call: Call, sku: str, body: Conversion, done: Done) -> dict[str, Any]:
    """Take kits apart into their parts, or put them together from these, on the free shelves of a warehouse.

    Raises:
        Problem: 403 for somebody else's warehouse; 404 for an unknown part; 409 when it is no kit (`not-a-kit`), or
            there are not as many free (`stock-out-of-range`); 422 for an unknown warehouse or ticket.
    """
    kit = await get_part(call, sku)
    warehouse = await warehouse_of_field(call, body.warehouse)
    require_own(call, warehouse)
    if body.ticket_id is not None and not await _rows(call, "find_ticket", {"ticket_id": body.ticket_id}):
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    contents = await _rows(call, "contents", kit)
    if not contents:
        raise Problem.conflict("not-a-kit", f"nothing is in {sku}; say what is by PUT /v1/parts/{sku}/kit")
    shelf, between = Place("free", warehouse["warehouse_id"]), Place("converted")
    whole, parts = (shelf, between), (between, shelf)
    if done == "put_together":
        whole, parts = parts, whole
    entries = [Entry(kit["part_id"], body.quantity, "convert", *whole)]
    entries += [Entry(part["part_id"], part["quantity"] * body.quantity, "convert", *parts) for part in contents]
    cause = Cause.of("kit", kit["part_id"])
    lines = await post(call, entries, cause, ticket_id=body.ticket_id, note=body.note)
    return {
        "sku": sku,
        "warehouse": body.warehouse,
        "done": done,
        "quantity": body.quantity,
        "parts": [{"sku": part["sku"], "quantity": part["quantity"] * body.quantity} for part in contents],
        "movement_ids": [line["movement_id"] for line in lines],
    }


async def _rows(call: Call, query: str, values: dict[str, Any]) -> list[DictRow]:
    return await (await call.connection.execute(SQL[query], values)).fetchall()
