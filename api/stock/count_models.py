"""Bodies and answers of counts of stock."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, field_validator

from api.conventions.models import Answer, Body, Text, Time
from api.parts.models import Code, Sku
from api.stock.rules import CountState


class NewCount(Body):
    """A sheet of what is to be counted: a warehouse, one of its bins, or some parts."""

    warehouse: Code
    bin: Code | None = None
    skus: Annotated[list[Sku], Field(min_length=1, max_length=500)] | None = Field(
        None, description="these parts only; all that should be there, if left out"
    )
    note: Text = ""


class NewLine(Body):
    """Somebody's look at a part."""

    sku: Sku
    counted: Annotated[int, Field(ge=0, le=10**6, description="pieces on the shelf, kept ones too")]
    counted_at: Time | None = Field(None, description="when; now, if left out. What moves later is not its fault")


class NewLines(Body):
    """What was counted; a part that is not on the sheet is added, one told again is counted anew."""

    lines: Annotated[list[NewLine], Field(min_length=1, max_length=500)]

    @field_validator("lines")
    @classmethod
    def _once_each(cls, lines: list[NewLine]) -> list[NewLine]:
        if len({line.sku for line in lines}) < len(lines):
            raise ValueError("name each sku once")
        return lines


class Decision(Body):
    """Why a count is believed, or not."""

    reason: Text = ""


class CountVariance(Answer):
    """What the differences are worth, in one currency."""

    currency: str
    found_minor: int
    missing_minor: int
    lines: int = Field(description="how many differ")


class StockCount(Answer):
    """A sheet, and what has become of it."""

    stock_count_id: int
    warehouse: str
    bin: str | None
    state: CountState
    note: str
    recount_of: int | None
    opened_by: str
    opened_at: datetime
    finished_by: str | None
    finished_at: datetime | None
    decided_by: str | None
    decided_at: datetime | None
    decision: str
    version: int
    lines: int
    open: int = Field(description="lines not counted yet")
    variances: list[CountVariance] = Field(description="empty until it is finished, so that nobody counts by them")


class CountLine(Answer):
    """A part on a sheet; while it is a draft, what the ledger expects is hidden from whoever counts."""

    sku: str
    name: str
    bin: str | None
    counted: int | None
    counted_at: datetime | None
    counted_by: str | None
    expected: int | None
    variance: int | None
    value_minor: int | None
    currency: str | None
