"""Bodies and answers of repairs."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Serial, Text, Time
from api.parts.models import Code
from api.repairs.rules import DelayReason, LoanState, Mode, NodeName, RepairState

Reason = Annotated[Text, Field(min_length=1)]
Tracking = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,64}$")]
Minutes = Annotated[int, Field(ge=0, le=100_000)]
Days = Annotated[int, Field(ge=0, le=365)]


class NewRepair(Body):
    """A machine that is to come to a workshop."""

    ticket_id: Id
    mode: Mode | None = Field(None, description="else as the ticket's service_mode says")
    central: bool = Field(False, description="the maker pays everything, whatever the warranty says")
    old_part_wanted: bool = Field(False, description="the customer wants replaced parts back")


class Accessory(Body):
    """Something that came with the machine."""

    name: Name
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1
    note: Annotated[Text, Field(max_length=500)] = ""


class Receipt(Body):
    """What came, as whoever opened the parcel saw it."""

    serial: Serial = Field(description="on the machine's plate")
    condition: Reason
    accessories: Annotated[list[Accessory], Field(max_length=50)] = Field(default_factory=list)
    photo_file_ids: Annotated[list[Id], Field(max_length=20)] = Field(default_factory=list)
    freight_minor: Minor = Field(0, description="what its way to us cost the maker")


class Diagnosis(Body):
    """What is wrong."""

    diagnosis: Reason
    component: Name | None = Field(None, description="of the asset's model; else the ticket's")
    fault_code: Annotated[Text, Field(max_length=64)] = ""
    cause: Name | None = Field(None, description="why it broke, for the warranty's exclusions, e.g. misuse")
    fault_found: bool = True
    labour_minutes: Minutes = Field(0, description="spent on finding it")


class WantedPart(Body):
    """A part that the repair needs."""

    sku: Code
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1


class PartsOrder(Body):
    """The parts that the repair needs; sent again, it tries again for those that were missing."""

    parts: Annotated[list[WantedPart], Field(min_length=1, max_length=50)]

    @field_validator("parts")
    @classmethod
    def _once_each(cls, parts: list[WantedPart]) -> list[WantedPart]:
        skus = [part.sku for part in parts]
        if len(set(skus)) < len(skus):
            raise ValueError("has a part twice; add up the quantities")
        return parts


class Finish(Body):
    """That the machine is mended."""

    labour_minutes: Minutes
    note: Annotated[Text, Field(max_length=2000)] = ""


class TestResult(Body):
    """How the machine did in its test."""

    passed: bool
    note: Text = ""


class Exchange(Body):
    """Another machine instead of the customer's."""

    serial: Serial = Field(description="of the replacement; registered here if it is new")
    reason: Reason
    cost_minor: Minor = Field(0, description="of the replacement, for the maker")


class Parcel(Body):
    """A parcel to the customer."""

    carrier: Name
    tracking_number: Tracking
    freight_minor: Minor = 0


class ReturnUnrepaired(Parcel):
    """A machine that goes back as it is."""

    reason: Reason


class Ending(Body):
    """Why something ends."""

    reason: Reason


class Scrapping(Body):
    """A machine that is not sent back."""

    reason: Reason
    agreed_by: Name = Field(description="who of the customer agreed, and how it is known stands in reason")


class Delay(Body):
    """That it takes longer."""

    reason: DelayReason
    business_days: Annotated[int, Field(ge=1, le=250)]
    note: Annotated[Text, Field(max_length=500)] = Field("", description="the customer reads it")


class NewLabel(Body):
    """A label for the parcel to us: of a carrier, or our own plain one when nothing is given."""

    carrier: Name | None = None
    tracking_number: Tracking | None = None
    file_id: Id | None = Field(None, description="the carrier's label")
    freight_minor: Minor = 0


class Pickup(Body):
    """A carrier who fetches the machine."""

    carrier: Name
    tracking_number: Tracking | None = None
    pickup_from: Time
    pickup_until: Time
    address: Annotated[Text, Field(min_length=1, max_length=500)]
    freight_minor: Minor = 0

    @field_validator("pickup_until")
    @classmethod
    def _in_order(cls, until: datetime, others: ValidationInfo) -> datetime:
        if "pickup_from" in others.data and until <= others.data["pickup_from"]:
            raise ValueError("must be after pickup_from")
        return until


