"""Bodies and answers of satisfaction."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Text
from api.satisfaction.rules import State


class NewAnswer(Body):
    """How satisfied somebody is."""

    score: Annotated[int, Field(ge=1, le=5, description="1: not at all, 5: very")]
    comment: Text = ""


class LinkedQuestion(Answer):
    """What a link asks, and what was answered."""

    ticket_id: int
    title: str
    machine: str | None
    asked_at: datetime
    expires_at: datetime
    score: int | None
    comment: str
    changeable_until: datetime | None = Field(description="null before there is an answer")


class Satisfaction(Answer):
    """A question about a case, and its answer."""

    satisfaction_id: int
    ticket_id: int
    customer_id: int
    state: State
    not_asked_because: str | None
    asked_at: datetime
    expires_at: datetime
    technician_id: int | None = Field(description="who came last")
    provider_id: int | None = Field(description="the partner they came for")
    score: int | None
    comment: str
    answered_at: datetime | None
    changed_at: datetime | None
    answered_via: Literal["link", "login", "desk"] | None
    follow_up_ticket_id: int | None = Field(description="the case that a bad answer opened")
    version: int


class Summary(Answer):
    """How satisfied customers were with a technician or a partner."""

    technician_id: int | None = None
    provider_id: int | None = None
    name: str
    asked: int = Field(description="how many were asked")
    answered: int
    average: float | None = Field(description="of the scores, two digits; null without an answer")
    scores: list[int] = Field(description="how many gave 1, 2, 3, 4, 5")
    comments: int = Field(description="how many said something, too")
