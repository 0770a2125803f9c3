"""Two customers and two partners, each with things of their own: "we", who call, and strangers.

Whatever is made for strangers has numbers from 900001 on, and "stranger" in its texts; so what shows any of it gives
itself away, whatever its form.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from api.conventions.authentication import hash_key
from api.conventions.roles import Role
from tests.api.access.stranger_parts import AT, bought_and_taken_out, one, settled, stores, tools

THEIRS_FROM = 900_001
SERIAL = "STRANGER-1"

# What a stranger has, by its name in paths. A new name in the path of a GET needs an entry here or in `ids`.
COMMANDS = ("0dd0feed-0000-4000-8000-000000000000", "f00dfeed-0000-4000-8000-000000000000")
PATHS = {"serial": SERIAL, "agent_id": SERIAL, "command_id": COMMANDS[True], "warehouse": "stranger-store"}


@dataclass(frozen=True)
class Belonging:
    """Whom somebody is, by number."""

    customer_id: int
    provider_id: int
    technician_id: int
    ids: dict[str, Any]


@dataclass(frozen=True)
class World:
    """Both sides, and our keys by role."""

    ours: Belonging
    theirs: Belonging
    keys: dict[Role, str]


def make_world(connection: Connection) -> World:
    """Fill a database with both sides.

    Args:
        connection: Of the owner, in autocommit mode.
    """
    _catalogue(connection)
    ours = _things(connection, "ours", "OURS-1")
    _restart_numbers(connection)
    theirs = _things(connection, "stranger", SERIAL)
    keys: dict[Role, str] = {}
    tied: tuple[tuple[Role, str, int], ...] = (
        ("customer", "customer_id", ours.customer_id),
        ("partner_manager", "provider_id", ours.provider_id),
        ("technician", "provider_id", ours.provider_id),
    )
    for role, column, value in tied:
        keys[role] = f"ck_{uuid.uuid4().hex}"
        connection.execute(
            f"INSERT INTO service.api_key (name, role, key_hash, created_at, {column}) VALUES (%s, %s, %s, %s, %s)",
            (f"our-{role}", role, hash_key(keys[role]), AT, value),
        )
    return World(ours, theirs, keys)


def _restart_numbers(connection: Connection) -> None:
    columns = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'service' AND is_identity = 'YES'"
    ).fetchall()
    for row in columns:
        connection.execute(
            f"ALTER TABLE service.{row['table_name']} ALTER COLUMN {row['column_name']} RESTART WITH {THEIRS_FROM}"
        )


def _catalogue(connection: Connection) -> None:
    """What both sides share."""
    model = one(connection, "product_model", {"code": "HD-5", "name": "HD 5", "kind": "washer"}, "model_id")
    part = one(connection, "part", {"sku": "PUMP", "name": "Pump"}, "part_id")
    one(connection, "component", {"model_id": model, "name": "pump", "part_id": part}, "component_id")
    plan = {"name": "Oil", "model_id": model, "trigger_kind": "calendar", "every_days": 90, "created_at": AT}
    one(connection, "plan", plan, "plan_id")
    hub = one(connection, "warehouse", {"code": "HUB", "name": "Hub", "kind": "central"}, "warehouse_id")
    price = {"part_id": part, "level": "stranger", "currency": "EUR", "price_minor": 1, "valid_from": "2026-01-01"}
    for kind in ("partner", "internal"):
        recorded = {"recorded_by": "stranger", "recorded_at": AT}
        one(connection, "part_price", {**price, "kind": kind, **recorded})
    one(connection, "stock", {"warehouse_id": hub, "part_id": part, "on_hand": 10, "reserved": 2})


def _things(connection: Connection, who: str, serial: str) -> Belonging:
    """One side: a customer with a machine and a case, a partner with a technician who goes there."""
    ids = _people(connection, who)
    ids |= _machine(connection, who, serial, ids)
    ids |= _work(connection, who, ids)
    ticket, asset, customer = ids["ticket_id"], ids["asset_id"], ids["customer_id"]
    ids |= _money(connection, who, ticket)
    ids |= stores(connection, who, ids["provider_id"])
    ids |= _covered_and_refused(connection, who, asset, customer, ticket)
    ids |= _said_and_promised(connection, who, ticket, customer)
    ids |= tools(connection, who, ids)
    ids |= bought_and_taken_out(connection, who, ids)
    repair = {"ticket_id": ticket, "asset_id": asset, "mode": "mail_in", "labour_hour_minor": 1, "currency": "EUR"}
    opened = {"business_days": "{}", "opened_at": AT, "opened_by": who, "diagnosis": f"{who} fault"}
    ids["repair_id"] = one(connection, "repair", {**repair, **opened}, "repair_id")
    asked = {"ticket_id": ticket, "customer_id": customer, "state": "answered", "score": 1, "comment": f"{who} comment"}
    times = {"asked_at": AT, "expires_at": AT, "answered_at": AT}
    done_by = {"provider_id": ids["provider_id"], "technician_id": ids["technician_id"]}
    ids["satisfaction_id"] = one(connection, "satisfaction", {**asked, **times, **done_by}, "satisfaction_id")
    ids |= settled(connection, who, ids)
    return Belonging(customer, ids["provider_id"], ids["technician_id"], ids)


def _people(connection: Connection, who: str) -> dict[str, int]:
    """A customer, and a partner with its people; by names in paths."""
    customer = one(connection, "customer", {"name": f"{who} customer"}, "customer_id")
    one(connection, "contact", {"customer_id": customer, "name": f"{who} contact", "created_at": AT}, "contact_id")
    partner = {"code": f"{who}-partner", "name": f"{who} partner", "created_at": AT}
    provider = one(connection, "provider", partner, "provider_id")
    one(connection, "provider_territory", {"provider_id": provider, "territory": f"{who}-land"})
    contact = {"provider_id": provider, "name": f"{who} contact"}
    provider_contact = one(connection, "provider_contact", contact, "provider_contact_id")
    fitter = {"name": f"{who} technician", "skills": ["general"], "territories": ["default"], "provider_id": provider}
    user = {"login": f"{who}@example.com", "name": f"{who} user", "role": "partner_manager", "provider_id": provider}
    return {
        "customer_id": customer,
        "site_id": one(connection, "site", {"customer_id": customer, "name": f"{who} site"}, "site_id"),
        "provider_id": provider,
        "provider_contact_id": provider_contact,
        "contact_id": provider_contact,
        "technician_id": one(connection, "technician", fitter, "technician_id"),
        "user_id": one(connection, "app_user", {**user, "created_at": AT}, "user_id"),
    }


def _machine(connection: Connection, who: str, serial: str, ids: dict[str, int]) -> dict[str, int]:
    """A machine of the customer's, with a warranty and a past."""
    made = {"serial": serial, "model_id": 1, "installed_at": AT, "created_at": AT}
    whose = {"site_id": ids["site_id"], "customer_id": ids["customer_id"]}
    asset = one(connection, "asset", {**made, **whose}, "asset_id")
    failure = {"asset_id": asset, "component": "pump", "failed_at": AT, "recorded_at": AT}
    one(connection, "failure", failure, "failure_id")
    replacement = {"asset_id": asset, "component": "pump", "replaced_at": AT, "reason": "failure", "recorded_at": AT}
    one(connection, "replacement", replacement, "replacement_id")
    values = {"online": True, "agent_version": "1", "changed_at": AT, "detail": f'{{"seen": "{who}"}}'}
    one(connection, "telemetry.agent_state", {"agent_id": serial, **values})
    one(connection, "telemetry.event", {"time": AT, "asset_id": asset, "code": f"{who}-error"})
    config = {"agent_id": serial, "settings": "{}", "hash": who, "changed_at": AT, "changed_by": who}
    one(connection, "agent_config", config)
    command = {"agent_id": serial, "kind": "self_test", "issued_at": AT, "issued_by": who}
    number = COMMANDS[serial == SERIAL]
    one(connection, "agent_command", {**command, "command_id": number, "expires_at": "2026-07-01T09:00:00Z"})
    term = {"asset_id": asset, "name": f"{who} term", "starts_on": "2026-01-01", "ends_on": "2027-12-31"}
    return {"asset_id": asset, "term_id": one(connection, "warranty_term", term, "term_id")}


