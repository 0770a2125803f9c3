"""`/v1/api-keys`."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response

from api.access.service import SQL, create_key
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Answer, Body, Id, Name, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import Role

router = APIRouter(prefix="/v1/api-keys", tags=["access"], route_class=CallRoute, responses=RESPONSES)


class NewApiKey(Body):
    """Whom the key is for."""

    name: Name
    role: Role
    expires_at: Time | None = None


class ApiKey(Answer):
    """A key, without the key itself."""

    api_key_id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKey(ApiKey):
    """A new key; `key` is shown this once."""

    key: str


@router.post("", status_code=201, dependencies=[allow()])
async def make_key(body: NewApiKey, call: CurrentCall, response: Response) -> CreatedApiKey:
    """Make an API key."""
    response.headers["Cache-Control"] = "no-store"
    key, row = await create_key(call.connection, body.name, body.role, body.expires_at, call.now)
    return CreatedApiKey(key=key, **row)


@router.get("", dependencies=[allow()])
async def list_keys(page: CurrentPage, call: CurrentCall) -> Page[ApiKey]:
    """All API keys, without the keys themselves."""
    rows = await (await call.connection.execute(SQL["list_keys"], page.parameters)).fetchall()
    return Page[ApiKey].model_validate(page.page(rows, "api_key_id"))


@router.post("/{api_key_id}/revoke", dependencies=[allow()])
async def revoke_key(api_key_id: Id, call: CurrentCall) -> ApiKey:
    """Revoke a key at once."""
    parameters: dict[str, Any] = {"api_key_id": api_key_id, "now": call.now}
    row = await (await call.connection.execute(SQL["revoke_key"], parameters)).fetchone()
    if row is None:
        raise Problem.not_found("API key", api_key_id)
    return ApiKey(**row)
