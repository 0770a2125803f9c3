"""Devices get their identities and renew them. Whoever asks has no API key: what it shows is its proof."""

import base64
import binascii
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from api.conventions.call import OpenCall
from api.conventions.problems import Problem
from api.devices.authority import Authority, RefusedRequestError, Request, hex_serial, is_signed_by, read_request
from api.devices.models import Claim, Kind, Renewal
from api.devices.passwords import digest, hash_password, is_password, password_from
from api.devices.provisioning import Provisioning
from api.devices.rules import is_in_batch, key_fault, matches, may_still_renew
from api.devices.service import SQL, give_assets, require_asset, require_speechless

SALT_BYTES = 32
# The same for every fault of a key, so that trying tells nothing; the log knows more.
KEY_REFUSED = "the claim key is unknown, expired, revoked or used up; ask whoever made it for another"
PROOF_REFUSED = "the device is unknown, its identity ended, or the proof is wrong; claim it anew after its release"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Wanted:
    """An identity asked for: by a certificate request, or by the device's own secret."""

    kind: Kind
    request: Request | None
    device_secret: str | None

    @property
    def proof_hash(self) -> bytes | None:
        if self.request is not None:
            return self.request.public_key_hash
        return None if self.device_secret is None else digest(self.device_secret)


async def claim(call: OpenCall, provisioning: Provisioning, body: Claim) -> DictRow:
    """Turn a claim key and a serial number into an identity, or tell the same one again to who claimed it before.

    Raises:
        Problem: 401 for the key, 409 when the serial number is somebody's, 422 for what does not fit the batch.
    """
    key = await (await call.connection.execute(SQL["find_claim_key"], {"key_hash": digest(body.claim_key)})).fetchone()
    fault = "unknown" if key is None else key_fault(key["expires_at"], key["revoked_at"], call.now)
    if key is None or fault is not None:
        log.warning("claim of %s refused: the key is %s", body.serial, fault)
        raise Problem(401, "claim-key-refused", KEY_REFUSED)
    if not is_in_batch(body.serial, key["serial_pattern"], key["serials"]):
        raise Problem.bad_field("body.serial", f"{body.serial} is not of the claim key's batch")
    if provisioning.is_taken(body.serial):
        raise Problem.conflict("name-taken", f"{body.serial} is an account of the platform's own")
    wanted = _wanted(provisioning, body.csr, body.device_secret)
    await call.connection.execute(SQL["lock_agent"], {"agent_id": body.serial})
    device = await (await call.connection.execute(SQL["find_device"], {"agent_id": body.serial})).fetchone()
    if device is not None and device["state"] == "active":
        return await _again(call, provisioning, device, key, wanted)
    if device is not None and device["state"] == "revoked":
        detail = f"the identity of {body.serial} was revoked; an administrator must release it first"
        raise Problem(403, "device-revoked", detail)
    if device is None or device["claim_key_id"] != key["claim_key_id"]:
        counted = await (await call.connection.execute(SQL["count_claim"], key)).fetchone()
        if counted is None:
            log.warning("claim of %s refused: the key is used up", body.serial)
            raise Problem(401, "claim-key-refused", KEY_REFUSED)
    return await _first(call, provisioning, body, key, wanted)


def _wanted(provisioning: Provisioning, csr: str | None, device_secret: str | None) -> _Wanted:
    if csr is None:
        return _Wanted("password", None, device_secret)
    if provisioning.authority is None:
        detail = "this platform signs no certificates (CARELOOP_DEVICE_CA_CERTIFICATE is not set); claim a password"
        raise Problem.conflict("no-authority", detail)
    try:
        return _Wanted("certificate", read_request(csr), None)
    except RefusedRequestError as error:
        raise Problem.bad_field("body.csr", str(error)) from error


