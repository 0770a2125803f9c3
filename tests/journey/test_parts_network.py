"""Stories of parts, over HTTP only: from what a machine foresees to what its partner is paid."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journey.people import Person, World

MONDAY = datetime(2026, 7, 6, 1, tzinfo=UTC)
PUMP = "6.640-115.0"
SEAL = "6.362-922.0"
# Where they are: the partner's city has none, three others have some.
PLACES = {
    "SHANGHAI": ("central", 31.2, 121.5),
    "XIAN": ("partner", 34.3, 108.9),
    "CHENGDU": ("partner", 30.7, 104.1),
    "LANZHOU": ("partner", 36.1, 103.8),
}
# Hours, base freight and freight per kilogram to Lanzhou.
WAYS = {"SHANGHAI": (60, 3000, 300), "XIAN": (18, 1200, 150), "CHENGDU": (30, 2500, 200)}
CARD = [
    {"kind": "labour", "code": "work", "basis": "visit", "amount_minor": 12000},
    {"kind": "travel", "code": "near", "basis": "visit", "amount_minor": 3000},
    {"kind": "parts", "code": "handling", "basis": "percent_of_parts", "percent_bp": 1000},
    {"kind": "reward", "code": "first time", "basis": "visit", "amount_minor": 2000, "condition": "first_time_fix"},
]


@pytest.fixture
def world(api) -> World:
    return World(api.url, api.keys["admin"], MONDAY)


def furnish_network(world: World) -> dict[str, Any]:
    """Four warehouses, a partner in Lanzhou with a technician and a rate card, a hotel with a scrubber in warranty."""
    lead, service = world.desk_lead, world.service
    target = {"name": "crm", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]}
    world.admin.post("/v1/alert-targets", target)
    pump = {"sku": PUMP, "name": "Pump set", "cost_minor": 60000, "currency": "CNY", "weight_grams": 4000}
    service.post("/v1/parts", {**pump, "lead_time_days": 45, "imported": True, "old_part_rule": "return"})
    service.post("/v1/parts", {"sku": SEAL, "name": "Seal", "cost_minor": 900, "currency": "CNY", "lead_time_days": 7})
    price = {"kind": "partner", "currency": "CNY", "price_minor": 48000, "valid_from": "2026-01-01"}
    lead.post(f"/v1/parts/{PUMP}/prices", price)
    partner = world.admin.post("/v1/providers", {"code": "LZ", "name": "Lanzhou Service", "territories": ["LANZHOU"]})
    technician = service.post(
        "/v1/technicians",
        {"name": "Wang", "skills": ["hydraulics"], "territories": ["LANZHOU"], "provider_id": partner["provider_id"]},
    )
    for code, (kind, latitude, longitude) in PLACES.items():
        place = {"code": code, "name": code.title(), "kind": kind, "territory": code, "time_zone": "Asia/Shanghai"}
        owner = {"provider_id": partner["provider_id"]} if code == "LANZHOU" else {}
        service.post("/v1/warehouses", {**place, "latitude": latitude, "longitude": longitude, **owner})
    lanes = [
        {
            "from": code,
            "to": "LANZHOU",
            "transit_hours": hours,
            "freight_base_minor": base,
            "freight_kg_minor": kilogram,
        }
        for code, (hours, base, kilogram) in WAYS.items()
    ]
    put(lead, "/v1/lanes", {"lanes": [{**lane, "currency": "CNY", "shipping_classes": ["normal"]} for lane in lanes]})
    policy = world.dispatcher.get("/v1/allocation/policy")
    world.dispatcher.patch("/v1/allocation/policy", {"currency": "CNY"}, version=policy["version"])

    component = {"name": "pump", "sku": PUMP, "skill": "hydraulics", "labour_minutes": 60}
    seal = {"name": "seal", "sku": SEAL, "skill": "hydraulics", "labour_minutes": 30}
    model = {"code": "BD-50", "name": "BD 50/50", "kind": "scrubber", "components": [component, seal]}
    service.post("/v1/product-models", model)
    owner = service.post("/v1/customers", {"name": "Hotel Gansu", "kind": "business"})
    site = {"name": "Main house", "customer_id": owner["customer_id"], "territory": "LANZHOU", "country": "CN"}
    site |= {"time_zone": "Asia/Shanghai", "latitude": 36.0, "longitude": 103.9}
    site_id = service.post("/v1/sites", site)["site_id"]
    terms = [{"starts_on": "2025-07-01", "ends_on": "2027-06-30"}]
    machine = {"serial": "BD50-1", "model": "BD-50", "site_id": site_id, "installed_at": "2025-07-01T00:00:00Z"}
    service.post("/v1/assets", {**machine, "warranty_terms": terms})
    card = {"name": "Northwest 2026", "provider_id": partner["provider_id"], "currency": "CNY"}
    made = lead.post("/v1/settlement/rate-cards", {**card, "valid_from": "2026-01-01", "lines": CARD})
    lead.post(f"/v1/settlement/rate-cards/{made['rate_card_id']}/activate")
    return {
        "customer_id": owner["customer_id"],
        "provider_id": partner["provider_id"],
        "technician_id": technician["technician_id"],
    }


def put(person: Person, path: str, body: object) -> Any:
    answer = person.ask("PUT", path, body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def receive(world: World, sku: str, warehouse: str, quantity: int) -> None:
    receipt = {"sku": sku, "warehouse": warehouse, "kind": "receipt", "quantity": quantity}
    world.service.post("/v1/parts/movements", {**receipt, "cause": f"delivery to {warehouse}"})


def foreseen(
    world: World, made: dict[str, Any], component: str, due: timedelta
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case that the predictor raises, given to the partner, and its job."""
    case = world.service.post(
        "/v1/tickets",
        {
            "kind": "preventive",
            "serial": "BD50-1",
            "component": component,
            "cause": f"component:{component}",
            "title": f"The {component} wears out",
            "due_by": (world.now + due).isoformat(),
            "evidence": {"model": "m7", "probability": 0.83, "rul_hours": [90, 160]},
        },
    )
    world.agent.post(f"/v1/tickets/{case['ticket_id']}/assign", {"provider_id": made["provider_id"]})
    return case, world.service.post("/v1/jobs", {"ticket_id": case["ticket_id"]})


