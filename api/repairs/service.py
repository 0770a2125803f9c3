"""What is done with repairs.

Locks are always taken in the order ticket, repair, job, parts; so no two calls wait for one another.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from api.quotes.charges import charge_agreed_fees
from api.quotes.models import NewQuote
from api.quotes.service import create_quote
from api.quotes.service import send as send_quote
from api.repairs import rules, texts
from api.repairs.models import (
    Delay,
    Diagnosis,
    NewRepair,
    Parcel,
    Receipt,
    RepairStandard,
    ReturnUnrepaired,
    Scrapping,
    TestResult,
)
from api.repairs.moving import begin, move, replan, tell
from api.repairs.parcels import announce_inbound, plain_label, send_out
from api.repairs.repository import (
    SQL,
    add_cost,
    get_repair,
    locked,
    nodes_of,
    row,
    rows,
    standard_for,
    working_days,
)
from api.tickets import rules as ticket_rules
from api.tickets.service import append_event
from api.tickets.service import require_component as require_component_of
from api.warranty.service import question

BATCH = 500
MODES: tuple[rules.Mode, ...] = ("mail_in", "drop_off")


async def open_repair(call: Call, body: NewRepair) -> tuple[DictRow, bool]:
    """Begin the repair of a ticket's machine: it is awaited, by parcel with our label or at the counter.

    Returns:
        The repair, and whether it is new; the open one of the ticket is returned as it is.

    Raises:
        Problem: 422 for an unknown ticket, or one without a machine or with another mode; 409 when the ticket is over.
    """
    key = {"ticket_id": body.ticket_id}
    ticket = await row(call, "ticket_to_repair", key)
    if ticket is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    if body.central and call.principal.role == "customer":
        raise Problem.bad_field("body.central", "who pays is not the customer's to say; leave it out")
    mode = _mode(body, ticket)
    if ticket["asset_id"] is None:
        raise Problem.bad_field("body.ticket_id", f"ticket {body.ticket_id} is about no machine")
    if ticket["state"] in ticket_rules.OVER:
        raise Problem.conflict("ticket-over", f"ticket {body.ticket_id} is {ticket['state']}; it needs no repair")
    standard = await standard_for(call, ticket["product_kind"], ticket["provider_id"])
    values = {
        **body.model_dump(),
        "mode": mode,
        "asset_id": ticket["asset_id"],
        "labour_hour_minor": standard.labour_hour_minor,
        "currency": standard.currency,
        "business_days": Jsonb(dict(standard.business_days)),
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await row(call, "insert_repair", values)
    if made is None:
        there = await row(call, "open_repair", key)
        if there is None:
            raise Problem(503, "busy", "the repair was ended at the same time; try again", headers={"Retry-After": "1"})
        return await get_repair(call, there["repair_id"]), False
    repair = await get_repair(call, made["repair_id"])
    # As far as one knows before the diagnosis; it only decides which days are told.
    answer = await question(call, ticket["serial"], component=ticket["component"], ticket_id=body.ticket_id)
    quoted = rules.needs_quote(answer.bearer, central=body.central)
    if mode == "mail_in":
        await plain_label(call, repair)
    else:
        await announce_inbound(call, repair, "counter", "counter", None)
    return await move(call, repair, "label", quoted=quoted), True


def _mode(body: NewRepair, ticket: Mapping[str, Any]) -> rules.Mode:
    for mode in MODES:
        if ticket["service_mode"] == mode and body.mode in {None, mode}:
            return mode
    if ticket["service_mode"] is None and body.mode is not None:
        return body.mode
    said = ticket["service_mode"] or "not set"
    message = f"the service_mode of ticket {body.ticket_id} is {said}; a repair needs mail_in or drop_off"
    raise Problem.bad_field("body.mode", message)


async def receive(call: Call, repair_id: int, body: Receipt) -> DictRow:
    """Note what came.

    Raises:
        Problem: 404; 409 in another state, or when another machine came; 422 for an unknown file.
    """
    repair, to = await begin(call, repair_id, "receive")
    if body.serial != repair["serial"]:
        detail = (
            f"the machine that came is {body.serial}, not {repair['serial']}; ask the customer, or correct the ticket"
        )
        raise Problem.conflict("another-machine", detail, expected=repair["serial"])
    for place, file_id in enumerate(body.photo_file_ids):
        await require_file(call, file_id, f"body.photo_file_ids.{place}")
        field = f"body.photo_file_ids.{place}"
        await attach(call, file_id, ticket_id=repair["ticket_id"], asset_id=repair["asset_id"], field=field)
    seen = body.model_dump(include={"condition", "accessories", "photo_file_ids"})
    await call.connection.execute(SQL["keep_parcel"], {"repair_id": repair_id, "parcel": Jsonb(seen)})
    key = {"repair_id": repair_id, "direction": "inbound", "now": call.now}
    await call.connection.execute(SQL["deliver_shipments"], key)
    await add_cost(
        call, repair, "freight_in", "receipt", amount_minor=body.freight_minor, description="Freight to the workshop"
    )
    came = ", ".join(f"{item.quantity} × {item.name}" for item in body.accessories)
    return await move(call, repair, to, told=f"With it came: {came}." if came else "")


async def diagnose(call: Call, repair_id: int, body: Diagnosis) -> DictRow:
    """Note what is wrong; who pays is asked of the warranty now, and its answer kept.

    Raises:
        Problem: 404; 409 in another state; 422 for an unknown component.
    """
    repair, to = await begin(call, repair_id, "diagnose")
    ticket = await row(call, "ticket_to_repair", repair) or {}
    if body.component is not None:
        await require_component_of(call, repair, body.component)
    component = body.component or ticket["component"]
    opened_on = repair["opened_at"].astimezone(ZoneInfo(repair["time_zone"])).date()
    answer = await question(
        call, repair["serial"], on=opened_on, component=component, cause=body.cause, ticket_id=repair["ticket_id"]
    )
    bearer = "maker" if repair["central"] else answer.bearer
    values = {
        **body.model_dump(),
        "repair_id": repair_id,
        "component": component,
        "bearer": bearer,
        "warranty": Jsonb(answer.model_dump(mode="json")),
    }
    await call.connection.execute(SQL["keep_diagnosis"], values)
    await add_labour(call, repair, "diagnosis", body.labour_minutes)
    repair = await get_repair(call, repair_id)
    quoted = rules.needs_quote(bearer, central=repair["central"])
    paid = "You pay nothing for the repair." if not quoted else "You get a quote before anything is done."
    return await move(call, repair, to, quoted=quoted, told=f"{body.diagnosis}\n{paid}")


async def quote(call: Call, repair_id: int, body: NewQuote) -> DictRow:
    """Send the customer a quote of the repair.

    Raises:
        Problem: 404; 409 in another state, or when the customer pays nothing (`no-quote-needed`); 422 for a bad line.
    """
    repair, to = await begin(call, repair_id, "quote")
    if not rules.needs_quote(repair["bearer"], central=repair["central"]):
        detail = f"the {repair['bearer']} bears repair {repair_id}; begin it without a quote"
        raise Problem.conflict("no-quote-needed", detail, bearer=repair["bearer"])
    given = body.model_copy(update={"component": body.component or repair["component"]})
    drafted = await create_quote(call, repair["ticket_id"], given)
    sent = await send_quote(call, drafted["quote_id"])
    await call.connection.execute(SQL["keep_quote"], {"repair_id": repair_id, "quote_id": sent["quote_id"]})
    return await move(call, repair, to, quoted=True, detail={"quote_id": sent["quote_id"]})


async def follow_quote(call: Call, decided: DictRow) -> None:
    """Go on when the customer, or time, has decided on a quote; entered among the quotes' followers."""
    waiting = await row(call, "quoted_repair", decided)
    if waiting is None or decided["sent_at"] is None:
        return
    action = "accept" if decided["state"] == "accepted" else "decline"
    repair, to = await begin(call, waiting["repair_id"], action)
    key = {"repair_id": repair["repair_id"], "quote_id": decided["quote_id"]}
    await call.connection.execute(SQL["keep_quote"], key)
    await move(call, repair, to, detail={"quote_id": decided["quote_id"], "quote": decided["state"]})


