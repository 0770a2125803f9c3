"""What is done with business calendars."""

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from zoneinfo import ZoneInfo, available_timezones

import holidays
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.sla import service
from api.sla.hours import Spans, due, join_spans
from api.sla.models import (
    WEEKDAYS,
    CalendarChange,
    HolidayRefresh,
    NewCalendar,
    OwnDay,
    WeekdayOpening,
    openings_of,
)
from careloop.database.queries import load_queries

SQL = load_queries("api.sla")

LIBRARY = "holidays"
# Public holidays are taken for the year of the call and so many more.
YEARS_AHEAD = 2
LANGUAGE = "en_US"


async def create_calendar(call: Call, body: NewCalendar) -> DictRow:
    """Add a calendar, with the public holidays of its country from the call's year on.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown time zone, country or subdivision.
    """
    if body.time_zone not in available_timezones():
        raise Problem.bad_field("body.time_zone", f"{body.time_zone} is not an IANA time zone, e.g. Asia/Shanghai")
    _require_country(body.country, body.subdivision)
    values = {**body.model_dump(exclude={"hours"}), "week": Jsonb(_week_of(body.hours)), "now": call.now}
    row = await (await call.connection.execute(SQL["insert_calendar"], values)).fetchone()
    if row is None:
        raise Problem.conflict("code-taken", f"there is a calendar {body.code} already")
    calendar = await get_calendar(call, body.code)
    if body.country is not None:
        year = call.now.astimezone(ZoneInfo(body.time_zone)).year
        await _take_holidays(call, calendar, date(year, 1, 1), year + YEARS_AHEAD)
    return await get_calendar(call, body.code)


def _require_country(country: str | None, subdivision: str | None) -> None:
    if country is None:
        return
    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known:
        raise Problem.bad_field("body.country", f"no public holidays are known of {country}")
    if subdivision is not None and subdivision not in known[country]:
        some = ", ".join(known[country][:20]) or "none"
        raise Problem.bad_field("body.subdivision", f"{country} has no {subdivision}; it has: {some}")


def _week_of(hours: Sequence[WeekdayOpening]) -> list[Spans]:
    """Open spans of Monday to Sunday."""
    week: list[list[tuple[int, int]]] = [[] for _ in WEEKDAYS]
    for opening in hours:
        for day, span in opening.spans:
            week[day].append(span)
    return [join_spans(spans) for spans in week]


async def get_calendar(call: Call, code: str) -> DictRow:
    """One calendar as it is shown.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_calendar"], {"code": code})).fetchone()
    if row is None:
        raise Problem.not_found("calendar", code)
    return shown(row)


def shown(row: DictRow) -> DictRow:
    """A calendar with its hours as they are shown."""
    hours = [
        {"weekday": weekday, **opening}
        for weekday, spans in zip(WEEKDAYS, row["week"], strict=True)
        for opening in openings_of(service.spans_of(spans))
    ]
    return {**row, "hours": hours}


async def change_calendar(call: Call, code: str, change: CalendarChange, seen_version: int) -> DictRow:
    """Change a calendar that is still at the version seen; clocks that run are reckoned anew by it within seconds.

    Raises:
        Problem: 404, 412 when it changed meanwhile.
    """
    row = await _lock(call, code)
    if row["version"] != seen_version:
        raise changed_meanwhile("calendar", seen_version)
    given = change.model_fields_set
    values = {
        "calendar_id": row["calendar_id"],
        "name": change.name if "name" in given else row["name"],
        "week": Jsonb(_week_of(change.hours) if "hours" in given else row["week"]),
    }
    await call.connection.execute(SQL["change_calendar"], values)
    return await get_calendar(call, code)


async def _lock(call: Call, code: str) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_calendar"], {"code": code})).fetchone()
    if row is None:
        raise Problem.not_found("calendar", code)
    return row


# Days that are not like their weekday ------------------------------------------------------------


async def refresh_holidays(call: Call, code: str, wish: HolidayRefresh) -> DictRow:
    """Take the public holidays of some years from the library anew; what is past stays as it was.

    Returns:
        How many days were `added` and `removed`, and the `calendar`.

    Raises:
        Problem: 404; 409 when the calendar has no country.
    """
    row = await _lock(call, code)
    if row["country"] is None:
        raise Problem.conflict("no-country", f"the calendar {code} follows no country's public holidays")
    today = call.now.astimezone(ZoneInfo(row["time_zone"])).date()
    first = max(date(wish.first_year, 1, 1), today)
    added, removed = await _take_holidays(call, row, first, wish.last_year)
    calendar = await get_calendar(call, code)
    return {"added": added, "removed": removed, "holidays_version": version(LIBRARY), "calendar": calendar}


async def _take_holidays(call: Call, calendar: DictRow, first: date, last_year: int) -> tuple[int, int]:
    """Keep the library's days from one day to the end of a year in the place of those kept before."""
    last = date(last_year, 12, 31)
    key = {"calendar_id": calendar["calendar_id"], "first": first, "last": last}
    rows = await (await call.connection.execute(SQL["list_days"], key)).fetchall()
    before = {(row["day"], row["name"]) for row in rows if row["source"] == "library"}
    week = [service.spans_of(spans) for spans in calendar["week"]]
    days = {
        day: (name, spans)
        for day, (name, spans) in library_days(
            calendar["country"], calendar["subdivision"], range(first.year, last_year + 1), week
        ).items()
        if first <= day <= last
    }
    await call.connection.execute(SQL["delete_library_days"], key)
    values = {
        "calendar_id": calendar["calendar_id"],
        "days": list(days),
        "names": [name for name, _ in days.values()],
        "spans": [Jsonb(spans) for _, spans in days.values()],
    }
    await call.connection.execute(SQL["insert_library_days"], values)
    kept = {"calendar_id": calendar["calendar_id"], "holidays_version": version(LIBRARY), "holidays_until": last_year}
    await call.connection.execute(SQL["touch_calendar"], kept)
    now = {(day, name) for day, (name, _) in days.items()}
    return len(now - before), len(before - now)


