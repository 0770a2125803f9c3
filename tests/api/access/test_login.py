"""Logins by password, sessions, and keys with scopes and ends."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from api.access.passwords import Passwords
from api.command import API_KEY_COMMAND, USER_COMMAND
from careloop.client import ProblemError
from careloop.database.engine import connect
from careloop.errors import CareloopError
from tests.api.access.desk import NOW, PASSWORD, TODAYS, Desk, make_user
from tests.api.access.strangers import World

YESTERDAYS = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1)


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
