"""Answers of the timeline."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.conventions.models import Answer
from api.timeline.rules import Kind


class Reference(Answer):
    """What an entry is about."""

    type: str = Field(examples=["ticket"])
    id: str


class Entry(Answer):
    """Something that happened to an asset."""

    at: datetime
    kind: Kind
    title: str
    ref: Reference
    detail: dict[str, Any]
