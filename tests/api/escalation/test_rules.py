"""Which steps a ladder has for a case, when each is due, who may decide."""

from datetime import UTC, datetime, timedelta

import pytest

from api.escalation.models import LadderStep
from api.escalation.rules import ESCALATION, Ladder, Moments, Step, clock_mail, may_decide, step_mail
from api.sla.hours import ALWAYS_OPEN

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
STEPS = (
    Step("breach", after_minutes=60, role="admin"),
    Step("breach", role="desk_lead"),
    Step("warning", clock="solution", role="agent"),
    Step("reopened", reopened_count=2, role="engineer"),
)


def test_a_ladder_has_its_steps_in_the_order_of_time() -> None:
    ladder = Ladder(1, STEPS, kinds=frozenset({"repair"}), priorities=frozenset({"high", "urgent"}))
    assert [step.role for step in ladder.steps_of_clock("solution")] == ["agent", "desk_lead", "admin"]
    assert [step.role for step in ladder.steps_of_clock("first_response")] == ["desk_lead", "admin"]
    assert [len(ladder.steps_of_return(count)) for count in (1, 2, 3)] == [0, 1, 1]
    assert ladder.fits("repair", "high", None)
    assert not ladder.fits("repair", "low", None)
    assert not Ladder(2, STEPS, queues=frozenset({"north"})).fits("repair", "high", None)


def test_a_step_is_due_when_what_sets_it_going_has_happened() -> None:
    late, at_once, warned, returned = STEPS
    before = Moments(ALWAYS_OPEN, NOW, warned_at=NOW)
    assert [before.due_of(step) for step in (late, at_once, warned, returned, None)] == [None, None, NOW, NOW, None]
    breached = Moments(ALWAYS_OPEN, NOW, NOW, NOW + timedelta(minutes=5))
    assert breached.due_of(late) == NOW + timedelta(minutes=65)


def test_whoever_was_named_decides_or_a_lead() -> None:
    assert may_decide("desk_lead", None, "engineer", None)
    assert may_decide("engineer", None, "engineer", None)
    assert may_decide("agent", 7, "engineer", 7)
    assert not may_decide("agent", 8, "engineer", 7)
    assert not may_decide("agent", None, None, None)


def test_a_step_does_something() -> None:
    with pytest.raises(ValueError, match="does nothing"):
        LadderStep(on="breach")
    assert LadderStep(on="breach", queue="north").step == Step("breach", queue="north")


def test_what_is_read() -> None:
    assert clock_mail(7, "Leak", "solution", NOW, breached=True).subject == "Case 7: solution is overdue"
    assert "due at 2026-07-01 08:00 UTC" in clock_mail(7, "Leak", "first_response", NOW, breached=False).body
    assert "opened again (2×)" in step_mail(7, "Leak", "reopened:2", 1, "engineer").body


def test_an_escalation_ends_once() -> None:
    assert ESCALATION.final == {"decided", "lapsed"}
