"""What a claim against a supplier may become, what it is about, and until when; pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from api.conventions.states import StateMachine
from api.warranty.derivation import LATEST, last_day

Action = Literal["submit", "accept", "accept_partly", "reject", "appeal", "settle", "withdraw"]

CLAIM_MACHINE = StateMachine(
    name="supplier claim",
    initial="draft",
    moves={
        "draft": {"submit": "submitted", "withdraw": "withdrawn", "expire": "expired"},
        "submitted": {
            "accept": "accepted",
            "accept_partly": "partly_accepted",
            "reject": "rejected",
            "withdraw": "withdrawn",
        },
        "accepted": {"settle": "settled"},
        "partly_accepted": {"settle": "settled", "appeal": "submitted"},
        "rejected": {"appeal": "submitted"},
        "settled": {},
        "withdrawn": {},
        "expired": {},
    },
    notes="A failed component that was replaced drafts its claim by itself; a draft expires with its deadline.",
)

# So long before its deadline somebody is told of a draft.
REMIND_AHEAD = timedelta(days=14)


@dataclass(frozen=True)
class Span:
    """Where a failure lies in the supplier's warranty.

    Attributes:
        covered_until: Its last day.
        deadline: The last day on which the claim may be submitted.
        covered: Whether the failure was within it.
    """

    covered_until: date
    deadline: date
    covered: bool


def span_of(built_in_on: date, failed_on: date, *, warranty_months: int, claim_within_days: int) -> Span:
    """Where a failure lies in the warranty of a component that was built in on a day."""
    covered_until = last_day(min(built_in_on, LATEST), warranty_months)
    deadline = min(failed_on, LATEST) + timedelta(days=claim_within_days)
    return Span(covered_until, deadline, built_in_on <= failed_on <= covered_until)


def labour_minor(minutes: int, hour_minor: int) -> int:
    """What so many minutes cost at so much an hour, in minor units, half of one rounded up."""
    return (2 * minutes * hour_minor + 60) // 120


def misfit_of_amounts(
    action: str, claimed_minor: int, accepted_minor: int | None, given_accepted: int | None, given_settled: int | None
) -> tuple[str, str] | None:
    """The amount that does not fit an action, and why; None when all do.

    Args:
        action: What is done.
        claimed_minor: What was claimed, minor units.
        accepted_minor: What the supplier accepted before, if anything.
        given_accepted: What it is said to accept now.
        given_settled: What it is said to have paid.
    """
    if given_accepted is not None and action != "accept_partly":
        return "accepted_minor", "is only for accept_partly"
    if given_settled is not None and action != "settle":
        return "settled_minor", "is only for settle"
    if action == "accept_partly" and (given_accepted is None or not 0 < given_accepted < claimed_minor):
        return "accepted_minor", f"must be more than 0 and less than the {claimed_minor} claimed"
    if action == "settle" and given_settled is not None and given_settled > (accepted_minor or 0):
        return "settled_minor", f"must not be more than the {accepted_minor} accepted"
    if action == "submit" and claimed_minor == 0:
        return "action", "a claim of nothing cannot be submitted; PATCH its amounts first"
    return None
