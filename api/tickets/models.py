"""Bodies and answers of tickets."""

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from api.conventions.models import Answer, Body, Id, Name, Serial, Text, Time
from api.tickets.rules import Kind, Outcome, Priority, State

LARGEST_EVIDENCE_BYTES = 65_536


def _storable(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence that PostgreSQL can hold as jsonb: finite numbers, real characters, of bounded size."""
    try:
        text = json.dumps(evidence, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except ValueError as error:
        raise ValueError("must have finite numbers and valid Unicode only") from error
    if size > LARGEST_EVIDENCE_BYTES:
        raise ValueError(f"must be at most {LARGEST_EVIDENCE_BYTES} bytes as JSON, not {size}")
    if _has_nul(evidence):
        raise ValueError("must not contain the character NUL")
    return evidence


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


Title = Annotated[Text, Field(min_length=1, max_length=200)]
Evidence = Annotated[dict[str, Any], AfterValidator(_storable)]
Cause = Annotated[Text, Field(max_length=160)]


class NewTicket(Body):
    """A case to open."""

    kind: Kind
    serial: Serial
    component: Name | None = Field(None, description="a component of the asset's model")
    cause: Cause = Field(
        "",
        description="what a machine saw, e.g. component:pump; an asset has one open case per cause. Empty for people's",
    )
    title: Title
    description: Text = ""
    priority: Priority = "normal"
    due_by: Time | None = None
    evidence: Evidence = Field({}, description="frozen at opening")
    term_id: Id | None = Field(None, description="the warranty term whose end is announced; one ticket each, ever")


class TicketChange(Body):
    """What of a ticket may change; fields left out stay."""

    title: Title = ""
    description: Text = ""
    priority: Priority = "normal"
    due_by: Time | None = None


class NewTransition(Body):
    """Where a ticket shall go."""

    to: State
    reason: Text = ""
    outcome: Outcome | None = Field(None, description="what was found; only when it is resolved")


class Ticket(Answer):
    """A case."""

    ticket_id: int
    kind: Kind
    state: State
    priority: Priority
    serial: str
    component: str | None
    cause: str
    title: str
    description: str
    raised_by: str
    opened_at: datetime
    due_by: datetime | None
    closed_at: datetime | None
    outcome: Outcome | None
    evidence: dict[str, Any]
    term_id: int | None
    job_id: int | None = Field(description="its latest job")
    version: int


class OpenedTicket(Ticket):
    """A case that was opened, or that was open already."""

    created: bool = Field(description="false when the case was there; the evidence went to its history")


class TicketEvent(Answer):
    """One line of a ticket's history."""

    ticket_event_id: int
    ticket_id: int
    at: datetime
    actor: str
    kind: str
    detail: dict[str, Any]
