"""What is done with a ticket: changed, moved, claimed, assigned.

Other rooms open cases, move them and write their history by the functions of this module.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.conventions.roles import Role
from api.sla import service as sla
from api.tickets import rules
from api.tickets.models import Assignment, NewTransition, TicketChange
from api.tickets.opening import open_ticket, require_component
from api.tickets.repository import SQL, append_event, get_ticket, lock_ticket, machine_of, one, require_no_work

__all__ = [
    "append_event", "assign", "change_ticket", "claim", "get_ticket", "lock_ticket", "move_ticket", "open_ticket",
    "release", "require_component", "seen", "transition",
]  # fmt: skip

# Who may take a case away from somebody else.
_LEADS: frozenset[Role] = frozenset({"admin", "desk_lead", "dispatcher"})
# What of a case is the maker's business: what it measured and reckoned, and how it organises its work.
_WITHHELD: Mapping[str, Any] = {"evidence": {}, "cause": "", "tags": [], "queue": None, "owner_user_id": None}
# What customers read of the history, and of each line.
EVENTS_OF_CUSTOMERS = ["opened", "state", "merged"]
_DETAILS_OF_CUSTOMERS = frozenset({"from", "to", "kind", "outcome", "into"})


def seen(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    """A ticket as the caller may read it: only what answers have, and for customers without the maker's business."""
    ticket = {name: value for name, value in row.items() if name not in {"asset_id", "customer_kind"}}
    return {**ticket, **_WITHHELD} if call.principal.customer_id is not None else ticket


async def list_events(call: Call, ticket_id: int, page: Mapping[str, int]) -> list[DictRow]:
    """A ticket's history as the caller may read it.

    Raises:
        Problem: 404.
    """
    await get_ticket(call, ticket_id)
    by_customer = call.principal.customer_id is not None
    values = {**page, "ticket_id": ticket_id, "kinds": EVENTS_OF_CUSTOMERS if by_customer else None}
    lines = await (await call.connection.execute(SQL["list_events"], values)).fetchall()
    if by_customer:
        for line in lines:
            line["detail"] = {name: line["detail"][name] for name in _DETAILS_OF_CUSTOMERS & set(line["detail"])}
    return lines


# Changes ----------------------------------------------------------------------------------------


async def change_ticket(call: Call, ticket_id: int, change: TicketChange, version: int) -> DictRow:
    """Change a ticket that is still at the version seen; its history tells what was there before.

    Raises:
        Problem: 404; 412 when it changed meanwhile; 422 for a mode or a contact that does not fit.
    """
    found = await lock_ticket(call, ticket_id)
    if found["version"] != version:
        raise changed_meanwhile("ticket", version)
    before = {**found, "tags": await _tags(call, ticket_id)}
    given = change.model_dump(include=change.model_fields_set)
    if "tags" in given:
        given["tags"] = sorted(given["tags"])
    changed = {name: value for name, value in given.items() if before[name] != value}
    if changed:
        await _require_fitting(call, found, changed)
        await call.connection.execute(SQL["change_ticket"], {**found, **changed})
        if "tags" in changed:
            await _set_tags(call, ticket_id, before["tags"], changed["tags"])
        written = change.model_dump(mode="json", include=set(changed))
        was = TicketChange.model_construct(**before).model_dump(mode="json", include=set(changed))
        detail = {name: {"from": was[name], "to": written[name]} for name in changed}
        await append_event(call, ticket_id, "changed", detail)
    ticket = await get_ticket(call, ticket_id)
    if changed.keys() & {"priority", "queue"}:
        await sla.changed(call, ticket)
    return ticket


async def _require_fitting(call: Call, found: DictRow, changed: Mapping[str, Any]) -> None:
    mode = changed.get("service_mode")
    modes = rules.MODES.get(found["kind"], frozenset())
    if mode is not None and mode not in modes:
        fitting = ", ".join(sorted(modes)) or "none"
        raise Problem.bad_field("body.service_mode", f"a ticket of kind {found['kind']} has: {fitting}")
    contact_id = changed.get("contact_id")
    if contact_id is not None:
        key = {"contact_id": contact_id, "customer_id": found["customer_id"]}
        if await one(call, "contact_of_customer", key) is None:
            message = f"customer {found['customer_id']} has no contact {contact_id}"
            raise Problem.bad_field("body.contact_id", message)


