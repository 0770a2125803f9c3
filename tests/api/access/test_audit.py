"""The audit: asked by what concerned whom, in pages that miss nothing, and never rewritten."""

import httpx
import psycopg
import pytest

from careloop.database.engine import connect
from tests.api.access.desk import Desk, make_user
from tests.api.access.strangers import World


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
            "SELECT timestamptz '2020-01-01Z' + (n * 7919 % 100) * interval '1 day', "
            "'old', 'old', 'part', 'insert', n::text FROM generate_series(1, 100) n"
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
