"""One call: its transaction, its time, and who makes it.

Every route of a capability is a `CallRoute`: it opens a connection, authenticates, runs the endpoint in one transaction
together with the record of its idempotency key, commits, and only then answers. An endpoint takes the call as
`call: CurrentCall`.
"""

import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.authentication import authenticate
from api.conventions.problems import MEDIA_TYPE, Problem, problem_response
from api.conventions.roles import Principal, Role
from careloop.database.queries import load_queries
from careloop.stepping import parse_time

SQL = load_queries("api.conventions")

NOW_HEADER = "Careloop-Now"
KEY_HEADER = "Idempotency-Key"
LONGEST_KEY = 255


@dataclass(frozen=True)
class Call:
    """What an endpoint needs beyond its arguments.

    Attributes:
        connection: In a transaction that commits when the endpoint returns and rolls back when it raises.
        now: The time of the call.
        principal: Who calls.
    """

    connection: AsyncConnection[DictRow]
    now: datetime
    principal: Principal


def _current(request: Request) -> Call:
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(_current)]


def allow(*roles: Role) -> Any:
    """A dependency that lets only these roles in; `admin` may always.

    Stands in a route's `dependencies`; tests read the roles from it.
    """
    return Depends(Allowed(frozenset({*roles, "admin"})))


@dataclass(frozen=True)
class Allowed:
    """The roles that may call an endpoint."""

    roles: frozenset[Role]

    def __call__(self, call: CurrentCall) -> None:
        """Refuse other roles.

        Raises:
            Problem: 403.
        """
        if call.principal.role not in self.roles:
            wanted = ", ".join(sorted(self.roles))
            raise Problem(403, "forbidden", f"the role {call.principal.role} may not do this; one of: {wanted}")


class CallRoute(APIRoute):
    """A route whose endpoint runs as one call."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint's own handler."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            now = _now(request)
            key = _key(request)
            async with request.app.state.pool.connection() as connection, connection.transaction():
                principal = await authenticate(
                    connection, request.headers.get("Authorization"), now, by_browser=_by_browser(request)
                )
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


def _current_open(request: Request) -> OpenCall:
    call: OpenCall = request.state.open_call
    return call


CurrentOpenCall = Annotated[OpenCall, Depends(_current_open)]


class OpenRoute(APIRoute):
    """A route that needs no API key; its endpoint itself judges what the request proves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint's own handler."""
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            now = _now(request)
            async with request.app.state.pool.connection() as connection, connection.transaction():
                request.state.open_call = OpenCall(connection, now)
                return await endpoint(request)

        return handle


def _now(request: Request) -> datetime:
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
    parameters = {"principal": principal.api_key_id, "key": key}
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
            "principal": call.principal.api_key_id,
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
