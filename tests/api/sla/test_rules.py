"""Which policy holds, and what a clock does when its case moves."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest

from api.sla.calendars import library_days
from api.sla.hours import ALWAYS_OPEN
from api.sla.models import NewCalendar, mark_of, read_mark
from api.sla.rules import (
    CLOCK,
    CLOCK_KINDS,
    Facts,
    House,
    Policy,
    actions_of_move,
    after,
    clocks_of,
    event_of,
    is_late,
    policy_of,
    promised_anew,
    tripped,
)

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
HOUSE = House(ALWAYS_OPEN, 1)
TARGETS = {"first_response": 60, "appointment": 240, "solution": 1000}
POLICY = Policy(1, 7, TARGETS, kinds=frozenset({"repair"}))
OFFICE = ((480, 1020),)


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def clock(kind: str = "solution"):
    return next(item for item in clocks_of([POLICY], {7: HOUSE}, Facts("repair", "normal"), NOW) if item.kind == kind)


def test_the_first_policy_that_fits_holds() -> None:
    urgent = Policy(2, 7, TARGETS, priorities=frozenset({"urgent"}))
    key_account = Policy(3, 7, TARGETS, customer_ids=frozenset({5}), customer_kinds=frozenset({"business"}))
    hotline = Policy(4, 7, TARGETS, queues=frozenset({"hotline"}))
    policies = [urgent, key_account, hotline, POLICY]
    assert policy_of(policies, Facts("repair", "urgent")) is urgent
    assert policy_of(policies, Facts("recall", "normal", None, 5, "business")) is key_account
    assert policy_of(policies, Facts("recall", "normal", "hotline", 5, "consumer")) is hotline
    assert policy_of(policies, Facts("repair", "normal", None, 6, "business")) is POLICY
    assert policy_of(policies, Facts("recall", "normal")) is None
    assert clocks_of(policies, {7: HOUSE}, Facts("recall", "normal"), NOW) == []


def test_every_state_of_a_clock_allows_what_the_table_says() -> None:
    ways = {"running": [], "paused": ["pause"], "stopped": ["stop"]}
    for state, action in product(CLOCK.states, CLOCK.actions):
        before = clock()
        for step in ways[state]:
            before = after(before, step, HOUSE, minutes(10))
        assert before.state == state
        moved = after(before, action, HOUSE, minutes(20))
        expected = CLOCK.next_state(state, action)
        assert (state, action, moved.state) == (state, action, expected or state)
        assert (moved == before) == (expected is None)


def test_what_is_paused_or_stopped_does_not_count() -> None:
    paused = after(clock(), "pause", HOUSE, minutes(100))
    assert (paused.due_at, paused.next_at) == (None, None)
    resumed = after(paused, "resume", HOUSE, minutes(5100))
    assert (resumed.due_at, resumed.warn_at, resumed.next_at) == (minutes(6000), minutes(5800), minutes(5800))
    stopped = after(resumed, "stop", HOUSE, minutes(5200))
    assert (stopped.due_at, stopped.next_at) == (minutes(6000), None)
    assert not is_late(stopped.due_at, stopped.stopped_at, minutes(99_999))
    again = after(stopped, "restart", HOUSE, minutes(7200))
    assert again.due_at == minutes(8000)
    # Stopped while it was paused: the pause ends then.
    ended = after(after(clock(), "pause", HOUSE, minutes(999)), "stop", HOUSE, minutes(2000))
    assert (ended.due_at, ended.state) == (minutes(2001), "stopped")


def test_somebody_hears_of_a_breach_even_if_nobody_looked_in_time() -> None:
    for action in ("stop", "pause"):
        late = after(clock(), action, HOUSE, minutes(1500))
        assert late.due_at == minutes(1000)
        assert late.next_at <= minutes(1500)
    late = after(clock(), "stop", HOUSE, minutes(1500))
    assert event_of(late, minutes(1600)) == "breached"
    told = tripped(late, "breached", minutes(1600))
    assert (told.breached_at, told.next_at) == (minutes(1000), minutes(1500))
    assert event_of(told, minutes(1600)) == "stopped"
    assert tripped(told, "stopped", minutes(1600)).next_at is None
    # Warned once, then breached once; whoever was alarmed hears of the stop, too.
    assert [event_of(clock(), minutes(minute)) for minute in (800, 999, 1000)] == ["warning", "warning", "breached"]
    warned = tripped(clock(), "warning", minutes(801))
    assert (warned.warned_at, warned.next_at) == (minutes(801), minutes(1000))
    assert tripped(warned, "breached", minutes(1001)).next_at is None
    assert after(warned, "stop", HOUSE, minutes(900)).next_at == minutes(900)
    assert after(clock(), "stop", HOUSE, minutes(700)).next_at is None
    assert event_of(after(warned, "stop", HOUSE, minutes(1000)), minutes(1100)) == "stopped"


def test_another_promise_keeps_the_start() -> None:
    warned = tripped(clock(), "warning", minutes(801))
    longer = promised_anew(warned, replace(POLICY, targets={"solution": 2000}), HOUSE, minutes(900))
    assert (longer.due_at, longer.warned_at, longer.next_at) == (minutes(2000), None, minutes(1600))
    shorter = promised_anew(warned, replace(POLICY, targets={"solution": 500}), HOUSE, minutes(900))
    assert (shorter.due_at, shorter.warned_at, shorter.next_at) == (minutes(500), minutes(801), minutes(500))
    paused = after(clock(), "pause", HOUSE, minutes(100))
    assert promised_anew(paused, replace(POLICY, targets={"solution": 500}), HOUSE, minutes(900)).due_at is None


@pytest.mark.parametrize(
    ("move", "actions"),
    [
        (("open", "in_progress"), []),
        (("open", "waiting_customer"), [("pause", kind) for kind in CLOCK_KINDS]),
        (("waiting_customer", "open"), [("resume", kind) for kind in CLOCK_KINDS]),
        (("waiting_customer", "resolved"), [("stop", kind) for kind in CLOCK_KINDS]),
        (("open", "scheduled"), [("stop", "appointment")]),
        (("scheduled", "open"), [("restart", "appointment")]),
        (("resolved", "closed"), []),
        (("resolved", "open"), [("restart", "solution")]),
        (("open", "merged"), [("stop", kind) for kind in CLOCK_KINDS]),
    ],
)
def test_moves_of_a_case(move, actions) -> None:
    assert actions_of_move(*move) == actions


def test_china_works_some_weekends_for_its_long_holidays() -> None:
    days = library_days("CN", None, range(2026, 2027), [OFFICE] * 5 + [(), ()])
    assert days[date(2026, 2, 17)][1] == ()
    assert days[date(2026, 2, 14)] == ("Make-up working day", OFFICE)
    assert days[date(2026, 10, 10)][1] == OFFICE
    bavaria, berlin = (library_days("DE", land, range(2026, 2027), [OFFICE] * 7) for land in ("BY", "BE"))
    assert date(2026, 1, 6) in bavaria
    assert date(2026, 1, 6) not in berlin


def test_hours_over_midnight_go_on_the_next_day() -> None:
    night = NewCalendar(code="n", name="Night", hours=[{"weekday": "sun", "opens": "22:00", "closes": "06:00"}])
    assert night.hours[0].spans == [(6, (1320, 1440)), (0, (0, 360))]
    for hours in (
        [],
        [{"weekday": "sun", "opens": "24:00", "closes": "06:00"}],
        [{"weekday": "sun", "opens": "06:00", "closes": "06:30"}],
    ):
        with pytest.raises(ValueError, match="hours"):
            NewCalendar(code="n", name="Night", hours=hours)


def test_a_mark_is_exact() -> None:
    time = datetime(2026, 7, 1, 8, 0, 0, 123_457, tzinfo=UTC)
    assert read_mark(mark_of(time, 9)) == (time, 9)
    assert [read_mark(mark) for mark in ("", "1", "9" * 20 + "_1", "1_" + "9" * 19, "x_1")] == [None] * 5
