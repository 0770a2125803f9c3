"""Policies, proofs of purchase and what follows from them, over HTTP."""

from datetime import UTC, date, datetime

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 2, 1, 4, tzinfo=UTC)
POLICY = {
    "name": "HD consumer",
    "model": "HD-5",
    "valid_from": "2024-01-01",
    "excluded_components": ["nozzle"],
    "human_damage": "once_free",
    "transferable": False,
    "lines": [
        {"months": 24, "meter_metric": "running_hours", "meter_limit": 500},
        {"component": "motor", "months": 60, "labour": False, "travel": False},
    ],
}


@pytest.fixture
def lead(api, desk):
    with api.client("desk_lead") as client:
        yield client


def run(api):
    with api.client("service") as client:
        return client.post("/v1/duties/run", {}, now=NOW)["warranty-terms"]


def terms(client, serial="HD5-1"):
    found = list(client.pages("/v1/warranty-terms", serial=serial))
    return {term["component"]: (term["starts_on"], term["ends_on"]) for term in found}


def refused(call):
    with pytest.raises(ProblemError) as problem:
        call()
    return problem.value.status, problem.value.type.rpartition("/")[2]


def test_terms_follow_from_a_policy_and_move_with_the_proof(api, desk, lead, say) -> None:
    assert run(api) == 0  # without a policy machines wait
    policy = lead.post("/v1/warranty-policies", {**POLICY, "code": "HD"}, now=NOW)
    assert (policy["version"], policy["lines"][1]["component"]) == (1, "motor")
    assert run(api) == 2
    assert run(api) == 0
    assert terms(desk) == {None: ("2025-01-01", "2026-12-31"), "motor": ("2025-01-01", "2029-12-31")}
    # One ticket at the machine's end; none for the component's.
    assert [term["component"] for term in desk.pages("/v1/warranty-terms", unticketed=True)] == [None, None]

    # The meter of the day: by its last reading, or by what the rollup knows of earlier days.
    say("HD5-1", "running_hours", "2026-01-20T10:00:00Z", 512.0, "latest", "daily")
    say("HD5-1", "running_hours", "2026-01-10T10:00:00Z", 490.0, "daily")
    ask = lambda **query: desk.get("/v1/assets/HD5-1/warranty", now=NOW, **query)  # noqa: E731 - said often
    today = ask()
    assert (today["covered"], today["reasons"][0]["code"]) == (False, "meter-exceeded")
    assert today["evidence"]["meters"] == [
        {"metric": "running_hours", "value": 512.0, "at": "2026-01-20T10:00:00Z", "limit": 500.0}
    ]
    earlier = ask(on="2026-01-15")
    assert (earlier["extent"], earlier["bearer"], earlier["meter_left"]) == ("yes", "maker", 10.0)
    assert (earlier["until"], earlier["days_left"], earlier["term"]["policy"]) == ("2026-12-31", 350, "HD")
    unknown = desk.get("/v1/assets/HD5-2/warranty", now=NOW)
    assert [reason["code"] for reason in unknown["reasons"]] == ["covered", "meter-unknown"]
    given = desk.get("/v1/assets/HD5-2/warranty", now=NOW, meter="running_hours:501")
    assert (given["covered"], given["evidence"]["meters"][0]["at"]) == (False, None)
    motor = ask(component="motor")
    assert (motor["extent"], motor["parts"], motor["labour"], motor["bearer"]) == ("partly", True, False, "shared")
    assert ask(on="2026-01-15", component="nozzle")["reasons"][0]["code"] == "wear-part"
    assert ask(on="2026-01-15", cause="misuse")["reasons"][0]["code"] == "excluded-cause"
    assert ask(on="2026-01-15", cause="human_damage")["covered"] is True
    assert refused(lambda: ask(component="wing")) == (422, "bad-field")
    assert refused(lambda: ask(meter="many")) == (422, "bad-field")
    assert refused(lambda: ask(ticket_id=7)) == (422, "bad-field")


