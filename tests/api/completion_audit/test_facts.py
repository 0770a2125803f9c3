"""What the rules see of visits: money, ways, parts, the ledger, photos and the machine's earlier visits."""

import uuid
from datetime import timedelta

from careloop.database.engine import connect
from tests.api.completion_audit.conftest import AUDIT

LINES = [
    {"kind": "labour", "quantity": 60},
    {"kind": "travel", "quantity": 500},
    {"kind": "part", "code": "PUMP", "quantity": 2},
]
# The pump ran dry by misuse: the warranty does not bear it.
MISUSE = {"in_warranty": False, "warranty_cause": "misuse", "fee_lines": LINES}


def test_money_ways_parts_and_photos_are_seen_as_they_are(desk, completed, check_of) -> None:
    furnished(desk)
    paid = charged_visit(desk)
    fees(desk, check_of, paid)
    used(desk, check_of, paid)
    again = completed(30, parts=0, photos=[desk.photo(colour="red")])
    history(desk, check_of, paid, again)


def furnished(desk) -> None:
    """Prices, the partner's warehouse some 20 km from the site, and a seal for another model."""
    prices = {"name": "Standard", "currency": "EUR", "valid_from": "2026-01-01", "labour_hour_minor": 6000}
    desk.post("admin", "/v1/price-lists", {**prices, "travel_km_minor": 100, "tax_rate_bp": 1900})
    desk.post("service", "/v1/parts", {"sku": "SEAL", "name": "Seal", "cost_minor": 100})
    seal = {"code": "HD-9", "name": "Other", "kind": "pressure_washer", "components": [{"name": "seal", "sku": "SEAL"}]}
    desk.post("service", "/v1/product-models", seal)
    receipt = {"sku": "SEAL", "warehouse": "VAN-1", "kind": "receipt", "quantity": 5, "cause": "delivery 2"}
    desk.post("service", "/v1/parts/movements", receipt)
    with connect(desk.database_url) as connection:
        connection.execute("UPDATE service.part SET serialised = true, old_part_rule = 'return' WHERE sku = 'SEAL'")
        connection.execute(
            "INSERT INTO service.warehouse (code, name, kind, latitude, longitude, provider_id) VALUES "
            "('P1-NEAR', 'Near', 'partner', 52.68, 13.4, 1), ('P1-FAR', 'Far', 'partner', 55, 13.4, 1), "
            "('HOUSE', 'The maker''s', 'central', 52.5, 13.4, NULL)"
        )


def charged_visit(desk) -> dict:
    """Two pumps and two seals built in, one photo, and what the customer has accepted is charged."""
    visit = desk.visit(24)
    path, ticket = f"/v1/visits/{visit['visit_id']}", f"/v1/tickets/{visit['ticket_id']}"
    quote = desk.post("agent", f"{ticket}/quotes", {"lines": LINES, "cause": "misuse"})
    desk.post("agent", f"/v1/quotes/{quote['quote_id']}/send")
    text = desk.get("customer", f"/v1/quotes/{quote['quote_id']}")["text_sha256"]
    accepted = {"text_sha256": text, "given_by": "Wang Wei"}
    desk.post("customer", f"/v1/quotes/{quote['quote_id']}/accept", accepted)
    desk.on_site(visit)
    desk.use_pump(visit)
    for serial in ("S-1", None):
        seal = {"entry_id": str(uuid.uuid4()), "kind": "used", "sku": "SEAL", "warehouse": "VAN-1"}
        desk.post("technician", f"{path}/parts", {**seal, "serial_fitted": serial})
    desk.now += timedelta(minutes=50)
    desk.post("technician", f"{path}/check-out", {})
    desk.call("technician", "PUT", f"{path}/report", desk.report(**MISUSE, photos=[desk.photo(colour="red")]))
    desk.post("technician", f"{path}/complete")
    return visit


def latest(check: dict) -> dict:
    return check["history"][-1]["facts"]


def rules_of(check: dict) -> list[str]:
    return [one["rule"] for one in check["findings"]]


