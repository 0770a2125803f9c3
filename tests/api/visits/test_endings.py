"""Visits that move, change hands, are called off, find nobody, are not safe, or do not solve the case."""

import uuid
from datetime import timedelta

from api.visits.rules import MACHINE


def path_of(visit) -> str:
    return f"/v1/visits/{visit['visit_id']}"


def test_appointments_move_for_a_reason_and_change_hands(desk) -> None:
    visit = desk.visit(24)
    path, tag = path_of(visit), {"If-Match": '"1"'}
    later = {**desk.slot(48), "reason": "parts_missing", "caused_by": "parts"}
    assert desk.refused("agent", "POST", f"{path}/reschedule", later)["status"] == 428
    wrong = desk.refused("agent", "POST", f"{path}/reschedule", {**later, "caused_by": "weather"}, **tag)
    assert wrong["errors"][0]["field"] == "body.caused_by"
    moved = desk.post("agent", f"{path}/reschedule", later, **tag)
    assert (moved["state"], moved["starts_at"]) == ("planned", "2026-07-03T08:00:00Z")
    assert desk.refused("agent", "POST", f"{path}/reschedule", later, **tag)["status"] == 412
    tag = {"If-Match": f'"{moved["version"]}"'}
    again = {**desk.slot(72), "reason": "customer_wish", "caused_by": "customer", "agreed": True}
    moved = desk.post("agent", f"{path}/reschedule", again, **tag)
    assert (moved["state"], moved["confirmed_by"]) == ("confirmed", "test-agent")
    counts = desk.get("agent", "/v1/visits/changes?since=2026-07-01T00:00:00Z&until=2026-07-02T00:00:00Z")["items"]
    assert [(one["caused_by"], one["count"]) for one in counts] == [("customer", 1), ("parts", 1)]

    # A partner gives it to its own technicians only; the new one sees it, the old one does not do it any more.
    hand = {"technician_id": desk.other_technician_id, "reason": "technician_ill"}
    tag = {"If-Match": f'"{moved["version"]}"'}
    moved = desk.post("partner_manager", f"{path}/reassign", hand, **tag)
    assert (moved["state"], moved["technician"]) == ("confirmed", "Bob")
    assert [change["kind"] for change in moved["changes"]] == ["reschedule", "reschedule", "reassign"]
    assert desk.refused("technician", "POST", f"{path}/depart")["type"] == "/problems/not-your-visit"
    assert desk.post("colleague", f"{path}/depart")["state"] == "travelling"

    # Other times are offered only before one is confirmed; the customer picks one, unless it is taken by then.
    second = desk.visit(24)
    offer = {"slots": [desk.slot(26), desk.slot(28)]}
    offered = desk.post("agent", f"{path_of(second)}/offer", offer)
    assert [slot["state"] for slot in offered["slots"]] == ["withdrawn", "offered", "offered"]
    desk.visit(28)
    taken = desk.refused("customer", "POST", f"{path_of(second)}/confirm", {"slot_id": offered["slots"][2]["slot_id"]})
    assert taken["type"] == "/problems/technician-busy"
    first = desk.post("customer", f"{path_of(second)}/confirm", {"slot_id": offered["slots"][1]["slot_id"]})
    assert (first["state"], first["starts_at"]) == ("confirmed", "2026-07-02T10:00:00Z")
    assert desk.refused("agent", "POST", f"{path_of(second)}/offer", offer)["type"] == "/problems/visit-state"

    # Called off: the job waits with its parts, and can get another visit.
    off = desk.post("agent", f"{path_of(second)}/cancel", {"reason": "machine was sold"})
    assert (off["state"], off["end_note"]) == ("cancelled", "machine was sold")
    job = desk.get("agent", f"/v1/jobs/{second['job_id']}")
    assert (job["state"], job["reservations"][0]["state"]) == ("waiting", "reserved")
    assert desk.visit(30, job_id=second["job_id"])["state"] == "planned"


