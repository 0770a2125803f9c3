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

THEIRS_FROM = 900_001
AT = "2026-07-01T08:00:00Z"
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


def _one(connection: Connection, table: str, values: dict[str, Any], number: str | None = None) -> int:
    """Insert a row, into schema service if it does not say another; its number."""
    table = table if "." in table else f"service.{table}"
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    returning = f" RETURNING {number} AS number" if number else ""
    cursor = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places}){returning}", [*values.values()])
    row = cursor.fetchone() if number else None
    return int(row["number"]) if row else 0


def _catalogue(connection: Connection) -> None:
    """What both sides share."""
    model = _one(connection, "product_model", {"code": "HD-5", "name": "HD 5", "kind": "washer"}, "model_id")
    part = _one(connection, "part", {"sku": "PUMP", "name": "Pump"}, "part_id")
    _one(connection, "component", {"model_id": model, "name": "pump", "part_id": part}, "component_id")
    plan = {"name": "Oil", "model_id": model, "trigger_kind": "calendar", "every_days": 90, "created_at": AT}
    _one(connection, "plan", plan, "plan_id")
    hub = _one(connection, "warehouse", {"code": "HUB", "name": "Hub", "kind": "central"}, "warehouse_id")
    price = {"part_id": part, "level": "stranger", "currency": "EUR", "price_minor": 1, "valid_from": "2026-01-01"}
    for kind in ("partner", "internal"):
        recorded = {"recorded_by": "stranger", "recorded_at": AT}
        _one(connection, "part_price", {**price, "kind": kind, **recorded})
    _one(connection, "stock", {"warehouse_id": hub, "part_id": part, "on_hand": 10, "reserved": 2})


def _things(connection: Connection, who: str, serial: str) -> Belonging:
    """One side: a customer with a machine and a case, a partner with a technician who goes there."""
    ids = _people(connection, who)
    ids |= _machine(connection, who, serial, ids)
    ids |= _work(connection, who, ids)
    ticket, asset, customer = ids["ticket_id"], ids["asset_id"], ids["customer_id"]
    ids |= _money(connection, who, ticket)
    ids |= _stores(connection, who, ids["provider_id"])
    ids |= _covered_and_refused(connection, who, asset, customer, ticket)
    ids |= _said_and_promised(connection, who, ticket, customer)
    ids |= _tools(connection, who, ids)
    ids |= _bought_and_taken_out(connection, who, ids)
    repair = {"ticket_id": ticket, "asset_id": asset, "mode": "mail_in", "labour_hour_minor": 1, "currency": "EUR"}
    opened = {"business_days": "{}", "opened_at": AT, "opened_by": who, "diagnosis": f"{who} fault"}
    ids["repair_id"] = _one(connection, "repair", {**repair, **opened}, "repair_id")
    asked = {"ticket_id": ticket, "customer_id": customer, "state": "answered", "score": 1, "comment": f"{who} comment"}
    times = {"asked_at": AT, "expires_at": AT, "answered_at": AT}
    done_by = {"provider_id": ids["provider_id"], "technician_id": ids["technician_id"]}
    ids["satisfaction_id"] = _one(connection, "satisfaction", {**asked, **times, **done_by}, "satisfaction_id")
    ids |= _settled(connection, who, ids)
    return Belonging(customer, ids["provider_id"], ids["technician_id"], ids)


