"""When something that is sent arrives, and what sending it costs: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Literal, get_args

from api.sla.hours import ALWAYS_OPEN, Calendar, Spans, open_stretches

WarehouseKind = Literal["central", "partner", "van", "repair_centre", "quarantine"]
ShippingClass = Literal["normal", "hazardous", "battery", "oversize"]

WAREHOUSE_KINDS: tuple[WarehouseKind, ...] = get_args(WarehouseKind)
SHIPPING_CLASSES: tuple[ShippingClass, ...] = get_args(ShippingClass)
# From the others nothing is given to a job: what lies in quarantine may be unfit, a repair centre uses its own.
GIVING_KINDS: frozenset[WarehouseKind] = frozenset({"central", "partner", "van"})

# Along a way that nobody has entered; what is dangerous wants a lane that says so.
UNENTERED_CLASSES: frozenset[str] = frozenset({"normal", "oversize"})

# A house that does not open for so long does not matter to an arrival.
LONGEST_CLOSED = timedelta(days=400)
LATEST = datetime(9998, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lane:
    """A way from one warehouse to another.

    Attributes:
        from_warehouse_id: Where it begins.
        to_warehouse_id: Where it ends.
        transit_hours: From leaving to being there, by the clock, nights and holidays included.
        freight_base_minor: What a shipment costs, whatever is in it; minor units.
        freight_kg_minor: What each kilogram adds; minor units.
        currency: Of both.
        shipping_classes: What its carrier takes.
        entered: False where nobody has said how long it takes, and the warehouse's transfer days stand for it.
    """

    from_warehouse_id: int
    to_warehouse_id: int
    transit_hours: int
    freight_base_minor: int
    freight_kg_minor: int
    currency: str
    shipping_classes: frozenset[str]
    entered: bool = True

    def takes(self, shipping_class: str) -> bool:
        """Whether something of that class may be sent along it."""
        return shipping_class in self.shipping_classes


def unentered_lane(from_warehouse_id: int, to_warehouse_id: int, transfer_days: int, currency: str = "EUR") -> Lane:
    """What holds for a way that nobody has entered: the days of the warehouse that it begins at, and no freight."""
    return Lane(
        from_warehouse_id, to_warehouse_id, transfer_days * 24, 0, 0, currency, UNENTERED_CLASSES, entered=False
    )


def arrives_at(lane: Lane, hours: Calendar, now: datetime, *, departs: Calendar = ALWAYS_OPEN) -> datetime:
    """When something that is to be sent now is there and has been taken in.

    It leaves when the house it comes from is open, travels the hours of the lane, and waits at the door until the house
    it goes to opens.

    Args:
        lane: The way.
        hours: When the house it goes to is open.
        now: From when on it can leave.
        departs: When the house it comes from is open.
    """
    left = next_open(departs, now)
    there = left if left >= LATEST else left + timedelta(hours=lane.transit_hours)
    return next_open(hours, there)


def next_open(hours: Calendar, at: datetime) -> datetime:
    """The first open instant from one on; itself where it is open, or where the house stays closed for a year."""
    if hours is ALWAYS_OPEN or at >= LATEST:
        return at
    soon = takewhile(lambda stretch: stretch[0] < at + LONGEST_CLOSED, open_stretches(hours, at))
    stretch = next(soon, None)
    return at if stretch is None else max(at, stretch[0])


def close_of_day(hours: Calendar, day: date) -> datetime:
    """When a day's goods are in at the latest: closing time of that day, or of the next one on which the house opens.

    Args:
        hours: When the house is open.
        day: Of its wall clock.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=hours.zone).astimezone(UTC)
    following = midnight + timedelta(days=1)
    if midnight >= LATEST:
        return following
    last = None
    for opens, closes in takewhile(
        lambda stretch: stretch[0] < midnight + LONGEST_CLOSED, open_stretches(hours, midnight)
    ):
        shown = opens.astimezone(hours.zone).date()
        if last is not None and shown > last[0]:
            break
        last = (shown, closes)
    return following if last is None else last[1]


def freight_minor(lane: Lane, weight_grams: int) -> int:
    """What one shipment costs: the base, and its weight to the gram; half a minor unit counts as one."""
    return lane.freight_base_minor + weight_freight_minor(lane, weight_grams)


def weight_freight_minor(lane: Lane, weight_grams: int) -> int:
    """What a weight adds to a shipment that goes anyway; half a minor unit counts as one."""
    return (2 * lane.freight_kg_minor * weight_grams + 1000) // 2000


@dataclass(frozen=True)
class HouseDays:
    """Days that are not like their weekday, from where they are known.

    Attributes:
        of_calendar: The holidays that are kept: closed, or a make-up working day.
        own: The house's own, which hold against them.
    """

    of_calendar: Mapping[date, Spans]
    own: Mapping[date, Spans]

    @property
    def all(self) -> dict[date, Spans]:
        """By day."""
        return {**self.of_calendar, **self.own}
