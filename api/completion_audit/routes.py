"""`/v1/completion-audit`: checks of visits, the queue, statistics."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.completion_audit import service
from api.completion_audit.models import (
    Assignment,
    Because,
    Check,
    CheckHead,
    Correction,
    NextCheck,
    Recheck,
    Statistics,
)
from api.completion_audit.rules import State
from api.conventions.call import Call, CallRoute, CurrentCall, allow
from api.conventions.etags import tag
from api.conventions.models import Id, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF

router = APIRouter(prefix="/v1/completion-audit", tags=["completion-audit"], route_class=CallRoute, responses=RESPONSES)

READERS = [allow(*STAFF, *FIELD)]
PARTNERS = [allow("agent", *FIELD)]
REVIEWERS = [allow("agent")]
LEADS = [allow("desk_lead")]
SINCE_EVER = datetime(2000, 1, 1, tzinfo=UTC)

Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="the rule set's number")]


async def _answer(call: Call, completion_check_id: int, response: Response) -> Check:
    check = Check.model_validate(await service.show(call, completion_check_id))
    tag(response, check.version)
    return check


@router.get("/checks", dependencies=READERS)
async def list_checks(
    page: CurrentPage,
    call: CurrentCall,
    *,
    state: Annotated[State | None, Query(description="manual: the queue, the oldest first")] = None,
    provider_id: Id | None = None,
    technician_id: Id | None = None,
    visit_id: Id | None = None,
    rule_set_version: Version = None,
    since: Annotated[Time | None, Query(description="completed since then")] = None,
    mine: Annotated[bool, Query(description="only those that the caller is at")] = False,
) -> Page[CheckHead]:
    """Where the audit of visits stands; partners see their own."""
    wanted = {
        **page.parameters,
        "state": state,
        "provider_id": provider_id,
        "technician_id": technician_id,
        "visit_id": visit_id,
        "rule_set_version": rule_set_version,
        "since": since,
        "claimed_key": call.principal.key if mine else None,
    }
    rows = await service.list_checks(call, wanted)
    return Page[CheckHead].model_validate(page.page(rows, "completion_check_id"))


@router.get("/checks/{completion_check_id}", dependencies=READERS)
async def get_check(completion_check_id: Id, call: CurrentCall, response: Response) -> Check:
    """One check with every run and everything that was done about it."""
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/corrections", dependencies=PARTNERS)
async def correct(completion_check_id: Id, body: Correction, call: CurrentCall, response: Response) -> Check:
    """Say what of the report is otherwise; the visit is checked again at once."""
    await service.correct(call, completion_check_id, body)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/objections", dependencies=PARTNERS)
async def object_to(completion_check_id: Id, body: Because, call: CurrentCall, response: Response) -> Check:
    """Object to a rejection; it goes into the queue, where a person decides."""
    await service.object_to(call, completion_check_id, body.reason)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/recheck", dependencies=REVIEWERS)
async def recheck(completion_check_id: Id, body: Recheck, call: CurrentCall, response: Response) -> Check:
    """Check again, e.g. when a charge was voided meanwhile; the runs before stay."""
    await service.recheck(call, completion_check_id, body)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/claim", dependencies=REVIEWERS)
async def claim(completion_check_id: Id, call: CurrentCall, response: Response) -> Check:
    """Take a check of the queue."""
    await service.claim(call, completion_check_id)
    return await _answer(call, completion_check_id, response)


@router.post("/queue/next", dependencies=REVIEWERS)
async def claim_next(
    call: CurrentCall, response: Response, *, provider_id: Annotated[Id | None, Query()] = None
) -> NextCheck:
    """Take the oldest check of the queue that nobody is at and that is not of one's own report."""
    number = await service.claim_next(call, provider_id)
    return NextCheck(check=None if number is None else await _answer(call, number, response))


@router.post("/checks/{completion_check_id}/assign", dependencies=LEADS)
async def assign(completion_check_id: Id, body: Assignment, call: CurrentCall, response: Response) -> Check:
    """Give a check of the queue to somebody."""
    await service.assign(call, completion_check_id, body.user_id)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/release", dependencies=REVIEWERS)
async def release(completion_check_id: Id, call: CurrentCall, response: Response) -> Check:
    """Put a check back into the queue."""
    await service.release(call, completion_check_id)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/accept", dependencies=REVIEWERS)
async def accept(completion_check_id: Id, body: Because, call: CurrentCall, response: Response) -> Check:
    """Accept a visit that one has claimed: it may be paid."""
    await service.decide(call, completion_check_id, "accept", body.reason)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/refuse", dependencies=REVIEWERS)
async def refuse(completion_check_id: Id, body: Because, call: CurrentCall, response: Response) -> Check:
    """Refuse a visit that one has claimed; the partner reads why, and may correct or object."""
    await service.decide(call, completion_check_id, "refuse", body.reason)
    return await _answer(call, completion_check_id, response)


@router.post("/checks/{completion_check_id}/reopen", dependencies=REVIEWERS)
async def reopen(completion_check_id: Id, body: Because, call: CurrentCall, response: Response) -> Check:
    """Let a person look at a visit that was passed, accepted or rejected."""
    await service.reopen(call, completion_check_id, body.reason)
    return await _answer(call, completion_check_id, response)


@router.get("/statistics", dependencies=[allow(*STAFF, "partner_manager")])
async def statistics(
    page: CurrentPage,
    call: CurrentCall,
    *,
    provider_id: Id | None = None,
    since: Annotated[Time | None, Query(description="completed since then")] = None,
    until: Annotated[Time | None, Query(description="completed before then; now if left out")] = None,
) -> Page[Statistics]:
    """How each partner's reports fare: how many pass at once, and what keeps the others from it."""
    span = {"since": since or SINCE_EVER, "until": until or call.now}
    rows = await service.statistics(call, {**page.parameters, **span, "provider_id": provider_id})
    return Page[Statistics].model_validate(page.page(rows, "provider_id"))