def _work(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """A case of the machine, given to the partner, with a job, a part kept for it, and a visit."""
    case = {"kind": "repair", "asset_id": ids["asset_id"], "title": f"{who} case", "raised_by": who, "opened_at": AT}
    whose = {"customer_id": ids["customer_id"], "provider_id": ids["provider_id"]}
    ticket = one(connection, "ticket", {**case, **whose}, "ticket_id")
    event = {"ticket_id": ticket, "at": AT, "actor": who, "kind": "opened"}
    one(connection, "ticket_event", event, "ticket_event_id")
    job = {"asset_id": ids["asset_id"], "ticket_id": ticket, "skill": "general", "labour_minutes": 60, "created_at": AT}
    job_id = one(connection, "job", {**job, "instructions": f"{who} job"}, "job_id")
    one(connection, "job_part", {"job_id": job_id, "part_id": 1, "quantity": 1})
    one(connection, "job", {**job, "ticket_id": None, "plan_id": 1, "occurrence": 1}, "job_id")
    kept = {"job_id": job_id, "part_id": 1, "warehouse_id": 1, "quantity": 1, "available_at": AT, "created_at": AT}
    visit = {"job_id": job_id, "technician_id": ids["technician_id"], "starts_at": AT, "dispatched_at": AT}
    wanted = {"ticket_id": ticket, "job_id": job_id, "part_id": 1, "quantity": 1, "needed_by": AT, "created_at": AT}
    refused = {"priority": "high", "state": "refused", "reason": f"{who} has none"}
    return {
        "ticket_id": ticket,
        "job_id": job_id,
        "reservation_id": one(connection, "reservation", kept, "reservation_id"),
        "part_demand_id": one(connection, "part_demand", {**wanted, **refused}, "part_demand_id"),
        **_visit(connection, who, {**visit, "ends_at": "2026-07-01T09:00:00Z"}, ids["provider_id"]),
    }


def _money(connection: Connection, who: str, ticket: int) -> dict[str, int]:
    """What is asked and paid for a case."""
    prices = {
        "name": f"{who} prices",
        "currency": "EUR",
        "valid_from": "2026-01-01",
        "provider_level": who,
        "labour_hour_minor": 1,
        "labour_step_minutes": 15,
        "travel_km_minor": 1,
        "part_factor_bp": 10_000,
        "minimum_charge_minor": 0,
        "tax_rate_bp": 0,
        "created_at": AT,
        "created_by": who,
    }
    quote = {
        "ticket_id": ticket,
        "revision": 1,
        "state": "sent",
        "price_list_id": one(connection, "price_list", prices, "price_list_id"),
        "currency": "EUR",
        "net_minor": 100,
        "tax_rate_bp": 0,
        "tax_minor": 0,
        "gross_minor": 100,
        "borne_minor": 0,
        "warranty": "{}",
        "valid_days": 14,
        "valid_until": "2099-01-01T00:00:00Z",
        "text": f"{who} quote",
        "text_sha256": "0" * 64,
        "created_at": AT,
        "created_by": who,
        "sent_at": AT,
    }
    payment = {"ticket_id": ticket, "provider": "till", "external_reference": f"{who}-1", "state": "authorised"}
    paid = {"amount_minor": 100, "currency": "EUR", "at": AT, "recorded_by": who}
    return {
        "quote_id": one(connection, "quote", quote, "quote_id"),
        "payment_id": one(connection, "payment", {**payment, **paid}, "payment_id"),
    }


def _covered_and_refused(connection: Connection, who: str, asset: int, customer: int, ticket: int) -> dict[str, int]:
    """What is bought, proved, granted and refused about a machine's warranty."""
    product = {"code": f"{who}-card", "name": "Card", "kind": "plan", "price_minor": 1, "currency": "EUR", "months": 12}
    terms = {"starts": "activation", "activate_within_days": 9, "human_damage": "free", "created_at": AT}
    product_id = one(connection, "cover_product", {**product, **terms}, "product_id")
    sold = {"product_id": product_id, "customer_id": customer, "asset_id": asset, "invoice_number": f"{who}-invoice"}
    price = {"price_minor": 1, "currency": "EUR", "sold_at": AT, "sold_by": who, "activate_by": AT}
    bought = {"asset_id": asset, "purchased_on": AT, "seller": who, "submitted_at": AT, "submitted_by": who}
    one(connection, "warranty_purchase", bought)
    days = {"asset_id": asset, "state": "requested", "days": 9, "cost_minor": 1, "currency": "EUR", "reason": who}
    one(connection, "warranty_extension", {**days, "asked_at": AT, "asked_by": who})
    denial = {"asset_id": asset, "ticket_id": ticket, "reasons": ["misuse"], "evidence": "{}", "denied_at": AT}
    return {
        "contract_id": one(connection, "cover_contract", {**sold, **price}, "contract_id"),
        "denial_id": one(
            connection, "warranty_denial", {**denial, "customer_text": who, "denied_by": who}, "denial_id"
        ),
    }


def _said_and_promised(connection: Connection, who: str, ticket: int, customer: int) -> dict[str, int]:
    """What is said, shown, timed and escalated in a case; by names in paths."""
    content = {"owner": f"key:{who}", "sha256": who.encode().ljust(32), "content": who.encode()}
    one(connection, "file_content", content)
    file = {**content, "name": f"{who}.txt", "media_type": "text/plain", "size_bytes": len(who), "uploaded_by": who}
    del file["content"]
    attached = {"ticket_id": ticket, "customer_id": customer, "at": AT, "attached_at": AT}
    file_id = one(connection, "file", {**file, **attached}, "file_id")
    said = {"ticket_id": ticket, "author_key": f"key:{who}", "author_name": who, "author_kind": "user", "at": AT}
    for audience in ("partner", "staff"):
        note = {"direction": "note", "audience": audience, "channel": "internal", "body": f"{who} note"}
        one(connection, "message", {**said, **note}, "message_id")
    message = {"direction": "in", "audience": "all", "channel": "portal", "body": f"{who} message"}
    message_id = one(connection, "message", {**said, **message}, "message_id")
    one(connection, "message_file", {"message_id": message_id, "file_id": file_id})
    one(connection, "conversation", {"ticket_id": ticket, "awaiting_since": AT})
    hours = {"code": f"{who}-hours", "name": "Hours", "time_zone": "UTC", "week": "[[],[],[],[],[],[],[[0,1440]]]"}
    calendar = one(connection, "calendar", {**hours, "created_at": AT}, "calendar_id")
    policy = {"name": f"{who} policy", "place": 1, "calendar_id": calendar, "solution_minutes": 60, "active": False}
    policy_id = one(connection, "sla_policy", policy, "policy_id")
    clock = {"policy_id": policy_id, "calendar_id": calendar, "calendar_version": 1, "target_minutes": 60}
    times = {"kind": "solution", "warn_percent": 80, "started_at": AT, "due_at": AT}
    clock_id = one(connection, "ticket_clock", {"ticket_id": ticket, **clock, **times}, "clock_id")
    step = '[{"on": "breach", "role": "desk_lead"}]'
    ladder = one(connection, "escalation_ladder", {"name": f"{who} ladder", "place": 1, "steps": step}, "ladder_id")
    escalated = {"ticket_id": ticket, "ladder_id": ladder, "cause": "clock:solution", "clock_id": clock_id}
    escalation_id = one(connection, "escalation", {**escalated, "steps": step, "opened_at": AT}, "escalation_id")
    return {
        "file_id": file_id,
        "message_id": message_id,
        "policy_id": policy_id,
        "escalation_id": escalation_id,
        "ladder_id": ladder,
    }


def _visit(connection: Connection, who: str, visit: dict[str, Any], provider_id: int) -> dict[str, int]:
    """A visit with an appointment that was offered, its report, and the audit of it."""
    visit_id = one(connection, "visit", visit, "visit_id")
    slot = {name: visit[name] for name in ("technician_id", "starts_at", "ends_at")}
    one(connection, "visit_slot", {**slot, "visit_id": visit_id, "offered_at": AT}, "slot_id")
    frozen = '{"bill": null, "warranty": null, "asset_before": null, "asset_after": null, "made": []}'
    report = {"visit_id": visit_id, "content": f'{{"findings": "{who}"}}', "frozen": frozen, "frozen_at": AT}
    one(connection, "visit_report", {**report, "written_by": who, "written_at": AT})
    audited = {"visit_id": visit_id, "provider_id": provider_id, "technician_id": visit["technician_id"]}
    refused = {"completed_at": AT, "state": "rejected", "runs": 1, "first_verdict": "rejected"}
    check_id = one(connection, "completion_check", {**audited, **refused}, "completion_check_id")
    return {"visit_id": visit_id, "completion_check_id": check_id}


def shows_theirs(text: str) -> str | None:
    """What of a stranger's an answer shows, if anything."""
    found = re.search(r"(?<![\d.])9000\d\d(?![\d.])|stranger\S*", text, re.IGNORECASE)
    return found[0] if found else None
