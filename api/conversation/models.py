"""Bodies and answers of conversations."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Id, Name
from api.conversation.rules import AuthorKind, Channel, Direction

LONGEST = 20_000


def _sayable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    return text


Words = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_sayable)]
Language = Annotated[str, Field(pattern="^[a-z]{2}(-[A-Z]{2})?$", examples=["de"])]
TemplateCode = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$", examples=["ask-for-photos"])]
Attachments = Annotated[list[Id], Field(max_length=20)]


class NewMessage(Body):
    """Something said to or by the customer."""

    body: Words | None = None
    template: TemplateCode | None = Field(None, description="a canned reply instead of a body")
    language: Language | None = None
    direction: Literal["in", "out"] | None = Field(
        None, description="in: by the customer, e.g. on the phone; by default what fits the caller"
    )
    channel: Channel = "portal"
    file_ids: Attachments = Field(default=[])
    external_id: Name | None = Field(None, description="e.g. a mail's Message-ID; the same is taken in once")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.body is None) == (self.template is None):
            raise ValueError("give either a body or a template")
        return self


class NewNote(Body):
    """Something for those who work on the case; the customer never sees it."""

    body: Words
    for_partner: bool = Field(False, description="whether the case's service partner sees it; its own it always does")
    file_ids: Attachments = Field(default=[])


class Correction(Body):
    """What it should have said."""

    body: Words


class ReadMark(Body):
    """How far it was read."""

    message_id: Id


class Attachment(Answer):
    """A file that came with a message; its bytes are at `/v1/files/{file_id}/content`."""

    file_id: int
    name: str
    media_type: str
    size_bytes: int


class Message(Answer):
    """Something said or noted in a case."""

    message_id: int
    ticket_id: int
    direction: Direction
    audience: Literal["all", "partner", "staff"]
    channel: Channel
    author_kind: AuthorKind
    author_name: str
    language: str | None
    template: str | None
    external_id: str | None
    body: str
    at: datetime
    edited_at: datetime | None
    files: list[Attachment]
    version: int


class Conversation(Answer):
    """Where the conversation of a case stands for the caller."""

    ticket_id: int
    unread: int = Field(description="messages and notes of others that the caller has not read, up to 1000")
    read_up_to: int | None = Field(description="number of the last message read")
    last_in_at: datetime | None
    last_out_at: datetime | None
    awaiting_since: datetime | None = Field(description="since when the customer waits for an answer")


class AwaitingCase(Answer):
    """A case whose customer waits for an answer."""

    ticket_id: int
    awaiting_since: datetime
    title: str
    priority: str
    state: str
    queue: str | None
    owner_user_id: int | None


class NewTemplate(Body):
    """A canned reply in one language."""

    code: TemplateCode
    language: Language = "en"
    name: Name
    body: Words = Field(
        description="may hold placeholders: ${ticket_id}, ${title}, ${customer}, ${serial}, ${model}, ${agent}"
    )


class TemplateChange(Body):
    """What of a canned reply may change."""

    name: Name = ""
    body: Words = ""
    active: bool = True


class ReplyTemplate(Answer):
    """A canned reply in one language."""

    template_id: int
    code: str
    language: str
    name: str
    body: str
    active: bool
    version: int


class FilledTemplate(Answer):
    """A canned reply for a case, to be looked at before it is sent."""

    code: str
    language: str
    body: str
