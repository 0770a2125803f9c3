"""What is done with the opening hours of warehouses."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.sla.hours import join_spans
from api.sla.models import WEEKDAYS, openings_of
from api.sla.service import spans_of
from api.warehouses.models import NewOpeningHours, OpeningDay
from api.warehouses.rules import next_open
from api.warehouses.service import SQL, get_warehouse, hours_of, require_own, row


async def shown_hours(call: Call, code: str) -> dict[str, Any]:
    """When a warehouse is open, as it is shown.

    Raises:
        Problem: 404.
    """
    warehouse = await get_warehouse(call, code)
    number = warehouse["warehouse_id"]
    # Calendars are the service levels'; a partner does not see them, but is open by them.
    async with call.unscoped():
        kept = await row(call, "shown_opening_hours", {"warehouse_id": number}) or {"week": [], "calendar": None}
        today = call.now.astimezone(ZoneInfo(warehouse["time_zone"])).date()
        key = {"warehouse_id": number, "since": today}
        days = await (await call.connection.execute(SQL["own_days"], key)).fetchall()
    hours = (await hours_of(call, [number]))[number]
    opens_at = next_open(hours, call.now)
    week = [
        {"weekday": weekday, **opening}
        for weekday, spans in zip(WEEKDAYS, kept["week"] or [[]] * len(WEEKDAYS), strict=True)
        for opening in openings_of(spans_of(spans))
    ]
    return {
        "warehouse": code,
        "time_zone": warehouse["time_zone"],
        "hours": week,
        "calendar": kept["calendar"],
        "days": [{**day, "hours": openings_of(spans_of(day["spans"]))} for day in days],
        "open_now": opens_at == call.now,
        "opens_at": opens_at,
    }


async def put_hours(call: Call, code: str, body: NewOpeningHours) -> dict[str, Any]:
    """Say when a warehouse is open.

    Raises:
        Problem: 403 in a warehouse of somebody else, 404, 422 for an unknown calendar.
    """
    warehouse = await get_warehouse(call, code)
    require_own(call, warehouse)
    calendar = None
    if body.calendar is not None:
        async with call.unscoped():
            calendar = await row(call, "get_calendar", {"calendar": body.calendar})
        if calendar is None:
            raise Problem.bad_field("body.calendar", f"there is no calendar {body.calendar}; POST /v1/calendars first")
    week: list[list[tuple[int, int]]] = [[] for _ in WEEKDAYS]
    for opening in body.hours:
        for day, span in opening.spans:
            week[day].append(span)
    values = {
        "warehouse_id": warehouse["warehouse_id"],
        "week": Jsonb([join_spans(spans) for spans in week]),
        "calendar_id": calendar and calendar["calendar_id"],
    }
    await call.connection.execute(SQL["put_opening_hours"], values)
    return await shown_hours(call, code)


async def delete_hours(call: Call, code: str) -> None:
    """Let a warehouse be open always, but for its own days.

    Raises:
        Problem: 403, 404.
    """
    warehouse = await get_warehouse(call, code)
    require_own(call, warehouse)
    await call.connection.execute(SQL["delete_opening_hours"], warehouse)


async def put_day(call: Call, code: str, day: date, body: OpeningDay) -> dict[str, Any]:
    """Say what holds on one day instead of its weekday's hours and the calendar's holidays.

    Raises:
        Problem: 403, 404.
    """
    warehouse = await get_warehouse(call, code)
    require_own(call, warehouse)
    spans = join_spans(opening.span for opening in body.hours)
    values = {"warehouse_id": warehouse["warehouse_id"], "day": day, "name": body.name, "spans": Jsonb(spans)}
    await call.connection.execute(SQL["put_own_day"], values)
    return {"day": day, "name": body.name, "hours": openings_of(spans)}


async def delete_day(call: Call, code: str, day: date) -> None:
    """Let a day be like its weekday again.

    Raises:
        Problem: 403, 404.
    """
    warehouse = await get_warehouse(call, code)
    require_own(call, warehouse)
    if await row(call, "delete_own_day", {"warehouse_id": warehouse["warehouse_id"], "day": day}) is None:
        raise Problem.not_found("opening day", day)