def stock(world: World, sku: str) -> dict[str, tuple[int, int, int]]:
    """On hand, reserved and on its way, by warehouse; nowhere else is anything."""
    rows = world.service.get(f"/v1/parts/stock?sku={sku}")["items"]
    return {
        row["warehouse"]: numbers
        for row in rows
        if any(numbers := (row["on_hand"], row["reserved"], row["in_transit"]))
    }


def told(world: World) -> list[tuple[str, str]]:
    """What the customer was told of parts, with the date, in order."""
    rows = sorted(world.admin.get("/v1/alerts?limit=100")["items"], key=lambda row: row["alert_id"])
    return [(row["topic"], row["payload"]["promised_at"][:10]) for row in rows if row["topic"].startswith("part.")]


def test_a_foreseen_pump_comes_from_the_best_of_three_warehouses_and_everything_is_paid(world) -> None:
    made = furnish_network(world)
    for warehouse, quantity in (("SHANGHAI", 20), ("XIAN", 6), ("CHENGDU", 6)):
        receive(world, PUMP, warehouse, quantity)
    world.later(days=1)
    case, job = foreseen(world, made, "pump", timedelta(days=5))

    # Where from: all three are weighed, the best is named with what each would cost.
    demand = world.service.post(
        "/v1/allocation/demands", {"job_id": job["job_id"], "sku": PUMP, "needed_by": case["due_by"]}
    )
    assert (demand["state"], demand["kind"], demand["warehouse"]) == ("allocated", "transfer", "XIAN"), demand
    assert demand["promised_at"] <= case["due_by"]
    options = world.agent.get(f"/v1/allocation/demands/{demand['part_demand_id']}")["decision"]["options"]
    weighed = {option["warehouse"]: option for option in options if option["kind"] == "transfer"}
    assert set(weighed) == {"SHANGHAI", "XIAN", "CHENGDU"}
    assert weighed["XIAN"]["total_minor"] == min(option["total_minor"] for option in weighed.values())
    assert "XIAN" in weighed["XIAN"]["reason"]
    assert stock(world, PUMP)["XIAN"] == (6, 1, 0)

    # It is picked, shipped and received, kept for the case all the way.
    (pick,) = world.service.get("/v1/transfers/picking?warehouse=XIAN")["items"]
    assert (pick["sku"], pick["quantity"], pick["to"]) == (PUMP, 1, "LANZHOU")
    shipment = {"transfer_ids": [pick["transfer_id"]], "carrier": "SF", "tracking_number": "SF1"}
    shipped = world.service.post("/v1/transfers/shipments", shipment)
    assert shipped["freight_minor"] == 1200 + 4 * 150
    assert stock(world, PUMP) == {"SHANGHAI": (20, 0, 0), "XIAN": (5, 0, 0), "CHENGDU": (6, 0, 0), "LANZHOU": (0, 0, 1)}
    world.later(hours=18)
    world.service.post(f"/v1/transfers/{pick['transfer_id']}/receive", {})
    assert stock(world, PUMP)["LANZHOU"] == (1, 1, 0)
    world.later(minutes=5)
    (kept,) = [
        entry
        for entry in world.service.get(f"/v1/jobs/{job['job_id']}")["reservations"]
        if entry["state"] == "reserved"
    ]
    assert kept["warehouse"] == "LANZHOU"

    # The customer was told when the part comes, before anybody came.
    hotel = world.meet("hotel", "customer", customer_id=made["customer_id"])
    assert told(world)[0] == ("part.promised", demand["promised_at"][:10])

    visit = serve(world, made, job, kept["reservation_id"])
    assert stock(world, PUMP) == {"SHANGHAI": (20, 0, 0), "XIAN": (5, 0, 0), "CHENGDU": (6, 0, 0)}
    assert hotel.get(f"/v1/tickets/{case['ticket_id']}")["state"] == "resolved"
    lines = world.service.get(f"/v1/parts/movements?sku={PUMP}&limit=100")["items"]
    mine = [line for line in lines if line["cause"] and not line["cause"].startswith("note")]
    assert {"reserve", "transfer_out", "transfer_in", "consume"} <= {line["kind"] for line in mine}
    assert world.agent.get("/v1/stock/proof")["balanced"] is True
    pay(world, made, visit)