async def _first(call: OpenCall, provisioning: Provisioning, body: Claim, key: DictRow, wanted: _Wanted) -> DictRow:
    """Make an identity for a serial number that has none."""
    register_as = key["model_id"] if key["register_assets"] else None
    salt = secrets.token_bytes(SALT_BYTES)
    password = password_from(body.device_secret, salt) if wanted.kind == "password" else None
    values = {
        "agent_id": body.serial,
        "claim_key_id": key["claim_key_id"],
        "gateway": key["gateway"],
        "kind": wanted.kind,
        "proof_hash": wanted.proof_hash,
        "password_salt": salt if password else None,
        "password_hash": hash_password(password) if password else None,
        "now": call.now,
    }
    row = await (await call.connection.execute(SQL["upsert_device"], values)).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
    device_id = int(row["device_id"])
    if key["gateway"]:
        await _bring_assets(call, device_id, body, key["asset_pattern"], register_as)
    elif body.assets:
        raise Problem.bad_field("body.assets", "the claim key is for machines that speak for themselves only")
    else:
        asset_id = await require_asset(
            call.connection, body.serial, "body.serial", model=key["model"], register_as=register_as, now=call.now
        )
        await require_speechless(call.connection, asset_id, body.serial, device_id)
    await call.connection.execute(SQL["count_revision"])
    log.info("%s claimed its identity (%s)", body.serial, wanted.kind)
    return await _identity(call, provisioning, body.serial, device_id, wanted=wanted, password=password)


async def _bring_assets(
    call: OpenCall, device_id: int, body: Claim, pattern: str | None, register_as: int | None
) -> None:
    """The machines that a gateway names when it claims; those it had before its release when it names none."""
    own = await (await call.connection.execute(SQL["find_asset"], {"serial": body.serial})).fetchone()
    if own is not None:
        await require_speechless(call.connection, own["asset_id"], body.serial, device_id)
    if body.assets is None:
        return
    for number, serial in enumerate(body.assets):
        if pattern is None or not matches(pattern, serial):
            raise Problem.bad_field(
                f"body.assets.{number}", f"a gateway of this batch may not bring {serial} along; an administrator can"
            )
    await give_assets(call.connection, device_id, body.assets, register_as=register_as, now=call.now)


async def _again(call: OpenCall, provisioning: Provisioning, device: DictRow, key: DictRow, wanted: _Wanted) -> DictRow:
    """Tell an identity again to the device that has it, and nobody else."""
    same = (
        device["claim_key_id"] == key["claim_key_id"]
        and device["kind"] == wanted.kind
        and wanted.proof_hash is not None
        and device["proof_hash"] is not None
        and secrets.compare_digest(device["proof_hash"], wanted.proof_hash)
    )
    if not same:
        log.warning("%s is claimed already; another claim of it was refused", device["agent_id"])
        detail = f"{device['agent_id']} is claimed already; an administrator can release it"
        raise Problem.conflict("device-claimed", detail)
    password = None
    if wanted.kind == "password":
        password = password_from(wanted.device_secret, bytes(device["password_salt"]))
    return await _identity(
        call, provisioning, device["agent_id"], device["device_id"], wanted=wanted, password=password
    )


async def renew(call: OpenCall, provisioning: Provisioning, body: Renewal) -> DictRow:
    """Give a device its next identity for the present one.

    Raises:
        Problem: 401 when the present one is not proven, 422 for what cannot be signed.
    """
    await call.connection.execute(SQL["lock_agent"], {"agent_id": body.agent_id})
    device = await (await call.connection.execute(SQL["find_device"], {"agent_id": body.agent_id})).fetchone()
    wanted = _wanted(provisioning, body.csr, body.device_secret)
    if body.password is not None:
        known = _is_known_password(device, body.password, wanted)
    else:
        known = await _is_known_certificate(call, provisioning, device, body, wanted.request)
    if device is None or device["state"] != "active" or not known:
        log.warning("renewal of %s refused: not proven", body.agent_id)
        raise Problem(401, "renewal-refused", PROOF_REFUSED)
    if wanted.proof_hash == device["proof_hash"] and wanted.kind == device["kind"]:
        # The answer was lost; it is told again.
        salt = None if device["password_salt"] is None else bytes(device["password_salt"])
    else:
        salt = secrets.token_bytes(SALT_BYTES) if wanted.kind == "password" else None
        password_hash = hash_password(password_from(body.device_secret, salt)) if salt else None
        values = {
            "device_id": device["device_id"],
            "kind": wanted.kind,
            "proof_hash": wanted.proof_hash,
            "password_salt": salt,
            "password_hash": password_hash,
            "now": call.now,
        }
        await call.connection.execute(SQL["renew_device"], values)
        if wanted.kind == "password" or device["kind"] == "password":
            await call.connection.execute(SQL["count_revision"])
        log.info("%s renewed its identity (%s)", body.agent_id, wanted.kind)
    password = password_from(body.device_secret, salt) if salt else None
    return await _identity(call, provisioning, body.agent_id, device["device_id"], wanted=wanted, password=password)


