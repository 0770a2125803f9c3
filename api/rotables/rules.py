"""The life of a part with a serial number, and what each step of it moves in the ledger: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from api.conventions.states import StateMachine
from api.stock.rules import Entry, MovementKind, Place, PlaceKind

RotableState = Literal[
    "in_stock", "issued", "installed", "removed", "quarantined", "in_repair", "scrapped", "lost"
]  # fmt: skip
Ledger = Literal["move", "moved"]
Arrival = Literal["received", "counted"]

ROTABLE = StateMachine(
    name="rotable",
    initial="in_stock",
    moves={
        "in_stock": {
            "issue": "issued",
            "install": "installed",
            "send": "in_repair",
            "relocate": "in_stock",
            "scrap": "scrapped",
            "lose": "lost",
        },
        "issued": {"install": "installed", "give_back": "in_stock", "scrap": "scrapped", "lose": "lost"},
        "installed": {"remove": "removed", "lose": "lost"},
        "removed": {"install": "installed", "take_in": "quarantined", "scrap": "scrapped", "lose": "lost"},
        "quarantined": {
            "send": "in_repair",
            "release": "in_stock",
            "relocate": "quarantined",
            "scrap": "scrapped",
            "lose": "lost",
        },
        "in_repair": {"take_back": "in_stock", "scrap": "scrapped", "lose": "lost"},
        "scrapped": {},
        "lost": {"find": "quarantined"},
    },
    notes="A new one may also begin `installed`, in the machine it was built into. What comes out of a machine goes "
    "through a quarantine or a repair centre before it is stock again, so that nobody is promised what may be broken.",
)

# Where what may be broken lies: nothing is given to a job from there.
SET_ASIDE = frozenset({"quarantine", "repair_centre"})
# In the ledger: where a piece is in each state. What is in or just out of a machine is used; outside the ledger it has
# no warehouse.
PLACES: Mapping[str, PlaceKind] = {
    "in_stock": "free",
    "issued": "issued",
    "installed": "used",
    "removed": "used",
    "quarantined": "free",
    "in_repair": "repair",
    "scrapped": "scrapped",
    "lost": "variance",
}
_IN_A_WAREHOUSE = frozenset({"in_stock", "issued", "quarantined"})
_KINDS: Mapping[str, MovementKind] = {
    "issue": "issue",
    "install": "consume",
    "give_back": "return",
    "take_in": "return",
    "send": "repair_out",
    "take_back": "repair_in",
    "scrap": "scrap",
    "lose": "count",
    "find": "count",
}


@dataclass(frozen=True)
class Step:
    """What is done with a piece.

    Attributes:
        action: Of the state machine.
        from_state: Before it.
        to_state: After it.
        from_warehouse_id: Where it was, or which it left last.
        to_warehouse_id: Where it goes; None: it stays, or leaves the warehouses.
    """

    action: str
    from_state: str
    to_state: str
    from_warehouse_id: int | None
    to_warehouse_id: int | None = None


def entries(part_id: int, step: Step) -> list[Entry]:
    """The lines of the ledger for one piece; none where it stays in the same place.

    The ledger has a warehouse on one side of each line. What is scrapped or lost out at repair comes back on paper
    first; what is released goes out to whoever looked at it, and from there into its new warehouse.
    """
    source, target = _place(step, before=True), _place(step, before=False)
    if source == target or (source.kind == target.kind and source.warehouse_id is None):
        return []
    if step.action == "release":
        away = Place("repair")
        return [Entry(part_id, 1, "repair_out", source, away), Entry(part_id, 1, "repair_in", away, target)]
    kind = _KINDS[step.action]
    if source.warehouse_id is None and target.warehouse_id is None:
        # In the ledger it was used already: nothing is left to take away.
        if source.kind == "used" or step.from_warehouse_id is None:
            return []
        back = Place("free", step.from_warehouse_id)
        return [Entry(part_id, 1, "repair_in", source, back), Entry(part_id, 1, kind, back, target)]
    return [Entry(part_id, 1, kind, source, target)]


def _place(step: Step, *, before: bool) -> Place:
    state = step.from_state if before else step.to_state
    if state not in _IN_A_WAREHOUSE:
        return Place(PLACES[state])
    warehouse_id = step.from_warehouse_id if before else step.to_warehouse_id or step.from_warehouse_id
    return Place(PLACES[state], warehouse_id)


def days_between(installed_at: datetime, removed_at: datetime) -> int:
    """Whole days that a piece was in a machine."""
    return (removed_at - installed_at).days
