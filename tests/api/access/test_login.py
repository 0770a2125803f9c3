"""Users, logins by password, sessions, and keys with scopes and ends."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from api.access.login import Entrance
from api.access.passwords import Passwords
from api.command import API_KEY_COMMAND, USER_COMMAND
from careloop.client import ProblemError
from careloop.database.engine import connect
from careloop.errors import CareloopError
from tests.api.access.strangers import World

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
TODAYS = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
YESTERDAYS = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1)


class Desk:
    """The API as people use it who log in."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "", now: datetime = NOW, **headers: str):
        given = {"Careloop-Now": now.isoformat(), **headers}
        if token:
            given["Authorization"] = f"Bearer {token}"
        return self.client.request(method, path, json=body, headers=given)

    def log_in(self, login: str, password: str = PASSWORD, *, now: datetime = NOW) -> httpx.Response:
        return self.ask("POST", "/v1/login", {"login": login, "password": password}, now=now)

    def token(self, login: str, password: str = PASSWORD, *, now: datetime = NOW) -> str:
        answer = self.log_in(login, password, now=now)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


@pytest.fixture
def api(serve_api):
    """With hashes that take no time; what they take otherwise has its own test."""
    with serve_api(entrance=Entrance(passwords=Passwords(TODAYS))) as running:
        yield running


@pytest.fixture
def desk(api) -> Desk:
    return Desk(api.url)


def make_user(api, login: str, role: str = "agent", password: str = PASSWORD, **fields: object) -> dict:
    with api.client("admin") as admin:
        user = admin.post("/v1/users", {"login": login, "name": login.title(), "role": role, **fields})
    answer = httpx.put(
        f"{api.url}/v1/users/{user['user_id']}/password",
        json={"new_password": password},
        headers={"Authorization": f"Bearer {api.keys['admin']}"},
    )
    assert answer.status_code == 204, answer.text
    return user


def test_somebody_logs_in_and_out(api, desk: Desk) -> None:
    with api.client("admin") as admin:
        user = make_user(api, "Anna", email="anna@example.com")
    assert (user["login"], user["has_password"], user["version"]) == ("anna", False, 1)
    answer = desk.log_in(" ANNA ")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["token"].startswith("cs_")
    assert answer.json()["user"]["last_login_at"] == "2026-07-01T08:00:00Z"
    token = answer.json()["token"]
    assert desk.ask("GET", "/v1/me", token=token).json() == {
        "key": f"user:{user['user_id']}", "name": "Anna", "role": "agent", "scopes": None, "user_id": user["user_id"],
        "customer_id": None, "provider_id": None, "technician_id": None,
    }  # fmt: skip
    assert desk.ask("GET", "/v1/tickets", token=token).status_code == 200
    assert desk.ask("GET", "/v1/api-keys", token=token).status_code == 403
    assert desk.ask("GET", "/v1/me", token=token, now=NOW + timedelta(hours=12)).status_code == 401, "ended"
    other = desk.token("anna")
    assert desk.ask("POST", "/v1/logout", token=token).status_code == 204
    assert desk.ask("GET", "/v1/me", token=token).status_code == 401
    assert desk.ask("GET", "/v1/me", token=other).status_code == 200
    assert desk.ask("POST", "/v1/logout", token=api.keys["agent"]).status_code == 409
    with connect(api.database_url) as connection:
        sessions = connection.execute("SELECT token_hash FROM service.session").fetchall()
        kept = connection.execute("SELECT password_hash FROM service.app_user").fetchone()
        audit = connection.execute("SELECT before, after FROM service.audit WHERE table_name = 'app_user'").fetchall()
    assert all(len(row["token_hash"]) == 32 and token.encode() not in bytes(row["token_hash"]) for row in sessions)
    assert kept["password_hash"].startswith("$argon2id$")
    assert "argon2" not in str(audit)
    with api.client("admin") as admin:
        late = NOW + timedelta(days=200)
        assert admin.post("/v1/duties/run", {}, now=late)["ended-logins"] == 2


