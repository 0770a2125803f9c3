"""Bodies and answers of old parts that go back to their maker."""

from datetime import datetime
from typing import Literal

from api.conventions.models import Answer, Body, Text

OldPartState = Literal["to_return", "received"]


class OldPartReceipt(Body):
    """An old part has come back."""

    note: Text = ""


class ReturnedPart(Answer):
    """A part taken out on a visit that its maker wants back."""

    visit_part_id: int
    visit_id: int
    ticket_id: int | None
    serial: str
    sku: str
    quantity: int
    component: str | None
    old_serial: str | None
    provider_id: int | None
    state: OldPartState
    taken_out_at: datetime
    received_at: datetime | None
    received_by: str | None
    note: str
