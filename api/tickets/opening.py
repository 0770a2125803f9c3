"""Opening a case, in as few round trips as can be: one question, one write.

All that an opening must know comes by one statement, is judged here, and all that it writes goes by another one; the
answer is put together from what was written, without reading it again.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import as_payload
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.sla import service as sla
from api.tickets import rules
from api.tickets.models import NewTicket
from api.tickets.repository import SQL, append_event, get_ticket, one
from api.tickets.rules import Machine, Wish

# How often an open case may vanish while we look for it; each time takes another caller who ends it just then.
ATTEMPTS = 5


async def open_ticket(call: Call, body: NewTicket) -> tuple[DictRow, bool]:
    """Open a case, or add the evidence to the open case of that asset and cause.

    Returns:
        The ticket, and whether it was opened now.

    Raises:
        Problem: 422 naming the field that is unknown or contradicts another one.
    """
    found = await _look_up(call, body)
    await _judge(call, body, found)
    ticket = _as_written(call, body, found)
    values = {
        **ticket,
        "now": call.now,
        "evidence": Jsonb(body.evidence),
        "detail": Jsonb({"kind": body.kind, "cause": ticket["cause"]}),
        **_alert(call, ticket, found),
    }
    for _ in range(ATTEMPTS):
        # A scoped caller's case has just been judged to be their own.
        async with call.unscoped():
            inserted = await one(call, "insert_ticket", values)
            if inserted is not None:
                await sla.start(call, ticket, found["sla_revision"])
        if inserted is not None:
            return ticket, True
        ticket_id = await _existing_case(call, ticket, body)
        if ticket_id is not None:
            return await get_ticket(call, ticket_id), False
    raise Problem(
        503, "busy", "the case was opened and ended at the same time; try again", headers={"Retry-After": "1"}
    )


async def require_component(
    call: Call, asset: Mapping[str, Any], component: str, field: str = "body.component"
) -> None:
    """Refuse a component that the asset's model does not have.

    Args:
        call: Whose connection is used.
        asset: Its `asset_id` and `serial`.
        component: What was named.
        field: Where.

    Raises:
        Problem: 422 naming the field.
    """
    key = {"asset_id": asset["asset_id"], "component": component}
    if await one(call, "component_of_asset", key) is None:
        rows = await (await call.connection.execute(SQL["components_of_asset"], key)).fetchall()
        known = ", ".join(row["name"] for row in rows) or "none"
        raise Problem.bad_field(field, f"{asset['serial']} has no component {component}; its model has: {known}")


async def _look_up(call: Call, body: NewTicket) -> DictRow:
    asked = {
        "serial": body.serial,
        "component": body.component,
        "customer_id": body.customer_id,
        "contact_id": body.contact_id,
        "term_id": body.term_id,
        "kind": body.kind,
        "service_mode": body.service_mode,
        "priority": body.priority,
        "topic": _topic(body),
    }
    found = await one(call, "look_up_opening", asked)
    if found is None:
        raise LookupError("look_up_opening always has a row")
    return found


async def _judge(call: Call, body: NewTicket, found: DictRow) -> None:
    """Refuse what is unknown or contradicts itself."""
    if body.serial is not None and found["asset_id"] is None:
        raise Problem.bad_field("body.serial", f"there is no asset {body.serial}; POST /v1/assets first")
    if body.component is not None and body.serial is not None and not found["has_component"]:
        await require_component(call, {**found, "serial": body.serial}, body.component)
    customer_id = body.customer_id or found["owner_id"] or call.principal.customer_id
    misfit = rules.misfit_of_new(
        Wish(
            kind=body.kind,
            service_mode=body.service_mode,
            serial=body.serial,
            customer_id=customer_id,
            component=body.component,
            cause=body.cause,
            term_id=body.term_id,
            by_customer=call.principal.customer_id is not None,
            with_evidence=bool(body.evidence),
        )
    )
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    if body.customer_id is not None and found["named_customer_id"] is None:
        raise Problem.bad_field("body.customer_id", f"there is no customer {body.customer_id}")
    if body.contact_id is not None and (customer_id is None or found["contact_customer_id"] != customer_id):
        raise Problem.bad_field("body.contact_id", f"customer {customer_id} has no contact {body.contact_id}")
    if body.term_id is not None and found["term_asset_id"] != found["asset_id"]:
        message = f"{body.serial} has no warranty term {body.term_id}; GET /v1/warranty-terms lists them"
        raise Problem.bad_field("body.term_id", message)


def _as_written(call: Call, body: NewTicket, found: DictRow) -> dict[str, Any]:
    """The ticket as it will be read."""
    return {
        "ticket_id": found["ticket_id"],
        "kind": body.kind,
        "service_mode": body.service_mode,
        "state": rules.MACHINE.initial,
        "priority": body.priority,
        "asset_id": found["asset_id"],
        "serial": body.serial,
        "customer_id": body.customer_id or found["owner_id"] or call.principal.customer_id,
        "customer_kind": found["customer_kind"],
        "contact_id": body.contact_id,
        "provider_id": call.principal.provider_id,
        "component": body.component,
        "cause": body.cause if body.term_id is None else rules.warranty_cause(body.term_id),
        "title": body.title,
        "description": body.description,
        "raised_by": call.principal.name,
        "opened_at": call.now,
        "updated_at": call.now,
        "due_by": body.due_by,
        "closed_at": None,
        "outcome": None,
        "evidence": body.evidence,
        "term_id": body.term_id,
        "owner_user_id": None,
        "queue": found["queue"] if body.queue is None or call.principal.customer_id is not None else body.queue,
        "tags": [] if call.principal.customer_id is not None else sorted(body.tags),
        "reopened_count": 0,
        "merged_into": None,
        "job_id": None,
        "version": 1,
    }


def _alert(call: Call, ticket: Mapping[str, Any], found: DictRow) -> dict[str, Any]:
    """The customer's alert, as parameters of the statement that opens the case; None where nobody listens."""
    values: dict[str, Any] = dict.fromkeys(
        ("alert_topic", "alert_cause", "alert_subject", "alert_body", "alert_payload")
    )
    # Who listens is not for scoped callers to see.
    if not found["heard"] and not call.principal.scoped:
        return values
    machine = None
    if found["asset_id"] is not None:
        machine = Machine(ticket["serial"], found["model_name"], found["site_name"])
    message = rules.opening_message(
        ticket["kind"],
        machine,
        ticket_id=ticket["ticket_id"],
        title=ticket["title"],
        description=ticket["description"],
        component=ticket["component"],
        due_by=ticket["due_by"],
        warranty_ends_on=found["warranty_ends_on"],
        service_mode=ticket["service_mode"],
    )
    told = {name: value for name, value in ticket.items() if name not in {"asset_id", "customer_kind"}}
    return {
        "alert_topic": "ticket.opened" if ticket["term_id"] is None else "warranty.expiring",
        "alert_cause": f"ticket:{ticket['ticket_id']}:opened",
        "alert_subject": message.subject,
        "alert_body": message.body,
        "alert_payload": as_payload(told),
    }


def _topic(body: NewTicket) -> str:
    return "ticket.opened" if body.term_id is None else "warranty.expiring"


async def _existing_case(call: Call, ticket: Mapping[str, Any], body: NewTicket) -> int | None:
    """The case that a report belongs to, with the report in its history; None when it has just ended."""
    row = await one(call, "lock_open_case" if body.term_id is None else "ticket_of_term", ticket)
    if row is None:
        return None
    if row["state"] not in rules.OVER:
        detail = body.model_dump(mode="json", include={"kind", "title", "description", "evidence"})
        await append_event(call, row["ticket_id"], "evidence", detail)
    return int(row["ticket_id"])