def test_a_proof_moves_the_start(api, desk, lead) -> None:
    lead.post("/v1/warranty-policies", {**POLICY, "code": "HD"}, now=NOW)
    run(api)
    # The end is announced by a ticket; then the proof of purchase moves the start.
    (machine,) = (one for one in desk.pages("/v1/warranty-terms", serial="HD5-1") if one["component"] is None)
    expiry = {"kind": "warranty_expiry", "serial": "HD5-1", "title": "Ends", "term_id": machine["term_id"]}
    desk.open_ticket(expiry, now=NOW)
    proof = {"purchased_on": "2025-03-01", "seller": "Baumarkt", "invoice_number": "R-17", "country": "DE"}
    late = {**proof, "purchased_on": "2026-03-01"}
    assert refused(lambda: desk.post("/v1/assets/HD5-1/warranty/purchases", late, now=NOW)) == (422, "bad-field")
    assert refused(lambda: desk.post("/v1/assets/HD5-1/warranty/purchases", {**proof, "file_id": 99}, now=NOW)) == (
        422,
        "bad-field",
    )
    purchase = desk.post("/v1/assets/HD5-1/warranty/purchases", proof, now=NOW)
    assert (purchase["state"], terms(desk)[None][0]) == ("submitted", "2025-01-01")
    path = f"/v1/warranty-purchases/{purchase['purchase_id']}"
    assert desk.post(f"{path}/accept", {}, now=NOW)["state"] == "accepted"
    assert terms(desk) == {None: ("2025-03-01", "2027-02-28"), "motor": ("2025-03-01", "2030-02-28")}
    asked = desk.get("/v1/assets/HD5-1/warranty", now=NOW)
    assert asked["evidence"]["purchased_on"] == "2025-03-01"
    # The ticket keeps its term; the new one is announced in its turn.
    fresh = list(desk.pages("/v1/warranty-terms", serial="HD5-1", unticketed=True))
    assert [one["ends_on"] for one in fresh] == ["2027-02-28"]
    assert fresh[0]["term_id"] != machine["term_id"]
    assert refused(lambda: desk.post(f"{path}/accept", {}, now=NOW)) == (409, "warranty-purchase-state")
    # A better proof replaces the first; rejected, the rule of the policy holds again.
    second = desk.post("/v1/assets/HD5-1/warranty/purchases", {**proof, "purchased_on": "2025-02-01"}, now=NOW)
    desk.post(f"/v1/warranty-purchases/{second['purchase_id']}/accept", {}, now=NOW)
    states = [one["state"] for one in desk.pages("/v1/assets/HD5-1/warranty/purchases")]
    assert (states, terms(desk)[None][0]) == (["replaced", "accepted"], "2025-02-01")
    reject = f"/v1/warranty-purchases/{second['purchase_id']}/reject"
    assert refused(lambda: desk.post(reject, {"reason": ""}, now=NOW)) == (422, "bad-field")
    assert desk.post(reject, {"reason": "forged"}, now=NOW)["decision"] == "forged"
    assert terms(desk)[None][0] == "2025-01-01"
    assert [one["purchase_id"] for one in desk.pages("/v1/warranty-purchases", state="replaced")] == [
        purchase["purchase_id"]
    ]


def test_a_change_makes_a_version_and_what_was_sold_keeps_its_own(api, desk, lead) -> None:
    lead.post("/v1/warranty-policies", {**POLICY, "code": "HD"}, now=NOW)
    assert refused(lambda: lead.post("/v1/warranty-policies", {**POLICY, "code": "HD"}, now=NOW))[0] == 409
    shorter = {**POLICY, "valid_from": "2026-01-01", "lines": [{"months": 12}]}
    path = "/v1/warranty-policies/HD/versions"
    assert refused(lambda: lead.post(path, shorter, now=NOW))[0] == 428
    assert refused(lambda: lead.post(path, shorter, now=NOW, version=2))[0] == 412
    assert lead.post(path, shorter, now=NOW, version=1)["version"] == 2
    assert refused(lambda: lead.post(path, shorter, now=NOW, version=1))[0] == 412
    assert lead.get("/v1/warranty-policies/HD", version=1)["valid_to"] == "2025-12-31"
    desk.post("/v1/assets", {"serial": "HD5-3", "model": "HD-5", "installed_at": "2026-01-15T00:00:00Z"}, now=NOW)
    # Asked before the duty came round, the question derives the terms itself.
    new = desk.get("/v1/assets/HD5-3/warranty", now=NOW)
    assert (new["term"]["policy_version"], new["until"]) == (2, "2027-01-14")
    old = desk.get("/v1/assets/HD5-1/warranty", now=NOW)
    assert (old["term"]["policy_version"], old["until"]) == (1, "2026-12-31")

    for field, change in {
        "body.model": {"model": "HD-9"},
        "body.kind": {"kind": "robot"},
        "body.valid_to": {"valid_to": "2023-01-01"},
        "body.lines": {"lines": []},
        "body.lines.0.months": {"lines": [{"months": 0}]},
        "body.lines.0.component": {"lines": [{"months": 1, "component": "wing"}]},
        "body.excluded_components.0": {"excluded_components": ["wing"]},
        "body.countries.0": {"countries": ["Germany"]},
    }.items():
        with pytest.raises(ProblemError) as problem:
            lead.post("/v1/warranty-policies", {**POLICY, "code": "X", **change}, now=NOW)
        assert [error["field"] for error in problem.value.problem["errors"]] == [field]
    assert refused(lambda: lead.get("/v1/warranty-policies/NONE"))[0] == 404
    assert [one["version"] for one in lead.pages("/v1/warranty-policies", code="HD")] == [1, 2]