def test_work_that_is_not_safe_and_doors_that_stay_closed(desk) -> None:
    visit = desk.visit(24)
    path = path_of(visit)
    desk.now += timedelta(days=1)
    desk.post("technician", f"{path}/check-in")
    wet = {"reason": "electrical", "note": "Socket stands in water."}
    assert desk.refused("technician", "POST", f"{path}/refuse", {**wet, "photos": []})["status"] == 422
    unknown = desk.refused("technician", "POST", f"{path}/refuse", {**wet, "photos": [999]})
    assert unknown["errors"][0]["field"] == "body.photos.0"
    photo = desk.photo()
    refused = desk.post("technician", f"{path}/refuse", {**wet, "photos": [photo]})
    assert (refused["state"], refused["photos"], refused["actions"]) == ("refused_unsafe", [photo], [])
    job = desk.get("agent", f"/v1/jobs/{visit['job_id']}")
    assert (job["state"], job["waiting_reason"]) == ("waiting", "refused unsafe: electrical; Socket stands in water.")
    assert desk.get("agent", f"/v1/tickets/{visit['ticket_id']}")["state"] == "open"

    # Nobody at the door: whoever says so has tried to reach somebody.
    second = desk.visit(48, job_id=visit["job_id"])
    path = path_of(second)
    desk.now += timedelta(days=1)
    desk.post("technician", f"{path}/depart")
    absent = {"reason": "absent", "note": "Rang for ten minutes."}
    assert desk.refused("technician", "POST", f"{path}/no-access", absent)["type"] == "/problems/no-contact-attempt"
    desk.post("technician", f"{path}/contacts", {"channel": "doorbell", "result": "no_answer"})
    assert desk.post("technician", f"{path}/no-access", absent)["state"] == "no_access"
    assert desk.get("agent", f"/v1/jobs/{visit['job_id']}")["state"] == "waiting"
    history = desk.get("agent", f"/v1/tickets/{visit['ticket_id']}/events")["items"]
    assert {"visit.refused_unsafe", "visit.no_access", "visit.contact"} <= {line["kind"] for line in history}


def test_what_is_not_solved_goes_on_as_the_report_says(desk) -> None:
    """Four cases, four next steps; nothing was replaced, so nothing is recorded as a fact."""
    base = {"replaced": [], "solved": False, "outcome": None}
    follow_ups = {
        "follow_up_visit": desk.slot(24 * 20),
        "part_order": {"sku": "PUMP", "quantity": 50},
        "mail_in": {"note": "Frame is bent."},
        "escalation": {"note": "The third pump within a year."},
    }
    done = {}
    for hours, (step, follow_up) in enumerate(follow_ups.items(), 1):
        follow_up.pop("technician_id", None)
        visit = desk.visit(24 * hours)
        path = path_of(visit)
        desk.on_site(visit)
        back = {"kind": "returned", "sku": "PUMP", "quantity": 2, "entry_id": str(uuid.uuid4())}
        (kept,) = desk.get("agent", f"/v1/jobs/{visit['job_id']}")["reservations"]
        desk.post("technician", f"{path}/parts", {**back, "reservation_id": kept["reservation_id"]})
        desk.now += timedelta(minutes=40)
        desk.post("technician", f"{path}/check-out")
        report = desk.report(**base, next_step=step, follow_up=follow_up)
        desk.call("technician", "PUT", f"{path}/report", report)
        assert desk.post("technician", f"{path}/complete")["state"] == "completed"
        made = desk.get("agent", f"{path}/report")["made"]
        job = desk.get("agent", f"/v1/jobs/{visit['job_id']}")
        ticket = desk.get("agent", f"/v1/tickets/{visit['ticket_id']}")
        done[step] = (made[0], job, ticket)
    made, job, ticket = done["follow_up_visit"]
    assert (job["state"], job["visit"]["visit_id"], ticket["state"]) == ("dispatched", made["visit_id"], "scheduled")
    assert [one["state"] for one in job["reservations"]] == ["reserved"], (
        "what went back is kept anew for the next visit"
    )
    made, job, ticket = done["part_order"]
    assert (job["state"], made["lead_time_days"], ticket["state"]) == ("waiting", 14, "open")
    assert job["waiting_reason"] == "50 of PUMP to be ordered, 14 days"
    assert {part["sku"]: part["quantity"] for part in job["parts"]} == {"PUMP": 52}
    made, job, ticket = done["mail_in"]
    assert (job["state"], ticket["service_mode"], ticket["state"]) == ("cancelled", "mail_in", "open")
    made, job, ticket = done["escalation"]
    assert (job["state"], ticket["priority"], ticket["state"]) == ("waiting", "urgent", "open")
    (escalation,) = desk.get("agent", "/v1/escalations?state=open&role=desk_lead")["items"]
    assert (escalation["escalation_id"], escalation["ticket_id"]) == (made["escalation_id"], ticket["ticket_id"])
    assert escalation["opened_because"].endswith("could not solve it. The third pump within a year.")
    assert desk.get("agent", "/v1/replacements?serial=HD5-1")["items"] == []
    assert desk.stock() == (10, 2)