async def _tags(call: Call, ticket_id: int) -> list[str]:
    rows = await (await call.connection.execute(SQL["tags_of"], {"ticket_id": ticket_id})).fetchall()
    return [row["tag"] for row in rows]


async def _set_tags(call: Call, ticket_id: int, before: list[str], after: list[str]) -> None:
    gone = {"ticket_id": ticket_id, "tags": [tag for tag in before if tag not in after]}
    await call.connection.execute(SQL["delete_tags"], gone)
    await call.connection.execute(SQL["insert_tags"], {"ticket_id": ticket_id, "tags": after})


# Whose it is ------------------------------------------------------------------------------------


async def claim(call: Call, ticket_id: int) -> DictRow:
    """Make a case one's own; of two at once one wins, and again changes nothing.

    Raises:
        Problem: 404; 409 `claimed` when it is somebody else's, `ticket-over` when it is over, `no-user` for an API key.
    """
    found = await lock_ticket(call, ticket_id)
    user_id = call.principal.user_id
    if user_id is None:
        raise Problem.conflict("no-user", "a case belongs to somebody; log in instead of using an API key")
    if found["owner_user_id"] == user_id:
        return await get_ticket(call, ticket_id)
    if found["owner_user_id"] is not None:
        owner_id = found["owner_user_id"]
        raise Problem.conflict("claimed", f"ticket {ticket_id} is user {owner_id}'s", owner_user_id=owner_id)
    _require_active(found)
    return await _assign(call, found, {"owner_user_id": user_id}, "claimed", {})


async def release(call: Call, ticket_id: int, reason: str = "") -> DictRow:
    """Give a case back to its queue.

    Raises:
        Problem: 404; 409 `claimed` when it is somebody else's and the caller does not lead.
    """
    found = await lock_ticket(call, ticket_id)
    owner_id = found["owner_user_id"]
    if owner_id is None:
        return await get_ticket(call, ticket_id)
    if owner_id != call.principal.user_id and call.principal.role not in _LEADS:
        raise Problem.conflict("claimed", f"ticket {ticket_id} is user {owner_id}'s", owner_user_id=owner_id)
    return await _assign(call, found, {"owner_user_id": None}, "released", {"reason": reason} if reason else {})


async def assign(call: Call, ticket_id: int, wish: Assignment, version: int | None = None) -> DictRow:
    """Say whose a case is, where it queues, and which partner does the work.

    Raises:
        Problem: 404; 409 `ticket-over`; 412 when it is no longer at the version seen; 422 naming the field.
    """
    found = await lock_ticket(call, ticket_id)
    if version is not None and found["version"] != version:
        raise changed_meanwhile("ticket", version)
    _require_active(found)
    given = wish.model_dump(include=wish.model_fields_set - {"reason"})
    changed = {name: value for name, value in given.items() if found[name] != value}
    owner_id, provider_id = changed.get("owner_user_id"), changed.get("provider_id")
    if owner_id is not None and await one(call, "worker", {"user_id": owner_id}) is None:
        raise Problem.bad_field("body.owner_user_id", f"user {owner_id} does not work here")
    if provider_id is not None and await one(call, "provider_at_work", {"provider_id": provider_id}) is None:
        raise Problem.bad_field("body.provider_id", f"there is no service partner {provider_id} at work")
    if not changed:
        return await get_ticket(call, ticket_id)
    return await _assign(call, found, changed, "assigned", {"reason": wish.reason} if wish.reason else {})


def _require_active(found: DictRow) -> None:
    if found["state"] in rules.OVER:
        number, state = found["ticket_id"], found["state"]
        raise Problem.conflict("ticket-over", f"ticket {number} is {state}; nobody works at it", state=state)


async def _assign(
    call: Call, found: DictRow, changed: Mapping[str, Any], kind: str, detail: Mapping[str, Any]
) -> DictRow:
    await call.connection.execute(SQL["assign_ticket"], {**found, **changed})
    line = {name: {"from": found[name], "to": value} for name, value in changed.items()}
    await append_event(call, found["ticket_id"], kind, {**line, **detail})
    ticket = await get_ticket(call, found["ticket_id"])
    if "queue" in changed:
        await sla.changed(call, ticket)
    return ticket


