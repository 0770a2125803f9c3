"""Answers EMQX 5, which asks by HTTP who may connect and what a client may do (docs/provisioning.md)."""

import secrets
from datetime import datetime

from psycopg.rows import DictRow

from api.conventions.call import OpenCall
from api.conventions.problems import Problem
from api.devices.models import EmqxAuthenticated, EmqxAuthentication, EmqxAuthorization, EmqxAuthorized
from api.devices.passwords import is_password
from api.devices.provisioning import Provisioning
from api.devices.rules import Right, allows, device_rights, is_own_client_id, service_rights
from api.devices.service import SQL

# What EMQX writes for a placeholder without a value, e.g. the common name where there is no certificate.
NO_VALUE = frozenset({"", "undefined", "null"})
ALLOWED = EmqxAuthenticated(result="allow")
REFUSED = EmqxAuthenticated(result="deny")


def require_broker(provisioning: Provisioning, secret: str | None) -> None:
    """See to it that a broker asks, and not somebody who wants to try passwords.

    Raises:
        Problem: 403 without the shared secret; 404 when none is set, for then no broker is to ask.
    """
    if not provisioning.hook_secret:
        raise Problem(404, "not-found", "no broker is to ask here; set CARELOOP_BROKER_HOOK_SECRET to let it")
    if not secrets.compare_digest((secret or "").encode(), provisioning.hook_secret.encode()):
        raise Problem(403, "broker-unknown", "the shared secret of the broker is missing or wrong")


async def authenticate_client(
    call: OpenCall, provisioning: Provisioning, body: EmqxAuthentication
) -> EmqxAuthenticated:
    """Whether a client may connect.

    A certificate's common name is the broker's word for it: it has checked the certificate, and its revocation list.
    """
    by_certificate = _given(body.cert_common_name)
    username = _given(body.username) or by_certificate
    if username is None:
        return REFUSED
    if username in provisioning.accounts and by_certificate is None:
        return _judged(is_password(body.password or "", provisioning.accounts[username]))
    device = await _device(call, username)
    active = device if device is not None and device["state"] == "active" else None
    if by_certificate is None:
        kept = active["password_hash"] if active is not None and active["kind"] == "password" else None
        known = is_password(body.password or "", kept)
    else:
        known = (
            by_certificate == username
            and active is not None
            and active["kind"] == "certificate"
            and _is_good(active["expires_at"], call.now)
        )
    if active is None or not known or not is_own_client_id(username, body.clientid or ""):
        return REFUSED
    if by_certificate is None:
        return ALLOWED
    return EmqxAuthenticated(result="allow", expire_at=int(active["expires_at"].timestamp()))


async def authorize_client(call: OpenCall, provisioning: Provisioning, body: EmqxAuthorization) -> EmqxAuthorized:
    """Whether a client may publish to a topic or subscribe to a filter."""
    username = _given(body.username)
    rights = [] if username is None else await _rights(call, provisioning, username)
    return EmqxAuthorized(result="allow" if allows(rights, body.action, body.topic) else "deny")


async def _rights(call: OpenCall, provisioning: Provisioning, username: str) -> list[Right]:
    if username in provisioning.services:
        return service_rights(provisioning.other_topics)
    if username in provisioning.accounts:
        return device_rights(username, (), provisioning.other_topics)
    device = await _device(call, username)
    if device is None or device["state"] != "active":
        return []
    return device_rights(username, device["assets"], provisioning.other_topics)


async def _device(call: OpenCall, agent_id: str) -> DictRow | None:
    return await (await call.connection.execute(SQL["account"], {"agent_id": agent_id})).fetchone()


def _judged(right: bool) -> EmqxAuthenticated:
    return ALLOWED if right else REFUSED


def _is_good(expires_at: datetime | None, now: datetime) -> bool:
    return expires_at is not None and now < expires_at


def _given(text: str | None) -> str | None:
    return None if text is None or text in NO_VALUE else text
