"""Bodies and answers of bought and granted cover."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Text
from api.cover.rules import Starts
from api.warranty.models import MeterLimit, Months, Names
from api.warranty.rules import STANDARD_EXCLUSIONS, HumanDamage

ContractState = Literal["sold", "active", "ended", "cancelled", "lapsed"]
ExtensionState = Literal["requested", "granted", "refused", "withdrawn"]
RightRole = Literal["agent", "desk_lead"]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Reason = Annotated[Text, Field(min_length=1)]
Invoice = Annotated[Text, Field(min_length=1, max_length=128)]
Granted = Annotated[int, Field(ge=1, le=10_000)]
Days = Annotated[int, Field(ge=1, le=3650)]


class NewCoverProduct(Body):
    """An extension card or plan that customers can buy."""

    code: Code
    name: Name
    kind: Literal["extension_card", "plan"]
    model: Name | None = Field(None, description="code of the product model it is for")
    asset_kind: Name | None = Field(None, description="kind of the product models it is for; neither: all")
    price_minor: Minor
    currency: Currency = "EUR"
    months: Months
    starts: Starts = "after_warranty"
    activate_within_days: Annotated[int, Field(ge=1, le=3650)] = 730
    meter_metric: Name | None = None
    meter_limit: MeterLimit | None = None
    components: Names = Field([], description="empty: the whole machine")
    parts: bool = True
    labour: bool = True
    travel: bool = True
    human_damage: HumanDamage = "customer_pays"
    excluded_causes: Names = Field(sorted(STANDARD_EXCLUSIONS))
    excluded_components: Names = Field([])
    entitlements: Annotated[dict[Name, Granted], Field(max_length=50)] = Field(
        {}, description='what it gives besides, e.g. {"maintenance_visit": 2}'
    )

    @field_validator("asset_kind")
    @classmethod
    def _one_scope(cls, kind: str | None, others: ValidationInfo) -> str | None:
        if kind is not None and others.data.get("model") is not None:
            raise ValueError("give model or asset_kind, not both")
        return kind

    @field_validator("components")
    @classmethod
    def _each_once(cls, components: list[str]) -> list[str]:
        if len(set(components)) < len(components):
            raise ValueError("has a component twice")
        return components

    @model_validator(mode="after")
    def _whole(self) -> "NewCoverProduct":
        if (self.meter_metric is None) != (self.meter_limit is None):
            raise ValueError("meter_metric and meter_limit go together")
        if not (self.parts or self.labour or self.travel or self.entitlements):
            raise ValueError("it must cover something or entitle to something")
        return self


class CoverProductChange(Body):
    """What of a product may change; contracts keep what they were sold with."""

    name: Name | None = None
    price_minor: Minor | None = None
    active: bool | None = Field(None, description="false: it is sold no more")


class CoverProduct(Answer):
    """An extension card or plan."""

    product_id: int
    code: str
    name: str
    kind: Literal["extension_card", "plan"]
    model: str | None
    asset_kind: str | None
    price_minor: int
    currency: str
    months: int
    starts: Starts
    activate_within_days: int
    meter_metric: str | None
    meter_limit: float | None
    components: list[str]
    parts: bool
    labour: bool
    travel: bool
    human_damage: HumanDamage
    excluded_causes: list[str]
    excluded_components: list[str]
    entitlements: dict[str, int]
    active: bool
    version: int


class NewContract(Body):
    """A sale; with `invoice_number` it is activated by that, else by a code that is shown once."""

    product: Code
    customer_id: Id | None = None
    invoice_number: Invoice | None = None


class NewActivation(Body):
    """By which a sold contract is activated for a machine."""

    code: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(None, description="as printed on the card")
    product: Code | None = None
    invoice_number: Invoice | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "NewActivation":
        by_invoice = self.product is not None and self.invoice_number is not None
        if (self.code is None) != by_invoice or (self.code is not None and self.invoice_number is not None):
            raise ValueError("give code, or product and invoice_number")
        return self


class Entitlement(Answer):
    """What a contract gives besides cover, and how much of it is left."""

    name: str
    granted: int
    redeemed: int
    left: int


class Contract(Answer):
    """A sold extension card or plan."""

    contract_id: int
    product: str
    product_name: str
    state: ContractState
    customer_id: int | None
    serial: str | None = Field(description="null until it is activated")
    invoice_number: str | None
    price_minor: int
    currency: str
    sold_at: datetime
    activate_by: date
    activated_at: datetime | None
    starts_on: date | None
    ends_on: date | None
    cancelled_at: datetime | None
    cancel_reason: str
    entitlements: list[Entitlement]
    version: int


class SoldContract(Contract):
    """A contract just sold."""

    activation_code: str | None = Field(description="shown once; null when the invoice activates it")


class NewCancellation(Body):
    """Why a contract ends early."""

    reason: Reason


class NewRedemption(Body):
    """Use of something that a contract entitles to."""

    entitlement: Name
    ticket_id: Id | None = None


class Redemption(Answer):
    """A use of an entitlement."""

    redemption_id: int
    contract_id: int
    entitlement: str
    serial: str
    ticket_id: int | None
    at: datetime
    redeemed_by: str
    left: int


class NewHumanDamage(Body):
    """The case in which the free human damage is used."""

    ticket_id: Id


class HumanDamageUse(Answer):
    """The one human damage that a policy bears, used."""

    serial: str
    ticket_id: int
    at: datetime
    used_by: str


class NewExtension(Body):
    """Days that the desk gives a customer after the warranty."""

    days: Days
    reason: Reason
    ticket_id: Id | None = None
    ask_lead: bool = Field(False, description="where it is not within one's right or budget, ask a desk lead")


class ExtensionDecision(Body):
    """Why a desk lead grants an extension."""

    reason: Text = ""


class ExtensionRefusal(Body):
    """Why a desk lead refuses or withdraws an extension."""

    reason: Reason


class Extension(Answer):
    """Days that the desk gave, or was asked to give."""

    extension_id: int
    serial: str
    state: ExtensionState
    days: int
    cost_minor: int
    currency: str
    reason: str
    ticket_id: int | None
    asked_at: datetime
    asked_by: str
    decided_at: datetime | None
    decided_by: str | None
    decision: str
    starts_on: date | None
    ends_on: date | None
    version: int


class ExtensionRight(Answer):
    """What a role may grant by itself."""

    role: RightRole
    days_around_expiry: int
    longest_days: int
    monthly_count: int
    monthly_minor: int
    day_minor: int = Field(description="what a day of extension is reckoned to cost")
    currency: str
    version: int


class ExtensionRightChange(Body):
    """What of a right may change."""

    days_around_expiry: Annotated[int, Field(ge=0, le=3650)] | None = None
    longest_days: Days | None = None
    monthly_count: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    monthly_minor: Minor | None = None
    day_minor: Annotated[int, Field(ge=0, le=10**9)] | None = None


class ExtensionBudget(Answer):
    """What somebody granted this month, and what is left."""

    month: date
    right: ExtensionRight
    count: int
    spent_minor: int
    count_left: int
    minor_left: int
