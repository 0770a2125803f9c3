"""A device gets its next identity for the present one, and nobody else does."""

import base64
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from api.devices.authority import Authority, make_authority, read_request

SECRET = "made-by-the-device-0123456789abcdef"
OTHER_SECRET = SECRET.replace("made", "anew")


def signed(agent_id: str, certificate: str, present, csr: str) -> dict:
    der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
    signature = present.key.sign(b"careloop renewal v1\0" + der, ec.ECDSA(hashes.SHA256()))
    return {
        "agent_id": agent_id,
        "csr": csr,
        "certificate": certificate,
        "signature": base64.b64encode(signature).decode(),
    }


@pytest.fixture
def claimed(server, admin, make_key, device_key):
    """A device with a certificate: its key and its identity; more of them by name."""
    key = make_key(admin)["key"]

    def claim(serial: str = "KW-0001"):
        own = device_key()
        return own, server.claim({"claim_key": key, "serial": serial, "csr": own.csr()}, "2026-07-01T00:00:00Z")

    return claim


def serial_of(identity: dict) -> int:
    return x509.load_pem_x509_certificate(identity["certificate"].encode()).serial_number


def test_a_certificate_is_renewed_with_a_new_key_again_and_again(server, admin, claimed, device_key) -> None:
    present, identity = claimed()
    seen = {serial_of(identity)}
    for month in ("08", "09", "10"):
        following = device_key()
        body = signed("KW-0001", identity["certificate"], present, following.csr())
        identity = server.renew(body, f"2026-{month}-20T00:00:00Z")
        # The answer was lost: the same comes back.
        assert serial_of(server.renew(body, f"2026-{month}-20T00:01:00Z")) == serial_of(identity)
        certificate = x509.load_pem_x509_certificate(identity["certificate"].encode())
        assert certificate.public_key() == following.key.public_key()
        assert identity["expires_at"] > f"2026-{int(month) + 2:02}-15"
        seen.add(serial_of(identity))
        present = following
    assert len(seen) == 4
    assert len(admin.get(f"/v1/devices/{identity['device_id']}")["certificates"]) == 4


def test_a_device_may_keep_its_key(server, claimed) -> None:
    own, identity = claimed()
    body = signed("KW-0001", identity["certificate"], own, own.csr())
    assert serial_of(server.renew(body, "2026-07-02T00:00:00Z")) == serial_of(identity)
    assert serial_of(server.renew(body, "2026-09-01T00:00:00Z")) != serial_of(identity)


def test_what_was_switched_off_may_come_a_little_late(server, claimed, refusal) -> None:
    own, identity = claimed()
    body = signed("KW-0001", identity["certificate"], own, own.csr())
    assert refusal(server.renew, body, "2026-11-15T00:00:00Z").type == "/problems/renewal-refused"
    assert server.renew(body, "2026-10-15T00:00:00Z")["expires_at"] > "2027"


def test_whoever_lacks_the_key_gets_nothing(server, claimed, device_key, refusal, tmp_path) -> None:
    (own, identity), (other, others) = claimed("KW-0001"), claimed("KW-0002")
    csr = device_key().csr()
    right = signed("KW-0001", identity["certificate"], own, csr)
    now = "2026-07-02T00:00:00Z"
    wrong = [
        signed("KW-0001", identity["certificate"], other, csr),
        {**right, "csr": device_key().csr()},
        {**right, "signature": ""},
        signed("KW-0001", others["certificate"], other, csr),
        {**right, "agent_id": "KW-0002"},
        {**right, "agent_id": "KW-9999"},
    ]
    for body in wrong:
        refused = refusal(server.renew, body, now)
        assert (refused.status, refused.type) == (401, "/problems/renewal-refused"), body
    stranger = Authority.load(*make_authority(tmp_path, "stranger", timedelta(days=1), datetime_of(identity)))
    forged = stranger.sign("KW-0001", read_request(own.csr()), timedelta(days=1), datetime_of(identity)).certificate
    refused = refusal(server.renew, signed("KW-0001", forged, own, csr), now)
    assert [error["field"] for error in refused.problem["errors"]] == ["body.certificate"]
    assert server.renew(right, now)


def datetime_of(identity: dict) -> datetime:
    return datetime.fromisoformat(identity["issued_at"])


def test_a_revoked_device_renews_nothing(server, admin, claimed, refusal) -> None:
    own, identity = claimed()
    body = signed("KW-0001", identity["certificate"], own, own.csr())
    admin.post(f"/v1/devices/{identity['device_id']}/revoke", {})
    assert refusal(server.renew, body, "2026-07-02T00:00:00Z").type == "/problems/renewal-refused"


@pytest.fixture
def password_device(server, admin, make_key):
    key = make_key(admin)["key"]
    return server.claim({"claim_key": key, "serial": "KW-0001", "device_secret": SECRET})


def test_a_password_is_changed_and_the_change_can_be_repeated(server, password_device, refusal) -> None:
    first = password_device["password"]
    body = {"agent_id": "KW-0001", "password": first, "device_secret": OTHER_SECRET}
    second = server.renew(body)["password"]
    assert second != first
    # The answer was lost, and the device still has the first one.
    assert server.renew(body)["password"] == second
    assert server.renew({**body, "password": second})["password"] == second
    # The first one is good for nothing else.
    assert refusal(server.renew, {**body, "device_secret": SECRET}).type == "/problems/renewal-refused"
    assert refusal(server.renew, {**body, "password": "wrong"}).type == "/problems/renewal-refused"


def test_a_password_becomes_a_certificate(server, admin, password_device, device_key, refusal) -> None:
    own = device_key()
    body = {"agent_id": "KW-0001", "password": password_device["password"], "csr": own.csr()}
    identity = server.renew(body)
    assert (identity["kind"], identity["password"]) == ("certificate", None)
    assert serial_of(server.renew(body)) == serial_of(identity)
    assert refusal(server.renew, {**body, "csr": device_key().csr()}).status == 401
    (device,) = admin.pages("/v1/devices")
    assert device["kind"] == "certificate"


BAD_RENEWALS = [
    {},
    {"password": "x", "certificate": "x", "signature": "x"},
    {"certificate": "x", "csr": "x"},
    {"password": "x"},
    {"password": "x", "csr": "x", "device_secret": SECRET},
    {"certificate": "x", "signature": "x", "device_secret": SECRET},
]


def test_a_renewal_that_makes_no_sense_is_refused(server, refusal) -> None:
    for fields in BAD_RENEWALS:
        assert refusal(server.renew, {"agent_id": "KW-0001", **fields}).status == 422, fields
