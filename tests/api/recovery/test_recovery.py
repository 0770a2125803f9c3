"""What suppliers pay back, over HTTP: drafted by a replaced failure, submitted, decided, settled."""

from datetime import UTC, date, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.recovery.rules import CLAIM_MACHINE, Action, labour_minor, misfit_of_amounts, span_of
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FACTS = "/v1/assets/HD5-1"


def refused(call):
    with pytest.raises(ProblemError) as problem:
        call()
    return problem.value.status, problem.value.type.rpartition("/")[2]


@pytest.fixture
def desk(api):
    with api.client("agent") as client:
        client.post("/v1/parts", {"sku": "PUMP-9", "name": "Pump", "cost_minor": 8000})
        pump = {"name": "pump", "sku": "PUMP-9", "quantity": 2, "labour_minutes": 50}
        model = {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": [pump, {"name": "motor"}]}
        client.post("/v1/product-models", model)
        asset = {"model": "HD-5", "installed_at": "2025-01-10T00:00:00Z"}
        for serial in ("HD5-1", "HD5-2"):
            client.post("/v1/assets", {**asset, "serial": serial})
        yield client


@pytest.fixture
def lead(api, desk):
    with api.client("desk_lead") as client:
        supplier = {"code": "ACME", "name": "Acme Pumps", "labour_hour_minor": 6000, "claim_within_days": 30}
        client.post("/v1/suppliers", supplier)
        client.post("/v1/suppliers/ACME/supplies", {"sku": "PUMP-9", "warranty_months": 24})
        yield client


def test_a_replaced_failure_drafts_its_claim_which_is_settled(api, desk, lead) -> None:
    fail = {"component": "pump", "failed_at": "2026-05-20T10:00:00Z"}
    failure = desk.post(f"{FACTS}/failures", fail, now=NOW)
    assert list(desk.pages("/v1/supplier-claims")) == []
    fix = {"component": "pump", "replaced_at": "2026-05-22T10:00:00Z", "reason": "failure"}
    with api.client("technician") as technician:
        replacement = technician.post(f"{FACTS}/replacements", fix, now=NOW)
        assert refused(lambda: technician.get("/v1/supplier-claims"))[0] == 403
    (claim,) = desk.pages("/v1/supplier-claims", supplier="ACME", state="draft")
    known = ("failure_id", "replacement_id", "failed_on", "built_in_on", "covered_until", "deadline", "claimed_minor")
    assert [claim[name] for name in known] == [
        failure["fact_id"], replacement["fact_id"], "2026-05-20", "2025-01-10", "2027-01-09", "2026-06-19", 21_000,
    ]  # fmt: skip
    assert (claim["parts_minor"], claim["labour_minor"], claim["version"]) == (16_000, 5_000, 1)
    assert refused(lambda: desk.post("/v1/supplier-claims", {"failure_id": failure["fact_id"]}, now=NOW)) == (
        409,
        "claim-taken",
    )

    path = f"/v1/supplier-claims/{claim['claim_id']}"
    changed = desk.patch(path, {"travel_minor": 4_000, "note": "with photos"}, version=1)
    assert (changed["claimed_minor"], changed["version"]) == (25_000, 2)
    assert refused(lambda: desk.patch(path, {"travel_minor": 1}, version=1))[0] == 412
    move = lambda action, **more: desk.post(f"{path}/transitions", {"action": action, **more}, now=NOW)  # noqa: E731
    assert refused(lambda: move("accept")) == (409, "supplier-claim-state")
    assert move("submit", reference="A-77")["submitted_at"] == "2026-06-01T12:00:00Z"
    assert refused(lambda: desk.patch(path, {"travel_minor": 1}, version=3)) == (409, "claim-not-draft")
    assert refused(lambda: move("accept_partly"))[0] == 422
    assert refused(lambda: move("accept_partly", accepted_minor=25_000))[0] == 422
    assert refused(lambda: move("accept", accepted_minor=1))[0] == 422
    assert move("reject", note="no photos")["accepted_minor"] == 0
    assert move("appeal")["state"] == "submitted"
    assert move("accept_partly", accepted_minor=20_000)["accepted_minor"] == 20_000
    assert refused(lambda: move("settle", settled_minor=20_001))[0] == 422
    settled = move("settle", settled_minor=19_500)
    assert (settled["state"], settled["settled_minor"], settled["reference"]) == ("settled", 19_500, "A-77")
    assert refused(lambda: move("withdraw")) == (409, "supplier-claim-state")
    assert desk.get("/v1/suppliers/ACME/recovery")["items"] == [
        {"state": "settled", "claims": 1, "claimed_minor": 25_000, "accepted_minor": 20_000, "settled_minor": 19_500}
    ]


def test_by_hand_by_age_and_by_deadline(api, desk, lead) -> None:
    # Of a pump that was built in last year, the next failure is dated from then; of one by age, no claim.
    old = {"component": "pump", "replaced_at": "2025-11-01T00:00:00Z", "reason": "scheduled"}
    desk.post(f"{FACTS}/replacements", old, now=NOW)
    failure = desk.post(f"{FACTS}/failures", {"component": "pump", "failed_at": "2026-05-20T10:00:00Z"}, now=NOW)
    ticket = desk.open_ticket({"kind": "repair", "serial": "HD5-1", "component": "pump", "title": "Leaks"}, now=NOW)
    wish = {"failure_id": failure["fact_id"], "ticket_id": ticket["ticket_id"], "parts_minor": 9_000}
    claim = desk.post("/v1/supplier-claims", wish, now=NOW)
    assert (claim["built_in_on"], claim["claimed_minor"]) == ("2025-11-01", 14_000)
    fix = {"component": "pump", "replaced_at": "2026-05-22T10:00:00Z", "reason": "failure"}
    replacement = desk.post(f"{FACTS}/replacements", fix, now=NOW)
    assert desk.get(f"/v1/supplier-claims/{claim['claim_id']}")["replacement_id"] == replacement["fact_id"]
    assert len(list(desk.pages("/v1/supplier-claims"))) == 1
    assert "supplier_claim" in [one["kind"] for one in desk.pages(f"/v1/tickets/{ticket['ticket_id']}/events")]
    late = NOW.replace(year=2030)
    aged = desk.post(f"{FACTS}/failures", {"component": "pump", "failed_at": "2029-05-20T10:00:00Z"}, now=late)
    assert refused(lambda: desk.post("/v1/supplier-claims", {"failure_id": aged["fact_id"]}, now=late)) == (
        409,
        "supplier-warranty-over",
    )
    motor = desk.post(f"{FACTS}/failures", {"component": "motor", "failed_at": "2026-05-20T10:00:00Z"}, now=NOW)
    assert refused(lambda: desk.post("/v1/supplier-claims", {"failure_id": motor["fact_id"]}, now=NOW)) == (
        409,
        "no-supplier",
    )
    for body in ({}, {"failure_id": 99}, {"replacement_id": 1}, {**wish, "ticket_id": 99}, {**wish, "parts_minor": -1}):
        assert refused(lambda body=body: desk.post("/v1/supplier-claims", body, now=NOW))[0] == 422

    # The deadline is told of once, then the draft expires.
    target = {"name": "desk", "kind": "apprise", "url": "careloop-log://", "topics": ["claim.due"]}
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", target)
    path = f"/v1/supplier-claims/{claim['claim_id']}"
    with api.client("service") as client:
        run = lambda day: client.post("/v1/duties/run", {}, now=NOW.replace(day=day))["supplier-claims"]  # noqa: E731
        assert [run(day) for day in (4, 5, 6)] == [0, 1, 0]
        assert [one["topic"] for one in desk.pages("/v1/alerts")] == ["claim.due"]
        assert refused(lambda: desk.post(f"{path}/transitions", {"action": "submit"}, now=NOW.replace(day=20))) == (
            409,
            "claim-late",
        )
        assert run(20) == 1
    assert desk.get(path)["state"] == "expired"

    # Who answers for what.
    assert refused(lambda: lead.post("/v1/suppliers", {"code": "ACME", "name": "Again"})) == (409, "code-taken")
    of_model = {"model": "HD-5", "component": "motor", "warranty_months": 36}
    supply = lead.post("/v1/suppliers/ACME/supplies", of_model)
    assert refused(lambda: lead.post("/v1/suppliers/ACME/supplies", of_model)) == (409, "supply-taken")
    assert refused(lambda: lead.post("/v1/suppliers/ACME/supplies", {**of_model, "component": "wing"}))[0] == 422
    assert refused(lambda: lead.post("/v1/suppliers/ACME/supplies", {"sku": "X", "warranty_months": 1}))[0] == 422
    assert refused(lambda: lead.post("/v1/suppliers/NONE/supplies", of_model))[0] == 404
    assert len(list(lead.pages("/v1/suppliers/ACME/supplies"))) == 2
    assert desk.post("/v1/supplier-claims", {"failure_id": motor["fact_id"]}, now=NOW)["parts_minor"] == 0
    assert supply["model"] == "HD-5"
    changed = lead.patch("/v1/suppliers/ACME", {"claim_within_days": 60}, version=1)
    assert (changed["claim_within_days"], changed["labour_hour_minor"]) == (60, 6000)


def test_every_action_in_every_state_goes_by_the_table(api, desk, lead) -> None:
    failure = desk.post(f"{FACTS}/failures", {"component": "pump", "failed_at": "2026-05-20T10:00:00Z"}, now=NOW)
    claim = desk.post("/v1/supplier-claims", {"failure_id": failure["fact_id"]}, now=NOW)
    path = f"/v1/supplier-claims/{claim['claim_id']}/transitions"
    answers, wanted = {}, {}
    for state in CLAIM_MACHINE.states:
        for action in get_args(Action):
            with connect(api.database_url) as connection:
                connection.execute("UPDATE service.supplier_claim SET state = %s, accepted_minor = 100", (state,))
            body = {"action": action} | ({"accepted_minor": 50} if action == "accept_partly" else {})
            try:
                answers[state, action] = desk.post(path, body, now=NOW)["state"]
            except ProblemError as problem:
                answers[state, action] = problem.type
            wanted[state, action] = CLAIM_MACHINE.next_state(state, action) or "/problems/supplier-claim-state"
    assert answers == wanted


def test_rules() -> None:
    day = date(2026, 1, 31)
    assert span_of(day, date(2026, 2, 28), warranty_months=1, claim_within_days=10).covered
    assert not span_of(day, date(2026, 3, 1), warranty_months=1, claim_within_days=10).covered
    assert not span_of(day, date(2026, 1, 30), warranty_months=1, claim_within_days=10).covered
    assert [labour_minor(*case) for case in ((60, 6000), (50, 6000), (1, 29), (1, 30), (1, 31))] == [
        6000,
        5000,
        0,
        1,
        1,
    ]
    assert CLAIM_MACHINE.final == {"settled", "withdrawn", "expired"}
    assert misfit_of_amounts("submit", 0, None, None, None)[0] == "action"
    assert misfit_of_amounts("settle", 10, 10, None, 10) is None


@given(st.integers(0, 10_000), st.integers(0, 10**6), st.integers(0, 100))
def test_more_minutes_never_cost_less(minutes, hour_minor, more) -> None:
    assert labour_minor(minutes, hour_minor) <= labour_minor(minutes + more, hour_minor)
