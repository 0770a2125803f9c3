"""The catalogue over HTTP: what parts are, what takes their place, what they fit, what is in a kit, what they cost."""

from datetime import UTC, datetime

import pytest

from careloop.client import ProblemError

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
LATER = datetime(2026, 9, 1, 8, tzinfo=UTC)


@pytest.fixture
def desk(api):
    with api.client("agent") as client:
        yield client


@pytest.fixture
def add(desk):
    def add(*skus: str, **fields):
        for sku in skus:
            desk.post("/v1/parts", {"sku": sku, "name": sku.title(), **fields})

    return add


def field_of(problem: ProblemError) -> str:
    return problem.problem["errors"][0]["field"]


def test_a_part_is_described_changed_and_found(desk, add, refusal, api) -> None:
    battery = {"shipping_class": "battery", "weight_grams": 850, "imported": True, "lead_time_days": 45}
    made = desk.post("/v1/parts", {"sku": "6.654-001.0", "name": "Akku 18 V 电池", "rotable": True, **battery})
    assert (made["state"], made["serialised"], made["unit"], made["old_part_rule"]) == ("active", True, "piece", "none")
    add("6.654-002.0", "PUMP", cost_minor=100)
    found = {
        "q=akku 18": "6.654-001.0",
        "q=电池": "6.654-001.0",
        "q=654 00": "6.654-001.0 6.654-002.0",
        "q=---": "",
        "sku_prefix=6.654-": "6.654-001.0 6.654-002.0",
        "sku_prefix=P_": "",
        "shipping_class=battery": "6.654-001.0",
        "imported=false": "6.654-002.0 PUMP",
        "rotable=true": "6.654-001.0",
        "serialised=true": "6.654-001.0",
        "state=superseded": "",
    }
    for asked, skus in found.items():
        name, _, value = asked.partition("=")
        assert [part["sku"] for part in desk.pages("/v1/parts", **{name: value})] == skus.split(), asked
    changed = desk.patch("/v1/parts/PUMP", {"old_part_rule": "return", "rotable": True}, version=1)
    assert (changed["old_part_rule"], changed["serialised"], changed["version"]) == ("return", True, 2)
    assert refusal(desk.patch, "/v1/parts/PUMP", {"unit": "metre"}, version=1).status == 412
    assert field_of(refusal(desk.patch, "/v1/parts/PUMP", {"serialised": False}, version=2)) == "body.serialised"
    twice = {"sku": "X", "name": "X", "rotable": True, "serialised": False}
    assert refusal(desk.post, "/v1/parts", twice).status == 422
    assert refusal(desk.post, "/v1/parts", {"sku": "fitting", "name": "X"}).status == 422
    assert desk.post("/v1/parts/PUMP/discontinue", {})["state"] == "discontinued"
    assert refusal(desk.post, "/v1/parts/PUMP/discontinue", {}).type == "/problems/part-state"
    assert desk.post("/v1/parts/PUMP/reinstate", {})["state"] == "active"
    with api.client("admin") as admin:
        partner = admin.post("/v1/providers", {"code": "P1", "name": "P1"})
    with api.scoped_client("partner_manager", provider_id=partner["provider_id"]) as manager:
        assert [part["cost_minor"] for part in manager.pages("/v1/parts")] == [None] * 3


def test_chains_have_no_circle_and_follow_in_time(desk, add, refusal) -> None:
    add("A", "B", "C", "D", "OLD", "ALT", "ALT2")

    def supersede(sku, successor, on, **fields):
        return desk.post(f"/v1/parts/{sku}/successor", {"successor": successor, "effective_on": on, **fields}, now=NOW)

    supersede("A", "B", "2026-01-01", reason="better seal")
    chain = supersede("B", "C", "2026-08-01", two_way=True)
    assert [(link["sku"], link["successor"], link["applied"]) for link in chain["links"]] == [
        ("A", "B", True),
        ("B", "C", False),
    ]
    assert (chain["sku"], chain["current"]) == ("B", "B")
    assert [desk.get(f"/v1/parts/{sku}")["state"] for sku in "AB"] == ["superseded", "active"]
    circle = refusal(supersede, "C", "A", "2026-09-01")
    assert field_of(circle) == "body.successor"
    assert "C → A → B → C" in circle.problem["detail"]
    assert field_of(refusal(supersede, "A", "A", "2026-09-01")) == "body.successor"
    assert field_of(refusal(supersede, "D", "B", "2026-09-01")) == "body.effective_on"
    assert field_of(refusal(supersede, "C", "D", "2026-07-31")) == "body.effective_on"
    assert refusal(supersede, "A", "D", "2026-01-01").type == "/problems/part-superseded"
    supersede("OLD", "A", "2025-01-01", two_way=True)
    desk.post("/v1/parts/C/alternatives", {"alternative": "ALT", "rank": 2, "two_way": True, "note": "shorter"})
    desk.post("/v1/parts/A/alternatives", {"alternative": "ALT2", "valid_until": "2026-07-31"})
    assert field_of(refusal(desk.post, "/v1/parts/A/alternatives", {"alternative": "A"})) == "body.alternative"

    def instead(sku, now):
        return {one["sku"]: one["why"] for one in desk.get(f"/v1/parts/{sku}/substitutes", now=now)}

    assert instead("A", NOW) == {
        "B": "took the place of A on 2026-01-01: better seal",
        "OLD": "A takes its place, and it may still be built in",
        "ALT2": "alternative to A",
    }
    with_all = instead("A", LATER)
    assert list(with_all) == ["B", "C", "OLD", "ALT"]
    assert with_all["ALT"] == "alternative to C: shorter"
    # Back from C only where a link goes both ways.
    assert list(instead("C", LATER)) == ["B", "ALT"]
    assert list(instead("ALT", LATER)) == ["C", "B"]


def test_a_day_that_comes_supersedes_and_a_withdrawal_takes_back(desk, add, api, refusal) -> None:
    add("A", "B", "C")
    desk.post("/v1/parts/A/successor", {"successor": "B", "effective_on": "2026-08-01"}, now=NOW)
    desk.post("/v1/parts/B/alternatives", {"alternative": "C"})
    with api.client("service") as service:
        service.post("/v1/duties/run", {}, now=NOW)
        assert desk.get("/v1/parts/A")["state"] == "active"
        service.post("/v1/duties/run", {}, now=LATER)
    assert desk.get("/v1/parts/A")["state"] == "superseded"
    assert refusal(desk.post, "/v1/parts/A/discontinue", {}).type == "/problems/part-state"
    desk.delete("/v1/parts/A/successor")
    assert desk.get("/v1/parts/A")["state"] == "active"
    assert refusal(desk.delete, "/v1/parts/A/successor").status == 404
    desk.delete("/v1/parts/B/alternatives/C")
    assert desk.get("/v1/parts/B/alternatives") == []
    assert refusal(desk.delete, "/v1/parts/B/alternatives/C").status == 404
