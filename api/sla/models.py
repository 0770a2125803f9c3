"""Bodies and answers of calendars, policies and clocks."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Id, Name
from api.sla.hours import MINUTES_OF_DAY, Spans
from api.sla.rules import ClockKind, ClockState

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

ClockTime = Annotated[str, Field(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", examples=["08:30"])]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", examples=["de-by-office"])]
Country = Annotated[str, Field(pattern="^[A-Z]{2,4}$", description="ISO 3166, e.g. CN")]
Subdivision = Annotated[str, Field(pattern="^[A-Za-z0-9 _-]{1,32}$", description="of the country, e.g. BY of DE")]
# A target of ten years of business time would be no promise.
Minutes = Annotated[int, Field(ge=1, le=200_000, description="business minutes")]
# Less would make a target never pass.
FEWEST_MINUTES_OF_WEEK = 60


def minute_of(time: str) -> int:
    """Minutes since midnight of `HH:MM`."""
    hours, _, minutes = time.partition(":")
    return int(hours) * 60 + int(minutes)


def time_of(minute: int) -> str:
    """`HH:MM` of minutes since midnight."""
    return f"{minute // 60:02}:{minute % 60:02}"


class Opening(Body):
    """Open from one time of the day to another; 00:00 to 24:00 is all day."""

    opens: ClockTime
    closes: ClockTime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if minute_of(self.closes) <= minute_of(self.opens):
            raise ValueError("closes must be after opens; give a shift over midnight as two openings")
        return self

    @property
    def span(self) -> tuple[int, int]:
        """In minutes of the day."""
        return minute_of(self.opens), minute_of(self.closes)


class WeekdayOpening(Body):
    """Open on a weekday from one time to another, or into the next day: 22:00 to 06:00."""

    weekday: Weekday
    opens: ClockTime
    closes: ClockTime

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.opens in {self.closes, "24:00"}:
            raise ValueError("must be open for some time; 00:00 to 24:00 is all day")
        return self

    @property
    def spans(self) -> list[tuple[int, tuple[int, int]]]:
        """As (weekday from 0, span); two where it goes over midnight."""
        day, opens, closes = WEEKDAYS.index(self.weekday), minute_of(self.opens), minute_of(self.closes)
        if opens < closes:
            return [(day, (opens, closes))]
        return [(day, (opens, MINUTES_OF_DAY)), ((day + 1) % 7, (0, closes))]


def openings_of(spans: Spans) -> list[dict[str, str]]:
    """Spans as they are shown."""
    return [{"opens": time_of(opens), "closes": time_of(closes)} for opens, closes in spans]


def _open_enough(hours: list[WeekdayOpening]) -> list[WeekdayOpening]:
    minutes = sum(closes - opens for opening in hours for _, (opens, closes) in opening.spans)
    if minutes < FEWEST_MINUTES_OF_WEEK:
        raise ValueError(f"must be open for {FEWEST_MINUTES_OF_WEEK} minutes a week at least")
    return hours


Hours = Annotated[list[WeekdayOpening], Field(min_length=1, max_length=70), AfterValidator(_open_enough)]


class NewCalendar(Body):
    """When a house is open."""

    code: Code
    name: Name
    time_zone: Name = Field("UTC", description="IANA name, e.g. Europe/Berlin")
    hours: Hours
    country: Country | None = Field(None, description="whose public holidays it is closed on; none if left out")
    subdivision: Subdivision | None = None

    @model_validator(mode="after")
    def _of_a_country(self) -> Self:
        if self.subdivision is not None and self.country is None:
            raise ValueError("a subdivision is of a country; give both")
        return self


class CalendarChange(Body):
    """What of a calendar may change; hours count for clocks that run, from their start on."""

    name: Name = ""
    hours: Hours = Field(default=[])


class ShownOpening(Answer):
    """Open from one time of the day to another."""

    opens: str
    closes: str


class ShownWeekdayOpening(ShownOpening):
    """Open on a weekday."""

    weekday: Weekday


class CalendarDay(Answer):
    """A day that is not like its weekday."""

    day: date
    name: str
    source: Literal["library", "own"] = Field(description="own ones hold against the library's")
    hours: list[ShownOpening] = Field(description="none: closed")


class CalendarDays(Answer):
    """Days that are not like their weekday."""

    items: list[CalendarDay]


class BusinessCalendar(Answer):
    """When a house is open."""

    calendar_id: int
    code: str
    name: str
    time_zone: str
    hours: list[ShownWeekdayOpening]
    country: str | None
    subdivision: str | None
    holidays_until: int | None = Field(description="the last year whose public holidays are kept")
    holidays_version: str | None = Field(description="release of the library they were taken from")
    version: int


class OwnDay(Body):
    """What holds on a day instead of its weekday's hours."""

    name: Name = Field(description="why, e.g. stocktaking")
    hours: list[Opening] = Field([], max_length=20, description="none: closed")


