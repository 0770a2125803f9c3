"""`/v1/calendars`, `/v1/sla-policies`, `/v1/tickets/{ticket_id}/clocks`, `/v1/clocks`."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentNamePage, CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.sla import calendars, service
from api.sla.models import (
    BusinessCalendar,
    CalendarChange,
    CalendarDay,
    CalendarDays,
    Code,
    DueTicket,
    DueTime,
    HolidayRefresh,
    Minutes,
    NewCalendar,
    NewPolicy,
    OwnDay,
    PolicyChange,
    RefreshedHolidays,
    SlaPolicy,
    TicketClocks,
    mark_of,
    read_mark,
)
from api.sla.rules import ClockKind

router = APIRouter(prefix="/v1", tags=["sla"], route_class=CallRoute, responses=RESPONSES)

WORKERS = [allow(*STAFF, *FIELD)]
LEAD = [allow("desk_lead")]
Year = Annotated[int, Query(ge=1900, le=2200)]
Day = Annotated[date, Path(description="e.g. 2026-12-24")]


@router.post("/calendars", status_code=201, dependencies=LEAD)
async def create_calendar(body: NewCalendar, call: CurrentCall, response: Response) -> BusinessCalendar:
    """Add a business calendar: weekly hours, and the public holidays of a country."""
    calendar = BusinessCalendar(**await calendars.create_calendar(call, body))
    tag(response, calendar.version)
    return calendar


@router.get("/calendars", dependencies=WORKERS)
async def list_calendars(page: CurrentPage, call: CurrentCall) -> Page[BusinessCalendar]:
    """All calendars."""
    rows = await (await call.connection.execute(service.SQL["list_calendars"], page.parameters)).fetchall()
    return Page[BusinessCalendar].model_validate(page.page([calendars.shown(row) for row in rows], "calendar_id"))


@router.get("/calendars/{code}", dependencies=WORKERS)
async def get_calendar(code: Code, call: CurrentCall, response: Response) -> BusinessCalendar:
    """One calendar."""
    calendar = BusinessCalendar(**await calendars.get_calendar(call, code))
    tag(response, calendar.version)
    return calendar


@router.patch("/calendars/{code}", dependencies=LEAD)
async def change_calendar(
    code: Code, body: CalendarChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> BusinessCalendar:
    """Change a calendar; needs If-Match. Clocks that run are reckoned anew."""
    calendar = BusinessCalendar(**await calendars.change_calendar(call, code, body, require_version(if_match)))
    tag(response, calendar.version)
    return calendar


@router.get("/calendars/{code}/days", dependencies=WORKERS)
async def list_calendar_days(code: Code, call: CurrentCall, year: Year) -> CalendarDays:
    """Days of a year that are not like their weekday: holidays, make-up working days, the house's own."""
    return CalendarDays.model_validate({"items": await calendars.list_days(call, code, year)})


@router.put("/calendars/{code}/days/{day}", dependencies=LEAD)
async def put_calendar_day(code: Code, day: Day, body: OwnDay, call: CurrentCall) -> CalendarDay:
    """Say what holds on a day to come instead of its weekday's hours."""
    return CalendarDay(**await calendars.put_day(call, code, day, body))


@router.delete("/calendars/{code}/days/{day}", status_code=204, dependencies=LEAD)
async def remove_calendar_day(code: Code, day: Day, call: CurrentCall) -> None:
    """Let a day to come be like its weekday again."""
    await calendars.remove_day(call, code, day)


@router.post("/calendars/{code}/holidays", dependencies=LEAD)
async def refresh_holidays(code: Code, body: HolidayRefresh, call: CurrentCall) -> RefreshedHolidays:
    """Take public holidays of some years from the library anew; what is past stays as it was."""
    return RefreshedHolidays.model_validate(await calendars.refresh_holidays(call, code, body))


@router.get("/calendars/{code}/due", dependencies=WORKERS)
async def get_due_time(code: Code, call: CurrentCall, minutes: Annotated[Minutes, Query()]) -> DueTime:
    """When so many business minutes from now on will have passed."""
    return DueTime(**await calendars.due_in(call, code, minutes))


@router.post("/sla-policies", status_code=201, dependencies=LEAD)
async def create_sla_policy(body: NewPolicy, call: CurrentCall, response: Response) -> SlaPolicy:
    """Promise something for some cases that open from now on."""
    policy = SlaPolicy(**await service.create_policy(call, body))
    tag(response, policy.version)
    return policy


@router.get("/sla-policies", dependencies=WORKERS)
async def list_sla_policies(page: CurrentPage, call: CurrentCall) -> Page[SlaPolicy]:
    """All policies, in the order in which they were made."""
    rows = await (await call.connection.execute(service.SQL["list_policies"], page.parameters)).fetchall()
    return Page[SlaPolicy].model_validate(page.page(rows, "policy_id"))


@router.get("/sla-policies/{policy_id}", dependencies=WORKERS)
async def get_sla_policy(policy_id: Id, call: CurrentCall, response: Response) -> SlaPolicy:
    """One policy."""
    policy = SlaPolicy(**await service.get_policy(call, policy_id))
    tag(response, policy.version)
    return policy


@router.patch("/sla-policies/{policy_id}", dependencies=LEAD)
async def change_sla_policy(
    policy_id: Id, body: PolicyChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> SlaPolicy:
    """Change what is promised for cases that open from now on; needs If-Match."""
    policy = SlaPolicy(**await service.change_policy(call, policy_id, body, require_version(if_match)))
    tag(response, policy.version)
    return policy


@router.get("/tickets/{ticket_id}/clocks", dependencies=WORKERS)
async def list_ticket_clocks(ticket_id: Id, call: CurrentCall) -> TicketClocks:
    """What is timed of a case."""
    return TicketClocks.model_validate({"items": await service.clocks_of_ticket(call, ticket_id)})


@router.get("/clocks", dependencies=WORKERS)
async def list_due_tickets(
    page: CurrentNamePage,
    call: CurrentCall,
    overdue: Annotated[bool, Query(description="true: only what is overdue")] = False,
    kind: Annotated[ClockKind | None, Query()] = None,
) -> Page[DueTicket]:
    """Cases by what of them is due, most overdue first; a case once for each of its running clocks."""
    after = read_mark(page.after_name or "-9999999999999999_0")
    if after is None:
        message = "is not a cursor of this list; start without it"
        raise RequestValidationError([{"loc": ("query", "after"), "msg": message, "type": "value_error"}])
    parameters = {
        "after_due_at": after[0],
        "after_id": after[1],
        "fetch": page.parameters["fetch"],
        "due_before": call.now if overdue else None,
        "kind": kind,
    }
    rows = await (await call.connection.execute(service.SQL["list_due"], parameters)).fetchall()
    marked = [
        {**row, "overdue": row["due_at"] < call.now, "mark": mark_of(row["due_at"], row["clock_id"])} for row in rows
    ]
    return Page[DueTicket].model_validate(page.page(marked, "mark"))