def test_nothing_is_charged_beyond_what_the_customer_accepted(desk) -> None:
    prices = {"name": "Standard", "currency": "EUR", "valid_from": "2026-01-01", "labour_hour_minor": 6000}
    desk.post("admin", "/v1/price-lists", {**prices, "tax_rate_bp": 1900})
    visit = desk.visit(24)
    path = path_of(visit)
    desk.on_site(visit)
    desk.use_pump(visit)
    desk.now += timedelta(hours=1)
    desk.post("technician", f"{path}/check-out")
    sale = {"kind": "value_added_sale", "code": "DETERGENT", "quantity": 2, "amount_minor": 1500}
    lines = [{"kind": "labour", "quantity": 60}, {"kind": "part", "code": "PUMP", "quantity": 2}, sale]
    report = desk.report(in_warranty=False, warranty_note="Ran dry: misuse.", warranty_cause="misuse", fee_lines=lines)
    contract_id = plan_of(desk, {"annual_visit": 1})
    twice = {"contract_id": contract_id, "name": "annual_visit", "quantity": 2}
    desk.call("technician", "PUT", f"{path}/report", {**report, "entitlements": [twice, {**twice, "contract_id": 99}]})
    gaps = desk.get("technician", f"{path}/completion-check")["gaps"]
    assert [gap["message"] for gap in gaps if gap["code"] == "entitlement"] == [
        "annual_visit: 2 to be redeemed, 1 left",
        "annual_visit: HD5-1 has no contract 99 that entitles to it",
    ]
    report["entitlements"] = [{**twice, "quantity": 1}]
    desk.call("technician", "PUT", f"{path}/report", report, **{"If-Match": '"1"'})
    check = desk.get("technician", f"{path}/completion-check")
    assert check["warranty"]["covered"] is False
    assert [gap["code"] for gap in check["gaps"]] == ["not_accepted"]
    gross = check["bill"]["gross_minor"]
    assert gross == round((6000 + 2 * 5000 + 2 * 1500) * 1.19)
    refused = desk.refused("technician", "POST", f"{path}/complete")
    assert (refused["type"], refused["gaps"][0]["code"]) == ("/problems/completion-gaps", "not_accepted")
    assert desk.get("technician", path)["state"] == "started"

    # The customer accepts the quote on the spot; then it is charged, once.
    ticket = f"/v1/tickets/{visit['ticket_id']}"
    quote = desk.post("agent", f"{ticket}/quotes", {"lines": lines, "cause": "misuse"})
    desk.post("agent", f"/v1/quotes/{quote['quote_id']}/send")
    desk.post(
        "customer",
        f"/v1/quotes/{quote['quote_id']}/accept",
        {"text_sha256": _hash(desk, quote), "given_by": "Wang Wei"},
    )
    assert desk.get("technician", f"{path}/completion-check")["gaps"] == []
    desk.post("technician", f"{path}/complete")
    (charge,) = desk.get("agent", f"{ticket}/charges")["items"]
    assert (charge["amount_minor"], charge["currency"]) == (gross, "EUR")
    assert desk.get("customer", f"{path}/report")["bill"]["gross_minor"] == gross
    (left,) = desk.get("agent", f"/v1/cover-contracts/{contract_id}")["entitlements"]
    assert (left["granted"], left["redeemed"]) == (1, 1)