def test_the_first_reading_starts_it_and_owners_may_end_it(api, desk, lead, say) -> None:
    lead.post("/v1/warranty-policies", {**POLICY, "code": "HD", "start_rule": "first_reading"}, now=NOW)
    assert run(api) == 2
    assert terms(desk)[None][0] == "2025-01-01"
    say("HD5-1", "running_hours", "2025-01-20T20:00:00Z", 1.0, "daily")
    assert run(api) == 0  # looked at again a day later
    with api.client("service") as client:
        client.post("/v1/duties/run", {}, now=NOW.replace(day=3))
    # By the rollup of whole days in UTC, where the machine stands.
    assert (terms(desk)[None][0], terms(desk, "HD5-2")[None][0]) == ("2025-01-20", "2025-01-01")

    buyer = desk.post("/v1/customers", {"name": "Second Owner"})
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.asset_owner (asset_id, customer_id, from_at, reason, recorded_by, recorded_at)"
            " SELECT asset_id, %s, '2025-10-01T00:00Z', 'transferred', 'test', now()"
            " FROM service.asset WHERE serial = 'HD5-1'",
            (buyer["customer_id"],),
        )
        connection.execute("UPDATE service.asset SET customer_id = %s WHERE serial = 'HD5-1'", (buyer["customer_id"],))
    before = desk.get("/v1/assets/HD5-1/warranty", on=date(2025, 9, 30), now=NOW)
    after = desk.get("/v1/assets/HD5-1/warranty", on=date(2025, 10, 1), now=NOW)
    assert (before["covered"], after["covered"]) == (True, False)
    assert (after["reasons"][0]["code"], after["evidence"]["transferred_on"]) == ("transferred", "2025-10-01")

    # The owner sees the same answer for their own machine only, and may register a purchase that an agent checks.
    with api.scoped_client("customer", customer_id=buyer["customer_id"]) as owner:
        assert owner.get("/v1/assets/HD5-1/warranty", on=date(2025, 10, 1), now=NOW) == after
        assert refused(lambda: owner.get("/v1/assets/HD5-2/warranty", now=NOW))[0] == 404
        assert {one["serial"] for one in owner.pages("/v1/warranty-terms")} == {"HD5-1"}
        mine = owner.post("/v1/assets/HD5-1/warranty/purchases", {"purchased_on": "2025-10-01"}, now=NOW)
        accept = f"/v1/warranty-purchases/{mine['purchase_id']}/accept"
        assert refused(lambda: owner.post(accept, {}, now=NOW))[0] == 403
    assert desk.post(accept, {}, now=NOW)["state"] == "accepted"
    assert desk.get("/v1/assets/HD5-1/warranty", on=date(2025, 10, 1), now=NOW)["covered"] is True
    assert "HD5-1" in {one["serial"] for one in desk.pages("/v1/warranty-terms", unticketed=True)}
    # The next owner does not see how this one bought it, and is told of no end of what ended with the sale.
    third = desk.post("/v1/customers", {"name": "Third Owner"})
    version = desk.get("/v1/assets/HD5-1")["version"]
    move = {"customer_id": third["customer_id"], "at": NOW.replace(month=3).isoformat()}
    later = NOW.replace(month=4)
    desk.post("/v1/assets/HD5-1/transfer", move, version=version, now=later)
    with api.scoped_client("customer", customer_id=third["customer_id"]) as owner:
        assert list(owner.pages("/v1/assets/HD5-1/warranty/purchases")) == []
        assert owner.get("/v1/assets/HD5-1/warranty", now=later)["reasons"][0]["code"] == "transferred"
    assert len(list(desk.pages("/v1/assets/HD5-1/warranty/purchases"))) == 1
    assert "HD5-1" not in {one["serial"] for one in desk.pages("/v1/warranty-terms", unticketed=True)}
