"""Old parts from the machine to the inspection, and what that does to who bears the part built in."""

import io
import uuid
from datetime import datetime, timedelta

from pypdf import PdfReader

from careloop.database.engine import connect

OLD = {"old_part": "return_to_maker", "old_serial": "OLD-1"}


def account_of(desk):
    (account,) = desk.get("agent", "/v1/partner-accounts?provider_id=1")["items"]
    return account


def bearers(desk, part, role="agent"):
    return desk.get(role, f"/v1/part-bearers?visit_id={part['visit_id']}")["items"]


def test_a_part_is_claimed_back_and_its_old_one_comes_back(desk, buy, finish) -> None:
    terms = {"provider_id": 1, "currency": "EUR", "limit_minor": 20_000, "handling_minor": 100, "handling_bp": 250}
    desk.post("desk_lead", "/v1/partner-accounts", terms)
    assert buy(1, 15_001, 3)["balance_minor"] == 15_001
    part = finish(24, OLD)
    borne(desk, part)
    slip = packed(desk, part)
    arrived(desk, part, slip)
    inspected(desk, part)


def borne(desk, part) -> None:
    """In warranty the maker bears it: two of three pumps at what they cost, and handling of 2 × 1.00 + 2.5 %."""
    (decision,) = bearers(desk, part)
    assert [decision[name] for name in ("bearer", "stock_of", "quantity", "credited_minor", "handling_minor")] == [
        "maker", "partner", 2, 10_000, 450,
    ]  # fmt: skip
    assert (decision["reasons"][0]["code"], decision["by_person"]) == ("covered", False)
    assert account_of(desk)["balance_minor"] == 15_001 - 10_450
    entries = desk.get("partner_manager", f"/v1/partner-accounts/{account_of(desk)['partner_account_id']}/entries")
    assert [(line["kind"], line["amount_minor"]) for line in entries["items"]] == [
        ("charge", 15_001), ("credit", -10_000), ("handling", -450),
    ]  # fmt: skip
    assert bearers(desk, part, "partner_manager") == [decision]
    assert desk.refused("technician", "GET", "/v1/part-bearers")["status"] == 403


def packed(desk, part):
    """The partner packs what is due in 30 days, and sends it."""
    (old,) = desk.get("partner_manager", "/v1/old-parts?state=to_return")["items"]
    assert (old["old_part_id"], old["state"], old["rule"]) == (part["visit_part_id"], "expected", "return")
    assert datetime.fromisoformat(old["due_by"]) - desk.now == timedelta(days=30)
    hub = {"code": "HUB", "name": "Hub", "kind": "central", "territory": "north"}
    desk.post("service", "/v1/warehouses", hub)
    wanted = {"warehouse": "HUB", "old_parts": [old["old_part_id"]], "note": "Fragile."}
    assert desk.refused("partner_manager", "POST", "/v1/return-slips", {**wanted, "old_parts": [99]})["status"] == 422
    slip = desk.post("partner_manager", "/v1/return-slips", wanted)
    path = f"/v1/return-slips/{slip['return_slip_id']}"
    assert (slip["state"], slip["parts"][0]["state"]) == ("open", "packed")
    again = desk.refused("partner_manager", "POST", "/v1/return-slips", wanted)
    assert again["type"] == "/problems/old-part-state"
    taken_out = desk.post("technician", f"{path}/parts", {"remove": [old["old_part_id"]]})
    assert taken_out["parts"] == []
    parcel = {"carrier": "DHL", "tracking_number": "00340"}
    assert desk.refused("technician", "POST", f"{path}/ship", parcel)["type"] == "/problems/slip-empty"
    desk.post("technician", f"{path}/parts", {"add": [old["old_part_id"]]})
    shipped = desk.post("partner_manager", f"{path}/ship", parcel)
    assert (shipped["state"], shipped["parts"][0]["state"]) == ("shipped", "shipped")
    assert desk.refused("partner_manager", "POST", f"{path}/receive", {"items": []})["status"] == 403
    paper = desk.send("partner_manager", "GET", f"{path}/paper")
    words = PdfReader(io.BytesIO(paper.content)).pages[0].extract_text()
    assert all(word in words for word in (f"RS-{slip['return_slip_id']}", "PUMP", "OLD-1", "HD5-1", "DHL", "Hub"))
    return slip


def arrived(desk, part, slip) -> None:
    """One of the two pumps was not in the parcel; it comes by itself."""
    number, path = part["visit_part_id"], f"/v1/return-slips/{slip['return_slip_id']}"
    desk.now += timedelta(days=20)
    stray = {"items": [{"old_part_id": 99}]}
    assert desk.refused("agent", "POST", f"{path}/receive", stray)["status"] == 422
    received = desk.post("agent", f"{path}/receive", {"items": [{"old_part_id": number, "quantity": 1}]})
    assert (received["state"], received["parts"]) == ("received", [])
    old = desk.get("agent", f"/v1/old-parts/{number}")
    assert (old["state"], old["quantity_received"], old["return_slip_id"]) == ("expected", 1, None)
    (alert,) = desk.rows("SELECT count(*) AS n FROM service.ticket_event WHERE kind = 'old_part.missing'")
    assert alert["n"] == 1
    assert desk.refused("agent", "POST", f"/v1/old-parts/{number}/inspect", {"finding": "misuse"})["status"] == 409
    old = desk.post("agent", f"/v1/old-parts/{number}/received", {"note": "by hand"})
    assert (old["state"], old["quantity_received"], old["actions"]) == ("received", 2, ["inspect"])


