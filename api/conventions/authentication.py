"""Whose API key a call carries.

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

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_BROWSER_CHALLENGE = {"WWW-Authenticate": 'Basic realm="careloop: any user name, API key as password", charset="UTF-8"'}


def hash_key(key: str) -> bytes:
    """What is stored of a key; keys are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).digest()


async def authenticate(
    connection: AsyncConnection[DictRow], authorization: str | None, now: datetime, *, by_browser: bool = False
) -> Principal:
    """Whose key this is.

    Args:
        connection: To look the key up.
        authorization: The header.
        now: To judge its expiry.
        by_browser: Whether a page to look at is asked for: HTTP Basic will do, and a refusal asks for it.

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
        raise Problem(401, "api-key-missing", "send Authorization: Bearer with an API key", headers=challenge)
    cursor = await connection.execute(SQL["find_key"], {"key_hash": hash_key(key)})
    row = await cursor.fetchone()
    if row is None or row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise Problem(401, "api-key-invalid", "the API key is unknown, expired or revoked", headers=challenge)
    return Principal(row["api_key_id"], row["name"], row["role"])


def _password(credentials: str) -> str:
    """The password of HTTP Basic; empty when it is none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2].strip()
    except ValueError:
        return ""
