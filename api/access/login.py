"""Coming in: by password, or by an identity provider; each gives a session.

No database connection is held while a password is checked or the provider is asked: both take long, and connections are
few.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from api.access.oidc import OidcProvider, ProviderError, TokenError, claim_at
from api.access.passwords import Passwords
from api.access.rules import BY_CLAIM, new_session_token
from api.access.service import SQL, insert_user, keep_password
from api.conventions.authentication import hash_key
from api.conventions.call import OPEN_ACTOR, Call, begin_as
from api.conventions.limits import Limiter
from api.conventions.problems import Problem
from api.conventions.roles import Role

ATTEMPT_LASTS = timedelta(minutes=10)
LONGEST_LOGIN = 128
BY_PROVIDER = "identity provider"


@dataclass(frozen=True)
class Entrance:
    """How people come in; one per process.

    Attributes:
        session_life: How long a session lasts.
        passwords: Checks them.
        by_address: How often an address may fail.
        by_login: How often a login may fail, from wherever.
        oidc: The identity provider; None: passwords only.
        role_claim: The claim whose values stand for roles; empty: roles are those of our users.
        role_of_claim: Role by value of that claim, strongest first.
        create_users: Whether somebody whom the provider knows and we do not becomes a user.
    """

    session_life: timedelta = timedelta(hours=12)
    passwords: Passwords = field(default_factory=Passwords, repr=False)
    by_address: Limiter = field(default_factory=lambda: Limiter(60), repr=False)
    by_login: Limiter = field(default_factory=lambda: Limiter(10), repr=False)
    oidc: OidcProvider | None = None
    role_claim: str = ""
    role_of_claim: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))
    create_users: bool = False


@dataclass(frozen=True)
class Visitor:
    """Somebody who is not in yet.

    Attributes:
        pool: To open transactions, each short.
        now: The time of the request.
        address: Where it comes from.
        request_id: Written into the audit.
    """

    pool: AsyncConnectionPool[AsyncConnection[DictRow]]
    now: datetime
    address: str
    request_id: str | None

    @asynccontextmanager
    async def transaction(self, actor: str = OPEN_ACTOR) -> AsyncIterator[AsyncConnection[DictRow]]:
        """A transaction of nobody yet; what it writes is the actor's in the audit."""
        async with self.pool.connection() as connection, connection.transaction():
            await begin_as(connection, actor, self.now, self.request_id)
            yield connection


@dataclass(frozen=True)
class Entered:
    """A session that has begun."""

    token: str
    expires_at: datetime
    user: DictRow


async def log_in(visitor: Visitor, entrance: Entrance, login: str, password: str) -> Entered:
    """Begin a session by password.

    Whoever has no user here, no password or no permission any more gets the same answer after the same work.

    Raises:
        Problem: 401, or 429 after too many failures.
    """
    login = login.strip().lower()[:LONGEST_LOGIN]
    tries = ((entrance.by_address, visitor.address), (entrance.by_login, login))
    for limiter, name in tries:
        wait_s = limiter.wait_s(name, visitor.now)
        if wait_s:
            raise too_many(wait_s)
    # Counted before, for many at once would all be let in to try; given back to those who were right.
    for limiter, name in tries:
        limiter.count(name, visitor.now)
    async with visitor.transaction() as connection:
        user = await (await connection.execute(SQL["password_of_login"], {"login": login})).fetchone()
    kept = user["password_hash"] if user is not None else None
    verdict = await entrance.passwords.check(password, kept)
    if user is None or not verdict.right:
        raise _refused()
    for limiter, name in tries:
        limiter.give_back(name, visitor.now)
    async with visitor.transaction() as connection:
        if verdict.renewed is not None:
            renewal = {"user_id": user["user_id"], "password_hash": verdict.renewed, "kept": kept}
            await connection.execute(SQL["renew_hash"], renewal)
        return await _enter(connection, visitor, entrance, user["user_id"], [kept, verdict.renewed])


