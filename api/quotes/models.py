"""Bodies and answers of price lists and quotes."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Text
from api.providers.models import Level as ProviderLevel
from api.quotes.pricing import LineKind
from api.quotes.rules import Channel, QuoteState

Country = Annotated[str, Field(pattern=r"^([A-Z]{2})?$", description="ISO 3166; empty: any")]
CustomerKind = Literal["", "consumer", "business"]
Level = Annotated[ProviderLevel, Field(description="of the service partner; empty: any")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
OptionalCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
BasisPoints = Annotated[int, Field(ge=0, le=10_000, description="of a whole: 1900 is 19 %")]
Reason = Annotated[Text, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# Price lists ----------------------------------------------------------------------------------------


class PriceItem(Body):
    """The flat price of an operation, of travel into a zone, of one piece of a part, or a fee; before tax."""

    kind: Literal["operation", "zone", "part", "fee"]
    code: Code
    price_minor: Minor


class NewPriceList(Body):
    """A version of the prices for some customers; it holds until one that begins later."""

    name: Name
    country: Country = ""
    customer_kind: CustomerKind = ""
    provider_level: Level = ""
    currency: Currency
    valid_from: date
    valid_until: date | None = Field(None, description="the last day; usually left open")
    labour_hour_minor: Minor = 0
    labour_step_minutes: Annotated[int, Field(ge=1, le=480, description="labour is billed in steps of it")] = 15
    travel_km_minor: Minor = 0
    part_factor_bp: Annotated[
        int, Field(ge=0, le=1_000_000, description="a part without a price costs its cost times this; 10000 is 1")
    ] = 10_000
    minimum_charge_minor: Minor = 0
    tax_rate_bp: BasisPoints = 0
    items: list[PriceItem] = Field([], max_length=5000)

    @field_validator("valid_until")
    @classmethod
    def _in_order(cls, valid_until: date | None, others: ValidationInfo) -> date | None:
        if valid_until is not None and "valid_from" in others.data and valid_until < others.data["valid_from"]:
            raise ValueError("must not be before valid_from")
        return valid_until

    @field_validator("items")
    @classmethod
    def _once_each(cls, items: list[PriceItem]) -> list[PriceItem]:
        seen: set[tuple[str, str]] = set()
        for item in items:
            if (item.kind, item.code) in seen:
                raise ValueError(f"has the {item.kind} {item.code} twice")
            seen.add((item.kind, item.code))
        return items


class PriceListChange(Body):
    """When a price list ends; its prices never change, a new version has others."""

    valid_until: date | None


class PriceListHead(Answer):
    """A price list without its items."""

    price_list_id: int
    name: str
    country: str
    customer_kind: str
    provider_level: str
    currency: str
    valid_from: date
    valid_until: date | None
    labour_hour_minor: int
    labour_step_minutes: int
    travel_km_minor: int
    part_factor_bp: int
    minimum_charge_minor: int
    tax_rate_bp: int
    version: int


class PricedItem(Answer):
    """A flat price."""

    kind: str
    code: str
    price_minor: int


class PriceList(PriceListHead):
    """A price list."""

    items: list[PricedItem]


# Quotes ---------------------------------------------------------------------------------------------

_NEEDS: dict[LineKind, str] = {"part": "code", "fee": "code", "value_added_sale": "code", "discount": "reason"}


class NewLine(Body):
    """Something to be paid for; the price comes from the price list."""

    kind: LineKind
    code: OptionalCode = Field("", description="operation, travel zone, SKU, fee, or what is sold")
    quantity: Annotated[int, Field(ge=1, le=10**6, description="minutes of labour, km of travel, pieces")] = 1
    amount_minor: Minor | None = Field(
        None, description="a fee that is on no list, what a sale costs, what is taken off"
    )
    percent_bp: BasisPoints | None = Field(None, description="of a discount; on what the customer would pay")
    description: Annotated[Text, Field(max_length=500)] = ""
    reason: Annotated[Text, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needed = _NEEDS.get(self.kind)
        if needed and not getattr(self, needed):
            raise ValueError(f"a line of kind {self.kind} needs {needed}")
        priced_by_hand = self.kind in {"fee", "value_added_sale", "discount"}
        if not priced_by_hand and self.amount_minor is not None:
            raise ValueError(f"a line of kind {self.kind} has its price from the price list; leave out amount_minor")
        if self.kind == "discount" and (self.amount_minor is None) == (self.percent_bp is None):
            raise ValueError("a discount needs amount_minor or percent_bp, and not both")
        if self.kind != "discount" and (self.percent_bp is not None or self.reason):
            raise ValueError("percent_bp and reason are for discounts")
        return self


class NewQuote(Body):
    """What work would cost; a draft until it is sent."""

    lines: Annotated[list[NewLine], Field(min_length=1, max_length=200)]
    valid_days: Annotated[int, Field(ge=1, le=365)] = 14
    price_list_id: Id | None = Field(None, description="instead of the one that fits the customer and the partner")
    currency: Currency | None = Field(None, description="when price lists of several currencies fit")
    component: Name | None = Field(None, description="for the warranty; else the ticket's")
    cause: Name | None = Field(None, description="of the defect, for the warranty's exclusions")
    terms: Text = Field("", description="added to the text that the customer agrees to")


class QuoteLine(Answer):
    """A line as it is shown; amounts before tax."""

    kind: str
    code: str
    description: str
    quantity: int
    unit: str
    price_minor: int = Field(description="of `price_per` units")
    price_per: int
    net_minor: int
    customer_minor: int = Field(description="the customer's share; the rest is borne by `bearer`")
    bearer: str
    reason: str


class Consent(Answer):
    """Who decided on a quote, when, how, and on which text."""

    decision: str
    at: datetime
    given_by: str
    recorded_by: str
    channel: str
    how_obtained: str
    ip: str
    revision: int
    text_sha256: str
    reason: str


class Quote(Answer):
    """A quote; `text` is exactly what the customer agrees to, frozen once it is sent."""

    quote_id: int
    ticket_id: int
    revision: int
    state: QuoteState
    price_list_id: int
    currency: str
    net_minor: int
    tax_rate_bp: int
    tax_minor: int
    gross_minor: int
    borne_minor: int = Field(description="what others than the customer bear, before tax")
    warranty: dict[str, Any]
    lines: list[QuoteLine]
    valid_days: int
    valid_until: datetime | None
    text: str | None
    text_sha256: str | None
    created_at: datetime
    created_by: str
    sent_at: datetime | None
    decided_at: datetime | None
    decline_reason: str
    consent: Consent | None
    version: int


class ShownQuote(Answer):
    """What the holder of the customer's link sees."""

    quote_id: int
    revision: int
    state: QuoteState
    currency: str
    gross_minor: int
    valid_until: datetime
    text: str
    text_sha256: str


class Acceptance(Body):
    """A customer's yes."""

    text_sha256: Sha256 = Field(description="of the text that was shown")
    given_by: Name = Field(description="who says yes")
    channel: Channel | None = Field(None, description="how it reached us; needed from an agent on behalf")
    how_obtained: Text = Field("", description="from an agent on behalf: e.g. the call's time and number")


class Refusal(Body):
    """A customer's no."""

    reason: Reason
    given_by: Name
    channel: Channel | None = None
    how_obtained: Text = ""


class LinkAcceptance(Body):
    """A yes by the customer's link."""

    text_sha256: Sha256
    given_by: Name


class LinkRefusal(Body):
    """A no by the customer's link."""

    reason: Reason
    given_by: Name


class Withdrawal(Body):
    """Why something is taken back."""

    reason: Reason


class QuoteLink(Answer):
    """A link for the customer, shown once; the one before no longer works."""

    path: str
    valid_until: datetime
