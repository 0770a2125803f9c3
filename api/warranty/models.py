"""Bodies and answers about warranty."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Id, Name, Text
from api.warranty.derivation import EARLIEST, LATEST, StartRule
from api.warranty.rules import STANDARD_EXCLUSIONS, Bearer, Code, Extent, HumanDamage, Source

PurchaseState = Literal["submitted", "accepted", "rejected", "replaced"]


def _in_reach(day: date) -> date:
    if not EARLIEST <= day <= LATEST:
        raise ValueError(f"must be between {EARLIEST} and {LATEST}")
    return day


Day = Annotated[date, AfterValidator(_in_reach)]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1, e.g. DE")]
Months = Annotated[int, Field(ge=1, le=600)]
MeterLimit = Annotated[float, Field(gt=0, le=1e12, description="the largest value still covered")]
Names = Annotated[list[Name], Field(max_length=100)]


class WarrantyTerm(Answer):
    """A warranty of an asset; `ends_on` is the last day covered, `ticket_id` the case that announced its end."""

    term_id: int
    serial: str
    name: str
    starts_on: date
    ends_on: date
    ticket_id: int | None
    source: Source = Field(description="by hand, from a policy, a contract or a front-line extension")
    component: str | None = Field(description="null: the whole machine")
    meter_metric: str | None
    meter_limit: float | None
    parts: bool
    labour: bool
    travel: bool
    policy: str | None
    policy_version: int | None
    contract_id: int | None
    extension_id: int | None


class PolicyLine(Body):
    """What a policy promises for the machine as a whole, or instead of that for one component."""

    component: Name | None = Field(None, description="null: the whole machine")
    months: Months
    meter_metric: Name | None = None
    meter_limit: MeterLimit | None = None
    parts: bool = True
    labour: bool = True
    travel: bool = True

    @model_validator(mode="after")
    def _whole(self) -> "PolicyLine":
        if (self.meter_metric is None) != (self.meter_limit is None):
            raise ValueError("meter_metric and meter_limit go together")
        if not (self.parts or self.labour or self.travel):
            raise ValueError("a line covers at least one of parts, labour and travel")
        return self


class PolicyVersion(Body):
    """What a version of a policy says."""

    name: Name
    model: Name | None = Field(None, description="code of the product model it is for")
    kind: Name | None = Field(None, description="kind of the product models it is for; neither: all")
    valid_from: Day = Field(description="for machines sold from this day on")
    valid_to: Day | None = Field(None, description="the last day of sale")
    start_rule: StartRule = "installation"
    start_delay_days: Annotated[int, Field(ge=0, le=3650)] = 0
    customer_kinds: Names = Field([], description="empty: all")
    countries: Annotated[list[Country], Field(max_length=250)] = Field([], description="empty: all")
    transferable: bool = True
    human_damage: HumanDamage = "customer_pays"
    excluded_causes: Names = Field(sorted(STANDARD_EXCLUSIONS))
    excluded_components: Names = Field([], description="wear parts")
    lines: Annotated[list[PolicyLine], Field(min_length=1, max_length=200)]

    @field_validator("valid_to")
    @classmethod
    def _in_order(cls, valid_to: date | None, others: ValidationInfo) -> date | None:
        valid_from = others.data.get("valid_from")
        if valid_to is not None and valid_from is not None and valid_to < valid_from:
            raise ValueError("must not be before valid_from")
        return valid_to

    @field_validator("kind")
    @classmethod
    def _one_scope(cls, kind: str | None, others: ValidationInfo) -> str | None:
        if kind is not None and others.data.get("model") is not None:
            raise ValueError("give model or kind, not both")
        return kind

    @field_validator("lines")
    @classmethod
    def _each_once(cls, lines: list[PolicyLine]) -> list[PolicyLine]:
        components = [line.component for line in lines]
        twice = sorted({str(name or "the whole machine") for name in components if components.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} has two lines")
        return lines


class NewPolicy(PolicyVersion):
    """A policy's first version."""

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Policy(Answer):
    """A version of a policy; it is never changed."""

    policy_id: int
    code: str
    version: int
    name: str
    model: str | None
    kind: str | None
    valid_from: date
    valid_to: date | None
    start_rule: StartRule
    start_delay_days: int
    customer_kinds: list[str]
    countries: list[str]
    transferable: bool
    human_damage: HumanDamage
    excluded_causes: list[str]
    excluded_components: list[str]
    lines: list[PolicyLine]
    created_at: datetime
    created_by: str


class NewPurchase(Body):
    """When a machine was bought, with the proof."""

    purchased_on: Day
    seller: Text = ""
    invoice_number: Annotated[Text, Field(max_length=128)] = ""
    country: Country | None = None
    file_id: Id | None = Field(None, description="the proof, from POST /v1/files")


class PurchaseDecision(Body):
    """Why a proof is accepted or not."""

    reason: Text = ""


class PurchaseRejection(Body):
    """Why a proof is not accepted."""

    reason: Annotated[Text, Field(min_length=1)]


class Purchase(Answer):
    """A purchase of a machine; accepted, it fixes the warranty's start."""

    purchase_id: int
    serial: str
    state: PurchaseState
    purchased_on: date
    seller: str
    invoice_number: str
    country: str | None
    file_id: int | None
    submitted_at: datetime
    submitted_by: str
    decided_at: datetime | None
    decided_by: str | None
    decision: str


class CoverageReason(Answer):
    """One reason, for machines (`code`) and for people."""

    code: Code
    text: str
    term_id: int | None


class MeterReading(Answer):
    """A meter as of the day asked about."""

    metric: str
    value: float | None = Field(description="null: nothing is known")
    at: datetime | None = Field(description="when it was read; null if the caller gave it")
    limit: float = Field(description="the highest limit of the asset's terms")


class CoverageEvidence(Answer):
    """What the answer rests on."""

    terms: int
    meters: list[MeterReading]
    customer_kind: str | None
    country: str | None
    transferred_on: date | None
    purchased_on: date | None = Field(description="by an accepted proof of purchase")
    human_damage_used: bool
    denial_id: int | None


class Coverage(Answer):
    """Whether an asset is covered on a day, and why."""

    serial: str
    on: date
    component: str | None
    cause: str | None
    covered: bool = Field(description="all or some of it")
    extent: Extent
    bearer: Bearer = Field(description="who pays")
    parts: bool
    labour: bool
    travel: bool
    until: date | None = Field(description="the last day of the unbroken cover, here and by what follows")
    days_left: int | None = Field(description="until then")
    meter_metric: str | None
    meter_limit: float | None = Field(description="where the deciding term ends by its meter")
    meter_left: float | None
    reason: str = Field(description="the deciding one")
    reasons: list[CoverageReason] = Field(description="all, the deciding first")
    term: WarrantyTerm | None = Field(description="the one that decides, in either direction")
    evidence: CoverageEvidence
