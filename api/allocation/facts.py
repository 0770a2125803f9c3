"""What an answer depends on: what is needed, what there is, how it travels, what counts how much. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.allocation.risk import half_up
from api.conventions.positions import Position
from api.warehouses.rules import Lane as WayLane

DAY_S = 86_400


@dataclass(frozen=True)
class Policy:
    """What counts how much; see `service.allocation_policy`."""

    currency: str
    late_minor: dict[str, int]
    refusal_days: int
    holding_bp: int
    oldest_days: int
    shortage_minor: int
    service_level_bp: int
    freight_base_minor: int
    freight_kg_minor: int
    order_minor: int
    kit_minor: int
    alternative_minor: int

    def lateness_minor(self, priority: str, needed_by: datetime, available_at: datetime) -> int:
        """What it costs to come later than needed."""
        late_s = (available_at - needed_by).total_seconds()
        return half_up(self.late_minor[priority] * late_s / DAY_S) if late_s > 0 else 0

    def refusal_minor(self, priority: str) -> int:
        """What it costs not to meet a demand."""
        return self.late_minor[priority] * self.refusal_days


@dataclass(frozen=True)
class Part:
    """What is asked for, or could be given instead."""

    part_id: int
    sku: str
    cost_minor: int
    currency: str
    weight_grams: int = 0
    shipping_class: str = "normal"
    lead_time_days: int = 14
    state: str = "active"


@dataclass(frozen=True)
class Spot:
    """A warehouse."""

    warehouse_id: int
    code: str
    kind: str
    territory: str
    position: Position | None = None
    transfer_days: int = 1
    provider_id: int | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Way:
    """How a warehouse's pieces come to the one near the site.

    Attributes:
        lane: With its freight, entered or not.
        arrives_at: When what is given to the carrier now is there.
    """

    lane: WayLane
    arrives_at: datetime


@dataclass(frozen=True)
class Stock:
    """What a warehouse has of a part.

    Attributes:
        spot: The warehouse.
        part: The part.
        on_hand: Pieces there.
        reserved: Of them kept for others.
        mean: Expected demand there until more can come, pieces.
        stocked_at: When they came in, on average.
        way: To the warehouse near the site.
    """

    spot: Spot
    part: Part
    on_hand: int
    reserved: int
    mean: float = 0.0
    stocked_at: datetime | None = None
    way: Way | None = None

    @property
    def available(self) -> int:
        """Pieces that can be taken."""
        return self.on_hand - self.reserved


@dataclass(frozen=True)
class Substitute:
    """A part that may be given instead of the one asked for."""

    part: Part
    why: str


@dataclass(frozen=True)
class Kit:
    """A kit that the part is in."""

    part: Part
    pieces: int


@dataclass(frozen=True)
class Source:
    """Where the part can be ordered, or is already.

    Attributes:
        part: The part asked for, or its successor.
        available_at: When it can be at the site.
        supplier: Its name; empty when one is still to be found.
        line_id: Of an order that has pieces for nobody yet; None for a new one.
        price_minor: Of a piece; None where none is agreed.
        currency: Of the price.
    """

    part: Part
    available_at: datetime
    supplier: str = ""
    line_id: int | None = None
    price_minor: int | None = None
    currency: str = ""


@dataclass(frozen=True)
class Need:
    """What is needed, when and where.

    Attributes:
        part: What.
        quantity: Pieces.
        needed_by: When at the latest.
        priority: Of the case.
        strict: By that date or not at all.
        territory: Of the site.
        position: Of the site, if known.
        near: Warehouses at the site, in order of how fit they are to be sent to; the first is the one.
        delivery: Where a supplier would deliver to: the same, or a central warehouse where the site has none.
    """

    part: Part
    quantity: int
    needed_by: datetime
    priority: str
    strict: bool
    territory: str
    position: Position | None
    near: tuple[Spot, ...] = ()
    delivery: Spot | None = None

    @property
    def target(self) -> Spot | None:
        """Where parts are sent to."""
        return self.near[0] if self.near else None


@dataclass(frozen=True)
class Facts:
    """All that an answer depends on."""

    stocks: Sequence[Stock]
    substitutes: Sequence[Substitute] = ()
    kits: Sequence[Kit] = ()
    sources: Sequence[Source] = ()
