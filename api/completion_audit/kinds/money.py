"""Fees against warranty, ranges and the way."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.completion_audit.facts import Bill, BillLine, Facts, Warranty
from api.completion_audit.kinds.kind import NONE, Answer, Factor, Found, Kilometres, Kind, Nothing, Parameters, Unknown
from api.conventions.models import Currency, Minor, Text
from api.quotes.rules import money

NO_ANSWER = Unknown("the warranty was not asked")


class Tolerance(Parameters):
    """What is too little to matter."""

    tolerance_minor: Minor = 0


class Charged(Tolerance):
    """What of a case counts as charged."""

    with_agreed_fees: bool = Field(False, description="also fees agreed at booking, e.g. for the diagnosis")


def _bears(warranty: Warranty, kind: str) -> bool:
    """Whether the warranty bears lines of a kind; a fee is for the work as a whole."""
    whole = warranty.parts and warranty.labour and warranty.travel
    borne = {"labour": warranty.labour, "travel": warranty.travel, "part": warranty.parts, "fee": whole}
    return warranty.covered and borne.get(kind, False)


def _charged_though_covered(facts: Facts, wanted: Charged) -> Answer:
    warranty = facts.warranty
    if warranty is None:
        return NO_ANSWER
    lines = [] if facts.bill is None or facts.voided else facts.bill.lines
    charged = sum(line.customer_minor for line in lines if _bears(warranty, line.kind))
    if _bears(warranty, "fee"):
        charged += facts.charges.other_minor + (facts.charges.agreed_minor if wanted.with_agreed_fees else 0)
    if charged <= wanted.tolerance_minor:
        return NONE
    currency = facts.charges.currency or ("" if facts.bill is None else facts.bill.currency)
    message = (
        f"the customer was charged {money(charged, currency)} that {warranty.bearer} bears ({warranty.reason}); "
        "have it voided"
    )
    return [Found(message, {"charged_minor": charged, "currency": currency, "reason": warranty.reason})]


def _free_though_not_covered(facts: Facts, wanted: Tolerance) -> Answer:
    if facts.warranty is None:
        return NO_ANSWER
    if facts.warranty.covered or not _worked(facts):
        return NONE
    lines = [] if facts.bill is None or facts.voided else facts.bill.lines
    charges = facts.charges
    charged = sum(line.customer_minor for line in lines if _is_work(line)) + charges.other_minor + charges.agreed_minor
    if charged > wanted.tolerance_minor:
        return NONE
    message = (
        f"nothing was charged although the warranty does not cover it ({facts.warranty.reason}); "
        "have it charged, or object with who bears it"
    )
    return [Found(message, {"charged_minor": charged, "reason": facts.warranty.reason})]


def _worked(facts: Facts) -> bool:
    """Whether there was something to be paid for."""
    solved = facts.report is not None and bool(facts.report.solved)
    return solved or any(part.used > 0 for part in facts.parts)


def _is_work(line: BillLine) -> bool:
    return line.kind != "value_added_sale"


def _warranty_claim(facts: Facts, _: Nothing) -> Answer:
    if facts.report is None or facts.report.in_warranty is None or facts.warranty is None:
        return Unknown("in or out of warranty is not told, or was not asked")
    if facts.report.in_warranty == facts.warranty.covered:
        return NONE
    said, found = ("in", "out of") if facts.report.in_warranty else ("out of", "in")
    noted = "with a note why" if facts.report.warranty_noted else "without a word why"
    message = f"reported as {said} warranty {noted}; the warranty says {found} ({facts.warranty.reason})"
    return [Found(message, {"reason": facts.warranty.reason, "noted": facts.report.warranty_noted})]


class FeeRange(Parameters):
    """What fees may come to; other currencies are not judged."""

    line: Literal["labour", "travel", "part", "fee", "value_added_sale", "discount", "total"]
    code: Annotated[Text, Field(max_length=64)] = Field("", description="only lines of this code; empty: all")
    share: Literal["net", "customer"] = Field("net", description="the whole price, or what the customer pays of it")
    currency: Currency
    least_minor: Minor | None = None
    most_minor: Minor | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least_minor is None and self.most_minor is None:
            raise ValueError("give least_minor, most_minor or both")
        if self.least_minor is not None and self.most_minor is not None and self.least_minor > self.most_minor:
            raise ValueError("least_minor must not be above most_minor")
        return self


def _fee_range(facts: Facts, wanted: FeeRange) -> Answer:
    bill = facts.bill
    if bill is not None and bill.currency != wanted.currency:
        return Unknown(f"the fees are in {bill.currency}, the rule's range in {wanted.currency}")
    lines = [] if bill is None else [line for line in bill.lines if _of_range(line, wanted)]
    # A range of fees is about fees that there are; that there are none is another rule's matter.
    if not lines:
        return NONE
    total = sum(line.net_minor if wanted.share == "net" else line.customer_minor for line in lines)
    what = f"{wanted.line} {wanted.code}".strip()
    detail = {"line": wanted.line, "amount_minor": total, "currency": wanted.currency}
    if wanted.least_minor is not None and total < wanted.least_minor:
        least = money(wanted.least_minor, wanted.currency)
        return [Found(f"{what}: {money(total, wanted.currency)} is below {least}; say why in an objection", detail)]
    if wanted.most_minor is not None and total > wanted.most_minor:
        most = money(wanted.most_minor, wanted.currency)
        return [Found(f"{what}: {money(total, wanted.currency)} is above {most}; say why in an objection", detail)]
    return NONE


def _of_range(line: BillLine, wanted: FeeRange) -> bool:
    return wanted.line in {"total", line.kind} and wanted.code in {"", line.code}


class TravelFee(Parameters):
    """How far the way may be, by the straight line between the partner's nearest warehouse and the site."""

    factor: Factor = Field(1.4, description="how much longer a road is than the straight line")
    ways: Annotated[int, Field(ge=1, le=2)] = Field(2, description="2: there and back")
    allowance_km: Kilometres = 5


