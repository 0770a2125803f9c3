"""Bodies and answers of maintenance plans."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from api.conventions.models import Answer, Body, Count, Name, Text
from api.parts.models import Sku

LabourMinutes = Annotated[int, Field(ge=1, le=10_000)]


class CalendarTrigger(Body):
    """Due every so many days after an asset's installation."""

    kind: Literal["calendar"]
    every_days: Annotated[int, Field(ge=1, le=36_500)]


class MeterTrigger(Body):
    """Due every so many units of a metric that only grows, e.g. `running_hours`."""

    kind: Literal["meter"]
    metric: Name
    every: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]


class PlanPart(Body):
    """A part that each occurrence uses."""

    sku: Sku
    quantity: Count = 1


class NewPlan(Body):
    """A plan."""

    name: Name
    model: Name = Field(description="code of the product model")
    trigger: Annotated[CalendarTrigger | MeterTrigger, Field(discriminator="kind")]
    skill: Name = "general"
    labour_minutes: LabourMinutes = 60
    instructions: Text = ""
    parts: list[PlanPart] = Field([], max_length=100)
    active: bool = True

    @field_validator("parts")
    @classmethod
    def _each_once(cls, parts: list[PlanPart]) -> list[PlanPart]:
        seen: set[str] = set()
        for part in parts:
            if part.sku in seen:
                raise ValueError(f"{part.sku} stands twice; give its quantity once")
            seen.add(part.sku)
        return parts


class PlanChange(Body):
    """What of a plan may change; jobs made already keep what they were made with."""

    active: bool | None = None
    instructions: Text | None = None
    labour_minutes: LabourMinutes | None = None


class Plan(Answer):
    """A plan."""

    plan_id: int
    name: str
    model: str
    trigger: dict[str, Any]
    skill: str
    labour_minutes: int
    instructions: str
    parts: list[PlanPart]
    active: bool
    created_at: datetime
    version: int


class Occurrence(Answer):
    """The latest occurrence of a plan that has a job on an asset."""

    asset_id: int
    serial: str
    occurrence: int
