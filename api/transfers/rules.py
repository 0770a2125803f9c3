"""What a transfer may become, and what a delivery makes of its pieces: pure."""

from dataclasses import dataclass
from typing import Literal, get_args

from api.conventions.states import StateMachine

TransferState = Literal["planned", "shipped", "received", "cancelled", "lost"]
TRANSFER_STATES: tuple[TransferState, ...] = get_args(TransferState)
OPEN_STATES: frozenset[TransferState] = frozenset({"planned", "shipped"})

TRANSFER = StateMachine(
    name="transfer",
    initial="planned",
    moves={
        "planned": {"ship": "shipped", "cancel": "cancelled"},
        "shipped": {"receive_part": "shipped", "receive": "received", "lose": "lost"},
        "received": {},
        "cancelled": {},
        "lost": {},
    },
    notes="""
- From `planned` on its pieces are kept: by the reservation that travels, else for the transfer itself.
- Shipped, they are on their way to the warehouse; a reservation is that warehouse's then, and available when it is due.
- A receipt may be of a part of the pieces; damaged ones go to quarantine. `lose` gives up what has not come.
- A planned transfer whose reservation has ended is cancelled by a duty.
""",
)


@dataclass(frozen=True)
class Delivery:
    """What came of a transfer's pieces that were still on their way.

    Attributes:
        good: Fit for use.
        damaged: To quarantine.
        rest: Not come yet.
    """

    good: int
    damaged: int
    rest: int

    @property
    def action(self) -> str:
        """What it is for the transfer."""
        return "receive_part" if self.rest else "receive"


def delivery_of(outstanding: int, good: int | None, damaged: int) -> Delivery | None:
    """What a receipt makes of the pieces on their way; None where more came than was sent.

    Args:
        outstanding: Pieces on their way.
        good: How many came fit for use; None for all that did not come damaged.
        damaged: How many came damaged.
    """
    fit = max(0, outstanding - damaged) if good is None else good
    rest = outstanding - fit - damaged
    return None if rest < 0 else Delivery(fit, damaged, rest)
