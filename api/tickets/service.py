"""What is done with tickets."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.assets.service import asset_of_field
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.tickets import rules
from api.tickets.models import NewTicket, NewTransition, TicketChange
from api.tickets.rules import Machine
from api.warranty.service import term_of_field
from careloop.database.queries import load_queries

SQL = load_queries("api.tickets")

# How often an open case may vanish while we look for it; each time takes another caller who ends it just then.
ATTEMPTS = 5


async def open_ticket(call: Call, body: NewTicket) -> tuple[DictRow, bool]:
    """Open a case, or add the evidence to the open case of that asset and cause.

    Returns:
        The ticket, and whether it was opened now.

    Raises:
        Problem: 422 naming the field that is unknown or contradicts another one.
    """
    asset = await asset_of_field(call, body.serial)
    if body.component is not None:
        await require_component(call, asset, body.component)
    misfit = rules.misfit_of_new(body.kind, body.component, body.cause, body.term_id)
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    term = None if body.term_id is None else await term_of_field(call, body.term_id, asset)
    values = {
        **body.model_dump(exclude={"serial", "evidence"}),
        "asset_id": asset["asset_id"],
        "cause": body.cause if term is None else rules.warranty_cause(body.term_id),
        "evidence": Jsonb(body.evidence),
        "raised_by": call.principal.name,
        "now": call.now,
    }
    for _ in range(ATTEMPTS):
        inserted = await (await call.connection.execute(SQL["insert_ticket"], values)).fetchone()
        if inserted is not None:
            ticket = await get_ticket(call, inserted["ticket_id"])
            await append_event(call, ticket["ticket_id"], "opened", {"kind": body.kind, "cause": values["cause"]})
            await _announce_opened(call, ticket, term)
            return ticket, True
        ticket_id = await _existing_case(call, values, body)
        if ticket_id is not None:
            return await get_ticket(call, ticket_id), False
    raise Problem(
        503, "busy", "the case was opened and ended at the same time; try again", headers={"Retry-After": "1"}
    )


async def _existing_case(call: Call, values: Mapping[str, Any], body: NewTicket) -> int | None:
    """The case that a report belongs to, with the report in its history; None when it has just ended."""
    query = "lock_open_case" if body.term_id is None else "ticket_of_term"
    row = await (await call.connection.execute(SQL[query], values)).fetchone()
    if row is None:
        return None
    if row["state"] not in rules.OVER:
        detail = body.model_dump(mode="json", include={"kind", "title", "description", "evidence"})
        await append_event(call, row["ticket_id"], "evidence", detail)
    return int(row["ticket_id"])


async def require_component(call: Call, asset: DictRow, component: str, field: str = "body.component") -> None:
    """Refuse a component that the asset's model does not have.

    Raises:
        Problem: 422 naming the field.
    """
    key = {"asset_id": asset["asset_id"], "component": component}
    if await (await call.connection.execute(SQL["component_of_asset"], key)).fetchone() is None:
        rows = await (await call.connection.execute(SQL["components_of_asset"], key)).fetchall()
        known = ", ".join(row["name"] for row in rows) or "none"
        raise Problem.bad_field(field, f"{asset['serial']} has no component {component}; its model has: {known}")


async def get_ticket(call: Call, ticket_id: int) -> DictRow:
    """One ticket.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_ticket"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def list_tickets(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Tickets that fit, in ascending order of their number; none when the serial number is unknown.

    Args:
        call: Whose connection is used.
        wanted: `states`, `kind`, `serial`, `component`, `needs_job` (None: any), `after_id`, `fetch`.
    """
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_tickets"], wanted, prepare=False)).fetchall()


async def append_event(call: Call, ticket_id: int, kind: str, detail: Mapping[str, Any]) -> None:
    """Write a line into a ticket's history."""
    values = {"ticket_id": ticket_id, "now": call.now, "actor": call.principal.name, "kind": kind}
    await call.connection.execute(SQL["insert_event"], {**values, "detail": Jsonb(dict(detail))})


async def change_ticket(call: Call, ticket_id: int, change: TicketChange, version: int) -> DictRow:
    """Change a ticket that is still at the version seen; its history tells what was there before.

    Raises:
        Problem: 404, or 412 when it changed meanwhile.
    """
    seen = await _lock(call, ticket_id)
    if seen["version"] != version:
        raise changed_meanwhile("ticket", version)
    given = change.model_dump(include=change.model_fields_set)
    changed = {name: value for name, value in given.items() if seen[name] != value}
    if changed:
        await call.connection.execute(SQL["change_ticket"], {**seen, **changed})
        written = change.model_dump(mode="json", include=set(changed))
        before = TicketChange.model_construct(**seen).model_dump(mode="json", include=set(changed))
        detail = {name: {"from": before[name], "to": written[name]} for name in changed}
        await append_event(call, ticket_id, "changed", detail)
    return await get_ticket(call, ticket_id)