def _people(connection: Connection, who: str) -> dict[str, int]:
    """A customer, and a partner with its people; by names in paths."""
    customer = _one(connection, "customer", {"name": f"{who} customer"}, "customer_id")
    _one(connection, "contact", {"customer_id": customer, "name": f"{who} contact", "created_at": AT}, "contact_id")
    partner = {"code": f"{who}-partner", "name": f"{who} partner", "created_at": AT}
    provider = _one(connection, "provider", partner, "provider_id")
    _one(connection, "provider_territory", {"provider_id": provider, "territory": f"{who}-land"})
    contact = {"provider_id": provider, "name": f"{who} contact"}
    provider_contact = _one(connection, "provider_contact", contact, "provider_contact_id")
    fitter = {"name": f"{who} technician", "skills": ["general"], "territories": ["default"], "provider_id": provider}
    user = {"login": f"{who}@example.com", "name": f"{who} user", "role": "partner_manager", "provider_id": provider}
    return {
        "customer_id": customer,
        "site_id": _one(connection, "site", {"customer_id": customer, "name": f"{who} site"}, "site_id"),
        "provider_id": provider,
        "provider_contact_id": provider_contact,
        "contact_id": provider_contact,
        "technician_id": _one(connection, "technician", fitter, "technician_id"),
        "user_id": _one(connection, "app_user", {**user, "created_at": AT}, "user_id"),
    }


def _machine(connection: Connection, who: str, serial: str, ids: dict[str, int]) -> dict[str, int]:
    """A machine of the customer's, with a warranty and a past."""
    made = {"serial": serial, "model_id": 1, "installed_at": AT, "created_at": AT}
    whose = {"site_id": ids["site_id"], "customer_id": ids["customer_id"]}
    asset = _one(connection, "asset", {**made, **whose}, "asset_id")
    failure = {"asset_id": asset, "component": "pump", "failed_at": AT, "recorded_at": AT}
    _one(connection, "failure", failure, "failure_id")
    replacement = {"asset_id": asset, "component": "pump", "replaced_at": AT, "reason": "failure", "recorded_at": AT}
    _one(connection, "replacement", replacement, "replacement_id")
    values = {"online": True, "agent_version": "1", "changed_at": AT, "detail": f'{{"seen": "{who}"}}'}
    _one(connection, "telemetry.agent_state", {"agent_id": serial, **values})
    _one(connection, "telemetry.event", {"time": AT, "asset_id": asset, "code": f"{who}-error"})
    config = {"agent_id": serial, "settings": "{}", "hash": who, "changed_at": AT, "changed_by": who}
    _one(connection, "agent_config", config)
    command = {"agent_id": serial, "kind": "self_test", "issued_at": AT, "issued_by": who}
    number = COMMANDS[serial == SERIAL]
    _one(connection, "agent_command", {**command, "command_id": number, "expires_at": "2026-07-01T09:00:00Z"})
    term = {"asset_id": asset, "name": f"{who} term", "starts_on": "2026-01-01", "ends_on": "2027-12-31"}
    return {"asset_id": asset, "term_id": _one(connection, "warranty_term", term, "term_id")}


