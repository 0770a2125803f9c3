"""EMQX 5's questions, in the JSON that its documentation gives, from the templates in docs/provisioning.md.

EMQX itself does not run here; so what its documentation says is held to: HTTP 200, `application/json`, `result` one of
allow, deny, ignore; 4xx counts as ignore.
"""

import re
from pathlib import Path

import httpx
import pytest

from api.devices.provisioning import Provisioning
from careloop.contract.topics import topic

ROOT = Path(__file__).resolve().parents[3]
SECRET = "made-by-the-device-0123456789abcdef"
HEADERS = {"Careloop-Broker-Secret": "shared-with-the-broker"}


@pytest.fixture
def emqx(server):
    def ask(what: str, headers: dict | None = None, **body: object) -> httpx.Response:
        return server.open_post(f"/v1/broker/emqx/{what}", body, **(HEADERS if headers is None else headers))

    return ask


@pytest.fixture
def connects(emqx):
    """What EMQX fills in when a placeholder has no value is `undefined`."""

    def ask(username: str, password: str = "", **others: str) -> str:
        fields = {"clientid": username, "cert_common_name": "undefined", "peerhost": "10.0.0.1"} | others
        answer = emqx("auth", username=username, password=password, **fields)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert body["is_superuser"] is False
        assert set(body) <= {"result", "is_superuser", "expire_at"}
        return body["result"]

    return ask


@pytest.fixture
def may(emqx):
    def ask(username: str, action: str, name: str) -> bool:
        answer = emqx("acl", username=username, topic=name, action=action, clientid=username, qos="1", retain="false")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.json() in ({"result": "allow"}, {"result": "deny"})
        return answer.json()["result"] == "allow"

    return ask


@pytest.fixture
def device(server, admin, make_key):
    return server.claim({"claim_key": make_key(admin)["key"], "serial": "KW-0001", "device_secret": SECRET})


def test_a_device_connects_by_its_password(connects, device) -> None:
    assert connects("KW-0001", device["password"]) == "allow"
    assert connects("KW-0001", device["password"], clientid="careloop-edge-KW-0001") == "allow"
    assert connects("KW-0001", "wrong") == "deny"
    assert connects("KW-0002", device["password"]) == "deny"
    assert connects("", "") == "deny"
    # Another's client id would end the other's session.
    assert connects("KW-0001", device["password"], clientid="careloop-edge-KW-0002") == "deny"


def test_accounts_made_by_hand_connect(connects) -> None:
    assert connects("platform", "platform-pw", clientid="ingest-1") == "allow"
    assert connects("HAND-1", "by-hand") == "allow"
    assert connects("platform", "wrong") == "deny"
    # A certificate of a device called like a service gets nothing.
    assert connects("platform", cert_common_name="platform") == "deny"


def test_a_device_connects_by_its_certificate_as_long_as_it_is_valid(server, admin, make_key, device_key, emqx) -> None:
    body = {"claim_key": make_key(admin)["key"], "serial": "KW-0001", "csr": device_key().csr()}
    identity = server.claim(body, "2026-07-01T00:00:00Z")
    question = {"username": "KW-0001", "clientid": "KW-0001", "cert_common_name": "KW-0001", "password": "undefined"}

    def connects(now: str, **fields: str) -> dict:
        headers = HEADERS | {"Careloop-Now": now}
        return emqx("auth", headers, **(question | fields)).json()

    july = "2026-07-02T00:00:00Z"
    allowed = connects(july)
    assert allowed["result"] == "allow"
    # The broker ends the connection when the certificate ends.
    assert allowed["expire_at"] == 1782864000 + 90 * 86400
    assert connects(july, username="")["result"] == "allow"
    assert connects(july, username="KW-0002")["result"] == "deny"
    assert connects(july, cert_common_name="undefined")["result"] == "deny"
    assert connects(july, cert_common_name="undefined", password="")["result"] == "deny"
    assert connects("2026-12-01T00:00:00Z")["result"] == "deny"
    admin.post(f"/v1/devices/{identity['device_id']}/revoke", {})
    assert connects(july)["result"] == "deny"


def test_a_device_reaches_its_own_topics_until_it_is_revoked(admin, device, may) -> None:
    assert may("KW-0001", "publish", topic("KW-0001", "telemetry"))
    assert may("KW-0001", "subscribe", topic("KW-0001", "stored"))
    assert not may("KW-0001", "publish", topic("KW-0002", "telemetry"))
    assert not may("KW-0001", "subscribe", "careloop/v1/+/command")
    admin.post(f"/v1/devices/{device['device_id']}/revoke", {})
    assert not may("KW-0001", "publish", topic("KW-0001", "telemetry"))


def test_a_gateway_speaks_for_its_machines_services_hear_all(server, admin, make_key, may) -> None:
    key = make_key(admin, gateway=True, serial_pattern="GW-*", asset_pattern="KW-*")["key"]
    server.claim({"claim_key": key, "serial": "GW-1", "assets": ["KW-0001"]})
    assert may("GW-1", "publish", topic("KW-0001", "event"))
    assert not may("GW-1", "subscribe", topic("KW-0001", "command"))
    assert not may("GW-1", "publish", topic("KW-0002", "event"))
    assert may("platform", "subscribe", "$share/careloop-ingest/careloop/v1/+/telemetry")
    assert may("platform", "publish", topic("KW-0001", "stored"))
    assert may("HAND-1", "publish", topic("HAND-1", "telemetry"))
    assert not may("nobody", "publish", topic("nobody", "telemetry"))


def test_only_the_broker_is_answered(emqx, serve, admin, device) -> None:
    question = {"username": "KW-0001", "password": device["password"]}
    for headers in ({}, {"Careloop-Broker-Secret": "wrong"}):
        refused = emqx("auth", headers, **question)
        assert (refused.status_code, refused.headers["Content-Type"]) == (403, "application/problem+json")
        acl = emqx("acl", headers, username="KW-0001", topic="a", action="publish")
        assert acl.status_code == 403
    with serve(Provisioning()) as closed:
        assert closed.open_post("/v1/broker/emqx/auth", question, **HEADERS).status_code == 404
    assert emqx("acl", username="KW-0001", topic="a", action="read").status_code == 422


def test_the_templates_in_the_documentation_ask_what_is_understood(emqx, device) -> None:
    text = (ROOT / "docs/provisioning.md").read_text(encoding="utf-8")
    templates = re.findall(r"body \{(.*?)\}\n", text, re.DOTALL)
    assert len(templates) == 2
    values = {"username": "KW-0001", "password": device["password"], "clientid": "KW-0001",
              "cert_common_name": "undefined", "topic": topic("KW-0001", "event"), "action": "publish"}  # fmt: skip
    for what, template in zip(("auth", "acl"), templates, strict=True):
        body = {name: values[value] for name, value in re.findall(r'(\w+) = "\$\{(\w+)\}"', template)}
        assert len(body) >= 3
        assert emqx(what, **body).json()["result"] == "allow"
        assert f"/v1/broker/emqx/{what}" in text
    assert "Careloop-Broker-Secret" in text
