"""Bodies and answers of partners' accounts."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from api.accounts.rules import Bearer, EntryKind, StockOf
from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Text

Amount = Annotated[int, Field(ge=-(10**12), le=10**12, description="minor units; what the partner owes more by it")]


class NewAccount(Body):
    """An account of a partner's in a currency."""

    provider_id: Id
    currency: Currency
    limit_minor: Minor | None = Field(None, description="what it may owe for parts bought; null while none is agreed")
    handling_minor: Minor = Field(0, description="what a piece claimed back earns besides its price")
    handling_bp: Annotated[int, Field(ge=0, le=10_000)] = Field(0, description="and so much of its price, basis points")


class AccountChange(Body):
    """What of an account may change; fields left out stay, a limit of null is none."""

    limit_minor: Minor | None = None
    handling_minor: Minor | None = None
    handling_bp: Annotated[int, Field(ge=0, le=10_000)] | None = None

    @model_validator(mode="after")
    def _something(self) -> "AccountChange":
        for name in ("handling_minor", "handling_bp"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null; give 0 for none")
        return self


class Account(Answer):
    """What a partner owes for parts, and what it may owe."""

    partner_account_id: int
    provider_id: int
    provider: str
    currency: str
    limit_minor: int | None
    balance_minor: int = Field(description="what the partner owes; negative: what it is owed")
    available_minor: int | None = Field(description="what may still be charged; null without a limit")
    handling_minor: int
    handling_bp: int
    last_entry_at: datetime | None
    opened_at: datetime
    version: int


class NewEntry(Body):
    """A payment, or a correction, by a paper whose number is booked once."""

    kind: Literal["payment", "adjustment"]
    amount_minor: Amount = Field(description="what was paid; of an adjustment, what the partner owes more")
    reference: Name = Field(description="the paper's number; booked once for each kind")
    text: Text = ""

    @model_validator(mode="after")
    def _an_amount(self) -> "NewEntry":
        if self.amount_minor == 0 or (self.kind == "payment" and self.amount_minor < 0):
            raise ValueError("amount_minor must not be 0, and of a payment not negative")
        return self


class Reversal(Body):
    """Why an entry is taken back."""

    reason: Annotated[Text, Field(min_length=1)]


class Entry(Answer):
    """A line of the journal; it never changes."""

    partner_entry_id: int
    partner_account_id: int
    kind: EntryKind
    amount_minor: int = Field(description="what the partner owes more by it; negative: less")
    balance_minor: int = Field(description="after it")
    currency: str
    cause_kind: str
    cause_key: str
    text: str
    ticket_id: int | None
    sku: str | None
    quantity: int | None
    reverses_id: int | None
    actor: str
    at: datetime


class KindTotal(Answer):
    """What of a statement is of one kind."""

    kind: EntryKind
    entries: int
    amount_minor: int


class Statement(Answer):
    """An account in a span of days: opening + all entries = closing."""

    partner_account_id: int
    provider: str
    provider_name: str
    currency: str
    from_: date = Field(alias="from", description="the first day, in UTC")
    to: date = Field(description="the last day, included")
    opening_minor: int
    closing_minor: int
    totals: list[KindTotal]
    items: list[Entry]
    next: str | None = Field(description="cursor of the following entries, or null")


class NewBearer(Body):
    """Another decision on who bears a used part."""

    bearer: Bearer
    reason: Annotated[Text, Field(min_length=1)]


class Reason(Answer):
    """One reason, for machines (`code`) and for people."""

    code: str
    text: str


class PartBearer(Answer):
    """Who bears a used part, and why."""

    part_bearer_id: int
    visit_part_id: int
    visit_id: int
    ticket_id: int | None
    provider_id: int | None
    sku: str
    quantity: int
    component: str | None
    bearer: Bearer
    stock_of: StockOf = Field(description="whose stock it came from")
    judged_on: date | None = Field(description="the day that the warranty was asked about")
    reasons: list[Reason] = Field(description="all, the deciding first")
    currency: str | None
    credited_minor: int = Field(description="what the partner's account was credited; negative: charged")
    handling_minor: int = Field(description="credited besides, for handling")
    by_person: bool = Field(description="decided by somebody against, or without, the warranty's answer")
    actor: str
    at: datetime
    replaced_at: datetime | None = Field(description="when another decision took its place")
