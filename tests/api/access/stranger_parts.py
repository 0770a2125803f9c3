"""What strangers have in the network of parts: stores, tools, accounts, old parts, settlement."""

import uuid
from typing import Any

from psycopg import Connection

AT = "2026-07-01T08:00:00Z"


def one(connection: Connection, table: str, values: dict[str, Any], number: str | None = None) -> int:
    """Insert a row, into schema service if it does not say another; its number."""
    table = table if "." in table else f"service.{table}"
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    returning = f" RETURNING {number} AS number" if number else ""
    cursor = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places}){returning}", [*values.values()])
    row = cursor.fetchone() if number else None
    return int(row["number"]) if row else 0


def stores(connection: Connection, who: str, provider: int) -> dict[str, int]:
    """A partner's warehouse with something in it, and a count of it."""
    store = {"code": f"{who}-store", "name": f"{who} store", "kind": "partner", "provider_id": provider}
    warehouse = one(connection, "warehouse", store, "warehouse_id")
    moved = {"part_id": 1, "quantity": 3, "kind": "receipt", "from_place": "supplier", "to_place": "free"}
    cause = {"to_warehouse_id": warehouse, "cause_kind": "note", "cause_key": f"{who} delivery", "at": AT}
    one(connection, "stock_movement", {**moved, **cause})
    sheet = {"warehouse_id": warehouse, "note": f"{who} count", "opened_by": who, "opened_at": AT}
    count = one(connection, "stock_count", sheet, "stock_count_id")
    looked = {"counted": 2, "counted_at": AT, "counted_by": who, "counted_key": who, "expected": 3}
    worth = {"cost_minor": 1, "currency": "EUR"}
    one(connection, "stock_count_line", {"stock_count_id": count, "part_id": 1, **looked, **worth})
    return {"stock_count_id": count, **_ways(connection, who, warehouse)}


def _ways(connection: Connection, who: str, warehouse: int) -> dict[str, int]:
    """When a partner's warehouse is open, how one gets there, and what is on its way."""
    one(connection, "opening_hours", {"warehouse_id": warehouse, "week": "[[], [], [], [], [], [], []]"})
    closed = {"warehouse_id": warehouse, "day": "2026-07-02", "name": f"{who} holiday", "spans": "[]"}
    one(connection, "opening_exception", closed)
    one(connection, "bin", {"warehouse_id": warehouse, "code": f"{who}-bin"})
    way = {"from_warehouse_id": 1, "to_warehouse_id": warehouse}
    costs = {"transit_hours": 1, "currency": "EUR", "shipping_classes": ["normal"], "changed_at": AT, "changed_by": who}
    one(connection, "lane", {**way, **costs})
    parcel = {"carrier": who, "weight_grams": 1, "freight_minor": 1, "currency": "EUR"}
    sent = {"shipped_at": AT, "shipped_by": who}
    consignment = one(connection, "consignment", {**way, **parcel, **sent}, "consignment_id")
    pieces = {"part_id": 1, "quantity": 1, "state": "shipped", "cause_kind": "note", "cause_key": f"{who} season"}
    times = {"planned_at": AT, "planned_by": who, "expected_at": AT, "shipped_at": AT, "consignment_id": consignment}
    return {"transfer_id": one(connection, "transfer", {**way, **pieces, **times}, "transfer_id")}


