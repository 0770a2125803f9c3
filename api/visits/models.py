"""Bodies and answers of visits."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from api.conventions.models import Answer, Body, Count, Id, Latitude, Longitude, Name, Serial, Text, Time
from api.parts.models import Code
from api.visits.report_models import FileIds, Number
from api.visits.rules import (
    CausedBy,
    Channel,
    CheckResult,
    ContactResult,
    NoAccessReason,
    ReassignReason,
    RefuseReason,
    RescheduleReason,
)

OldPartFate = Literal["return_to_maker", "scrap", "left_with_customer", "none"]


def _once(ids: list[int]) -> list[int]:
    return list(dict.fromkeys(ids))


Photos = Annotated[FileIds, AfterValidator(_once)]

# Appointments ------------------------------------------------------------------------------------


class NewSlot(Body):
    """An appointment that is offered."""

    technician_id: Id
    starts_at: Time
    ends_at: Time


class NewVisit(Body):
    """A proposal to the customer: one or several appointments for a job; the first is booked until one is chosen."""

    job_id: Id
    slots: Annotated[list[NewSlot], Field(min_length=1, max_length=5)]


class NewOffer(Body):
    """Other appointments than those offered before."""

    slots: Annotated[list[NewSlot], Field(min_length=1, max_length=5)]


class Confirmation(Body):
    """The customer agrees to an appointment."""

    slot_id: Id | None = Field(None, description="which of those offered; left out, the one that is booked")


class Rescheduling(Body):
    """Another time, and why."""

    starts_at: Time
    ends_at: Time
    technician_id: Id | None = Field(None, description="left out, the same one")
    reason: RescheduleReason
    caused_by: CausedBy
    note: Text = ""
    agreed: bool = Field(False, description="the customer has agreed already: it is confirmed at once")


class Reassignment(Body):
    """Another technician at the same time, and why."""

    technician_id: Id
    reason: ReassignReason
    note: Text = ""


class NewContact(Body):
    """The customer was called, written to, or rung at the door."""

    channel: Channel
    result: ContactResult
    person: Annotated[Text, Field(max_length=128)] = ""
    note: Text = ""
    device_at: Time | None = Field(None, description="when it was, if not now")


# On the way and on site ---------------------------------------------------------------------------


class NewPosition(Body):
    """Where the device is; without position where it knows none."""

    latitude: Latitude | None = None
    longitude: Longitude | None = Field(None, validate_default=True)
    accuracy_m: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] | None = None
    device_at: Time | None = Field(None, description="when it was, by the device's clock; left out, now")
    sent_at: Time | None = Field(None, description="the device's clock while sending; tells how wrong it goes")

    @field_validator("longitude")
    @classmethod
    def _whole_position(cls, longitude: float | None, others: ValidationInfo) -> float | None:
        if "latitude" in others.data and (others.data["latitude"] is None) != (longitude is None):
            raise ValueError("give latitude and longitude, or neither")
        return longitude


class NewEntry(Body):
    """A tip read, a check made or a step ticked; told twice it is kept once."""

    entry_id: UUID = Field(description="made by the device, once for each entry")
    code: Name
    result: CheckResult | None = None
    value: Number | None = None
    choice: Name | None = None
    photo_file_id: Id | None = None
    note: Text = ""
    device_at: Time


class EntryBatch(Body):
    """What was done on site, perhaps long ago and out of order; each entry is answered by itself."""

    tips: Annotated[list[NewEntry], Field(max_length=100)] = Field(default_factory=list)
    checks: Annotated[list[NewEntry], Field(max_length=200)] = Field(default_factory=list)
    steps: Annotated[list[NewEntry], Field(max_length=500)] = Field(default_factory=list)
    sent_at: Time | None = Field(None, description="the device's clock while sending")


class EntryAnswer(Answer):
    """What became of an entry: `kept`, `known` (told before) or `refused` with why."""

    entry_id: UUID
    kind: str
    code: str
    outcome: str
    fit: bool | None
    message: str | None


class EntryAnswers(Answer):
    """What became of a batch, in its order."""

    items: list[EntryAnswer]


class Refusal(Body):
    """Work that would not be safe; with photos."""

    reason: RefuseReason
    note: Annotated[Text, Field(min_length=1)]
    photos: Annotated[Photos, Field(min_length=1)]


class NoAccess(Body):
    """Nobody was there, or nobody let us in."""

    reason: NoAccessReason
    note: Text = ""
    photos: Photos = Field(default_factory=list)


class NewVisitPart(Body):
    """A part built in, or brought back unused; told twice it moves once."""

    entry_id: UUID = Field(description="made by the device, once for each entry")
    kind: Literal["used", "returned"]
    sku: Code
    quantity: Count = 1
    reservation_id: Id | None = Field(None, description="what was kept for the job; or give warehouse")
    warehouse: Code | None = Field(None, description="a van or a partner's store it comes from or goes back to")
    component: Name | None = Field(None, description="which component it is built in for")
    serial_fitted: Name | None = None
    old_part: OldPartFate | None = None
    old_serial: Name | None = None
    device_at: Time | None = None

    @field_validator("old_part")
    @classmethod
    def _told_of_used(cls, old_part: str | None, others: ValidationInfo) -> str | None:
        if others.data.get("kind") == "returned" and old_part is not None:
            raise ValueError("is told of a part that was used")
        return old_part


class OldPart(Body):
    """What becomes of the part that was taken out, told later or otherwise than before."""

    old_part: OldPartFate
    old_serial: Name | None = None


# Answers ------------------------------------------------------------------------------------------


class VisitLine(Answer):
    """A visit in a list."""

    visit_id: int
    job_id: int
    ticket_id: int | None
    technician_id: int
    serial: str
    site: str | None = Field(description="where the machine stands")
    time_zone: str
    starts_at: datetime
    ends_at: datetime
    state: str
    version: int


class Slot(Answer):
    """An appointment that was offered."""

    slot_id: int
    technician_id: int
    starts_at: datetime
    ends_at: datetime
    state: str


class Change(Answer):
    """Why an appointment moved or went to somebody else."""

    kind: str
    caused_by: str | None
    reason: str
    note: str
    from_technician_id: int
    to_technician_id: int
    from_starts_at: datetime
    to_starts_at: datetime
    actor: str
    at: datetime


class Contact(Answer):
    """An attempt to reach the customer."""

    contact_attempt_id: int
    channel: str
    result: str
    person: str
    note: str
    device_at: datetime | None
    at: datetime
    actor: str


class Position(Answer):
    """Where the technician was; `warnings` names what is odd: `far`, `clock`, `no_position`."""

    kind: str
    latitude: float | None
    longitude: float | None
    accuracy_m: float | None
    distance_m: float | None
    far: bool
    device_at: datetime
    clock_ahead_s: float | None
    at: datetime
    warnings: list[str]


class VisitPart(Answer):
    """A part built in or brought back."""

    visit_part_id: int
    entry_id: UUID
    kind: str
    sku: str
    quantity: int
    reservation_id: int | None
    warehouse: str | None
    component: str | None
    serial_fitted: str | None
    old_part: str | None
    old_serial: str | None
    device_at: datetime


class Progress(Answer):
    """The last entry of a tip, check or step."""

    kind: str
    code: str
    result: str | None
    value: float | None
    choice: str | None
    photo_file_id: int | None
    note: str
    fit: bool
    misfit: str | None
    device_at: datetime
    late: bool
    actor: str


class Visit(VisitLine):
    """A visit with all that belongs to it, as far as the caller may see it; `actions` is what may be done next."""

    technician: str | None
    sop_id: int | None
    dispatched_at: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None
    departed_at: datetime | None
    checked_in_at: datetime | None
    work_began_at: datetime | None
    checked_out_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    end_note: str | None
    photos: list[int]
    slots: list[Slot]
    changes: list[Change]
    contacts: list[Contact]
    positions: list[Position]
    progress: list[Progress]
    parts: list[VisitPart]
    pdf_file_id: int | None
    actions: list[str]


class Link(Answer):
    """A link for a customer without login; the token is shown once."""

    token: str
    path: str
    expires_at: datetime


class OfferedVisit(Answer):
    """What somebody with a link sees."""

    serial: str
    state: str
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    technician: str
    slots: list[Slot]


class ChangeCount(Answer):
    """How often a cause moved appointments."""

    caused_by: str
    reason: str
    count: int


class ChangeCounts(Answer):
    """How often each cause moved appointments in a span of time."""

    items: list[ChangeCount]


class Pack(Answer):
    """Everything for a visit, to be taken where there is no network."""

    visit: Visit
    serial: Serial
    asset: dict[str, Any]
    job: dict[str, Any]
    ticket: dict[str, Any] | None
    site: dict[str, Any] | None
    customer: dict[str, Any] | None
    sop: dict[str, Any] | None
    fault_codes: list[dict[str, Any]]
    warranty: dict[str, Any]
    stock: list[dict[str, Any]] = Field(description="of the vans and partners of the site's territory")
    history: list[dict[str, Any]] = Field(description="the last ten visits to the machine")
    report: dict[str, Any] | None
