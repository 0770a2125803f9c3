"""Who does a job, and when."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careloop.client import Technician
from scheduler.assignment import (
    Appointment,
    Diary,
    Work,
    WorkingRules,
    earliest_appointment,
    urgency,
    why_nobody,
)

RULES = WorkingRules()
MONDAY = datetime(2015, 6, 1, tzinfo=UTC)


def at(hour: int, minute: int = 0, *, day: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def technician(number: int, **changed: object) -> Technician:
    whole = {
        "technician_id": number,
        "name": f"T{number}",
        "provider": "",
        "skills": ["pump"],
        "territories": ["north"],
        "daily_capacity_minutes": 480,
        "active": True,
        "version": 1,
    }
    return whole | changed  # type: ignore[return-value]


def work(not_before: datetime = MONDAY, minutes: int = 60, **changed: object) -> Work:
    whole = {"skill": "pump", "territory": "north", "duration": timedelta(minutes=minutes), "zone": UTC}
    return Work(**(whole | {"not_before": not_before} | changed))


def busy(number: int, *spans: tuple[datetime, datetime]) -> Diary:
    diary = Diary()
    for starts_at, ends_at in spans:
        diary.book(Appointment(number, starts_at, ends_at))
    return diary


def test_the_first_slot_is_the_opening_of_the_same_day() -> None:
    assert earliest_appointment(work(at(3)), [technician(1)], Diary(), RULES) == Appointment(1, at(8), at(9))


def test_within_working_hours_it_starts_on_the_next_whole_slot() -> None:
    found = earliest_appointment(work(at(10, 1)), [technician(1)], Diary(), RULES)
    assert found == Appointment(1, at(10, 15), at(11, 15))


def test_what_does_not_fit_before_closing_goes_to_the_next_day() -> None:
    assert earliest_appointment(work(at(16)), [technician(1)], Diary(), RULES) == Appointment(1, at(16), at(17))
    found = earliest_appointment(work(at(16, 1)), [technician(1)], Diary(), RULES)
    assert found == Appointment(1, at(8, day=1), at(9, day=1))


def test_it_waits_for_the_parts() -> None:
    there = at(11, day=3)
    assert earliest_appointment(work(there), [technician(1)], Diary(), RULES).starts_at == there


def test_a_promised_visit_is_gone_around() -> None:
    diary = busy(1, (at(8), at(9)), (at(9, 30), at(11, 10)))
    assert earliest_appointment(work(), [technician(1)], diary, RULES) == Appointment(1, at(11, 15), at(12, 15))
    assert earliest_appointment(work(minutes=30), [technician(1)], diary, RULES).starts_at == at(9)


def test_daily_capacity_is_kept() -> None:
    small = technician(1, daily_capacity_minutes=120)
    diary = busy(1, (at(8), at(9, 30)))
    assert earliest_appointment(work(), [small], diary, RULES) == Appointment(1, at(8, day=1), at(9, day=1))


def test_of_equally_early_technicians_the_least_booked_then_the_lowest_number_goes() -> None:
    assert earliest_appointment(work(), [technician(2), technician(1)], Diary(), RULES).technician_id == 1
    booked = busy(1, (at(15), at(16)))
    assert earliest_appointment(work(), [technician(1), technician(2)], booked, RULES).technician_id == 2


@pytest.mark.parametrize("changed", [{"skills": ["tub"]}, {"territories": ["south"]}, {"active": False}])
def test_only_fit_technicians_are_sent(changed: dict) -> None:
    assert earliest_appointment(work(), [technician(1, **changed)], Diary(), RULES) is None


def test_working_hours_are_those_of_the_site() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert earliest_appointment(work(zone=berlin), [technician(1)], Diary(), RULES).starts_at == at(6)
    # 2015-10-25: the clocks went back in the night.
    autumn = datetime(2015, 10, 25, tzinfo=UTC)
    assert earliest_appointment(
        work(autumn, zone=berlin), [technician(1)], Diary(), RULES
    ).starts_at == autumn + timedelta(hours=7)


def test_the_horizon_ends_the_search() -> None:
    rules = WorkingRules(horizon_days=2)
    diary = busy(1, (at(0), at(0, day=2)))
    assert earliest_appointment(work(), [technician(1)], diary, rules) is None
    assert "are booked for 2 days (1 of them, from 2015-06-01 on)" in why_nobody(work(), [technician(1)], rules)


@pytest.mark.parametrize(
    ("technicians", "minutes", "reason"),
    [
        ([], 60, "no active technician is registered"),
        ([technician(1, active=False)], 60, "no active technician is registered"),
        ([technician(1, skills=["tub"])], 60, "no active technician has the skill 'pump'"),
        ([technician(1, territories=["south"])], 60, "serves the territory 'north' (but: south)"),
        (
            [technician(1, daily_capacity_minutes=90)],
            91,
            "takes 91 minutes, but no fit technician can",
        ),
        ([technician(1, daily_capacity_minutes=1440)], 541, "more than 540 minutes a day"),
    ],
)
def test_the_reason_names_what_is_missing(technicians: list, minutes: int, reason: str) -> None:
    assert earliest_appointment(work(minutes=minutes), technicians, Diary(), RULES) is None
    assert reason in why_nobody(work(minutes=minutes), technicians, RULES)


def test_urgent_jobs_come_first_then_those_due_soonest_then_the_oldest() -> None:
    jobs = [
        {"job_id": 1, "priority": "normal", "due_by": None},
        {"job_id": 2, "priority": "normal", "due_by": "2015-06-03T00:00:00Z"},
        {"job_id": 3, "priority": "normal", "due_by": "2015-06-03T01:00:00+02:00"},
        {"job_id": 4, "priority": "urgent", "due_by": None},
        {"job_id": 5, "priority": "low", "due_by": "2015-06-01T00:00:00Z"},
        {"job_id": 6, "priority": "high", "due_by": None},
        {"job_id": 7, "priority": "high", "due_by": None},
    ]
    assert [job["job_id"] for job in sorted(jobs, key=urgency)] == [4, 6, 7, 3, 2, 1, 5]  # type: ignore[arg-type]


@given(
    jobs=st.lists(
        st.tuples(st.integers(0, 72), st.sampled_from([15, 50, 120, 300]), st.sampled_from(["pump", "tub"])),
        min_size=1,
        max_size=40,
    ),
    capacities=st.lists(st.integers(60, 600), min_size=1, max_size=3),
)
def test_no_plan_ever_breaks_a_rule(jobs: list, capacities: list) -> None:
    technicians = [
        technician(number, daily_capacity_minutes=capacity, skills=["pump", "tub"] if number % 2 else ["pump"])
        for number, capacity in enumerate(capacities, 1)
    ]
    diary = Diary()
    made: list[tuple[Work, Appointment]] = []
    for hours, minutes, skill in jobs:
        wanted = work(at(hours), minutes, skill=skill)
        found = earliest_appointment(wanted, technicians, diary, RULES)
        if found:
            diary.book(found)
            made.append((wanted, found))
    for wanted, found in made:
        assert found.starts_at >= wanted.not_before
        assert found.ends_at - found.starts_at == wanted.duration
        assert time(8) <= found.starts_at.time() < found.ends_at.time() <= time(17)
        assert found.starts_at.date() == found.ends_at.date()
        assert wanted.skill in technicians[found.technician_id - 1]["skills"]
    for number, capacity in enumerate(capacities, 1):
        own = sorted((found.starts_at, found.ends_at) for _, found in made if found.technician_id == number)
        assert all(before[1] <= after[0] for before, after in pairwise(own))
        for day in {starts.date() for starts, _ in own}:
            minutes = sum((ends - starts).total_seconds() / 60 for starts, ends in own if starts.date() == day)
            assert minutes <= capacity
