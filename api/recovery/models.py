"""Bodies and answers of suppliers and their claims."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Text
from api.recovery.rules import Action
from api.warranty.models import Months

ClaimState = Literal[
    "draft", "submitted", "accepted", "partly_accepted", "rejected", "settled", "withdrawn", "expired"
]  # fmt: skip
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
WithinDays = Annotated[int, Field(ge=1, le=3650, description="a claim is submitted so long after the failure")]
Rate = Annotated[int, Field(ge=0, le=10**9, description="what an hour of labour may be claimed at, minor units")]


class NewSupplier(Body):
    """Who supplies components."""

    code: Code
    name: Name
    labour_hour_minor: Rate = 0
    currency: Currency = "EUR"
    claim_within_days: WithinDays = 90


class SupplierChange(Body):
    """What of a supplier may change; claims drafted before stay. Inactive: nothing new is ordered from it."""

    name: Name | None = None
    labour_hour_minor: Rate | None = None
    claim_within_days: WithinDays | None = None
    active: bool | None = None


class Supplier(Answer):
    """Who supplies components."""

    supplier_id: int
    code: str
    name: str
    labour_hour_minor: int
    currency: str
    claim_within_days: int
    active: bool
    version: int


class NewSupply(Body):
    """What a supplier answers for: a component of a model, or a part wherever it is built in."""

    model: Name | None = None
    component: Name | None = None
    sku: Name | None = None
    warranty_months: Months

    @model_validator(mode="after")
    def _one_thing(self) -> "NewSupply":
        of_model = self.model is not None and self.component is not None
        if of_model == (self.sku is not None) or (self.model is None) != (self.component is None):
            raise ValueError("give model and component, or sku")
        return self


class Supply(Answer):
    """What a supplier answers for."""

    supply_id: int
    supplier: str
    model: str | None
    component: str | None
    sku: str | None
    warranty_months: int


class NewClaim(Body):
    """A claim for a component that failed; costs that are left out come from the bill of materials."""

    failure_id: Id | None = None
    replacement_id: Id | None = None
    ticket_id: Id | None = None
    parts_minor: Minor | None = None
    labour_minor: Minor | None = None
    travel_minor: Minor = 0
    note: Text = ""

    @model_validator(mode="after")
    def _one_fact(self) -> "NewClaim":
        if (self.failure_id is None) == (self.replacement_id is None):
            raise ValueError("give failure_id or replacement_id")
        return self


class ClaimChange(Body):
    """What of a draft may change; fields left out stay."""

    parts_minor: Minor | None = None
    labour_minor: Minor | None = None
    travel_minor: Minor | None = None
    reference: Annotated[Text, Field(max_length=128)] | None = None
    note: Text | None = None


class ClaimMove(Body):
    """What happens to a claim."""

    action: Action
    accepted_minor: Minor | None = Field(None, description="for accept_partly: how much of it")
    settled_minor: Minor | None = Field(None, description="for settle: what was paid; all that was accepted")
    reference: Annotated[Text, Field(max_length=128)] | None = Field(None, description="the supplier's number")
    note: Text | None = None


class Claim(Answer):
    """A claim against a supplier."""

    claim_id: int
    supplier: str
    state: ClaimState
    serial: str
    component: str
    failure_id: int | None
    replacement_id: int | None
    ticket_id: int | None
    failed_on: date
    built_in_on: date
    covered_until: date = Field(description="the last day of the supplier's warranty")
    deadline: date = Field(description="the last day to submit it")
    currency: str
    parts_minor: int
    labour_minor: int
    travel_minor: int
    claimed_minor: int
    accepted_minor: int | None
    settled_minor: int | None
    reference: str
    note: str
    drafted_at: datetime
    submitted_at: datetime | None
    decided_at: datetime | None
    settled_at: datetime | None
    version: int


class RecoveryTotal(Answer):
    """What of a supplier's claims is in a state."""

    state: ClaimState
    claims: int
    claimed_minor: int
    accepted_minor: int
    settled_minor: int