def test_human_damage_that_is_free_once_is_used_up_by_the_visit(desk) -> None:
    plan_of(desk, {}, human_damage="once_free")
    visit = desk.visit(24)
    path = path_of(visit)
    desk.on_site(visit)
    desk.use_pump(visit)
    desk.now += timedelta(hours=1)
    desk.post("technician", f"{path}/check-out")
    desk.call("technician", "PUT", f"{path}/report", desk.report(warranty_cause="human_damage"))
    ask = "/v1/assets/HD5-1/warranty?cause=human_damage"
    assert desk.get("agent", ask)["covered"] is True
    desk.post("technician", f"{path}/complete")
    assert desk.get("agent", ask)["reasons"][0]["code"] in {"human-damage", "human-damage-used"}
    assert desk.get("agent", f"{ask}&ticket_id={visit['ticket_id']}")["covered"] is True


def plan_of(desk, entitlements, **conditions) -> int:
    """A paid plan of the machine, from today on."""
    plan = {"code": "CARE", "name": "Care plan", "kind": "plan", "asset_kind": "pressure_washer", "price_minor": 9900}
    plan |= conditions
    desk.post(
        "admin", "/v1/cover-products", {**plan, "months": 12, "starts": "activation", "entitlements": entitlements}
    )
    sold = desk.post("agent", "/v1/cover-contracts", {"product": "CARE", "customer_id": desk.customer_id})
    activation = {"code": sold["activation_code"]}
    return desk.post("agent", "/v1/assets/HD5-1/warranty/contracts", activation)["contract_id"]


def _hash(desk, quote) -> str:
    return desk.get("customer", f"/v1/quotes/{quote['quote_id']}")["text_sha256"]


def test_every_pair_of_state_and_action_over_http_is_as_the_table_says(desk) -> None:
    """The states that one reaches quickly, with every action that has a call of its own."""
    receipt = {"sku": "PUMP", "warehouse": "VAN-1", "kind": "receipt", "quantity": 500, "cause": "delivery 2"}
    desk.post("service", "/v1/parts/movements", receipt)
    calls = {
        "offer": ("agent", "offer", {"slots": [desk.slot(24 * 90)]}),
        "confirm": ("agent", "confirm", {}),
        "reassign": ("dispatcher", "reassign", {"technician_id": desk.other_technician_id, "reason": "nearer"}),
        "depart": ("technician", "depart", {}),
        "check_in": ("technician", "check-in", {}),
        "begin_work": ("technician", "begin-work", {}),
        "check_out": ("technician", "check-out", {}),
        "complete": ("technician", "complete", {}),
        "call_off": ("agent", "cancel", {"reason": "rain"}),
    }
    ways = {
        "planned": [],
        "confirmed": ["confirm"],
        "travelling": ["depart"],
        "started": ["check_in"],
        "cancelled": ["call_off"],
    }
    hours = 24
    for state, way in ways.items():
        visit = None
        for action, (role, last, body) in calls.items():
            if visit is None or visit["state"] != state:
                hours += 24
                visit = desk.visit(hours)
                for step in way:
                    visit = desk.post(calls[step][0], f"{path_of(visit)}/{calls[step][1]}", calls[step][2])
                assert visit["state"] == state
            tag = {"If-Match": f'"{visit["version"]}"'}
            answer = desk.send(
                role if role != "technician" else "service", "POST", f"{path_of(visit)}/{last}", body, **tag
            )
            expected = MACHINE.next_state(state, action)
            if expected is None:
                assert (state, action, answer.status_code) == (state, action, 409)
                assert (answer.json()["type"], answer.json()["allowed"]) == (
                    "/problems/visit-state",
                    MACHINE.actions_of(state),
                )
            elif action in {"begin_work", "complete"}:
                # The table has it; the rules want more first.
                assert answer.json()["type"] in {"/problems/unsafe-to-begin", "/problems/completion-gaps"}
            else:
                visit = answer.json()
                assert (state, action, visit["state"]) == (state, action, expected)
