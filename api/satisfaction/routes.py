"""`/v1/satisfaction`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request

from api.conventions.call import Call, CallRoute, CurrentCall, CurrentOpenCall, OpenCall, OpenRoute, allow, begin_as
from api.conventions.models import Id, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, THROTTLED, Problem
from api.conventions.roles import FIELD, STAFF, Principal
from api.satisfaction import service
from api.satisfaction.models import LinkedQuestion, NewAnswer, Satisfaction, Summary
from api.satisfaction.rules import State, Survey

router = APIRouter(prefix="/v1/satisfaction", tags=["satisfaction"], route_class=CallRoute, responses=RESPONSES)
open_router = APIRouter(
    prefix="/v1/satisfaction/by-token", tags=["satisfaction"], route_class=OpenRoute, responses=THROTTLED
)

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]

Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]
SINCE_EVER = datetime(2000, 1, 1, tzinfo=UTC)


def _survey(request: Request) -> Survey:
    survey: Survey = request.app.state.survey
    return survey


async def _by_link(request: Request, open_call: OpenCall, token: str) -> tuple[Call, dict[str, Any]]:
    """The call of a link's holder, and what the link asks; sends away an address that tries too often.

    Raises:
        Problem: 404, 429.
    """
    tries, address = _survey(request).tries, request.client.host if request.client else ""
    # Not the call's own time, which a replay sets: this guards the process as it runs.
    now = request.app.state.now()
    wait_s = tries.wait_s(address, now)
    if wait_s > 0:
        headers = {"Retry-After": str(int(wait_s) + 1)}
        raise Problem(429, "too-many-tries", f"too many tries from {address}; wait {wait_s:.0f} s", headers=headers)
    tries.count(address, now)
    call = Call(open_call.connection, open_call.now, Principal("link", "customer's link", "service"))
    question = await service.question_of(call, token)
    await begin_as(call.connection, f"link of satisfaction {question['satisfaction_id']}", call.now)
    return call, question


@open_router.get("/{token}")
async def show_question(token: Token, call: CurrentOpenCall, request: Request) -> LinkedQuestion:
    """What a customer's link asks, and what they answered."""
    _, question = await _by_link(request, call, token)
    return LinkedQuestion(**question)


@open_router.post("/{token}")
async def answer_by_link(token: Token, body: NewAnswer, call: CurrentOpenCall, request: Request) -> LinkedQuestion:
    """Answer, or change the answer within seven days."""
    own, question = await _by_link(request, call, token)
    await service.answer(own, question["satisfaction_id"], body, "link", _survey(request).bad_score)
    return LinkedQuestion(**await service.question_of(own, token))


@router.get("", dependencies=EVERYBODY)
async def list_satisfaction(
    page: CurrentPage,
    call: CurrentCall,
    *,
    ticket_id: Id | None = None,
    customer_id: Id | None = None,
    technician_id: Id | None = None,
    provider_id: Id | None = None,
    state: State | None = None,
    since: Annotated[Time | None, Query(description="asked since then")] = None,
    highest_score: Annotated[int | None, Query(ge=1, le=5, description="answers up to this score")] = None,
) -> Page[Satisfaction]:
    """Who was asked, and what they answered."""
    wanted = {
        **page.parameters,
        "ticket_id": ticket_id,
        "customer_id": customer_id,
        "technician_id": technician_id,
        "provider_id": provider_id,
        "state": state,
        "since": since,
        "highest_score": highest_score,
    }
    rows = await service.list_satisfaction(call, wanted)
    return Page[Satisfaction].model_validate(page.page(rows, "satisfaction_id"))


@router.get("/summary", dependencies=[allow(*STAFF, "partner_manager")])
async def summarise(
    page: CurrentPage,
    call: CurrentCall,
    *,
    by: Annotated[Literal["technician", "provider"], Query(description="whom the visits are told apart by")],
    since: Annotated[Time | None, Query(description="asked since then")] = None,
    until: Annotated[Time | None, Query(description="asked up to then; now if left out")] = None,
) -> Page[Summary]:
    """How satisfied customers were with each technician or partner."""
    span = {"since": since or SINCE_EVER, "until": until or call.now}
    rows = await service.summary(call, by, {**page.parameters, **span})
    return Page[Summary].model_validate(page.page(rows, f"{by}_id"))


@router.get("/{satisfaction_id}", dependencies=EVERYBODY)
async def get_satisfaction(satisfaction_id: Id, call: CurrentCall) -> Satisfaction:
    """One question with its answer."""
    return Satisfaction(**await service.get_satisfaction(call, satisfaction_id))


@router.post("/{satisfaction_id}/answer", dependencies=[allow("agent", "customer")])
async def answer_satisfaction(
    satisfaction_id: Id, body: NewAnswer, call: CurrentCall, request: Request
) -> Satisfaction:
    """Answer as the customer, or note what they told the desk; within seven days it may be changed."""
    via: service.Via = "desk" if call.principal.customer_id is None else "login"
    return Satisfaction(**await service.answer(call, satisfaction_id, body, via, _survey(request).bad_score))
