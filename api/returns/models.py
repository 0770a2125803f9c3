"""Bodies and answers of old parts, their rules and their parcels."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Count, Id, Name, Text
from api.parts.models import Code
from api.returns.rules import DUE_DAYS, Bearer, Fate, Finding, State

FileIds = Annotated[list[Id], Field(max_length=20)]
OldPartIds = Annotated[list[Id], Field(min_length=1, max_length=200)]
# `to_return` stands for all that is owed, `received` for all that has come, whatever became of it since.
StateFilter = Literal[
    "to_return", "received", "expected", "packed", "shipped", "inspected", "at_repair", "scrapped", "written_off",
    "waived", "overdue",
]  # fmt: skip


# Rules ----------------------------------------------------------------------------------------------


class NewOldPartRule(Body):
    """What becomes of old parts; what is left out stands for any."""

    sku: Name | None = None
    model: Name | None = Field(None, description="of the machine")
    manufacturer: Name | None = Field(None, description="of the machine")
    bearer: Bearer | None = Field(None, description="who bears the part built in")
    fate: Fate
    due_days: Annotated[int, Field(ge=1, le=365)] = DUE_DAYS
    evidence: bool = Field(False, description="scrapping on site is to be shown by photos")
    reason: Annotated[Text, Field(min_length=1)]


class OldPartRule(Answer):
    """What becomes of old parts; a rule does not change, another one takes its place."""

    old_part_rule_id: int
    sku: str | None
    model: str | None
    manufacturer: str | None
    bearer: Bearer | None
    fate: Fate
    due_days: int
    evidence: bool
    reason: str
    actor: str
    created_at: datetime
    ended_at: datetime | None


# Old parts ------------------------------------------------------------------------------------------


class OldPartReceipt(Body):
    """An old part has come back."""

    quantity: Count | None = Field(None, description="all that were missing, if left out")
    note: Text = ""


class Evidence(Body):
    """Photos or papers, and words, that show what became of a part."""

    files: Annotated[FileIds, Field(min_length=1)]
    note: Text = ""


class WriteOff(Body):
    """Why an old part is written off; evidence is needed unless it was inspected."""

    reason: Annotated[Text, Field(min_length=1)]
    files: FileIds = Field(default_factory=list)


class Waiver(Body):
    """Why an old part is not wanted any more."""

    reason: Annotated[Text, Field(min_length=1)]


class ToRepair(Body):
    """Where an inspected part goes, to be repaired and used again."""

    warehouse: Code = Field(description="a quarantine or a repair centre")
    repairer: Name | None = Field(None, description="who repairs it; left out, it waits there")
    note: Text = ""


class NewInspection(Body):
    """What an old part turned out to be."""

    finding: Finding = Field(description="wrong_part: it is not the part, or the serial number, that was reported")
    failure_mode: Name | None = Field(None, description="how it failed, in the engineers' words, e.g. seal_leak")
    serial_found: Name | None = None
    note: Text = ""
    files: FileIds = Field(default_factory=list)
    claim_stands: bool | None = Field(
        None, description="whether the partner keeps what it claimed back; left out, not of misuse or a wrong part"
    )


class Inspection(Answer):
    """What an old part turned out to be."""

    inspection_id: int
    matches: bool = Field(description="it is the part, and the serial number, that was reported")
    finding: Finding
    failure_mode: str | None
    serial_found: str | None
    claim_stands: bool
    note: str
    actor: str
    at: datetime


class ReturnedPart(Answer):
    """A part taken out on a visit that is to come back, or to be scrapped there."""

    old_part_id: int = Field(description="the number of the used part that it came out for")
    visit_part_id: int = Field(description="the same")
    visit_id: int
    ticket_id: int | None
    serial: str
    sku: str
    quantity: int
    quantity_received: int
    component: str | None
    old_serial: str | None
    provider_id: int | None
    bearer: Bearer | None = Field(description="who bears the part built in; null until the visit is completed")
    rule: Fate
    rule_reason: str
    evidence_wanted: bool
    state: State
    due_by: datetime | None = Field(description="null until the visit is completed")
    overdue: bool = Field(description="it holds back the settlement of its visit")
    return_slip_id: int | None
    taken_out_at: datetime
    received_at: datetime | None
    received_by: str | None
    note: str
    ended_at: datetime | None
    ended_note: str | None
    finding: Finding | None = Field(description="of the last inspection")
    failure_mode: str | None
    version: int


class OldPart(ReturnedPart):
    """An old part with all that is known of it; `actions` is what may be done next."""

    inspections: list[Inspection]
    files: list[int]
    actions: list[str]


# Parcels --------------------------------------------------------------------------------------------


class NewReturnSlip(Body):
    """A parcel with old parts of one partner."""

    warehouse: Code = Field(description="where it goes")
    old_parts: OldPartIds
    note: Text = ""


class SlipContents(Body):
    """Old parts put into an open parcel, or taken out."""

    add: Annotated[list[Id], Field(max_length=200)] = Field(default_factory=list)
    remove: Annotated[list[Id], Field(max_length=200)] = Field(default_factory=list)


class Shipping(Body):
    """A parcel was handed to a carrier."""

    carrier: Name
    tracking_number: Name


class Arrived(Body):
    """An old part in a parcel that has arrived."""

    old_part_id: Id
    quantity: Count | None = Field(None, description="all that were missing, if left out")
    note: Text = ""


class SlipReceipt(Body):
    """What was in a parcel; parts of the slip that are not named were not in it."""

    items: Annotated[list[Arrived], Field(max_length=200)]
    note: Text = ""


class ReturnSlip(Answer):
    """A parcel with old parts."""

    return_slip_id: int
    provider_id: int | None
    provider: str | None
    warehouse: str
    state: Literal["open", "shipped", "received", "cancelled"]
    carrier: str | None
    tracking_number: str | None
    note: str
    opened_at: datetime
    shipped_at: datetime | None
    received_at: datetime | None
    version: int


class FullReturnSlip(ReturnSlip):
    """A parcel with its parts; `paper` is the slip that goes into it, as PDF."""

    parts: list[ReturnedPart]
    paper: str
    actions: list[str]


# For reliability --------------------------------------------------------------------------------------


class FindingCount(Answer):
    """How often inspections of a component found something."""

    model: str
    component: str | None
    sku: str
    finding: Finding
    failure_mode: str | None
    count: int


class FindingCounts(Answer):
    """What old parts turned out to be, in a span of time."""

    items: list[FindingCount]
