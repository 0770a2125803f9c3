"""Bodies and answers of parts with serial numbers of their own."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Serial, Text, Time
from api.parts.models import Code, Sku
from api.rotables.rules import Arrival, Ledger, RotableState

LedgerField = Annotated[
    Ledger, Field(description="`moved`: a reservation, a visit or a transfer has moved the piece in the ledger already")
]


class NewRotable(Body):
    """A piece, either in a warehouse or in the machine that it was built into."""

    sku: Sku
    serial: Serial = Field(description="of the piece")
    warehouse: Code | None = None
    arrival: Arrival = Field("received", description="`counted`: it is among the pieces there already")
    asset: Serial | None = Field(None, description="serial number of a machine")
    component: Name | None = None
    installed_at: Time | None = Field(None, description="left out: now")
    condition: Text = ""

    @model_validator(mode="after")
    def _one_place(self) -> "NewRotable":
        if (self.warehouse is None) == (self.asset is None):
            raise ValueError("warehouse: say either in which warehouse it is, or in which machine (asset)")
        if self.asset is None and (self.component is not None or self.installed_at is not None):
            raise ValueError("component: only what is in a machine is a component of it")
        return self


class Issue(Body):
    """Into a technician's hands."""

    ticket_id: Id | None = None
    note: Text = ""
    ledger: LedgerField = "move"


class Install(Body):
    """Into a machine."""

    asset: Serial = Field(description="serial number of the machine")
    component: Name | None = None
    installed_at: Time | None = Field(None, description="left out: now")
    ticket_id: Id | None = None
    note: Text = ""
    ledger: LedgerField = "move"


class Remove(Body):
    """Out of a machine."""

    removed_at: Time | None = Field(None, description="left out: now")
    ticket_id: Id | None = None
    condition: Text = ""
    reason: Name


class Shelve(Body):
    """Into a warehouse."""

    warehouse: Code
    ticket_id: Id | None = None
    condition: Text = ""
    note: Text = ""
    ledger: LedgerField = "move"


class Send(Body):
    """Out to be repaired."""

    repairer: Name
    note: Text = ""


class TakeBack(Body):
    """Back from repair."""

    warehouse: Code
    fault_found: bool = Field(description="false: it was sent for nothing")
    cost_minor: Minor | None = None
    currency: Currency | None = None
    condition: Text = ""
    note: Text = ""

    @model_validator(mode="after")
    def _money(self) -> "TakeBack":
        if (self.cost_minor is None) != (self.currency is None):
            raise ValueError("currency: give cost_minor and currency, or neither")
        return self


class GiveBack(Body):
    """Back from a technician, unused."""

    note: Text = ""
    ledger: LedgerField = "move"


class End(Body):
    """Why it is no more."""

    reason: Name
    ticket_id: Id | None = None


class Rotable(Answer):
    """A piece with a serial number of its own."""

    rotable_id: int
    sku: str
    serial: str
    state: RotableState
    warehouse: str | None = Field(description="where it is, or which it left for repair")
    asset: str | None = Field(description="the machine that it is in, or was in last")
    component: str | None
    installed_at: datetime | None
    condition: str
    repairs: int
    version: int


class Event(Answer):
    """Something that was done with a piece."""

    rotable_event_id: int
    at: datetime
    actor: str
    action: str
    from_state: RotableState | None
    to_state: RotableState
    warehouse: str | None
    asset: str | None
    component: str | None
    ticket_id: int | None
    repairer: str
    note: str
    fault_found: bool | None
    cost_minor: int | None
    currency: str | None
    days_in_machine: int | None
    movement_ids: list[int] = Field(description="lines of the ledger that moved the piece")


class Difference(Answer):
    """Where there are more or fewer serial numbers than pieces in the ledger."""

    sku: str
    warehouse: str
    on_hand: int
    serials_on_hand: int
    issued: int
    serials_issued: int


class Reliability(Answer):
    """How pieces of a part do."""

    sku: str
    pieces: int
    in_machines: int
    removals: int
    mean_days_in_machine: float | None
    repairs: int
    no_fault_found: int
    scrapped: int
    repair_costs_minor: dict[str, int] = Field(description="by currency")
