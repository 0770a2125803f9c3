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


def test_what_fits_a_machine_is_told_with_what_it_depends_on(desk, add, refusal) -> None:
    add("PUMP", "PUMP-2", "SEAL", "FILTER", "NOZZLE", "KIT", cost_minor=1000)
    pump = {"name": "pump", "sku": "PUMP"}
    desk.post("/v1/product-models", {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": [pump]})
    machine = {"model": "HD-5", "installed_at": "2026-01-01T00:00:00Z"}
    desk.post("/v1/assets", {**machine, "serial": "OLD-1", "batch": "B9", "attributes": {"revision": "A"}})
    desk.post("/v1/assets", {**machine, "serial": "NEW-1", "batch": "B10", "attributes": {"revision": "B"}})
    desk.post("/v1/assets", {**machine, "serial": "DARK-1"})
    seal = {"position": "2", "name": "Seal", "sku": "SEAL", "until_batch": "B9"}
    assembly = {"position": "1", "name": "Pump assembly", "component": "pump", "items": [seal]}
    desk.put("/v1/product-models/HD-5/bill-of-materials", {"items": [assembly]}, version=1)
    fit = {"model": "HD-5", "revisions": ["B"], "component": "pump"}
    fits = desk.post("/v1/parts/FILTER/fits", fit)
    assert desk.post("/v1/parts/FILTER/fits", fit) == fits, "known fits stay"
    assert desk.post("/v1/parts/fits", {"items": [{**fit, "sku": "FILTER"}, {"sku": "NOZZLE", "model": "HD-5"}]}) == {
        "made": 1,
        "known": 1,
    }

    def fitting(**asked) -> dict[str, tuple]:
        found = desk.get("/v1/parts/fitting", **asked)["items"]
        return {one["sku"]: (one["component"], one["sure"], *one["depends_on"]) for one in found}

    assert fitting(serial="OLD-1") == {"NOZZLE": (None, True), "PUMP": ("pump", True), "SEAL": ("pump", True)}
    assert fitting(serial="NEW-1", component="pump") == {
        "NOZZLE": (None, True),
        "FILTER": ("pump", True),
        "PUMP": ("pump", True),
    }
    unknown = {"FILTER": ("pump", False, "revision"), "PUMP": ("pump", True), "SEAL": ("pump", False, "batch")}
    assert fitting(serial="DARK-1") == {"NOZZLE": (None, True), **unknown} == fitting(model="HD-5")
    for bad in ({}, {"serial": "OLD-1", "model": "HD-5"}):
        assert field_of(refusal(desk.get, "/v1/parts/fitting", **bad)) == "query.serial"
    assert refusal(desk.get, "/v1/parts/fitting", serial="NIX").status == 404
    desk.post("/v1/parts/PUMP/successor", {"successor": "PUMP-2", "effective_on": "2026-07-01"}, now=NOW)
    by_sku = {one["sku"]: one["take"] for one in desk.get("/v1/parts/fitting", serial="OLD-1", now=NOW)["items"]}
    assert by_sku == {"NOZZLE": "NOZZLE", "PUMP": "PUMP-2", "SEAL": "SEAL"}
    verdicts = {
        ("SEAL", "OLD-1"): "fits",
        ("SEAL", "NEW-1"): "no",
        ("SEAL", "DARK-1"): "unsure",
        ("PUMP-2", "OLD-1"): "fits",
        ("KIT", "OLD-1"): "no",
    }
    for (sku, serial), verdict in verdicts.items():
        answer = desk.get(f"/v1/parts/{sku}/fits/{serial}", now=NOW)
        assert (sku, serial, answer["verdict"], bool(answer["why"])) == (sku, serial, verdict, True)
    assert [one["source"] for one in desk.get("/v1/parts/PUMP/fits")] == ["component"]
    for field, value in (("model", "NIX"), ("component", "NIX"), ("until_batch", "B1")):
        refused = refusal(desk.post, "/v1/parts/PUMP/fits", {**fit, "from_batch": "B2", field: value})
        assert field_of(refused) == f"body.{field}"
    desk.delete(f"/v1/parts/FILTER/fits/{fits[0]['part_fit_id']}")
    assert refusal(desk.delete, "/v1/parts/FILTER/fits/99").status == 404


def test_a_kit_is_in_no_other(desk, add, refusal) -> None:
    add("PUMP", "SEAL", "FILTER", "NOZZLE", "KIT")
    items = [{"sku": "SEAL", "quantity": 4}, {"sku": "FILTER", "quantity": 1}]
    kit = desk.put("/v1/parts/KIT/kit", {"items": items}, version=1)
    assert [(one["sku"], one["quantity"]) for one in kit["items"]] == [("FILTER", 1), ("SEAL", 4)]
    assert [one["sku"] for one in desk.get("/v1/parts/SEAL/kit")["in_kits"]] == ["KIT"]
    assert field_of(
        refusal(desk.put, "/v1/parts/NOZZLE/kit", {"items": [{"sku": "KIT", "quantity": 1}]}, version=1)
    ).endswith("sku")
    assert (
        field_of(refusal(desk.put, "/v1/parts/SEAL/kit", {"items": [{"sku": "PUMP", "quantity": 1}]}, version=1))
        == "body.items"
    )
    assert refusal(desk.put, "/v1/parts/KIT/kit", {"items": []}, version=1).status == 412
    assert desk.put("/v1/parts/KIT/kit", {"items": []}, version=2)["items"] == []


def test_prices_hold_from_day_to_day_and_are_never_rewritten(desk, add, api, refusal) -> None:
    add("SEAL", cost_minor=1000)
    with api.client("admin") as admin:
        number = admin.post("/v1/providers", {"code": "P1", "name": "P1"})["provider_id"]
    price = {"kind": "customer", "currency": "EUR", "price_minor": 2500, "valid_from": "2026-01-01"}
    first = desk.post("/v1/parts/SEAL/prices", price)
    assert refusal(desk.post, "/v1/parts/SEAL/prices", price).type == "/problems/price-taken"
    offer = {**price, "price_minor": 1900, "valid_from": "2026-07-01", "valid_until": "2026-07-31"}
    own = {**price, "kind": "partner", "price_minor": 1200}
    level = {**own, "level": "gold", "price_minor": 1100}
    inside = {**price, "kind": "internal", "price_minor": 900}
    many = [{**one, "sku": "SEAL"} for one in (offer, own, level, inside)]
    assert desk.post("/v1/parts/prices", {"items": many})["made"] == 4
    assert refusal(desk.post, "/v1/parts/prices", {"items": many}).type == "/problems/price-taken"
    assert field_of(refusal(desk.post, "/v1/parts/prices", {"items": [{**own, "sku": "NIX"}]})) == "body.items.0.sku"

    def asked(kind: str, on: str, **more) -> int:
        return desk.get("/v1/parts/SEAL/price", kind=kind, on=on, **more)["price_minor"]

    assert [asked("customer", f"2026-0{month}-01") for month in (6, 7, 8)] == [2500, 1900, 2500]
    assert (asked("partner", "2026-08-01", level="gold"), asked("partner", "2026-08-01", level="tin")) == (1100, 1200)
    assert (asked("internal", "2026-08-01"), asked("internal", "2025-08-01")) == (900, 1000)
    assert refusal(desk.get, "/v1/parts/SEAL/price", kind="customer", on="2025-12-31").status == 404
    assert refusal(desk.get, "/v1/parts/SEAL/price", kind="customer", on="2026-08-01", currency="CNY").status == 404
    with api.scoped_client("partner_manager", provider_id=number) as manager:
        seen = [(one["kind"], one["level"]) for one in manager.pages("/v1/parts/SEAL/prices")]
        assert seen == [("customer", ""), ("customer", ""), ("partner", "")]
    path = f"/v1/parts/prices/{first['part_price_id']}"
    assert field_of(refusal(desk.patch, path, {"valid_until": "2026-06-29"}, version=1, now=NOW)) == "body.valid_until"
    assert desk.patch(path, {"valid_until": "2026-06-30"}, version=1, now=NOW)["version"] == 2
    assert refusal(desk.patch, path, {"valid_until": None}, version=1, now=NOW).status == 412
    assert refusal(desk.delete, path, now=NOW).type == "/problems/price-begun"
    ahead = desk.post("/v1/parts/SEAL/prices", {**price, "valid_from": "2027-01-01"})
    desk.delete(f"/v1/parts/prices/{ahead['part_price_id']}", now=NOW)


def test_two_halves_of_a_circle_at_once_make_no_circle(desk, add, at_once) -> None:
    skus = ["A", "B", "C", "D"]
    add(*skus)

    def link(client, place):
        body = {"successor": skus[(place + 1) % 4], "effective_on": "2026-01-01"}
        return client.post(f"/v1/parts/{skus[place]}/successor", body, now=NOW)

    answers = at_once(link, range(4))
    assert sorted(getattr(answer, "status", 201) for answer in answers) == [201, 201, 201, 422]
    chain = desk.get("/v1/parts/A/chain", now=NOW)
    assert len(chain["links"]) == 3
    assert desk.get(f"/v1/parts/{chain['current']}")["state"] == "active"
