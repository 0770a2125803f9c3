"""What is done with API keys and users, and what the audit tells."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from api.access.models import NewApiKey, NewUser, UserChange
from api.access.passwords import Passwords, fault
from api.access.rules import may_grant, misfit, new_key
from api.conventions.authentication import hash_key
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.conventions.roles import Role
from careloop.database.queries import load_queries

SQL = load_queries("api.access")

# Sessions that have ended are kept so long, for whoever wants to know who was in.
SESSIONS_KEPT = timedelta(days=90)
MOST_AT_ONCE = 500


async def run_due(call: Call) -> int:
    """Forget what has long ended: sessions, and logins that were begun and never came back."""
    old = {"before": call.now - SESSIONS_KEPT, "most": MOST_AT_ONCE}
    sessions = await call.connection.execute(SQL["delete_old_sessions"], old)
    attempts = await call.connection.execute(SQL["delete_old_attempts"], {**old, "before": call.now})
    return sessions.rowcount + attempts.rowcount


# API keys ---------------------------------------------------------------------------------------


async def create_key(
    connection: AsyncConnection[DictRow],
    wanted: NewApiKey,
    now: datetime,
    known_scopes: Collection[str] | None = None,
) -> tuple[str, DictRow]:
    """Make a key; it is shown here and never again.

    Args:
        connection: In a transaction.
        wanted: Whom it is for, and what it may.
        now: When it is made.
        known_scopes: What a scope may be; anything of its form when not given.

    Returns:
        The key, and its row without it.

    Raises:
        Problem: 422 naming the field that does not fit.
    """
    for number, scope in enumerate(wanted.scopes or ()):
        if known_scopes is not None and scope not in known_scopes:
            known = ", ".join(sorted({one.split(":")[0] for one in known_scopes}))
            raise Problem.bad_field(f"body.scopes.{number}", f"there is no {scope}; :read or :write of: {known}")
    values = {**wanted.model_dump(), **await _tied(connection, wanted.role, wanted.model_dump())}
    key = new_key()
    cursor = await connection.execute(SQL["insert_key"], {**values, "key_hash": hash_key(key), "now": now})
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
    return key, row


async def revoke_key(call: Call, api_key_id: int) -> DictRow:
    """Revoke a key at once.

    Raises:
        Problem: 404.
    """
    parameters = {"api_key_id": api_key_id, "now": call.now}
    row = await (await call.connection.execute(SQL["revoke_key"], parameters)).fetchone()
    if row is None:
        raise Problem.not_found("API key", api_key_id)
    return row


async def _tied(connection: AsyncConnection[DictRow], role: Role, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Whom a role is tied to, checked; a technician brings the own partner with it.

    Raises:
        Problem: 422 naming the field.
    """
    tied = {name: wanted[name] for name in ("customer_id", "provider_id", "technician_id")}
    found = await (await connection.execute(SQL["belongings"], tied)).fetchone()
    assert found is not None  # noqa: S101 - a SELECT of expressions gives a row
    for what in ("customer", "provider", "technician"):
        if tied[f"{what}_id"] is not None and not found[what]:
            raise Problem.bad_field(f"body.{what}_id", f"there is no {what} {tied[f'{what}_id']}")
    if role == "technician" and tied["technician_id"] is not None:
        own = found["technicians_provider_id"]
        if tied["provider_id"] not in (None, own):
            raise Problem.bad_field(
                "body.provider_id", f"the technician belongs to {own or 'no partner'}; leave it out"
            )
        tied["provider_id"] = own
    wrong = misfit(role, tied["customer_id"], tied["provider_id"], tied["technician_id"])
    if wrong is not None:
        raise Problem.bad_field(f"body.{wrong[0]}", wrong[1])
    return tied


# Users ------------------------------------------------------------------------------------------


async def create_user(call: Call, body: NewUser) -> DictRow:
    """Make a user, who may come in once there is a password or the identity provider knows them.

    Raises:
        Problem: 403 for a role that is not the caller's to give, 409 when login or e-mail is taken, 422.
    """
    _require_grant(call, body.role)
    values = body.model_dump()
    _keep_to_own(call, values)
    values |= await _tied(call.connection, body.role, values)
    _require_own(call, values)
    row = await insert_user(call.connection, values, call.now)
    if row is None:
        raise _taken(body.login)
    return await get_user(call, row["user_id"])


async def insert_user(connection: AsyncConnection[DictRow], values: Mapping[str, Any], now: datetime) -> DictRow | None:
    """Write a user down; None when login, e-mail or subject is taken."""
    unlinked = {"oidc_issuer": None, "oidc_subject": None}
    return await (await connection.execute(SQL["insert_user"], {**unlinked, **values, "now": now})).fetchone()


async def get_user(call: Call, user_id: int) -> DictRow:
    """One user.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_user"], {"user_id": user_id})).fetchone()
    if row is None:
        raise Problem.not_found("user", user_id)
    return row


async def list_users(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Users that fit, in ascending order of their number."""
    return await (await call.connection.execute(SQL["list_users"], wanted, prepare=False)).fetchall()


async def change_user(call: Call, user_id: int, change: UserChange, version: int) -> DictRow:
    """Change a user who is still at the version seen; who is deactivated or gets another role is logged out.

    Raises:
        Problem: 403, 404, 409, 412, 422.
    """
    seen = await _lock(call, user_id)
    if seen["version"] != version:
        raise changed_meanwhile("user", version)
    given = {name: value for name, value in change.model_dump().items() if name in change.model_fields_set}
    for name in ("name", "role", "active"):
        if given.get(name, seen[name]) is None:
            raise Problem.bad_field(f"body.{name}", "must not be null")
    return await _rewrite(call, seen, {**seen, **given})


