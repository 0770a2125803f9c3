"""Bodies and answers of technicians, jobs and visits."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from api.conventions.models import Answer, Body, Id, Name, Serial, Text, Time
from api.dispatch.rules import Outcome
from api.reservations.models import Reservation

Names = Annotated[list[Name], Field(min_length=1, max_length=200)]
Minutes = Annotated[int, Field(ge=1, le=1440)]
Reason = Annotated[Text, Field(min_length=1)]


class NewTechnician(Body):
    """Somebody who does visits."""

    name: Name
    provider: Annotated[Text, Field(max_length=128)] = ""
    provider_id: Id | None = Field(None, description="the service partner that the technician works for")
    skills: Names
    territories: Names
    daily_capacity_minutes: Minutes = 480
    active: bool = True


class TechnicianChange(Body):
    """What of a technician may change; visits promised already stay."""

    provider: Annotated[Text, Field(max_length=128)] | None = None
    provider_id: Id | None = Field(None, description="null: the technician works for no partner any more")
    skills: Names | None = None
    territories: Names | None = None
    daily_capacity_minutes: Minutes | None = None
    active: bool | None = None


class Technician(Answer):
    """Somebody who does visits."""

    technician_id: int
    name: str
    provider: str
    provider_id: int | None
    skills: list[str]
    territories: list[str]
    daily_capacity_minutes: int
    active: bool
    version: int


class NewJob(Body):
    """Either a ticket, or an occurrence of a plan on an asset."""

    ticket_id: Id | None = None
    plan_id: Id | None = None
    serial: Serial | None = None
    occurrence: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class Hold(Body):
    """Why a job is not moving."""

    reason: Reason


class Dispatch(Body):
    """Who comes when."""

    technician_id: Id
    starts_at: Time
    ends_at: Time


class Recall(Body):
    """Why an appointment is off."""

    reason: Reason


class Completion(Body):
    """What was found, and whether the parts kept for the job were used."""

    outcome: Outcome
    parts_used: bool = True


class Cancellation(Body):
    """Why a job is not done."""

    reason: Reason


class JobPart(Answer):
    """A part that a job needs."""

    sku: str
    quantity: int


class Visit(Answer):
    """A job on site with an appointment."""

    visit_id: int
    job_id: int
    technician_id: int
    starts_at: datetime
    ends_at: datetime
    state: str


class Job(Answer):
    """Work to do; `reservations` are the parts kept or used, `visit` the latest that was not cancelled."""

    job_id: int
    serial: str
    territory: str
    time_zone: str
    ticket_id: int | None
    plan_id: int | None
    occurrence: int | None
    component: str | None
    state: str
    waiting_reason: str | None
    cancel_reason: str | None
    skill: str
    labour_minutes: int
    priority: str
    instructions: str
    due_by: datetime | None
    created_at: datetime
    completed_at: datetime | None
    outcome: str | None
    parts: list[JobPart]
    reservations: list[Reservation]
    visit: Visit | None
    version: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Job":
        """The job of a row of repository.py."""
        return cls.model_validate(row)
