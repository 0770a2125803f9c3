"""Bodies and answers of exporting and erasing a person."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from api.conventions.models import Answer, Body, Text


class Erase(Body):
    """Why somebody shall be forgotten."""

    reason: Annotated[Text, Field(min_length=1)] = Field(description="e.g. asked for by letter of 3 May")
    force: Annotated[Text, Field(min_length=1)] | None = Field(
        None, description="why it shall be done in spite of open cases or debts"
    )


class Erasure(Answer):
    """That somebody was forgotten; nothing of who it was."""

    erasure_id: int
    customer_id: int
    at: datetime
    actor: str
    reason: str
    forced: str | None
    obstacles: list[dict[str, Any]]
    counts: dict[str, int] = Field(description="rows in which something was blanked or that were deleted, by table")


class ExportedFile(Answer):
    """A file of somebody."""

    file_id: int
    name: str
    media_type: str
    size_bytes: int
    path: str = Field(description="where its bytes are to be had")
    content_base64: str | None = Field(None, description="the bytes, if they were asked for")


class Export(Answer):
    """Everything about somebody."""

    customer_id: int
    exported_at: datetime
    tables: dict[str, list[dict[str, Any]]] = Field(description="rows by table, without secrets and raw bytes")
    files: list[ExportedFile]