async def test(call: Call, repair_id: int, body: TestResult) -> DictRow:
    """Note how the machine did in its test; one that failed goes back to be repaired.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "pass_test" if body.passed else "fail_test")
    run = {"passed": body.passed, "note": body.note, "at": call.now.isoformat()}
    await call.connection.execute(SQL["add_test"], {"repair_id": repair_id, "test": Jsonb([run])})
    told = "" if body.passed else "It has not passed its test yet; we go on with it."
    return await move(call, repair, to, detail={"passed": body.passed}, told=told)


async def ship(call: Call, repair_id: int, body: Parcel) -> DictRow:
    """Send the machine, what came with it, and the old parts if they are wanted.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "ship")
    await send_out(call, repair, body)
    return await move(call, repair, to, told=f"Parcel: {body.carrier}, number {body.tracking_number}.")


async def hand_over(call: Call, repair_id: int) -> DictRow:
    """The customer collects the machine.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "hand_over")
    return await move(call, repair, to)


async def deliver(call: Call, repair_id: int) -> DictRow:
    """The customer has the machine.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "deliver")
    key = {"repair_id": repair_id, "direction": "outbound", "now": call.now}
    await call.connection.execute(SQL["deliver_shipments"], key)
    return await move(call, repair, to)


async def close(call: Call, repair_id: int) -> DictRow:
    """Nothing more is to be done.

    Raises:
        Problem: 404; 409 in another state, or while a loaner is with the customer.
    """
    repair, to = await begin(call, repair_id, "close")
    loan = await row(call, "open_loan", {"repair_id": repair_id})
    if loan is not None:
        detail = f"loan {loan['loan_id']} of repair {repair_id} is not over; take the loaner back first"
        raise Problem.conflict("loan-open", detail, loan_id=loan["loan_id"])
    key = {"repair_id": repair_id, "direction": "outbound", "now": call.now}
    await call.connection.execute(SQL["deliver_shipments"], key)
    return await move(call, repair, to)