def inspected(desk, part) -> None:
    """A misused part is the customer's to bear; seen again by somebody else, the maker bears it after all."""
    path = f"/v1/old-parts/{part['visit_part_id']}"
    found = {"finding": "confirmed", "serial_found": "OLD-2"}
    assert "wrong_part" in desk.refused("engineer", "POST", f"{path}/inspect", found)["detail"]
    moded = {"finding": "no_fault_found", "failure_mode": "seal_leak"}
    assert desk.refused("engineer", "POST", f"{path}/inspect", moded)["status"] == 422
    photo = desk.photo("engineer", "green")
    misuse = {"finding": "misuse", "failure_mode": "ran_dry", "note": "No water.", "files": [photo]}
    old = desk.post("engineer", f"{path}/inspect", misuse)
    assert (old["state"], old["finding"], old["files"]) == ("inspected", "misuse", [photo])
    decisions = bearers(desk, part)
    assert [(one["bearer"], one["replaced_at"] is None, one["by_person"]) for one in decisions] == [
        ("maker", False, False), ("customer", True, True),
    ]  # fmt: skip
    assert account_of(desk)["balance_minor"] == 15_001
    old = desk.post("engineer", f"{path}/inspect", {"finding": "confirmed", "failure_mode": "seal_leak"})
    assert [one["claim_stands"] for one in old["inspections"]] == [False, True]
    assert bearers(desk, part)[-1]["bearer"] == "maker"
    assert account_of(desk)["balance_minor"] == 15_001 - 10_450
    stale = {"bearer": "partner", "reason": "seen too late"}
    replaced = desk.refused("desk_lead", "POST", f"/v1/part-bearers/{decisions[0]['part_bearer_id']}/decide", stale)
    assert replaced["type"] == "/problems/bearer-replaced"
    span = "since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z"
    assert desk.get("engineer", f"/v1/old-parts/findings?{span}")["items"] == [
        {"model": "HD-5", "component": "pump", "sku": "PUMP", "finding": "confirmed", "failure_mode": "seal_leak",
         "count": 1},
    ]  # fmt: skip
    desk.now += timedelta(minutes=1)
    (group,) = desk.get("agent", "/v1/reports/reliability?component=pump")["groups"]
    assert group["inspected"] == {
        "parts": 1, "by_finding": {"confirmed": 1}, "by_failure_mode": {"seal_leak": 1},
    }  # fmt: skip
    refused = desk.refused("engineer", "POST", f"{path}/repair", {"warehouse": "HUB"})
    assert refused["type"] == "/problems/not-rotable"
    done = desk.post("engineer", f"{path}/write-off", {"reason": "examined, scrapped"})
    assert (done["state"], done["ended_note"], done["actions"]) == ("written_off", "examined, scrapped", [])
    history = {line["kind"] for line in desk.get("agent", f"/v1/tickets/{part['ticket_id']}/events")["items"]}
    assert history >= {"part.bearer", "visit.old_part_received", "old_part.inspected", "old_part.written_off"}


