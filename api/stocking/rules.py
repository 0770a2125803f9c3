"""What may become of a proposal, when stock is slow or dead, and how many pieces are enough: pure."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, get_args

from api.conventions.states import StateMachine

ProposalKind = Literal["levels", "transfer", "purchase"]
ProposalState = Literal["proposed", "accepted", "rejected", "superseded"]
PROPOSAL_STATES: tuple[ProposalState, ...] = get_args(ProposalState)

PROPOSAL = StateMachine(
    name="stocking proposal",
    initial="proposed",
    moves={
        "proposed": {"accept": "accepted", "reject": "rejected", "supersede": "superseded"},
        "accepted": {},
        "rejected": {},
        "superseded": {},
    },
    notes="""
- Accepted, it is done in the same call: levels are set, a transfer is planned, a line of a draft order is made.
- A new run supersedes what is still proposed for the warehouses that it plans.
""",
)

Idleness = Literal["dead", "slow"]

DEAD_AFTER = timedelta(days=365)
"""On hand for so long, and not used for so long, stock is dead."""
SLOW_COVER_MONTHS = 12
"""More than is used in so many months is slow; use is measured over the last year."""
USE_SEEN = timedelta(days=365)


def enough(chance: Sequence[float], level: float) -> int:
    """The fewest pieces that are enough with at least this probability.

    >>> enough([0.5, 0.25, 0.25], 0.9)
    2
    """
    total = 0.0
    for pieces, probability in enumerate(chance):
        total += probability
        if total >= level - 1e-9:
            return pieces
    return len(chance) - 1


def exceeding(chance: Sequence[float]) -> tuple[float, ...]:
    """P(D > k) for k = 0, 1, 2 … of probabilities of 0, 1, 2 … pieces.

    >>> exceeding([0.5, 0.25, 0.25])
    (0.5, 0.25)
    """
    beyond, left = [], 1.0
    for probability in chance[:-1]:
        left -= probability
        beyond.append(max(left, 0.0))
    return tuple(beyond)