async def cancel(call: Call, repair_id: int, reason: str) -> DictRow:
    """Give a repair up whose machine has not come.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "cancel")
    await call.connection.execute(SQL["cancel_shipments"], {"repair_id": repair_id, "now": call.now})
    return await move(call, repair, to, end_reason=reason, detail={"reason": reason})


async def return_unrepaired(call: Call, repair_id: int, body: ReturnUnrepaired) -> DictRow:
    """Send the machine back as it is, and charge the fees that were agreed for that.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "return_unrepaired")
    await send_out(call, repair, body)
    charged = []
    if repair["state"] == "declined":
        charged = await charge_agreed_fees(call, repair["ticket_id"], ["diagnosis", "handling"])
    detail = {"reason": body.reason, "charge_ids": [charge["charge_id"] for charge in charged]}
    told = f"Parcel: {body.carrier}, number {body.tracking_number}."
    return await move(call, repair, to, end_reason=body.reason, detail=detail, told=told)


async def scrap(call: Call, repair_id: int, body: Scrapping) -> DictRow:
    """Dispose of the machine, as the customer agreed.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "scrap")
    if repair["state"] == "declined":
        await charge_agreed_fees(call, repair["ticket_id"], ["diagnosis", "handling"])
    detail = {"reason": body.reason, "agreed_by": body.agreed_by}
    return await move(call, repair, to, end_reason=body.reason, detail=detail)


async def delay(call: Call, repair_id: int, body: Delay) -> DictRow:
    """Tell the customer that it takes longer: all that lies ahead is expected so many business days later.

    Raises:
        Problem: 404; 409 when nothing lies ahead.
    """
    repair = await locked(call, repair_id)
    nodes = nodes_of(repair)
    following = rules.next_node(nodes)
    if following is None:
        detail = f"repair {repair_id} is {repair['state']}; nothing of it lies ahead"
        raise Problem.conflict("repair-state", detail, state=repair["state"], allowed=[])
    values = {**body.model_dump(), "repair_id": repair_id, "node": following.name}
    await call.connection.execute(SQL["insert_delay"], {**values, "now": call.now, "actor": call.principal.name})
    later = rules.delayed(nodes, body.business_days, await working_days(call))
    repair = await replan(call, repair, later)
    await append_event(call, repair["ticket_id"], "repair_delayed", {"repair_id": repair_id, **body.model_dump()})
    message = texts.delayed_message(repair, later, body.reason, body.note)
    await tell(call, repair, "repair.delayed", str(repair["version"]), message)
    return repair


async def add_labour(call: Call, repair: Mapping[str, Any], source: str, minutes: int) -> None:
    """Count the workshop's time, and what it costs the maker."""
    await call.connection.execute(SQL["add_labour"], {"repair_id": repair["repair_id"], "minutes": minutes})
    cost = rules.labour_cost(minutes, repair["labour_hour_minor"])
    await add_cost(call, repair, "labour", source, amount_minor=cost, description=f"{minutes} minutes")


async def put_standard(call: Call, body: RepairStandard) -> DictRow:
    """Say how long things take, and what the workshop's time costs; repairs that are open keep theirs.

    Raises:
        Problem: 422 for an unknown provider.
    """
    if body.provider_id is not None and await row(call, "provider_exists", body.model_dump()) is None:
        raise Problem.bad_field("body.provider_id", f"there is no provider {body.provider_id}")
    values = {**body.model_dump(), "business_days": Jsonb(body.business_days)}
    kept = await row(call, "put_standard", values)
    if kept is None:
        raise LookupError("put_standard returned no row")
    return kept


async def run_due(call: Call) -> int:
    """Mark repairs whose next node is late; those who see to them hear of it, each time once."""
    # A day is over where it ends last.
    today: date = (call.now - timedelta(hours=12)).date()
    due = await rows(call, "due_repairs", {"today": today, "limit": BATCH})
    for late in due:
        await call.connection.execute(SQL["mark_overdue"], {**late, "now": call.now})
        repair = await get_repair(call, late["repair_id"])
        line = {"repair_id": repair["repair_id"], "node": repair["next_node"]}
        await append_event(call, repair["ticket_id"], "repair_overdue", line)
        message = texts.overdue_message(repair)
        await tell(call, repair, "repair.overdue", str(repair["version"]), message)
    return len(due)
