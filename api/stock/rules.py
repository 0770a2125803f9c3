"""What a movement of stock is, and what it makes of the balances: pure.

The ledger is double-entry: what leaves one place arrives at another. Places in a warehouse have a balance, which may
never be negative; those outside (the supplier, what was used, scrapped, found or missing…) have none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from api.conventions.states import StateMachine

PlaceKind = Literal[
    "free", "reserved", "issued", "transit", "supplier", "used", "scrapped", "variance", "converted", "repair"
]
MovementKind = Literal[
    "receipt", "transfer_out", "transfer_in", "reserve", "release", "issue", "consume", "return", "scrap", "count",
    "convert", "repair_out", "repair_in",
]  # fmt: skip
CauseKind = Literal[
    "ticket", "job", "visit", "reservation", "transfer", "purchase", "count", "rotable", "kit", "repair", "old_part",
    "note",
]  # fmt: skip

IN_A_WAREHOUSE = frozenset({"free", "reserved", "issued", "transit"})

# A balance is an `integer` of PostgreSQL.
MOST_PIECES = 2**31 - 1


@dataclass(frozen=True)
class Place:
    """Where pieces are.

    Attributes:
        kind: In a warehouse `free`, `reserved` (kept, still on the shelf), `issued` (in a technician's hands) or
            `transit` (on its way there); else outside.
        warehouse_id: For places in a warehouse, and only those.
    """

    kind: PlaceKind
    warehouse_id: int | None = None

    def __post_init__(self) -> None:
        if (self.kind in IN_A_WAREHOUSE) != (self.warehouse_id is not None):
            raise ValueError(f"{self.kind} {'needs a' if self.warehouse_id is None else 'has no'} warehouse")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        part_id: Of what.
        quantity: Pieces, at least 1.
        kind: What happens.
        source: From where.
        target: To where.
    """

    part_id: int
    quantity: int
    kind: MovementKind
    source: Place
    target: Place


@dataclass(frozen=True)
class Cause:
    """Why something moves: the number of a ticket, job, visit…, or the text of a note."""

    kind: CauseKind
    key: str

    @classmethod
    def of(cls, kind: CauseKind, number: int) -> "Cause":
        """The cause that has a number."""
        return cls(kind, str(number))


# Of a part in a warehouse: (part_id, warehouse_id).
Shelf = tuple[int, int]
# Pieces by place: free, reserved, issued, transit.
Pieces = Mapping[str, int]
EMPTY: Pieces = {"free": 0, "reserved": 0, "issued": 0, "transit": 0}


def shelves(entries: Iterable[Entry]) -> list[Shelf]:
    """The balances that entries touch, in the order in which everybody locks them."""
    return sorted(
        {
            (entry.part_id, place.warehouse_id)
            for entry in entries
            for place in (entry.source, entry.target)
            if place.warehouse_id is not None
        }
    )


def moved(balances: Mapping[Shelf, Pieces], entries: Iterable[Entry]) -> dict[Shelf, dict[str, int]]:
    """The balances after all entries."""
    after = {shelf: dict(pieces) for shelf, pieces in balances.items()}
    for entry in entries:
        for place, pieces in ((entry.source, -entry.quantity), (entry.target, entry.quantity)):
            if place.warehouse_id is not None:
                shelf = after.setdefault((entry.part_id, place.warehouse_id), dict(EMPTY))
                shelf[place.kind] += pieces
    return after


def out_of_range(after: Mapping[Shelf, Pieces]) -> tuple[Shelf, str] | None:
    """The first balance that cannot be, and its place; None when all can."""
    for shelf in sorted(after):
        pieces = after[shelf]
        for place in EMPTY:
            if not 0 <= pieces[place] <= MOST_PIECES:
                return shelf, place
        if pieces["free"] + pieces["reserved"] > MOST_PIECES:
            return shelf, "free"
    return None


# Counts -------------------------------------------------------------------------------------------

CountState = Literal["draft", "counted", "approved", "rejected", "cancelled"]
COUNT_STATES: tuple[CountState, ...] = get_args(CountState)

STOCK_COUNT = StateMachine(
    name="stock count",
    initial="draft",
    moves={
        "draft": {"finish": "counted", "cancel": "cancelled"},
        "counted": {"approve": "approved", "reject": "rejected"},
        "rejected": {},
        "approved": {},
        "cancelled": {},
    },
    notes="A count whose differences are worth no more than a setting is approved as soon as it is finished; any other "
    "by somebody who did not count. What was rejected is counted again on a new sheet.",
)


@dataclass(frozen=True)
class Variance:
    """What the differences of a count are worth in one currency, minor units.

    Attributes:
        currency: Of both.
        found_minor: What there was more than the ledger said.
        missing_minor: What there was less.
    """

    currency: str
    found_minor: int
    missing_minor: int


def needs_approval(variances: Iterable[Variance], threshold_minor: int) -> bool:
    """Whether somebody else must look: what was found does not make good for what is missing, so both count."""
    return any(item.found_minor + item.missing_minor > threshold_minor for item in variances)
