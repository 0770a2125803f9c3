"""From a claim key to an identity: once per serial number, to one device only, and never beyond the batch."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.conventions.limits import Limiter
from api.devices.passwords import is_password
from api.devices.provisioning import Provisioning
from careloop.client import ProblemError
from careloop.database.engine import connect

SECRET = "made-by-the-device-0123456789abcdef"


def test_a_claim_key_is_shown_once_listed_and_revoked(server, admin, make_key, refusal) -> None:
    made = make_key(admin)
    key = made.pop("key")
    assert key.startswith("clk_")
    assert list(admin.pages("/v1/devices/claim-keys")) == [made]
    assert (made["claims"], made["revoked_at"], made["model"]) == (0, None, "KW-5")
    assert admin.post(f"/v1/devices/claim-keys/{made['claim_key_id']}/revoke", {})["revoked_at"]
    refused = refusal(server.claim, {"claim_key": key, "serial": "KW-0001"})
    assert (refused.status, refused.type) == (401, "/problems/claim-key-refused")
    assert refusal(admin.post, "/v1/devices/claim-keys/999/revoke", {}).status == 404
    with server.client("agent") as desk:
        assert refusal(make_key, desk).status == 403


BAD_KEYS = [
    ({"model": "NO-1"}, "body.model"),
    ({"serials": ["KW-1"]}, "body"),
    ({"serial_pattern": None}, "body"),
    ({"serial_pattern": "KW/#"}, "body.serial_pattern"),
    ({"serial_pattern": "*a*b*c*d"}, "body"),
    ({"asset_pattern": "KW-*"}, "body"),
    ({"max_claims": 0}, "body.max_claims"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
]


def test_a_claim_key_that_makes_no_sense_is_refused_by_its_field(admin, make_key, refusal) -> None:
    for fields, field in BAD_KEYS:
        refused = refusal(make_key, admin, **fields)
        assert (refused.status, [error["field"] for error in refused.problem["errors"]]) == (422, [field]), fields


def test_a_password_is_given_and_told_again_to_the_same_device_only(server, admin, make_key, refusal) -> None:
    body = {"claim_key": make_key(admin)["key"], "serial": "KW-0001", "device_secret": SECRET}
    identity = server.claim(body)
    assert (identity["agent_id"], identity["username"], identity["kind"]) == ("KW-0001", "KW-0001", "password")
    assert identity["broker"]["url"] == "mqtts://broker.example.com:8883"
    assert len(identity["password"]) >= 43
    assert server.claim(body)["password"] == identity["password"]
    for other in ({**body, "device_secret": SECRET[::-1]}, {**body, "device_secret": None}):
        refused = refusal(server.claim, other)
        assert (refused.status, refused.type) == (409, "/problems/device-claimed")
    (device,) = admin.pages("/v1/devices")
    assert (device["agent_id"], device["state"], device["batch"]) == ("KW-0001", "active", "2026-07")
    (key,) = admin.pages("/v1/devices/claim-keys")
    assert key["claims"] == 1


def test_without_a_secret_of_the_device_a_claim_cannot_be_repeated(server, admin, make_key, refusal) -> None:
    body = {"claim_key": make_key(admin)["key"], "serial": "KW-0001", "want": "password"}
    assert server.claim(body)["password"]
    assert refusal(server.claim, body).type == "/problems/device-claimed"


def test_neither_key_nor_password_stands_in_the_database(server, admin, make_key, database_url) -> None:
    key = make_key(admin)["key"]
    password = server.claim({"claim_key": key, "serial": "KW-0001", "device_secret": SECRET})["password"]
    with connect(database_url) as connection:
        row = connection.execute("SELECT password_hash FROM service.device").fetchone()
        assert is_password(password, row["password_hash"])
        assert row["password_hash"].startswith("$7$101$")
        everything = "".join(
            str(connection.execute(f"SELECT t::text FROM {table} t").fetchall())
            for table in ("service.device", "service.claim_key", "service.idempotency_key")
        )
    assert all(secret not in everything for secret in (key, password, SECRET))


def test_a_certificate_names_the_device_whatever_its_request_says(
    server, admin, make_key, device_key, authority
) -> None:
    own = device_key()
    body = {"claim_key": make_key(admin)["key"], "serial": "KW-0001", "csr": own.csr("platform")}
    identity = server.claim(body)
    certificate = x509.load_pem_x509_certificate(identity["certificate"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(identity["ca"].encode()))
    assert certificate.public_key() == own.key.public_key()
    assert [name.value for name in certificate.subject] == ["KW-0001"]
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:careloop:device:KW-0001"]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    life = datetime.fromisoformat(identity["expires_at"]) - datetime.fromisoformat(identity["issued_at"])
    assert timedelta(days=89) < life <= timedelta(days=90)
    assert identity["broker"]["url"] == "mqtts://broker.example.com:8884"
    assert identity["password"] is None
    (device,) = admin.pages("/v1/devices")
    recorded = admin.get(f"/v1/devices/{device['device_id']}")["certificates"]
    assert [row["serial_number"] for row in recorded] == [f"{certificate.serial_number:x}"]


def test_the_same_request_gets_the_same_certificate_another_none(server, admin, make_key, device_key, refusal) -> None:
    own, key = device_key(), make_key(admin)["key"]
    body = {"claim_key": key, "serial": "KW-0001", "csr": own.csr()}
    first = server.claim(body)
    assert server.claim({**body, "csr": own.csr("new text, same key")})["certificate"] == first["certificate"]
    assert refusal(server.claim, {**body, "csr": device_key().csr()}).type == "/problems/device-claimed"
    password = {"claim_key": key, "serial": "KW-0001", "device_secret": SECRET}
    assert refusal(server.claim, password).type == "/problems/device-claimed"


def test_one_of_many_claims_at_once_wins(server, admin, make_key) -> None:
    key = make_key(admin, max_claims=3, register_assets=True)["key"]

    def try_to(number: int) -> str:
        body = {"claim_key": key, "serial": f"KW-9{number % 6}", "device_secret": f"{SECRET}{number}"}
        try:
            return server.claim(body)["password"]
        except ProblemError as problem:
            return problem.type

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(try_to, range(24)))
    passwords = {answer for answer in answers if not answer.startswith("/problems/")}
    assert len(passwords) == 3
    assert set(answers) - passwords == {"/problems/claim-key-refused", "/problems/device-claimed"}
    assert len(list(admin.pages("/v1/devices"))) == 3
    (row,) = admin.pages("/v1/devices/claim-keys")
    assert row["claims"] == 3


BAD_CLAIMS = [
    ({"serial": "RV-0001"}, 422, "body.serial"),
    ({"serial": "KW-none"}, 422, "body.serial"),
    ({"serial": "KW/0001"}, 422, "body.serial"),
    ({"csr": "no pem"}, 422, "body.csr"),
    ({"want": "certificate"}, 422, "body"),
    ({"assets": ["KW-0002"]}, 422, "body.assets"),
    ({"device_secret": "short"}, 422, "body.device_secret"),
    ({"claim_key": "clk_wrong"}, 401, None),
    ({"extra": 1}, 422, "body.extra"),
]


def test_a_wrong_claim_says_what_is_wrong_and_leaves_nothing(server, admin, make_key, refusal) -> None:
    key = make_key(admin)["key"]
    for fields, status, field in BAD_CLAIMS:
        refused = refusal(server.claim, {"claim_key": key, "serial": "KW-0001", **fields})
        assert refused.status == status, fields
        if field:
            assert [error["field"] for error in refused.problem["errors"]] == [field], fields
    assert list(admin.pages("/v1/devices")) == []
    (row,) = admin.pages("/v1/devices/claim-keys")
    assert row["claims"] == 0


def test_an_asset_of_another_model_or_retired_is_refused(server, admin, make_key, refusal) -> None:
    key = make_key(admin, serial_pattern="*")["key"]
    refused = refusal(server.claim, {"claim_key": key, "serial": "RV-0001"})
    assert "RV-1" in refused.problem["detail"]
    version = admin.get("/v1/assets/KW-0002")["version"]
    admin.patch("/v1/assets/KW-0002", {"state": "retired"}, version=version)
    assert "retired" in refusal(server.claim, {"claim_key": key, "serial": "KW-0002"}).problem["detail"]


def test_an_unknown_serial_is_registered_when_the_key_says_so(server, admin, make_key) -> None:
    key = make_key(admin, register_assets=True)["key"]
    server.claim({"claim_key": key, "serial": "KW-7777"})
    assert admin.get("/v1/assets/KW-7777")["model"] == "KW-5"


def test_a_name_of_the_platform_is_no_devices(server, admin, make_key, refusal) -> None:
    key = make_key(admin, serial_pattern="*", register_assets=True)["key"]
    for name in ("platform", "HAND-1"):
        assert refusal(server.claim, {"claim_key": key, "serial": name}).type == "/problems/name-taken"


def test_a_key_ends_at_its_time(server, admin, make_key, refusal) -> None:
    key = make_key(admin, expires_at="2030-01-01T00:00:00Z")["key"]
    body = {"claim_key": key, "serial": "KW-0001"}
    assert refusal(server.claim, body, "2030-01-01T00:00:00Z").type == "/problems/claim-key-refused"
    assert server.claim(body, "2029-12-31T00:00:00Z")


def test_a_revoked_device_cannot_claim_until_it_is_released(server, admin, make_key, device_key, refusal) -> None:
    body = {"claim_key": make_key(admin, max_claims=1)["key"], "serial": "KW-0001", "csr": device_key().csr()}
    first = server.claim(body)
    path = f"/v1/devices/{first['device_id']}"
    revoked = admin.post(f"{path}/revoke", {})
    assert revoked["state"] == "revoked"
    assert revoked["certificates"][0]["revoked_at"]
    assert refusal(server.claim, body).type == "/problems/device-revoked"
    assert admin.post(f"{path}/release", {})["state"] == "released"
    # By the same key, another board: it counts once per serial number.
    again = server.claim({**body, "csr": device_key().csr()})
    assert again["device_id"] == first["device_id"]
    assert again["certificate"] != first["certificate"]
    assert [row["revoked_at"] is None for row in admin.get(path)["certificates"]] == [False, True]
    assert refusal(admin.post, "/v1/devices/999/revoke", {}).status == 404
    assert [device["agent_id"] for device in admin.pages("/v1/devices", state="active")] == ["KW-0001"]


def test_a_platform_without_ca_gives_passwords_only(serve, admin, make_key, device_key, refusal) -> None:
    with serve(Provisioning()) as bare:
        body = {"claim_key": make_key(admin)["key"], "serial": "KW-0001"}
        assert refusal(bare.claim, {**body, "csr": device_key().csr()}).type == "/problems/no-authority"
        assert bare.claim(body)["broker"] == {"url": None, "ca": None}


def test_who_fails_too_often_is_sent_away(serve, admin, make_key) -> None:
    with serve(Provisioning(failures=Limiter(3))) as guarded:
        wrong = {"claim_key": "clk_wrong", "serial": "KW-0001"}
        answers = [guarded.open_post("/v1/devices/claim", wrong) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert answers[-1].headers["Content-Type"] == "application/problem+json"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 21


def test_no_secret_is_logged(server, admin, make_key, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    key = make_key(admin)["key"]
    identity = server.claim({"claim_key": key, "serial": "KW-0001", "device_secret": SECRET})
    assert "KW-0001 claimed its identity" in caplog.text
    assert all(secret not in caplog.text for secret in (key, identity["password"], SECRET))


def test_a_gateway_brings_the_machines_of_its_pattern(server, admin, make_key, refusal) -> None:
    key = make_key(admin, gateway=True, serial_pattern="GW-*", asset_pattern="KW-*", register_assets=True)["key"]
    body = {"claim_key": key, "serial": "GW-1", "assets": ["KW-0002", "KW-0001", "KW-8888"]}
    refused = refusal(server.claim, {**body, "assets": ["KW-0001", "RV-0001"]})
    assert [error["field"] for error in refused.problem["errors"]] == ["body.assets.1"]
    assert server.claim(body)["assets"] == ["KW-0001", "KW-0002", "KW-8888"]
    assert admin.get("/v1/assets/KW-8888")["model"] == "KW-5"
    taken = refusal(server.claim, {**body, "serial": "GW-2", "assets": ["KW-0001"]})
    assert (taken.type, taken.problem["agent_id"]) == ("/problems/asset-taken", "GW-1")
    own = make_key(admin)["key"]
    assert refusal(server.claim, {"claim_key": own, "serial": "KW-0001"}).type == "/problems/asset-taken"


def test_the_administrator_sets_a_gateways_machines(server, admin, make_key, refusal) -> None:
    key = make_key(admin, gateway=True, serial_pattern="GW-*")["key"]
    one, two = (server.claim({"claim_key": key, "serial": name}) for name in ("GW-1", "GW-2"))
    path = "/v1/devices/{}/assets"

    def put(where: str, body: object) -> dict:
        answer = httpx.put(server.url + where, json=body, headers={"Authorization": f"Bearer {server.keys['service']}"})
        if answer.is_error:
            raise ProblemError(answer.status_code, answer.json())
        return answer.json()

    assert put(path.format(one["device_id"]), {"assets": ["KW-0001", "RV-0001"]})["assets"] == ["KW-0001", "RV-0001"]
    refused = refusal(put, path.format(two["device_id"]), {"assets": ["KW-0002", "KW-0001"]})
    assert (refused.status, refused.type) == (409, "/problems/asset-taken")
    unknown = refusal(put, path.format(two["device_id"]), {"assets": ["KW-none"]})
    assert unknown.problem["errors"][0]["field"] == "body.assets.0"
    assert put(path.format(one["device_id"]), {"assets": ["RV-0001"]})["assets"] == ["RV-0001"]
    assert put(path.format(two["device_id"]), {"assets": ["KW-0001"]})["assets"] == ["KW-0001"]
    # What a revoked gateway spoke for is free for another.
    admin.post(f"/v1/devices/{two['device_id']}/revoke", {})
    assert put(path.format(one["device_id"]), {"assets": ["KW-0001"]})["assets"] == ["KW-0001"]
    assert refusal(put, path.format(999), {"assets": []}).status == 404
    alone = server.claim({"claim_key": make_key(admin)["key"], "serial": "KW-0002"})
    assert refusal(put, path.format(alone["device_id"]), {"assets": []}).type == "/problems/no-gateway"
