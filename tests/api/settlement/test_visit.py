"""From a visit on site to its lines: what a technician does is audited and paid by the duties alone."""

from datetime import timedelta

from tests.api.visits.conftest import Desk
from tests.api.visits.conftest import desk as desk  # noqa: PLC0414 - a fixture

CARD = {
    "name": "2026", "currency": "EUR", "valid_from": "2026-01-01",
    "lines": [
        {"kind": "labour", "code": "repair", "basis": "worked_hour", "amount_minor": 6000, "skill": "hydraulics"},
        {"kind": "travel", "code": "town", "basis": "visit", "amount_minor": 900},
        {"kind": "parts", "code": "handling", "basis": "piece", "amount_minor": 150},
        {"kind": "reward", "code": "first time", "basis": "visit", "amount_minor": 500, "condition": "first_time_fix"},
        {"kind": "penalty", "code": "again", "basis": "visit", "amount_minor": 700, "condition": "repeat_visit"},
    ],
}  # fmt: skip


def complete(desk: Desk, hours: float) -> int:
    """Forty-five minutes of work, two pumps, solved."""
    visit = desk.visit(hours)
    path = f"/v1/visits/{visit['visit_id']}"
    desk.on_site(visit)
    desk.use_pump(visit)
    desk.now += timedelta(minutes=45)
    desk.post("technician", f"{path}/check-out", {})
    desk.call("technician", "PUT", f"{path}/report", desk.report())
    desk.post("technician", f"{path}/complete")
    return int(visit["visit_id"])


def test_a_visit_is_paid_by_the_duties_alone(desk: Desk):
    card = desk.post("desk_lead", "/v1/settlement/rate-cards", CARD)
    desk.post("desk_lead", f"/v1/settlement/rate-cards/{card['rate_card_id']}/activate")
    visit_id = complete(desk, 24)
    desk.post("service", "/v1/duties/run")
    settled = desk.get("partner_manager", f"/v1/settlement/visits/{visit_id}")
    if settled["reason"] == "audit-manual":
        check = desk.get("agent", f"/v1/completion-audit/checks?visit_id={visit_id}")["items"][0]
        path = f"/v1/completion-audit/checks/{check['completion_check_id']}"
        desk.post("desk_lead", f"{path}/accept", {"reason": "seen"})
        desk.post("service", "/v1/duties/run")
        settled = desk.get("partner_manager", f"/v1/settlement/visits/{visit_id}")
    assert (settled["state"], settled["reason"], settled["detail"]) == ("settled", "", "")
    assert {line["kind"]: (line["quantity"], line["amount_minor"]) for line in settled["lines"]} == {
        "labour": (45, 4500), "travel": (1, 900), "parts": (2, 300), "reward": (1, 500)
    }  # fmt: skip

    # It proves to be none: all of it is taken back, once, also what was corrected.
    labour = next(line for line in settled["lines"] if line["kind"] == "labour")
    path = f"/v1/settlement/lines/{labour['statement_line_id']}/correct"
    desk.post("desk_lead", path, {"amount_minor": -1000, "reason": "too long"})
    reverse = f"/v1/settlement/visits/{visit_id}/reverse"
    reversed_visit = desk.post("desk_lead", reverse, {"reason": "nobody was there"})
    assert sum(line["amount_minor"] for line in reversed_visit["lines"]) == 0
    assert desk.refused("desk_lead", "POST", reverse, {"reason": "again"})["type"] == "/problems/nothing-to-reverse"
    (statement,) = desk.get("partner_manager", "/v1/settlement/statements")["items"]
    assert (statement["total_minor"], statement["line_count"]) == (0, 9)
