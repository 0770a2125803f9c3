"""What a visit may become, and what of that which was told on site is as the procedure wants it: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from api.conventions.positions import Position, great_circle_km
from api.conventions.states import StateMachine

NOTES = """
`planned` is a proposed appointment, `started` is on site. What the whole does to the visit comes from its job: `finish`
when the job is completed by another way than the report (a fact about its component was recorded, or
`POST /v1/jobs/{id}/complete`), `call_off` when the job is recalled or cancelled; a visit that had begun did take place.
A visit moved to another time is `planned` again until somebody confirms it. A visit that found nobody, or work that was
not safe, ends there, and its job waits for another one.
"""

MACHINE = StateMachine(
    name="visit",
    initial="planned",
    moves={
        "planned": {
            "offer": "planned",
            "confirm": "confirmed",
            "reschedule": "planned",
            "reassign": "planned",
            "depart": "travelling",
            "check_in": "started",
            "call_off": "cancelled",
            "finish": "completed",
        },
        "confirmed": {
            "reschedule": "planned",
            "reassign": "confirmed",
            "depart": "travelling",
            "check_in": "started",
            "call_off": "cancelled",
            "finish": "completed",
        },
        "travelling": {
            "reschedule": "planned",
            "reassign": "confirmed",
            "check_in": "started",
            "no_access": "no_access",
            "call_off": "cancelled",
            "finish": "completed",
        },
        "started": {
            "begin_work": "started",
            "check_out": "started",
            "complete": "completed",
            "no_access": "no_access",
            "refuse": "refused_unsafe",
            "call_off": "completed",
            "finish": "completed",
        },
        "completed": {},
        "no_access": {},
        "refused_unsafe": {},
        "cancelled": {},
    },
    notes=NOTES,
)

VISIT_STATES = MACHINE.states
OPEN_STATES = tuple(state for state in MACHINE.states if state not in MACHINE.final)

CausedBy = Literal["customer", "provider", "maker", "parts", "weather", "other"]
RescheduleReason = Literal[
    "customer_wish",
    "customer_not_ready",
    "technician_ill",
    "technician_late",
    "vehicle",
    "parts_missing",
    "parts_wrong",
    "recall_or_notice",
    "planning_error",
    "weather",
    "traffic",
    "other",
]
ReassignReason = Literal[
    "technician_ill", "technician_late", "skill", "nearer", "workload", "customer_wish", "provider_change", "other"
]
RefuseReason = Literal["electrical", "water", "gas", "height", "space", "structure", "chemical", "aggression", "other"]
NoAccessReason = Literal["absent", "refused_entry", "wrong_address", "locked", "other"]
Channel = Literal["phone", "sms", "email", "chat", "app", "doorbell", "other"]
ContactResult = Literal["reached", "no_answer", "busy", "wrong_number", "left_message", "refused"]
StepKind = Literal["tick", "value", "photo", "choice"]
CheckResult = Literal["pass", "fail", "not_applicable"]
CAUSES: tuple[CausedBy, ...] = get_args(CausedBy)

# Who is the cause of a reason that names one; of the other reasons anybody may be.
CAUSE_OF_REASON: Mapping[str, frozenset[str]] = {
    "customer_wish": frozenset({"customer"}),
    "customer_not_ready": frozenset({"customer"}),
    "technician_ill": frozenset({"provider"}),
    "technician_late": frozenset({"provider"}),
    "vehicle": frozenset({"provider"}),
    "parts_missing": frozenset({"parts", "maker"}),
    "parts_wrong": frozenset({"parts", "maker", "provider"}),
    "recall_or_notice": frozenset({"maker"}),
    "weather": frozenset({"weather"}),
}

# A site is a yard, not a point, and so is what a phone knows of its place.
FAR_M = 300.0
# A device whose clock is further off than this gets a warning.
CLOCK_TOLERANCE = timedelta(minutes=5)
# A visit that was told of more than this after it was over is told of late.
LONGEST_OFFLINE = timedelta(days=60)


def misfit_of_cause(reason: str, caused_by: str, note: str) -> tuple[str, str] | None:
    """The field of a rescheduling that contradicts another one, and why; None when they agree."""
    causes = CAUSE_OF_REASON.get(reason)
    if causes is not None and caused_by not in causes:
        return "caused_by", f"{reason} is caused by: {', '.join(sorted(causes))}"
    if reason == "other" and not note:
        return "note", "say what the other reason is"
    return None


# Time and place ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """When something happened by our clock, and how far the device's clock goes ahead of it (None: not told)."""

    at: datetime
    clock_ahead_s: float | None


def moment_of(device_at: datetime, sent_at: datetime | None, now: datetime) -> Moment:
    """When something happened that a device tells of, perhaps hours later.

    The difference between the device's clock when it sent and ours when we received is the clock's error; what
    happened is put right by it. Nothing happens after now, or longer ago than a device may have been offline.

    Args:
        device_at: When it happened, by the device's clock.
        sent_at: The device's clock when it sent.
        now: Our clock when it was received.
    """
    ahead = None if sent_at is None else (sent_at - now).total_seconds()
    at = device_at if sent_at is None else now - (sent_at - device_at)
    return Moment(min(max(at, now - LONGEST_OFFLINE), now), ahead)


