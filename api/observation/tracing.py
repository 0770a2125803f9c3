"""Each request gets an id, a log line and a place in the metrics.

The id is the caller's `X-Request-ID` when that is one, else a new one. It goes back in the answer, stands in every log
line written for the request and in the problem, if it ends in one.
"""

import logging
import re
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.conventions.problems import REQUEST_ID_HEADER
from api.observation.metrics import ApiMetrics
from careloop.logs import log_context

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_HEADER = REQUEST_ID_HEADER.lower().encode()
# Asked every few seconds, and of no interest as long as they are answered.
QUIET = frozenset({"/live", "/ready", "/metrics"})

log = logging.getLogger(__name__)


class Tracing:
    """ASGI middleware around the whole application.

    Args:
        app: What it stands around.
        metrics: What is counted.
        clock: Seconds of a clock that never jumps.
    """

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, clock: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        # What goes wrong beyond here is answered with 500 further out.
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [pair for pair in message["headers"] if pair[0].lower() != _HEADER]
                message = {**message, "headers": [*headers, (_HEADER, request_id.encode())]}
            await send(message)

        began_s = self._clock()
        with log_context(request_id=request_id), self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._note(scope, status, self._clock() - began_s)

    def _note(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        method, path = scope["method"], scope["path"]
        route = getattr(scope.get("route"), "path", "(none)")
        self._metrics.answered(method, route, status, seconds)
        level = logging.DEBUG if path in QUIET and status < 500 else logging.INFO
        log.log(
            level, "%s %s %d in %.1f ms", method, path, status, 1000 * seconds,
            extra={"method": method, "path": path, "route": route, "status": status, "seconds": round(seconds, 6)},
        )  # fmt: skip


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The caller's id when it is one, else a new one.

    >>> request_id_of({"headers": [(b"x-request-id", b"order-7")]})
    'order-7'
    >>> len(request_id_of({"headers": [(b"x-request-id", b"two words")]}))
    32
    """
    for name, value in scope["headers"]:
        if name.lower() == _HEADER:
            text = value.decode("latin-1")
            if _ID.fullmatch(text):
                return str(text)
    return uuid.uuid4().hex
