"""Targets and alerts over HTTP, and how alerts come into the outbox."""

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

LOG = {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]}
HOOK = {"name": "erp", "kind": "webhook", "url": "https://erp.example.com/hook", "topics": ["ticket.opened"]}


@pytest.fixture
def admin(api):
    with api.client("admin") as client:
        yield client


def test_the_secret_of_a_webhook_is_shown_once(admin) -> None:
    created = admin.post("/v1/alert-targets", HOOK)
    assert created["secret"].startswith("whsec_")
    (listed,) = admin.pages("/v1/alert-targets")
    assert "secret" not in listed
    assert "secret" not in admin.get(f"/v1/alert-targets/{created['target_id']}")
    assert admin.post("/v1/alert-targets", LOG)["secret"] is None


def test_an_idempotency_key_keeps_no_secret(api, admin) -> None:
    key = admin.post("/v1/api-keys", {"name": "erp", "role": "service"}, key="key")["key"]
    secret = admin.post("/v1/alert-targets", HOOK, key="target")["secret"]
    with connect(api.database_url) as connection:
        kept = connection.execute("SELECT string_agg(encode(body, 'escape'), '') AS all FROM service.idempotency_key")
        text = kept.fetchone()["all"]
    assert key not in text
    assert secret not in text
    for path, body, used in (
        ("/v1/api-keys", {"name": "erp", "role": "service"}, "key"),
        ("/v1/alert-targets", HOOK, "target"),
    ):
        with pytest.raises(ProblemError) as refused:
            admin.post(path, body, key=used)
        assert refused.value.type == "/problems/secret-shown-once"
    assert len(list(admin.pages("/v1/alert-targets"))) == 1


def test_passwords_in_apprise_urls_are_masked(admin) -> None:
    mail = {**LOG, "name": "mail", "url": "mailto://hotel:geheim@example.com"}
    created = admin.post("/v1/alert-targets", mail)
    (listed,) = admin.pages("/v1/alert-targets")
    assert "geheim" not in str(created) + str(listed)
    assert listed["url"].startswith("mailto://hotel:****@example.com")


BAD_FIELDS = [
    ({"url": "nonsense://somewhere"}, "body.url"),
    ({"url": "careloop-file://relative.jsonl"}, "body.url"),
    ({"kind": "webhook", "url": "gopher://example.com"}, "body.url"),
    ({"kind": "pigeon"}, "body.kind"),
    ({"topics": ["ticket.eaten"]}, "body.topics.0"),
    ({"topics": []}, "body.topics"),
    ({"name": ""}, "body.name"),
    ({"secret": "mine"}, "body.secret"),
]


def test_a_bad_field_is_named(admin) -> None:
    for change, field in BAD_FIELDS:
        with pytest.raises(ProblemError) as refused:
            admin.post("/v1/alert-targets", {**LOG, **change})
        problem = refused.value.problem
        assert (refused.value.status, problem["errors"][0]["field"]) == (422, field), (change, problem)
    assert list(admin.pages("/v1/alert-targets")) == []


def test_a_name_is_taken_once(admin) -> None:
    admin.post("/v1/alert-targets", LOG)
    with pytest.raises(ProblemError) as refused:
        admin.post("/v1/alert-targets", LOG)
    assert refused.value.type == "/problems/name-taken"


def test_targets_are_for_administrators_only(api) -> None:
    for role in ("agent", "dispatcher", "technician", "service"):
        with api.client(role) as client:
            with pytest.raises(ProblemError) as refused:
                client.post("/v1/alert-targets", LOG)
            assert refused.value.status == 403
            with pytest.raises(ProblemError) as refused:
                client.get("/v1/alert-targets")
            assert refused.value.status == 403