def _travel_distance(facts: Facts, wanted: TravelFee) -> Answer:
    billed = _billed_km(facts.bill)
    if billed == 0:
        return NONE
    if not facts.located:
        return Unknown("the site's position is not known")
    if facts.base is None:
        return Unknown("no warehouse of the partner has a position")
    allowed = facts.base.km * wanted.factor * wanted.ways + wanted.allowance_km
    if billed <= allowed:
        return NONE
    message = (
        f"{billed} km of travel are billed, {allowed:.0f} km may be: {facts.base.km:.1f} km straight from "
        f"{facts.base.code}, {wanted.ways} way(s), factor {wanted.factor:g}, {wanted.allowance_km:g} km on top"
    )
    detail = {"billed_km": billed, "allowed_km": round(allowed, 1), "straight_km": facts.base.km}
    return [Found(message, {**detail, "warehouse": facts.base.code})]


def _billed_km(bill: Bill | None) -> int:
    """Kilometres of the fee lines; travel into a zone has its price by the list and no kilometres."""
    return (
        0 if bill is None else sum(line.quantity for line in bill.lines if line.kind == "travel" and line.unit == "km")
    )


class TravelTime(Parameters):
    """How long the way may take, by the straight line from the partner's nearest warehouse."""

    minutes_per_km: Factor = 2.5
    allowance_minutes: Annotated[int, Field(ge=0, le=2880)] = 30


def _travel_time(facts: Facts, wanted: TravelTime) -> Answer:
    told = None if facts.report is None else facts.report.travel_minutes
    if told is None:
        return Unknown("the way's minutes are not told")
    if facts.base is None:
        return Unknown("the way's length is not known: the site or the partner's warehouses have no position")
    allowed = facts.base.km * wanted.minutes_per_km + wanted.allowance_minutes
    if told <= allowed:
        return NONE
    message = (
        f"{told} min of travel are told, {allowed:.0f} min may be for {facts.base.km:.1f} km; correct travel_minutes"
    )
    detail = {"travel_minutes": told, "allowed_minutes": round(allowed), "straight_km": facts.base.km}
    return [Found(message, detail)]


KINDS = (
    Kind(
        "charged_though_covered",
        "the customer was charged for what the warranty bears",
        Charged,
        _charged_though_covered,
    ),
    Kind(
        "free_though_not_covered",
        "work outside the warranty that nobody was charged for",
        Tolerance,
        _free_though_not_covered,
    ),
    Kind("warranty_claim", "reported otherwise than the warranty answers", Nothing, _warranty_claim),
    Kind("fee_range", "fees outside their range", FeeRange, _fee_range),
    Kind("travel_distance", "more kilometres billed than the way has", TravelFee, _travel_distance),
    Kind("travel_time", "more minutes of travel than the way takes", TravelTime, _travel_time),
)
