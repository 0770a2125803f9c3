"""Bodies and answers of the ledger of stock."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from api.conventions.models import Answer, Body, Name, Text
from api.parts.models import Code, Sku

HandKind = Literal["receipt", "adjust", "issue", "consume", "return", "scrap"]
# Where pieces may come from that are moved by hand, the usual place first.
PLACES_OF_HAND = {"consume": ("free", "issued"), "scrap": ("free", "issued"), "return": ("used", "issued")}


class NewMovement(Body):
    """Pieces that somebody moves by hand: in or out of a warehouse, or a correction."""

    sku: Sku
    warehouse: Code
    kind: HandKind = Field(
        description="receipt: from a supplier; adjust: found or missing; issue: handed out; consume: used; "
        "return: brought back; scrap: thrown away"
    )
    quantity: Annotated[int, Field(ge=-(10**6), le=10**6, description="of `adjust` negative when pieces are missing")]
    place: Literal["free", "issued", "used"] | None = Field(
        None,
        validate_default=True,
        description="from where: consume and scrap free (if left out) or issued; return used (if left out) or issued",
    )
    cause: Name = Field(description="why: the number of the delivery note, or of the ticket, job or visit")
    cause_kind: Literal["note", "ticket", "job", "visit"] = Field("note", validate_default=True)
    note: Text = ""

    @field_validator("quantity")
    @classmethod
    def _moves_something(cls, quantity: int, others: ValidationInfo) -> int:
        if others.data.get("kind") == "receipt" and quantity < 1:
            raise ValueError("a receipt brings at least 1; correct a count with kind adjust")
        if quantity == 0:
            raise ValueError("must not be 0")
        if quantity < 0 and others.data.get("kind") not in {None, "adjust"}:
            raise ValueError("only adjust takes pieces away by a minus")
        return quantity

    @field_validator("place")
    @classmethod
    def _place_of_kind(cls, place: str | None, others: ValidationInfo) -> str | None:
        allowed = PLACES_OF_HAND.get(others.data.get("kind", ""), ())
        if place is not None and place not in allowed:
            raise ValueError(f"may be {' or '.join(allowed)}" if allowed else "leave it out for this kind")
        return place or (allowed[0] if allowed else None)

    @field_validator("cause_kind")
    @classmethod
    def _cause_has_a_number(cls, kind: str, others: ValidationInfo) -> str:
        cause = others.data.get("cause", "1")
        if kind != "note" and not (cause.isascii() and cause.isdigit() and 1 <= int(cause[:20]) <= 2**63 - 1):
            raise ValueError(f"cause must be the number of a {kind}")
        return kind


class Movement(Answer):
    """One line of the ledger: pieces from one place to another.

    `warehouse`, `on_hand_change` and `reserved_change` say what it did to the one warehouse whose shelf it touched.
    """

    movement_id: int
    sku: str
    kind: str
    quantity: int
    from_place: str
    from_warehouse: str | None
    to_place: str
    to_warehouse: str | None
    warehouse: str
    on_hand_change: int
    reserved_change: int
    cause: str = Field(description="`reservation:12`, or the text of a note")
    cause_kind: str
    cause_key: str
    ticket_id: int | None
    note: str
    actor: str
    at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Movement":
        """From a row of the ledger."""
        shelf = {"free": (1, 0), "reserved": (1, 1)}
        left, came = shelf.get(row["from_place"]), shelf.get(row["to_place"])
        warehouse = row["from_warehouse"] if left or row["to_warehouse"] is None else row["to_warehouse"]
        gone = left or (0, 0)
        come = came if came and row["to_warehouse"] == warehouse else (0, 0)
        cause = row["cause_key"] if row["cause_kind"] == "note" else f"{row['cause_kind']}:{row['cause_key']}"
        return cls(
            **row,
            warehouse=warehouse,
            on_hand_change=row["quantity"] * (come[0] - gone[0]),
            reserved_change=row["quantity"] * (come[1] - gone[1]),
            cause=cause,
        )


class Stock(Answer):
    """The balance of a part in a warehouse; `available` is what can still be reserved."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    available: int
    issued: int = Field(description="in technicians' hands")
    in_transit: int = Field(description="on its way here")
    stocked_at: datetime | None = Field(description="when what is on hand came in, on average")
    min_quantity: int | None
    max_quantity: int | None
