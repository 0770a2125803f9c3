"""An instrument's life over HTTP: calibrated, lent, asked for, given back, found to be off."""

from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)


def days(number: int) -> datetime:
    return NOW + timedelta(days=number)


@pytest.fixture
def desk(api):
    with api.client("service") as client:
        client.post("/v1/warehouses", {"code": "HUB", "name": "Hub", "kind": "central"})
        for name in ("Ada", "Ben"):
            client.post("/v1/technicians", {"name": name, "skills": ["general"], "territories": ["north"]})
        yield client


@pytest.fixture
def told(desk, api):
    with api.client("admin") as admin:
        url = "http://127.0.0.1:9/hook"
        for topic in ("instrument.overdue", "instrument.calibration_due"):
            admin.post("/v1/alert-targets", {"name": topic, "kind": "webhook", "url": url, "topics": [topic]})

        def told(now):
            admin.post("/v1/duties/run", {}, now=now)
            return [alert["subject"] for alert in admin.pages("/v1/alerts")]

        yield told


def test_an_instrument_is_lent_asked_for_and_given_back(desk, told, refusal, at_once) -> None:
    wrench = {"code": "TW-1", "name": "Torque wrench 5-60 Nm", "kind": "torque_wrench", "calibration_days": 365}
    made = desk.post("/v1/instruments", {**wrench, "warehouse": "HUB"}, now=NOW)
    path = f"/v1/instruments/{made['instrument_id']}"
    assert (made["state"], made["lendable"], made["warehouse"]) == ("available", False, "HUB")
    assert refusal(desk.post, "/v1/instruments", wrench).type == "/problems/code-taken"
    loan = {"technician_id": 1, "due_back_on": "2026-07-05"}
    assert refusal(desk.post, f"{path}/loans", loan, now=NOW).type == "/problems/calibration-missing"
    done = desk.post(f"{path}/calibrations", {"result": "passed", "calibrated_on": "2025-07-03"}, now=NOW)
    assert (done["instrument"]["calibrated_until"], done["instrument"]["lendable"]) == ("2026-07-03", True)
    assert refusal(desk.post, f"{path}/loans", loan, now=NOW).type == "/problems/calibration-ends-first"
    assert refusal(desk.post, f"{path}/loans", loan, now=days(3)).type == "/problems/calibration-expired"
    assert told(NOW) == ["TW-1: calibration until 2026-07-03"]
    assert told(days(1)) == told(NOW), "each end is told of once"
    again = {"result": "adjusted", "calibrated_on": "2026-07-01", "laboratory": "DKD 7"}
    assert desk.post(f"{path}/calibrations", again, now=NOW)["instrument"]["calibrated_until"] == "2027-07-01"
    for field, value in (("technician_id", 99), ("ticket_id", 99), ("due_back_on", "2026-06-30")):
        refused = refusal(desk.post, f"{path}/loans", {**loan, field: value}, now=NOW)
        assert refused.problem["errors"][0]["field"] == f"body.{field}"
    answers = at_once(lambda client, who: client.post(f"{path}/loans", {**loan, "technician_id": who}, now=NOW), [1, 2])
    assert sorted(getattr(answer, "type", "lent") for answer in answers) == ["/problems/instrument-state", "lent"]
    (lent,) = desk.pages("/v1/instrument-loans", state="lent")
    number = lent["instrument_loan_id"]
    assert desk.get(path)["instrument_loan_id"] == number
    assert told(days(5))[1:] == [], "due on that day, wherever on Earth"
    holder = lent["technician"]
    assert told(days(6))[1:] == [f"TW-1 is not back: {holder}"]
    assert len(told(days(7))) == 2
    assert len(told(days(13))) == 3, "asked for again after a week"
    loans = f"/v1/instrument-loans/{number}"
    assert desk.get(loans)["state"] == "overdue"
    assert desk.post(f"{loans}/extend", {"due_back_on": "2026-08-01"}, now=days(13))["state"] == "lent"
    refused = refusal(desk.post, f"{loans}/extend", {"due_back_on": "2027-07-02"}, now=days(13))
    assert refused.type == "/problems/calibration-ends-first"
    assert desk.get(loans)["due_back_on"] == "2026-08-01"
    assert refusal(desk.post, f"{path}/block", {"reason": "bent"}).type == "/problems/instrument-state"
    back = desk.post(f"{loans}/give-back", {"condition": "handle bent", "damaged": True}, now=days(14))
    assert (back["state"], desk.get(path)["state"]) == ("returned", "blocked")
    assert refusal(desk.post, f"{loans}/give-back", {}).type == "/problems/instrument-loan-state"
    desk.post(f"{path}/send-to-calibration", {})
    failed = desk.post(f"{path}/calibrations", {"result": "failed", "calibrated_on": "2026-07-20"}, now=days(20))
    assert [one["instrument_loan_id"] for one in failed["doubtful_loans"]] == [number]
    assert failed["instrument"]["state"] == "blocked"
    assert [one["result"] for one in desk.pages(f"{path}/calibrations")] == ["passed", "adjusted", "failed"]
    assert desk.post(f"{path}/scrap", {"reason": "cannot be adjusted"})["state"] == "scrapped"
    assert list(desk.pages("/v1/instruments", state="available")) == []


def test_a_partner_lends_its_own_and_sees_the_houses(desk, api, refusal) -> None:
    with api.client("admin") as admin:
        number = admin.post("/v1/providers", {"code": "P1", "name": "P1"})["provider_id"]
    desk.post("/v1/instruments", {"code": "HOUSE", "name": "Meter", "kind": "meter"})
    with api.scoped_client("partner_manager", provider_id=number) as manager:
        own = manager.post("/v1/instruments", {"code": "OWN", "name": "Meter", "kind": "meter"})
        assert own["provider_id"] == number
        assert [one["code"] for one in manager.pages("/v1/instruments", kind="meter")] == ["HOUSE", "OWN"]
        assert refusal(manager.patch, "/v1/instruments/1", {"name": "Mine"}, version=1).type == "/problems/not-yours"
        path = f"/v1/instruments/{own['instrument_id']}"
        assert manager.patch(path, {"name": "Old meter"}, version=1)["version"] == 2
        lost = manager.post(f"{path}/lose", {"reason": "van stolen"})
        assert (lost["state"], manager.post(f"{path}/find", {"reason": "there"})["state"]) == ("lost", "blocked")
        assert manager.post(f"{path}/release", {"reason": "looked at"})["lendable"] is True
    refused = refusal(desk.post, f"{path}/loans", {"technician_id": 1, "due_back_on": "2030-01-01"})
    assert refused.problem["errors"][0]["field"] == "body.technician_id"