async def transition(call: Call, ticket_id: int, wish: NewTransition) -> DictRow:
    """Move a ticket by hand.

    Raises:
        Problem: 404; 409 when the table has no such move or a job of the ticket is still open; 422 for an outcome that
            does not fit.
    """
    seen = await _lock(call, ticket_id)
    misfit = rules.misfit_of_outcome(seen["kind"], wish.to, wish.outcome)
    if misfit is not None:
        raise Problem.bad_field("body.outcome", misfit)
    if wish.to in rules.OVER and rules.may_move(seen["state"], wish.to):
        # Else a technician would drive to a case that is over.
        job = await (await call.connection.execute(SQL["open_job"], {"ticket_id": ticket_id})).fetchone()
        if job is not None:
            message = f"job {job['job_id']} of ticket {ticket_id} is open; complete or cancel the job first"
            raise Problem.conflict("job-open", message, job_id=job["job_id"])
    return await _move(call, seen, wish.to, wish.outcome, {"reason": wish.reason} if wish.reason else {})


async def move_ticket(
    call: Call, ticket_id: int, to: str, *, outcome: str | None = None, detail: Mapping[str, Any] | None = None
) -> DictRow:
    """Move a ticket on behalf of other work; one that is there already stays as it is.

    Args:
        call: Whose transaction holds the move.
        ticket_id: Locked until the transaction ends.
        to: Its new state.
        outcome: What was found, when it is resolved.
        detail: Goes to its history.

    Returns:
        The ticket.

    Raises:
        Problem: 404, or 409 when the table has no such move.
    """
    seen = await _lock(call, ticket_id)
    if seen["state"] == to:
        return await get_ticket(call, ticket_id)
    return await _move(call, seen, to, outcome, detail or {})


async def _lock(call: Call, ticket_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_ticket"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def _move(call: Call, seen: DictRow, to: str, outcome: str | None, detail: Mapping[str, Any]) -> DictRow:
    """Move a ticket that is locked."""
    ticket_id, from_state = seen["ticket_id"], seen["state"]
    if not rules.may_move(from_state, to):
        targets = rules.targets_of(from_state)
        where = f"from there it goes to: {', '.join(targets)}" if targets else "that is final"
        raise Problem.conflict(
            "ticket-state",
            f"ticket {ticket_id} is {from_state} and cannot become {to}; {where}",
            state=from_state,
            allowed=targets,
        )
    values = {"ticket_id": ticket_id, "from": from_state, "to": to, "outcome": outcome, "now": call.now}
    try:
        async with call.connection.transaction():
            await call.connection.execute(SQL["move_ticket"], {**values, "over": to in rules.OVER})
    except psycopg.errors.UniqueViolation as error:
        other = await (await call.connection.execute(SQL["lock_open_case"], seen)).fetchone()
        other_id = other["ticket_id"] if other else None
        message = f"ticket {other_id} is the open case of {seen['cause']} by now; go on there"
        raise Problem.conflict("case-open", message, ticket_id=other_id) from error
    line = {**detail, "from": from_state, "to": to} | ({"outcome": outcome} if outcome else {})
    await append_event(call, ticket_id, "state", line)
    ticket = await get_ticket(call, ticket_id)
    if to == "resolved":
        await _announce_resolved(call, ticket)
    return ticket


# What the customer hears ------------------------------------------------------------------------


async def _announce_opened(call: Call, ticket: DictRow, term: DictRow | None) -> None:
    message = rules.opening_message(
        ticket["kind"],
        await _machine(call, ticket["asset_id"]),
        ticket_id=ticket["ticket_id"],
        title=ticket["title"],
        description=ticket["description"],
        component=ticket["component"],
        due_by=ticket["due_by"],
        warranty_ends_on=None if term is None else term["ends_on"],
    )
    topic = "ticket.opened" if term is None else "warranty.expiring"
    await _announce(call, ticket, topic, f"ticket:{ticket['ticket_id']}:opened", message)


async def _announce_resolved(call: Call, ticket: DictRow) -> None:
    machine = await _machine(call, ticket["asset_id"])
    message = rules.resolved_message(
        machine, ticket_id=ticket["ticket_id"], title=ticket["title"], outcome=ticket["outcome"]
    )
    # A case opened again is resolved again: each time is a cause of its own.
    await _announce(
        call, ticket, "ticket.resolved", f"ticket:{ticket['ticket_id']}:resolved:{ticket['version']}", message
    )


async def _announce(call: Call, ticket: DictRow, topic: str, cause: str, message: rules.Message) -> None:
    payload = {name: value for name, value in ticket.items() if name != "asset_id"}
    await announce(
        call,
        topic=topic,
        cause=cause,
        asset_id=ticket["asset_id"],
        subject=message.subject,
        body=message.body,
        payload=payload,
    )


async def _machine(call: Call, asset_id: int) -> Machine:
    row = await (await call.connection.execute(SQL["describe_machine"], {"asset_id": asset_id})).fetchone()
    if row is None:
        raise LookupError(f"asset {asset_id} is gone")
    return Machine(**row)
