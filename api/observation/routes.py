"""`/live`, `/ready` and `/metrics`.

The first two say nothing that is secret and need no key, since orchestrators have none. The metrics tell how much
happens at this service organisation: they need a key of role service or admin, which Prometheus can send
(`authorization: credentials_file`). To let in whoever asks from this machine would let in everybody behind a proxy on
it. Where CARELOOP_METRICS_PORT is set, all three are served there as well, as by every other process.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.conventions.call import CallRoute, allow
from api.conventions.problems import RESPONSES
from careloop.observability.probes import Answer

probes_router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"], route_class=CallRoute, responses=RESPONSES)

_DOCUMENT: dict[int | str, dict[str, Any]] = {503: {"description": "Not so; the document says what is wrong"}}


@probes_router.get("/live", responses=_DOCUMENT)
def live(request: Request) -> JSONResponse:
    """Whether the process's loops go round."""
    return _answer(request.app.state.probes.live())


@probes_router.get("/ready", responses=_DOCUMENT)
def ready(request: Request) -> JSONResponse:
    """Whether the database answers and its tables are those of this version."""
    return _answer(request.app.state.probes.ready())


@metrics_router.get("/metrics", dependencies=[allow("service")], response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    content_type, body = request.app.state.render_metrics(request.headers.get("Accept", ""))
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def _answer(answer: Answer) -> JSONResponse:
    return JSONResponse(dict(answer.document), answer.status, {"Cache-Control": "no-store"})
