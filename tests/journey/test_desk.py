"""Stories of the service desk, over HTTP only, each person with a key of their own."""

from datetime import UTC, datetime

import pytest

from tests.journey.people import Person, World, furnish

MONDAY = datetime(2026, 7, 6, 6, tzinfo=UTC)


@pytest.fixture
def world(api) -> World:
    return World(api.url, api.keys["admin"], MONDAY)


def test_a_business_is_served_under_a_service_level_that_escalates(world) -> None:
    made = furnish(world)
    week = [{"weekday": day, "opens": "08:00", "closes": "18:00"} for day in ("mon", "tue", "wed", "thu", "fri")]
    calendar = {"code": "berlin", "name": "Berlin", "time_zone": "Europe/Berlin", "hours": week}
    world.admin.post("/v1/calendars", calendar)
    promise = {
        "name": "business repairs",
        "calendar": "berlin",
        "kinds": ["repair"],
        "customer_kinds": ["business"],
        "first_response_minutes": 60,
        "solution_minutes": 600,
    }
    world.admin.post("/v1/sla-policies", promise)
    steps = [{"on": "breach", "clock": "solution", "role": "desk_lead", "raise_priority": True}]
    world.admin.post("/v1/escalation-ladders", {"name": "repairs", "kinds": ["repair"], "steps": steps})

    hotel = world.meet("hotel", "customer", customer_id=made["customer_id"])
    case = hotel.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "No pressure", "component": "pump"})
    path = f"/v1/tickets/{case['ticket_id']}"

    # 06:00 UTC is 08:00 in Berlin: an hour to answer, ten hours to solve.
    clocks = {clock["kind"]: clock for clock in world.agent.get(f"{path}/clocks")["items"]}
    assert clocks["first_response"]["due_at"] == "2026-07-06T07:00:00Z"
    assert clocks["solution"]["due_at"] == "2026-07-06T16:00:00Z"
    world.later(minutes=30)
    world.agent.post(f"{path}/messages", {"body": "We are on it. Which error does it show?", "channel": "portal"})
    world.agent.post(f"{path}/transitions", {"to": "waiting_customer"})

    # An hour passes that is the customer's, not ours.
    world.later(minutes=60)
    hotel.post(f"{path}/messages", {"body": "E21", "channel": "portal"})
    assert world.agent.get(path)["state"] == "open"
    clocks = {clock["kind"]: clock for clock in world.agent.get(f"{path}/clocks")["items"]}
    assert (clocks["first_response"]["state"], clocks["first_response"]["breached"]) == ("stopped", False)
    # 16:00 is the end of the day: the hour goes on tomorrow morning.
    assert clocks["solution"]["due_at"] == "2026-07-07T07:00:00Z"

    # Nobody comes: the clock trips, the case is more urgent, and the desk lead must decide.
    world.now = datetime(2026, 7, 7, 7, tzinfo=UTC)
    world.later(minutes=1)
    assert world.agent.get(path)["priority"] == "high"
    (escalation,) = world.desk_lead.get("/v1/escalations?state=open&role=desk_lead")["items"]
    assert escalation["ticket_id"] == case["ticket_id"]
    decision = {"decision": "compensate", "text": "A partner comes today; the visit is free."}
    decide = f"/v1/escalations/{escalation['escalation_id']}/decide"
    assert world.agent.refused("POST", decide, decision) == (403, "/problems/not-named")
    world.desk_lead.post(decide, decision)

    # The partner gets the case and serves it.
    world.desk_lead.post(f"{path}/assign", {"provider_id": made["provider_id"]})
    job = world.agent.post("/v1/jobs", {"ticket_id": case["ticket_id"]})
    world.dispatcher.post("/v1/parts/reservations", {"job_id": job["job_id"], "sku": "PUMP", "quantity": 1})
    slot = {
        "technician_id": made["technician_id"],
        "starts_at": "2026-07-07T10:00:00Z",
        "ends_at": "2026-07-07T11:00:00Z",
    }
    world.dispatcher.post(f"/v1/jobs/{job['job_id']}/dispatch", slot)
    assert hotel.get(path)["state"] == "scheduled"
    world.now = datetime(2026, 7, 7, 10, tzinfo=UTC)
    world.dispatcher.post(f"/v1/jobs/{job['job_id']}/start")
    world.later(minutes=50)
    world.dispatcher.post(f"/v1/jobs/{job['job_id']}/complete", {"outcome": "confirmed"})
    assert hotel.get(path)["state"] == "resolved"
    clocks = {clock["kind"]: clock for clock in world.agent.get(f"{path}/clocks")["items"]}
    assert clocks["solution"]["breached"] is True
    said = [message["body"] for message in hotel.get(f"{path}/messages")["items"]]
    assert said == ["We are on it. Which error does it show?", "E21"]
    kinds = [event["kind"] for event in world.agent.get(f"{path}/events?limit=100")["items"]]
    assert {"sla_breached", "escalated", "escalation_decided"} <= set(kinds)


