"""What a demand for a part goes through, and what the customer is told: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from api.conventions.states import StateMachine

DemandState = Literal["open", "allocated", "fulfilled", "refused", "cancelled"]
Kind = Literal["on_hand", "transfer", "kit", "alternative", "purchase"]
MadeBy = Literal["single", "plan", "event"]

DEMAND = StateMachine(
    name="part demand",
    initial="open",
    moves={
        "open": {"allocate": "allocated", "refuse": "refused", "cancel": "cancelled"},
        "allocated": {
            "allocate": "allocated",
            "refuse": "refused",
            "fulfil": "fulfilled",
            "cancel": "cancelled",
        },
        "refused": {"allocate": "allocated", "refuse": "refused", "cancel": "cancelled"},
        "fulfilled": {},
        "cancelled": {},
    },
    notes="An open demand waits for the nightly plan. An allocated one has pieces kept, on their way or ordered, and a "
    "date promised; it is decided anew when what it relies on is gone or comes at another time, or when a plan of all "
    "demands does better. A refused one is tried again when pieces of the part come in, and every day. Fulfilled: the "
    "pieces were used.",
)
ALIVE: tuple[str, ...] = ("open", "allocated", "refused")

# The most urgent first.
PLACE_OF_PRIORITY: dict[str, int] = {"urgent": 1, "high": 2, "normal": 3, "low": 4}

# A date that moves by less is no news for a customer.
NEWS = timedelta(hours=12)
TRY_AGAIN = timedelta(days=1)

# Jobs that somebody is on the way with, relying on the parts as they are; and jobs that need none any more.
GIVEN_OUT = frozenset({"dispatched", "in_progress"})
ENDED = frozenset({"completed", "cancelled"})
TICKET_OVER = frozenset({"resolved", "closed", "cancelled", "merged"})


@dataclass(frozen=True)
class Message:
    """One line and a text for the customer."""

    subject: str
    body: str


def is_news(told: datetime | None, promised: datetime | None) -> bool:
    """Whether a promised date differs from the one told before by more than a customer can overlook."""
    return promised is not None and told is not None and abs(promised - told) >= NEWS


def told_after(state: str, promised_at: datetime | None, told_at: datetime | None, now: datetime) -> datetime | None:
    """Which date a customer knows once an answer was told: a refusal's and a later one's; none of what is at hand."""
    if promised_at is None or (state != "refused" and promised_at <= now):
        return told_at
    return promised_at if state == "refused" or told_at is None or is_news(told_at, promised_at) else told_at


def day_of(at: datetime) -> str:
    """A day as it stands in texts."""
    return f"{at:%Y-%m-%d}"


def promised_message(demand: Mapping[str, Any]) -> Message:
    """A part is not at hand, and when it will be.

    Args:
        demand: `quantity`, `given` (name of the part), `promised_at`, `needed_by`, `kind`, and what it is for: `what`.
    """
    how = {
        "transfer": "comes from another warehouse",
        "kit": "is taken out of a kit",
        "alternative": "comes in a version that fits too",
        "purchase": "is ordered from its maker",
        "on_hand": "is sent to you",
    }[demand["kind"]]
    day = day_of(demand["promised_at"])
    lines = [f"{_pieces(demand)} {how}. It will be with you by {day}."]
    if demand["promised_at"] > demand["needed_by"]:
        lines.append(
            f"That is later than planned ({day_of(demand['needed_by'])}); we are sorry, and tell you if it changes."
        )
    return Message(f"{demand['what']}: the part is promised for {day}", "\n".join(lines))


def moved_message(demand: Mapping[str, Any]) -> Message:
    """A promised date has moved; `told_at` is the one before."""
    day, before = day_of(demand["promised_at"]), day_of(demand["told_at"])
    later = demand["promised_at"] > demand["told_at"]
    how = "only by" if later else "sooner, by"
    body = f"{_pieces(demand)}: we had promised it for {before}. It will be with you {how} {day}."
    return Message(f"{demand['what']}: the part comes {'later' if later else 'sooner'}, on {day}", body)


def arrived_message(demand: Mapping[str, Any]) -> Message:
    """A part that was waited for is there."""
    body = f"{_pieces(demand)} has arrived and is kept for you. The work can be done now."
    return Message(f"{demand['what']}: the part has arrived", body)


def refused_message(demand: Mapping[str, Any]) -> Message:
    """No part, and when there may be one."""
    when = f" The earliest date we can name is {day_of(demand['promised_at'])}." if demand["promised_at"] else ""
    body = f"{_pieces(demand)} cannot be had in time.{when} We go on looking and tell you when it changes."
    return Message(f"{demand['what']}: the part cannot be had in time", body)


def subject_of(demand: Mapping[str, Any]) -> str:
    """What a demand is for, in a customer's words."""
    if demand["ticket_id"] is not None:
        return f"Case {demand['ticket_id']}"
    return f"Job {demand['job_id']}"


def _pieces(demand: Mapping[str, Any]) -> str:
    number = f"{demand['quantity']} × " if demand["quantity"] > 1 else ""
    return f"{number}{demand['given']}"
