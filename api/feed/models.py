"""Bodies and answers of the change feed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, field_validator

from api.conventions.models import Answer, Body, Name, Text
from api.feed.rules import misfit_of_filter

Filters = Annotated[list[Annotated[str, Field(max_length=128)]], Field(min_length=1, max_length=50)]


class Event(Answer):
    """A change of a state as a CloudEvent."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    sequence: str
    partitionkey: str
    data: dict[str, Any]


class Events(Answer):
    """Events after a cursor; `next` goes on after the last of them, also when there is nothing new yet."""

    items: list[Event]
    next: str


def _are_filters(given: list[str] | None) -> list[str] | None:
    for one in given or []:
        misfit = misfit_of_filter(one)
        if misfit is not None:
            raise ValueError(f"{one!r} {misfit}")
    return given


class NewWebhook(Body):
    """Who is to be told of changes."""

    name: Name
    url: Text
    types: Filters = Field(default=["*"], description="e.g. `ticket.*`, `visit.completed`, `*`")
    after: str | None = Field(None, max_length=64, description="cursor to begin after; from now on if left out")

    _check = field_validator("types")(_are_filters)


class WebhookChange(Body):
    """What of a webhook may change."""

    url: Text | None = None
    types: Filters | None = None
    active: bool | None = None

    _check = field_validator("types")(_are_filters)


class Webhook(Answer):
    """Who is told of changes, and how far that is."""

    webhook_id: int
    name: str
    url: str
    types: list[str]
    active: bool
    created_at: datetime
    version: int
    cursor: str = Field(description="all up to here was taken, or is parked")
    behind: int = Field(description="positions of the feed that are still to come")
    parked: int = Field(description="events that wait for another attempt, or behind one that does")
    dead: int = Field(description="events given up")
    failures: int
    last_error: str | None
    delivered_at: datetime | None


class WebhookWithSecret(Webhook):
    """A webhook with its signing secret, which is shown this once."""

    secret: str


class Replay(Body):
    """From where to tell everything again."""

    after: str | None = Field(None, max_length=64, description="cursor; from the very beginning if left out")


class ParkedEvent(Answer):
    """An event that the receiver has not taken."""

    id: str
    type: str
    lane: str
    cursor: str
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    dead: bool