def test_what_a_machine_raised_ends_with_a_closed_visit(world) -> None:
    made = furnish(world)
    predictor = world.service
    evidence = {"model": "m7", "probability": 0.83, "rul_hours": [20, 60]}
    raised = {
        "kind": "preventive",
        "serial": "HD5-1",
        "component": "pump",
        "cause": "component:pump",
        "title": "Pump wears out",
        "evidence": evidence,
    }
    case = predictor.post("/v1/tickets", raised)
    again = predictor.post("/v1/tickets", {**raised, "evidence": {**evidence, "probability": 0.9}})
    assert (again["ticket_id"], again["created"]) == (case["ticket_id"], False)
    path = f"/v1/tickets/{case['ticket_id']}"
    assert predictor.get(path)["evidence"] == evidence
    world.agent.post(f"{path}/assign", {"provider_id": made["provider_id"]})

    job = predictor.post("/v1/jobs", {"ticket_id": case["ticket_id"]})
    predictor.post("/v1/parts/reservations", {"job_id": job["job_id"], "sku": "PUMP", "quantity": 1})
    slot = {
        "technician_id": made["technician_id"],
        "starts_at": "2026-07-07T08:00:00Z",
        "ends_at": "2026-07-07T09:00:00Z",
    }
    predictor.post(f"/v1/jobs/{job['job_id']}/dispatch", slot)

    ada = world.meet("ada", "technician", provider_id=made["provider_id"], technician_id=made["technician_id"])
    (line,) = ada.get("/v1/visits?day=2026-07-07")["items"]
    visit = f"/v1/visits/{line['visit_id']}"
    hotel = world.meet("hotel", "customer", customer_id=made["customer_id"])
    hotel.post(f"{visit}/confirm")
    world.now = datetime(2026, 7, 7, 8, tzinfo=UTC)
    ada.post(f"{visit}/check-in", {"latitude": 52.5, "longitude": 13.4, "accuracy_m": 20})
    ada.post(f"{visit}/begin-work")
    reservation = world.dispatcher.get(f"/v1/jobs/{job['job_id']}")["reservations"][0]["reservation_id"]
    pump = {
        "entry_id": "00000000-0000-0000-0000-000000000001",
        "kind": "used",
        "sku": "PUMP",
        "quantity": 1,
        "reservation_id": reservation,
        "old_part": "scrap",
        "component": "pump",
    }
    ada.post(f"{visit}/parts", pump)
    world.now = datetime(2026, 7, 7, 8, 55, tzinfo=UTC)
    ada.post(f"{visit}/check-out", {"latitude": 52.5, "longitude": 13.4})
    # Nothing is done with a gap; each is named.
    gaps = ada.ask("POST", f"{visit}/complete", {}).json()["gaps"]
    assert "report" in {gap["code"] for gap in gaps}
    report = {
        "serial_found": "HD5-1",
        "findings": "Worn bearing.",
        "work_done": "Pump changed.",
        "in_warranty": True,
        "replaced": [{"component": "pump", "reason": "preventive"}],
        "no_signature_reason": "nobody there",
        "solved": True,
        "outcome": "prevented",
    }
    answer = ada.ask("PUT", f"{visit}/report", report)
    assert answer.is_success, answer.text
    assert ada.get(f"{visit}/completion-check")["gaps"] == []
    ada.post(f"{visit}/complete")
    world.later(minutes=5)
    ticket = world.agent.get(path)
    assert (ticket["state"], ticket["outcome"]) == ("resolved", "prevented")
    world.agent.post(f"{path}/transitions", {"to": "closed"})
    assert ada.get(visit)["state"] == "completed"
    (fact,) = world.agent.get("/v1/replacements?serial=HD5-1")["items"]
    assert fact["component"] == "pump"
    kinds = {entry["kind"] for entry in hotel.get("/v1/assets/HD5-1/timeline?limit=100")["items"]}
    assert {"ticket", "visit"} <= {kind.partition(".")[0] for kind in kinds}, kinds