def test_overdue_parts_are_told_once_and_written_off_against_evidence(desk, finish) -> None:
    # The maker's own part: nothing is claimed for it.
    part = finish(24, {"old_part": "none"}, {"solved": True})
    assert desk.get("agent", "/v1/old-parts")["items"] == []
    assert [(one["stock_of"], one["credited_minor"]) for one in bearers(desk, part)] == [("maker", 0)]
    rule = {"sku": "PUMP", "bearer": "maker", "fate": "return", "due_days": 5, "reason": "the maker examines pumps"}
    made = desk.post("desk_lead", "/v1/old-part-rules", rule)
    rule["model"] = "HD-5"
    assert desk.refused("agent", "POST", "/v1/old-part-rules", rule)["status"] == 403
    target = {"name": "partner", "kind": "webhook", "url": "http://127.0.0.1:9/", "topics": ["old_part.overdue"]}
    desk.post("admin", "/v1/alert-targets", target)
    part = finish(48, {"old_part": "scrap"})
    number = part["visit_part_id"]
    path = f"/v1/old-parts/{number}"
    old = desk.get("agent", path)
    assert (old["rule_reason"], old["bearer"], old["overdue"]) == ("the maker examines pumps", "maker", False)
    desk.now += timedelta(days=5, minutes=1)
    for told in (1, 0):
        assert desk.post("service", "/v1/duties/run")["overdue-old-parts"] == told
    (alert,) = [one for one in desk.get("admin", "/v1/alerts")["items"] if one["topic"] == "old_part.overdue"]
    assert alert["payload"]["old_part_id"] == number
    assert [one["old_part_id"] for one in desk.get("technician", "/v1/old-parts?state=overdue")["items"]] == [number]
    owed = desk.rows("SELECT old_part_id, missing FROM service.overdue_old_part")
    assert owed == [{"old_part_id": number, "missing": 2}]
    assert desk.refused("technician", "POST", f"{path}/scrap", {"files": [desk.photo()]})["type"] == (
        "/problems/old-part-rule"
    )
    lost = {"reason": "burnt with the van"}
    assert "evidence" in desk.refused("agent", "POST", f"{path}/write-off", lost)["detail"]
    done = desk.post("agent", f"{path}/write-off", {**lost, "files": [desk.photo("agent")]})
    assert (done["state"], done["overdue"]) == ("written_off", False)
    assert desk.rows("SELECT old_part_id FROM service.overdue_old_part") == []

    shown = {**rule, "model": None, "fate": "scrap_on_site", "evidence": True, "reason": "scrapped before a camera"}
    desk.post("desk_lead", "/v1/old-part-rules", shown)
    assert [one["fate"] for one in desk.get("technician", "/v1/old-part-rules")["items"]] == ["scrap_on_site"]
    assert desk.post("desk_lead", f"/v1/old-part-rules/{made['old_part_rule_id']}/end")["ended_at"] is not None
    part = finish(24 * 9, {"old_part": "scrap"})
    path = f"/v1/old-parts/{part['visit_part_id']}"
    assert desk.get("technician", path)["actions"] == ["pack", "receive", "scrap", "write_off", "waive"]
    wanted = {"warehouse": "VAN-1", "old_parts": [part["visit_part_id"]]}
    assert desk.refused("technician", "POST", "/v1/return-slips", wanted)["type"] == "/problems/old-part-rule"
    done = desk.post("technician", f"{path}/scrap", {"files": [desk.photo(colour="black")]})
    assert (done["state"], len(done["files"])) == ("scrapped", 1)


def test_a_part_that_is_used_again_goes_from_the_machine_to_the_repairer(desk, finish) -> None:
    with connect(desk.database_url) as connection:
        connection.execute("UPDATE service.part SET serialised = true, rotable = true")
    part = finish(24, {"old_part": "none", "old_serial": "R-OLD", "serial_fitted": "R-NEW"})
    path = f"/v1/old-parts/{part['visit_part_id']}"
    old = desk.get("engineer", path)
    assert (old["rule"], old["rule_reason"]) == ("return", "the part is repaired and used again")
    states = {one["serial"]: (one["state"], one["asset"]) for one in desk.get("agent", "/v1/rotables")["items"]}
    assert states == {"R-OLD": ("removed", "HD5-1"), "R-NEW": ("installed", "HD5-1")}
    desk.post("agent", f"{path}/received")
    desk.post("engineer", f"{path}/inspect", {"finding": "no_fault_found"})
    centre = {"code": "RC", "name": "Workshop", "kind": "repair_centre", "territory": "north"}
    desk.post("service", "/v1/warehouses", centre)
    done = desk.post("engineer", f"{path}/repair", {"warehouse": "RC", "repairer": "Pump Works"})
    assert (done["state"], done["finding"]) == ("at_repair", "no_fault_found")
    states = {one["serial"]: (one["state"], one["warehouse"]) for one in desk.get("agent", "/v1/rotables")["items"]}
    assert states["R-OLD"] == ("in_repair", "RC")


def test_what_a_later_visit_brings_back_is_not_claimed_and_not_expected(desk, buy, finish) -> None:
    terms = {"provider_id": 1, "currency": "EUR", "handling_minor": 100, "handling_bp": 250}
    desk.post("desk_lead", "/v1/partner-accounts", terms)
    buy(1, 15_001, 3)
    unsolved = {"solved": False, "outcome": None, "next_step": "follow_up_visit"}
    part = finish(24, OLD, unsolved)
    assert account_of(desk)["balance_minor"] == 15_001 - 10_450
    job_id = desk.get("agent", f"/v1/visits/{part['visit_id']}")["job_id"]
    again = desk.visit(72, job_id=job_id)
    desk.on_site(again)
    path = f"/v1/visits/{again['visit_id']}"
    back = {"entry_id": str(uuid.uuid4()), "kind": "returned", "sku": "PUMP", "warehouse": "VAN-1"}
    desk.post("technician", f"{path}/parts", back)
    desk.post("technician", f"{path}/check-out", {})
    desk.call("technician", "PUT", f"{path}/report", desk.report(replaced=[]))
    kept = desk.get("technician", f"{path}/completion-check")
    assert kept["complete"], kept["gaps"]
    desk.post("technician", f"{path}/complete")
    assert [(one["quantity"], one["credited_minor"], one["handling_minor"]) for one in bearers(desk, part)] == [
        (2, 10_000, 450), (1, 5000, 225),
    ]  # fmt: skip
    assert account_of(desk)["balance_minor"] == 15_001 - 5225
    assert desk.rows("SELECT left_quantity FROM service.partner_lot") == [{"left_quantity": 2}]
    assert desk.get("agent", f"/v1/old-parts/{part['visit_part_id']}")["quantity"] == 1
