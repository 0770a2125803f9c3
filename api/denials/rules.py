"""What a refusal may rest on, what is frozen with it, and what the customer reads; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from api.conventions.states import StateMachine

Ground = Literal[
    "misuse", "human_damage", "unauthorised_repair", "commercial_use", "lack_of_maintenance", "wrong_installation",
    "wear", "transport_damage", "force_majeure", "no_proof_of_purchase", "other",
]  # fmt: skip
Direction = Literal["above", "below"]
Unit = Literal["readings", "hours", "days"]

WORDS: Mapping[Ground, str] = {
    "misuse": "it was used in a way that its manual rules out",
    "human_damage": "it was damaged by people",
    "unauthorised_repair": "it was opened or repaired by somebody who is not authorised",
    "commercial_use": "a product for households was used commercially",
    "lack_of_maintenance": "it was not maintained as its manual asks",
    "wrong_installation": "it was not installed as its manual asks",
    "wear": "the part wears out in use",
    "transport_damage": "it was damaged in transport",
    "force_majeure": "it was damaged by forces from outside",
    "no_proof_of_purchase": "there is no proof of when it was bought",
    "other": "of the reason given below",
}

MOST_POINTS = 500
MOST_EVENTS = 100
LONGEST_SPAN = timedelta(days=3660)

DENIAL_MACHINE = StateMachine(
    name="warranty denial",
    initial="standing",
    moves={"standing": {"overturn": "overturned"}, "overturned": {}},
    notes="While it stands the warranty question answers no for its case; its evidence is never changed.",
)


@dataclass(frozen=True)
class Exceeded:
    """How often a metric was beyond a threshold.

    Attributes:
        unit: What was counted: readings, or hours or days in which one was beyond it.
        total: All of them in the span.
        beyond: Those beyond the threshold.
        readings: All readings in the span.
        extreme: The greatest value, or the least where `direction` is below; None without readings.
        first_at: When it was first beyond it; the start of the hour or day.
        last_at: And last.
    """

    unit: Unit
    total: int
    beyond: int
    readings: int
    extreme: float | None
    first_at: datetime | None
    last_at: datetime | None


def misfit_of_span(from_time: datetime, to_time: datetime, now: datetime) -> tuple[str, str] | None:
    """The field of a span that cannot be, and why; None when it can."""
    if to_time > now:
        return "to", f"is after now, {now.isoformat()}; evidence is what was"
    if from_time >= to_time:
        return "from", "must be before `to`"
    if to_time - from_time > LONGEST_SPAN:
        return "from", f"is more than {LONGEST_SPAN.days} days before `to`"
    return None


def extract(
    chart: Mapping[str, Any],
    exceeded: Exceeded,
    events: Sequence[Mapping[str, Any]],
    *,
    threshold: float,
    direction: Direction,
    frozen_at: datetime,
) -> dict[str, Any]:
    """What is frozen with a denial, as JSON: the series in at most 500 points, the counts, the latest events.

    Args:
        chart: Of the metric over the span, as `/v1/assets/{serial}/readings` answers.
        exceeded: The counts.
        events: Of the span, newest first; one more than is kept tells that there are more.
        threshold: In the metric's unit.
        direction: Which side of it is meant.
        frozen_at: Now.
    """
    return {
        "metric": chart["metric"],
        "unit": chart["unit"],
        "from": chart["from_time"].isoformat(),
        "to": chart["to_time"].isoformat(),
        "threshold": threshold,
        "direction": direction,
        "counted": exceeded.unit,
        "total": exceeded.total,
        "beyond": exceeded.beyond,
        "readings": exceeded.readings,
        "extreme": exceeded.extreme,
        "first_at": _text(exceeded.first_at),
        "last_at": _text(exceeded.last_at),
        "resolution": chart["resolution"],
        "bucket_seconds": chart["bucket_seconds"],
        "points": [{**point, "time": _text(point["time"])} for point in chart["points"][:MOST_POINTS]],
        "events": [{**event, "time": _text(event["time"])} for event in events[:MOST_EVENTS]],
        "more_events": len(events) > MOST_EVENTS,
        "frozen_at": frozen_at.isoformat(),
    }


def customer_text(serial: str, grounds: Sequence[Ground], explanation: str, evidence: Mapping[str, Any] | None) -> str:
    """What the customer reads: why, what the machine recorded, and what they can do."""
    why = "; ".join(WORDS[ground] for ground in grounds)
    parts = [f"The warranty of your machine {serial} does not cover this case, because {why}."]
    if explanation:
        parts.append(explanation)
    if evidence is not None:
        unit = f" {evidence['unit']}" if evidence["unit"] else ""
        side = "greatest" if evidence["direction"] == "above" else "least"
        parts.append(
            f"From {evidence['from'][:10]} to {evidence['to'][:10]} the machine recorded {evidence['metric']} "
            f"{evidence['direction']} {evidence['threshold']:g}{unit} in {evidence['beyond']} of {evidence['total']} "
            f"{evidence['counted']}; the {side} value was {evidence['extreme']:g}{unit}."
        )
    parts.append("If you see it otherwise, answer this message: somebody else will look at it again.")
    return "\n\n".join(parts)


def overturned_text(serial: str) -> str:
    """What the customer reads when a denial is taken back."""
    return f"We have looked at your machine {serial} again: the warranty is no longer refused for this case."


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