def clock_is_off(moment: Moment) -> bool:
    """Whether a device's clock should be set."""
    return moment.clock_ahead_s is not None and abs(moment.clock_ahead_s) > CLOCK_TOLERANCE.total_seconds()


def distance_m(site: Position | None, device: Position | None) -> float | None:
    """How far the device is from the site over the ground; None when either position is not known."""
    if site is None or device is None:
        return None
    return great_circle_km(site, device) * 1000


def is_far(distance: float | None, accuracy_m: float | None) -> bool:
    """Whether somebody is surely not at the site, whatever the device's position is worth."""
    return distance is not None and distance - (accuracy_m or 0.0) > FAR_M


# What is done on site -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What a technician tells of a tip, a check or a step."""

    kind: str
    code: str
    result: str | None = None
    value: float | None = None
    choice: str | None = None
    has_photo: bool = False


def misfit_of_entry(item: Mapping[str, Any], entry: Entry) -> str | None:
    """Why an entry is not what the procedure wants, in words for the technician; None when it is."""
    if entry.kind == "tip":
        return None
    if entry.kind == "check":
        return _misfit_of_check(item, entry)
    return _misfit_of_step(item, entry)


def _misfit_of_check(item: Mapping[str, Any], entry: Entry) -> str | None:
    if entry.result is None:
        return "has no result: pass, fail or not_applicable"
    if entry.result == "not_applicable":
        return None if item.get("optional") else "must be checked, it always applies"
    if entry.result == "fail":
        return "failed"
    if _limited(item) and entry.value is None:
        return "has no value"
    return _beyond(item, entry.value) or ("has no photo" if item.get("photo") and not entry.has_photo else None)


def _misfit_of_step(item: Mapping[str, Any], entry: Entry) -> str | None:
    kind = item["kind"]
    if kind == "tick":
        return "failed" if entry.result == "fail" else None
    if kind == "value":
        return "has no value" if entry.value is None else _beyond(item, entry.value)
    if kind == "photo":
        return None if entry.has_photo else "has no photo"
    choices = item.get("choices") or []
    return None if entry.choice in choices else f"must be one of: {', '.join(choices)}"


def _limited(item: Mapping[str, Any]) -> bool:
    return item.get("minimum") is not None or item.get("maximum") is not None


def _beyond(item: Mapping[str, Any], value: float | None) -> str | None:
    if value is None:
        return None
    unit = f" {item['unit']}" if item.get("unit") else ""
    least, most = item.get("minimum"), item.get("maximum")
    if least is not None and value < least:
        return f"{value:g}{unit} is below {least:g}{unit}"
    if most is not None and value > most:
        return f"{value:g}{unit} is above {most:g}{unit}"
    return None


def open_tips(tips: Iterable[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Codes of the tips that were not read."""
    read = {entry["code"] for entry in entries if entry["kind"] == "tip"}
    return [tip["code"] for tip in tips if tip["code"] not in read]


def open_items(
    items: Iterable[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], kind: str
) -> list[tuple[str, str]]:
    """Codes of the checks or mandatory steps that are not done as wanted, each with why.

    Args:
        items: Of the procedure; those with `mandatory` false may be left out, but not left wrong.
        entries: The last of each code: `kind`, `code`, `fit`, `misfit`.
        kind: `check` or `step`.
    """
    last = {entry["code"]: entry for entry in entries if entry["kind"] == kind}
    found = []
    for item in items:
        entry = last.get(item["code"])
        if entry is None:
            if item.get("mandatory", True):
                found.append((item["code"], f"{item['text']}: is not done"))
        elif not entry["fit"]:
            found.append((item["code"], f"{item['text']}: {entry['misfit']}"))
    return found


# What the customer reads --------------------------------------------------------------------------


def proposed_lines(serial: str, slots: Sequence[str], path: str) -> list[str]:
    """An appointment is offered: when, and where to choose."""
    many = "Please choose one of these appointments:" if len(slots) > 1 else "Please confirm this appointment:"
    return [f"Machine: {serial}", many, *(f"- {slot}" for slot in slots), f"Answer here: {path}"]


def moved_lines(serial: str, when: str, reason: str) -> list[str]:
    """An appointment has moved: to when, and why."""
    return [f"Machine: {serial}", f"New appointment: {when}", f"Reason: {reason.replace('_', ' ')}"]


def failed_lines(serial: str, state: str, reason: str, note: str) -> list[str]:
    """A visit could not do its work, and why."""
    what = "Nobody could let us in." if state == "no_access" else "The work could not be done safely."
    lines = [f"Machine: {serial}", what, f"Reason: {reason.replace('_', ' ')}"]
    return (
        [*lines, note, "We will arrange another appointment."]
        if note
        else [
            *lines,
            "We will arrange another appointment.",
        ]
    )
