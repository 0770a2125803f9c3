"""What a job may become, whether a technician can do it, and what the customer reads: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from api.conventions.states import StateMachine

JobState = Literal["open", "waiting", "dispatched", "in_progress", "completed", "cancelled"]
Action = Literal["hold", "dispatch", "admit", "start", "recall", "complete", "cancel"]
Outcome = Literal["confirmed", "prevented", "no_fault_found", "other_fault", "superseded", "done"]
VisitState = Literal[
    "planned", "confirmed", "travelling", "started", "completed", "no_access", "refused_unsafe", "cancelled"
]

JOB_STATES: tuple[JobState, ...] = get_args(JobState)
ACTIONS: tuple[Action, ...] = get_args(Action)
VISIT_STATES: tuple[VisitState, ...] = get_args(VisitState)
# A technician's time is taken by a visit in one of these.
OPEN_VISIT_STATES: tuple[VisitState, ...] = ("planned", "confirmed", "travelling", "started")

MACHINE = StateMachine(
    name="job",
    initial="open",
    moves={
        "open": {
            "hold": "waiting",
            "dispatch": "dispatched",
            "admit": "in_progress",
            "complete": "completed",
            "cancel": "cancelled",
        },
        "waiting": {
            "hold": "waiting",
            "dispatch": "dispatched",
            "admit": "in_progress",
            "complete": "completed",
            "cancel": "cancelled",
        },
        "dispatched": {"start": "in_progress", "recall": "waiting", "complete": "completed", "cancel": "cancelled"},
        "in_progress": {"recall": "waiting", "complete": "completed", "cancel": "cancelled"},
        "completed": {},
        "cancelled": {},
    },
    notes="""
The words on the arrows are the last part of `POST /v1/jobs/{job_id}/…`.

- `waiting` has a reason in words for the dispatcher, which is announced (`job.waiting`) whenever it changes.
- `dispatch` wants every part that the job needs reserved and on site when the visit starts, and a technician who has
  the skill, serves the territory, is active and has time that day. It makes a visit and the ticket `scheduled`.
- `admit` begins it where the machine is in the workshop: there is no visit, and nobody drives.
- `recall` takes the job back from its technician: the visit is off, the parts stay reserved, the ticket is open again.
- `complete` closes visit, job and ticket together. Parts kept for the job leave the stock, or go back when no fault was
  found. What was replaced or failed is a fact of its own: `POST /v1/assets/{serial}/replacements` and `…/failures`. It
  fits every state that is not final: a fault mended without an appointment is mended all the same.
- `cancel` gives the parts back and opens the ticket again. A cancelled occurrence of a plan is not made again.
""",
)

# How the job's ticket follows: to which state, and from which ones. From any other state it stays as it is.
TICKET_FOLLOWS: Mapping[Action, tuple[str, frozenset[str]]] = {
    "dispatch": ("scheduled", frozenset({"open", "waiting_customer", "in_progress"})),
    "admit": ("in_progress", frozenset({"open", "waiting_customer"})),
    "start": ("in_progress", frozenset({"open", "waiting_customer", "scheduled"})),
    "recall": ("open", frozenset({"scheduled", "in_progress"})),
    "complete": ("resolved", frozenset({"open", "waiting_customer", "scheduled", "in_progress"})),
    "cancel": ("open", frozenset({"scheduled", "in_progress"})),
}

# Tickets in these states get no work any more.
ENDED_TICKET_STATES = frozenset({"resolved", "closed", "cancelled", "merged"})

# An appointment may have begun a little before it is entered: clocks differ, and so do fingers.
LATEST_ENTRY = timedelta(minutes=15)
LONGEST_VISIT = timedelta(hours=24)
FURTHEST_AHEAD = timedelta(days=3 * 366)

Span = tuple[datetime, datetime]


def misfit_of_outcome(ticket_kind: str | None, outcome: str) -> str | None:
    """Why an outcome does not fit the job of such a ticket (None: of a plan); None when it does.

    The outcome of a preventive ticket labels the predictor's training, so `done` says too little there.
    """
    if ticket_kind == "preventive" and outcome == "done":
        return (
            "the job of a preventive ticket has one of: confirmed, prevented, no_fault_found, other_fault, superseded"
        )
    return None


def uses_parts(outcome: str, parts_used: bool) -> bool:
    """Whether the parts kept for a job leave the stock; where no fault was found, none was built in."""
    return parts_used and outcome != "no_fault_found"


def misfit_of_interval(starts_at: datetime, ends_at: datetime, now: datetime) -> tuple[str, str] | None:
    """The field of an appointment that is impossible, and why; None when it is possible."""
    if starts_at < now - LATEST_ENTRY:
        return "starts_at", f"is in the past; it is {now.isoformat()}"
    if starts_at > now + FURTHEST_AHEAD:
        return "starts_at", "is more than three years ahead"
    if ends_at <= starts_at:
        return "ends_at", "must be after starts_at"
    if ends_at - starts_at > LONGEST_VISIT:
        return "ends_at", "a visit is no longer than 24 hours; make one job for each"
    return None


def unfit(technician: Mapping[str, Any], skill: str, territory: str) -> list[str]:
    """Why a technician can't do a job, in words for a dispatcher; empty when nothing is in the way."""
    reasons = []
    if not technician["active"]:
        reasons.append("is not active")
    if skill not in technician["skills"]:
        reasons.append(f"does not have the skill {skill}")
    if territory not in technician["territories"]:
        reasons.append(f"does not serve the territory {territory}")
    return reasons


