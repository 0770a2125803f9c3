"""What other rooms order, and the promises of pieces to come.

Locks are taken in the order job, purchase order, its lines, its promises, balances.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.purchasing import rules
from api.purchasing.models import NewLine
from api.purchasing.repository import SQL, get_line, row, rows, supplier_of_field, today_of
from api.purchasing.rules import ORDER, PROMISE, Terms
from api.tickets.service import append_event
from api.warehouses.service import hours_of, warehouse_by_id, warehouse_of_field

# A draft may be sent just when something is to be added to it.
ATTEMPTS = 5


async def order_by_hand(call: Call, body: NewLine) -> DictRow:
    """Add a part to the supplier's open draft.

    Raises:
        Problem: 422 for an unknown part, warehouse, supplier or case; 409 as of `order`.
    """
    part = await part_of_field(call, body.sku)
    warehouse = await warehouse_of_field(call, body.warehouse)
    supplier = await supplier_of_field(call, body.supplier, "body.supplier") if body.supplier is not None else None
    if body.ticket_id is not None and await row(call, "ticket_exists", {"ticket_id": body.ticket_id}) is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    return await order(
        call,
        part_id=part["part_id"],
        quantity=body.quantity,
        warehouse_id=warehouse["warehouse_id"],
        supplier=None if supplier is None else supplier["supplier_id"],
        ticket_id=body.ticket_id,
    )


async def order(
    call: Call,
    *,
    part_id: int,
    quantity: int,
    warehouse_id: int,
    supplier: int | None = None,
    ticket_id: int | None = None,
    job_id: int | None = None,
    demand_id: int | None = None,
) -> DictRow:
    """Add a part to the open draft of a supplier for a warehouse; a draft is made where there is none.

    Args:
        call: Whose transaction holds it.
        part_id: What.
        quantity: Pieces wanted; more may be ordered, by the supplier's minimum and packs.
        warehouse_id: Where they are to be delivered.
        supplier: From whom; left out, from the one with the first place; where none is known, the draft waits for one.
        ticket_id: The case they are for, if any.
        job_id: The job they are for, if any.
        demand_id: The demand that it answers. Where any of the three is given, the pieces are promised.

    Returns:
        The line, as `get_line`: `purchase_line_id`, `expected_at`, …; with `purchase_promise_id`, None for the shelf.

    Raises:
        Problem: 409 `part-not-ordered` for one that is superseded or can't be had any more.
    """
    async with call.unscoped():
        part = await row(call, "part_to_order", {"part_id": part_id})
        if part is None:
            raise Problem.not_found("part", part_id)
        if part["state"] != "active":
            detail = f"{part['sku']} is {part['state']} and is ordered no more; order what takes its place"
            raise Problem.conflict("part-not-ordered", detail, sku=part["sku"], state=part["state"])
        terms = await _terms(call, part, supplier)
        draft = await _draft(call, terms, warehouse_id)
        line_id = await _add(call, draft, part_id, quantity, terms, warehouse_id)
        promised = None
        owner = {"ticket_id": ticket_id, "job_id": job_id, "demand_id": demand_id}
        if any(number is not None for number in owner.values()):
            promised = await _promise(call, line_id, quantity, owner, ordered=True)
        return {**await get_line(call, line_id), "purchase_promise_id": promised}


async def _terms(call: Call, part: Mapping[str, Any], supplier_id: int | None) -> Terms:
    """On which terms a part is had from a supplier, or from the best; from nobody known, on the part's own."""
    found = await rows(call, "terms_of_part", {"part_id": part["part_id"], "supplier_id": supplier_id})
    best = rules.best_terms(Terms(**terms) for terms in found)
    return best or Terms(supplier_id, "", None, part["currency"], part["lead_time_days"])


async def _draft(call: Call, terms: Terms, warehouse_id: int) -> int:
    """The open draft for a supplier, warehouse and currency, locked."""
    key = {"supplier_id": terms.supplier_id, "warehouse_id": warehouse_id, "currency": terms.currency}
    for _ in range(ATTEMPTS):
        await call.connection.execute(SQL["make_draft"], {**key, "now": call.now, "by": call.principal.name})
        draft = await row(call, "lock_draft", key)
        if draft is not None:
            number: int = draft["purchase_order_id"]
            return number
    raise Problem(503, "busy", "the supplier's draft is being sent; try again", headers={"Retry-After": "1"})


async def _add(  # noqa: PLR0917 - what is wanted, from whom and where
    call: Call, draft: int, part_id: int, quantity: int, terms: Terms, warehouse_id: int
) -> int:
    """Let a draft have so many pieces more of a part; the number of its line."""
    known = await row(call, "line_of_draft", {"purchase_order_id": draft, "part_id": part_id})
    if known is not None:
        wanted = known["wanted"] + quantity
        if wanted > rules.MOST_WANTED:
            detail = f"purchase order {draft} wants {known['wanted']} of it already; send that first"
            raise Problem.conflict("too-many", detail, wanted=known["wanted"])
        ordered = rules.order_quantity(wanted, known["minimum_quantity"], known["pack_size"])
        change = {"wanted": wanted, "quantity": ordered, "price_minor": None}
        await call.connection.execute(SQL["change_line"], {**known, **change})
        there: int = known["purchase_line_id"]
        return there
    warehouse = await warehouse_by_id(call, warehouse_id)
    hours = (await hours_of(call, [warehouse_id]))[warehouse_id]
    begins_on = today_of(call, warehouse["time_zone"])
    values = {
        "purchase_order_id": draft,
        "part_id": part_id,
        "wanted": quantity,
        "quantity": rules.order_quantity(quantity, terms.minimum_quantity, terms.pack_size),
        "price_minor": terms.price_minor,
        "supplier_sku": terms.supplier_sku,
        "lead_time_days": terms.lead_time_days,
        "minimum_quantity": terms.minimum_quantity,
        "pack_size": terms.pack_size,
        "over_delivery_percent": terms.over_delivery_percent,
        "expected_at": rules.expected_at(hours, begins_on, terms.lead_time_days, None),
    }
    made = await row(call, "insert_line", values)
    assert made is not None  # noqa: S101 - INSERT … RETURNING gives a row
    number: int = made["purchase_line_id"]
    return number