class HolidayRefresh(Body):
    """Which years to take from the library anew; days before the call's stay as they are."""

    first_year: Annotated[int, Field(ge=2000, le=2100)]
    last_year: Annotated[int, Field(ge=2000, le=2100)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= self.last_year - self.first_year <= 10:
            raise ValueError("last_year must be first_year or up to ten years later")
        return self


class RefreshedHolidays(Answer):
    """What became of it."""

    added: int
    removed: int
    holidays_version: str
    calendar: BusinessCalendar


class DueTime(Answer):
    """When so much business time will have passed."""

    due_at: datetime | None = Field(description="null: not within 40 years")


Words = Annotated[list[Name], Field(min_length=1, max_length=50)]


class PolicyChange(Body):
    """What of a policy may change; fields left out stay."""

    name: Name = ""
    place: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    active: bool = True
    calendar: Code = ""
    kinds: Words | None = None
    priorities: Words | None = None
    queues: Words | None = None
    customer_kinds: Words | None = None
    customer_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)] | None = None
    first_response_minutes: Minutes | None = None
    appointment_minutes: Minutes | None = None
    solution_minutes: Minutes | None = None
    warn_percent: Annotated[int, Field(ge=1, le=100)] = 80


class NewPolicy(PolicyChange):
    """What is promised for some cases; of all policies the first, by place, that fits a case holds."""

    name: Name
    calendar: Code = Field(description="in whose business time")

    @model_validator(mode="after")
    def _promises(self) -> Self:
        if self.first_response_minutes is None and self.appointment_minutes is None and self.solution_minutes is None:
            raise ValueError("must promise a first response, an appointment or a solution")
        return self


class SlaPolicy(Answer):
    """What is promised for some cases."""

    policy_id: int
    name: str
    place: int
    active: bool
    calendar: str
    kinds: list[str] | None
    priorities: list[str] | None
    queues: list[str] | None
    customer_kinds: list[str] | None
    customer_ids: list[int] | None
    first_response_minutes: int | None
    appointment_minutes: int | None
    solution_minutes: int | None
    warn_percent: int
    version: int


class Pause(Answer):
    """A stretch that did not count."""

    since: datetime
    until: datetime


class TicketClock(Answer):
    """What is timed of a case."""

    kind: ClockKind
    state: ClockState
    policy: str | None
    calendar: str
    target_minutes: int
    started_at: datetime
    due_at: datetime | None = Field(description="null while it is paused with time left")
    warned_at: datetime | None
    stopped_at: datetime | None
    paused_since: datetime | None
    pauses: list[Pause]
    breached: bool


class TicketClocks(Answer):
    """The clocks of a case."""

    items: list[TicketClock]


class DueTicket(Answer):
    """A case with what is due."""

    ticket_id: int
    kind: ClockKind = Field(description="which of its clocks")
    due_at: datetime
    overdue: bool
    warned_at: datetime | None
    title: str
    priority: str
    state: str
    queue: str | None
    owner_user_id: int | None


_MARK = re.compile(r"(-?\d{1,20})_(\d{1,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def mark_of(due_at: datetime, clock_id: int) -> str:
    """Where a page of what is due ends."""
    return f"{(due_at - _EPOCH) // timedelta(microseconds=1)}_{clock_id}"


def read_mark(mark: str) -> tuple[datetime, int] | None:
    """The time and the number of a clock; None when it is no such mark."""
    match = _MARK.fullmatch(mark)
    if match is None or int(match[2]) >= 2**63:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
    except OverflowError:
        return None
