"""What lines cost by a price list, and who pays which share: pure, in integers of the minor unit.

The rounding rule, once for all: whatever is not a whole number of minor units is rounded to the nearest one, a half
away from zero. It is applied to the price of one piece, then to each line, then once to the tax of the whole document;
sums are of rounded lines, so that what is printed adds up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

LineKind = Literal["labour", "travel", "part", "fee", "value_added_sale", "discount"]
Unit = Literal["minute", "km", "piece", "flat"]

BASIS_POINTS = 10_000
MINUTES_PER_HOUR = 60
# Beyond it something is wrong, and sums must fit into PostgreSQL's bigint.
LARGEST_TOTAL_MINOR = 10**15
MINIMUM_CHARGE = "minimum_charge"


class Unpriced(ValueError):  # noqa: N818 - it says what the line is
    """A line that the price list cannot price.

    Attributes:
        place: Which line, from 0.
        field: Its field that does not fit.
    """

    def __init__(self, place: int, field_name: str, message: str) -> None:
        self.place = place
        self.field = field_name
        super().__init__(message)


@dataclass(frozen=True)
class Tariff:
    """A price list, as far as it prices.

    Attributes:
        currency: Of all its prices.
        labour_hour_minor: Labour by time, per hour.
        labour_step_minutes: Labour is billed in whole steps of it; a step begun counts.
        travel_km_minor: Travel by distance, per kilometre.
        part_factor_bp: What a part costs that has a price neither here nor in the catalogue: its cost times this, in
            basis points of it.
        minimum_charge_minor: The least that work costs whoever pays for any.
        tax_rate_bp: Tax on top, in basis points.
        operations: Flat labour by code of the operation.
        zones: Flat travel by zone.
        parts: Prices of one piece by SKU.
        fees: Fees by code.
    """

    currency: str
    labour_hour_minor: int = 0
    labour_step_minutes: int = 15
    travel_km_minor: int = 0
    part_factor_bp: int = BASIS_POINTS
    minimum_charge_minor: int = 0
    tax_rate_bp: int = 0
    operations: Mapping[str, int] = field(default_factory=dict)
    zones: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, int] = field(default_factory=dict)
    fees: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartCost:
    """What a part costs, and what it is called.

    Attributes:
        name: For the customer.
        cost_minor: What it costs the maker.
        currency: Of the cost.
        listed_minor: The catalogue's price for customers, in the currency of the price list; None where it has none.
    """

    name: str
    cost_minor: int
    currency: str
    listed_minor: int | None = None


@dataclass(frozen=True)
class Line:
    """Something to be paid for.

    Attributes:
        kind: What it is.
        code: Operation, zone, SKU, fee or what is sold; empty for labour and travel by quantity.
        quantity: Minutes of labour, kilometres of travel, pieces of a part or sale.
        amount_minor: The price of one, where no list has it: a fee, a sale; of a discount, the whole.
        percent_bp: Of a discount: the share of what the customer would pay, in basis points.
        description: For the customer; made up from the rest when empty.
        reason: Why there is a discount.
    """

    kind: LineKind
    code: str = ""
    quantity: int = 1
    amount_minor: int | None = None
    percent_bp: int | None = None
    description: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Cover:
    """Which kinds of lines somebody else than the customer bears, and who."""

    labour: bool = False
    travel: bool = False
    parts: bool = False
    fees: bool = False
    bearer: str = "maker"

    def bears(self, kind: LineKind) -> bool:
        """Whether lines of a kind are off the customer's bill; a sale never is."""
        return {"labour": self.labour, "travel": self.travel, "part": self.parts, "fee": self.fees}.get(kind, False)


NOTHING_COVERED = Cover()


@dataclass(frozen=True)
class PricedLine:
    """A line with its price.

    Attributes:
        kind: What it is.
        code: As in `Line`.
        description: For the customer.
        quantity: Of units; labour in minutes billed.
        unit: What is counted.
        price_minor: Price of `price_per` units.
        price_per: 60 for labour by the hour, else 1.
        net_minor: By the list, before tax; negative for a discount.
        customer_minor: The customer's share of it.
        bearer: Who bears the rest, empty when there is none.
        reason: Why there is a discount.
    """

    kind: LineKind
    code: str
    description: str
    quantity: int
    unit: Unit
    price_minor: int
    price_per: int
    net_minor: int
    customer_minor: int
    bearer: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Priced:
    """Lines with their sums, in minor units of one currency.

    Attributes:
        lines: With a line for the minimum charge where it tells.
        currency: Of all amounts.
        net_minor: What the customer pays before tax.
        tax_rate_bp: The rate, in basis points.
        tax_minor: The tax on `net_minor`.
        gross_minor: What the customer pays.
        borne_minor: What others bear, before tax.
    """

    lines: tuple[PricedLine, ...]
    currency: str
    net_minor: int
    tax_rate_bp: int
    tax_minor: int
    gross_minor: int
    borne_minor: int


def rounded(numerator: int, denominator: int) -> int:
    """A fraction as a whole number, a half away from zero; the denominator is positive."""
    whole = (2 * abs(numerator) + denominator) // (2 * denominator)
    return whole if numerator >= 0 else -whole


def tax_within(gross_minor: int, rate_bp: int) -> int:
    """The tax that an amount contains."""
    return rounded(gross_minor * rate_bp, BASIS_POINTS + rate_bp)


