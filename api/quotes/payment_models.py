"""Bodies and answers of agreed fees, charges and payments."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Currency, Id, Name, Text
from api.quotes.models import BasisPoints
from api.quotes.rules import Channel, ChargeState, FeeKind, PaymentState

Reference = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$", description="as the payment provider calls it")]
PaymentProviderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Paid = Annotated[int, Field(ge=1, le=10**12, description="money in minor units, e.g. cents, with tax")]


class NewAgreedFee(Body):
    """A fee that the customer agreed to at booking, whatever becomes of the quote."""

    kind: FeeKind
    amount_minor: Paid
    tax_rate_bp: BasisPoints = Field(0, description="contained in the amount")
    currency: Currency
    text: Annotated[Text, Field(min_length=1, description="the exact words agreed to")]
    given_by: Name
    channel: Channel
    how_obtained: Text = ""


class AgreedFee(Answer):
    """A fee that was agreed to."""

    agreed_fee_id: int
    ticket_id: int
    kind: str
    amount_minor: int
    tax_rate_bp: int
    currency: str
    charged_minor: int
    agreed_at: datetime
    given_by: str
    recorded_by: str
    channel: str
    how_obtained: str
    text: str
    text_sha256: str


class NewCharge(Body):
    """What the customer is charged: of the accepted quote, or an agreed fee."""

    amount_minor: Paid
    currency: Currency
    agreed_fee_id: Id | None = None
    description: Annotated[Text, Field(max_length=500)] = ""


class Charge(Answer):
    """What the customer was charged; `amount_minor` contains `tax_minor`."""

    charge_id: int
    ticket_id: int
    quote_id: int | None
    agreed_fee_id: int | None
    state: ChargeState
    amount_minor: int
    tax_minor: int
    tax_rate_bp: int
    currency: str
    description: str
    charged_at: datetime
    charged_by: str
    void_reason: str
    version: int


class NewPayment(Body):
    """What a payment provider says of a payment."""

    provider: PaymentProviderName
    external_reference: Reference
    amount_minor: Paid
    currency: Currency
    state: Literal["authorised", "captured", "failed"] = "authorised"
    method: Annotated[Text, Field(max_length=64)] = ""
    reason: Annotated[Text, Field(max_length=500)] = Field("", description="why it failed")


class Capture(Body):
    """How much of what was authorised was taken; all of it when left out."""

    amount_minor: Paid | None = None


class NewRefund(Body):
    """What was paid back."""

    external_reference: Reference
    amount_minor: Paid
    reason: Annotated[Text, Field(max_length=500)] = ""


class Refund(Answer):
    """What was paid back."""

    external_reference: str
    amount_minor: int
    reason: str
    at: datetime
    recorded_by: str


class Payment(Answer):
    """A record of a payment elsewhere."""

    payment_id: int
    ticket_id: int
    provider: str
    external_reference: str
    method: str
    state: PaymentState
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    fail_reason: str
    at: datetime
    recorded_by: str
    refunds: list[Refund]
    version: int


class NewPaymentProvider(Body):
    """Somebody who may tell of payments."""

    name: PaymentProviderName


class PaymentProvider(Answer):
    """Somebody who may tell of payments."""

    payment_provider_id: int
    name: str
    active: bool
    created_at: datetime


class CreatedPaymentProvider(PaymentProvider):
    """With the secret it signs with, which is shown once."""

    secret: str


class PaymentNotice(Body):
    """What a payment provider's message says."""

    type: Literal["payment.authorised", "payment.captured", "payment.failed", "payment.refunded"]
    ticket_id: Id
    external_reference: Reference
    amount_minor: Paid
    currency: Currency
    refund_reference: Reference | None = Field(None, description="of payment.refunded")
    method: Annotated[Text, Field(max_length=64)] = ""
    reason: Annotated[Text, Field(max_length=500)] = ""


class Balance(Answer):
    """What a case's customer owes, in minor units with tax."""

    ticket_id: int
    currency: str | None
    accepted_minor: int
    chargeable_minor: int = Field(description="what may still be charged of the accepted quote")
    charged_minor: int
    fees_minor: int
    authorised_minor: int
    captured_minor: int
    refunded_minor: int
    balance_minor: int = Field(description="still to be paid; negative when too much was")


class Receipt(Answer):
    """What a receipt shows."""

    ticket_id: int
    at: datetime
    customer: str | None
    serial: str | None
    charges: list[Charge]
    payments: list[Payment]
    net_minor: int
    tax_minor: int
    gross_minor: int
    balance: Balance