# Moves ------------------------------------------------------------------------------------------


async def transition(call: Call, ticket_id: int, wish: NewTransition, version: int | None = None) -> DictRow:
    """Move a ticket by hand.

    Raises:
        Problem: 404; 409 when the table has no such move or a job of the ticket is still open; 412 when it is no longer
            at the version seen; 422 for an outcome that does not fit.
    """
    found = await lock_ticket(call, ticket_id)
    if version is not None and found["version"] != version:
        raise changed_meanwhile("ticket", version)
    if wish.to in rules.BY_OWN_CALL:
        raise Problem.bad_field("body.to", rules.BY_OWN_CALL[wish.to])
    misfit = rules.misfit_of_outcome(found["kind"], wish.to, wish.outcome)
    if misfit is not None:
        raise Problem.bad_field("body.outcome", misfit)
    if wish.to in rules.OVER and rules.may_move(found["state"], wish.to):
        await require_no_work(call, ticket_id)
    return await _move(call, found, wish.to, wish.outcome, {"reason": wish.reason} if wish.reason else {})


async def act(call: Call, ticket_id: int, action: str, reason: str) -> DictRow:
    """What customers, and the desk for them, do with a case: confirm (close), reopen, cancel.

    Args:
        call: Whose.
        ticket_id: Which.
        action: Of the table, e.g. `close`.
        reason: Goes to its history.

    Raises:
        Problem: 404; 409 when the table has no such move or somebody works at it still.
    """
    found = await lock_ticket(call, ticket_id)
    to = rules.MACHINE.require(ticket_id, found["state"], action)
    if to in rules.OVER:
        await require_no_work(call, ticket_id)
    return await _move(call, found, to, None, {"reason": reason} if reason else {})


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
    found = await lock_ticket(call, ticket_id)
    if found["state"] == to:
        return await get_ticket(call, ticket_id)
    return await _move(call, found, to, outcome, detail or {})


async def _move(call: Call, found: DictRow, to: str, outcome: str | None, detail: Mapping[str, Any]) -> DictRow:
    """Move a ticket that is locked."""
    ticket_id, from_state = found["ticket_id"], found["state"]
    if not rules.may_move(from_state, to) or to in rules.BY_OWN_CALL:
        targets = [target for target in rules.targets_of(from_state) if target not in rules.BY_OWN_CALL]
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
        other = await one(call, "lock_open_case", found)
        other_id = other["ticket_id"] if other else None
        message = f"ticket {other_id} is the open case of {found['cause']} by now; go on there"
        raise Problem.conflict("case-open", message, ticket_id=other_id) from error
    line = {**detail, "from": from_state, "to": to} | ({"outcome": outcome} if outcome else {})
    await append_event(call, ticket_id, "state", line)
    await sla.on_state(call, ticket_id, from_state, to)
    ticket = await get_ticket(call, ticket_id)
    if to == "resolved":
        await _announce_resolved(call, ticket)
    return ticket


async def correct_outcome(call: Call, ticket_id: int, was: str, outcome: str, why: str) -> bool:
    """Say otherwise what was found, of a case that is over: a later look has shown it.

    Args:
        call: Whose transaction holds it.
        ticket_id: The case.
        was: The only outcome that is corrected; of any other nothing changes.
        outcome: What it is.
        why: For its history.

    Returns:
        Whether it was corrected.
    """
    corrected = await one(call, "correct_outcome", {"ticket_id": ticket_id, "was": was, "outcome": outcome})
    if corrected is None:
        return False
    await append_event(call, ticket_id, "outcome_corrected", {"was": was, "outcome": outcome, "why": why})
    return True


async def _announce_resolved(call: Call, ticket: DictRow) -> None:
    message = rules.resolved_message(
        await machine_of(call, ticket["asset_id"]),
        ticket_id=ticket["ticket_id"],
        title=ticket["title"],
        outcome=ticket["outcome"],
    )
    # A case opened again is resolved again: each time is a cause of its own.
    await announce(
        call,
        topic="ticket.resolved",
        cause=f"ticket:{ticket['ticket_id']}:resolved:{ticket['version']}",
        asset_id=ticket["asset_id"],
        subject=message.subject,
        body=message.body,
        payload={name: value for name, value in ticket.items() if name != "asset_id"},
    )