def test_who_may_not_come_in_cannot_tell_why(api, desk: Desk) -> None:
    with api.client("admin") as admin:
        make_user(api, "anna")
        gone = make_user(api, "gone")
        admin.post("/v1/users", {"login": "wordless", "name": "No Password", "role": "agent"})
        token = desk.token("gone")
        admin.post(f"/v1/users/{gone['user_id']}/deactivate", {})
    assert desk.ask("GET", "/v1/me", token=token).status_code == 401, "deactivating ends sessions"
    answers = [desk.log_in(login, "wrong password!") for login in ("anna", "nobody", "gone", "wordless")]
    answers.append(desk.log_in("gone"))
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert all(body == bodies[0] for body in bodies)

    costly = PasswordHasher(time_cost=2, memory_cost=16384, parallelism=1)

    async def spent_s(kept: str | None) -> float:
        passwords = Passwords(costly)
        await passwords.check("x", kept)
        began = time.process_time()
        for _ in range(3):
            await passwords.check("wrong", kept)
        return time.process_time() - began

    known = asyncio.run(spent_s(costly.hash(PASSWORD)))
    unknown = asyncio.run(spent_s(None))
    assert 0.4 < known / unknown < 2.5, "the same work for nobody as for somebody"


def test_trying_passwords_is_throttled_by_login_and_address(api, desk: Desk) -> None:
    make_user(api, "anna")
    make_user(api, "berta")
    for _ in range(12):
        assert desk.log_in("anna").status_code == 200, "who is right is never sent away"
    tried = [desk.log_in("anna", "wrong").status_code for _ in range(11)]
    assert tried == [401] * 10 + [429]
    refused = desk.log_in("anna")
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-attempts")
    assert 1 <= int(refused.headers["Retry-After"]) <= 7
    assert desk.log_in("berta").status_code == 200
    for number in range(49):
        assert desk.log_in(f"guess-{number}", "wrong").status_code == 401
    assert desk.log_in("berta", "wrong").status_code == 401
    assert desk.log_in("berta").status_code == 429, "the address has tried sixty times"
    assert desk.log_in("anna", now=NOW + timedelta(seconds=7)).status_code == 200


def test_passwords_change_and_keep_up_with_the_times(api, desk: Desk) -> None:
    user = make_user(api, "anna")
    first, second = desk.token("anna"), desk.token("anna")
    path = "/v1/me/password"
    wrong = {"current_password": "not this one", "new_password": PASSWORD + "!"}
    assert desk.ask("PUT", path, wrong, token=first).status_code == 403
    for easy in ("short", "aaaaaaaaaaaaaaaa", "anna-anna-anna-1"):
        answer = desk.ask("PUT", path, {"current_password": PASSWORD, "new_password": easy}, token=first)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.new_password"), easy
    good = {"current_password": PASSWORD, "new_password": "Zürich im Frühling"}
    assert desk.ask("PUT", path, good, token=api.keys["agent"]).status_code == 409
    assert desk.ask("PUT", path, good, token=first).status_code == 204
    assert desk.ask("GET", "/v1/me", token=first).status_code == 200
    assert desk.ask("GET", "/v1/me", token=second).status_code == 401, "other sessions end"
    assert desk.log_in("anna").status_code == 401
    # The same letters, composed otherwise.
    assert desk.log_in("anna", "Zu\u0308rich im Fru\u0308hling").status_code == 200
    with connect(api.database_url) as connection:
        key = {"hash": YESTERDAYS.hash(PASSWORD), "user_id": user["user_id"]}
        query = "SELECT password_hash AS kept FROM service.app_user WHERE user_id = %(user_id)s"
        connection.execute("UPDATE service.app_user SET password_hash = %(hash)s WHERE user_id = %(user_id)s", key)
        assert desk.log_in("anna", "wrong").status_code == 401
        assert connection.execute(query, key).fetchone()["kept"] == key["hash"]
        assert desk.log_in("anna").status_code == 200
        renewed = connection.execute(query, key).fetchone()["kept"]
    assert renewed != key["hash"]
    assert not TODAYS.check_needs_rehash(renewed)


