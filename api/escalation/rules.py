"""Which ladder holds for a case, when its steps are due, and who may decide."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from api.conventions.roles import Role
from api.conventions.states import StateMachine
from api.sla.hours import Calendar, due
from api.sla.rules import ClockKind

Occasion = Literal["warning", "breach", "reopened"]
Decision = Literal["take_over", "reassign", "extend", "compensate", "accept", "other"]
# Who may be asked by hand: those who see every case and may decide.
Decider = Literal["admin", "desk_lead", "agent", "dispatcher", "engineer"]

ESCALATION = StateMachine(
    name="escalation",
    initial="open",
    moves={"open": {"decide": "decided", "lapse": "lapsed"}, "decided": {}, "lapsed": {}},
    notes="""- Open, it goes its ladder's steps, each once, until somebody decides.
- Opened by hand, one at a time for a case, it has no steps and waits for a decision.
- It lapses by itself when the clock that only warned stops in time. One whose target has passed waits for a decision,
  though no further step is gone once the clock has stopped.""",
)

# The order in which occasions come.
_ORDER: dict[Occasion, int] = {"reopened": 0, "warning": 1, "breach": 2}
RAISED = {"low": "normal", "normal": "high", "high": "urgent", "urgent": "urgent"}
# These may decide whatever is escalated, whoever was named.
LEADS: frozenset[Role] = frozenset({"admin", "desk_lead"})


@dataclass(frozen=True)
class Step:
    """A step of a ladder.

    Attributes:
        on: What sets it going.
        clock: Of which clock; None for any.
        after_minutes: Business minutes after that; plain ones for a case that came back.
        reopened_count: How often a case must have come back, where that sets it going.
        role: Who hears of it and is to decide from then on.
        user_id: The user who is, in particular.
        tell_provider: Whether the service partner of the case hears of it.
        raise_priority: Whether the case becomes more urgent.
        owner_user_id: Whose the case becomes.
        queue: Where the case goes.
    """

    on: Occasion
    clock: ClockKind | None = None
    after_minutes: int = 0
    reopened_count: int = 1
    role: Role | None = None
    user_id: int | None = None
    tell_provider: bool = False
    raise_priority: bool = False
    owner_user_id: int | None = None
    queue: str | None = None


@dataclass(frozen=True)
class Ladder:
    """Steps for some cases.

    Attributes:
        ladder_id: Its number.
        steps: All of them, as they were given.
        kinds: Of these kinds of case; None for all. The others likewise.
        priorities: Of these priorities.
        queues: In these queues.
    """

    ladder_id: int
    steps: tuple[Step, ...]
    kinds: frozenset[str] | None = None
    priorities: frozenset[str] | None = None
    queues: frozenset[str] | None = None

    def fits(self, kind: str, priority: str, queue: str | None) -> bool:
        """Whether it holds for a case."""
        return (
            (self.kinds is None or kind in self.kinds)
            and (self.priorities is None or priority in self.priorities)
            and (self.queues is None or queue in self.queues)
        )

    def steps_of_clock(self, clock: ClockKind) -> tuple[Step, ...]:
        """What is done when this clock trips, in order."""
        return _in_order(step for step in self.steps if step.on != "reopened" and step.clock in {None, clock})

    def steps_of_return(self, reopened_count: int) -> tuple[Step, ...]:
        """What is done when a case has come back so often, in order."""
        return _in_order(step for step in self.steps if step.on == "reopened" and step.reopened_count <= reopened_count)


def _in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (_ORDER[step.on], step.after_minutes)))


@dataclass(frozen=True)
class Moments:
    """What may set a step going, and in whose business time it is reckoned.

    Attributes:
        calendar: Of the clock; always open for a case that came back.
        opened_at: When it was seen that the case had come back.
        warned_at: When the clock warned.
        breached_at: When its target had passed.
    """

    calendar: Calendar
    opened_at: datetime
    warned_at: datetime | None = None
    breached_at: datetime | None = None

    def due_of(self, step: Step | None) -> datetime | None:
        """When a step is due; None when what sets it going has not happened, or there is no further step."""
        if step is None:
            return None
        since = {"reopened": self.opened_at, "warning": self.warned_at, "breach": self.breached_at}[step.on]
        return None if since is None else due(since, step.after_minutes, self.calendar)


def may_decide(role: Role, user_id: int | None, named_role: str | None, named_user_id: int | None) -> bool:
    """Whether somebody may decide an escalation: whoever was named by role or in person, and those who lead."""
    return role in LEADS or role == named_role or (user_id is not None and user_id == named_user_id)


@dataclass(frozen=True)
class Mail:
    """One line and a text."""

    subject: str
    body: str


_CLOCKS: dict[str, str] = {"first_response": "first response", "appointment": "appointment", "solution": "solution"}


def clock_mail(ticket_id: int, title: str, clock: ClockKind, due_at: datetime | None, *, breached: bool) -> Mail:
    """What is told when a clock warns, or its target has passed."""
    what = _CLOCKS[clock]
    when = f"{due_at:%Y-%m-%d %H:%M} UTC" if due_at else "an unknown time"
    if breached:
        return Mail(f"Case {ticket_id}: {what} is overdue", f"{title}\n\nThe {what} was due at {when}.")
    return Mail(f"Case {ticket_id}: {what} is due soon", f"{title}\n\nThe {what} is due at {when}.")


def step_mail(ticket_id: int, title: str, cause: str, number: int, named: str) -> Mail:
    """What is told when a step is gone."""
    what, _, which = cause.partition(":")
    why = f"its {_CLOCKS[which]} runs late" if what == "clock" else f"it was opened again ({which}×)"
    body = f"{title}\n\nThe case is escalated since {why}. Step {number}; to decide: {named}."
    return Mail(f"Case {ticket_id} is escalated to {named}", body)


def hand_mail(ticket_id: int, title: str, role: str, reason: str) -> Mail:
    """What is told when somebody opened an escalation by hand."""
    return Mail(f"Case {ticket_id} is escalated to {role}", f"{title}\n\n{reason}\n\nTo decide: {role}.")
