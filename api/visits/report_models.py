"""The completion report: as the technician writes it, and as it is kept."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Count, Id, Name, Serial, Text, Time
from api.dispatch.rules import Outcome
from api.outcomes.rules import Reason
from api.parts.models import Code
from api.quotes.models import NewLine

# Whole paragraphs; PostgreSQL cannot hold the character NUL.
LongText = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
FileIds = Annotated[list[Id], Field(max_length=40)]
NextStep = Literal["follow_up_visit", "part_order", "mail_in", "escalation"]


class Correction(Body):
    """What of the asset was found to be otherwise than recorded; left out: as recorded."""

    firmware: Name | None = None
    location: Name | None = Field(None, description="where on the site it stands")
    attributes: dict[Name, bool | int | Number | Text] = Field(default_factory=dict, max_length=50)


class Diagnosis(Body):
    """Codes of the catalogue of the product kind, `GET /v1/fault-codes`."""

    symptom: Name | None = None
    fault: Name | None = None
    cause: Name | None = None
    remedy: Name | None = None


class Entitlement(Body):
    """What the customer was entitled to by a contract and has now had, e.g. a visit of a paid plan."""

    contract_id: Id
    name: Name = Field(description="as the contract calls it")
    quantity: Annotated[int, Field(ge=1, le=20)] = 1


class Replaced(Body):
    """A component that was replaced; becomes a fact that the predictor learns from."""

    component: Name
    reason: Reason
    failed_at: Time | None = Field(None, description="of a failure, when it failed; else when the case was opened")


class FollowUp(Body):
    """What the next step needs to know."""

    note: Text = ""
    sku: Code | None = Field(None, description="of part_order: the part")
    quantity: Count = 1
    starts_at: Time | None = Field(None, description="of follow_up_visit: the appointment agreed, with ends_at")
    ends_at: Time | None = None


class ReportContent(Body):
    """A completion report; may be saved unfinished, `GET /v1/visits/{id}/completion-check` tells what it lacks."""

    serial_found: Serial | None = Field(None, description="as read from the machine's plate")
    correction: Correction = Correction()
    diagnosis: Diagnosis = Diagnosis()
    findings: LongText = ""
    work_done: LongText = ""
    photos: FileIds = Field(default_factory=list)
    in_warranty: bool | None = None
    warranty_note: Text = Field("", description="why the maker bears it, or not, against the warranty's answer")
    warranty_cause: Name | None = Field(None, description="e.g. misuse; what the warranty's policy excludes")
    fee_lines: list[NewLine] = Field(
        default_factory=list, max_length=200, description="priced by the customer's price list; sales too"
    )
    entitlements: list[Entitlement] = Field(default_factory=list, max_length=20)
    replaced: list[Replaced] = Field(default_factory=list, max_length=20)
    signed_by_name: Name | None = None
    signature_file_id: Id | None = None
    no_signature_reason: Text = ""
    solved: bool | None = None
    outcome: Outcome | None = None
    next_step: NextStep | None = None
    follow_up: FollowUp = FollowUp()
    travel_minutes: Annotated[int, Field(ge=0, le=2880)] | None = None


class BillLine(Answer):
    """A line of the bill; `customer_minor` is the customer's share of it."""

    kind: str
    code: str
    description: str
    quantity: int
    unit: str
    price_minor: int
    price_per: int
    net_minor: int
    customer_minor: int
    bearer: str
    reason: str


class Bill(Answer):
    """What the work costs, and what of it the customer pays."""

    currency: str
    lines: list[BillLine]
    net_minor: int
    tax_rate_bp: int
    tax_minor: int
    gross_minor: int
    borne_minor: int


class Report(Answer):
    """A completion report as it is kept; `frozen` when the visit is completed."""

    visit_id: int
    content: dict[str, Any]
    bill: Bill | None
    warranty: dict[str, Any] | None = Field(description="the warranty's answer, as it was at completion")
    asset_before: dict[str, Any] | None
    asset_after: dict[str, Any] | None
    made: list[dict[str, Any]] = Field(description="what the next step has made, e.g. {'job_id': 7}")
    written_by: str
    written_at: datetime
    frozen_at: datetime | None
    pdf_file_id: int | None
    version: int


class Gap(Answer):
    """Something that the completion lacks."""

    code: str
    field: str
    message: str


class CompletionCheck(Answer):
    """Whether a visit can be completed, everything that is missing, what it costs, and what the warranty says."""

    complete: bool
    gaps: list[Gap]
    bill: Bill | None
    warranty: dict[str, Any]