def test_users_are_kept_in_order(api, desk: Desk, world: World) -> None:
    with api.client("admin") as admin:
        lead = make_user(api, "lead", "desk_lead")
        make_user(api, "boss", "partner_manager", provider_id=world.ours.provider_id)
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
    as_lead, as_boss = desk.token("lead"), desk.token("boss")

    def ask(token: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return desk.ask(method, path, body, token=token, **headers)

    # Nobody raises others above what is entrusted to them, or decides about those above.
    admin_body = {"login": "root", "name": "R", "role": "admin"}
    assert ask(as_lead, "POST", "/v1/users", admin_body).json()["type"] == "/problems/role-not-yours"
    assert ask(as_boss, "POST", "/v1/users", {**admin_body, "role": "agent"}).status_code == 403
    assert ask(as_lead, "POST", f"/v1/users/{lead['user_id']}/deactivate").status_code == 403
    # A partner manager's people are of the own partner, and nobody else's are there.
    mine = ask(as_boss, "POST", "/v1/users", {"login": "t2", "name": "T2", "role": "technician"})
    assert (mine.status_code, mine.json()["provider_id"]) == (201, world.ours.provider_id)
    theirs = {"login": "t3", "name": "T3", "role": "technician", "provider_id": world.theirs.provider_id}
    assert ask(as_boss, "POST", "/v1/users", theirs).status_code == 422
    stranger = world.theirs.ids["user_id"]
    for method, path in (("GET", ""), ("POST", "/deactivate"), ("PUT", "/password")):
        given = {"new_password": PASSWORD} if method == "PUT" else None
        assert ask(as_boss, method, f"/v1/users/{stranger}{path}", given).status_code == 404
    seen = ask(as_boss, "GET", "/v1/users").json()["items"]
    assert {user["provider_id"] for user in seen} == {world.ours.provider_id}
    assert len(ask(as_lead, "GET", "/v1/users?role=technician").json()["items"]) == 2
    # Changes: only of the version seen; another role ends what the old one was tied to.
    path = f"/v1/users/{technician['user_id']}"
    assert ask(as_lead, "PATCH", path, {"name": "New"}).status_code == 428
    changed = ask(as_lead, "PATCH", path, {"name": "New"}, **{"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"], changed.json()["name"]) == (200, '"2"', "New")
    assert ask(as_lead, "PATCH", path, {"name": "Newer"}, **{"If-Match": '"1"'}).status_code == 412
    assert ask(as_lead, "PATCH", path, {"name": None}, **{"If-Match": '"2"'}).status_code == 422
    taken = ask(as_lead, "PATCH", path, {"email": "mail@example.com"}, **{"If-Match": '"2"'})
    assert taken.json()["type"] == "/problems/login-taken"
    promoted = ask(as_lead, "PATCH", path, {"role": "dispatcher"}, **{"If-Match": '"2"'}).json()
    assert (promoted["role"], promoted["technician_id"], promoted["provider_id"]) == ("dispatcher", None, None)
    root = make_user(api, "root", "admin")
    assert ask(desk.token("root"), "POST", f"/v1/users/{root['user_id']}/deactivate").status_code == 409


def test_a_technician_who_changes_sides_sees_the_other_side(api, desk: Desk, world: World) -> None:
    make_user(api, "tech", "technician", technician_id=world.ours.technician_id)
    token = desk.token("tech")
    ours, theirs = (f"/v1/tickets/{side.ids['ticket_id']}" for side in (world.ours, world.theirs))
    assert [desk.ask("GET", path, token=token).status_code for path in (ours, theirs)] == [200, 404]
    with connect(api.database_url) as connection:
        values = (world.theirs.provider_id, world.ours.technician_id)
        connection.execute("UPDATE service.technician SET provider_id = %s WHERE technician_id = %s", values)
    assert [desk.ask("GET", path, token=token).status_code for path in (ours, theirs)] == [404, 200]


def test_keys_keep_to_their_scopes_and_ends(api, desk: Desk, world: World) -> None:
    with api.client("admin") as admin:
        wanted = {"name": "reader", "role": "agent", "scopes": ["tickets:read", "parts:write"]}
        key = admin.post("/v1/api-keys", {**wanted, "expires_at": "2026-08-01T00:00:00Z"}, now=NOW)
        assert (key["scopes"], key["key"][:3]) == (wanted["scopes"], "ck_")
        bad = [
            ({"scopes": ["tickets:all"]}, "body.scopes.0"),
            ({"scopes": ["tickets:read", "moon:read"]}, "body.scopes.1"),
            ({"scopes": []}, "body.scopes"),
            ({"role": "customer"}, "body.customer_id"),
        ]
        for fields, field in bad:
            with pytest.raises(ProblemError) as refused:
                admin.post("/v1/api-keys", {**wanted, **fields})
            assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (422, field), fields
        bound = {"name": "shop", "role": "customer", "customer_id": world.ours.customer_id}
        shop = admin.post("/v1/api-keys", bound)
    statuses = {
        ("GET", "/v1/tickets"): 200,
        ("POST", "/v1/tickets"): 403,
        ("GET", "/v1/parts"): 403,
        ("POST", "/v1/parts"): 422,
        ("GET", "/v1/me"): 403,
        ("GET", "/v1/technicians"): 403,
    }
    for (method, path), status in statuses.items():
        answer = desk.ask(method, path, {} if method == "POST" else None, token=key["key"])
        assert answer.status_code == status, (method, path, answer.text)
    refused = desk.ask("POST", "/v1/tickets", {}, token=key["key"]).json()
    assert (refused["type"], refused["scope"]) == ("/problems/outside-scopes", "tickets:write")
    assert desk.ask("GET", "/v1/tickets", token=key["key"], now=datetime(2026, 8, 1, tzinfo=UTC)).status_code == 401
    mine = desk.ask("GET", "/v1/assets", token=shop["key"]).json()["items"]
    assert [asset["serial"] for asset in mine] == ["OURS-1"]
    with api.client("admin") as admin:
        admin.post(f"/v1/api-keys/{shop['api_key_id']}/revoke", {})
        assert desk.ask("GET", "/v1/assets", token=shop["key"]).status_code == 401
        listed = {row["name"]: row for row in admin.pages("/v1/api-keys")}
    assert listed["shop"]["revoked_at"]
    assert "key" not in listed["shop"]


def test_the_command_line_makes_the_first_of_each(
    api, desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import argparse

    def run(command: Any, *words: str, typed: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        parser = argparse.ArgumentParser()
        command.configure(parser)
        assert command.run(parser.parse_args([*words, "--database-url", api.database_url])) == 0
        return capsys.readouterr().out.strip()

    words = ("create", "--login", "Root", "--name", "Root", "--role", "admin")
    assert int(run(USER_COMMAND, *words, typed=PASSWORD + "\n")) == 1
    token = desk.token("root", now=datetime.now(UTC))
    assert desk.ask("GET", "/v1/api-keys", token=token, now=datetime.now(UTC)).status_code == 200
    for wrong, message in (
        (words, "root"),
        (("create", "--login", "x1", "--name", "X", "--role", "customer"), "customer"),
    ):
        with pytest.raises(CareloopError, match=message):
            run(USER_COMMAND, *wrong, typed=PASSWORD)
    with pytest.raises(CareloopError, match="12 to 256"):
        run(USER_COMMAND, "create", "--login", "x2", "--name", "X", "--role", "agent", typed="short")
    key = run(API_KEY_COMMAND, "create", "--name", "r", "--role", "agent", "--scope", "tickets:read")
    assert desk.ask("GET", "/v1/tickets", token=key).status_code == 200
    assert desk.ask("GET", "/v1/parts", token=key).status_code == 403
    with connect(api.database_url) as connection:
        names = connection.execute("SELECT login FROM service.app_user").fetchall()
    assert [row["login"] for row in names] == ["root"], "a refused one leaves nothing behind"


def test_the_audit_can_be_asked_and_not_rewritten(api, desk: Desk, world: World) -> None:
    ticket = world.ours.ids["ticket_id"]
    user = make_user(api, "anna")
    token = desk.token("anna")
    changed = desk.ask(
        "PATCH",
        f"/v1/tickets/{ticket}",
        {"priority": "urgent"},
        token=token,
        **{"If-Match": '"1"', "X-Request-ID": "r-1"},
    )
    assert changed.status_code == 200, changed.text

    def audit(**wanted: object) -> list[dict]:
        answer = httpx.get(
            f"{api.url}/v1/audit", params=wanted, headers={"Authorization": f"Bearer {api.keys['engineer']}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    (line,) = audit(actor=f"user:{user['user_id']}", table="ticket", key=ticket)
    assert line in audit(actor=f"user:{user['user_id']}", ticket_id=ticket)
    assert (line["table_name"], line["action"], line["row_key"]) == ("ticket", "update", str(ticket))
    assert (line["before"]["priority"], line["after"]["priority"]) == ("normal", "urgent")
    assert (line["actor"], line["actor_key"]) == ("Anna", f"user:{user['user_id']}")
    assert (line["at"], line["request_id"]) == ("2026-07-01T08:00:00Z", changed.headers["X-Request-ID"])
    assert line in audit(customer_id=world.ours.customer_id)
    assert line in audit(serial="OURS-1", since="2026-07-01T08:00:00Z", until="2026-07-01T08:00:01Z")
    assert audit(serial="OURS-1", until="2026-07-01T08:00:00Z") == []
    assert audit(serial="NOWHERE-9") == []
    assert line in audit(table="ticket", key=str(ticket))
    by_time = audit(since="2026-07-01T08:00:00Z", until="2026-07-01T08:00:01Z", limit=500)
    assert line in by_time
    assert (
        httpx.get(
            f"{api.url}/v1/audit?table=ticket", headers={"Authorization": f"Bearer {api.keys['admin']}"}
        ).status_code
        == 422
    )
    with connect(api.database_url) as owner:
        for statement in (
            "UPDATE service.audit SET actor = 'x'",
            "DELETE FROM service.audit",
            "DELETE FROM service.change",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                owner.execute(statement)


def test_the_audits_pages_by_time_miss_nothing(api, desk: Desk) -> None:
    """Also where numbers and times do not rise together, as in a replay."""
    with connect(api.database_url) as owner:
        owner.execute(
            "INSERT INTO service.audit (at, actor, actor_key, table_name, action, row_key) "
            "SELECT timestamptz '2020-01-01Z' + (n * 7919 % 100) * interval '1 day', 'old', 'old', 'part', 'insert', n::text "
            "FROM generate_series(1, 100) n"
        )
    with api.client("admin") as admin:
        seen = [
            line["row_key"] for line in _pages(api, "since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z&limit=7")
        ]
        assert len(list(admin.pages("/v1/audit", actor="old"))) == 100
    assert sorted(map(int, seen)) == list(range(1, 101))


def _pages(api, query: str) -> list[dict]:
    found: list[dict] = []
    after = ""
    while True:
        answer = httpx.get(
            f"{api.url}/v1/audit?{query}{after}", headers={"Authorization": f"Bearer {api.keys['admin']}"}
        )
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        after = f"&after={answer.json()['next']}"
