"""Agents over HTTP: what the desk may want of them, and what it reads."""

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

SETTINGS = {"sources": {"plc": {"interval_s": 5}}, "batching": {"interval_s": 2.5}, "log_level": "DEBUG"}
AGENT = "/v1/agents/gw-1"


def put(api, path: str, body: object, *, role: str = "agent", **headers: str) -> httpx.Response:
    return httpx.put(
        api.url + path, json=body, headers={"Authorization": f"Bearer {api.keys[role]}", **headers}, timeout=30
    )


def refusal(call, *given, **named) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


def test_agents_are_listed_by_id_and_machines_of_a_gateway_are_none(desk, seen) -> None:
    for agent_id in ("gw-2", "gw-1", "gw-3"):
        seen(agent_id, online=agent_id != "gw-3")
    seen("KW-1", detail='{"gateway": "gw-1"}')
    seen("gw-1", version=3, status="applied")
    assert [agent["agent_id"] for agent in desk.pages("/v1/agents")] == ["gw-1", "gw-2", "gw-3"]
    first = desk.get("/v1/agents", limit=2)
    assert [agent["agent_id"] for agent in first["items"]] == ["gw-1", "gw-2"]
    rest = desk.get("/v1/agents", limit=2, after=first["next"])
    assert ([agent["agent_id"] for agent in rest["items"]], rest["next"]) == (["gw-3"], None)
    assert [agent["agent_id"] for agent in desk.pages("/v1/agents", online=False)] == ["gw-3"]
    assert desk.get(AGENT) == {
        "agent_id": "gw-1", "online": True, "version": "1.2", "config_version": 3, "config_hash": "",
        "last_seen": "2026-02-01T00:00:00Z", "detail": {"assets": 3},
    }  # fmt: skip
    assert refusal(desk.get, "/v1/agents/KW-1").status == 404
    assert refusal(desk.get, "/v1/agents", after="!").status == 422


def test_a_configuration_is_set_first_without_and_then_with_the_version_seen(api, desk, seen) -> None:
    seen("gw-1")
    assert refusal(desk.get, f"{AGENT}/config").status == 404
    made = put(api, f"{AGENT}/config", {"settings": SETTINGS})
    assert (made.status_code, made.headers["ETag"]) == (200, '"1"')
    said = made.json()
    assert (said["settings"], said["state"], said["reported"], said["sent_at"]) == (SETTINGS, "pending", None, None)
    assert said["changed_by"] == "test-agent"
    assert put(api, f"{AGENT}/config", {"settings": {}}).status_code == 428
    assert put(api, f"{AGENT}/config", {"settings": {}}, **{"If-Match": '"2"'}).status_code == 412
    changed = put(api, f"{AGENT}/config", {"settings": {}}, **{"If-Match": '"1"'})
    assert (changed.json()["version"], changed.json()["settings"]) == (2, {})
    assert changed.json()["hash"] != said["hash"]
    seen("gw-1", version=2, status="refused", reason="rules.0.band: must be above 0")
    read = desk.get(f"{AGENT}/config")
    assert (read["state"], read["reported"]["reason"]) == ("refused", "rules.0.band: must be above 0")
    put(api, f"{AGENT}/config", {"settings": SETTINGS}, **{"If-Match": '"2"'})
    read = desk.get(f"{AGENT}/config")
    assert (read["state"], read["reported"]["version"], read["hash"]) == ("pending", 2, said["hash"])


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"broker": {"url": "mqtt://x"}}, "body.settings.broker"),
        ({"log_level": "LOUD"}, "body.settings.log_level"),
        ({"rules": [{"kind": "a\x00b"}]}, "body.settings"),
        ({"batching": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}}, "body.settings"),
        ({"rules": [{"metric": "x" * 70000}]}, "body.settings"),
    ],
)
def test_settings_that_cannot_be_kept_name_their_field(api, seen, settings, field) -> None:
    seen("gw-1")
    refused = put(api, f"{AGENT}/config", {"settings": settings})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_not_a_number_is_refused(api, seen) -> None:
    seen("gw-1")
    headers = {"Authorization": f"Bearer {api.keys['agent']}", "Content-Type": "application/json"}
    text = '{"settings": {"batching": {"interval_s": NaN}}}'
    refused = httpx.put(f"{api.url}{AGENT}/config", content=text, headers=headers)
    assert (refused.status_code, "batching.interval_s" in refused.json()["detail"]) == (422, True)


