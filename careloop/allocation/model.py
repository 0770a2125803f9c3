"""Demands for parts, the options that would meet them, and what a plan costs; pure.

All costs are whole minor units of one currency. A plan costs the sum of four things: what each chosen option costs by
itself, the base freight of each lane that at least one choice ships along, the stock-out risk of the pieces taken from
each shelf, and what refused demands cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class OptionKind(StrEnum):
    """How a demand can be met, the plainest first."""

    ON_HAND = "on_hand"
    TRANSFER = "transfer"
    KIT = "kit"
    ALTERNATIVE = "alternative"
    PURCHASE = "purchase"


@dataclass(frozen=True, order=True, slots=True)
class ShelfKey:
    """A part in a warehouse."""

    warehouse_id: int
    part_id: int


@dataclass(frozen=True, order=True, slots=True)
class Lane:
    """A way that shipments go: those of one plan along one lane share the base freight."""

    from_warehouse_id: int
    to_warehouse_id: int


@dataclass(frozen=True, slots=True)
class Take:
    """Pieces that an option takes from a shelf."""

    shelf: ShelfKey
    pieces: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """What can be taken of a part in a warehouse.

    Attributes:
        key: Which part and warehouse.
        available: Pieces that are on hand and kept for nobody.
        risk_minor: What taking the first, second, … piece costs in expected shortage. Never falling: the fewer are
            left, the more the next one is worth. Where more are taken than it names, the last one counts.
    """

    key: ShelfKey
    available: int
    risk_minor: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if any(later < earlier for earlier, later in zip(self.risk_minor, self.risk_minor[1:], strict=False)):
            raise ValueError(f"the risk of shelf {self.key} falls; each further piece must cost at least as much")

    def risk_of(self, taken: int, pieces: int) -> int:
        """Expected shortage cost of `pieces` more when `taken` are gone already, in minor units."""
        if not self.risk_minor:
            return 0
        last = len(self.risk_minor) - 1
        return sum(self.risk_minor[min(place, last)] for place in range(taken, taken + pieces))


@dataclass(frozen=True, slots=True)
class Option:
    """One way to meet a demand.

    Attributes:
        kind: How.
        part_id: Which part the customer gets; of an alternative another one than was asked for.
        warehouse_id: Where it comes from; of a purchase where it is delivered to.
        quantity: Pieces.
        available_at: When it can be at the site.
        takes: What leaves which shelves; nothing for a purchase.
        lane: Along which lane it is shipped, if it is.
        freight_base_minor: Freight of the lane's shipment, whatever is in it; shared by all that is shipped along it.
        freight_minor: What this part adds to the freight.
        lateness_minor: What coming later than needed costs.
        age_credit_minor: What is saved in holding cost by using stock as old as this; counts against the cost.
        extra_minor: Anything else: taking a kit apart, a dearer part, an express surcharge.
        reason: In words for a dispatcher.
    """

    kind: OptionKind
    part_id: int
    warehouse_id: int
    quantity: int
    available_at: datetime
    takes: tuple[Take, ...] = ()
    lane: Lane | None = None
    freight_base_minor: int = 0
    freight_minor: int = 0
    lateness_minor: int = 0
    age_credit_minor: int = 0
    extra_minor: int = 0
    reason: str = ""

    @property
    def own_minor(self) -> int:
        """What it costs whatever else is chosen: without the lane's base freight and without risk."""
        return self.freight_minor + self.lateness_minor + self.extra_minor - self.age_credit_minor


@dataclass(frozen=True, slots=True)
class Demand:
    """A part that is needed.

    Attributes:
        demand_id: Its number.
        needed_by: When it must be at the site.
        options: Ways to meet it; may be none.
        refusal_minor: What it costs not to meet it.
        priority: The lower the sooner it is served when demands are served one by one.
    """

    demand_id: int
    needed_by: datetime
    options: tuple[Option, ...]
    refusal_minor: int
    priority: int = 3


@dataclass(slots=True)
class Tally:
    """What a plan has taken and which lanes it ships along, while it is made."""

    shelves: Mapping[ShelfKey, Shelf]
    taken: dict[ShelfKey, int] = field(default_factory=lambda: defaultdict(int))
    lanes: set[Lane] = field(default_factory=set)

    def allows(self, option: Option) -> bool:
        """Whether what it takes is still there."""
        return all(self._left(take.shelf) >= take.pieces for take in option.takes)

    def _left(self, key: ShelfKey) -> int:
        shelf = self.shelves.get(key)
        return 0 if shelf is None else shelf.available - self.taken[key]

    def risk_minor(self, option: Option) -> int:
        """Expected shortage cost that it adds."""
        return sum(self.shelves[take.shelf].risk_of(self.taken[take.shelf], take.pieces) for take in option.takes)

    def base_freight_minor(self, option: Option) -> int:
        """Base freight that it adds: none where its lane is shipped along already."""
        return 0 if option.lane is None or option.lane in self.lanes else option.freight_base_minor

    def cost_minor(self, option: Option) -> int:
        """What choosing it now adds to the plan."""
        return option.own_minor + self.base_freight_minor(option) + self.risk_minor(option)

    def choose(self, option: Option) -> None:
        """Take what it takes, ship along its lane."""
        for take in option.takes:
            self.taken[take.shelf] += take.pieces
        if option.lane is not None:
            self.lanes.add(option.lane)


# What was chosen for each demand: the place of the option among its options; None for refused.
Plan = Mapping[int, int | None]


def plan_cost_minor(
    demands: Iterable[Demand], shelves: Mapping[ShelfKey, Shelf], plan: Plan, *, open_lanes: Iterable[Lane] = ()
) -> int:
    """What a plan costs.

    Args:
        demands: All demands.
        shelves: What there is.
        plan: Choice per demand; demands that it does not name are refused.
        open_lanes: Lanes along which something is shipped anyway; their base freight is paid.

    Raises:
        ValueError: It takes more than there is.
    """
    tally = Tally(shelves, lanes=set(open_lanes))
    cost = 0
    for demand in demands:
        place = plan.get(demand.demand_id)
        if place is None:
            cost += demand.refusal_minor
            continue
        option = demand.options[place]
        if not tally.allows(option):
            raise ValueError(f"demand {demand.demand_id}: the plan takes more than there is ({option.kind})")
        cost += tally.cost_minor(option)
        tally.choose(option)
    return cost


def cheapest(demand: Demand, tally: Tally) -> int | None:
    """The place of the cheapest option that is still possible; None where refusing costs less, or nothing is possible.

    Equal costs are told apart by the earlier arrival, then by the order of the options: the answer is always the same.
    """
    possible = [
        (tally.cost_minor(option), option.available_at, place)
        for place, option in enumerate(demand.options)
        if tally.allows(option)
    ]
    best = min(possible, default=None)
    return None if best is None or best[0] > demand.refusal_minor else best[2]


def shelves_by_key(shelves: Sequence[Shelf]) -> dict[ShelfKey, Shelf]:
    """Shelves by what they hold."""
    return {shelf.key: shelf for shelf in shelves}
