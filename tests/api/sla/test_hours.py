"""Business time: equal to counting minutes one by one, whatever the clocks of the world do."""

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.sla.hours import ALWAYS_OPEN, Calendar, due, join_spans, passed

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = ((480, 1020),)
WEEK = (OFFICE,) * 5 + ((), ())
# Change their clocks at 2:00, at midnight, by half an hour, never; skip a whole day.
ZONES = ["Europe/Berlin", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Shanghai", "America/New_York", "Pacific/Apia"]
# Around changes of these zones, and around a leap day.
STARTS = [
    datetime(2024, 2, 28, 20, tzinfo=UTC),
    datetime(2026, 3, 28, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC),
    datetime(2026, 4, 4, 8, tzinfo=UTC),
    datetime(2011, 12, 29, 12, tzinfo=UTC),
    datetime(2026, 11, 1, 2, tzinfo=UTC),
]

minutes_of_day = st.integers(0, 96).map(lambda quarter: quarter * 15)
spans = st.lists(st.tuples(minutes_of_day, minutes_of_day), max_size=3).map(join_spans)
starts = st.builds(lambda base, minutes: base + minutes * MINUTE, st.sampled_from(STARTS), st.integers(0, 2000))


@st.composite
def calendars(draw) -> Calendar:
    week = tuple(draw(st.lists(spans, min_size=7, max_size=7)))
    days = draw(
        st.dictionaries(st.sampled_from([start.date() + timedelta(days=1) for start in STARTS]), spans, max_size=2)
    )
    return Calendar(ZoneInfo(draw(st.sampled_from(ZONES))), week, days)


@st.composite
def pauses_from(draw, start: datetime) -> list[tuple[datetime, datetime]]:
    edges = sorted(draw(st.sets(st.integers(-300, 3000), max_size=4)))
    return [(start + a * MINUTE, start + b * MINUTE) for a, b in zip(edges[::2], edges[1::2], strict=False)]


def is_open(calendar: Calendar, minute: datetime) -> bool:
    shown = minute.astimezone(calendar.zone)
    of_day = shown.hour * 60 + shown.minute
    return any(opens <= of_day < closes for opens, closes in calendar.spans_of(shown.date()))


def counted(start: datetime, minutes: int, calendar: Calendar, pauses, *, within: int = 4 * 1440) -> datetime | None:
    """Due, by looking at each minute; None when it is not within so many."""
    now, left = start, minutes
    while left > 0:
        if now - start >= within * MINUTE:
            return None
        if is_open(calendar, now) and not any(begin <= now < end for begin, end in pauses):
            left -= 1
        now += MINUTE
    return now


@given(st.data(), calendars(), starts, st.integers(0, 400))
def test_it_is_what_counting_minutes_gives(data, calendar, start, minutes) -> None:
    pauses = data.draw(pauses_from(start))
    expected = counted(start, minutes, calendar, pauses)
    if expected is not None:
        assert due(start, minutes, calendar, pauses) == expected
        assert passed(start, expected, calendar, pauses) == minutes * MINUTE


@given(calendars(), starts, st.integers(1, 3000), st.integers(0, 500), st.floats(0, 5000, allow_nan=False))
def test_more_time_or_a_later_start_is_never_due_earlier(calendar, start, minutes, more, later) -> None:
    if not any(calendar.week):
        return
    ends = due(start, minutes, calendar)
    assert ends is not None
    assert ends >= start
    assert due(start, minutes + more, calendar) >= ends
    assert due(start + timedelta(minutes=later), minutes, calendar) >= ends


@given(st.data(), starts, st.integers(1, 3000))
def test_a_pause_delays_by_the_business_time_in_it_at_most(data, start, minutes) -> None:
    pauses = data.draw(pauses_from(start))
    paused = sum((max(end, start) - max(begin, start) for begin, end in pauses), timedelta())
    plain = due(start, minutes, ALWAYS_OPEN)
    assert plain == start + minutes * MINUTE
    assert plain <= due(start, minutes, ALWAYS_OPEN, pauses) <= plain + paused


@pytest.mark.parametrize(
    ("start", "minutes", "expected"),
    [
        # Within the day; over night; over the weekend; closing time itself; nothing to wait for.
        ("2026-07-01 09:00", 60, "2026-07-01 10:00"),
        ("2026-07-01 16:30", 60, "2026-07-02 08:30"),
        ("2026-07-03 16:30", 60, "2026-07-06 08:30"),
        ("2026-07-04 12:00", 540, "2026-07-06 17:00"),
        ("2026-07-04 12:00", 0, "2026-07-04 12:00"),
        # Three years of business time.
        ("2026-07-01 08:00", 540 * 5 * 156, "2029-06-26 17:00"),
    ],
)
def test_office_hours(start: str, minutes: int, expected: str) -> None:
    begins, ends = (datetime.fromisoformat(time).replace(tzinfo=BERLIN) for time in (start, expected))
    assert due(begins, minutes, Calendar(BERLIN, WEEK)) == ends


def test_a_clock_that_is_changed() -> None:
    always = Calendar(BERLIN, (((0, 1440),),) * 7)
    noon = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert due(noon, 1440, always).astimezone(BERLIN).hour == 13
    # 2:15 to 2:45 does not exist on one Sunday, and comes twice on another.
    night = Calendar(BERLIN, (((135, 165),),) * 7)
    assert passed(datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 3, 30, tzinfo=BERLIN), night) == timedelta(0)
    assert passed(datetime(2026, 10, 25, tzinfo=BERLIN), datetime(2026, 10, 26, tzinfo=BERLIN), night) == 60 * MINUTE


def test_holidays_worked_weekends_and_leap_days() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    days = {date(2026, 2, day): () for day in range(16, 24)} | {date(2026, 2, 14): OFFICE, date(2026, 2, 28): OFFICE}
    calendar = Calendar(shanghai, WEEK, days)
    friday = datetime(2026, 2, 13, 16, tzinfo=shanghai)
    assert due(friday, 120, calendar) == datetime(2026, 2, 14, 9, tzinfo=shanghai)
    assert due(friday, 60 + 540 + 60, calendar) == datetime(2026, 2, 24, 9, tzinfo=shanghai)
    leap = Calendar(UTC, (((0, 1440),),) * 7)
    assert due(datetime(2024, 2, 28, 12, tzinfo=UTC), 1440, leap) == datetime(2024, 2, 29, 12, tzinfo=UTC)


def test_what_never_comes_is_never_due() -> None:
    assert due(datetime(2026, 1, 1, tzinfo=UTC), 1, Calendar(UTC, ((),) * 7)) is None
    assert due(datetime(9999, 12, 31, tzinfo=UTC), 99999, ALWAYS_OPEN) is None


def test_a_usual_target_is_reckoned_in_no_time() -> None:
    """It is on the way of each new case: some tens of microseconds."""
    import time

    calendar = Calendar(BERLIN, WEEK)
    rolled = random.Random(7)
    begins = [datetime(2026, 1, 1, tzinfo=UTC) + rolled.randrange(500_000) * MINUTE for _ in range(200)]
    started = time.process_time()
    for begin in begins:
        due(begin, 2400, calendar)
    # Of this process alone, however busy the machine is.
    assert (time.process_time() - started) / len(begins) < 0.002