async def _enter(
    connection: AsyncConnection[DictRow],
    visitor: Visitor,
    entrance: Entrance,
    user_id: int,
    hashes: list[str | None] | None = None,
) -> Entered:
    """Begin a session: by password if it may still be one of these hashes, else by the identity provider."""
    token = new_session_token()
    expires_at = visitor.now + entrance.session_life
    values = {
        "user_id": user_id,
        "token_hash": hash_key(token),
        "method": "oidc" if hashes is None else "password",
        "now": visitor.now,
        "expires_at": expires_at,
        "hashes": hashes or [],
    }
    if await (await connection.execute(SQL["insert_session"], values)).fetchone() is None:
        raise _refused()
    await connection.execute(SQL["note_login"], values)
    user = await (await connection.execute(SQL["get_user"], values)).fetchone()
    assert user is not None  # noqa: S101 - locked by insert_session
    return Entered(token, expires_at, user)


async def change_password(call: Call, entrance: Entrance, current: str, wanted: str, *, but: bytes) -> None:
    """Change the caller's own password; the caller's other sessions end.

    Args:
        call: Of somebody who has logged in.
        entrance: How passwords are checked.
        current: The password until now.
        wanted: The new one.
        but: Hash of the token of the session that stays.

    Raises:
        Problem: 403 when the current one is wrong or there is none, 422 when the new one is too easy, 429.
    """
    name = call.principal.key
    wait_s = entrance.by_login.wait_s(name, call.now)
    if wait_s:
        raise too_many(wait_s)
    entrance.by_login.count(name, call.now)
    async with call.unscoped():
        cursor = await call.connection.execute(SQL["password_of"], {"user_id": call.principal.user_id})
        user = await cursor.fetchone()
        kept = user["password_hash"] if user is not None else None
        verdict = await entrance.passwords.check(current, kept)
        if user is None or not verdict.right:
            raise Problem(403, "password-wrong", "the current password is wrong")
        entrance.by_login.give_back(name, call.now)
        await keep_password(call, user, wanted, entrance.passwords, but=but)


def _refused() -> Problem:
    return Problem(401, "login-failed", "login or password is wrong", headers={"WWW-Authenticate": "Bearer"})


def too_many(wait_s: float) -> Problem:
    """429: tried too often."""
    seconds = int(wait_s) + 1
    detail = f"too many attempts; try again in {seconds} s"
    return Problem(429, "too-many-attempts", detail, headers={"Retry-After": str(seconds)})


# By an identity provider ------------------------------------------------------------------------


@dataclass(frozen=True)
class Begun:
    """A login that the browser takes to the provider."""

    authorization_url: str
    state: str
    browser_secret: str
    expires_at: datetime


async def begin_oidc(visitor: Visitor, entrance: Entrance) -> Begun:
    """Begin a login by the identity provider.

    Raises:
        Problem: 404 without a provider, 429, 503 when it does not answer.
    """
    provider = _provider(entrance)
    wait_s = entrance.by_address.wait_s(visitor.address, visitor.now)
    if wait_s:
        raise too_many(wait_s)
    entrance.by_address.count(visitor.address, visitor.now)
    state, browser_secret, nonce, code_verifier = (secrets.token_urlsafe(32) for _ in range(4))
    try:
        url = await provider.authorization_url(visitor.now, state, nonce, code_verifier)
    except ProviderError as error:
        raise _unavailable(error) from error
    expires_at = visitor.now + ATTEMPT_LASTS
    values = {
        "state_hash": hash_key(state),
        "browser_hash": hash_key(browser_secret),
        "nonce": nonce,
        "code_verifier": code_verifier,
        "expires_at": expires_at,
    }
    async with visitor.transaction() as connection:
        await connection.execute(SQL["insert_oidc_attempt"], values)
    return Begun(url, state, browser_secret, expires_at)


