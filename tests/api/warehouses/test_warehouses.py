"""Warehouses, their bins, hours and lanes, over HTTP."""

import time
from datetime import UTC, datetime

import pytest

NOW = datetime(2026, 8, 21, 9, tzinfo=UTC)  # a Friday, 17:00 in Shanghai
WEEK = [{"weekday": day, "opens": "08:00", "closes": "18:00"} for day in ("mon", "tue", "wed", "thu", "fri")]


@pytest.fixture
def house(api):
    """Client of the service role, a partner with a technician, three warehouses."""
    with api.client() as client, api.client("admin") as admin:
        partner = admin.post("/v1/providers", {"code": "P1", "name": "Partner"})["provider_id"]
        other = admin.post("/v1/providers", {"code": "P2", "name": "Other"})["provider_id"]
        who = {"name": "Li", "skills": ["general"], "territories": ["east"], "provider_id": partner}
        technician = admin.post("/v1/technicians", who)["technician_id"]
        for code, kind, more in (
            ("SH", "central", {"time_zone": "Asia/Shanghai", "latitude": 31.2, "longitude": 121.5}),
            ("P1-HZ", "partner", {"time_zone": "Asia/Shanghai", "provider_id": partner}),
            ("VAN-LI", "van", {"technician_id": technician}),
        ):
            client.post("/v1/warehouses", {"code": code, "name": code, "kind": kind, "transfer_days": 2, **more})
        for sku in ("PUMP", "SEAL"):
            client.post("/v1/parts", {"sku": sku, "name": sku.title()})
        yield client, partner, other, technician


def test_whose_a_warehouse_is(api, house, refusal) -> None:
    client, partner, other, technician = house
    van = client.get("/v1/warehouses/VAN-LI")
    assert (van["provider_id"], van["technician_id"], van["active"], van["version"]) == (partner, technician, True, 1)
    new = {"code": "X", "name": "X", "kind": "van"}
    for wrong, field in (
        ({"technician_id": technician, "provider_id": other}, "provider_id"),
        ({"technician_id": 999}, "technician_id"),
        ({"provider_id": 999}, "provider_id"),
        ({"technician_id": technician, "kind": "central"}, "technician_id"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"latitude": 1.0}, "longitude"),
        ({"kind": "attic"}, "kind"),
    ):
        problem = refusal(client.post, "/v1/warehouses", {**new, **wrong})
        assert (problem.status, field in str(problem)) == (422, True), wrong
    assert [w["code"] for w in client.pages("/v1/warehouses", provider_id=partner)] == ["P1-HZ", "VAN-LI"]
    assert [w["code"] for w in client.pages("/v1/warehouses", kind="central")] == ["SH"]

    changed = client.patch("/v1/warehouses/SH", {"name": "Shanghai", "transfer_days": 3}, version=1)
    assert (changed["name"], changed["transfer_days"], changed["latitude"], changed["version"]) == (
        "Shanghai",
        3,
        31.2,
        2,
    )
    assert refusal(client.patch, "/v1/warehouses/SH", {"name": "S"}, version=1).status == 412
    assert refusal(client.patch, "/v1/warehouses/SH", {"name": None}, version=2).status == 422
    assert refusal(client.patch, "/v1/warehouses/SH", {"technician_id": technician}, version=2).status == 422
    assert refusal(client.patch, "/v1/warehouses/NONE", {"name": "S"}, version=1).status == 404

    # While pieces are in it, it is neither closed nor given away.
    receipt = {"sku": "PUMP", "warehouse": "P1-HZ", "kind": "receipt", "quantity": 2, "cause": "note 1"}
    client.post("/v1/parts/movements", receipt)
    for change in ({"active": False}, {"provider_id": other}):
        problem = refusal(client.patch, "/v1/warehouses/P1-HZ", change, version=1)
        assert (problem.status, problem.type.rpartition("/")[2]) == (409, "warehouse-not-empty")
    client.post("/v1/parts/movements", {**receipt, "kind": "adjust", "quantity": -2})
    assert client.patch("/v1/warehouses/P1-HZ", {"active": False}, version=1)["active"] is False
    assert refusal(client.post, "/v1/parts/movements", receipt).status == 422

    with api.scoped_client("partner_manager", provider_id=other) as stranger:
        assert [w["code"] for w in stranger.pages("/v1/warehouses")] == ["SH"]
        assert refusal(stranger.get, "/v1/warehouses/P1-HZ").status == 404