def test_who_may_and_for_whom(api, desk, seen) -> None:
    assert put(api, f"{AGENT}/config", {"settings": {}}).status_code == 404
    assert refusal(desk.post, f"{AGENT}/commands", {"kind": "self_test"}).status == 404
    seen("gw-1")
    for role in ("technician", "dispatcher", "service"):
        assert put(api, f"{AGENT}/config", {"settings": {}}, role=role).status_code == 403
        with api.client(role) as client:
            assert refusal(client.post, f"{AGENT}/commands", {"kind": "self_test"}).status == 403
            assert client.get(AGENT)["online"]
    assert put(api, f"{AGENT}/config", {"settings": {}}, role="admin").status_code == 200


def test_a_command_is_given_once_and_goes_through_its_states(desk, seen, database_url) -> None:
    seen("gw-1")
    key = uuid.uuid4().hex
    wanted = {"kind": "set_interval", "arguments": {"source": "plc", "interval_s": 2}, "expires_in_s": 60}
    now = datetime.now(UTC)
    given = desk.post(f"{AGENT}/commands", wanted, key=key, now=now)
    assert desk.post(f"{AGENT}/commands", wanted, key=key, now=now) == given
    assert (given["state"], given["arguments"], given["output"]) == ("queued", wanted["arguments"], {})
    path = f"{AGENT}/commands/{given['command_id']}"
    desk.post(f"{AGENT}/commands", {"kind": "upload_log", "arguments": {"kilobytes": 8}})
    desk.post(f"{AGENT}/commands", {"kind": "self_test"})
    listed = list(desk.pages(f"{AGENT}/commands"))
    assert [command["kind"] for command in listed] == ["set_interval", "upload_log", "self_test"]
    assert "output" not in listed[0]
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO telemetry.command_delivery VALUES (%s, 1, now(), now())", (given["command_id"],)
        )
    assert desk.get(path, now=now)["state"] == "sent"
    assert desk.get(path, now=now + timedelta(seconds=60))["state"] == "expired"
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO telemetry.command_result VALUES (%s, 'gw-1', 'done', '', '{\"before\": 10}', now(), now())",
            (given["command_id"],),
        )
    done = desk.get(path, now=now + timedelta(seconds=60))
    assert (done["state"], done["output"]) == ("done", {"before": 10})
    seen("gw-2")
    assert refusal(desk.get, path.replace("gw-1", "gw-2")).status == 404


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"kind": "reboot"}, "body"),
        ({"kind": "set_interval"}, "body.set_interval.arguments"),
        ({"kind": "set_interval", "arguments": {"source": "plc", "interval_s": 0}},
         "body.set_interval.arguments.interval_s"),
        ({"kind": "upload_log", "arguments": {"kilobytes": 999}}, "body.upload_log.arguments.kilobytes"),
        ({"kind": "self_test", "expires_in_s": 10**9}, "body.self_test.expires_in_s"),
    ],
)  # fmt: skip
def test_a_command_that_makes_no_sense_names_its_field(desk, seen, command, field) -> None:
    seen("gw-1")
    refused = refusal(desk.post, f"{AGENT}/commands", command)
    assert refused.status == 422
    assert [error["field"] for error in refused.problem["errors"]] == [field]


def test_the_downlink_is_woken_when_something_was_written(api, desk, seen, database_url) -> None:
    seen("gw-1")
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN careloop_downlink")
        desk.post(f"{AGENT}/commands", {"kind": "self_test"})
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        put(api, f"{AGENT}/config", {"settings": {}})
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