# Promises -----------------------------------------------------------------------------------------


async def promise(
    call: Call,
    *,
    purchase_line_id: int,
    quantity: int,
    ticket_id: int | None = None,
    job_id: int | None = None,
    demand_id: int | None = None,
) -> DictRow:
    """Promise pieces that are to come for nobody yet.

    Returns:
        The line, as `get_line`, with `purchase_promise_id`.

    Raises:
        Problem: 404; 409 `nothing-to-promise` when fewer are for nobody.
    """
    async with call.unscoped():
        line = await row(call, "lock_line", {"purchase_line_id": purchase_line_id})
        if line is None:
            raise Problem.not_found("purchase line", purchase_line_id)
        left = 0 if line["closed"] else line["quantity"] - line["received"] - line["promised"]
        if quantity > left:
            detail = f"{left} pieces of {line['sku']} on line {purchase_line_id} are for nobody yet; order more"
            raise Problem.conflict("nothing-to-promise", detail, unpromised=left)
        owner = {"ticket_id": ticket_id, "job_id": job_id, "demand_id": demand_id}
        promised = await _promise(call, purchase_line_id, quantity, owner, ordered=False)
        return {**await get_line(call, purchase_line_id), "purchase_promise_id": promised}


async def _promise(
    call: Call, purchase_line_id: int, quantity: int, owner: Mapping[str, int | None], *, ordered: bool
) -> int:
    values = {**owner, "purchase_line_id": purchase_line_id, "quantity": quantity, "ordered": ordered, "now": call.now}
    made = await row(call, "insert_promise", values)
    assert made is not None  # noqa: S101 - INSERT … RETURNING gives a row
    await call.connection.execute(SQL["move_promised"], {"purchase_line_id": purchase_line_id, "pieces": quantity})
    await tell_case(call, owner["ticket_id"], await get_line(call, purchase_line_id), "promised", quantity)
    number: int = made["purchase_promise_id"]
    return number


async def withdraw(call: Call, demand_id: int, reason: str = "it comes from elsewhere") -> int:
    """Withdraw all that is promised to a demand; how many promises there were."""
    async with call.unscoped():
        found = await rows(call, "open_promises_of_demand", {"demand_id": demand_id})
        done = [await withdraw_promise(call, one["purchase_promise_id"], reason) for one in found]
    return sum(done)


async def withdraw_promise(call: Call, purchase_promise_id: int, reason: str) -> bool:
    """Give the pieces of a promise to the shelf; from a draft that was made for it, they are taken out.

    Returns:
        Whether it was open still.

    Raises:
        Problem: 404.
    """
    async with call.unscoped():
        known = await row(call, "promise_by_id", {"purchase_promise_id": purchase_promise_id})
        line = await row(call, "lock_line", known) if known is not None else None
        found = await row(call, "lock_promise", known) if known is not None else None
        if known is None or line is None or found is None:
            raise Problem.not_found("purchase promise", purchase_promise_id)
        if found["state"] in PROMISE.final:
            return False
        await end_promise(call, found, line, reason)
        await call.connection.execute(SQL["move_promised"], {**known, "pieces": -found["quantity"]})
        if line["state"] == ORDER.initial and found["ordered"]:
            await _want_less(call, line, found["quantity"])
        return True


async def _want_less(call: Call, line: Mapping[str, Any], pieces: int) -> None:
    """Order fewer of a draft's line, but no fewer than are promised; nothing at all where nobody wants any."""
    wanted = max(line["wanted"], line["promised"]) - pieces
    quantity = rules.order_quantity(wanted, line["minimum_quantity"], line["pack_size"]) if wanted else 0
    change = {"wanted": wanted, "quantity": quantity, "price_minor": None}
    await call.connection.execute(SQL["change_line"], {**line, **change})


async def end_promise(call: Call, found: Mapping[str, Any], line: Mapping[str, Any], reason: str) -> None:
    """Withdraw a promise that is open and locked, and tell its case why; the line's sum is the caller's."""
    ended = {"state": PROMISE.require(found["purchase_promise_id"], "open", "withdraw"), "reservation_id": None}
    await call.connection.execute(SQL["end_promise"], {**found, **ended, "now": call.now})
    shown = await get_line(call, line["purchase_line_id"])
    await tell_case(call, found["ticket_id"], shown, "withdrawn", found["quantity"], reason=reason)


async def tell_case(
    call: Call, ticket_id: int | None, line: Mapping[str, Any], what: str, quantity: int, **more: Any
) -> None:
    """Write into a case's history what becomes of pieces that are bought for it."""
    if ticket_id is None:
        return
    shown = {name: line[name] for name in ("purchase_line_id", "purchase_order_id", "sku", "warehouse")}
    detail = {**shown, "what": what, "quantity": quantity, "expected_at": line["expected_at"].isoformat(), **more}
    await append_event(call, ticket_id, "purchase", detail)
