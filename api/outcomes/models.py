"""Bodies and answers of failures and replacements."""

from datetime import datetime

from pydantic import Field, ValidationInfo, field_validator

from api.conventions.models import Answer, Body, Name, Text, Time
from api.outcomes.rules import Reason


class NewFailure(Body):
    """A component failed."""

    component: Name = Field(description="a component of the asset's model")
    failed_at: Time
    restored_at: Time | None = Field(None, description="when the asset worked again; may be told later")
    description: Text = ""

    @field_validator("restored_at")
    @classmethod
    def _in_order(cls, restored_at: datetime | None, others: ValidationInfo) -> datetime | None:
        failed_at = others.data.get("failed_at")
        if restored_at is not None and failed_at is not None and restored_at < failed_at:
            raise ValueError("must not be before failed_at")
        return restored_at


class NewReplacement(Body):
    """A component was replaced."""

    component: Name = Field(description="a component of the asset's model")
    replaced_at: Time
    reason: Reason


class Failure(Answer):
    """A failure of a component."""

    fact_id: int
    serial: str
    component: str
    at: datetime
    restored_at: datetime | None
    description: str


class Replacement(Answer):
    """A replacement of a component."""

    fact_id: int
    serial: str
    component: str
    at: datetime
    reason: Reason


class RecordedFailure(Failure):
    """A failure as recorded, and the open cases that foretold it; they end with the replacement."""

    created: bool = Field(description="false when the fact was known")
    ticket_ids: list[int]


class RecordedReplacement(Replacement):
    """A replacement as recorded, and the cases it ended."""

    created: bool = Field(description="false when the fact was known")
    ticket_ids: list[int]