def serve(world: World, made: dict[str, Any], job: dict[str, Any], reservation_id: int) -> int:
    """The partner's technician builds the part in and reports; the visit's number."""
    begin = world.now.replace(hour=2, minute=0) + timedelta(days=1)
    slot = {"technician_id": made["technician_id"], "starts_at": begin.isoformat()}
    end = (begin + timedelta(hours=1)).isoformat()
    world.dispatcher.post(f"/v1/jobs/{job['job_id']}/dispatch", {**slot, "ends_at": end})
    wang = world.meet("wang", "technician", provider_id=made["provider_id"], technician_id=made["technician_id"])
    (line,) = wang.get(f"/v1/visits?day={begin.date().isoformat()}")["items"]
    visit = f"/v1/visits/{line['visit_id']}"
    world.now = begin
    position = {"latitude": 36.0, "longitude": 103.9}
    wang.post(f"{visit}/check-in", {**position, "accuracy_m": 20})
    wang.post(f"{visit}/begin-work")
    pump = {"entry_id": "00000000-0000-0000-0000-000000000001", "kind": "used", "sku": PUMP, "quantity": 1}
    wang.post(
        f"{visit}/parts",
        {
            **pump,
            "reservation_id": reservation_id,
            "old_part": "return_to_maker",
            "old_serial": "P-0815",
            "component": "pump",
        },
    )
    world.now = begin + timedelta(minutes=55)
    wang.post(f"{visit}/check-out", position)
    report = {
        "serial_found": "BD50-1",
        "findings": "Worn bearing.",
        "work_done": "Pump changed.",
        "in_warranty": True,
        "replaced": [{"component": "pump", "reason": "preventive"}],
        "no_signature_reason": "nobody there",
        "solved": True,
        "outcome": "prevented",
    }
    put(wang, f"{visit}/report", report)
    wang.post(f"{visit}/complete")
    world.later(minutes=5)
    return line["visit_id"]


def pay(world: World, made: dict[str, Any], visit_id: int) -> None:
    """The old part goes back and is inspected, the visit is audited, the statement closed and paid."""
    lead = world.desk_lead
    boss = world.meet("boss", "partner_manager", provider_id=made["provider_id"])
    (check,) = boss.get("/v1/completion-audit/checks")["items"]
    assert (check["visit_id"], check["state"]) == (visit_id, "passed"), check

    (old,) = boss.get("/v1/old-parts?state=to_return")["items"]
    assert (old["sku"], old["rule"], old["bearer"]) == (PUMP, "return", "maker")
    slip = boss.post("/v1/return-slips", {"warehouse": "SHANGHAI", "old_parts": [old["old_part_id"]]})
    path = f"/v1/return-slips/{slip['return_slip_id']}"
    assert boss.ask("GET", f"{path}/paper").content.startswith(b"%PDF")
    boss.post(f"{path}/ship", {"carrier": "SF", "tracking_number": "SF2"})
    world.later(days=3)
    world.service.post(f"{path}/receive", {"items": [{"old_part_id": old["old_part_id"]}]})
    world.engineer.post(
        f"/v1/old-parts/{old['old_part_id']}/inspect",
        {"finding": "confirmed", "failure_mode": "bearing_wear", "note": "Inner ring scored."},
    )
    lead.post(f"/v1/old-parts/{old['old_part_id']}/write-off", {"reason": "worn out, not worth repairing"})
    found = world.engineer.get("/v1/old-parts/findings?since=2026-07-01T00:00:00Z&until=2026-08-01T00:00:00Z")["items"]
    assert [(one["component"], one["failure_mode"], one["count"]) for one in found] == [("pump", "bearing_wear", 1)]

    world.now = datetime(2026, 8, 3, 2, tzinfo=UTC)
    world.later(minutes=1)
    (statement,) = boss.get("/v1/settlement/statements")["items"]
    path = f"/v1/settlement/statements/{statement['statement_id']}"
    lines = boss.get(f"{path}/lines?limit=100")["items"]
    assert statement["total_minor"] == sum(line["amount_minor"] for line in lines)
    kinds = {line["code"]: line["amount_minor"] for line in lines if line["visit_id"] == visit_id}
    # Handling is a tenth of the partner's price of the part.
    assert kinds["work"] == 12000
    assert kinds["handling"] == 4800
    lead.post(f"{path}/issue")
    boss.post(f"{path}/agree", version=boss.get(path)["version"])
    lead.post("/v1/settlement/periods/2026-07/close")
    paid = {"reference": "bank 4711", "paid_at": world.now.isoformat()}
    lead.post(f"{path}/pay", paid)
    assert boss.get(path)["state"] == "paid"
    assert (
        boss.refused("POST", f"/v1/settlement/lines/{lines[0]['statement_line_id']}/dispute", {"reason": "late"})[0]
        == 409
    )