def test_a_warranty_that_just_ended_is_extended(world) -> None:
    made = furnish(world, customer={"name": "Marta Klein"})
    world.now = datetime(2027, 7, 5, 9, tzinfo=UTC)
    marta = world.meet("marta", "customer", customer_id=made["customer_id"])
    answer = marta.get("/v1/assets/HD5-1/warranty?component=pump")
    assert (answer["covered"], marta.get("/v1/assets/HD5-1/warranty?on=2027-06-30")["covered"]) == (False, True)
    case = marta.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "Pump leaks", "component": "pump"})
    wish = {"days": 20, "reason": "broke five days after", "ticket_id": case["ticket_id"]}
    path = "/v1/assets/HD5-1/warranty/extensions"
    assert marta.refused("POST", path, wish)[0] == 403
    granted = world.agent.post(path, wish)
    assert granted["state"] == "granted"
    assert marta.get("/v1/assets/HD5-1/warranty?component=pump")["covered"] is True
    assert world.agent.get("/v1/extension-budget")["count"] == 1
    lines = world.desk_lead.get("/v1/audit?serial=HD5-1&limit=200")["items"]
    assert any(line["table_name"] == "warranty_extension" and line["actor"] == "agent" for line in lines)


def test_a_partner_does_not_know_of_anothers_case(world) -> None:
    made = furnish(world)
    south = world.admin.post("/v1/providers", {"code": "SOUTH", "name": "Service South"})["provider_id"]
    case = world.agent.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "Leaks"})
    path = f"/v1/tickets/{case['ticket_id']}"
    world.agent.post(f"{path}/assign", {"provider_id": made["provider_id"]})
    world.agent.post(f"{path}/messages", {"body": "Tomorrow", "channel": "portal"})
    world.agent.post(f"{path}/notes", {"body": "Difficult customer"})
    ours = world.meet("north-manager", "partner_manager", provider_id=made["provider_id"])
    theirs = world.meet("south-manager", "partner_manager", provider_id=south)
    assert ours.get(path)["title"] == "Leaks"
    assert [note["body"] for note in ours.get(f"{path}/notes")["items"]] == []
    for hidden in (path, f"{path}/events", f"{path}/messages", f"{path}/clocks", "/v1/assets/HD5-1",
                   "/v1/assets/HD5-1/timeline", f"/v1/customers/{made['customer_id']}"):  # fmt: skip
        assert theirs.refused("GET", hidden) == (404, "/problems/not-found"), hidden
    assert theirs.refused("POST", f"{path}/transitions", {"to": "in_progress"})[0] in {403, 404}
    for listing in ("tickets", "assets", "customers", "jobs", "visits", "sites"):
        assert theirs.get(f"/v1/{listing}")["items"] == [], listing
    assert theirs.get("/v1/tickets/search?q=leaks")["items"] == []
    assert [event for event in theirs.get("/v1/events")["items"] if event["data"]["ticket_id"]] == []