def test_a_target_is_changed_at_the_version_seen(admin) -> None:
    target = admin.post("/v1/alert-targets", LOG)
    path = f"/v1/alert-targets/{target['target_id']}"
    changed = admin.patch(path, {"topics": ["job.waiting"]}, version=target["version"])
    assert (changed["topics"], changed["active"]) == (["job.waiting"], True)
    with pytest.raises(ProblemError) as refused:
        admin.patch(path, {"active": False}, version=target["version"])
    assert refused.value.status == 412
    assert admin.patch(path, {"active": False}, version=changed["version"])["active"] is False


def test_each_active_target_of_the_topic_hears_of_a_cause_once(admin, announce, alerts) -> None:
    admin.post("/v1/alert-targets", LOG)
    admin.post("/v1/alert-targets", HOOK)
    off = admin.post("/v1/alert-targets", {**LOG, "name": "off"})
    admin.patch(f"/v1/alert-targets/{off['target_id']}", {"active": False}, version=off["version"])
    announce("ticket:1:opened")
    announce("ticket:1:opened")
    announce("job:1:waiting", topic="job.waiting")
    assert [(row["cause"], row["target_id"]) for row in alerts()] == [
        ("ticket:1:opened", 1),
        ("ticket:1:opened", 2),
        ("job:1:waiting", 1),
    ]


def test_alerts_are_listed_by_state_topic_and_serial(api, admin, announce) -> None:
    admin.post("/v1/alert-targets", LOG)
    admin.post("/v1/product-models", {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer"})
    asset = admin.post("/v1/assets", {"serial": "HD5-1", "model": "HD-5", "installed_at": "2015-01-01T00:00:00Z"})
    announce("ticket:1:opened", asset_id=asset["asset_id"])
    announce("job:1:waiting", topic="job.waiting")
    with connect(api.database_url) as connection:
        connection.execute("UPDATE service.alert SET state = 'dead' WHERE topic = 'job.waiting'")
    with api.client("agent") as desk:
        (of_asset,) = desk.pages("/v1/alerts", serial="HD5-1")
        assert (of_asset["cause"], of_asset["target"], of_asset["serial"]) == ("ticket:1:opened", "log", "HD5-1")
        assert of_asset["created_at"] == "2015-07-01T03:00:00Z"
        assert of_asset["payload"] == {"due_by": "2015-07-01T03:00:00+00:00", "score": 0.83}
        assert desk.get(f"/v1/alerts/{of_asset['alert_id']}") == of_asset
        (dead,) = desk.pages("/v1/alerts", state="dead")
        assert dead["cause"] == "job:1:waiting"
        assert list(desk.pages("/v1/alerts", topic="job.waiting")) == [dead]
        assert list(desk.pages("/v1/alerts", serial="NONE")) == []
        page = desk.get("/v1/alerts", limit=1)
        assert desk.get("/v1/alerts", limit=1, after=page["next"])["items"] == [dead]


def test_only_a_stuck_alert_is_sent_again(api, admin, announce) -> None:
    admin.post("/v1/alert-targets", LOG)
    announce("ticket:1:opened")
    for state, sent_again in (("dead", True), ("unconfirmed", True), ("sent", False), ("sending", False)):
        with connect(api.database_url) as connection:
            connection.execute("UPDATE service.alert SET state = %s, attempts = 20", [state])
        if sent_again:
            again = admin.post("/v1/alerts/1/resend", {})
            assert (again["state"], again["attempts"]) == ("pending", 0)
        else:
            with pytest.raises(ProblemError) as refused:
                admin.post("/v1/alerts/1/resend", {})
            assert refused.value.type == "/problems/alert-not-stuck"


def test_there_is_no_alert_of_an_unknown_number(admin) -> None:
    for method, path in [("GET", "/v1/alerts/9"), ("POST", "/v1/alerts/9/resend"), ("GET", "/v1/alert-targets/9")]:
        with pytest.raises(ProblemError) as refused:
            admin.get(path) if method == "GET" else admin.post(path, {})
        assert refused.value.status == 404
