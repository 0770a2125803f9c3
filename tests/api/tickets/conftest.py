"""A machine with two components, registered by the desk, and people who log in."""

import hashlib
import uuid
from collections.abc import Callable, Iterator

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect

MODEL = {
    "code": "HD-5",
    "name": "HD 5/15",
    "kind": "pressure_washer",
    "components": [{"name": "pump"}, {"name": "seal"}],
}


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    with api.client("agent") as client, connect(api.database_url) as connection:
        client.post("/v1/product-models", MODEL)
        client.post("/v1/product-models", {"code": "OTHER", "name": "Other", "kind": "robot", "components": []})
        site = client.post("/v1/sites", {"name": "Hotel Post", "time_zone": "Asia/Shanghai"})
        asset = {"model": "HD-5", "installed_at": "2025-01-01T00:00:00Z", "site_id": site["site_id"]}
        client.post("/v1/assets", {**asset, "serial": "HD5-1"})
        client.post("/v1/assets", {**asset, "serial": "HD5-2"})
        client.post("/v1/assets", {**asset, "serial": "BOT-1", "model": "OTHER"})
        # Where nothing says otherwise nobody listens: what alerts say is told where they are tested.
        connection.execute("DELETE FROM service.alert_target")
        yield client


@pytest.fixture
def log_in(api) -> Callable[..., CareloopClient]:
    """Makes a user of a role and a client of theirs; `client.user_id` is the user's number."""

    def make(role: str, **bound: int) -> CareloopClient:
        token = f"cs_{uuid.uuid4().hex}"
        columns = {"login": token[:12], "name": f"{role} {token[3:7]}", "role": role, **bound}
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        with connect(api.database_url) as connection:
            user_id = connection.execute(
                f"INSERT INTO service.app_user (created_at, {names}) VALUES (now(), {places}) RETURNING user_id",
                list(columns.values()),
            ).fetchone()["user_id"]
            connection.execute(
                "INSERT INTO service.session (user_id, token_hash, created_at, expires_at) "
                "VALUES (%s, %s, '2000-01-01Z', '2100-01-01Z')",
                (user_id, hashlib.sha256(token.encode()).digest()),
            )
        client = CareloopClient(api.url, token)
        client.user_id = user_id
        return client

    return make
