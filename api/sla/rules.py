"""What is promised to whom, and what a clock does when its case moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from api.conventions.states import StateMachine
from api.sla.hours import Calendar, Stretch, dues

ClockKind = Literal["first_response", "appointment", "solution"]
CLOCK_KINDS: tuple[ClockKind, ...] = get_args(ClockKind)
ClockState = Literal["running", "paused", "stopped"]

CLOCK = StateMachine(
    name="clock",
    initial="running",
    moves={
        "running": {"pause": "paused", "stop": "stopped"},
        "paused": {"resume": "running", "stop": "stopped"},
        "stopped": {"restart": "running"},
    },
    notes="""- A clock runs in business time of its calendar and is due when its target has passed; it warns before.
- It pauses while the case waits for the customer. The time between a stop and a restart does not count either.
- `first_response` stops at the first answer by staff, `appointment` when an appointment is made, `solution` when the
  case is resolved. All stop when the case is over; `solution` restarts when it is opened again, `appointment` when
  the appointment is off.""",
)

# In these a case is over; the words are those of the tickets' own table.
OVER = frozenset({"resolved", "closed", "cancelled", "merged"})
WAITING = "waiting_customer"
SCHEDULED = "scheduled"


@dataclass(frozen=True)
class Facts:
    """What of a case decides which policy holds for it.

    Attributes:
        kind: E.g. `repair`.
        priority: E.g. `urgent`.
        queue: Where it queues, if anywhere.
        customer_id: Whose it is.
        customer_kind: `consumer` or `business`.
    """

    kind: str
    priority: str
    queue: str | None = None
    customer_id: int | None = None
    customer_kind: str | None = None


@dataclass(frozen=True)
class Policy:
    """What is promised for some cases.

    Attributes:
        policy_id: Its number.
        calendar_id: In whose business time.
        targets: Business minutes by clock; a clock without one does not run.
        warn_percent: It warns when so much of the target has passed.
        kinds: Of these kinds of case; None for all. The others likewise.
        priorities: Of these priorities.
        queues: In these queues.
        customer_kinds: Of these kinds of customer.
        customer_ids: Of these customers, e.g. by contract.
    """

    policy_id: int
    calendar_id: int
    targets: Mapping[ClockKind, int]
    warn_percent: int = 80
    kinds: frozenset[str] | None = None
    priorities: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    customer_kinds: frozenset[str] | None = None
    customer_ids: frozenset[int] | None = None

    def fits(self, facts: Facts) -> bool:
        """Whether it holds for a case."""
        return (
            (self.kinds is None or facts.kind in self.kinds)
            and (self.priorities is None or facts.priority in self.priorities)
            and (self.queues is None or facts.queue in self.queues)
            and (self.customer_kinds is None or facts.customer_kind in self.customer_kinds)
            and (self.customer_ids is None or facts.customer_id in self.customer_ids)
        )


def policy_of(policies: Sequence[Policy], facts: Facts) -> Policy | None:
    """The first policy, in their order, that holds for a case."""
    return next((policy for policy in policies if policy.fits(facts)), None)


@dataclass(frozen=True)
class House:
    """A calendar at one of its versions."""

    calendar: Calendar
    version: int


@dataclass(frozen=True)
class Clock:
    """One clock of a case.

    Attributes:
        kind: What is timed.
        policy_id: Who promised it.
        calendar_id: In whose business time it runs.
        calendar_version: By which version of the calendar its times were reckoned.
        target_minutes: Business minutes promised.
        warn_percent: It warns when so much of the target has passed.
        started_at: Since when it runs.
        pauses: Stretches that do not count, in order and apart.
        paused_since: Set while it is paused.
        stopped_at: Set while it is stopped.
        due_at: None while it is paused, or when the target never passes.
        warn_at: Likewise.
        next_at: When somebody must look at it; None when there is nothing to come.
        warned_at: When it warned.
        breached_at: When the target had passed before the stop.
    """

    kind: ClockKind
    policy_id: int
    calendar_id: int
    calendar_version: int
    target_minutes: int
    warn_percent: int
    started_at: datetime
    pauses: tuple[Stretch, ...] = ()
    paused_since: datetime | None = None
    stopped_at: datetime | None = None
    due_at: datetime | None = None
    warn_at: datetime | None = None
    next_at: datetime | None = None
    warned_at: datetime | None = None
    breached_at: datetime | None = None

    @property
    def state(self) -> ClockState:
        """Its state in the table of `CLOCK`."""
        if self.stopped_at is not None:
            return "stopped"
        return "running" if self.paused_since is None else "paused"


def timed(clock: Clock, house: House) -> Clock:
    """A clock with its times reckoned anew, by the calendar as it is now."""
    targets = _targets(clock.target_minutes, clock.warn_percent)
    due_at, warn_at = dues(clock.started_at, targets, house.calendar, clock.pauses)
    clock = replace(clock, calendar_version=house.version, due_at=due_at, warn_at=warn_at)
    if clock.stopped_at is not None:
        if clock.breached_at is None and is_late(due_at, clock.stopped_at, clock.stopped_at):
            return replace(clock, next_at=due_at)
        # Who was alarmed must hear that it has stopped.
        return replace(clock, next_at=None if clock.warned_at is None else clock.stopped_at)
    if clock.paused_since is not None:
        # What was due before the pause stays so, and somebody must hear of it; what comes after is not known.
        clock = replace(clock, due_at=_until(due_at, clock.paused_since), warn_at=_until(warn_at, clock.paused_since))
    return _watched(clock)


def _targets(target_minutes: int, warn_percent: int) -> tuple[float, float]:
    """Business minutes until a clock is due, and until it warns."""
    return target_minutes, target_minutes * warn_percent / 100


def _until(time: datetime | None, limit: datetime) -> datetime | None:
    return time if time is not None and time <= limit else None


def _watched(clock: Clock) -> Clock:
    """A clock with the time of what comes next: the warning, the end of the target, nothing."""
    if clock.breached_at is not None:
        return replace(clock, next_at=None)
    return replace(clock, next_at=clock.warn_at if clock.warned_at is None else clock.due_at)


def clocks_of(policies: Sequence[Policy], houses: Mapping[int, House], facts: Facts, now: datetime) -> list[Clock]:
    """The clocks of a case that opens now."""
    policy = policy_of(policies, facts)
    if policy is None:
        return []
    house = houses[policy.calendar_id]
    kinds = [kind for kind in CLOCK_KINDS if kind in policy.targets]
    targets = [target for kind in kinds for target in _targets(policy.targets[kind], policy.warn_percent)]
    # One walk through the calendar for all: this is on the way of each new case.
    times = dues(now, targets, house.calendar)
    return [
        _watched(
            Clock(
                kind=kind,
                policy_id=policy.policy_id,
                calendar_id=policy.calendar_id,
                calendar_version=house.version,
                target_minutes=policy.targets[kind],
                warn_percent=policy.warn_percent,
                started_at=now,
                due_at=due_at,
                warn_at=warn_at,
            )
        )
        for kind, due_at, warn_at in zip(kinds, times[::2], times[1::2], strict=True)
    ]


def after(clock: Clock, action: str, house: House, now: datetime) -> Clock:
    """A clock after an action of the table `CLOCK`; one that the table does not have changes nothing.

    What is paused or stopped does not count. A clock that stops after its target had passed is still to be looked at:
    somebody must hear of it.
    """
    if CLOCK.next_state(clock.state, action) is None:
        return clock
    if action == "pause":
        return timed(replace(clock, paused_since=now), house)
    pauses = clock.pauses
    since = clock.paused_since if clock.stopped_at is None else clock.stopped_at
    if since is not None and since < now:
        pauses = (*pauses, (since, now))
    return timed(replace(clock, pauses=pauses, paused_since=None, stopped_at=now if action == "stop" else None), house)


def actions_of_move(from_state: str, to_state: str) -> list[tuple[str, ClockKind]]:
    """What a move of the case does to its clocks, in order."""
    if to_state in OVER:
        return [] if from_state in OVER else [("stop", kind) for kind in CLOCK_KINDS]
    actions: list[tuple[str, ClockKind]] = []
    if from_state in OVER:
        actions.append(("restart", "solution"))
    if from_state == WAITING:
        actions += [("resume", kind) for kind in CLOCK_KINDS]
    if to_state == SCHEDULED:
        actions.append(("stop", "appointment"))
    elif from_state == SCHEDULED and to_state == "open":
        actions.append(("restart", "appointment"))
    if to_state == WAITING:
        actions += [("pause", kind) for kind in CLOCK_KINDS]
    return actions


def promised_anew(clock: Clock, policy: Policy, house: House, now: datetime) -> Clock:
    """A clock by another policy, since its case is of another kind or priority now: the same start, the new target.

    What was warned of or breached by the old target is judged anew, unless it is so by the new one too.
    """
    changed = replace(
        clock,
        policy_id=policy.policy_id,
        calendar_id=policy.calendar_id,
        target_minutes=policy.targets[clock.kind],
        warn_percent=policy.warn_percent,
    )
    reckoned = timed(changed, house)
    warned = reckoned.warn_at is None or reckoned.warn_at <= now
    breached = reckoned.due_at is None or reckoned.due_at <= now
    return _watched(
        replace(
            reckoned,
            warned_at=reckoned.warned_at if warned else None,
            breached_at=reckoned.breached_at if breached else None,
        )
    )


def is_late(due_at: datetime | None, stopped_at: datetime | None, now: datetime) -> bool:
    """Whether the target had passed when the clock stopped, or has by now."""
    return due_at is not None and (stopped_at or now) > due_at


Event = Literal["warning", "breached", "stopped"]


def event_of(clock: Clock, now: datetime) -> Event:
    """What a clock has to say whose time to be looked at has come."""
    if clock.breached_at is None and clock.due_at is not None:
        if clock.stopped_at is None and clock.due_at <= now:
            return "breached"
        if clock.stopped_at is not None and clock.due_at < clock.stopped_at:
            return "breached"
    return "warning" if clock.stopped_at is None else "stopped"


def tripped(clock: Clock, event: Event, now: datetime) -> Clock:
    """A clock after it was looked at."""
    if event == "stopped":
        return replace(clock, next_at=None)
    if event == "warning":
        return _watched(replace(clock, warned_at=now))
    breached = replace(clock, warned_at=clock.warned_at or now, breached_at=clock.due_at, next_at=None)
    return breached if clock.stopped_at is None else replace(breached, next_at=clock.stopped_at)
