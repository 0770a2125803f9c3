"""Bodies and answers of dead letters and their replays."""

from datetime import datetime

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Id, Name, Serial


class DeadLetter(Answer):
    """A message, or part of one, that could not be stored."""

    dead_letter_id: int
    message_id: str = Field(description="the message's identity: the hash of its topic and payload")
    received_at: datetime
    topic: str
    content_type: str
    reason: str
    detail: str
    payload_bytes: int = Field(description="size as it came; of one that was too large only the beginning is kept")


class DeadLetterWithPayload(DeadLetter):
    """The same with what the message said."""

    payload_base64: str
    payload_text: str | None = Field(description="the payload where it is UTF-8 text")


class ReasonCount(Answer):
    """How many dead letters there are for one reason."""

    reason: str
    dead_letters: int
    oldest: datetime
    newest: datetime


class ReasonCounts(Answer):
    """All reasons that have dead letters."""

    items: list[ReasonCount]


class NewReplay(Body):
    """Which dead letters are to be tried again; several conditions must all hold."""

    dead_letter_id: Id | None = Field(None, description="those of the message that this one belongs to")
    reason: Name | None = None
    serial: Serial | None = None
    everything: bool = Field(False, description="must be true to try all of them again")

    @model_validator(mode="after")
    def _says_which(self) -> "NewReplay":
        if not self.everything and self.dead_letter_id is None and self.reason is None and self.serial is None:
            raise ValueError("say which: dead_letter_id, reason, serial, or everything: true")
        return self


class Replay(Answer):
    """A request to try dead letters again, and what became of it; ingest takes it up within seconds."""

    replay_id: int
    dead_letter_id: int | None
    reason: str | None
    serial: str | None
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None = Field(description="null while ingest has not done it")
    messages: int | None = Field(description="messages tried")
    settled: int | None = Field(description="of those, messages with nothing left among the dead letters")
    readings: int | None
    events: int | None
