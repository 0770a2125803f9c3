"""Bodies and answers of transfers."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Count, Id, Name, Text
from api.parts.models import Code, Sku
from api.transfers.rules import TransferState
from api.warehouses.rules import ShippingClass

Tracking = Annotated[Text, Field(max_length=128)]


class NewTransfer(Body):
    """Pieces that are to go from one warehouse to another."""

    sku: Sku
    quantity: Count
    # Not `from`: that is a word of the language; JSON has it all the same.
    origin: Code = Field(alias="from")
    to: Code
    reservation_id: Id | None = Field(None, description="whose pieces travel, all of them; they stay kept")
    ticket_id: Id | None = None
    reason: Name = Field("by hand", description="why, for whoever asks later")


class NewShipment(Body):
    """Planned transfers that leave together, along one way: they pay its base freight once."""

    transfer_ids: Annotated[list[Id], Field(min_length=1, max_length=200)]
    carrier: Tracking = ""
    tracking_number: Tracking = ""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.transfer_ids)) < len(self.transfer_ids):
            raise ValueError("names a transfer twice; give each once")
        return self


class NewArrival(Body):
    """What came."""

    quantity: Annotated[int | None, Field(ge=0, le=10**6, description="fit for use; left out: all the rest")] = None
    damaged: Annotated[int, Field(ge=0, le=10**6, description="they go to quarantine")] = 0
    quarantine: Code | None = Field(None, description="which; left out: the nearest to the warehouse")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.quantity == 0 and self.damaged == 0:
            raise ValueError("nothing came; POST …/lose when it never will")
        return self


class Ending(Body):
    """Why a transfer ends."""

    reason: Name


class Transfer(Answer):
    """Pieces on their way, or about to be."""

    transfer_id: int
    state: TransferState
    sku: str
    quantity: int
    origin: str = Field(serialization_alias="from")
    to: str
    shipping_class: ShippingClass
    reservation_id: int | None
    ticket_id: int | None
    cause: str = Field(description="`ticket:12`, or the text of a note")
    received: int
    damaged: int
    missing: int
    planned_at: datetime
    planned_by: str
    expected_at: datetime
    shipped_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    overdue_since: datetime | None
    consignment_id: int | None
    carrier: str | None
    tracking_number: str | None
    charged_minor: int | None = Field(description="to the partner whose warehouse it goes to")
    charged_currency: str | None
    version: int


class Shipment(Answer):
    """What left together."""

    consignment_id: int
    origin: str = Field(serialization_alias="from")
    to: str
    carrier: str
    tracking_number: str
    weight_grams: int
    freight_minor: int
    currency: str
    shipped_at: datetime
    expected_at: datetime
    transfers: list[Transfer]


class Pick(Answer):
    """What is to be taken from the shelf for a transfer; bins in the order of the way through the warehouse."""

    transfer_id: int
    bin: str | None
    sku: str
    name: str
    quantity: int
    on_hand: int
    to: str
    shipping_class: ShippingClass
    weight_grams: int
    reservation_id: int | None
    ticket_id: int | None
    expected_at: datetime
