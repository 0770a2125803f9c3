"""`/v1/visits`: the day, the appointment, the way and the work on site."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.conventions.call import Call, CallRoute, CurrentCall, CurrentOpenCall, OpenCall, OpenRoute, allow
from api.conventions.etags import IfMatch, changed_meanwhile, require_version, tag
from api.conventions.models import Id, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF, Principal
from api.dispatch.models import Recall
from api.visits import appointments, completion, fieldwork, packing, rules
from api.visits.closing import complete
from api.visits.models import (
    ChangeCounts,
    Confirmation,
    EntryAnswers,
    EntryBatch,
    Link,
    NewContact,
    NewOffer,
    NewPosition,
    NewVisit,
    NewVisitPart,
    NoAccess,
    OfferedVisit,
    OldPart,
    Pack,
    Reassignment,
    Refusal,
    Rescheduling,
    Visit,
    VisitLine,
)
from api.visits.report_models import CompletionCheck, Report, ReportContent
from api.visits.repository import get_visit, lock, rows

router = APIRouter(prefix="/v1/visits", tags=["visits"], route_class=CallRoute, responses=RESPONSES)
open_router = APIRouter(prefix="/v1/visits/by-token", tags=["visits"], route_class=OpenRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
WITH_CUSTOMER = [allow(*STAFF, *FIELD, "customer")]
PLANNERS = [allow("agent", "dispatcher", "partner_manager", "service")]
ON_SITE = [allow("dispatcher", "technician", "partner_manager", "service")]
SPEAKERS = [allow("agent", "dispatcher", "technician", "partner_manager", "service")]

Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,100}$")]
# What a call of somebody with a link is written down as.
LINK_HOLDER = Principal(key="link:visit", name="customer by link", role="customer")


async def _answer(call: Call, visit_id: int, response: Response) -> Visit:
    visit = Visit.model_validate(await get_visit(call, visit_id))
    tag(response, visit.version)
    return visit


async def _require_seen(call: Call, visit_id: int, if_match: str | None) -> None:
    """Refuse a change of a visit that changed since the caller has seen it, and lock it until the change is done."""
    version = require_version(if_match)
    locked = await lock(call, visit_id)
    if locked.visit["version"] != version:
        raise changed_meanwhile("visit", version)


# Lists ----------------------------------------------------------------------------------------------


@router.get("", dependencies=WITH_CUSTOMER)
async def list_visits(
    page: CurrentPage,
    call: CurrentCall,
    *,
    technician_id: Annotated[Id | None, Query(description="a technician sees only their own")] = None,
    day: Annotated[date | None, Query(description="starts that day, where the machine stands")] = None,
    ticket_id: Annotated[Id | None, Query()] = None,
    ends_after: Annotated[Time | None, Query()] = None,
    starts_before: Annotated[Time | None, Query()] = None,
    state: Annotated[str | None, Query(description="those still to be done if left out", max_length=200)] = None,
) -> Page[VisitLine]:
    """Visits: of a technician's day, of a case, or those that touch a span of time."""
    default = rules.VISIT_STATES if day is not None or ticket_id is not None else rules.OPEN_STATES
    wanted = {
        **page.parameters,
        "states": _states(state, default),
        "technician_id": call.principal.technician_id or technician_id,
        "ends_after": ends_after,
        "starts_before": starts_before,
    }
    found = await packing.list_lines(call, wanted, day=day, ticket_id=ticket_id)
    return Page[VisitLine].model_validate(page.page(found, "visit_id"))


def _states(given: str | None, default: tuple[str, ...]) -> list[str]:
    if given is None:
        return list(default)
    wanted = list(dict.fromkeys(state.strip() for state in given.split(",")))
    for state in wanted:
        if state not in rules.VISIT_STATES:
            raise Problem.bad_field("query.state", f"{state!r} is none of: {', '.join(rules.VISIT_STATES)}")
    return wanted


@router.get("/changes", dependencies=[allow(*STAFF, "partner_manager")])
async def count_changes(
    call: CurrentCall, since: Annotated[Time, Query()], until: Annotated[Time, Query()]
) -> ChangeCounts:
    """How often appointments were moved in a span of time, by who caused it and why."""
    return ChangeCounts.model_validate({"items": await rows(call, "count_changes", {"since": since, "until": until})})