def _work(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """A case of the machine, given to the partner, with a job, a part kept for it, and a visit."""
    case = {"kind": "repair", "asset_id": ids["asset_id"], "title": f"{who} case", "raised_by": who, "opened_at": AT}
    whose = {"customer_id": ids["customer_id"], "provider_id": ids["provider_id"]}
    ticket = _one(connection, "ticket", {**case, **whose}, "ticket_id")
    event = {"ticket_id": ticket, "at": AT, "actor": who, "kind": "opened"}
    _one(connection, "ticket_event", event, "ticket_event_id")
    job = {"asset_id": ids["asset_id"], "ticket_id": ticket, "skill": "general", "labour_minutes": 60, "created_at": AT}
    job_id = _one(connection, "job", {**job, "instructions": f"{who} job"}, "job_id")
    _one(connection, "job_part", {"job_id": job_id, "part_id": 1, "quantity": 1})
    _one(connection, "job", {**job, "ticket_id": None, "plan_id": 1, "occurrence": 1}, "job_id")
    kept = {"job_id": job_id, "part_id": 1, "warehouse_id": 1, "quantity": 1, "available_at": AT, "created_at": AT}
    visit = {"job_id": job_id, "technician_id": ids["technician_id"], "starts_at": AT, "dispatched_at": AT}
    wanted = {"ticket_id": ticket, "job_id": job_id, "part_id": 1, "quantity": 1, "needed_by": AT, "created_at": AT}
    refused = {"priority": "high", "state": "refused", "reason": f"{who} has none"}
    return {
        "ticket_id": ticket,
        "job_id": job_id,
        "reservation_id": _one(connection, "reservation", kept, "reservation_id"),
        "part_demand_id": _one(connection, "part_demand", {**wanted, **refused}, "part_demand_id"),
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
        "price_list_id": _one(connection, "price_list", prices, "price_list_id"),
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
        "quote_id": _one(connection, "quote", quote, "quote_id"),
        "payment_id": _one(connection, "payment", {**payment, **paid}, "payment_id"),
    }


def _stores(connection: Connection, who: str, provider: int) -> dict[str, int]:
    """A partner's warehouse with something in it, and a count of it."""
    store = {"code": f"{who}-store", "name": f"{who} store", "kind": "partner", "provider_id": provider}
    warehouse = _one(connection, "warehouse", store, "warehouse_id")
    moved = {"part_id": 1, "quantity": 3, "kind": "receipt", "from_place": "supplier", "to_place": "free"}
    cause = {"to_warehouse_id": warehouse, "cause_kind": "note", "cause_key": f"{who} delivery", "at": AT}
    _one(connection, "stock_movement", {**moved, **cause})
    sheet = {"warehouse_id": warehouse, "note": f"{who} count", "opened_by": who, "opened_at": AT}
    count = _one(connection, "stock_count", sheet, "stock_count_id")
    looked = {"counted": 2, "counted_at": AT, "counted_by": who, "counted_key": who, "expected": 3}
    worth = {"cost_minor": 1, "currency": "EUR"}
    _one(connection, "stock_count_line", {"stock_count_id": count, "part_id": 1, **looked, **worth})
    return {"stock_count_id": count, **_ways(connection, who, warehouse)}


def _ways(connection: Connection, who: str, warehouse: int) -> dict[str, int]:
    """When a partner's warehouse is open, how one gets there, and what is on its way."""
    _one(connection, "opening_hours", {"warehouse_id": warehouse, "week": "[[], [], [], [], [], [], []]"})
    closed = {"warehouse_id": warehouse, "day": "2026-07-02", "name": f"{who} holiday", "spans": "[]"}
    _one(connection, "opening_exception", closed)
    _one(connection, "bin", {"warehouse_id": warehouse, "code": f"{who}-bin"})
    way = {"from_warehouse_id": 1, "to_warehouse_id": warehouse}
    costs = {"transit_hours": 1, "currency": "EUR", "shipping_classes": ["normal"], "changed_at": AT, "changed_by": who}
    _one(connection, "lane", {**way, **costs})
    parcel = {"carrier": who, "weight_grams": 1, "freight_minor": 1, "currency": "EUR"}
    sent = {"shipped_at": AT, "shipped_by": who}
    consignment = _one(connection, "consignment", {**way, **parcel, **sent}, "consignment_id")
    pieces = {"part_id": 1, "quantity": 1, "state": "shipped", "cause_kind": "note", "cause_key": f"{who} season"}
    times = {"planned_at": AT, "planned_by": who, "expected_at": AT, "shipped_at": AT, "consignment_id": consignment}
    return {"transfer_id": _one(connection, "transfer", {**way, **pieces, **times}, "transfer_id")}


def _covered_and_refused(connection: Connection, who: str, asset: int, customer: int, ticket: int) -> dict[str, int]:
    """What is bought, proved, granted and refused about a machine's warranty."""
    product = {"code": f"{who}-card", "name": "Card", "kind": "plan", "price_minor": 1, "currency": "EUR", "months": 12}
    terms = {"starts": "activation", "activate_within_days": 9, "human_damage": "free", "created_at": AT}
    product_id = _one(connection, "cover_product", {**product, **terms}, "product_id")
    sold = {"product_id": product_id, "customer_id": customer, "asset_id": asset, "invoice_number": f"{who}-invoice"}
    price = {"price_minor": 1, "currency": "EUR", "sold_at": AT, "sold_by": who, "activate_by": AT}
    bought = {"asset_id": asset, "purchased_on": AT, "seller": who, "submitted_at": AT, "submitted_by": who}
    _one(connection, "warranty_purchase", bought)
    days = {"asset_id": asset, "state": "requested", "days": 9, "cost_minor": 1, "currency": "EUR", "reason": who}
    _one(connection, "warranty_extension", {**days, "asked_at": AT, "asked_by": who})
    denial = {"asset_id": asset, "ticket_id": ticket, "reasons": ["misuse"], "evidence": "{}", "denied_at": AT}
    return {
        "contract_id": _one(connection, "cover_contract", {**sold, **price}, "contract_id"),
        "denial_id": _one(
            connection, "warranty_denial", {**denial, "customer_text": who, "denied_by": who}, "denial_id"
        ),
    }


def _said_and_promised(connection: Connection, who: str, ticket: int, customer: int) -> dict[str, int]:
    """What is said, shown, timed and escalated in a case; by names in paths."""
    content = {"owner": f"key:{who}", "sha256": who.encode().ljust(32), "content": who.encode()}
    _one(connection, "file_content", content)
    file = {**content, "name": f"{who}.txt", "media_type": "text/plain", "size_bytes": len(who), "uploaded_by": who}
    del file["content"]
    attached = {"ticket_id": ticket, "customer_id": customer, "at": AT, "attached_at": AT}
    file_id = _one(connection, "file", {**file, **attached}, "file_id")
    said = {"ticket_id": ticket, "author_key": f"key:{who}", "author_name": who, "author_kind": "user", "at": AT}
    for audience in ("partner", "staff"):
        note = {"direction": "note", "audience": audience, "channel": "internal", "body": f"{who} note"}
        _one(connection, "message", {**said, **note}, "message_id")
    message = {"direction": "in", "audience": "all", "channel": "portal", "body": f"{who} message"}
    message_id = _one(connection, "message", {**said, **message}, "message_id")
    _one(connection, "message_file", {"message_id": message_id, "file_id": file_id})
    _one(connection, "conversation", {"ticket_id": ticket, "awaiting_since": AT})
    hours = {"code": f"{who}-hours", "name": "Hours", "time_zone": "UTC", "week": "[[],[],[],[],[],[],[[0,1440]]]"}
    calendar = _one(connection, "calendar", {**hours, "created_at": AT}, "calendar_id")
    policy = {"name": f"{who} policy", "place": 1, "calendar_id": calendar, "solution_minutes": 60, "active": False}
    policy_id = _one(connection, "sla_policy", policy, "policy_id")
    clock = {"policy_id": policy_id, "calendar_id": calendar, "calendar_version": 1, "target_minutes": 60}
    times = {"kind": "solution", "warn_percent": 80, "started_at": AT, "due_at": AT}
    clock_id = _one(connection, "ticket_clock", {"ticket_id": ticket, **clock, **times}, "clock_id")
    step = '[{"on": "breach", "role": "desk_lead"}]'
    ladder = _one(connection, "escalation_ladder", {"name": f"{who} ladder", "place": 1, "steps": step}, "ladder_id")
    escalated = {"ticket_id": ticket, "ladder_id": ladder, "cause": "clock:solution", "clock_id": clock_id}
    escalation_id = _one(connection, "escalation", {**escalated, "steps": step, "opened_at": AT}, "escalation_id")
    return {
        "file_id": file_id,
        "message_id": message_id,
        "policy_id": policy_id,
        "escalation_id": escalation_id,
        "ladder_id": ladder,
    }


def _bought_and_taken_out(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """The partner's account, a part it used on the visit, and the old one that came out; by names in paths."""
    account = {"provider_id": ids["provider_id"], "currency": "EUR", "opened_at": AT}
    account_id = _one(connection, "partner_account", account, "partner_account_id")
    cause = {"cause_kind": "paper", "cause_key": f"{who}-paper", "text": f"{who} entry", "at": AT}
    entry = {"partner_account_id": account_id, "kind": "charge", "amount_minor": 1, "balance_minor": 0, **cause}
    _one(connection, "partner_entry", entry, "partner_entry_id")
    of_part = {"visit_id": ids["visit_id"], "part_id": 1, "quantity": 1, "provider_id": ids["provider_id"]}
    told = {"device_at": AT, "received_at": AT, "actor": who, "entry_id": str(uuid.uuid4())}
    used = {**of_part, **told, "kind": "used", "warehouse_id": 1, "old_part": "return_to_maker", "old_serial": who}
    number = _one(connection, "visit_part", used, "visit_part_id")
    borne = {**of_part, "visit_part_id": number, "bearer": "maker", "stock_of": "maker", "reasons": "[]", "at": AT}
    _one(connection, "part_bearer", borne, "part_bearer_id")
    slip = {"provider_id": ids["provider_id"], "warehouse_id": 1, "state": "open", "note": who, "opened_at": AT}
    slip_id = _one(connection, "return_slip", slip, "return_slip_id")
    old = {**of_part, "old_part_id": number, "asset_id": ids["asset_id"], "rule": "return", "rule_reason": who}
    kept = {"old_serial": who, "taken_out_at": AT, "return_slip_id": slip_id}
    _one(connection, "old_part", {**old, **kept})
    return {"partner_account_id": account_id, "old_part_id": number, "return_slip_id": slip_id}


def _settled(connection: Connection, who: str, ids: dict[str, Any]) -> dict[str, int]:
    """What the partner is paid by, and disputes."""
    card = {"name": f"{who} card", "provider_id": ids["provider_id"], "currency": "EUR", "valid_from": "2026-01-01"}
    card_id = _one(connection, "rate_card", {**card, "created_at": AT, "created_by": who}, "rate_card_id")
    rule = {"rate_card_id": card_id, "place": 1, "kind": "labour", "code": who, "basis": "visit", "amount_minor": 1}
    rule_id = _one(connection, "rate_card_line", rule, "rate_card_line_id")
    connection.execute(
        "UPDATE service.rate_card SET state = 'active', activated_at = created_at WHERE rate_card_id = %s", [card_id]
    )
    whose = {"provider_id": ids["provider_id"]}
    # The check of the visit's completion has made it.
    connection.execute("UPDATE service.visit_settlement SET detail = %s WHERE visit_id = %s", [who, ids["visit_id"]])
    drafted = {**whose, "currency": "EUR", "month": "2026-07-01", "created_at": AT}
    statement_id = _one(connection, "statement", drafted, "statement_id")
    made = {"statement_id": statement_id, "source": "visit", "kind": "labour", "visit_id": ids["visit_id"]}
    by = {"on_day": "2026-07-01", "rate_card_id": card_id, "rate_card_line_id": rule_id, "code": who}
    sums = {"quantity": 1, "unit": "visit", "price_minor": 1, "price_per": 1, "amount_minor": 1}
    told = {"description": f"{who} labour", "created_at": AT, "created_by": who}
    line_id = _one(connection, "statement_line", {**made, **by, **sums, **told}, "statement_line_id")
    dispute = {"statement_id": statement_id, "statement_line_id": line_id, **whose, "reason": f"{who} reason"}
    dispute_id = _one(connection, "statement_dispute", {**dispute, "opened_at": AT, "opened_by": who}, "dispute_id")
    message = {"dispute_id": dispute_id, "side": "partner", "author": who, "body": f"{who} message", "at": AT}
    _one(connection, "dispute_message", message, "dispute_message_id")
    return {
        "rate_card_id": card_id,
        "statement_id": statement_id,
        "statement_line_id": line_id,
        "dispute_id": dispute_id,
    }


def _tools(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """A partner's instrument, lent to its technician."""
    meter = {"code": f"{who}-meter", "name": f"{who} meter", "kind": "meter", "provider_id": ids["provider_id"]}
    instrument = _one(connection, "instrument", {**meter, "state": "lent", "created_at": AT}, "instrument_id")
    lent = {"instrument_id": instrument, "technician_id": ids["technician_id"], "lent_at": AT, "lent_by": who}
    day = "2026-07-02"
    calibrated = {"result": "passed", "calibrated_on": day, "calibrated_until": day, "laboratory": f"{who} laboratory"}
    recorded = {"instrument_id": instrument, "recorded_by": who, "recorded_at": AT}
    _one(connection, "instrument_calibration", {**calibrated, **recorded})
    motor = {
        "part_id": 1,
        "serial": f"{who}-motor",
        "state": "installed",
        "asset_id": ids["asset_id"],
        "created_at": AT,
    }
    rotable = _one(connection, "rotable", motor, "rotable_id")
    built_in = {"rotable_id": rotable, "at": AT, "actor": who, "action": "register", "to_state": "installed"}
    _one(connection, "rotable_event", built_in)
    return {
        "rotable_id": rotable,
        "instrument_id": instrument,
        "instrument_loan_id": _one(connection, "instrument_loan", {**lent, "due_back_on": day}, "instrument_loan_id"),
    }


def _tools(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """A partner's instrument, lent to its technician."""
    meter = {"code": f"{who}-meter", "name": f"{who} meter", "kind": "meter", "provider_id": ids["provider_id"]}
    instrument = _one(connection, "instrument", {**meter, "state": "lent", "created_at": AT}, "instrument_id")
    lent = {"instrument_id": instrument, "technician_id": ids["technician_id"], "lent_at": AT, "lent_by": who}
    day = "2026-07-02"
    calibrated = {"result": "passed", "calibrated_on": day, "calibrated_until": day, "laboratory": f"{who} laboratory"}
    recorded = {"instrument_id": instrument, "recorded_by": who, "recorded_at": AT}
    _one(connection, "instrument_calibration", {**calibrated, **recorded})
    motor = {"part_id": 1, "serial": f"{who}-motor", "state": "installed", "asset_id": ids["asset_id"]}
    rotable = _one(connection, "rotable", {**motor, "created_at": AT}, "rotable_id")
    built_in = {"rotable_id": rotable, "at": AT, "actor": who, "action": "register", "to_state": "installed"}
    _one(connection, "rotable_event", built_in)
    return {
        "rotable_id": rotable,
        "instrument_id": instrument,
        "instrument_loan_id": _one(connection, "instrument_loan", {**lent, "due_back_on": day}, "instrument_loan_id"),
    }


def _visit(connection: Connection, who: str, visit: dict[str, Any], provider_id: int) -> dict[str, int]:
    """A visit with an appointment that was offered, its report, and the audit of it."""
    visit_id = _one(connection, "visit", visit, "visit_id")
    slot = {name: visit[name] for name in ("technician_id", "starts_at", "ends_at")}
    _one(connection, "visit_slot", {**slot, "visit_id": visit_id, "offered_at": AT}, "slot_id")
    frozen = '{"bill": null, "warranty": null, "asset_before": null, "asset_after": null, "made": []}'
    report = {"visit_id": visit_id, "content": f'{{"findings": "{who}"}}', "frozen": frozen, "frozen_at": AT}
    _one(connection, "visit_report", {**report, "written_by": who, "written_at": AT})
    audited = {"visit_id": visit_id, "provider_id": provider_id, "technician_id": visit["technician_id"]}
    check_id = _one(connection, "completion_check", {**audited, "completed_at": AT}, "completion_check_id")
    return {"visit_id": visit_id, "completion_check_id": check_id}


def shows_theirs(text: str) -> str | None:
    """What of a stranger's an answer shows, if anything."""
    found = re.search(r"(?<![\d.])9000\d\d(?![\d.])|stranger\S*", text, re.IGNORECASE)
    return found[0] if found else None
