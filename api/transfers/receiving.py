"""What is done with transfers at the other end: what came is taken in, what never will is given up."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.reservations import travelling
from api.stock import service as stock
from api.stock.service import Cause, Entry, Place
from api.transfers import charging
from api.transfers.models import NewArrival
from api.transfers.repository import SQL, get_transfer, locked
from api.transfers.rules import TRANSFER, Delivery, delivery_of
from api.transfers.service import end, tell_case
from api.warehouses.service import quarantine_for, require_own, warehouse_by_id, warehouse_of_field


async def receive(call: Call, transfer_id: int, body: NewArrival) -> DictRow:
    """Take in what came of a transfer; the rest is still on its way.

    Raises:
        Problem: 403 into a warehouse of somebody else; 404; 409 when it is not on its way, when more came than was
            sent, or when there is no quarantine for what is damaged.
    """
    (transfer,) = await locked(call, [transfer_id])
    outstanding = _outstanding(transfer)
    delivery = delivery_of(outstanding, body.quantity, body.damaged)
    to = TRANSFER.require(transfer_id, transfer["state"], delivery.action if delivery else "receive")
    if delivery is None:
        detail = f"{outstanding} pieces of transfer {transfer_id} are on their way; count what is more as found stock"
        raise Problem.conflict("too-many", detail, outstanding=outstanding)
    async with call.unscoped():
        require_own(call, await warehouse_by_id(call, transfer["to_warehouse_id"]))
        quarantine = await _quarantine(call, transfer, body) if delivery.damaged else None
        kept = await _take_in(call, transfer, delivery, quarantine)
        values = {"state": to, "good": delivery.good, "damaged": delivery.damaged, "reservation_id": kept}
        await call.connection.execute(SQL["receive_pieces"], {**values, "transfer_id": transfer_id, "now": call.now})
        await charging.settle_arrival(call, transfer, delivery.good, delivery.damaged)
        received = await get_transfer(call, transfer_id)
        await tell_case(call, received)
    return received


def _outstanding(transfer: Mapping[str, Any]) -> int:
    left: int = transfer["quantity"] - transfer["received"] - transfer["damaged"] - transfer["missing"]
    return left


async def _quarantine(call: Call, transfer: Mapping[str, Any], body: NewArrival) -> int:
    if body.quarantine is not None:
        named = await warehouse_of_field(call, body.quarantine, "body.quarantine")
        if named["kind"] != "quarantine":
            raise Problem.bad_field("body.quarantine", f"{body.quarantine} is of kind {named['kind']}")
        found = named
    else:
        nearest = await quarantine_for(call, transfer["to_warehouse_id"])
        if nearest is None:
            detail = "there is no quarantine for damaged pieces; POST /v1/warehouses with kind quarantine first"
            raise Problem.conflict("no-quarantine", detail)
        found = nearest
    number: int = found["warehouse_id"]
    return number


async def _take_in(call: Call, transfer: Mapping[str, Any], delivery: Delivery, quarantine: int | None) -> int | None:
    """Move what came; the reservation that still travels, if one does.

    Of reserved pieces the good ones stay kept, those damaged are kept no more, and the rest is kept on its way by a
    reservation of its own.
    """
    cause = Cause.of("transfer", transfer["transfer_id"])
    way = Place("transit", transfer["to_warehouse_id"])
    kept: int | None = transfer["reservation_id"]
    free = delivery.good
    if kept is not None and await travelling.on_way(call, kept):
        if delivery.damaged:
            await travelling.give_up(call, kept, delivery.damaged)
        if delivery.good:
            rest = await travelling.split_on_way(call, kept, delivery.rest) if delivery.rest else kept
            await travelling.arrive(call, kept, cause)
            kept, free = rest, 0
    if free:
        entry = Entry(transfer["part_id"], free, "transfer_in", way, Place("free", transfer["to_warehouse_id"]))
        await stock.post(call, [entry], cause, ticket_id=transfer["ticket_id"])
    if quarantine is not None:
        entry = Entry(transfer["part_id"], delivery.damaged, "transfer_in", way, Place("free", quarantine))
        await stock.post(call, [entry], cause, ticket_id=transfer["ticket_id"], note="damaged on the way")
    return kept


async def lose(call: Call, transfer_id: int, reason: str) -> DictRow:
    """Give up what has not come of a transfer.

    Raises:
        Problem: 404; 409 when it is not on its way.
    """
    (transfer,) = await locked(call, [transfer_id])
    to = TRANSFER.require(transfer_id, transfer["state"], "lose")
    missing = _outstanding(transfer)
    async with call.unscoped():
        kept = transfer["reservation_id"]
        if kept is not None and await travelling.on_way(call, kept):
            await travelling.give_up(call, kept, missing)
        source = Place("transit", transfer["to_warehouse_id"])
        entry = Entry(transfer["part_id"], missing, "scrap", source, Place("variance"))
        cause = Cause.of("transfer", transfer_id)
        await stock.post(call, [entry], cause, ticket_id=transfer["ticket_id"], note=f"lost on the way: {reason}")
        await end(call, transfer_id, to, missing, reason)
        await charging.settle_loss(call, transfer, missing)
        lost = await get_transfer(call, transfer_id)
        await tell_case(call, lost)
        await charging.tell_of_loss(call, lost)
    return lost
