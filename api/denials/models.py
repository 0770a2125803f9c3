"""Bodies and answers of denials."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from api.conventions.models import Answer, Body, Id, Name, Text, Time
from api.denials.rules import Direction, Ground


class NewDenial(Body):
    """A refusal; with `metric`, `from`, `to` and `threshold` the machine's own readings are frozen beside it."""

    ticket_id: Id | None = Field(None, description="the case it is for; without it, for the machine")
    component: Name | None = Field(None, description="without it, whatever is broken")
    reasons: Annotated[list[Ground], Field(min_length=1, max_length=20)]
    explanation: Text = Field("", description="in words, for the customer")
    note: Text = Field("", description="for the desk only")
    metric: Name | None = None
    from_time: Time | None = Field(None, alias="from")
    to_time: Time | None = Field(None, alias="to")
    threshold: Annotated[float, Field(ge=-1e15, le=1e15)] | None = None
    direction: Direction = "above"
    file_ids: Annotated[list[Id], Field(max_length=20)] = Field(
        [], description="photos and papers, from POST /v1/files"
    )

    @field_validator("reasons")
    @classmethod
    def _each_once(cls, reasons: list[Ground]) -> list[Ground]:
        if len(set(reasons)) < len(reasons):
            raise ValueError("has a reason twice")
        return reasons

    @model_validator(mode="after")
    def _whole(self) -> "NewDenial":
        given = [part is not None for part in (self.metric, self.from_time, self.to_time, self.threshold)]
        if any(given) and not all(given):
            raise ValueError("metric, from, to and threshold go together")
        return self


class NewOverturning(Body):
    """Why a denial does not stand."""

    reason: Annotated[Text, Field(min_length=1)]


class Denial(Answer):
    """A refusal of warranty."""

    denial_id: int
    serial: str
    ticket_id: int | None
    component: str | None
    state: Literal["standing", "overturned"]
    reasons: list[Ground]
    customer_text: str
    note: str = Field(description="for the desk only: empty for others")
    denied_at: datetime
    denied_by: str
    overturned_at: datetime | None
    overturned_by: str | None
    overturn_reason: str


class DenialWithEvidence(Denial):
    """A refusal with what was frozen beside it."""

    evidence: dict[str, Any] = Field(
        description="`telemetry`: the extract or null; `file_ids`; `sha256` of the extract"
    )
