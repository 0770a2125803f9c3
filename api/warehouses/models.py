"""Bodies and answers of warehouses, bins, opening hours and lanes."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Latitude, Longitude, Name, Text
from api.parts.models import Code, Sku
from api.sla.models import Code as CalendarCode
from api.sla.models import Hours, Opening, ShownOpening, ShownWeekdayOpening
from api.warehouses.rules import ShippingClass, WarehouseKind


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name} is not an IANA time zone, e.g. Asia/Shanghai")
    return name


def _each_once(names: list[ShippingClass]) -> list[ShippingClass]:
    return sorted(set(names))


TimeZone = Annotated[Name, AfterValidator(_known_zone)]
BinCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$", examples=["A-03-2"])]
TransferDays = Annotated[int, Field(ge=0, le=365, description="of ways for which no lane is entered")]
TransitHours = Annotated[int, Field(ge=0, le=8784, description="by the clock, nights and holidays included")]
# A shipment of more would be no spare part.
Freight = Annotated[int, Field(ge=0, le=10**9, description="minor units")]
ShippingClasses = Annotated[list[ShippingClass], Field(min_length=1, max_length=4), AfterValidator(_each_once)]

LARGEST_MATRIX = 50_000


class NewWarehouse(Body):
    """A place with stock: the central one, a service partner's, a technician's van, a repair centre, or quarantine."""

    code: Code
    name: Name
    kind: WarehouseKind
    territory: Name = "default"
    latitude: Latitude | None = None
    longitude: Longitude | None = Field(None, validate_default=True)
    transfer_days: TransferDays = 1
    time_zone: TimeZone = "UTC"
    provider_id: Id | None = Field(None, description="whose it is; left out: the maker's own")
    technician_id: Id | None = Field(None, description="whose van it is")

    @field_validator("longitude")
    @classmethod
    def _whole_position(cls, longitude: float | None, others: ValidationInfo) -> float | None:
        if "latitude" in others.data and (others.data["latitude"] is None) != (longitude is None):
            raise ValueError("give latitude and longitude, or neither")
        return longitude

    @field_validator("technician_id")
    @classmethod
    def _drives_a_van(cls, technician_id: int | None, others: ValidationInfo) -> int | None:
        if technician_id is not None and others.data.get("kind") not in {"van", None}:
            raise ValueError("only a van is a technician's; leave it out, or give kind van")
        return technician_id


class WarehouseChange(Body):
    """What of a warehouse may change; only what is given does. Inactive: nothing comes or goes any more."""

    name: Name | None = None
    territory: Name | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    transfer_days: TransferDays | None = None
    time_zone: TimeZone | None = None
    provider_id: Id | None = None
    technician_id: Id | None = None
    active: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if ("latitude" in self.model_fields_set) != ("longitude" in self.model_fields_set) or (
            (self.latitude is None) != (self.longitude is None)
        ):
            raise ValueError("give latitude and longitude together, both null for none")
        empty = [
            name
            for name in ("name", "territory", "transfer_days", "time_zone", "active")
            if name in self.model_fields_set and getattr(self, name) is None
        ]
        if empty:
            raise ValueError(f"{empty[0]} must not be null; leave it out to keep it")
        return self


class Warehouse(Answer):
    """A place with stock."""

    warehouse_id: int
    code: str
    name: str
    kind: WarehouseKind
    territory: str
    latitude: float | None
    longitude: float | None
    transfer_days: int
    time_zone: str
    provider_id: int | None
    technician_id: int | None
    active: bool
    version: int


# Bins -------------------------------------------------------------------------------------------


class BinNote(Body):
    """What one should know of a bin."""

    note: Text = ""


class Bin(Answer):
    """A place in a warehouse; `parts` is how many kinds of part lie in it."""

    bin_id: int
    code: str
    note: str
    parts: int


class Placing(Body):
    """Which bin a part lies in; null takes it out of any."""

    sku: Sku
    bin: BinCode | None


class Placings(Body):
    """Which bins parts lie in; a bin that is not there yet is made."""

    items: Annotated[list[Placing], Field(min_length=1, max_length=5000)]

    @model_validator(mode="after")
    def _each_part_once(self) -> Self:
        if len({item.sku for item in self.items}) < len(self.items):
            raise ValueError("names a part twice; give each once")
        return self


class Placed(Answer):
    """What became of placings."""

    placed: int
    bins_made: int


class BinContent(Answer):
    """A part that has a bin."""

    sku: str
    name: str
    bin: str
    on_hand: int
    reserved: int


# Opening hours ----------------------------------------------------------------------------------


class NewOpeningHours(Body):
    """When a warehouse takes in and gives out, by its own wall clock."""

    hours: Hours
    calendar: CalendarCode | None = Field(None, description="a business calendar whose holidays hold here, too")


class OpeningDay(Body):
    """What holds on one day instead; no hours: closed."""

    name: Name = Field(description="why, e.g. stocktaking")
    hours: list[Opening] = Field([], max_length=20)


class ShownOpeningDay(Answer):
    """A day of the house's own that is not like its weekday."""

    day: date
    name: str
    hours: list[ShownOpening] = Field(description="none: closed")


