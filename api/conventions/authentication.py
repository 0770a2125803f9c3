"""Whose API key a call carries."""

import hashlib
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from api.conventions.problems import Problem
from api.conventions.roles import Principal
from careloop.database.queries import load_queries

SQL = load_queries("api.conventions")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def hash_key(key: str) -> bytes:
    """What is stored of a key; keys are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).digest()


async def authenticate(connection: AsyncConnection[DictRow], authorization: str | None, now: datetime) -> Principal:
    """Whose key this is.

    Raises:
        Problem: 401 without a key, or with one that is unknown, expired or revoked.
    """
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Problem(401, "api-key-missing", "send Authorization: Bearer with an API key", headers=_CHALLENGE)
    cursor = await connection.execute(SQL["find_key"], {"key_hash": hash_key(key.strip())})
    row = await cursor.fetchone()
    if row is None or row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise Problem(401, "api-key-invalid", "the API key is unknown, expired or revoked", headers=_CHALLENGE)
    return Principal(row["api_key_id"], row["name"], row["role"])
