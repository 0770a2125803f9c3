"""When plans fall due."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.plans import (
    CalendarTrigger,
    MeterTrigger,
    calendar_due_at,
    calendar_occurrence,
    meter_occurrence,
    newly_due,
    parse_trigger,
)

INSTALLED = datetime(2015, 1, 1, tzinfo=UTC)
MONTHLY = CalendarTrigger(timedelta(days=30))


@pytest.mark.parametrize(
    ("after", "occurrence"),
    [
        (timedelta(days=-5), 0),
        (timedelta(0), 0),
        (timedelta(days=30) - timedelta(microseconds=1), 0),
        (timedelta(days=30), 1),
        (timedelta(days=59), 1),
        (timedelta(days=1201), 40),
    ],
)
def test_calendar_counts_whole_intervals_since_installation(after: timedelta, occurrence: int) -> None:
    assert calendar_occurrence(MONTHLY, INSTALLED, INSTALLED + after) == occurrence


@given(days=st.integers(1, 4000), elapsed=st.timedeltas(timedelta(0), timedelta(days=40_000)))
def test_a_calendar_occurrence_is_reached_exactly_when_it_falls_due(days: int, elapsed: timedelta) -> None:
    trigger = CalendarTrigger(timedelta(days=days))
    now = INSTALLED + elapsed
    reached = calendar_occurrence(trigger, INSTALLED, now)
    assert calendar_due_at(trigger, INSTALLED, reached) <= now < calendar_due_at(trigger, INSTALLED, reached + 1)


@pytest.mark.parametrize(
    ("every", "meter", "occurrence"),
    [
        (250.0, 0.0, 0),
        (250.0, 249.999, 0),
        (250.0, 250.0, 1),
        (250.0, 1001.0, 4),
        (0.1, 0.3, 3),
        (250.0, -900.0, 0),
        (250.0, math.nan, 0),
        (250.0, math.inf, 0),
        (1e-9, 1e300, 2**31 - 1),
    ],
)
def test_meter_counts_how_often_the_interval_was_passed(every: float, meter: float, occurrence: int) -> None:
    assert meter_occurrence(MeterTrigger("running_hours", every), meter) == occurrence


@given(every=st.floats(0.001, 1e6), times=st.integers(1, 100_000))
def test_a_meter_that_stands_exactly_on_a_multiple_has_passed_it(every: float, times: int) -> None:
    assert meter_occurrence(MeterTrigger("running_hours", every), every * times) == times


def test_missed_occurrences_coalesce_to_the_latest() -> None:
    assert newly_due(40, 0) == 40
    assert newly_due(40, 39) == 40
    assert newly_due(40, 40) is None
    assert newly_due(0, 0) is None


def test_an_exchanged_meter_makes_nothing_due() -> None:
    assert newly_due(1, 7) is None


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ({}, "trigger.kind"),
        ({"kind": "moon"}, "trigger.kind"),
        ({"kind": "calendar"}, "trigger.every_days"),
        ({"kind": "calendar", "every_days": 0}, "trigger.every_days"),
        ({"kind": "calendar", "every_days": True}, "trigger.every_days"),
        ({"kind": "calendar", "every_days": 10**10}, "trigger.every_days"),
        ({"kind": "meter", "every": 250}, "trigger.metric"),
        ({"kind": "meter", "metric": "", "every": 250}, "trigger.metric"),
        ({"kind": "meter", "metric": "running_hours", "every": -1}, "trigger.every"),
        ({"kind": "meter", "metric": "running_hours", "every": math.inf}, "trigger.every"),
        ({"kind": "meter", "metric": "running_hours", "every": "250"}, "trigger.every"),
    ],
)
def test_an_impossible_trigger_is_refused_naming_the_field(trigger: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace(".", r"\.") + r"\b"):
        parse_trigger(trigger)


def test_triggers_are_read_as_the_api_gives_them() -> None:
    assert parse_trigger({"kind": "calendar", "every_days": 30}) == MONTHLY
    assert parse_trigger({"kind": "meter", "metric": "running_hours", "every": 250}) == MeterTrigger(
        "running_hours", 250
    )
