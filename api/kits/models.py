"""Bodies and answers of taking kits apart and putting them together."""

from typing import Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Count, Id, Text
from api.parts.models import Code


class Conversion(Body):
    """Where, and how many kits."""

    warehouse: Code
    quantity: Count = Field(1, description="of kits")
    ticket_id: Id | None = Field(None, description="the case that it is done for")
    note: Text = ""


class ConvertedPart(Answer):
    """A part of the kits."""

    sku: str
    quantity: int


class Converted(Answer):
    """What was done, as the ledger has it."""

    sku: str
    warehouse: str
    done: Literal["taken_apart", "put_together"]
    quantity: int
    parts: list[ConvertedPart]
    movement_ids: list[int]
