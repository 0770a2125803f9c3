"""What comes of purchase orders: into the ledger, to those it was promised to, or to quarantine."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.purchasing import rules
from api.purchasing.models import CameLine, NewReceipt
from api.purchasing.orders import move
from api.purchasing.repository import SQL, get_line, get_order, locked_order, row, rows
from api.purchasing.rules import ORDER, PROMISE, Promised, share_out
from api.purchasing.service import end_promise, tell_case
from api.reservations.service import reserve_at
from api.stock import service as stock
from api.stock.service import Cause, Entry, Place
from api.warehouses.service import quarantine_for, warehouse_of_field

ENDED_JOBS = frozenset({"completed", "cancelled"})
ENDED_TICKETS = frozenset({"resolved", "closed", "cancelled", "merged"})


async def receive(call: Call, purchase_order_id: int, body: NewReceipt) -> DictRow:
    """Take a delivery in: ledger, order, and reservations for those to whom pieces were promised.

    Raises:
        Problem: 404; 409 when the order was not sent or is over, when a delivery note was taken in already, when more
            came than is accepted (`over-delivery`), or there is no quarantine; 422 for a line of another order.
    """
    numbers = [line.purchase_line_id for line in body.lines]
    await call.connection.execute(SQL["lock_jobs_of_lines"], {"purchase_line_ids": numbers})
    seen = await locked_order(call, purchase_order_id)
    lines = {line["purchase_line_id"]: line for line in await rows(call, "lines_of_order", seen)}
    for place, came in enumerate(body.lines):
        _require_fit(place, came, lines)
    came_of = {came.purchase_line_id: came for came in body.lines}
    whole = all(line["closed"] or _done(line, came_of.get(number)) for number, line in lines.items())
    to = ORDER.require(purchase_order_id, seen["state"], "receive" if whole else "receive_part")
    quarantine = await _quarantine(call, seen, body) if any(came.damaged for came in body.lines) else None
    # In the order of their parts, as balances are locked.
    for number, line in lines.items():
        if number in came_of:
            await _take_in(call, seen, line, came_of[number], body.delivery_note, quarantine)
    await move(call, purchase_order_id, to)
    return await get_order(call, purchase_order_id)


def _require_fit(place: int, came: CameLine, lines: Mapping[int, Mapping[str, Any]]) -> None:
    line = lines.get(came.purchase_line_id)
    field = f"body.lines.{place}"
    if line is None:
        raise Problem.bad_field(f"{field}.purchase_line_id", f"this order has no line {came.purchase_line_id}")
    most = rules.most_accepted(line["quantity"], line["over_delivery_percent"])
    if line["received"] + came.quantity > most:
        left = max(0, most - line["received"])
        detail = (
            f"{line['quantity']} of {line['sku']} were ordered and {line['received']} came; {left} more are accepted, "
            f"not {came.quantity}: send the others back, or agree on an over_delivery_percent with the supplier"
        )
        raise Problem.conflict("over-delivery", detail, purchase_line_id=came.purchase_line_id, accepted=left)


def _done(line: Mapping[str, Any], came: CameLine | None) -> bool:
    done: bool = line["received"] + (came.quantity if came is not None else 0) >= line["quantity"]
    return done


async def _quarantine(call: Call, order: Mapping[str, Any], body: NewReceipt) -> int:
    if body.quarantine is not None:
        found: Mapping[str, Any] | None = await warehouse_of_field(call, body.quarantine, "body.quarantine")
    else:
        found = await quarantine_for(call, order["warehouse_id"])
    if found is None:
        detail = "there is no quarantine for damaged pieces; POST /v1/warehouses with kind quarantine first"
        raise Problem.conflict("no-quarantine", detail)
    number: int = found["warehouse_id"]
    return number


async def _take_in(  # noqa: PLR0917 - what came of what, and where to
    call: Call, order: Mapping[str, Any], line: Mapping[str, Any], came: CameLine, note: str, quarantine: int | None
) -> None:
    values = {**came.model_dump(), "delivery_note": note, "now": call.now}
    if await row(call, "insert_receipt", values) is None:
        detail = (
            f"delivery note {note} was taken in for {line['sku']} already; a second delivery has a number of its own"
        )
        raise Problem.conflict("note-taken", detail, delivery_note=note)
    entries = []
    if came.quantity:
        shelf = Place("free", order["warehouse_id"])
        entries.append(Entry(line["part_id"], came.quantity, "receipt", Place("supplier"), shelf))
    if came.damaged and quarantine is not None:
        entries.append(Entry(line["part_id"], came.damaged, "receipt", Place("supplier"), Place("free", quarantine)))
    await stock.post(call, entries, Cause.of("purchase", order["purchase_order_id"]), note=f"delivery note {note}")
    kept = await _keep_promises(call, order, line, came.quantity)
    done = {"good": came.quantity, "damaged": came.damaged, "kept": kept, "closed": line["closed"] or _done(line, came)}
    await call.connection.execute(SQL["receive_line"], {**line, **done})


async def _keep_promises(call: Call, order: Mapping[str, Any], line: Mapping[str, Any], pieces: int) -> int:
    """Reserve what came for whom it was promised to, first come first served; how many are promised no more."""
    found = await rows(call, "open_promises_of_lines", {"purchase_line_ids": [line["purchase_line_id"]]})
    ended = [promise for promise in found if _needs_nothing(promise)]
    for promise in ended:
        await end_promise(call, promise, line, "the case is over")
    waiting = {promise["purchase_promise_id"]: promise for promise in found if promise not in ended}
    shares = share_out(pieces, _promised(list(waiting.values())))
    for share in shares:
        await _keep(call, order, line, waiting[share.purchase_promise_id], share.quantity)
    withdrawn: int = sum(promise["quantity"] for promise in ended)
    return sum(share.quantity for share in shares) + withdrawn


def _needs_nothing(promise: Mapping[str, Any]) -> bool:
    return promise["job_state"] in ENDED_JOBS or promise["ticket_state"] in ENDED_TICKETS


def _promised(promises: Sequence[Mapping[str, Any]]) -> list[Promised]:
    return [Promised(promise["purchase_promise_id"], promise["quantity"]) for promise in promises]


async def _keep(
    call: Call, order: Mapping[str, Any], line: Mapping[str, Any], promise: Mapping[str, Any], pieces: int
) -> None:
    """Reserve pieces that came for somebody; what is missing stays promised."""
    kept = await reserve_at(
        call,
        part_id=line["part_id"],
        warehouse_id=order["warehouse_id"],
        quantity=pieces,
        ticket_id=promise["ticket_id"],
        job_id=promise["job_id"],
        demand_id=promise["demand_id"],
        available_at=call.now,
    )
    rest = promise["quantity"] - pieces
    if rest:
        await call.connection.execute(SQL["promise_rest"], {**promise, "quantity": pieces, "rest": rest})
    ended = {
        "purchase_promise_id": promise["purchase_promise_id"],
        "state": PROMISE.require(promise["purchase_promise_id"], "open", "keep"),
        "reservation_id": kept["reservation_id"],
        "now": call.now,
    }
    await call.connection.execute(SQL["end_promise"], ended)
    shown = await get_line(call, line["purchase_line_id"])
    await tell_case(call, promise["ticket_id"], shown, "came", pieces, reservation_id=kept["reservation_id"])
