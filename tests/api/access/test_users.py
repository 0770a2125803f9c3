"""Users: what they must be tied to, who decides about whom, and what becomes of them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect
from tests.api.access.desk import PASSWORD, Desk, make_user
from tests.api.access.strangers import World


def asking(desk: Desk, login: str) -> Callable[..., httpx.Response]:
    """Ask as somebody who has logged in."""
    token = desk.token(login)

    def ask(method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return desk.ask(method, path, body, token=token, **headers)

    return ask


def test_a_user_fits_the_role_or_is_refused(api, world: World) -> None:
    with api.client("admin") as admin:
        make_user(api, "lead", "desk_lead")
        tied = [
            ({"role": "customer"}, "body.customer_id"),
            ({"role": "customer", "customer_id": 77}, "body.customer_id"),
            ({"role": "agent", "customer_id": world.ours.customer_id}, "body.customer_id"),
            ({"role": "agent", "technician_id": world.ours.technician_id}, "body.technician_id"),
            ({"role": "partner_manager"}, "body.provider_id"),
            (
                {
                    "role": "technician",
                    "technician_id": world.ours.technician_id,
                    "provider_id": world.theirs.provider_id,
                },
                "body.provider_id",
            ),
            ({"role": "king"}, "body.role"),
            ({"login": "a b", "role": "agent"}, "body.login"),
            ({"email": "nonsense", "role": "agent"}, "body.email"),
        ]
        for fields, field in tied:
            with pytest.raises(ProblemError) as refused:
                admin.post("/v1/users", {"login": "x1", "name": "X", **fields})
            assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (422, field), fields
        for taken in ({"login": "LEAD"}, {"login": "x2", "email": "Mail@example.com"}):
            if "email" in taken:
                admin.post("/v1/users", {"login": "mail", "name": "M", "role": "agent", "email": "mail@example.com"})
            with pytest.raises(ProblemError) as refused:
                admin.post("/v1/users", {"name": "X", "role": "agent", **taken})
            assert refused.value.status == 409
        body = {"login": "tech", "name": "T", "role": "technician", "technician_id": world.ours.technician_id}
        technician = admin.post("/v1/users", body)
        assert technician["provider_id"] == world.ours.provider_id


def test_nobody_decides_about_more_than_is_entrusted_to_them(api, desk: Desk, world: World) -> None:
    lead = make_user(api, "lead", "desk_lead")
    make_user(api, "boss", "partner_manager", provider_id=world.ours.provider_id)
    as_lead, as_boss = asking(desk, "lead"), asking(desk, "boss")
    # Nobody raises others above what is entrusted to them, or decides about those above.
    admin_body = {"login": "root", "name": "R", "role": "admin"}
    assert as_lead("POST", "/v1/users", admin_body).json()["type"] == "/problems/role-not-yours"
    assert as_boss("POST", "/v1/users", {**admin_body, "role": "agent"}).status_code == 403
    assert as_lead("POST", f"/v1/users/{lead['user_id']}/deactivate").status_code == 403
    # A partner manager's people are of the own partner, and nobody else's are there.
    mine = as_boss("POST", "/v1/users", {"login": "t2", "name": "T2", "role": "technician"})
    assert (mine.status_code, mine.json()["provider_id"]) == (201, world.ours.provider_id)
    theirs = {"login": "t3", "name": "T3", "role": "technician", "provider_id": world.theirs.provider_id}
    assert as_boss("POST", "/v1/users", theirs).status_code == 422
    stranger = world.theirs.ids["user_id"]
    for method, path in (("GET", ""), ("POST", "/deactivate"), ("PUT", "/password")):
        given = {"new_password": PASSWORD} if method == "PUT" else None
        assert as_boss(method, f"/v1/users/{stranger}{path}", given).status_code == 404
    seen = as_boss("GET", "/v1/users").json()["items"]
    assert {user["provider_id"] for user in seen} == {world.ours.provider_id}
    assert len(as_lead("GET", "/v1/users?role=technician").json()["items"]) == 1


def test_users_change_only_as_they_were_seen(api, desk: Desk, world: World) -> None:
    make_user(api, "lead", "desk_lead")
    make_user(api, "mail", email="mail@example.com")
    with api.client("admin") as admin:
        body = {"login": "tech", "name": "T", "role": "technician", "technician_id": world.ours.technician_id}
        technician = admin.post("/v1/users", body)
    as_lead = asking(desk, "lead")
    # Another role ends what the old one was tied to.
    path = f"/v1/users/{technician['user_id']}"
    assert as_lead("PATCH", path, {"name": "New"}).status_code == 428
    changed = as_lead("PATCH", path, {"name": "New"}, **{"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"], changed.json()["name"]) == (200, '"2"', "New")
    assert as_lead("PATCH", path, {"name": "Newer"}, **{"If-Match": '"1"'}).status_code == 412
    assert as_lead("PATCH", path, {"name": None}, **{"If-Match": '"2"'}).status_code == 422
    taken = as_lead("PATCH", path, {"email": "mail@example.com"}, **{"If-Match": '"2"'})
    assert taken.json()["type"] == "/problems/login-taken"
    promoted = as_lead("PATCH", path, {"role": "dispatcher"}, **{"If-Match": '"2"'}).json()
    assert (promoted["role"], promoted["technician_id"], promoted["provider_id"]) == ("dispatcher", None, None)
    root = make_user(api, "root", "admin")
    assert asking(desk, "root")("POST", f"/v1/users/{root['user_id']}/deactivate").status_code == 409


def test_a_technician_who_changes_sides_sees_the_other_side(api, desk: Desk, world: World) -> None:
    make_user(api, "tech", "technician", technician_id=world.ours.technician_id)
    token = desk.token("tech")
    ours, theirs = (f"/v1/tickets/{side.ids['ticket_id']}" for side in (world.ours, world.theirs))
    assert [desk.ask("GET", path, token=token).status_code for path in (ours, theirs)] == [200, 404]
    with connect(api.database_url) as connection:
        values = (world.theirs.provider_id, world.ours.technician_id)
        connection.execute("UPDATE service.technician SET provider_id = %s WHERE technician_id = %s", values)
    assert [desk.ask("GET", path, token=token).status_code for path in (ours, theirs)] == [404, 200]