def test_an_imported_part_that_nobody_has_is_promised_honestly_and_the_customer_is_told(world) -> None:
    made = furnish_network(world)
    lead = world.desk_lead
    lead.post("/v1/suppliers", {"code": "MAKER", "name": "The maker, Germany", "currency": "CNY"})
    terms = {"sku": PUMP, "price_minor": 45000, "currency": "CNY", "lead_time_days": 45, "pack_size": 2}
    put(lead, "/v1/suppliers/MAKER/parts", {"items": [terms]})
    case, job = foreseen(world, made, "pump", timedelta(days=5))
    path = f"/v1/tickets/{case['ticket_id']}"

    # By the due date or not at all: a refusal says when it could be, and why no warehouse has it.
    wish = {"job_id": job["job_id"], "sku": PUMP, "needed_by": case["due_by"]}
    refused = world.service.post("/v1/allocation/demands", {**wish, "strict": True})
    assert refused["state"] == "refused"
    assert refused["promised_at"] > case["due_by"]
    world.service.post(f"/v1/allocation/demands/{refused['part_demand_id']}/cancel", {"reason": "we can wait"})

    demand = world.service.post("/v1/allocation/demands", wish)
    assert (demand["state"], demand["kind"], demand["warehouse"]) == ("allocated", "purchase", "LANZHOU")
    honest = datetime.fromisoformat(demand["promised_at"])
    assert timedelta(days=45) <= honest - world.now < timedelta(days=47)
    (line,) = world.service.get(f"/v1/purchase-lines?sku={PUMP}")["items"]
    # The supplier packs them in twos; one is for the case, one for the shelf.
    assert (line["quantity"], line["promised"], line["unpromised"]) == (2, 1, 1)
    dates = told(world)
    assert dates[-1] == ("part.promised", honest.date().isoformat())

    # The supplier says another day: whoever waits is told anew.
    order = f"/v1/purchase-orders/{line['purchase_order_id']}"
    lead.post(f"{order}/send")
    late = (world.now + timedelta(days=60)).date()
    lead.post(f"{order}/confirm", {"confirmed_on": late.isoformat(), "reference": "AB 77"})
    world.later(minutes=1)
    topic, day = told(world)[-1]
    assert topic == "part.date_moved"
    assert late.isoformat() <= day <= (late + timedelta(days=2)).isoformat()
    assert world.service.get(f"/v1/allocation/demands/{demand['part_demand_id']}")["promised_at"][:10] == day

    # It comes: kept for the case, and the other one lies free.
    world.now = datetime.combine(late, datetime.min.time(), UTC) + timedelta(hours=3)
    came = {"delivery_note": "LS 1", "lines": [{"purchase_line_id": line["purchase_line_id"], "quantity": 2}]}
    world.service.post(f"{order}/receive", came)
    world.later(minutes=1)
    assert stock(world, PUMP) == {"LANZHOU": (2, 1, 0)}
    assert told(world)[-1][0] == "part.arrived"
    after = world.service.get(f"/v1/allocation/demands/{demand['part_demand_id']}")
    assert after["arrived_at"] is not None
    (kept,) = [
        one for one in world.service.get(f"/v1/jobs/{job['job_id']}")["reservations"] if one["state"] == "reserved"
    ]
    assert (kept["warehouse"], kept["quantity"]) == ("LANZHOU", 1)
    kinds = {event["kind"] for event in world.agent.get(f"{path}/events?limit=100")["items"]}
    assert any(kind.startswith("part_") for kind in kinds), kinds
    hotel = world.meet("hotel", "customer", customer_id=made["customer_id"])
    assert hotel.refused("GET", f"/v1/parts/stock?sku={PUMP}")[0] == 403
