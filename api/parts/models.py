"""Bodies and answers of parts, warehouses, stock and reservations."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from api.conventions.models import Answer, Body, Count, Currency, Id, Latitude, Longitude, Minor, Name
from api.parts.rules import WarehouseKind

ReservationState = Literal["reserved", "consumed", "released"]

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


class NewWarehouse(Body):
    """A place with stock: the central one, a service partner's, or a technician's van."""

    code: Code
    name: Name
    kind: WarehouseKind
    territory: Name = "default"
    latitude: Latitude | None = None
    longitude: Longitude | None = Field(None, validate_default=True)
    transfer_days: Annotated[int, Field(ge=0, le=365, description="until a part is at a site of another territory")] = 1

    @field_validator("longitude")
    @classmethod
    def _whole_position(cls, longitude: float | None, others: ValidationInfo) -> float | None:
        if "latitude" in others.data and (others.data["latitude"] is None) != (longitude is None):
            raise ValueError("give latitude and longitude, or neither")
        return longitude


class Warehouse(Answer):
    """A place with stock."""

    code: str
    name: str
    kind: str
    territory: str
    latitude: float | None
    longitude: float | None
    transfer_days: int


class NewMovement(Body):
    """Pieces that came in, or a correction after counting."""

    sku: Sku
    warehouse: Code
    kind: Literal["receipt", "adjust"]
    quantity: Annotated[int, Field(ge=-(10**6), le=10**6, description="of `adjust` negative when pieces are missing")]
    cause: Name = Field(description="why, e.g. the number of the delivery note")

    @field_validator("quantity")
    @classmethod
    def _moves_something(cls, quantity: int, others: ValidationInfo) -> int:
        if others.data.get("kind") == "receipt" and quantity < 1:
            raise ValueError("a receipt brings at least 1; correct a count with kind adjust")
        if quantity == 0:
            raise ValueError("must not be 0")
        return quantity


class Movement(Answer):
    """One line of the ledger of stock."""

    movement_id: int
    sku: str
    warehouse: str
    kind: str
    on_hand_change: int
    reserved_change: int
    cause: str
    at: datetime


class Stock(Answer):
    """The balance of a part in a warehouse; `available` is what can still be reserved."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int


class NewReservation(Body):
    """A part that a job needs."""

    job_id: Id
    sku: Sku
    quantity: Count = 1


class Reservation(Answer):
    """A part kept for a job; `available_at` is when it can be at the site."""

    reservation_id: int
    job_id: int
    sku: str
    warehouse: str
    quantity: int
    state: ReservationState
    available_at: datetime
    created_at: datetime
    version: int
