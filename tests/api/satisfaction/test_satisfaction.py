"""Customers are asked once, answer by a link, and a bad answer is followed up."""

from datetime import datetime, timedelta

import httpx
import pytest

from api.satisfaction import rules
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime.fromisoformat("2026-06-01T12:00:00+00:00")
MODEL = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "components": [{"name": "pump"}]}
MARTA = {"name": "Marta", "language": "de", "contacts": [{"name": "Marta", "email": "marta@example.com"}]}


@pytest.fixture
def desk(api):
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})
        admin.post("/v1/product-models", MODEL)
        yield admin


@pytest.fixture
def ended(desk):
    """Opens and resolves a case of a customer's machine; tells its number."""

    def make(customer, serial, **more):
        site = desk.post("/v1/sites", {"name": serial, "customer_id": customer["customer_id"]}, now=NOW)
        body = {"serial": serial, "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "site_id": site["site_id"]}
        desk.post("/v1/assets", body, now=NOW)
        ticket = desk.post("/v1/tickets", {"kind": "repair", "serial": serial, "title": "leaks", **more}, now=NOW)
        path = f"/v1/tickets/{ticket['ticket_id']}/transitions"
        desk.post(path, {"to": "resolved", "outcome": "confirmed"}, now=NOW)
        return ticket["ticket_id"]

    return make


def _asked(desk, now=NOW):
    return desk.post("/v1/duties/run", {}, now=now)["satisfaction"]


def _refused(type_, call, *args, **options):
    with pytest.raises(ProblemError) as refused:
        call(*args, **options)
    assert refused.value.type == f"/problems/{type_}", refused.value


def test_a_customer_is_asked_once_answers_and_is_called_back(api, desk, ended) -> None:
    marta, silent = desk.post("/v1/customers", MARTA), desk.post("/v1/customers", {**MARTA, "name": "Silent"})
    for channel in ("sms", "email", "phone", "wechat", "app", "post"):
        refusal = {"channel": channel, "purpose": "service", "state": "withdrawn", "source": "letter"}
        desk.post(f"/v1/customers/{silent['customer_id']}/consents", refusal)
    ticket_id, other_id = ended(marta, "M-1"), ended(silent, "S-1")
    assert _asked(desk) == 2
    assert _asked(desk) == 0
    asked, passed = desk.pages("/v1/satisfaction")
    assert (asked["ticket_id"], asked["state"], asked["score"]) == (ticket_id, "asked", None)
    assert (passed["ticket_id"], passed["state"]) == (other_id, "not_asked")
    (alert,) = desk.pages("/v1/alerts", topic="satisfaction.asked")
    assert alert["payload"]["to"] == {
        "name": "Marta", "email": "marta@example.com", "phone": None, "wechat": None, "language": "de"
    }  # fmt: skip
    assert alert["payload"]["channels"] == ["email", "app", "post"]

    link = f"{api.url}{alert['payload']['path']}"
    at = {"Careloop-Now": "2026-06-02T08:00:00Z"}
    assert httpx.get(link, headers=at).json()["machine"] == "HD 5/15 (serial number M-1)"
    good = httpx.post(link, json={"score": 4, "comment": "fine"}, headers=at)
    assert (good.status_code, good.json()["score"]) == (200, 4)
    assert good.json()["changeable_until"].startswith("2026-06-09T08:00")
    bad = httpx.post(
        link, json={"score": 1, "comment": "leaks again"}, headers={"Careloop-Now": "2026-06-03T08:00:00Z"}
    )
    assert bad.json()["comment"] == "leaks again"
    late = httpx.post(link, json={"score": 5}, headers={"Careloop-Now": "2026-06-09T08:00:00Z"})
    assert (late.status_code, late.json()["type"]) == (409, "/problems/answer-final")
    assert httpx.get(link[:-1] + ("A" if link[-1] != "A" else "B"), headers=at).status_code == 404
    assert httpx.post(link, json={"score": 6}, headers=at).status_code == 422

    answered = desk.get(f"/v1/satisfaction/{asked['satisfaction_id']}")
    assert (answered["answered_via"], answered["score"]) == ("link", 1)
    follow_up = desk.get(f"/v1/tickets/{answered['follow_up_ticket_id']}")
    assert (follow_up["kind"], follow_up["customer_id"], follow_up["description"]) == (
        "complaint", marta["customer_id"], "leaks again"
    )  # fmt: skip
    assert len(list(desk.pages("/v1/alerts", topic="satisfaction.bad"))) == 1
    kinds = [event["kind"] for event in desk.pages(f"/v1/tickets/{ticket_id}/events")]
    assert [kind for kind in kinds if kind.startswith("satisfaction")] == ["satisfaction_asked"] + 2 * [
        "satisfaction_answered"
    ]
    # Whoever complained is not asked how the complaint was.
    desk.post(f"/v1/tickets/{follow_up['ticket_id']}/transitions", {"to": "resolved"}, now=NOW + timedelta(days=2))
    assert _asked(desk, NOW + timedelta(days=2, hours=1)) == 0
    # A token is kept as its hash only.
    token = alert["payload"]["path"].rpartition("/")[2]
    with connect(api.database_url) as connection:
        row = connection.execute("SELECT token_hash FROM service.satisfaction WHERE score = 1").fetchone()
    assert bytes(row["token_hash"]) == rules.token_hash(token)


def test_what_ended_long_ago_and_reminders_are_not_asked_about(desk, ended) -> None:
    marta = desk.post("/v1/customers", MARTA)
    ended(marta, "M-1")
    assert _asked(desk, NOW + timedelta(days=30)) == 0
    assert _asked(desk, NOW - timedelta(minutes=1)) == 0
    assert _asked(desk, NOW + timedelta(days=1)) == 1


def test_answers_are_summed_up_by_who_came_and_seen_by_whose_they_are(api, desk, ended) -> None:
    marta, otto = desk.post("/v1/customers", MARTA), desk.post("/v1/customers", {**MARTA, "name": "Otto"})
    one, _ = ended(marta, "M-1"), ended(otto, "O-1")
    with connect(api.database_url) as connection:
        provider = connection.execute(
            "INSERT INTO service.provider (code, name, created_at) VALUES ('north', 'North', now())"
            " RETURNING provider_id"
        ).fetchone()["provider_id"]
        connection.execute("UPDATE service.ticket SET provider_id = %s WHERE ticket_id = %s", (provider, one))
    assert _asked(desk) == 2
    first, second = (item["satisfaction_id"] for item in desk.pages("/v1/satisfaction"))
    with api.scoped_client("customer", customer_id=marta["customer_id"]) as self:
        assert [item["ticket_id"] for item in self.pages("/v1/satisfaction")] == [one]
        _refused("not-found", self.post, f"/v1/satisfaction/{second}/answer", {"score": 1}, now=NOW)
        answered = self.post(f"/v1/satisfaction/{first}/answer", {"score": 2, "comment": "slow"}, now=NOW)
        assert (answered["answered_via"], answered["follow_up_ticket_id"] is not None) == ("login", True)
    told = desk.post(f"/v1/satisfaction/{second}/answer", {"score": 5}, now=NOW)
    assert (told["answered_via"], told["follow_up_ticket_id"]) == ("desk", None)
    _refused("answer-final", desk.post, f"/v1/satisfaction/{second}/answer", {"score": 4}, now=NOW + timedelta(days=8))
    (north,) = desk.get("/v1/satisfaction/summary", by="provider", now=NOW)["items"]
    assert (north["name"], north["asked"], north["answered"], north["average"]) == ("North", 1, 1, 2.0)
    assert (north["scores"], north["comments"]) == ([0, 1, 0, 0, 0], 1)
    assert desk.get("/v1/satisfaction/summary", by="technician", now=NOW)["items"] == []
    assert desk.get("/v1/satisfaction/summary", by="provider", since=NOW + timedelta(1), now=NOW)["items"] == []
    assert [item["satisfaction_id"] for item in desk.pages("/v1/satisfaction", provider_id=provider)] == [first]
    assert [item["satisfaction_id"] for item in desk.pages("/v1/satisfaction", highest_score=2)] == [first]
    with api.scoped_client("partner_manager", provider_id=provider) as manager:
        assert [item["provider_id"] for item in manager.get("/v1/satisfaction/summary", by="provider")["items"]] == [
            provider
        ]
        assert [item["satisfaction_id"] for item in manager.pages("/v1/satisfaction")] == [first]


def test_links_are_throttled(api) -> None:
    link = f"{api.url}{rules.PATH}{rules.new_token()[0]}"
    with httpx.Client() as client:
        codes = [client.get(link).status_code for _ in range(100)]
    assert codes[0] == 404
    assert 429 in codes
