"""Bodies and answers of parts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Currency, Minor, Name, Text

PartState = Literal["active", "superseded", "discontinued"]
ShippingClass = Literal["normal", "hazardous", "battery", "oversize"]
OldPartRule = Literal["return", "scrap_on_site", "none"]

# `/v1/parts/stock` and the like are lists; a part of that name could never be read.
TAKEN_PATHS = frozenset({"fits", "fitting", "import", "movements", "prices", "reservations", "stock"})


def _readable(sku: str) -> str:
    if sku in TAKEN_PATHS:
        raise ValueError(f"{sku!r} names a list of this API; choose another")
    return sku


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Sku = Annotated[Code, AfterValidator(_readable)]
LeadTime = Annotated[int, Field(ge=0, le=3650, description="from ordering to having it on hand")]
Grams = Annotated[int, Field(ge=0, le=10**8, description="of a piece, packed; 0: not weighed")]
Unit = Annotated[Name, Field(max_length=16, description="what is counted: piece, metre, litre")]


class NewPart(Body):
    """A stock-keeping unit."""

    sku: Sku
    name: Name
    description: Text = ""
    unit: Unit = "piece"
    cost_minor: Minor = 0
    currency: Currency = "EUR"
    lead_time_days: LeadTime = 14
    shipping_class: ShippingClass = "normal"
    weight_grams: Grams = 0
    imported: bool = Field(False, description="it comes over a border")
    serialised: bool = Field(False, description="each piece has a serial number of its own")
    rotable: bool = Field(False, description="each piece is repaired and used again; such a part is serialised, too")
    old_part_rule: OldPartRule = Field("none", description="what becomes of the part that it takes the place of")

    @model_validator(mode="after")
    def _rotable_by_serial(self) -> "NewPart":
        if self.rotable and "serialised" in self.model_fields_set and not self.serialised:
            raise ValueError("a rotable part is serialised: leave serialised out, or set it")
        self.serialised = self.serialised or self.rotable
        return self


class PartChange(Body):
    """What of a part may change; what is left out stays."""

    name: Name = ""
    description: Text = ""
    unit: Unit = "piece"
    cost_minor: Minor = 0
    currency: Currency = "EUR"
    lead_time_days: LeadTime = 0
    shipping_class: ShippingClass = "normal"
    weight_grams: Grams = 0
    imported: bool = False
    serialised: bool = False
    rotable: bool = False
    old_part_rule: OldPartRule = "none"


class Part(Answer):
    """A stock-keeping unit."""

    sku: str
    name: str
    description: str
    state: PartState
    unit: str
    cost_minor: int | None = Field(description="what it costs the house; null for a partner")
    currency: str
    lead_time_days: int
    shipping_class: ShippingClass
    weight_grams: int
    imported: bool
    serialised: bool
    rotable: bool
    old_part_rule: OldPartRule
    version: int