async def deactivate_user(call: Call, user_id: int) -> DictRow:
    """Lock somebody out at once.

    Raises:
        Problem: 403, 404, 409.
    """
    seen = await _lock(call, user_id)
    return await _rewrite(call, seen, {**seen, "active": False})


async def _rewrite(call: Call, seen: DictRow, wanted: dict[str, Any]) -> DictRow:
    user_id = seen["user_id"]
    if call.principal.user_id == user_id and (wanted["role"], wanted["active"]) != (seen["role"], seen["active"]):
        raise Problem.conflict(
            "own-user", "nobody changes the own role or locks themselves out; let somebody else do it"
        )
    _require_grant(call, wanted["role"])
    if (wanted["role"], wanted["technician_id"]) != (seen["role"], seen["technician_id"]):
        # What the old role was tied to is not meant to stay, unless it was said again.
        for name in ("customer_id", "provider_id", "technician_id"):
            if wanted[name] == seen[name] and not _needs(wanted, name):
                wanted[name] = None
    _keep_to_own(call, wanted)
    wanted |= await _tied(call.connection, wanted["role"], wanted)
    _require_own(call, wanted)
    if wanted != seen:
        try:
            async with call.connection.transaction():
                await call.connection.execute(SQL["change_user"], wanted)
        except psycopg.errors.UniqueViolation as error:
            raise _taken(str(wanted["email"])) from error
        if not wanted["active"] or wanted["role"] != seen["role"]:
            await end_sessions(call, user_id)
    return await get_user(call, user_id)


def _needs(wanted: Mapping[str, Any], name: str) -> bool:
    """Whether a role keeps what it is tied to by this."""
    keeps = {
        "customer": {"customer_id"},
        "partner_manager": {"provider_id"},
        "technician": {"technician_id"} if wanted["technician_id"] is not None else {"provider_id"},
    }
    return name in keeps.get(wanted["role"], set())


async def set_password(call: Call, user_id: int, password: str, passwords: Passwords) -> None:
    """Give somebody a new password; all their sessions end.

    Raises:
        Problem: 403 for a role that is not the caller's to give, 404, 422.
    """
    user = await _lock(call, user_id)
    await keep_password(call, user, password, passwords, but=None)


async def keep_password(
    call: Call, user: Mapping[str, Any], password: str, passwords: Passwords, *, but: bytes | None
) -> None:
    """Keep a new password, and end the user's sessions.

    Args:
        call: In whose transaction.
        user: `user_id` and `login`.
        password: The new one.
        passwords: Makes the hash.
        but: Hash of the token of the one session that stays, if any.

    Raises:
        Problem: 422 when it is too easy.
    """
    wrong = fault(password, user["login"])
    if wrong is not None:
        raise Problem.bad_field("body.new_password", wrong)
    password_hash = await passwords.hash(password)
    values = {"user_id": user["user_id"], "password_hash": password_hash, "now": call.now}
    await call.connection.execute(SQL["set_password"], values)
    await end_sessions(call, user["user_id"], but=but)


async def end_sessions(call: Call, user_id: int, *, but: bytes | None = None) -> None:
    """End all sessions of a user, but the one of a token's hash."""
    values = {"user_id": user_id, "now": call.now, "but": but}
    async with call.unscoped():
        await call.connection.execute(SQL["end_sessions_of"], values)


async def _lock(call: Call, user_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_user"], {"user_id": user_id})).fetchone()
    if row is None:
        raise Problem.not_found("user", user_id)
    _require_grant(call, row["role"])
    return row


def _require_grant(call: Call, wanted: Role) -> None:
    if not may_grant(call.principal.role, wanted):
        raise Problem(403, "role-not-yours", f"the role {call.principal.role} does not decide about {wanted} users")


def _keep_to_own(call: Call, values: dict[str, Any]) -> None:
    """A partner manager's users are of the own partner without saying so."""
    if call.principal.provider_id is not None and values["provider_id"] is None and values["technician_id"] is None:
        values["provider_id"] = call.principal.provider_id


def _require_own(call: Call, values: Mapping[str, Any]) -> None:
    if call.principal.provider_id is not None and values["provider_id"] != call.principal.provider_id:
        raise Problem.bad_field("body.provider_id", f"there is no provider {values['provider_id']}")


def _taken(what: str) -> Problem:
    return Problem.conflict("login-taken", f"somebody has the login or e-mail address {what} already")


# The audit --------------------------------------------------------------------------------------


async def list_audit(call: Call, wanted: dict[str, Any], serial: str | None) -> list[DictRow]:
    """What was written, oldest first; nothing for a serial number that nobody has.

    Args:
        call: Whose connection is used.
        wanted: `ticket_id`, `customer_id`, `actor`, `table_name` and `row_key`, `since`, `until` (None: any); a page.
        serial: Of this asset.
    """
    asset_id = None
    if serial is not None:
        row = await (await call.connection.execute(SQL["asset_of_serial"], {"serial": serial})).fetchone()
        if row is None:
            return []
        asset_id = row["asset_id"]
    values = {**wanted, "asset_id": asset_id}
    by_time = all(values[name] is None for name in ("ticket_id", "customer_id", "asset_id", "actor", "table_name"))
    query = SQL["list_audit_by_time"] if by_time else SQL["list_audit"]
    return await (await call.connection.execute(query, values, prepare=False)).fetchall()
