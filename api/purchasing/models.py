"""Bodies and answers of purchasing."""

from datetime import date, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Count, Currency, Id, Minor, Name, Text
from api.parts.models import Code, Sku
from api.purchasing.rules import LATEST_DAY, OrderState, PromiseState

LeadDays = Annotated[int, Field(ge=0, le=3650, description="calendar days from sending the order to having it on hand")]
Reference = Annotated[Text, Field(max_length=128)]


def _possible(day: date) -> date:
    if not date(2000, 1, 1) <= day < LATEST_DAY:
        raise ValueError("is no day on which anything is delivered")
    return day


DeliveryDay = Annotated[date, AfterValidator(_possible)]

# Terms ------------------------------------------------------------------------------------------


class NewTerms(Body):
    """On which terms a supplier delivers a part."""

    sku: Sku
    supplier_sku: Reference = ""
    price_minor: Minor
    currency: Currency
    lead_time_days: LeadDays | None = Field(None, description="left out: the part's own")
    minimum_quantity: Count = 1
    pack_size: Count = 1
    over_delivery_percent: Annotated[int, Field(ge=0, le=100, description="so much more is taken in")] = 0
    place: Annotated[int, Field(ge=0, le=1_000_000, description="of several suppliers the lowest is asked")] = 100
    active: bool = True


class TermsList(Body):
    """A supplier's price list, or a part of it; parts that are not named stay as they are."""

    items: Annotated[list[NewTerms], Field(min_length=1, max_length=5000)]

    @model_validator(mode="after")
    def _each_part_once(self) -> Self:
        if len({item.sku for item in self.items}) < len(self.items):
            raise ValueError("names a part twice; give each once")
        return self


class TakenTerms(Answer):
    """What became of a price list."""

    added: int
    changed: int
    unchanged: int


class SupplierPart(Answer):
    """On which terms a supplier delivers a part."""

    supplier_part_id: int
    supplier: str
    sku: str
    supplier_sku: str
    price_minor: int
    currency: str
    lead_time_days: int = Field(description="the part's own where the supplier has none")
    minimum_quantity: int
    pack_size: int
    over_delivery_percent: int
    place: int
    active: bool
    version: int


# Orders -----------------------------------------------------------------------------------------


class NewLine(Body):
    """A part that is wanted."""

    sku: Sku
    quantity: Count
    warehouse: Code = Field(description="where it is to be delivered")
    supplier: Code | None = Field(None, description="left out: the one with the first place")
    ticket_id: Id | None = Field(None, description="the case it is for; its pieces are promised to it")


class LineChange(Body):
    """What of a draft's line may change."""

    quantity: Count | None = Field(None, description="wanted; what is ordered follows by minimum and pack")
    price_minor: Minor | None = None


class OrderChange(Body):
    """What of an order may change; the supplier only in a draft for which none was known."""

    supplier: Code | None = None
    reference: Reference | None = None
    note: Text | None = None


class LineDate(Body):
    """What the supplier said of a line."""

    purchase_line_id: Id
    confirmed_on: DeliveryDay
    price_minor: Minor | None = None


class Confirmation(Body):
    """What the supplier said: one day for all, or one for each line."""

    reference: Reference | None = Field(None, description="the supplier's number of the order")
    confirmed_on: DeliveryDay | None = None
    lines: Annotated[list[LineDate], Field(max_length=1000)] = Field(default=[])

    @model_validator(mode="after")
    def _says_a_day(self) -> Self:
        if self.confirmed_on is None and not self.lines:
            raise ValueError("give confirmed_on for all lines, or lines with a day each")
        if len({line.purchase_line_id for line in self.lines}) < len(self.lines):
            raise ValueError("names a line twice; give each once")
        return self


class CameLine(Body):
    """What came of a line."""

    purchase_line_id: Id
    quantity: Annotated[int, Field(ge=0, le=10**6, description="fit for use")]
    damaged: Annotated[int, Field(ge=0, le=10**6, description="to quarantine; the supplier still owes them")] = 0

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.quantity + self.damaged == 0:
            raise ValueError("nothing came; leave the line out")
        return self


class NewReceipt(Body):
    """A delivery."""

    delivery_note: Annotated[Name, Field(description="the supplier's number of it; each is taken in once")]
    lines: Annotated[list[CameLine], Field(min_length=1, max_length=1000)]
    quarantine: Code | None = Field(None, description="for what came damaged; left out: the nearest")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({line.purchase_line_id for line in self.lines}) < len(self.lines):
            raise ValueError("names a line twice; give each once")
        return self


class Ending(Body):
    """Why an order, or what is left of it, is given up."""

    reason: Name


class PurchaseLine(Answer):
    """A part on an order."""

    purchase_line_id: int
    purchase_order_id: int
    state: OrderState = Field(description="of its order")
    supplier: str | None
    warehouse: str
    sku: str
    supplier_sku: str
    wanted: int
    quantity: int = Field(description="ordered: what is wanted, in whole packs, the minimum at least")
    received: int
    damaged: int
    promised: int = Field(description="of those still to come, so many belong to a case already")
    unpromised: int = Field(description="of those still to come, so many are for the shelf")
    price_minor: int | None
    currency: str
    lead_time_days: int
    confirmed_on: date | None
    expected_at: datetime = Field(description="by the supplier's date, else by its lead time, else by the part's")
    closed: bool
    late_since: datetime | None


class PurchaseOrder(Answer):
    """An order to a supplier."""

    purchase_order_id: int
    state: OrderState
    supplier: str | None
    warehouse: str
    currency: str
    reference: str
    note: str
    total_minor: int | None = Field(description="null while a line has no price")
    created_at: datetime
    created_by: str
    sent_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    version: int


class WholeOrder(PurchaseOrder):
    """An order with its lines."""

    lines: list[PurchaseLine]


class Promise(Answer):
    """Pieces to come that belong to a case."""

    purchase_promise_id: int
    purchase_line_id: int
    sku: str
    warehouse: str
    quantity: int
    state: PromiseState
    ticket_id: int | None
    job_id: int | None
    demand_id: int | None
    reservation_id: int | None = Field(description="once it is kept")
    promised_at: datetime
    expected_at: datetime
    ended_at: datetime | None


class Receipt(Answer):
    """What came of a line with a delivery."""

    purchase_receipt_id: int
    purchase_line_id: int
    sku: str
    delivery_note: str
    quantity: int
    damaged: int
    actor: str
    at: datetime