class OpeningHours(Answer):
    """When a warehouse is open; with no hours at all it always is."""

    warehouse: str
    time_zone: str
    hours: list[ShownWeekdayOpening]
    calendar: str | None
    days: list[ShownOpeningDay] = Field(description="from today on, the next 200")
    open_now: bool
    opens_at: datetime = Field(description="now, or the next opening")


# Lanes ------------------------------------------------------------------------------------------


class LaneEntry(Body):
    """A way between two warehouses; what is left out is taken from the whole matrix."""

    # Not `from`: that is a word of the language; JSON has it all the same.
    origin: Code = Field(alias="from")
    to: Code
    transit_hours: TransitHours
    freight_base_minor: Freight = 0
    freight_kg_minor: Freight = 0
    currency: Currency | None = None
    shipping_classes: ShippingClasses | None = None


class LaneMatrix(Body):
    """Many ways at once, up to a whole matrix of 200 by 200; lanes that are not named stay as they are."""

    currency: Currency = "EUR"
    shipping_classes: ShippingClasses = Field(default=["normal"])
    lanes: Annotated[list[LaneEntry], Field(min_length=1, max_length=LARGEST_MATRIX)]

    def columns(self) -> dict[str, list[Any]]:
        """The lanes as arrays of columns; classes joined by commas."""
        common = ",".join(self.shipping_classes)
        return {
            "origins": [lane.origin for lane in self.lanes],
            "destinations": [lane.to for lane in self.lanes],
            "transit_hours": [lane.transit_hours for lane in self.lanes],
            "bases": [lane.freight_base_minor for lane in self.lanes],
            "per_kg": [lane.freight_kg_minor for lane in self.lanes],
            "currencies": [lane.currency or self.currency for lane in self.lanes],
            "classes": [",".join(lane.shipping_classes) if lane.shipping_classes else common for lane in self.lanes],
        }


class TakenLanes(Answer):
    """What became of a matrix."""

    added: int
    changed: int
    unchanged: int


class ShownLane(Answer):
    """A way between two warehouses."""

    lane_id: int
    origin: str = Field(serialization_alias="from")
    to: str
    transit_hours: int
    freight_base_minor: int
    freight_kg_minor: int
    currency: str
    shipping_classes: list[ShippingClass]
    changed_at: datetime
    changed_by: str


class Arrival(Answer):
    """When something sent now would be there, and what it would cost."""

    origin: str = Field(serialization_alias="from")
    to: str
    entered: bool = Field(description="false: no lane is entered, the warehouse's transfer days hold")
    transit_hours: int
    arrives_at: datetime
    freight_minor: int
    currency: str
    allowed: bool = Field(description="whether the lane takes the shipping class")