def tools(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """A partner's instrument, lent to its technician."""
    meter = {"code": f"{who}-meter", "name": f"{who} meter", "kind": "meter", "provider_id": ids["provider_id"]}
    instrument = one(connection, "instrument", {**meter, "state": "lent", "created_at": AT}, "instrument_id")
    lent = {"instrument_id": instrument, "technician_id": ids["technician_id"], "lent_at": AT, "lent_by": who}
    day = "2026-07-02"
    calibrated = {"result": "passed", "calibrated_on": day, "calibrated_until": day, "laboratory": f"{who} laboratory"}
    recorded = {"instrument_id": instrument, "recorded_by": who, "recorded_at": AT}
    one(connection, "instrument_calibration", {**calibrated, **recorded})
    motor = {"part_id": 1, "serial": f"{who}-motor", "state": "installed", "asset_id": ids["asset_id"]}
    rotable = one(connection, "rotable", {**motor, "created_at": AT}, "rotable_id")
    built_in = {"rotable_id": rotable, "at": AT, "actor": who, "action": "register", "to_state": "installed"}
    one(connection, "rotable_event", built_in)
    return {
        "rotable_id": rotable,
        "instrument_id": instrument,
        "instrument_loan_id": one(connection, "instrument_loan", {**lent, "due_back_on": day}, "instrument_loan_id"),
    }


def bought_and_taken_out(connection: Connection, who: str, ids: dict[str, int]) -> dict[str, int]:
    """The partner's account, a part it used on the visit, and the old one that came out; by names in paths."""
    account = {"provider_id": ids["provider_id"], "currency": "EUR", "opened_at": AT}
    account_id = one(connection, "partner_account", account, "partner_account_id")
    cause = {"cause_kind": "paper", "cause_key": f"{who}-paper", "text": f"{who} entry", "at": AT}
    entry = {"partner_account_id": account_id, "kind": "charge", "amount_minor": 1, "balance_minor": 0, **cause}
    one(connection, "partner_entry", entry, "partner_entry_id")
    of_part = {"visit_id": ids["visit_id"], "part_id": 1, "quantity": 1, "provider_id": ids["provider_id"]}
    told = {"device_at": AT, "received_at": AT, "actor": who, "entry_id": str(uuid.uuid4())}
    used = {**of_part, **told, "kind": "used", "warehouse_id": 1, "old_part": "return_to_maker", "old_serial": who}
    number = one(connection, "visit_part", used, "visit_part_id")
    borne = {**of_part, "visit_part_id": number, "bearer": "maker", "stock_of": "maker", "reasons": "[]", "at": AT}
    one(connection, "part_bearer", borne, "part_bearer_id")
    slip = {"provider_id": ids["provider_id"], "warehouse_id": 1, "state": "open", "note": who, "opened_at": AT}
    slip_id = one(connection, "return_slip", slip, "return_slip_id")
    old = {**of_part, "old_part_id": number, "asset_id": ids["asset_id"], "rule": "return", "rule_reason": who}
    kept = {"old_serial": who, "taken_out_at": AT, "return_slip_id": slip_id}
    one(connection, "old_part", {**old, **kept})
    return {"partner_account_id": account_id, "old_part_id": number, "return_slip_id": slip_id}


def settled(connection: Connection, who: str, ids: dict[str, Any]) -> dict[str, int]:
    """What the partner is paid by, and disputes."""
    card = {"name": f"{who} card", "provider_id": ids["provider_id"], "currency": "EUR", "valid_from": "2026-01-01"}
    card_id = one(connection, "rate_card", {**card, "created_at": AT, "created_by": who}, "rate_card_id")
    rule = {"rate_card_id": card_id, "place": 1, "kind": "labour", "code": who, "basis": "visit", "amount_minor": 1}
    rule_id = one(connection, "rate_card_line", rule, "rate_card_line_id")
    connection.execute(
        "UPDATE service.rate_card SET state = 'active', activated_at = created_at WHERE rate_card_id = %s", [card_id]
    )
    whose = {"provider_id": ids["provider_id"]}
    # The check of the visit's completion has made it.
    connection.execute("UPDATE service.visit_settlement SET detail = %s WHERE visit_id = %s", [who, ids["visit_id"]])
    drafted = {**whose, "currency": "EUR", "month": "2026-07-01", "created_at": AT}
    statement_id = one(connection, "statement", drafted, "statement_id")
    made = {"statement_id": statement_id, "source": "visit", "kind": "labour", "visit_id": ids["visit_id"]}
    by = {"on_day": "2026-07-01", "rate_card_id": card_id, "rate_card_line_id": rule_id, "code": who}
    sums = {"quantity": 1, "unit": "visit", "price_minor": 1, "price_per": 1, "amount_minor": 1}
    told = {"description": f"{who} labour", "created_at": AT, "created_by": who}
    line_id = one(connection, "statement_line", {**made, **by, **sums, **told}, "statement_line_id")
    dispute = {"statement_id": statement_id, "statement_line_id": line_id, **whose, "reason": f"{who} reason"}
    dispute_id = one(connection, "statement_dispute", {**dispute, "opened_at": AT, "opened_by": who}, "dispute_id")
    message = {"dispute_id": dispute_id, "side": "partner", "author": who, "body": f"{who} message", "at": AT}
    one(connection, "dispute_message", message, "dispute_message_id")
    return {
        "rate_card_id": card_id,
        "statement_id": statement_id,
        "statement_line_id": line_id,
        "dispute_id": dispute_id,
    }