def price(
    lines: Sequence[Line], tariff: Tariff, costs: Mapping[str, PartCost], cover: Cover = NOTHING_COVERED
) -> Priced:
    """Price lines, take off what others bear, then the discounts, then add the tax.

    Args:
        lines: In the order they are shown.
        tariff: The price list.
        costs: Of the parts among the lines that are in the catalogue, by SKU.
        cover: What the warranty, or whoever else, bears.

    Raises:
        Unpriced: A line has no price, or the discounts are more than there is to pay.
    """
    priced: list[PricedLine | None] = []
    for place, line in enumerate(lines):
        if line.kind == "discount":
            priced.append(None)
            continue
        shown = _priced(place, line, tariff, costs)
        priced.append(replace(shown, customer_minor=0, bearer=cover.bearer) if cover.bears(line.kind) else shown)
    dearest = sum(shown.net_minor for shown in priced if shown)
    if dearest > LARGEST_TOTAL_MINOR:
        raise Unpriced(len(lines) - 1, "quantity", f"the lines together are more than {LARGEST_TOTAL_MINOR}")
    topping = _minimum([shown for shown in priced if shown], tariff)
    payable = sum(shown.customer_minor for shown in [*priced, *topping] if shown)
    left = payable
    for place, line in enumerate(lines):
        if line.kind == "discount":
            discount = _discount(place, line, payable, left)
            left += discount.customer_minor
            priced[place] = discount
    whole = tuple(shown for shown in [*priced, *topping] if shown)
    tax = rounded(left * tariff.tax_rate_bp, BASIS_POINTS)
    return Priced(
        lines=whole,
        currency=tariff.currency,
        net_minor=left,
        tax_rate_bp=tariff.tax_rate_bp,
        tax_minor=tax,
        gross_minor=left + tax,
        borne_minor=sum(shown.net_minor - shown.customer_minor for shown in whole),
    )


def _priced(place: int, line: Line, tariff: Tariff, costs: Mapping[str, PartCost]) -> PricedLine:
    if line.kind == "labour":
        return _labour(place, line, tariff)
    if line.kind == "travel":
        if line.code:
            return _flat(line, _listed(place, line, tariff.zones, "travel zone"), f"Travel, zone {line.code}")
        return _counted(line, "km", tariff.travel_km_minor, f"Travel, {line.quantity} km")
    if line.kind == "part":
        return _part(place, line, tariff, costs)
    if line.kind == "fee":
        amount = tariff.fees.get(line.code, line.amount_minor)
        if amount is None:
            raise Unpriced(place, "code", f"the price list has no fee {line.code}; give amount_minor")
        return _flat(line, amount, line.code.replace("_", " ").capitalize())
    if line.amount_minor is None:
        raise Unpriced(place, "amount_minor", "is needed: a sale has the price that was agreed")
    return _counted(line, "piece", line.amount_minor, line.code)


def _labour(place: int, line: Line, tariff: Tariff) -> PricedLine:
    if line.code:
        return _flat(line, _listed(place, line, tariff.operations, "operation"), f"Labour, {line.code}")
    steps = -(-line.quantity // tariff.labour_step_minutes)
    minutes = steps * tariff.labour_step_minutes
    net = rounded(minutes * tariff.labour_hour_minor, MINUTES_PER_HOUR)
    said = line.description or f"Labour, {minutes} min"
    return PricedLine("labour", "", said, minutes, "minute", tariff.labour_hour_minor, MINUTES_PER_HOUR, net, net)


def _part(place: int, line: Line, tariff: Tariff, costs: Mapping[str, PartCost]) -> PricedLine:
    part = costs.get(line.code)
    if part is None:
        raise Unpriced(place, "code", f"there is no part {line.code}")
    listed = tariff.parts.get(line.code)
    if listed is None:
        listed = part.listed_minor
    if listed is None:
        if part.currency != tariff.currency:
            problem = f"{line.code} is not on the price list, and its cost is in {part.currency}, not {tariff.currency}"
            raise Unpriced(place, "code", problem)
        listed = rounded(part.cost_minor * tariff.part_factor_bp, BASIS_POINTS)
    return _counted(line, "piece", listed, part.name)


def _listed(place: int, line: Line, prices: Mapping[str, int], what: str) -> int:
    if line.code not in prices:
        raise Unpriced(place, "code", f"the price list has no {what} {line.code}")
    return prices[line.code]


def _flat(line: Line, amount: int, said: str) -> PricedLine:
    return PricedLine(line.kind, line.code, line.description or said, 1, "flat", amount, 1, amount, amount)


def _counted(line: Line, unit: Unit, each: int, said: str) -> PricedLine:
    net = line.quantity * each
    return PricedLine(line.kind, line.code, line.description or said, line.quantity, unit, each, 1, net, net)


def _minimum(priced: Sequence[PricedLine], tariff: Tariff) -> list[PricedLine]:
    """What is missing to the least that work costs; nothing where the customer pays for no work at all."""
    work = sum(shown.customer_minor for shown in priced if shown.kind != "value_added_sale")
    missing = tariff.minimum_charge_minor - work
    if work == 0 or missing <= 0:
        return []
    return [PricedLine("fee", MINIMUM_CHARGE, "Up to the minimum charge", 1, "flat", missing, 1, missing, missing)]


def _discount(place: int, line: Line, payable: int, left: int) -> PricedLine:
    if line.percent_bp is not None:
        off, field_name = rounded(payable * line.percent_bp, BASIS_POINTS), "percent_bp"
    else:
        off, field_name = line.amount_minor or 0, "amount_minor"
    if off > left:
        raise Unpriced(place, field_name, f"takes off {off}, but only {left} is left to pay")
    said = line.description or "Discount"
    return PricedLine("discount", line.code, said, 1, "flat", -off, 1, -off, -off, reason=line.reason)