def _is_known_password(device: DictRow | None, password: str, wanted: _Wanted) -> bool:
    """Whether it is the present password, or the one before, by which this very renewal was already made."""
    present = device["password_hash"] if device else None
    if is_password(password, present):
        return True
    before = device["previous_password_hash"] if device and device["proof_hash"] == wanted.proof_hash else None
    return is_password(password, before)


async def _is_known_certificate(
    call: OpenCall, provisioning: Provisioning, device: DictRow | None, body: Renewal, request: Request | None
) -> bool:
    """Whether the certificate is ours, this device's, not revoked nor too old, and its key signed the request."""
    if provisioning.authority is None or body.certificate is None or body.signature is None or request is None:
        return False
    try:
        certificate = provisioning.authority.read_own(body.certificate)
        signature = base64.b64decode(body.signature, validate=True)
    except RefusedRequestError as error:
        raise Problem.bad_field("body.certificate", str(error)) from error
    except binascii.Error as error:
        raise Problem.bad_field("body.signature", "is not Base64") from error
    parameters = {"serial_number": hex_serial(certificate)}
    row = await (await call.connection.execute(SQL["get_certificate"], parameters)).fetchone()
    return (
        device is not None
        and row is not None
        and row["device_id"] == device["device_id"]
        and row["revoked_at"] is None
        and may_still_renew(row["expires_at"], provisioning.renewal_grace, call.now)
        and is_signed_by(certificate, signature, request)
    )


async def _identity(
    call: OpenCall,
    provisioning: Provisioning,
    agent_id: str,
    device_id: int,
    *,
    wanted: _Wanted,
    password: str | None,
) -> DictRow:
    """The answer to a claim or a renewal."""
    row = await (await call.connection.execute(SQL["get_device"], {"device_id": device_id})).fetchone()
    assert row is not None  # noqa: S101 - it is locked by this transaction
    identity: DictRow = {
        "device_id": device_id,
        "agent_id": agent_id,
        "kind": wanted.kind,
        "username": agent_id,
        "issued_at": call.now,
        "assets": row["assets"],
        "broker": {"url": provisioning.broker_url, "ca": provisioning.broker_ca},
    }
    if wanted.request is None or provisioning.authority is None:
        return {**identity, "password": password}
    certificate = await _certificate(
        call, provisioning, provisioning.authority, agent_id, device_id, request=wanted.request
    )
    broker = {"url": provisioning.broker_certificate_url, "ca": provisioning.broker_ca}
    return {**identity, **certificate, "ca": provisioning.authority.pem, "broker": broker}


async def _certificate(
    call: OpenCall,
    provisioning: Provisioning,
    authority: Authority,
    agent_id: str,
    device_id: int,
    *,
    request: Request,
) -> DictRow:
    """The device's certificate for this key: the one it has, or a new one."""
    parameters = {"device_id": device_id, "public_key_hash": request.public_key_hash, "now": call.now}
    kept = await (await call.connection.execute(SQL["current_certificate"], parameters)).fetchone()
    if kept is None or _is_half_over(kept["issued_at"], kept["expires_at"], call.now):
        issued = authority.sign(agent_id, request, provisioning.certificate_life, call.now)
        kept = {**vars(issued), "device_id": device_id}
        await call.connection.execute(SQL["insert_certificate"], kept)
    return {name: kept[name] for name in ("certificate", "issued_at", "expires_at")}


def _is_half_over(issued_at: datetime, expires_at: datetime, now: datetime) -> bool:
    """Whether a certificate is so old that telling it again would not help; a device may keep its key for ever."""
    return now - issued_at > (expires_at - issued_at) / 2