def test_doubles_of_a_customer_become_one(world) -> None:
    made = furnish(world, customer={"name": "Müller", "contacts": [{"name": "Eva Müller", "phone": "+4915112345678"}]})
    double = world.agent.post(
        "/v1/customers",
        {"name": "E. Mueller", "contacts": [{"name": "Eva", "phone": "0151 12345678"}], "country": "DE"},
    )
    consent = {"channel": "email", "purpose": "marketing", "source": "web form"}
    world.agent.post(f"/v1/customers/{made['customer_id']}/consents", {**consent, "state": "given"})
    world.agent.post(f"/v1/customers/{double['customer_id']}/consents", {**consent, "state": "withdrawn"})
    case = world.agent.post(
        "/v1/tickets", {"kind": "consultation", "customer_id": double["customer_id"], "title": "Which detergent?"}
    )
    (found,) = world.agent.get(f"/v1/customers/{made['customer_id']}/duplicates")["items"]
    assert found["customer_id"] == double["customer_id"]
    survivor = world.agent.get(f"/v1/customers/{made['customer_id']}")
    seen = world.agent.get(f"/v1/customers/{double['customer_id']}")
    body = {"into": made["customer_id"], "into_version": survivor["version"]}
    world.desk_lead.post(f"/v1/customers/{double['customer_id']}/merge", body, version=seen["version"])
    assert world.agent.get(f"/v1/tickets/{case['ticket_id']}")["customer_id"] == made["customer_id"]
    eva = world.meet("eva", "customer", customer_id=made["customer_id"])
    assert {ticket["title"] for ticket in eva.get("/v1/tickets")["items"]} == {"Which detergent?"}
    answer = world.agent.ask("GET", f"/v1/customers/{double['customer_id']}")
    assert str(made["customer_id"]) in answer.text
    consents = world.agent.get(f"/v1/customers/{made['customer_id']}/consents")
    assert "withdrawn" in str(consents)


def test_a_person_is_forgotten_and_the_case_keeps_its_facts(world) -> None:
    person = {"name": "Hildegard Sommerfeld", "phone": "+4915187654321", "email": "hilde@example.org"}
    made = furnish(world, customer={"name": person["name"], "contacts": [person]})
    hilde = world.meet("Hildegard Sommerfeld", "customer", customer_id=made["customer_id"])
    case = hilde.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "Leaks", "component": "pump",
                                      "description": "Please ring Hildegard Sommerfeld first"})  # fmt: skip
    path = f"/v1/tickets/{case['ticket_id']}"
    hilde.post(f"{path}/messages", {"body": "My number is +4915187654321", "channel": "portal"})
    customer = f"/v1/customers/{made['customer_id']}"
    told = world.desk_lead.get(f"{customer}/export")
    assert "hilde@example.org" in str(told)
    erase = {"reason": "she asked us to"}
    assert world.agent.refused("POST", f"{customer}/erase", erase)[0] == 403
    seen = world.desk_lead.get(customer)
    assert world.desk_lead.refused("POST", f"{customer}/erase", erase, version=seen["version"])[0] == 409
    for to in ("in_progress", "resolved", "closed"):
        wish = {"to": to} | ({"outcome": "confirmed"} if to == "resolved" else {})
        world.agent.post(f"{path}/transitions", wish)
    seen = world.desk_lead.get(customer)
    world.desk_lead.post(f"{customer}/erase", erase, version=seen["version"])
    ticket = world.agent.get(path)
    assert (ticket["state"], ticket["outcome"], ticket["component"], ticket["serial"]) == (
        "closed", "confirmed", "pump", "HD5-1",
    )  # fmt: skip
    for page in (
        path,
        f"{path}/events",
        f"{path}/messages",
        customer,
        f"{customer}/contacts",
        "/v1/audit?limit=500",
        "/v1/assets/HD5-1/timeline?limit=200",
        "/v1/alerts?limit=500",
        "/v1/customers?name=Sommerfeld",
    ):
        text = str(world.admin.get(page))
        for trace in ("Sommerfeld", "15187654321", "hilde@"):
            assert trace not in text, f"{trace} in {page}"
    assert Person(world, hilde.key).refused("GET", "/v1/me")[0] == 401
