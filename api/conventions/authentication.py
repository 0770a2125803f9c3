"""Whose API key or session a call carries.

Programs send it as `Authorization: Bearer KEY`. A browser cannot, so for pages to look at (GET with `text/html` in
Accept) it may also come by HTTP Basic, as the password with any user name; the browser then asks for it. Basic is
refused for everything else: a browser would add it to requests that another site's page makes.
"""

import base64
import hashlib
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from api.conventions.problems import Problem
from api.conventions.roles import Principal
from careloop.database.queries import load_queries

SQL = load_queries("api.conventions")

# How the token of somebody who logged in begins; API keys begin otherwise.
SESSION_PREFIX = "cs_"

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_BROWSER_CHALLENGE = {"WWW-Authenticate": 'Basic realm="careloop: any user name, API key as password", charset="UTF-8"'}


def hash_key(key: str) -> bytes:
    """What is stored of a key; keys are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).digest()


async def authenticate(
    connection: AsyncConnection[DictRow],
    authorization: str | None,
    now: datetime,
    *,
    by_browser: bool = False,
    request_id: str | None = None,
) -> Principal:
    """Whose key or session this is; the transaction's triggers and policies know it from then on.

    Args:
        connection: In the transaction of the call.
        authorization: The header.
        now: To judge its expiry.
        by_browser: Whether a page to look at is asked for: HTTP Basic will do, and a refusal asks for it.
        request_id: Written into the audit.

    Raises:
        Problem: 401 without a key, or with one that is unknown, expired or revoked.
    """
    challenge = _BROWSER_CHALLENGE if by_browser else _CHALLENGE
    scheme, _, credentials = (authorization or "").partition(" ")
    key = credentials.strip()
    if by_browser and scheme.lower() == "basic":
        key = _password(key)
    elif scheme.lower() != "bearer":
        key = ""
    if not key:
        detail = "send Authorization: Bearer with an API key, or with the token of POST /v1/login"
        raise Problem(401, "api-key-missing", detail, headers=challenge)
    query = SQL["begin_with_session"] if key.startswith(SESSION_PREFIX) else SQL["begin_with_key"]
    values = {"key_hash": hash_key(key), "now": now, "request_id": request_id or ""}
    row = await (await connection.execute(query, values)).fetchone()
    if row is None:
        detail = "the API key or session is unknown, expired or revoked"
        raise Problem(401, "api-key-invalid", detail, headers=challenge)
    return Principal(
        key=row["key"],
        name=row["name"],
        role=row["role"],
        scopes=None if row["scopes"] is None else frozenset(row["scopes"]),
        user_id=row["user_id"],
        customer_id=row["customer_id"],
        provider_id=row["provider_id"],
        technician_id=row["technician_id"],
    )


def _password(credentials: str) -> str:
    """The password of HTTP Basic; empty when it is none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2].strip()
    except ValueError:
        return ""
