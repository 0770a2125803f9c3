"""What is done with purchase orders until they are delivered."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.purchasing import rules
from api.purchasing.models import Confirmation, LineChange, OrderChange
from api.purchasing.repository import SQL, get_line, get_order, locked_order, row, rows, supplier_of_field, today_of
from api.purchasing.rules import ORDER, Terms, best_terms
from api.purchasing.service import end_promise, tell_case
from api.sla.hours import Calendar
from api.warehouses.service import hours_of

DRAFT = ORDER.initial


async def change_order(call: Call, purchase_order_id: int, change: OrderChange, version: int) -> DictRow:
    """Change what is noted of an order, or find a supplier for a draft without one: its terms hold from then on.

    Raises:
        Problem: 404; 409 for a supplier of an order that has one, or whose own draft is open; 412; 422.
    """
    seen = await locked_order(call, purchase_order_id)
    if seen["version"] != version:
        raise changed_meanwhile("purchase order", version)
    values = {**seen, **change.model_dump(include={"reference", "note"}, exclude_none=True)}
    if change.supplier is not None:
        supplier = await supplier_of_field(call, change.supplier, "body.supplier")
        if seen["supplier_id"] is not None or seen["state"] != DRAFT:
            detail = f"purchase order {purchase_order_id} has a supplier; cancel it and order anew"
            raise Problem.conflict("supplier-given", detail)
        values["supplier_id"] = supplier["supplier_id"]
        known = await row(call, "draft_exists", values)
        if known is not None:
            detail = f"purchase order {known['purchase_order_id']} is its open draft already; send that first"
            raise Problem.conflict("draft-open", detail, **known)
        await _take_terms(call, seen, supplier["supplier_id"])
    await call.connection.execute(SQL["change_order"], values)
    return await get_order(call, purchase_order_id)


async def _take_terms(call: Call, seen: Mapping[str, Any], supplier_id: int) -> None:
    hours = await _hours(call, seen)
    for line in await rows(call, "lines_of_order", seen):
        found = await rows(call, "terms_of_part", {"part_id": line["part_id"], "supplier_id": supplier_id})
        terms = best_terms(one for one in (Terms(**given) for given in found) if one.currency == seen["currency"])
        if terms is None or line["quantity"] == 0:
            continue
        values = {
            **line,
            **{name: getattr(terms, name) for name in Terms.__dataclass_fields__},
            "quantity": rules.order_quantity(line["wanted"], terms.minimum_quantity, terms.pack_size),
            "expected_at": _expected(call, seen, hours, terms.lead_time_days),
        }
        await call.connection.execute(SQL["set_terms"], values)
        await _tell_date(call, line, values["expected_at"])


async def change_line(call: Call, purchase_line_id: int, change: LineChange) -> DictRow:
    """Change how much of a draft's line is wanted, or its price.

    Raises:
        Problem: 404; 409 when it was sent, or fewer are wanted than are promised.
    """
    line = await row(call, "lock_line", {"purchase_line_id": purchase_line_id})
    if line is None:
        raise Problem.not_found("purchase line", purchase_line_id)
    if line["state"] != DRAFT:
        detail = (
            f"its order is {line['state']}; only a draft changes, and the supplier's price comes by its confirmation"
        )
        raise Problem.conflict("order-not-draft", detail, state=line["state"])
    wanted = line["wanted"] if change.quantity is None else change.quantity
    if wanted < line["promised"]:
        detail = f"{line['promised']} of them are promised to cases; withdraw those promises first"
        raise Problem.conflict("pieces-promised", detail, promised=line["promised"])
    quantity = rules.order_quantity(wanted, line["minimum_quantity"], line["pack_size"]) if wanted else 0
    values = {**line, "wanted": wanted, "quantity": quantity, "price_minor": change.price_minor}
    await call.connection.execute(SQL["change_line"], values)
    return await get_line(call, purchase_line_id)


async def send(call: Call, purchase_order_id: int) -> DictRow:
    """Note that a draft went to its supplier; from today on its lead times count.

    Raises:
        Problem: 404; 409 when it is no draft, has no supplier or nothing in it.
    """
    seen = await locked_order(call, purchase_order_id)
    to = ORDER.require(purchase_order_id, seen["state"], "send")
    if seen["supplier_id"] is None:
        detail = f"purchase order {purchase_order_id} has no supplier; PATCH it with one first"
        raise Problem.conflict("no-supplier", detail)
    lines = [line for line in await rows(call, "lines_of_order", seen) if line["quantity"]]
    if not lines:
        detail = f"purchase order {purchase_order_id} has nothing in it; cancel it, or order something first"
        raise Problem.conflict("nothing-to-send", detail)
    hours = await _hours(call, seen)
    for line in lines:
        await _date(call, line, None, _expected(call, seen, hours, line["lead_time_days"]))
    await _move(call, purchase_order_id, to)
    return await get_order(call, purchase_order_id)


async def confirm(call: Call, purchase_order_id: int, said: Confirmation) -> DictRow:
    """Note what the supplier said: when what is still to come will be delivered, and at which price.

    Cases to which pieces are promised hear of a date that has moved.

    Raises:
        Problem: 404; 409 when it was not sent or is over; 422 for a line of another order or one that is closed.
    """
    seen = await locked_order(call, purchase_order_id)
    to = ORDER.require(purchase_order_id, seen["state"], "confirm")
    lines = {line["purchase_line_id"]: line for line in await rows(call, "lines_of_order", seen) if not line["closed"]}
    said_of = {line.purchase_line_id: line for line in said.lines}
    for place, given in enumerate(said.lines):
        if given.purchase_line_id not in lines:
            field = f"body.lines.{place}.purchase_line_id"
            raise Problem.bad_field(field, f"nothing is to come of a line {given.purchase_line_id} of this order")
    hours = await _hours(call, seen)
    for number, line in lines.items():
        own = said_of.get(number)
        day = own.confirmed_on if own is not None else said.confirmed_on
        if day is not None:
            at = _expected(call, seen, hours, line["lead_time_days"], day)
            await _date(call, line, day, at, own.price_minor if own is not None else None)
    await _move(call, purchase_order_id, to, reference=said.reference)
    return await get_order(call, purchase_order_id)


async def _date(
    call: Call, line: Mapping[str, Any], day: date | None, expected_at: datetime, price_minor: int | None = None
) -> None:
    """Give a line another date; the cases that wait for it hear of that."""
    values = {**line, "confirmed_on": day, "expected_at": expected_at, "price_minor": price_minor, "now": call.now}
    await call.connection.execute(SQL["date_line"], values)
    await _tell_date(call, line, expected_at)


async def _tell_date(call: Call, line: Mapping[str, Any], expected_at: datetime) -> None:
    """Tell the cases that wait for a line of its new date, if it is another one than the line had."""
    if not line["promised"] or line["expected_at"] == expected_at:
        return
    shown = await get_line(call, line["purchase_line_id"])
    before = line["expected_at"].isoformat()
    for promise in await _promises(call, [line]):
        await tell_case(call, promise["ticket_id"], shown, "dated", promise["quantity"], before=before)


async def cancel(call: Call, purchase_order_id: int, reason: str) -> DictRow:
    """Give an order up before anything of it came; what it promised is withdrawn.

    Raises:
        Problem: 404; 409 when something came already.
    """
    return await _give_up(call, purchase_order_id, "cancel", reason)


async def close(call: Call, purchase_order_id: int, reason: str) -> DictRow:
    """Give up what has not come of an order; what was promised of it is withdrawn.

    Raises:
        Problem: 404; 409 when nothing came of it yet, or it is over.
    """
    return await _give_up(call, purchase_order_id, "close", reason)


async def _give_up(call: Call, purchase_order_id: int, action: str, reason: str) -> DictRow:
    seen = await locked_order(call, purchase_order_id)
    to = ORDER.require(purchase_order_id, seen["state"], action)
    lines = [line for line in await rows(call, "lines_of_order", seen) if not line["closed"]]
    promises = await _promises(call, lines)
    by_number = {line["purchase_line_id"]: line for line in lines}
    for promise in promises:
        await end_promise(call, promise, by_number[promise["purchase_line_id"]], reason)
    await call.connection.execute(SQL["close_lines"], seen)
    await _move(call, purchase_order_id, to, reason=reason)
    order = await get_order(call, purchase_order_id)
    if promises:
        await _tell_of_end(call, order, promises)
    return order


async def _tell_of_end(call: Call, order: Mapping[str, Any], promises: list[DictRow]) -> None:
    cases = sorted({promise["ticket_id"] for promise in promises if promise["ticket_id"] is not None})
    number = order["purchase_order_id"]
    named = ", ".join(map(str, cases)) or "none"
    await announce(
        call,
        topic="purchase.cancelled",
        cause=f"purchase:{number}:{order['state']}",
        asset_id=None,
        subject=f"Purchase order {number} will not bring what was promised",
        body=f"It was given up ({order['end_reason']}). Tickets that wait for its parts: {named}.",
        payload={"purchase_order_id": number, "supplier": order["supplier"], "ticket_ids": cases},
    )


async def _promises(call: Call, lines: list[Any]) -> list[DictRow]:
    numbers = [line["purchase_line_id"] for line in lines]
    return await rows(call, "open_promises_of_lines", {"purchase_line_ids": numbers})


async def _hours(call: Call, order: Mapping[str, Any]) -> Calendar:
    return (await hours_of(call, [order["warehouse_id"]]))[order["warehouse_id"]]


def _expected(
    call: Call, order: Mapping[str, Any], hours: Calendar, lead_time_days: int, day: date | None = None
) -> datetime:
    return rules.expected_at(hours, today_of(call, order["time_zone"]), lead_time_days, day)


async def reckon_draft(call: Call, order: Mapping[str, Any]) -> None:
    """Let the dates of a draft that is locked count from today."""
    hours = await _hours(call, order)
    for line in await rows(call, "lines_of_order", order):
        values = {**line, "confirmed_on": None, "expected_at": _expected(call, order, hours, line["lead_time_days"])}
        await call.connection.execute(SQL["date_line"], {**values, "price_minor": None, "now": call.now})
    await call.connection.execute(SQL["mark_reckoned"], {**order, "now": call.now})


async def _move(
    call: Call, purchase_order_id: int, to: str, *, reference: str | None = None, reason: str | None = None
) -> None:
    values = {"purchase_order_id": purchase_order_id, "state": to, "reference": reference, "reason": reason}
    await call.connection.execute(SQL["move_order"], {**values, "now": call.now})


async def move(call: Call, purchase_order_id: int, to: str) -> None:
    """Write down the new state of an order that is locked."""
    await _move(call, purchase_order_id, to)
