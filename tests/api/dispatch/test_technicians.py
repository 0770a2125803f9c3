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


def test_a_case_goes_to_the_partner_whose_technician_comes(api, workshop, refusal) -> None:
    """Nobody of the partner sees it before, all of it after; another partner's technician cannot take it over."""
    with api.client("admin") as admin:
        north, south = (admin.post("/v1/providers", {"code": code, "name": code})["provider_id"] for code in "NS")
        own = f"/v1/technicians/{workshop.technician_id}"
        assert (
            refusal(admin.patch, own, {"provider_id": 99}, version=1).problem["errors"][0]["field"]
            == "body.provider_id"
        )
        assert admin.patch(own, {"provider_id": north}, version=1)["provider_id"] == north
        assert admin.patch(own, {"active": True}, version=2)["provider_id"] == north
        other = admin.post("/v1/technicians", {"name": "Bo", "skills": ["hydraulics"], "territories": ["north"]})
    job = workshop.job()
    ticket = f"/v1/tickets/{job['ticket_id']}"
    with api.scoped_client("partner_manager", provider_id=north) as partner:
        assert refusal(partner.get, ticket).status == 404
        workshop.dispatch(job)
        assert partner.get(ticket)["provider_id"] == north
        assert partner.get(f"/v1/jobs/{job['job_id']}")["state"] == "dispatched"
        lines = [line["kind"] for line in partner.get(f"{ticket}/events")["items"]]
        assert "assigned" in lines
    with api.client("admin") as admin:
        admin.patch(f"/v1/technicians/{other['technician_id']}", {"provider_id": south}, version=1)
    again = workshop.post(job, "recall", {"reason": "rain"})
    refused = refusal(workshop.dispatch, again, technician_id=other["technician_id"])
    assert (refused.status, refused.type) == (409, "/problems/other-partner")
    with api.client("admin") as admin:
        admin.post(f"{ticket}/assign", {"provider_id": south, "reason": "nearer"})
    assert workshop.dispatch(again, technician_id=other["technician_id"])["state"] == "dispatched"
    with api.scoped_client("partner_manager", provider_id=north) as partner:
        assert refusal(partner.get, ticket).status == 404
