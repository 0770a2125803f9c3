"""Technicians over HTTP."""

import httpx

ADA = {
    "name": "Grace",
    "provider": "Partner",
    "skills": ["gas"],
    "territories": ["south"],
    "daily_capacity_minutes": 60,
}


def test_a_technician_is_added_once_changed_and_listed(api, workshop, refusal) -> None:
    made = workshop.client.post("/v1/technicians", ADA)
    path = f"/v1/technicians/{made['technician_id']}"
    assert {name: made[name] for name in ADA} == ADA
    assert workshop.client.get(path) == made
    assert refusal(workshop.client.post, "/v1/technicians", ADA).type == "/problems/name-taken"
    changed = workshop.client.patch(path, {"active": False, "skills": ["gas", "water"]}, version=1)
    assert changed == {**made, "active": False, "skills": ["gas", "water"], "version": 2}
    assert refusal(workshop.client.patch, path, {"active": True}, version=1).status == 412
    assert [one["name"] for one in workshop.client.technicians()] == ["Ada"]
    assert len(list(workshop.client.pages("/v1/technicians"))) == 2
    headers = {"Authorization": f"Bearer {api.keys['service']}"}
    assert httpx.patch(api.url + path, json={}, headers=headers).status_code == 428
    assert refusal(workshop.client.get, "/v1/technicians/99").status == 404
    assert refusal(workshop.client.patch, "/v1/technicians/99", {}, version=1).status == 404


BAD_FIELDS = [
    ({"name": ""}, "body.name"),
    ({"skills": []}, "body.skills"),
    ({"skills": [""]}, "body.skills.0"),
    ({"skills": "gas"}, "body.skills"),
    ({"territories": []}, "body.territories"),
    ({"daily_capacity_minutes": 0}, "body.daily_capacity_minutes"),
    ({"daily_capacity_minutes": 1441}, "body.daily_capacity_minutes"),
    ({"provider": "\x00"}, "body.provider"),
    ({"active": 7}, "body.active"),
    ({"van": "VAN-1"}, "body.van"),
]


def test_every_bad_field_is_named(workshop, refusal) -> None:
    for change, field in BAD_FIELDS:
        refused = refusal(workshop.client.post, "/v1/technicians", {**ADA, **change})
        assert (change, refused.status, refused.problem["errors"][0]["field"]) == (change, 422, field)


def test_the_desk_reads_technicians_and_makes_none(api, workshop, refusal) -> None:
    with api.client("agent") as desk:
        assert len(desk.get("/v1/technicians")["items"]) == 1
        assert refusal(desk.post, "/v1/technicians", ADA).status == 403