def test_where_a_part_lies(api, house, refusal) -> None:
    client, partner, _, _ = house
    contents = "/v1/warehouses/P1-HZ/bin-contents"
    items = [{"sku": "PUMP", "bin": "A-01"}, {"sku": "SEAL", "bin": "A-01"}]
    with api.scoped_client("partner_manager", provider_id=partner) as keeper:
        assert keeper.put(contents, {"items": items}) == {"placed": 2, "bins_made": 1}
        assert keeper.put("/v1/warehouses/P1-HZ/bins/B-02", {"note": "cool"})["parts"] == 0
        # It sees the house's own, and keeps its hands off it.
        problem = refusal(keeper.put, "/v1/warehouses/SH/bin-contents", {"items": items})
        assert (problem.status, problem.type.rpartition("/")[2]) == (403, "not-yours")
    assert client.put(contents, {"items": [{"sku": "SEAL", "bin": "B-02"}]}) == {"placed": 1, "bins_made": 0}
    receipt = {"sku": "SEAL", "warehouse": "P1-HZ", "kind": "receipt", "quantity": 5, "cause": "note 1"}
    client.post("/v1/parts/movements", receipt)
    assert list(client.pages(contents, sku="SEAL")) == [
        {"sku": "SEAL", "name": "Seal", "bin": "B-02", "on_hand": 5, "reserved": 0}
    ]
    assert [row["sku"] for row in client.pages(contents, bin="A-01")] == ["PUMP"]
    shown = [(row["code"], row["parts"], row["note"]) for row in client.pages("/v1/warehouses/P1-HZ/bins")]
    assert shown == [("A-01", 1, ""), ("B-02", 1, "cool")]
    problem = refusal(client.put, contents, {"items": [{"sku": "SEAL", "bin": "C"}, {"sku": "NO", "bin": "C"}]})
    assert (problem.status, "body.items.1.sku" in str(problem)) == (422, True)
    assert refusal(client.put, contents, {"items": [items[0], items[0]]}).status == 422
    assert refusal(client.delete, "/v1/warehouses/P1-HZ/bins/A-01").status == 409
    client.put(contents, {"items": [{"sku": "PUMP", "bin": None}]})
    client.delete("/v1/warehouses/P1-HZ/bins/A-01")
    assert refusal(client.delete, "/v1/warehouses/P1-HZ/bins/A-01").status == 404


