"""From facts to options: every way to meet a demand, what each costs, and why the others are none. Pure.

All costs are whole minor units of the policy's currency, halves up; what is known in another currency only is not
compared, and the reason says so.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.allocation.facts import Facts, Kit, Need, Part, Policy, Source, Spot, Stock, Substitute
from api.allocation.risk import half_up, taking_minor
from api.conventions.positions import Position, great_circle_km
from api.warehouses.rules import GIVING_KINDS, UNENTERED_CLASSES
from careloop.allocation.model import Lane, Option, OptionKind, ShelfKey, Take

YEAR_DAYS = 365
# Where parts for a site are best sent: to a partner there, or a central warehouse, to a van at last.
FITNESS_OF_KIND: dict[str, int] = {"partner": 0, "central": 1, "van": 2}
# At hand, a van is at the door already.
NEARNESS_OF_KIND: dict[str, int] = {"van": 0, "partner": 1, "central": 2}


@dataclass(frozen=True)
class Priced:
    """An option with its risk and names.

    Attributes:
        option: What the plan's model knows of it.
        risk_minor: Expected shortage that it leaves behind.
        sku: Of the part given.
        warehouse: Code of where it comes from; of a purchase where it is delivered to.
        to_warehouse: Where it is sent to, if it is.
        line_id: Of a purchase, the order that has it already.
    """

    option: Option
    risk_minor: int
    sku: str
    warehouse: str
    to_warehouse: str | None = None
    line_id: int | None = None

    @property
    def freight_minor(self) -> int:
        """All freight when nothing else goes along the lane."""
        return self.option.freight_base_minor + self.option.freight_minor

    @property
    def total_minor(self) -> int:
        """What choosing it costs when nothing else goes along the lane."""
        return self.option.own_minor + self.option.freight_base_minor + self.risk_minor


@dataclass(frozen=True)
class Unfit:
    """Why somewhere is no option."""

    warehouse: str
    sku: str
    reason: str


@dataclass(frozen=True)
class Ways:
    """What there is for a demand.

    Attributes:
        options: The cheapest first.
        unfit: Why there are no others.
        earliest: The first date on which it could be there, whatever it costs and whether that is too late.
    """

    options: list[Priced]
    unfit: list[Unfit]
    earliest: datetime | None


def options_of(need: Need, facts: Facts, policy: Policy, now: datetime) -> Ways:
    """Every way to meet a demand, and why there are no others.

    Equal costs are told apart by the earlier arrival, then by the plainer kind, the nearer warehouse, the one with more
    pieces, and its code: so the order is always the same.
    """
    asking = _Asking(need, policy, now)
    found: list[tuple[Priced, tuple[float, int, str]]] = []
    unfit: list[Unfit] = []
    instead = {substitute.part.part_id: substitute for substitute in facts.substitutes}
    kits = {kit.part.part_id: kit for kit in facts.kits}
    for stock in facts.stocks:
        why = asking.why_not(stock, instead, kits)
        if why is not None:
            unfit.append(Unfit(stock.spot.code, stock.part.sku, why))
            continue
        if stock.part.part_id == need.part.part_id:
            priced = asking.of_stock(stock)
        elif stock.part.part_id in instead:
            priced = asking.of_substitute(stock, instead[stock.part.part_id])
        else:
            priced = asking.of_kit(stock, kits[stock.part.part_id])
        found.append((priced, (asking.distance(stock.spot), -stock.available, stock.spot.code)))
    stocked = {stock.spot.warehouse_id for stock in facts.stocks if stock.part.part_id == need.part.part_id}
    unfit += [Unfit(spot.code, need.part.sku, "none on hand") for spot in need.near if spot.warehouse_id not in stocked]
    if need.delivery is not None:
        spot = need.delivery
        found += [(asking.of_source(source, spot), (math.inf, 0, source.supplier)) for source in facts.sources]
    earliest = min((priced.option.available_at for priced, _ in found), default=None)
    if need.strict:
        late = [priced for priced, _ in found if priced.option.available_at > need.needed_by]
        unfit += [Unfit(priced.warehouse, priced.sku, asking.too_late(priced)) for priced in late]
        found = [entry for entry in found if entry[0].option.available_at <= need.needed_by]
    plainness = list(OptionKind)
    found.sort(
        key=lambda entry: (
            entry[0].total_minor,
            entry[0].option.available_at,
            plainness.index(entry[0].option.kind),
            entry[1],
        )
    )
    return Ways([priced for priced, _ in found], unfit, earliest)


def targets(
    spots: Iterable[Spot], territory: str, position: Position | None, provider_id: int | None
) -> tuple[Spot, ...]:
    """The warehouses at a site, the fittest to send to first.

    The one of the partner whose case it is before others, a partner's before the central one before a van; of the same
    kind the nearest.
    """

    def fitness(spot: Spot) -> tuple[bool, int, float, str]:
        theirs = provider_id is not None and spot.provider_id == provider_id
        return not theirs, FITNESS_OF_KIND[spot.kind], _km(spot.position, position), spot.code

    near = [spot for spot in spots if spot.territory == territory and spot.kind in FITNESS_OF_KIND]
    return tuple(sorted(near, key=fitness))


@dataclass(frozen=True)
class _Giving:
    """What is given from a shelf: how, which part, how many pieces of the shelf, at what trouble, in which words."""

    kind: OptionKind
    part: Part
    taken: int
    extra_minor: int = 0
    words: str = ""


@dataclass(frozen=True)
class _Asking:
    """One need being priced."""

    need: Need
    policy: Policy
    now: datetime

    def is_near(self, spot: Spot) -> bool:
        return any(spot.warehouse_id == near.warehouse_id for near in self.need.near)

    def distance(self, spot: Spot) -> float:
        return (
            float(NEARNESS_OF_KIND.get(spot.kind, 9))
            if self.is_near(spot)
            else 10.0 + _km(spot.position, self.need.position)
        )

    def why_not(self, stock: Stock, instead: dict[int, Substitute], kits: dict[int, Kit]) -> str | None:
        """Why a stock is no option, in words for a dispatcher; None when it is one."""
        needed = self.need.quantity
        kit = kits.get(stock.part.part_id) if stock.part.part_id not in instead else None
        if kit is not None:
            needed = math.ceil(needed / kit.pieces)
        if stock.available < needed:
            return short_of(stock.on_hand, stock.reserved, needed)
        if stock.spot.kind not in GIVING_KINDS:
            return f"a {stock.spot.kind.replace('_', ' ')} gives nothing to cases; transfer its stock first"
        shipped = self.need.part if kit is not None else stock.part
        taken = UNENTERED_CLASSES if stock.way is None else stock.way.lane.shipping_classes
        if not self.is_near(stock.spot) and shipped.shipping_class not in taken:
            return f"no lane from there takes {shipped.shipping_class} goods"
        return None

    def too_late(self, priced: Priced) -> str:
        """Why an option is none for who wants it in time or not at all."""
        kind = priced.option.kind.value.replace("_", " ")
        return f"{kind}: at the site only on {_day(priced.option.available_at)}, needed by {_day(self.need.needed_by)}"

    def of_stock(self, stock: Stock) -> Priced:
        kind = OptionKind.ON_HAND if self._comes_directly(stock.spot) else OptionKind.TRANSFER
        return self._from_shelf(stock, _Giving(kind, stock.part, self.need.quantity))

    def of_substitute(self, stock: Stock, substitute: Substitute) -> Priced:
        dearer, note = self._compared(substitute.part.cost_minor, substitute.part.currency, self.need.part)
        extra = self.policy.alternative_minor + max(0, dearer) * self.need.quantity
        words = f"{stock.part.sku} instead of {self.need.part.sku} ({substitute.why}{note})"
        return self._from_shelf(stock, _Giving(OptionKind.ALTERNATIVE, stock.part, self.need.quantity, extra, words))

    def of_kit(self, stock: Stock, kit: Kit) -> Priced:
        opened = math.ceil(self.need.quantity / kit.pieces)
        words = f"{opened} × {kit.part.sku} taken apart, with {kit.pieces} in each"
        extra = self.policy.kit_minor * opened
        return self._from_shelf(stock, _Giving(OptionKind.KIT, self.need.part, opened, extra, words))

    def of_source(self, source: Source, spot: Spot) -> Priced:
        """A purchase, delivered to a warehouse."""
        dearer, note = self._compared(source.price_minor, source.currency, self.need.part)
        extra = max(0, dearer) * self.need.quantity + (0 if source.line_id else self.policy.order_minor)
        if source.line_id:
            words = f"on order from {source.supplier or 'a supplier to be found'} already and kept for nobody"
        else:
            words = f"ordered from {source.supplier}" if source.supplier else "ordered, a supplier is to be found"
        instead = "" if source.part.part_id == self.need.part.part_id else f"{source.part.sku}, its successor, "
        option = Option(
            kind=OptionKind.PURCHASE,
            part_id=source.part.part_id,
            warehouse_id=spot.warehouse_id,
            quantity=self.need.quantity,
            available_at=source.available_at,
            lateness_minor=self._lateness(source.available_at),
            extra_minor=extra,
            reason=f"{instead}{words}, by {spot.code} {self._when(source.available_at)}{note}",
        )
        return Priced(option, 0, source.part.sku, spot.code, line_id=source.line_id)

    def _from_shelf(self, stock: Stock, giving: _Giving) -> Priced:
        """An option that takes pieces from a shelf."""
        spot, target = stock.spot, self.need.target
        sent_to = None if target is None or self.is_near(spot) else target
        base, freight, at, note = self._carriage(stock, giving.part)
        risk = taking_minor(stock.mean, stock.available, giving.taken, self.policy.shortage_minor)
        credit, age_days = self._age_credit(stock, giving.taken)
        said = [giving.words] if giving.words else []
        if self.is_near(spot):
            said.append(f"at hand at {spot.code}")
        else:
            said.append(f"sent from {spot.code} to {sent_to.code if sent_to else 'the site'}, there {self._when(at)}")
        left = stock.available - giving.taken
        said.append(f"leaves {left} there" + ("" if risk else " and is not likely to be missed"))
        if credit:
            said.append(f"in stock for {age_days} days")
        option = Option(
            kind=giving.kind,
            part_id=giving.part.part_id,
            warehouse_id=spot.warehouse_id,
            quantity=self.need.quantity,
            available_at=at,
            takes=(Take(ShelfKey(spot.warehouse_id, stock.part.part_id), giving.taken),),
            lane=Lane(spot.warehouse_id, sent_to.warehouse_id) if sent_to else None,
            freight_base_minor=base,
            freight_minor=freight,
            lateness_minor=self._lateness(at),
            age_credit_minor=credit,
            extra_minor=giving.extra_minor,
            reason="; ".join(said) + note,
        )
        return Priced(option, risk, giving.part.sku, spot.code, sent_to.code if sent_to else None)

    def _comes_directly(self, spot: Spot) -> bool:
        """Whether it needs no transfer: from the site's own warehouses, or where the site has none."""
        return self.need.target is None or self.is_near(spot)

    def _carriage(self, stock: Stock, given: Part) -> tuple[int, int, datetime, str]:
        """Base freight, freight by weight, arrival and a note."""
        if self.is_near(stock.spot):
            return 0, 0, self.now, ""
        policy, way = self.policy, stock.way
        at = way.arrives_at if way is not None else self.now + timedelta(days=stock.spot.transfer_days)
        base, by_kg, note = policy.freight_base_minor, policy.freight_kg_minor, ""
        if way is not None and way.lane.entered and way.lane.currency == policy.currency:
            base, by_kg = way.lane.freight_base_minor, way.lane.freight_kg_minor
        elif way is not None and way.lane.entered:
            note = f"; its freight in {way.lane.currency} is taken as the policy's"
        weight_g = given.weight_grams * self.need.quantity
        return base, half_up(by_kg * weight_g / 1000), at, note

    def _age_credit(self, stock: Stock, taken: int) -> tuple[int, int]:
        """What is saved by using stock this old, and its age in days."""
        if stock.stocked_at is None or stock.part.currency != self.policy.currency:
            return 0, 0
        days = (self.now - stock.stocked_at).days
        counted = min(max(days, 0), self.policy.oldest_days)
        worth = stock.part.cost_minor * taken * self.policy.holding_bp / 10_000
        return half_up(worth * counted / YEAR_DAYS), days

    def _compared(self, cost_minor: int | None, currency: str, asked: Part) -> tuple[int, str]:
        """How much dearer a piece is than the one asked for, and a note where that cannot be said."""
        if cost_minor is None:
            return 0, ""
        if currency != asked.currency or currency != self.policy.currency:
            return 0, f"; its price in {currency} is not compared"
        return cost_minor - asked.cost_minor, ""

    def _lateness(self, at: datetime) -> int:
        return self.policy.lateness_minor(self.need.priority, self.need.needed_by, at)

    def _when(self, at: datetime) -> str:
        late = at - self.need.needed_by
        if late <= timedelta(0):
            return f"on {_day(at)}, in time"
        days = math.ceil(late / timedelta(days=1))
        return f"on {_day(at)}, {days} {'day' if days == 1 else 'days'} late"


def short_of(on_hand: int, reserved: int, quantity: int) -> str:
    """Why a warehouse cannot give so many pieces, in words for a dispatcher."""
    if on_hand == 0:
        return "none on hand"
    if reserved == on_hand:
        return f"all {on_hand} on hand are reserved for others"
    return f"{quantity} needed at once, {on_hand - reserved} available ({on_hand} on hand, {reserved} reserved)"


def _km(one: Position | None, other: Position | None) -> float:
    # What is not known cannot be called near.
    return math.inf if one is None or other is None else great_circle_km(one, other)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
