"""`/v1/login`, `/v1/logout`, `/v1/me`, `/v1/users`, `/v1/api-keys`, `/v1/audit`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from api.access import login, service
from api.access.models import (
    ApiKey,
    AuditLine,
    CreatedApiKey,
    Credentials,
    Me,
    NewApiKey,
    NewPassword,
    NewUser,
    OidcFinish,
    OidcStart,
    PasswordChange,
    Session,
    User,
    UserChange,
)
from api.access.models import Login as LoginName
from api.access.rules import SESSION_PREFIX
from api.conventions.authentication import hash_key
from api.conventions.call import CallRoute, CurrentCall, allow, now_of
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, THROTTLED, Problem, request_id_of
from api.conventions.roles import ROLES, Role

# Not CallRoutes: nobody is known yet, and no connection may be held while a password is checked (login.py).
open_router = APIRouter(prefix="/v1/login", tags=["login"], responses=THROTTLED)
keys_router = APIRouter(prefix="/v1/api-keys", tags=["api-keys"], route_class=CallRoute, responses=RESPONSES)
users_router = APIRouter(prefix="/v1/users", tags=["users"], route_class=CallRoute, responses=RESPONSES)
own_router = APIRouter(prefix="/v1", tags=["me"], route_class=CallRoute, responses=THROTTLED)
audit_router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*ROLES)]
# Whose users each of these may decide about stands in rules.GRANTS.
DECIDING = [allow("agent", "partner_manager")]


def _entrance(request: Request) -> login.Entrance:
    entrance: login.Entrance = request.app.state.entrance
    return entrance


def _visitor(request: Request) -> login.Visitor:
    address = request.client.host if request.client else ""
    return login.Visitor(request.app.state.pool, now_of(request), address, request_id_of(request))


CurrentEntrance = Annotated[login.Entrance, Depends(_entrance)]
CurrentVisitor = Annotated[login.Visitor, Depends(_visitor)]


# Coming in and going out ------------------------------------------------------------------------


@open_router.post("")
async def log_in(body: Credentials, visitor: CurrentVisitor, entrance: CurrentEntrance, response: Response) -> Session:
    """Begin a session by login and password; its token goes into `Authorization: Bearer`."""
    response.headers["Cache-Control"] = "no-store"
    return _session(await login.log_in(visitor, entrance, body.login, body.password))


@open_router.post("/oidc")
async def begin_oidc(visitor: CurrentVisitor, entrance: CurrentEntrance, response: Response) -> OidcStart:
    """Begin a login by the identity provider: send the browser to `authorization_url`, keep `browser_secret` in it."""
    response.headers["Cache-Control"] = "no-store"
    begun = await login.begin_oidc(visitor, entrance)
    return OidcStart.model_validate(begun)


@open_router.post("/oidc/finish")
async def finish_oidc(
    body: OidcFinish, visitor: CurrentVisitor, entrance: CurrentEntrance, response: Response
) -> Session:
    """End it, with what the provider sent the browser back with (`state`, `code`, `iss`), and its `browser_secret`."""
    response.headers["Cache-Control"] = "no-store"
    entered = await login.finish_oidc(
        visitor, entrance, state=body.state, code=body.code, browser_secret=body.browser_secret, issuer=body.iss
    )
    return _session(entered)


def _session(entered: login.Entered) -> Session:
    return Session(token=entered.token, expires_at=entered.expires_at, user=User(**entered.user))


@own_router.post("/logout", status_code=204, dependencies=EVERYBODY)
async def log_out(request: Request, call: CurrentCall) -> Response:
    """End this session; an API key is revoked, not logged out."""
    token = _own_token(request, call)
    async with call.unscoped():
        await call.connection.execute(service.SQL["end_session"], {"token_hash": hash_key(token), "now": call.now})
    return Response(status_code=204)


@own_router.get("/me", dependencies=EVERYBODY)
async def who_am_i(call: CurrentCall) -> Me:
    """Who makes this call, and what it sees."""
    scopes = call.principal.scopes
    return Me.model_validate({**vars(call.principal), "scopes": None if scopes is None else sorted(scopes)})


@own_router.put("/me/password", status_code=204, dependencies=EVERYBODY)
async def change_password(
    body: PasswordChange, request: Request, call: CurrentCall, entrance: CurrentEntrance
) -> Response:
    """Change one's own password; one's other sessions end."""
    token = _own_token(request, call)
    await login.change_password(call, entrance, body.current_password, body.new_password, but=hash_key(token))
    return Response(status_code=204)


def _own_token(request: Request, call: CurrentCall) -> str:
    token = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if call.principal.user_id is None or not token.startswith(SESSION_PREFIX):
        raise Problem.conflict("no-session", "this is an API key and no session; POST /v1/login begins one")
    return token


# Users ------------------------------------------------------------------------------------------


@users_router.post("", status_code=201, dependencies=DECIDING)
async def create_user(body: NewUser, call: CurrentCall, response: Response) -> User:
    """Make a user; PUT a password next, or let the identity provider know the e-mail address."""
    return _tagged(response, await service.create_user(call, body))


@users_router.get("", dependencies=DECIDING)
async def list_users(
    page: CurrentPage,
    call: CurrentCall,
    *,
    login_name: Annotated[LoginName | None, Query(alias="login")] = None,
    role: Role | None = None,
    customer_id: Annotated[Id | None, Query()] = None,
    provider_id: Annotated[Id | None, Query()] = None,
    active: bool | None = None,
) -> Page[User]:
    """Users; a partner manager sees those of the own partner."""
    wanted = {
        **page.parameters,
        "login": login_name,
        "role": role,
        "customer_id": customer_id,
        "provider_id": provider_id,
        "active": active,
    }
    return Page[User].model_validate(page.page(await service.list_users(call, wanted), "user_id"))


@users_router.get("/{user_id}", dependencies=DECIDING)
async def get_user(user_id: Id, call: CurrentCall, response: Response) -> User:
    """One user."""
    return _tagged(response, await service.get_user(call, user_id))


@users_router.patch("/{user_id}", dependencies=DECIDING)
async def change_user(
    user_id: Id, body: UserChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> User:
    """Change a user; needs If-Match. Another role, or `active` false, ends the user's sessions."""
    return _tagged(response, await service.change_user(call, user_id, body, require_version(if_match)))


