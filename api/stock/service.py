"""The one way in which stock moves: lines of the ledger, all or nothing.

The balances are derived by the database (careloop/database/migrations/0026_ledger.sql); here they are locked in one
order by everybody, and judged, so that a refusal can name the warehouse, the part and what is there.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.stock import rules
from api.stock.models import NewMovement
from api.stock.rules import Cause, Entry, Place
from api.warehouses.service import warehouse_of_field
from careloop.database.queries import load_queries

__all__ = ["SQL", "Cause", "Entry", "Place", "move_by_hand", "post"]

SQL = load_queries("api.stock")


async def post(
    call: Call, entries: Sequence[Entry], cause: Cause, *, ticket_id: int | None = None, note: str = ""
) -> list[DictRow]:
    """Write lines into the ledger, all of them or none.

    The caller's scope holds: a partner moves nothing in another's warehouse, except inside `call.unscoped()`.

    Args:
        call: Whose transaction holds it.
        entries: What moves; at least one.
        cause: Why.
        ticket_id: The case it is for, if any.
        note: What is to be known besides.

    Returns:
        The lines: `movement_id`, `part_id`, `quantity`, `kind`, places, cause, `ticket_id`, `note`, `actor`, `at`.

    Raises:
        Problem: 409 `stock-out-of-range` when a balance does not have as many.
    """
    touched = rules.shelves(entries)
    keys = {"parts": [part for part, _ in touched], "warehouses": [warehouse for _, warehouse in touched]}
    rows = await (await call.connection.execute(SQL["lock_balances"], keys)).fetchall()
    balances = {(row["part_id"], row["warehouse_id"]): {place: row[place] for place in rules.EMPTY} for row in rows}
    wrong = rules.out_of_range(rules.moved(balances, entries))
    if wrong is not None:
        raise await _out_of_range(call, *wrong, balances.get(wrong[0], rules.EMPTY), entries)
    lines = {
        "part_ids": [entry.part_id for entry in entries],
        "quantities": [entry.quantity for entry in entries],
        "kinds": [entry.kind for entry in entries],
        "from_places": [entry.source.kind for entry in entries],
        "from_warehouses": [entry.source.warehouse_id for entry in entries],
        "to_places": [entry.target.kind for entry in entries],
        "to_warehouses": [entry.target.warehouse_id for entry in entries],
        "cause_kind": cause.kind,
        "cause_key": cause.key,
        "ticket_id": ticket_id,
        "note": note,
        "now": call.now,
    }
    return await (await call.connection.execute(SQL["insert_movements"], lines)).fetchall()


async def _out_of_range(
    call: Call, shelf: rules.Shelf, place: str, pieces: rules.Pieces, entries: Sequence[Entry]
) -> Problem:
    part_id, warehouse_id = shelf
    names = await _row(call, "names_of_shelf", {"part_id": part_id, "warehouse_id": warehouse_id})
    sku, warehouse = (names["sku"], names["warehouse"]) if names else (str(part_id), str(warehouse_id))
    change = rules.moved({}, entries)[shelf][place]
    remedy = "receive or count first" if change < 0 else "no balance holds so many"
    detail = (
        f"{warehouse} has of {sku} {pieces['free']} free, {pieces['reserved']} reserved, {pieces['issued']} issued and "
        f"{pieces['transit']} on the way; {change:+d} {place} is not possible; {remedy}"
    )
    members = {
        "warehouse": warehouse,
        "sku": sku,
        "place": place,
        "change": change,
        "on_hand": pieces["free"] + pieces["reserved"],
        "reserved": pieces["reserved"],
        "available": pieces["free"],
        "issued": pieces["issued"],
        "in_transit": pieces["transit"],
    }
    return Problem.conflict("stock-out-of-range", detail, **members)


async def move_by_hand(call: Call, body: NewMovement) -> DictRow:
    """Receive, correct, issue, use, bring back or scrap pieces.

    Raises:
        Problem: 422 for an unknown part, warehouse or cause; 409 when there are not as many in that place.
    """
    part = await part_of_field(call, body.sku)
    warehouse = await warehouse_of_field(call, body.warehouse, "body.warehouse")
    ticket_id = await _ticket_of_cause(call, body)
    entry = _entry(part["part_id"], warehouse["warehouse_id"], body)
    (made,) = await post(call, [entry], Cause(body.cause_kind, body.cause), ticket_id=ticket_id, note=body.note)
    row = await _row(call, "get_movement", {"movement_id": made["movement_id"]})
    if row is None:
        raise LookupError(f"movement {made['movement_id']} was written and is not there")
    return row


def _entry(part_id: int, warehouse_id: int, body: NewMovement) -> Entry:
    free, issued = Place("free", warehouse_id), Place("issued", warehouse_id)
    if body.kind == "adjust":
        ends = (Place("variance"), free) if body.quantity > 0 else (free, Place("variance"))
        return Entry(part_id, abs(body.quantity), "count", *ends)
    source = {"free": free, "issued": issued, "used": Place("used"), None: free}[body.place]
    places = {
        "receipt": (Place("supplier"), free),
        "issue": (free, issued),
        "consume": (source, Place("used")),
        "scrap": (source, Place("scrapped")),
        "return": (source, free),
    }
    return Entry(part_id, body.quantity, body.kind, *places[body.kind])


async def _ticket_of_cause(call: Call, body: NewMovement) -> int | None:
    """The case of what is named as the cause.

    Raises:
        Problem: 422 when there is no such thing.
    """
    if body.cause_kind == "note":
        return None
    found = await _row(call, "ticket_of_cause", {"kind": body.cause_kind, "number": int(body.cause)})
    if found is None:
        raise Problem.bad_field("body.cause", f"there is no {body.cause_kind} {body.cause}")
    ticket_id: int | None = found["ticket_id"]
    return ticket_id


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