def library_days(
    country: str, subdivision: str | None, years: Sequence[int], week: Sequence[Spans]
) -> Mapping[date, tuple[str, Spans]]:
    """Public holidays, and weekend days that are worked in exchange (China's make-up days), as the library knows them.

    Args:
        country: ISO 3166.
        subdivision: Of the country, or None.
        years: Which years.
        week: Open spans of Monday to Sunday; a make-up day is open like the first weekday that is open at all.

    Returns:
        By day, in order: its name and its open spans, none when it is closed.
    """
    known = holidays.country_holidays(country, subdiv=subdivision, years=years, expand=False, language=LANGUAGE)
    worked = next((spans for spans in week if spans), ())
    days: dict[date, tuple[str, Spans]] = {day: (name[:128], ()) for day, name in known.items()}
    for day in getattr(known, "weekend_workdays", ()):
        if day.year in years:
            days[day] = ("Make-up working day", worked)
    return dict(sorted(days.items()))


async def list_days(call: Call, code: str, year: int) -> list[DictRow]:
    """Days of a year that are not like their weekday, as they are shown.

    Raises:
        Problem: 404.
    """
    calendar = await get_calendar(call, code)
    key = {"calendar_id": calendar["calendar_id"], "first": date(year, 1, 1), "last": date(year, 12, 31)}
    rows = await (await call.connection.execute(SQL["list_days"], key)).fetchall()
    return [{**row, "hours": openings_of(service.spans_of(row["spans"]))} for row in rows]


async def put_day(call: Call, code: str, day: date, body: OwnDay) -> DictRow:
    """Say what holds on a day instead of its weekday's hours or of the library's holiday.

    Raises:
        Problem: 404; 409 for a day that is past: what was due then stays so.
    """
    row = await _lock(call, code)
    _require_to_come(call, row, day)
    spans = join_spans(opening.span for opening in body.hours)
    values = {"calendar_id": row["calendar_id"], "day": day, "name": body.name, "spans": Jsonb(spans)}
    await call.connection.execute(SQL["put_own_day"], values)
    await _touch(call, row)
    return {"day": day, "name": body.name, "source": "own", "hours": openings_of(spans)}


async def remove_day(call: Call, code: str, day: date) -> None:
    """Let a day be like its weekday or like the library's again.

    Raises:
        Problem: 404; 409 for a day that is past.
    """
    row = await _lock(call, code)
    _require_to_come(call, row, day)
    key = {"calendar_id": row["calendar_id"], "day": day}
    if await (await call.connection.execute(SQL["delete_own_day"], key)).fetchone() is None:
        raise Problem.not_found("own day", day)
    await _touch(call, row)


def _require_to_come(call: Call, calendar: DictRow, day: date) -> None:
    if day < call.now.astimezone(ZoneInfo(calendar["time_zone"])).date():
        raise Problem.conflict("day-past", f"{day} is past; what was due then stays so")


async def _touch(call: Call, calendar: DictRow) -> None:
    values = {"calendar_id": calendar["calendar_id"], "holidays_version": None, "holidays_until": None}
    await call.connection.execute(SQL["touch_calendar"], values)


async def due_in(call: Call, code: str, minutes: int) -> DictRow:
    """When so much business time from the call's time on will have passed.

    Raises:
        Problem: 404.
    """
    calendar = await get_calendar(call, code)
    book = await service.current_book(call)
    return {"due_at": due(call.now, minutes, book.houses[calendar["calendar_id"]].calendar)}


async def run_due(call: Call) -> int:
    """Take the public holidays of years to come for calendars that run out of them."""
    rows = await (await call.connection.execute(SQL["calendars_running_out"], {"year": call.now.year + 1})).fetchall()
    for row in rows:
        calendar = await _lock(call, row["code"])
        first = date(calendar["holidays_until"] + 1, 1, 1)
        await _take_holidays(call, calendar, first, min(call.now.year + YEARS_AHEAD, first.year + 10))
    return len(rows)
