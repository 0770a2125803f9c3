"""Bodies and answers of alerts and their targets."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.alerts.rules import Topic
from api.conventions.models import Answer, Body, Name

Topics = Annotated[list[Topic], Field(min_length=1, max_length=20, description="`*` is every topic")]
Kind = Literal["apprise", "webhook"]
State = Literal["pending", "sending", "sent", "unconfirmed", "dead"]


class NewAlertTarget(Body):
    """Where alerts go."""

    name: Name
    kind: Kind
    url: Annotated[str, Field(min_length=4, max_length=2000)] = Field(
        description=(
            "`apprise`: any URL of the Apprise library, or `careloop-file:///absolute/path` (a CloudEvent per line), "
            "or `careloop-log://`. `webhook`: an http(s) URL that gets a signed CloudEvent (Standard Webhooks)"
        )
    )
    topics: Topics


class AlertTargetChange(Body):
    """What of a target may change. While inactive it gets no new alerts, and what is pending waits."""

    active: bool | None = None
    topics: Topics | None = None


class AlertTarget(Answer):
    """Where alerts go; passwords and tokens in the URL are masked."""

    target_id: int
    name: str
    kind: Kind
    url: str
    topics: list[str]
    active: bool
    created_at: datetime
    version: int


class CreatedAlertTarget(AlertTarget):
    """A new target; `secret` signs a webhook's messages and is shown this once."""

    secret: str | None


class Alert(Answer):
    """One message to one target. `unconfirmed`: its deliverer died in the middle, the target may have got it."""

    alert_id: int
    target_id: int
    target: str
    topic: str
    cause: str
    serial: str | None
    subject: str
    body: str
    payload: dict[str, Any]
    state: State
    attempts: int
    next_attempt_at: datetime = Field(description="real time, also in a replay of the past")
    last_error: str | None
    created_at: datetime = Field(description="time of the call that caused it")
    sent_at: datetime | None = Field(description="real time, also in a replay of the past")
