"""Bodies and answers of reservations."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.conventions.models import Answer, Body, Count, Id
from api.parts.models import Sku

ReservationState = Literal["reserved", "consumed", "released"]
ReservationPlace = Literal["reserved", "transit", "issued"]


class NewReservation(Body):
    """A part that a job needs."""

    job_id: Id
    sku: Sku
    quantity: Count = 1


class Reservation(Answer):
    """A part kept for a job or a case; `available_at` is when it can be at the site."""

    reservation_id: int
    job_id: int | None
    ticket_id: int | None
    demand_id: int | None
    sku: str
    warehouse: str
    quantity: int
    state: ReservationState
    place: ReservationPlace = Field(description="on the shelf, on its way to the warehouse, or handed out")
    available_at: datetime
    created_at: datetime
    version: int