@router.get("/{visit_id}", dependencies=WITH_CUSTOMER)
async def show_visit(visit_id: Id, call: CurrentCall, response: Response) -> Visit:
    """One visit, as far as the caller may see it."""
    return await _answer(call, visit_id, response)


@router.get("/{visit_id}/pack", dependencies=EVERYBODY)
async def get_pack(visit_id: Id, call: CurrentCall) -> Pack:
    """Everything for a visit in one answer, to be taken where there is no network."""
    return Pack.model_validate(await packing.pack(call, visit_id))


# Appointments ---------------------------------------------------------------------------------------


@router.post("", status_code=201, dependencies=PLANNERS)
async def propose_visit(body: NewVisit, call: CurrentCall, response: Response) -> Visit:
    """Offer appointments for a job; the first is booked until the customer chooses."""
    return await _answer(call, await appointments.propose(call, body), response)


@router.post("/{visit_id}/offer", dependencies=PLANNERS)
async def offer_slots(visit_id: Id, body: NewOffer, call: CurrentCall, response: Response) -> Visit:
    """Offer other appointments than before."""
    await appointments.offer(call, visit_id, body.slots)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/confirm", dependencies=[allow(*STAFF, *FIELD, "customer")])
async def confirm_visit(visit_id: Id, body: Confirmation, call: CurrentCall, response: Response) -> Visit:
    """The customer agrees to an appointment, or somebody writes down that they did."""
    await appointments.confirm(call, visit_id, body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/reschedule", dependencies=PLANNERS)
async def reschedule_visit(
    visit_id: Id, body: Rescheduling, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Visit:
    """Move a visit to another time, with the reason and who caused it; needs If-Match."""
    await _require_seen(call, visit_id, if_match)
    await appointments.reschedule(call, visit_id, body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/reassign", dependencies=[allow("dispatcher", "partner_manager", "service")])
async def reassign_visit(
    visit_id: Id, body: Reassignment, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Visit:
    """Give a visit to another technician, with the reason; needs If-Match."""
    await _require_seen(call, visit_id, if_match)
    await appointments.reassign(call, visit_id, body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/cancel", dependencies=PLANNERS)
async def cancel_visit(visit_id: Id, body: Recall, call: CurrentCall, response: Response) -> Visit:
    """Call a visit off; its job waits for another one, its parts stay reserved."""
    await appointments.cancel(call, visit_id, body.reason)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/links", status_code=201, dependencies=PLANNERS)
async def create_link(visit_id: Id, call: CurrentCall, response: Response) -> Link:
    """A link for a customer without login; the token is shown once."""
    visit = await get_visit(call, visit_id)
    response.headers["Cache-Control"] = "no-store"
    return Link.model_validate(await appointments.make_link(call, visit_id, visit["ends_at"]))


@router.post("/{visit_id}/contacts", status_code=201, dependencies=SPEAKERS)
async def add_contact(visit_id: Id, body: NewContact, call: CurrentCall, response: Response) -> Visit:
    """Write down that the customer was called, written to or rung at the door."""
    await appointments.contact(call, visit_id, body)
    return await _answer(call, visit_id, response)


def _as_customer(call: OpenCall) -> Call:
    return Call(call.connection, call.now, LINK_HOLDER)


async def _offered(call: Call, visit_id: int) -> OfferedVisit:
    visit = await get_visit(call, visit_id)
    slots = [slot for slot in visit["slots"] if slot["state"] != "withdrawn"]
    return OfferedVisit.model_validate({**visit, "slots": slots})


@open_router.get("/{token}")
async def show_offer(token: Token, open_call: CurrentOpenCall) -> OfferedVisit:
    """What somebody with a link sees of a visit."""
    call = _as_customer(open_call)
    return await _offered(call, await appointments.visit_of_token(call, token))


@open_router.post("/{token}/confirm")
async def confirm_offer(token: Token, body: Confirmation, open_call: CurrentOpenCall) -> OfferedVisit:
    """The customer agrees to an appointment by a link."""
    call = _as_customer(open_call)
    visit_id = await appointments.visit_of_token(call, token)
    await appointments.confirm(call, visit_id, body)
    return await _offered(call, visit_id)


# On the way and on site -------------------------------------------------------------------------------


@router.post("/{visit_id}/depart", dependencies=ON_SITE)
async def depart(visit_id: Id, body: NewPosition, call: CurrentCall, response: Response) -> Visit:
    """Leave for the site."""
    await fieldwork.move(call, visit_id, "depart", body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/check-in", dependencies=ON_SITE)
async def check_in(visit_id: Id, body: NewPosition, call: CurrentCall, response: Response) -> Visit:
    """Arrive at the site; job and case are in progress. `positions` warns when the device is far from the site."""
    await fieldwork.move(call, visit_id, "check_in", body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/check-out", dependencies=ON_SITE)
async def check_out(visit_id: Id, body: NewPosition, call: CurrentCall, response: Response) -> Visit:
    """Leave the machine."""
    await fieldwork.move(call, visit_id, "check_out", body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/entries", dependencies=ON_SITE)
async def tell_entries(visit_id: Id, body: EntryBatch, call: CurrentCall) -> EntryAnswers:
    """Tips read, checks made, steps ticked: in any order, late, twice; each is answered by itself."""
    return EntryAnswers.model_validate({"items": await fieldwork.tell(call, visit_id, body)})


@router.post("/{visit_id}/begin-work", dependencies=ON_SITE)
async def begin_work(visit_id: Id, call: CurrentCall, response: Response) -> Visit:
    """Release the work: every tip was read, every check passed."""
    await fieldwork.begin_work(call, visit_id)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/refuse", dependencies=ON_SITE)
async def refuse_work(visit_id: Id, body: Refusal, call: CurrentCall, response: Response) -> Visit:
    """End a visit because the work would not be safe, with photos."""
    await fieldwork.refuse(call, visit_id, body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/no-access", dependencies=ON_SITE)
async def no_access(visit_id: Id, body: NoAccess, call: CurrentCall, response: Response) -> Visit:
    """End a visit because nobody was there or let us in; somebody must have tried to reach the customer."""
    await fieldwork.no_access(call, visit_id, body)
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/parts", status_code=201, dependencies=ON_SITE)
async def book_part(visit_id: Id, body: NewVisitPart, call: CurrentCall, response: Response) -> Visit:
    """Book a part that was built in, or brought back; 200 when it was told before."""
    response.status_code = 201 if await fieldwork.book_part(call, visit_id, body) else 200
    return await _answer(call, visit_id, response)


@router.post("/{visit_id}/parts/{visit_part_id}/old-part", dependencies=ON_SITE)
async def tell_old_part(visit_id: Id, visit_part_id: Id, body: OldPart, call: CurrentCall, response: Response) -> Visit:
    """Tell what becomes of the part that was taken out."""
    await fieldwork.change_old_part(call, visit_id, visit_part_id, body)
    return await _answer(call, visit_id, response)


# Completion -------------------------------------------------------------------------------------------


@router.get("/{visit_id}/report", dependencies=WITH_CUSTOMER)
async def show_report(visit_id: Id, call: CurrentCall, response: Response) -> Report:
    """The completion report; a customer sees it when the visit is completed."""
    report = Report.model_validate(await completion.get_report(call, visit_id))
    tag(response, report.version)
    return report


@router.put("/{visit_id}/report", dependencies=ON_SITE)
async def save_report(
    visit_id: Id, body: ReportContent, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Report:
    """Save the whole report, finished or not; needs If-Match when there is one already."""
    version = None if if_match is None else require_version(if_match)
    await completion.save_report(call, visit_id, body, version)
    return await show_report(visit_id, call, response)


@router.get("/{visit_id}/completion-check", dependencies=EVERYBODY)
async def check_completion(visit_id: Id, call: CurrentCall) -> CompletionCheck:
    """Everything that keeps a visit from being completed, what it would cost, and what the warranty says."""
    return CompletionCheck.model_validate(await completion.check(call, visit_id))


@router.post("/{visit_id}/complete", dependencies=ON_SITE)
async def complete_visit(visit_id: Id, call: CurrentCall, response: Response) -> Visit:
    """Complete a visit: refused with all gaps at once; else machine, bill, facts, job, case and report follow."""
    await complete(call, visit_id)
    return await _answer(call, visit_id, response)