@users_router.post("/{user_id}/deactivate", dependencies=DECIDING)
async def deactivate_user(user_id: Id, call: CurrentCall, response: Response) -> User:
    """Lock somebody out at once, whatever version one has seen; PATCH lets them in again."""
    return _tagged(response, await service.deactivate_user(call, user_id))


@users_router.put("/{user_id}/password", status_code=204, dependencies=DECIDING)
async def set_password(user_id: Id, body: NewPassword, call: CurrentCall, entrance: CurrentEntrance) -> Response:
    """Give somebody a password; all their sessions end. PUT, for the answer to a POST would be kept with its hash."""
    await service.set_password(call, user_id, body.new_password, entrance.passwords)
    return Response(status_code=204)


def _tagged(response: Response, row: dict[str, Any]) -> User:
    user = User(**row)
    tag(response, user.version)
    return user


# API keys ---------------------------------------------------------------------------------------


@keys_router.post("", status_code=201, dependencies=[allow()])
async def make_key(body: NewApiKey, request: Request, call: CurrentCall, response: Response) -> CreatedApiKey:
    """Make an API key; with scopes it may only what they say of its role."""
    response.headers["Cache-Control"] = "no-store"
    key, row = await service.create_key(call.connection, body, call.now, _known_scopes(request))
    return CreatedApiKey(key=key, **row)


@keys_router.get("", dependencies=[allow()])
async def list_keys(page: CurrentPage, call: CurrentCall) -> Page[ApiKey]:
    """All API keys, without the keys themselves."""
    rows = await (await call.connection.execute(service.SQL["list_keys"], page.parameters)).fetchall()
    return Page[ApiKey].model_validate(page.page(rows, "api_key_id"))


@keys_router.post("/{api_key_id}/revoke", dependencies=[allow()])
async def revoke_key(api_key_id: Id, call: CurrentCall) -> ApiKey:
    """Revoke a key at once."""
    return ApiKey(**await service.revoke_key(call, api_key_id))


def _known_scopes(request: Request) -> frozenset[str]:
    """Both scopes of every room, by the first tag of its routes."""
    operations = (one for path in request.app.openapi()["paths"].values() for one in path.values())
    rooms = {operation["tags"][0] for operation in operations if operation.get("tags")}
    return frozenset(f"{room}:{kind}" for room in rooms for kind in ("read", "write"))


# The audit --------------------------------------------------------------------------------------


@audit_router.get("", dependencies=[allow("desk_lead", "engineer")])
async def list_audit(
    page: CurrentPage,
    call: CurrentCall,
    *,
    ticket_id: Annotated[Id | None, Query()] = None,
    customer_id: Annotated[Id | None, Query()] = None,
    serial: Annotated[Serial | None, Query()] = None,
    actor: Annotated[Name | None, Query(description="whose writes: `user:3`, `key:12`")] = None,
    table: Annotated[Name | None, Query(description="with `key`: one row's whole history")] = None,
    key: Annotated[Name | None, Query(description="the row's key in that table")] = None,
    since: Annotated[Time | None, Query()] = None,
    until: Annotated[Time | None, Query(description="strictly before")] = None,
) -> Page[AuditLine]:
    """Every write with what was there before and after, oldest first."""
    if (table is None) != (key is None):
        message = "table and key go together: they name one row"
        raise RequestValidationError([{"loc": ("query", "key"), "msg": message, "type": "value_error"}])
    wanted = {
        **page.parameters,
        "ticket_id": ticket_id,
        "customer_id": customer_id,
        "actor": actor,
        "table_name": table,
        "row_key": key,
        "since": since,
        "until": until,
    }
    rows = await service.list_audit(call, wanted, serial)
    return Page[AuditLine].model_validate(page.page(rows, "audit_id"))
