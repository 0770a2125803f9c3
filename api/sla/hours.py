"""Business time: when a house is open, and what is left of a target then.

An instant is open when the wall clock of the calendar's time zone shows an open time: what a changed clock skips does
not exist, what it shows twice counts twice. Business time is therefore time that really passes, in open instants only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo

# Open from a minute of the day to another, 0 to 1440, the second not included; in order, none touching another.
Spans = tuple[tuple[int, int], ...]
# From an instant to a later one, the second not included.
Stretch = tuple[datetime, datetime]

DAY = timedelta(days=1)
MINUTES_OF_DAY = 1440
# A target that is not reached in so many days is never due: there is next to no open hour.
FARTHEST_DAYS = 40 * 366
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Calendar:
    """When a house is open.

    Attributes:
        zone: Whose wall clock counts.
        week: Open spans of Monday to Sunday.
        days: Open spans of days that are not like their weekday; none on a holiday.
    """

    zone: tzinfo
    week: tuple[Spans, ...]
    days: Mapping[date, Spans] = field(default_factory=dict)

    def spans_of(self, day: date) -> Spans:
        """Open spans of a day of the wall clock."""
        spans = self.days.get(day)
        return self.week[day.weekday()] if spans is None else spans


def join_spans(spans: Iterable[tuple[int, int]]) -> Spans:
    """The same open minutes in order, with no overlap and no empty span."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return tuple(joined)


def open_stretches(calendar: Calendar, start: datetime) -> Iterator[Stretch]:
    """The open stretches from an instant on, in order; ends after `FARTHEST_DAYS`."""
    for begin, end, offset in _steady(calendar.zone, start):
        # While the offset holds, the wall clock is simply later by it.
        shown_begin, shown_end = (time.replace(tzinfo=None) + offset for time in (begin, end))
        day = shown_begin.date()
        while True:
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - of the wall clock, while the offset holds
            if midnight >= shown_end:
                break
            for opens, closes in calendar.spans_of(day):
                first = max(midnight + timedelta(minutes=opens), shown_begin)
                last = min(midnight + timedelta(minutes=closes), shown_end)
                if first < last:
                    yield (first - offset).replace(tzinfo=UTC), (last - offset).replace(tzinfo=UTC)
            day += DAY


def _steady(zone: tzinfo, start: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Days of 24 hours from an instant on, cut where the zone's offset changes, each with its offset."""
    begin = start.astimezone(UTC)
    offset = _offset(zone, begin)
    for _ in range(FARTHEST_DAYS):
        end = begin + DAY
        next_offset = _offset(zone, end)
        if offset == next_offset:
            yield begin, end, offset
        else:
            change = _change(zone, begin, end, offset)
            yield begin, change, offset
            yield change, end, next_offset
        begin, offset = end, next_offset


def _offset(zone: tzinfo, time: datetime) -> timedelta:
    return time.astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, before: datetime, after: datetime, offset: timedelta) -> datetime:
    """The first instant of the new offset, by halving."""
    while after - before > _TICK:
        middle = before + (after - before) // 2
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def without(stretch: Stretch, pauses: Sequence[Stretch]) -> Iterator[Stretch]:
    """What is left of a stretch when pauses, which are in order and apart, are taken out."""
    begin, end = stretch
    for pause_begin, pause_end in pauses:
        if pause_end <= begin:
            continue
        if pause_begin >= end:
            break
        if begin < pause_begin:
            yield begin, pause_begin
        begin = max(begin, pause_end)
    if begin < end:
        yield begin, end


def due(start: datetime, minutes: float, calendar: Calendar, pauses: Sequence[Stretch] = ()) -> datetime | None:
    """When so much business time has passed.

    Args:
        start: From when on it counts.
        minutes: Business minutes, 0 or more.
        calendar: When the house is open.
        pauses: Stretches that do not count, in order and apart.

    Returns:
        The first instant, in UTC, at which the time has passed: `start` itself for 0 minutes, closing time rather than
        the next opening. None when it does not pass within `FARTHEST_DAYS`.
    """
    return dues(start, [minutes], calendar, pauses)[0]


def dues(
    start: datetime, minutes: Sequence[float], calendar: Calendar, pauses: Sequence[Stretch] = ()
) -> list[datetime | None]:
    """Like `due`, for several targets in one walk."""
    found: list[datetime | None] = [None] * len(minutes)
    waiting = sorted(((timedelta(minutes=target), index) for index, target in enumerate(minutes)), reverse=True)
    while waiting and waiting[-1][0] <= timedelta():
        found[waiting.pop()[1]] = start.astimezone(UTC)
    if not waiting:
        return found
    gone = timedelta()
    try:
        for stretch in open_stretches(calendar, start):
            for begin, end in without(stretch, pauses) if pauses else (stretch,):
                span = end - begin
                while waiting and waiting[-1][0] <= gone + span:
                    target, index = waiting.pop()
                    found[index] = begin + (target - gone)
                if not waiting:
                    return found
                gone += span
    except OverflowError:
        # The year 9999 ends before.
        return found
    return found


def passed(start: datetime, until: datetime, calendar: Calendar, pauses: Sequence[Stretch] = ()) -> timedelta:
    """How much business time passes between two instants, pauses left out."""
    total = timedelta()
    if until <= start:
        return total
    for stretch in open_stretches(calendar, start):
        if stretch[0] >= until:
            break
        total += sum((min(end, until) - begin for begin, end in without(stretch, pauses) if begin < until), timedelta())
    return total


ALWAYS_OPEN = Calendar(UTC, (((0, MINUTES_OF_DAY),),) * 7)
