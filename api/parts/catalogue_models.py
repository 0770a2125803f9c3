"""Bodies and answers of what takes a part's place, what it fits, what is in a kit, and what it costs whom."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Count, Currency, Minor, Name, Text
from api.parts.models import PartState, Sku
from api.parts.rules import PriceKind, Verdict

Level = Annotated[Text, Field(max_length=64)]
MOST_AT_ONCE = 1000


def _span(first: date | None, last: date | None, field: str) -> None:
    if first is not None and last is not None and last < first:
        raise ValueError(f"{field} must not be before {first}, the first day")


# What takes its place -----------------------------------------------------------------------------


class NewSupersession(Body):
    """Another part takes a part's place from a day on."""

    successor: Sku
    effective_on: date
    two_way: bool = Field(False, description="the old part may still be built in where the new one is asked for")
    reason: Text = ""


class Supersession(Answer):
    """A link of a chain."""

    sku: str
    successor: str
    effective_on: date
    two_way: bool
    reason: str
    applied: bool = Field(description="the day has come")
    recorded_by: str
    recorded_at: datetime


class Chain(Answer):
    """All that came before a part, and all that comes after it, each link once."""

    sku: str
    current: str = Field(description="the part to take on the day asked for")
    links: list[Supersession] = Field(description="in the order of their days")


class NewAlternative(Body):
    """A part that may be built in instead."""

    alternative: Sku
    rank: Annotated[int, Field(ge=1, le=1000, description="the lowest is taken first")] = 1
    two_way: bool = Field(False, description="it may be replaced by this part, too")
    valid_from: date | None = None
    valid_until: date | None = Field(None, description="the last day")
    note: Text = ""

    @field_validator("valid_until")
    @classmethod
    def _after_its_beginning(cls, valid_until: date | None, others: ValidationInfo) -> date | None:
        _span(others.data.get("valid_from"), valid_until, "valid_until")
        return valid_until


class Alternative(Answer):
    """A part that may be built in instead."""

    alternative: str
    rank: int
    two_way: bool
    valid_from: date | None
    valid_until: date | None
    note: str
    recorded_by: str
    recorded_at: datetime


class SubstitutePart(Answer):
    """What may be built in instead of a part, and why."""

    sku: str
    name: str
    state: PartState
    rank: int = Field(description="1 is to be tried first")
    why: str


# What it fits -------------------------------------------------------------------------------------

Revision = Annotated[Name, Field(max_length=32)]


class NewFit(Body):
    """Into which machines a part goes; bounds are included, and what is left out is no bound."""

    model: Name
    component: Name | None = None
    revisions: Annotated[list[Revision], Field(min_length=1, max_length=100)] | None = Field(
        None, description="of the machine, as its attribute `revision` says"
    )
    from_batch: Name | None = None
    until_batch: Name | None = None
    from_date: date | None = Field(None, description="by the machine's day of production")
    until_date: date | None = None
    quantity: Count = 1
    note: Text = ""

    @model_validator(mode="after")
    def _in_order(self) -> "NewFit":
        _span(self.from_date, self.until_date, "until_date")
        if self.revisions is not None:
            self.revisions = sorted(set(self.revisions))
        return self


class NewFitOfPart(NewFit):
    """A fit among many."""

    sku: Sku


class ManyFits(Body):
    """Fits of many parts; those that are known already stay as they are."""

    items: Annotated[list[NewFitOfPart], Field(min_length=1, max_length=MOST_AT_ONCE)]


class Fit(Answer):
    """Machines that a part goes into."""

    part_fit_id: int | None = Field(description="null: a bill of materials or a component says so")
    source: Literal["fit", "bill_of_materials", "component"]
    model: str
    component: str | None
    revisions: list[str] | None
    from_batch: str | None
    until_batch: str | None
    from_date: date | None
    until_date: date | None
    quantity: int
    note: str


class FittingPart(Answer):
    """A part that fits a machine or a model."""

    sku: str
    name: str
    state: PartState
    component: str | None
    quantity: int
    sources: list[str]
    sure: bool = Field(description="false: it depends on something that is not known of the machine")
    depends_on: list[str] = Field(description="what is not known, e.g. batch")
    take: str = Field(description="the part to take now: itself, or what has taken its place")


class FittingParts(Answer):
    """All parts that fit a machine or a model."""

    model: str
    serial: str | None
    component: str | None
    items: list[FittingPart]


class FitAnswer(Answer):
    """Whether a part fits a machine."""

    sku: str
    serial: str
    verdict: Verdict
    why: list[str]


class Made(Answer):
    """How many were made; the others were known."""

    made: int
    known: int


# Kits ---------------------------------------------------------------------------------------------


class KitItem(Body):
    """A part of a kit."""

    sku: Sku
    quantity: Count


class NewKit(Body):
    """All that is in a kit; it takes the place of what was in it before, and nothing makes it a part again."""

    items: Annotated[list[KitItem], Field(max_length=200)]

    @model_validator(mode="after")
    def _once(self) -> "NewKit":
        seen = [item.sku for item in self.items]
        twice = sorted({sku for sku in seen if seen.count(sku) > 1})
        if twice:
            raise ValueError(f"items: {', '.join(twice)} stands twice; add up the quantities")
        return self


class KitPart(Answer):
    """A part of a kit."""

    sku: str
    name: str
    quantity: int


class Kit(Answer):
    """What is in a kit, and which kits the part is in itself."""

    sku: str
    version: int = Field(description="of the part")
    items: list[KitPart]
    in_kits: list[KitPart]


# Prices -------------------------------------------------------------------------------------------


class NewPrice(Body):
    """What a piece costs from a day on; of prices that hold on the same day the one that began last counts."""

    kind: PriceKind
    level: Level = Field("", description="of a partner, or a kind of customer; empty for all")
    currency: Currency
    price_minor: Minor
    valid_from: date
    valid_until: date | None = Field(None, description="the last day")

    @field_validator("valid_until")
    @classmethod
    def _after_its_beginning(cls, valid_until: date | None, others: ValidationInfo) -> date | None:
        _span(others.data.get("valid_from"), valid_until, "valid_until")
        return valid_until


class NewPriceOfPart(NewPrice):
    """A price among many."""

    sku: Sku


class ManyPrices(Body):
    """Prices of many parts; all of them, or none."""

    items: Annotated[list[NewPriceOfPart], Field(min_length=1, max_length=MOST_AT_ONCE)]


class PriceEnd(Body):
    """The last day of a price; null takes the end away."""

    valid_until: date | None


class PartPrice(Answer):
    """What a piece costs whom, from when until when."""

    part_price_id: int
    sku: str
    kind: PriceKind
    level: str
    currency: str
    price_minor: int
    valid_from: date
    valid_until: date | None
    recorded_by: str
    recorded_at: datetime
    version: int


class PriceOfDay(Answer):
    """What a piece costs on a day."""

    sku: str
    kind: PriceKind
    level: str
    on: date
    price_minor: int
    currency: str
