"""What a purchase order may become, how much is ordered, and when it comes: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, get_args

from api.conventions.states import StateMachine
from api.sla.hours import Calendar
from api.warehouses.rules import close_of_day

OrderState = Literal["draft", "sent", "confirmed", "partly_received", "received", "cancelled"]
PromiseState = Literal["open", "kept", "withdrawn"]
ORDER_STATES: tuple[OrderState, ...] = get_args(OrderState)
PROMISE_STATES: tuple[PromiseState, ...] = get_args(PromiseState)

ORDER = StateMachine(
    name="purchase order",
    initial="draft",
    moves={
        "draft": {"send": "sent", "cancel": "cancelled"},
        "sent": {
            "confirm": "confirmed",
            "receive_part": "partly_received",
            "receive": "received",
            "cancel": "cancelled",
        },
        "confirmed": {
            "confirm": "confirmed",
            "receive_part": "partly_received",
            "receive": "received",
            "cancel": "cancelled",
        },
        "partly_received": {
            "confirm": "partly_received",
            "receive_part": "partly_received",
            "receive": "received",
            "close": "received",
        },
        "received": {},
        "cancelled": {},
    },
    notes="""
- What is wanted of a supplier for a warehouse gathers in one draft; the database holds that by an index.
- `confirm` may come again: the supplier's latest date of each line holds, and counts before any lead time.
- `close` gives up what has not come after a part of it came; promises of it are withdrawn, and the cases hear of it.
""",
)

PROMISE = StateMachine(
    name="purchase promise",
    initial="open",
    moves={"open": {"keep": "kept", "withdraw": "withdrawn"}, "kept": {}, "withdrawn": {}},
    notes="Pieces to come that belong to a case. Kept: they have come, and are reserved for it.",
)

# The longest lead time after it still is a date.
LATEST_DAY = date(9980, 1, 1)
# More on one line is a mistake.
MOST_WANTED = 10**7


@dataclass(frozen=True)
class Terms:
    """On which terms a part is had.

    Attributes:
        supplier_id: From whom; None where nobody is known yet.
        supplier_sku: What the supplier calls it.
        price_minor: Of a piece, minor units; None where none is agreed.
        currency: Of the price.
        lead_time_days: Calendar days from sending the order to having it on hand.
        minimum_quantity: Fewer can't be ordered.
        pack_size: Only whole packs can.
        over_delivery_percent: So much more than ordered is taken in.
        place: The lowest is asked first.
    """

    supplier_id: int | None
    supplier_sku: str
    price_minor: int | None
    currency: str
    lead_time_days: int
    minimum_quantity: int = 1
    pack_size: int = 1
    over_delivery_percent: int = 0
    place: int = 100


def best_terms(terms: Iterable[Terms]) -> Terms | None:
    """The supplier to ask: the first by place, then who delivers soonest, then by number; None where nobody does.

    Prices do not decide: they may be in several currencies, and whoever wants the cheapest first says so by place.
    """
    return min(terms, key=lambda one: (one.place, one.lead_time_days, one.supplier_id or 0), default=None)


def order_quantity(wanted: int, minimum_quantity: int, pack_size: int) -> int:
    """What must be ordered to have what is wanted: the minimum at least, and whole packs."""
    return -(-max(wanted, minimum_quantity) // pack_size) * pack_size


def most_accepted(quantity: int, over_delivery_percent: int) -> int:
    """How many pieces of a line are taken in at most; a part of a piece does not count."""
    return quantity * (100 + over_delivery_percent) // 100


def expected_at(hours: Calendar, begins_on: date, lead_time_days: int, confirmed_on: date | None) -> datetime:
    """When a line's pieces can be used: by closing time of the day the supplier confirmed, else of its lead time's end.

    Args:
        hours: When the warehouse is open.
        begins_on: The day on which the order was sent; of a draft, the day of asking.
        lead_time_days: Calendar days.
        confirmed_on: The day that the supplier said, if any.
    """
    return close_of_day(hours, confirmed_on or min(begins_on, LATEST_DAY) + timedelta(days=lead_time_days))


@dataclass(frozen=True)
class Promised:
    """Pieces of a line that belong to somebody.

    Attributes:
        purchase_promise_id: Which promise.
        quantity: How many.
    """

    purchase_promise_id: int
    quantity: int


def share_out(pieces: int, promises: Iterable[Promised]) -> list[Promised]:
    """Who gets how many of the pieces that came; the first promised is the first served, the last maybe in part."""
    shares = []
    for promise in promises:
        share = min(pieces, promise.quantity)
        if share:
            shares.append(Promised(promise.purchase_promise_id, share))
        pieces -= share
    return shares