class Node(Answer):
    """A station on the way: promised first, expected now, done."""

    node: NodeName
    first_expected_on: date
    expected_on: date
    done_at: datetime | None


class ReportedDelay(Answer):
    """That it took longer, and why."""

    node: str
    reason: str
    note: str
    business_days: int
    at: datetime


class RepairPart(Answer):
    """A part of the repair; `state` is `missing` while no warehouse has it."""

    sku: str
    quantity: int
    state: str
    expected_at: datetime


class Shipment(Answer):
    """A parcel to us or to the customer."""

    shipment_id: int
    direction: str
    method: str
    carrier: str
    tracking_number: str
    label_file_id: int | None
    contents: list[dict[str, Any]]
    pickup_from: datetime | None
    pickup_until: datetime | None
    announced_at: datetime
    delivered_at: datetime | None
    cancelled_at: datetime | None


class TestRun(Answer):
    """A test of the repaired machine."""

    passed: bool
    note: str
    at: datetime


class RepairHead(Answer):
    """A repair in a list."""

    repair_id: int
    ticket_id: int
    serial: str
    mode: Mode
    central: bool
    state: RepairState
    bearer: str = Field(description="who pays, once it is diagnosed: maker, shared or customer")
    next_node: NodeName | None
    next_expected_on: date | None
    overdue_since: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    version: int


class Repair(RepairHead):
    """A machine's way through the workshop."""

    old_part_wanted: bool
    parcel: dict[str, Any] | None
    diagnosis: str
    component: str | None
    fault_code: str
    fault_found: bool
    warranty: dict[str, Any] | None = Field(description="the warranty's answer at the diagnosis, frozen")
    quote_id: int | None
    job_id: int | None
    replacement_serial: str | None
    tests: list[TestRun]
    end_reason: str
    nodes: list[Node]
    delays: list[ReportedDelay]
    parts: list[RepairPart]
    shipments: list[Shipment]


class NewCost(Body):
    """Something that the repair cost the maker, besides what is reckoned by itself."""

    kind: Literal["part", "labour", "freight_in", "freight_out", "loaner", "exchange", "other"] = "other"
    description: Annotated[Text, Field(min_length=1, max_length=500)]
    amount_minor: Minor
    currency: Currency


class Cost(Answer):
    """Something that the repair cost the maker."""

    repair_cost_id: int
    kind: str
    source: str
    description: str
    amount_minor: int
    currency: str
    at: datetime
    by: str


class CostSum(Answer):
    """The costs of a kind in a currency; the kind is empty for all kinds together."""

    kind: str
    amount_minor: int
    currency: str


class Costs(Answer):
    """What a repair has cost the maker until now."""

    repair_id: int
    bearer: str
    central: bool
    items: list[Cost]
    sums: list[CostSum]


class RepairStandard(Body):
    """How long each node takes, and what the workshop's time costs the maker; of a kind of product at a partner."""

    product_kind: Annotated[Text, Field(max_length=128)] = Field("", description="empty: any")
    provider_id: Id | None = None
    business_days: dict[NodeName, Days] = Field(default_factory=dict, description="others take the default")
    labour_hour_minor: Minor = 0
    currency: Currency = "EUR"


class KeptStandard(Answer):
    """A standard."""

    repair_standard_id: int
    product_kind: str
    provider_id: int | None
    business_days: dict[str, int]
    labour_hour_minor: int
    currency: str
    version: int


class NewLoaner(Body):
    """A machine to lend."""

    serial: Serial
    day_cost_minor: Minor = 0
    currency: Currency = "EUR"


class Loaner(Answer):
    """A machine to lend."""

    loaner_id: int
    serial: str
    model: str
    day_cost_minor: int
    currency: str
    active: bool
    lent: bool
    version: int


class LoanerChange(Body):
    """Whether a machine may be lent."""

    active: bool


class NewLoan(Body):
    """A loaner for the customer of a repair."""

    loaner_id: Id
    due_back_on: date


class Extension(Body):
    """More time for a loan."""

    due_back_on: date


class LoanReturn(Body):
    """A loaner that came back."""

    condition: Reason


class Loan(Answer):
    """A loaner with a customer."""

    loan_id: int
    loaner_id: int
    repair_id: int
    ticket_id: int
    serial: str
    state: LoanState
    lent_at: datetime
    due_back_on: date
    ended_at: datetime | None
    condition: str
    version: int
