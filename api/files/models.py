"""Bodies and answers of files."""

from datetime import datetime

from pydantic import Field

from api.conventions.models import Answer, Body, Id, Serial
from api.files.rules import Audience


class File(Answer):
    """A file; its bytes are at `/v1/files/{file_id}/content`."""

    file_id: int
    name: str
    media_type: str
    size_bytes: int
    sha256: str = Field(description="of the bytes, in hexadecimal digits")
    ticket_id: int | None
    serial: str | None = Field(description="the asset it belongs to")
    audience: Audience = Field(description="who sees it besides staff: everybody concerned, partners, nobody")
    uploaded_by: str
    at: datetime
    attached: bool = Field(description="false: it goes after a day unless something takes it")


class NewAttachment(Body):
    """What a file is to belong to."""

    ticket_id: Id | None = None
    serial: Serial | None = None
    audience: Audience = Field("all", description="who sees it besides staff: everybody concerned, partners, nobody")