async def finish_oidc(
    visitor: Visitor, entrance: Entrance, *, state: str, code: str, browser_secret: str, issuer: str | None
) -> Entered:
    """End a login by the identity provider, in the browser that began it.

    The attempt is used up before anything is judged, so that neither state nor code can be played back.

    Raises:
        Problem: 401 when it is not to be believed, 403 when the provider's user is none of ours, 404 without a
            provider, 503 when the provider does not answer.
    """
    provider = _provider(entrance)
    async with visitor.transaction() as connection:
        cursor = await connection.execute(SQL["use_oidc_attempt"], {"state_hash": hash_key(state)})
        attempt = await cursor.fetchone()
    if attempt is None or attempt["expires_at"] <= visitor.now:
        raise _not_believed("this login was not begun here, has ended already, or took too long; begin again")
    if not secrets.compare_digest(bytes(attempt["browser_hash"]), hash_key(browser_secret)):
        raise _not_believed("this login was begun by another browser; begin again")
    try:
        claims = await provider.claims_for(visitor.now, code, attempt["code_verifier"], attempt["nonce"], issuer)
    except TokenError as error:
        raise _not_believed(str(error)) from error
    except ProviderError as error:
        raise _unavailable(error) from error
    async with visitor.transaction(BY_PROVIDER) as connection:
        user = await _user_of_claims(connection, visitor, entrance, claims)
        entered = await _enter(connection, visitor, entrance, user["user_id"])
    entrance.by_address.give_back(visitor.address, visitor.now)
    return entered


async def _user_of_claims(
    connection: AsyncConnection[DictRow], visitor: Visitor, entrance: Entrance, claims: Mapping[str, Any]
) -> DictRow:
    """Our user of the provider's subject: linked before, linked now by a verified address, or made now.

    Raises:
        Problem: 403.
    """
    role = role_of(claims, entrance)
    given = {"oidc_issuer": claims["iss"], "oidc_subject": claims["sub"], "email": _verified_email(claims)}
    user = await (await connection.execute(SQL["user_of_subject"], given)).fetchone()
    if user is None and given["email"] is not None:
        user = await (await connection.execute(SQL["link_by_email"], given)).fetchone()
    if user is None and entrance.create_users and role is not None:
        user = await _make_user(connection, visitor, given, claims, role)
    if user is None or not user["active"]:
        raise Problem(403, "no-such-user", "the identity provider knows you, but you are no active user here")
    # Who is tied to a customer, a partner or a program stays what the desk made of them.
    if entrance.role_claim and user["role"] in BY_CLAIM:
        if role is None:
            raise Problem(403, "no-role", f"the identity provider gives you no role here (claim {entrance.role_claim})")
        await connection.execute(SQL["set_role"], {"user_id": user["user_id"], "role": role})
    return user


async def _make_user(
    connection: AsyncConnection[DictRow],
    visitor: Visitor,
    given: Mapping[str, Any],
    claims: Mapping[str, Any],
    role: Role,
) -> DictRow | None:
    subject = str(claims["sub"])
    values = {
        **given,
        # Nobody types it; it only has to be somebody's own.
        "login": (given["email"] or f"oidc-{hash_key(subject).hex()[:24]}").lower(),
        "name": str(claims.get("name") or given["email"] or subject)[:128].replace("\x00", ""),
        "role": role,
        "customer_id": None,
        "provider_id": None,
        "technician_id": None,
    }
    row = await insert_user(connection, values, visitor.now)
    return None if row is None else {"user_id": row["user_id"], "role": role, "active": True}


def role_of(claims: Mapping[str, Any], entrance: Entrance) -> Role | None:
    """The strongest role that the claims give, in the order of the setting; None for none."""
    if not entrance.role_claim:
        return None
    values = set(claim_at(claims, entrance.role_claim))
    return next((role for value, role in entrance.role_of_claim.items() if value in values), None)


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    if (
        claims.get("email_verified") is True
        and isinstance(email, str)
        and 3 <= len(email) <= 254
        and "\x00" not in email
    ):
        return email
    return None


def _provider(entrance: Entrance) -> OidcProvider:
    if entrance.oidc is None:
        raise Problem(404, "not-found", "no identity provider is set up here; log in by POST /v1/login")
    return entrance.oidc


def _not_believed(detail: str) -> Problem:
    return Problem(401, "login-failed", detail, headers={"WWW-Authenticate": "Bearer"})


def _unavailable(error: ProviderError) -> Problem:
    return Problem(503, "identity-provider-unavailable", str(error), headers={"Retry-After": "10"})
