"""One call: its transaction, its time, and who makes it.

Every route of a capability is a `CallRoute`: it opens a connection, authenticates, runs the endpoint in one transaction
together with the record of its idempotency key, commits, and only then answers. An endpoint takes the call as
`call: CurrentCall`.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.authentication import authenticate
from api.conventions.bodies import LARGEST_BODY_BYTES, with_body
from api.conventions.problems import MEDIA_TYPE, Problem, problem_response, request_id_of
from api.conventions.roles import Principal, Role
from careloop.database.queries import load_queries
from careloop.stepping import parse_time

SQL = load_queries("api.conventions")

NOW_HEADER = "Careloop-Now"
KEY_HEADER = "Idempotency-Key"
LONGEST_KEY = 255

# In these words row-level security holds for the rest of the transaction (careloop/database/migrations/0015_scope.sql).
_SCOPED = "SET LOCAL ROLE careloop_scoped"
_WHOLE = "SET LOCAL ROLE NONE"


@dataclass(frozen=True)
class Call:
    """What an endpoint needs beyond its arguments.

    Attributes:
        connection: In a transaction that commits when the endpoint returns and rolls back when it raises.
        now: The time of the call.
        principal: Who calls.
        whole_views: Not empty while `unscoped` holds.
    """

    connection: AsyncConnection[DictRow]
    now: datetime
    principal: Principal
    whole_views: list[bool] = field(default_factory=list, repr=False, compare=False)

    @asynccontextmanager
    async def unscoped(self) -> AsyncIterator[None]:
        """See everything for a moment, for what the platform does by itself in a scoped caller's call.

        E.g. putting an alert into the outbox, whose targets are nobody's business. May stand inside itself. After an
        error of the database the transaction (or its savepoint) rolls back, and with it the role; a problem that
        somebody catches must not leave the role behind.
        """
        if not self.principal.scoped or self.whole_views:
            yield
            return
        await self.connection.execute(_WHOLE)
        self.whole_views.append(True)
        try:
            yield
        except Problem:
            await self.connection.execute(_SCOPED)
            raise
        finally:
            self.whole_views.pop()
        await self.connection.execute(_SCOPED)


async def _current(request: Request) -> Call:
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(_current)]


def allow(*roles: Role) -> Any:
    """A dependency that lets only these roles in; `admin` may always, and a desk lead whatever an agent may.

    Stands in a route's `dependencies`; tests read the roles from it.
    """
    lead: frozenset[Role] = frozenset({"desk_lead"}) if "agent" in roles else frozenset()
    return Depends(Allowed(frozenset({*roles, "admin"}) | lead))


@dataclass(frozen=True)
class Allowed:
    """The roles that may call an endpoint."""

    roles: frozenset[Role]

    # Asynchronous, as all that FastAPI calls for every request: anything else it runs in a thread.
    async def __call__(self, call: CurrentCall) -> None:
        """Refuse other roles.

        Raises:
            Problem: 403.
        """
        if call.principal.role not in self.roles:
            wanted = ", ".join(sorted(self.roles))
            raise Problem(403, "forbidden", f"the role {call.principal.role} may not do this; one of: {wanted}")


class CallRoute(APIRoute):
    """A route whose endpoint runs as one call."""

    # What the body is called when it is too large.
    body_called = "a body"

    def largest_body_bytes(self, request: Request) -> int:  # noqa: ARG002 - others ask the application
        """The limit of a request's body."""
        return LARGEST_BODY_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint's own handler."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            now = now_of(request)
            key = _key(request)
            _require_storable(request)
            if "authorization" in request.headers:
                request = await with_body(request, self.largest_body_bytes(request), self.body_called)
            async with request.app.state.pool.connection() as connection, connection.transaction():
                principal = await authenticate(
                    connection,
                    request.headers.get("Authorization"),
                    now,
                    by_browser=_by_browser(request),
                    request_id=request_id_of(request),
                )
                _require_scope(principal, request.method, self.tags)
                if principal.scoped:
                    await connection.execute(_SCOPED)
                request.state.call = Call(connection, now, principal)
                if key is None:
                    return await endpoint(request)
                request_hash = await _hash(request)
                stored = await _stored(connection, principal, key, request_hash)
                if stored is not None:
                    return stored
                response = await endpoint(request)
                await _store(request.state.call, request, key, request_hash, response)
                return response

        return handle


@dataclass(frozen=True)
class OpenCall:
    """A call of somebody without an API key: a device that claims or renews its identity, a broker that asks.

    Attributes:
        connection: In a transaction, as in `Call`.
        now: The time of the call.
    """

    connection: AsyncConnection[DictRow]
    now: datetime


OPEN_ACTOR = "without key"