def fees(desk, check_of, visit) -> None:
    check = check_of(visit["visit_id"])
    assert check["state"] == "rejected"
    assert rules_of(check) == ["part-does-not-fit", "part-serial", "travel-distance", "old-part"]
    seen = latest(check)
    (charge,) = desk.get("agent", f"/v1/tickets/{visit['ticket_id']}/charges")["items"]
    assert seen["bill"]["gross_minor"] == seen["charges"]["visit_minor"] == charge["amount_minor"]
    assert [(line["kind"], line["customer_minor"]) for line in seen["bill"]["lines"]] == [
        ("labour", 6000), ("travel", 50000), ("part", 10000),
    ]  # fmt: skip
    assert (seen["warranty"]["covered"], seen["base"]["code"], round(seen["base"]["km"])) == (False, "P1-NEAR", 20)
    (far,) = [one for one in check["findings"] if one["rule"] == "travel-distance"]
    assert (far["detail"]["billed_km"], far["detail"]["warehouse"]) == (500, "P1-NEAR")
    # What was charged is taken back: the same visit is free now although nobody bears it.
    desk.post("desk_lead", f"/v1/charges/{charge['charge_id']}/void", {"reason": "too much travel"})
    again = desk.post("agent", f"{AUDIT}/checks/{check['completion_check_id']}/recheck", {})
    assert "free-out-of-warranty" in rules_of(again)
    assert (latest(again)["charges"]["visit_minor"], again["history"][0]["facts"]) == (0, seen)


def used(desk, check_of, visit) -> None:
    """A seal's number is told later; and pieces that went back to stock by another paper do not count as used."""
    check = check_of(visit["visit_id"])
    path = f"{AUDIT}/checks/{check['completion_check_id']}"
    parts = {part["sku"]: part for part in latest(check)["parts"]}
    assert [parts["SEAL"][name] for name in ("used", "moved", "fits", "serials", "old_without_fate")] == [
        2, 2, False, 1, 2,
    ]  # fmt: skip
    seals = [
        part for part in desk.get("technician", f"/v1/visits/{visit['visit_id']}")["parts"] if part["sku"] == "SEAL"
    ]
    number = next(part["visit_part_id"] for part in seals if part["serial_fitted"] is None)
    body = {"reason": "read it again", "part_serials": [{"visit_part_id": number, "serial_fitted": "S-2"}]}
    corrected = desk.post("technician", f"{path}/corrections", body)
    assert "part-serial" not in rules_of(corrected)
    with connect(desk.database_url) as connection:
        connection.execute(
            "INSERT INTO service.stock_movement (part_id, quantity, kind, from_place, to_place, to_warehouse_id, "
            "cause_kind, cause_key, at) SELECT part_id, 1, 'return', 'used', 'free', warehouse_id, 'job', %s, %s "
            "FROM service.part, service.warehouse w WHERE sku = 'SEAL' AND w.code = 'VAN-1'",
            (str(visit["job_id"]), desk.now),
        )
        # A seal that takes the place of one that fits, fits.
        connection.execute(
            "INSERT INTO service.part_supersession (part_id, successor_id, effective_on, recorded_by, recorded_at) "
            "SELECT p.part_id, s.part_id, '2026-01-01', 'x', now() FROM service.part p, service.part s "
            "WHERE p.sku = 'PUMP' AND s.sku = 'SEAL'"
        )
    again = desk.post("agent", f"{path}/recheck", {})
    assert "parts-against-stock" in rules_of(again)
    assert "part-does-not-fit" not in rules_of(again)
    (found,) = [one for one in again["findings"] if one["rule"] == "parts-against-stock"]
    assert found["detail"] == {"sku": "SEAL", "reported": 2, "billed": 0, "moved": 1}


def history(desk, check_of, paid, again) -> None:
    """Six hours later the same fault, the same photo for what is said to be another machine, and no part."""
    with connect(desk.database_url) as connection:
        connection.execute("UPDATE service.ticket SET kind = 'installation'")
        # As if the first visit's photo were another machine's.
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT 'HD5-2', model_id, installed_at, created_at FROM service.asset"
        )
        connection.execute(
            "UPDATE service.file SET asset_id = 2 WHERE name = 'red.png' AND ticket_id = %s", (paid["ticket_id"],)
        )
    check = check_of(again)
    assert check["state"] == "manual"
    wanted = {"installed-twice", "twice-a-day", "rework", "replaced-without-part", "photo-reused"}
    assert set(rules_of(check)) == wanted
    (one,) = latest(check)["earlier"]
    assert (one["visit_id"], one["same_day"], one["same_provider"], one["fault"]) == (
        paid["visit_id"],
        True,
        True,
        "F1",
    )
    assert latest(check)["installed_by"] == paid["visit_id"]
    # The partner does not read how copied photos are found.
    assert "photo-reused" not in rules_of(check_of(again, "partner_manager"))