def missing_parts(
    parts: Iterable[Mapping[str, Any]], reservations: Sequence[Mapping[str, Any]], starts_at: datetime
) -> list[dict[str, Any]]:
    """The parts that will not be on site when a visit starts, each with the reason.

    Args:
        parts: What the job needs: `sku`, `quantity`.
        reservations: What is kept for it or used already: `sku`, `quantity`, `state`, `available_at` (a datetime).
        starts_at: When the visit starts.
    """
    missing = []
    for part in parts:
        kept = [entry for entry in reservations if entry["sku"] == part["sku"]]
        reserved = sum(entry["quantity"] for entry in kept)
        latest = max((entry["available_at"] for entry in kept if entry["state"] == "reserved"), default=None)
        if reserved < part["quantity"]:
            reason = f"{part['quantity']} needed, {reserved} reserved"
        elif latest is not None and latest > starts_at:
            reason = f"on site only from {latest.isoformat()}"
        else:
            continue
        missing.append({"sku": part["sku"], "needed": part["quantity"], "reserved": reserved, "reason": reason})
    return missing


def days_touched(span: Span, zone: ZoneInfo) -> list[date]:
    """The calendar days of a time zone that a span touches."""
    first = span[0].astimezone(zone).date()
    last = (span[1].astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone).date()
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def day_span(day: date, zone: ZoneInfo) -> Span:
    """From midnight to midnight of a time zone, in UTC; 23 or 25 hours long where the clock is changed."""
    begins, ends = (datetime.combine(edge, time(0), zone) for edge in (day, day + timedelta(days=1)))
    return begins.astimezone(UTC), ends.astimezone(UTC)


def why_busy(wanted: Span, promised: Iterable[Span], daily_capacity: timedelta, zone: ZoneInfo) -> str | None:
    """Why a technician has no time for a visit, or None.

    Args:
        wanted: The visit.
        promised: Planned and started visits that touch the days of the visit.
        daily_capacity: How long the technician can work a day; days are those of `zone`.
        zone: Of the site.
    """
    spans = list(promised)
    for starts_at, ends_at in spans:
        if starts_at < wanted[1] and ends_at > wanted[0]:
            return f"has a visit from {starts_at.isoformat()} to {ends_at.isoformat()}"
    for day in days_touched(wanted, zone):
        whole = day_span(day, zone)
        load = sum((_overlap(span, whole) for span in [*spans, wanted]), timedelta())
        if load > daily_capacity:
            minutes, most = (int(span.total_seconds() // 60) for span in (load, daily_capacity))
            return f"would work {minutes} minutes on {day.isoformat()}, more than {most} a day"
    return None


def _overlap(one: Span, other: Span) -> timedelta:
    return max(min(one[1], other[1]) - max(one[0], other[0]), timedelta())


# What the customer reads --------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One line and a text."""

    subject: str
    body: str


def appointment_words(span: Span, zone: ZoneInfo) -> str:
    """An appointment as people say it where the machine stands, e.g. `Thu 2 Jul 2026, 08:00–09:30 (Europe/Berlin)`."""
    starts_at, ends_at = (edge.astimezone(zone) for edge in span)
    until = (
        f"{ends_at:%H:%M}" if ends_at.date() == starts_at.date() else f"{ends_at:%a} {ends_at.day} {ends_at:%b %H:%M}"
    )
    return f"{starts_at:%a} {starts_at.day} {starts_at:%b %Y, %H:%M}–{until} ({zone.key})"


def dispatched_message(job: Mapping[str, Any], technician: str, span: Span, zone: ZoneInfo) -> Message:
    """A technician comes: who, when, for what."""
    when = appointment_words(span, zone)
    lines = [f"Machine: {job['serial']}", f"Appointment: {when}", f"Technician: {technician}"]
    if job["component"]:
        lines.append(f"Component: {job['component']}")
    if job["parts"]:
        lines.append("Parts: " + ", ".join(f"{part['quantity']} × {part['sku']}" for part in job["parts"]))
    lines += ["", job["instructions"]]
    return Message(f"{job['serial']}: appointment {when}", "\n".join(lines).rstrip())


def waiting_message(job: Mapping[str, Any], reason: str) -> Message:
    """The work can't be planned yet, and why."""
    lines = [f"Machine: {job['serial']}", f"Job: {job['job_id']}", f"Reason: {reason}"]
    return Message(f"{job['serial']}: job {job['job_id']} waits", "\n".join(lines))


def completed_message(job: Mapping[str, Any], outcome: str) -> Message:
    """The work is done, and what was found."""
    lines = [f"Machine: {job['serial']}", f"Job: {job['job_id']}", f"Result: {outcome.replace('_', ' ')}"]
    if job["component"]:
        lines.append(f"Component: {job['component']}")
    return Message(f"{job['serial']}: job {job['job_id']} is completed", "\n".join(lines))
