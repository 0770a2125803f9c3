"""Reading a request's body before a database connection is taken for it: a slow sender must not hold one."""

from fastapi import Request
from starlette.types import Message

from api.conventions.problems import Problem

# Of JSON; sheets and files have limits of their own.
LARGEST_BODY_BYTES = 8 * 2**20

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def with_body(request: Request, largest_bytes: int, what: str = "a body") -> Request:
    """The request with its body read, as whoever comes after may read it again.

    Args:
        request: Whose body nobody has read.
        largest_bytes: Limit.
        what: How the refusal calls it.

    Raises:
        Problem: 413 as soon as it is more than the limit.
    """
    if request.method not in _WITH_BODY:
        return request
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > largest_bytes:
        raise _too_large(what, largest_bytes)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > largest_bytes:
            raise _too_large(what, largest_bytes)
        pieces.append(piece)
    body = b"".join(pieces)

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, again)


def _too_large(what: str, largest_bytes: int) -> Problem:
    return Problem(413, "too-large", f"{what} has at most {largest_bytes} bytes; cut it into several")