async def begin_as(
    connection: AsyncConnection[DictRow], actor: str, now: datetime, request_id: str | None = None
) -> None:
    """Tell the triggers of a transaction who acts, where no key or session does."""
    values = {"actor": actor, "now": now, "request_id": request_id or ""}
    await connection.execute(SQL["begin_as"], values)


async def _current_open(request: Request) -> OpenCall:
    call: OpenCall = request.state.open_call
    return call


CurrentOpenCall = Annotated[OpenCall, Depends(_current_open)]


class OpenRoute(APIRoute):
    """A route that needs no API key; its endpoint itself judges what the request proves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint's own handler."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            now = now_of(request)
            _require_storable(request)
            request = await with_body(request, LARGEST_BODY_BYTES)
            async with request.app.state.pool.connection() as connection, connection.transaction():
                await begin_as(connection, OPEN_ACTOR, now, request_id_of(request))
                request.state.open_call = OpenCall(connection, now)
                return await endpoint(request)

        return handle


def _require_storable(request: Request) -> None:
    """Refuse what PostgreSQL cannot hold in any text; bodies are judged by their models.

    Raises:
        RequestValidationError: Naming the parameter.
    """
    for place, values in (("query", request.query_params), ("path", request.path_params)):
        for name, value in values.items():
            if "\x00" in str(value):
                message = "must not contain the character NUL"
                raise RequestValidationError([{"loc": (place, name), "msg": message, "type": "value_error"}])


def _require_scope(principal: Principal, method: str, tags: Sequence[str | Enum]) -> None:
    """Refuse what is outside a key's scopes.

    Raises:
        Problem: 403.
    """
    if principal.scopes is None:
        return
    wanted = f"{tags[0] if tags else 'none'}:{'read' if method in {'GET', 'HEAD'} else 'write'}"
    if wanted not in principal.scopes:
        raise Problem(403, "outside-scopes", f"this API key lacks the scope {wanted}", scope=wanted)


def now_of(request: Request) -> datetime:
    """The time of a request: its own where the clock lets it say so, else the system's.

    Raises:
        Problem: 400 when it may not say so, or says no time.
    """
    given = request.headers.get(NOW_HEADER)
    if given is None:
        now: datetime = request.app.state.now()
        return now
    if request.app.state.clock != "request":
        raise Problem(400, "bad-time", f"{NOW_HEADER} is only for replays (CARELOOP_CLOCK=request); leave it out")
    try:
        return parse_time(given)
    except ValueError as error:
        raise Problem(400, "bad-time", f"{NOW_HEADER}: {error}") from error


def _by_browser(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def _key(request: Request) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if request.method != "POST" or key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        message = f"must be 1-{LONGEST_KEY} printable characters"
        raise RequestValidationError([{"loc": ("header", KEY_HEADER), "msg": message, "type": "value_error"}])
    return key


async def _hash(request: Request) -> bytes:
    return hashlib.sha256(b"\n".join((request.url.path.encode(), await request.body()))).digest()


async def _stored(
    connection: AsyncConnection[DictRow], principal: Principal, key: str, request_hash: bytes
) -> Response | None:
    """The answer that this key already got, if any; a second call with the key waits here for the first."""
    parameters = {"principal": principal.key, "key": key}
    await connection.execute(SQL["lock_idempotency_key"], parameters)
    row = await (await connection.execute(SQL["get_idempotency_key"], parameters)).fetchone()
    if row is None:
        return None
    if bytes(row["request_hash"]) != request_hash:
        detail = f"{KEY_HEADER} {key!r} was used for another request; take a new key"
        raise Problem(
            422, "idempotency-key-reused", detail, errors=[{"field": f"header.{KEY_HEADER}", "message": detail}]
        )
    headers = {**row["headers"], "Idempotency-Replayed": "true"}
    return Response(bytes(row["body"]), row["status"], headers)


async def _store(call: Call, request: Request, key: str, request_hash: bytes, response: Response) -> None:
    """Keep the answer; refusals changed nothing and are judged anew each time."""
    status, body = response.status_code, bytes(response.body)
    kept = {name: value for name, value in response.headers.items() if name in {"content-type", "etag", "location"}}
    if response.headers.get("cache-control") == "no-store":
        # It holds a secret, which is shown once and kept nowhere.
        detail = "this was done already; its answer held a secret that is shown once: revoke it and make another"
        refusal = problem_response(request, Problem.conflict("secret-shown-once", detail))
        status, body, kept = refusal.status_code, bytes(refusal.body), {"content-type": MEDIA_TYPE}
    await call.connection.execute(
        SQL["insert_idempotency_key"],
        {
            "principal": call.principal.key,
            "key": key,
            "method": request.method,
            "path": request.url.path,
            "request_hash": request_hash,
            "status": status,
            "headers": Jsonb(kept, dumps=json.dumps),
            "body": body,
            "now": call.now,
        },
    )
