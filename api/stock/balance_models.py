"""Answers about balances: of the past, by value, proved; and what was used."""

from datetime import date, datetime
from typing import Any

from pydantic import Field

from api.conventions.models import Answer


class Balance(Answer):
    """The balance of a part in a warehouse at a moment; value at what the part cost the house on that day."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int
    issued: int
    in_transit: int
    unit_cost_minor: int | None = Field(description="hidden from partners")
    value_minor: int | None
    currency: str | None


class StockValue(Answer):
    """What the pieces on hand in a warehouse cost the house, by currency."""

    warehouse: str
    currency: str | None = Field(description="null where the warehouse never held anything")
    parts: int = Field(description="how many parts it holds any of")
    pieces: int
    value_minor: int


class MonthOfDemand(Answer):
    """Pieces of a part used from a warehouse in a month (UTC); months without any are left out."""

    warehouse: str
    sku: str
    month: date = Field(description="its first day")
    consumed: int
    returned: int = Field(description="taken as used and brought back, in the same month")


class Proof(Answer):
    """What came of reckoning all balances from the movements."""

    at: datetime
    movements: int
    last_movement_id: int
    shelves: int = Field(description="balances: parts by warehouse")
    balanced: bool
    faults: int
    kept_at: datetime | None = Field(description="when the duty that does so daily has done it last")
    examples: list[dict[str, Any]] = Field(description="the first 100 faults")
