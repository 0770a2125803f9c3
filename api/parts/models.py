"""Bodies and answers of parts."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.conventions.models import Answer, Body, Currency, Minor, Name

# `/v1/parts/stock` and the like are lists; a part of that name could never be read.
TAKEN_PATHS = frozenset({"movements", "reservations", "stock"})


def _readable(sku: str) -> str:
    if sku in TAKEN_PATHS:
        raise ValueError(f"{sku!r} names a list of this API; choose another")
    return sku


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Sku = Annotated[Code, AfterValidator(_readable)]


class NewPart(Body):
    """A stock-keeping unit."""

    sku: Sku
    name: Name
    cost_minor: Minor = 0
    currency: Currency = "EUR"
    lead_time_days: Annotated[int, Field(ge=0, le=3650, description="from ordering to having it on hand")] = 14


class Part(Answer):
    """A stock-keeping unit."""

    sku: str
    name: str
    cost_minor: int
    currency: str
    lead_time_days: int
    version: int
