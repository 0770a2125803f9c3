"""Bodies and answers of statements, disputes and periods."""

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Name, Text, Time
from api.settlement.rules import DisputeState, LineKind, LineSource, SettlementState, StatementState

Reason = Annotated[Text, Field(min_length=1)]
SignedMinor = Annotated[int, Field(ge=-(10**12), le=10**12, description="money in minor units, e.g. cents")]


# Statements -----------------------------------------------------------------------------------------


class Statement(Answer):
    """What a partner gets for a month in a currency; the total is the sum of its lines."""

    statement_id: int
    provider_id: int
    currency: str
    month: str
    state: StatementState
    total_minor: int
    line_count: int
    created_at: datetime
    issued_at: datetime | None
    agreed_at: datetime | None
    agreed_by: str | None
    closed_at: datetime | None
    paid_at: datetime | None
    payment_reference: str | None
    version: int


class Line(Answer):
    """A line: `amount_minor` is `quantity` × `price_minor` / `price_per`, a half rounded away from zero."""

    statement_line_id: int
    statement_id: int
    currency: str
    source: LineSource
    kind: LineKind
    visit_id: int | None
    ticket_id: int | None
    on_day: date
    rate_card_id: int | None
    rate_card_line_id: int | None
    code: str
    subject: str
    description: str
    quantity: int
    unit: str
    price_minor: int
    price_per: int
    amount_minor: int
    of_line_id: int | None = Field(description="of a correction: the line that it corrects")
    account_entry_id: int | None = Field(description="of the partner's parts account: which entry")
    created_at: datetime
    created_by: str


class VisitSettlement(Answer):
    """Where the settlement of a visit stands; blocked ones come with the next run that finds nothing in their way."""

    visit_id: int
    provider_id: int
    state: SettlementState
    reason: str
    detail: str
    currency: str | None
    expected_minor: int | None = Field(description="of a blocked one: what it would pay")
    on_day: date | None
    judged_at: datetime | None
    settled_at: datetime | None


class SettledVisit(VisitSettlement):
    """A visit with its lines."""

    lines: list[Line]


class Margin(Answer):
    """What a visit brings and costs, before tax: staff only."""

    visit_id: int
    currency: str
    settlement_minor: int = Field(description="what the partner gets for it")
    customer_currency: str | None
    customer_minor: int | None = Field(description="what the customer pays for it, before tax")
    borne_minor: int | None = Field(description="what the customer would have paid without the warranty")
    margin_minor: int | None = Field(description="the customer's price less the partner's; null in two currencies")


class StatementMargin(Answer):
    """The same over a statement."""

    statement_id: int
    currency: str
    visits: int
    settlement_minor: int
    customer_minor: int
    borne_minor: int
    margin_minor: int
    incomparable_visits: int = Field(description="left out: the customer pays in another currency")


class Payment(Body):
    """That a statement was paid."""

    paid_at: Time
    reference: Name


class Correction(Body):
    """More for a line, or less."""

    amount_minor: SignedMinor
    reason: Reason

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.amount_minor == 0:
            raise ValueError("amount_minor must not be 0")
        return self


class NewAdjustment(Correction):
    """Something for a partner that is no visit's line, into its open statement."""

    provider_id: Id
    currency: Currency


class Reversal(Body):
    """Why a visit is not paid after all."""

    reason: Reason


class RunReport(Answer):
    """What a run of the settlement did; `more` when another one has something left to do."""

    settled: int
    blocked: int
    entries: int
    more: bool


# Disputes -------------------------------------------------------------------------------------------


class NewDispute(Body):
    """Why a line is wrong."""

    reason: Reason
    wanted_minor: SignedMinor | None = Field(None, description="what the line should be")


class NewDisputeMessage(Body):
    """Something said about a dispute."""

    body: Reason


class Acceptance(Body):
    """That a dispute is right: the line becomes what it should be, by a correction."""

    amount_minor: SignedMinor | None = Field(None, description="the correction; left out: as the dispute wants it")
    resolution: Reason


class Ending(Body):
    """Why a dispute ends without a correction."""

    resolution: Reason


class DisputeMessage(Answer):
    """Something said about a dispute."""

    dispute_message_id: int
    side: str
    author: str
    body: str
    at: datetime


class Dispute(Answer):
    """A dispute of a line."""

    dispute_id: int
    statement_id: int
    statement_line_id: int
    provider_id: int
    state: DisputeState
    reason: str
    wanted_minor: int | None
    opened_at: datetime
    opened_by: str
    resolution: str
    resolved_at: datetime | None
    resolved_by: str | None
    correction_line_id: int | None
    version: int


class DisputeWithMessages(Dispute):
    """A dispute with what was said."""

    messages: list[DisputeMessage]


# Periods --------------------------------------------------------------------------------------------


class PeriodSum(Answer):
    """A month's statements of a currency."""

    currency: str
    statements: int
    total_minor: int
    drafts: int
    disputed: int


class Period(Answer):
    """A month of settlement."""

    month: str
    closed_at: datetime | None
    closed_by: str | None
    sums: list[PeriodSum]
    blocked_visits: int = Field(description="of this month or before, which come with a later one")


class SigningKeys(Answer):
    """A JSON Web Key Set."""

    keys: list[dict[str, Any]]