def test_when_it_is_open_decides_when_it_arrives(api, house, refusal) -> None:
    client, partner, _, _ = house
    with api.client("desk_lead") as lead:
        lead.post(
            "/v1/calendars",
            {"code": "cn", "name": "China", "time_zone": "Asia/Shanghai", "hours": WEEK, "country": "CN"},
            now=NOW,
        )
    path = "/v1/warehouses/P1-HZ/opening-hours"
    assert client.get(path, now=NOW)["open_now"] is True
    assert client.get(path, now=NOW)["hours"] == []
    assert refusal(client.put, path, {"hours": WEEK, "calendar": "no"}).status == 422
    with api.scoped_client("partner_manager", provider_id=partner) as keeper:
        shown = keeper.put(path, {"hours": WEEK, "calendar": "cn"}, now=NOW)
        assert keeper.put("/v1/warehouses/P1-HZ/opening-days/2026-08-24", {"name": "Stocktaking"})["hours"] == []
    assert (shown["calendar"], len(shown["hours"]), shown["opens_at"]) == ("cn", 5, "2026-08-21T09:00:00Z")

    lanes = {
        "currency": "CNY",
        "lanes": [{"from": "SH", "to": "P1-HZ", "transit_hours": 24, "freight_base_minor": 900}],
    }
    assert client.put("/v1/lanes", lanes) == {"added": 1, "changed": 0, "unchanged": 0}
    arrival = lambda now=NOW, **more: client.get("/v1/lanes/arrival", now=now, **{"from": "SH", "to": "P1-HZ"}, **more)  # noqa: E731
    # Saturday, Sunday, stocktaking on Monday: Tuesday at 8.
    known = arrival(shipping_class="hazardous")
    assert (known["arrives_at"], known["freight_minor"], known["allowed"]) == ("2026-08-25T00:00:00Z", 900, False)
    # The Golden Week of 2026 is the library's.
    assert arrival(now=datetime(2026, 9, 30, 9, tzinfo=UTC))["arrives_at"] == "2026-10-08T00:00:00Z"
    client.delete("/v1/warehouses/P1-HZ/opening-days/2026-08-24")
    assert arrival()["arrives_at"] == "2026-08-24T00:00:00Z"
    client.delete("/v1/lanes/SH/P1-HZ")
    assert refusal(client.delete, "/v1/lanes/SH/P1-HZ").status == 404
    known = arrival()
    assert (known["entered"], known["transit_hours"], known["arrives_at"]) == (False, 48, "2026-08-24T00:00:00Z")
    client.delete(path)
    assert arrival()["arrives_at"] == "2026-08-23T09:00:00Z"
    assert refusal(client.delete, "/v1/warehouses/P1-HZ/opening-days/2026-08-24").status == 404
    assert refusal(client.get, "/v1/lanes/arrival", **{"from": "SH", "to": "SH"}).status == 422


def test_a_whole_matrix_in_one_call(api, house, database_url, refusal) -> None:
    from careloop.database.engine import connect

    client, _, other, _ = house
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO service.warehouse (code, name, kind)"
            " SELECT 'W' || n, 'W', 'partner' FROM generate_series(1, 200) n"
        )
    lanes = [
        {
            "from": f"W{a}",
            "to": f"W{b}",
            "transit_hours": 1 + (a * b) % 96,
            "freight_base_minor": 900 + a,
            "freight_kg_minor": b,
        }
        for a in range(1, 201)
        for b in range(1, 201)
        if a != b
    ]
    begin = time.perf_counter()
    assert client.put("/v1/lanes", {"currency": "CNY", "lanes": lanes}) == {
        "added": 39_800,
        "changed": 0,
        "unchanged": 0,
    }
    print(f"39,800 lanes entered in {time.perf_counter() - begin:.1f} s")
    lanes[7]["transit_hours"] += 1
    lanes[9]["shipping_classes"] = ["normal", "battery", "normal"]
    assert client.put("/v1/lanes", {"currency": "CNY", "lanes": lanes}) == {
        "added": 0,
        "changed": 2,
        "unchanged": 39_798,
    }
    shown = list(client.pages("/v1/lanes", to="W9"))
    assert [len(shown), {lane["to"] for lane in shown}] == [199, {"W9"}]
    (changed,) = [lane for lane in client.pages("/v1/lanes", **{"from": "W1"}) if lane["to"] == "W11"]
    assert changed["shipping_classes"] == ["battery", "normal"]
    for wrong, field in (
        ([{**lanes[0], "to": "W1"}], "body.lanes.0.to"),
        ([lanes[0], lanes[1], lanes[0]], "body.lanes.2"),
        ([lanes[0], {**lanes[1], "to": "NONE"}], "body.lanes.1.to"),
        ([{**lanes[0], "transit_hours": -1}], "body.lanes.0.transit_hours"),
    ):
        problem = refusal(client.put, "/v1/lanes", {"lanes": wrong})
        assert (problem.status, field in str(problem)) == (422, True)
    with api.scoped_client("partner_manager", provider_id=other) as partner:
        assert refusal(partner.put, "/v1/lanes", {"lanes": lanes[:1]}).status == 403
