"""What is done with transfers.

Locks are taken in the order transfer, reservation, balances by part and warehouse, partner's account.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.reservations import travelling
from api.stock import service as stock
from api.stock.service import Cause, Entry, Place
from api.tickets.service import append_event
from api.transfers import charging
from api.transfers.models import NewShipment, NewTransfer
from api.transfers.repository import SQL, get_transfer, locked, row
from api.transfers.rules import TRANSFER
from api.warehouses.rules import Lane, arrives_at, freight_minor
from api.warehouses.service import (
    hours_of,
    lane_between,
    require_own,
    warehouse_by_id,
    warehouse_of_field,
)

__all__ = ["SQL", "cancel", "create", "create_kept", "end", "get_transfer", "plan", "ship", "tell_case"]


# A thousand tonnes are no shipment of spare parts.
HEAVIEST_GRAMS = 10**9

# Planning -----------------------------------------------------------------------------------------


async def plan(call: Call, body: NewTransfer) -> DictRow:
    """Plan a transfer by hand; a partner, to its own warehouses: that is how it buys parts.

    Raises:
        Problem: 403 for a partner to another's warehouse; 422 for an unknown part, warehouse, case or reservation; 409
            as of `create`.
    """
    part = await part_of_field(call, body.sku)
    source = await warehouse_of_field(call, body.origin, "body.from")
    target = await warehouse_of_field(call, body.to, "body.to")
    if source["warehouse_id"] == target["warehouse_id"]:
        raise Problem.bad_field("body.to", f"it is in {body.to} already; a transfer has two ends")
    require_own(call, target)
    # Whose case one doesn't see, its pieces one doesn't move.
    if body.reservation_id is not None and await row(call, "reservation_exists", body.model_dump()) is None:
        raise Problem.bad_field("body.reservation_id", f"there is no reservation {body.reservation_id}")
    if body.ticket_id is not None and await row(call, "ticket_exists", {"ticket_id": body.ticket_id}) is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    return await create(
        call,
        part_id=part["part_id"],
        quantity=body.quantity,
        from_warehouse_id=source["warehouse_id"],
        to_warehouse_id=target["warehouse_id"],
        reservation_id=body.reservation_id,
        ticket_id=body.ticket_id,
        cause=("note", body.reason),
    )


async def create(
    call: Call,
    *,
    part_id: int,
    quantity: int,
    from_warehouse_id: int,
    to_warehouse_id: int,
    reservation_id: int | None = None,
    ticket_id: int | None = None,
    cause: tuple[str, str] = ("note", ""),
) -> DictRow:
    """Plan a transfer; its pieces are kept from now on.

    Args:
        call: Whose transaction holds it.
        part_id: Of what.
        quantity: Pieces.
        from_warehouse_id: Where they are.
        to_warehouse_id: Where they are to go.
        reservation_id: Whose pieces they are, all of them; without one they are kept for the transfer itself.
        ticket_id: The case, if it is for one; left out, the reservation's.
        cause: Why, e.g. ("ticket", "12").

    Returns:
        The transfer, as `get_transfer`, with its `transfer_id` and `expected_at`.

    Raises:
        Problem: 409 `lane-refuses-class`, `warehouse-inactive`, `stock-out-of-range`, `transfer-open` when the
            reservation travels already, `reservation-elsewhere` or `reservation-ended` when it can't.
    """
    async with call.unscoped():
        lane = await _way(call, part_id, from_warehouse_id, to_warehouse_id)
        kept = None
        if reservation_id is not None:
            kept = await _reservation(call, reservation_id, part_id, quantity, from_warehouse_id)
        hours = await hours_of(call, [from_warehouse_id, to_warehouse_id])
        case = ticket_id if ticket_id is not None or kept is None else kept["ticket_id"]
        values = {
            "part_id": part_id,
            "quantity": quantity,
            "from_warehouse_id": from_warehouse_id,
            "to_warehouse_id": to_warehouse_id,
            "reservation_id": reservation_id,
            "ticket_id": case,
            "cause_kind": cause[0],
            "cause_key": cause[1],
            "by": call.principal.name,
            "now": call.now,
            "expected_at": arrives_at(lane, hours[to_warehouse_id], call.now, departs=hours[from_warehouse_id]),
        }
        made = await row(call, "insert_transfer", values) or await _open_already(call, values)
        transfer_id: int = made["transfer_id"]
        if reservation_id is None:
            places = Place("free", from_warehouse_id), Place("reserved", from_warehouse_id)
            entry = Entry(part_id, quantity, "reserve", *places)
            await stock.post(call, [entry], Cause.of("transfer", transfer_id), ticket_id=case)
        planned = await get_transfer(call, transfer_id)
        await tell_case(call, planned)
    return planned


async def create_kept(
    call: Call, kept: Mapping[str, Any], to_warehouse_id: int, expected_at: datetime, *, cause: tuple[str, str]
) -> DictRow:
    """Plan the transfer of a reservation that this transaction has just made.

    Args:
        call: Whose transaction made it, so that nobody else knows of it yet.
        kept: As of `reservations.service.reserve_at`, with its `part_id` and `warehouse_id`.
        to_warehouse_id: Where it goes, by a way that the caller has found: entered or not, it takes the part, and both
            ends are in use.
        expected_at: When it is there, by the lane and the hours of both ends.
        cause: Why.

    Returns:
        `transfer_id`, `expected_at` and what is told to the case, which is the caller's to do (`tell_case`).
    """
    values = {
        **{name: kept[name] for name in ("part_id", "quantity", "reservation_id", "ticket_id")},
        "from_warehouse_id": kept["warehouse_id"],
        "to_warehouse_id": to_warehouse_id,
        "cause_kind": cause[0],
        "cause_key": cause[1],
        "by": call.principal.name,
        "now": call.now,
        "expected_at": expected_at,
    }
    async with call.unscoped():
        made = await row(call, "insert_kept_transfer", values)
    if made is None:
        raise LookupError("insert_kept_transfer returned no row")
    return made


async def _open_already(call: Call, values: Mapping[str, Any]) -> DictRow:
    """Say by which transfer a reservation travels already.

    Raises:
        Problem: 409 `transfer-open`, always.
    """
    known = await row(call, "open_transfer_of_reservation", values) or {"transfer_id": None}
    detail = f"reservation {values['reservation_id']} travels by transfer {known['transfer_id']} already"
    raise Problem.conflict("transfer-open", detail, **known)


async def _way(call: Call, part_id: int, from_warehouse_id: int, to_warehouse_id: int) -> Lane:
    """The lane of a transfer, which takes the part, between warehouses in use.

    Raises:
        Problem: 409.
    """
    ends = {"from_warehouse_id": from_warehouse_id, "to_warehouse_id": to_warehouse_id}
    found = await row(call, "ends_of_way", {**ends, "part_id": part_id})
    if found is None:
        raise Problem.not_found("part or warehouse", f"{part_id}, {from_warehouse_id}, {to_warehouse_id}")
    if found["closed"]:
        detail = f"the warehouse {found['closed'][0]} is inactive; PATCH it to active, or choose another"
        raise Problem.conflict("warehouse-inactive", detail, warehouse=found["closed"][0])
    lane = await lane_between(call, from_warehouse_id, to_warehouse_id)
    _require_class(lane, found, found["origin"], found["destination"])
    return lane


def _require_class(lane: Lane, part: Mapping[str, Any], origin: str, destination: str) -> None:
    if lane.takes(part["shipping_class"]):
        return
    known = f"takes {', '.join(sorted(lane.shipping_classes))}" if lane.entered else "is not entered"
    detail = (
        f"{part['sku']} is {part['shipping_class']}, and the lane from {origin} to {destination} {known}; "
        "choose another way, or PUT /v1/lanes with that shipping class if its carrier takes it"
    )
    raise Problem.conflict("lane-refuses-class", detail, shipping_class=part["shipping_class"], sku=part["sku"])


async def _reservation(call: Call, reservation_id: int, part_id: int, quantity: int, warehouse_id: int) -> DictRow:
    """The reservation whose pieces are to travel, locked.

    Raises:
        Problem: 409 when they can't; 422 when it is of something else.
    """
    kept = await row(call, "reservation_to_send", {"reservation_id": reservation_id})
    if kept is None:
        raise Problem.bad_field("body.reservation_id", f"there is no reservation {reservation_id}")
    if kept["state"] != "reserved" or kept["place"] != "reserved":
        slug = "reservation-ended" if kept["state"] != "reserved" else "reservation-elsewhere"
        detail = f"reservation {reservation_id} is {kept['state']}, its pieces are {kept['place']}; they can't be sent"
        raise Problem.conflict(slug, detail, state=kept["state"], place=kept["place"])
    if (kept["part_id"], kept["quantity"], kept["warehouse_id"]) != (part_id, quantity, warehouse_id):
        message = f"it keeps {kept['quantity']} pieces; send that part, all of them, from its warehouse"
        raise Problem.bad_field("body.reservation_id", message)
    return kept


# Shipping -----------------------------------------------------------------------------------------


async def ship(call: Call, body: NewShipment) -> dict[str, Any]:
    """Let planned transfers leave together.

    The partner whose warehouse they go to is charged for them; the pieces are on their way from now on.

    Returns:
        The consignment with its `transfers`.

    Raises:
        Problem: 403 from a warehouse of somebody else; 404; 409 when one is not planned any more, its reservation has
            ended, the lane does not take it, or the partner's credit does not suffice; 422 when they go different ways.
    """
    found = await locked(call, body.transfer_ids)
    ends = found[0]["from_warehouse_id"], found[0]["to_warehouse_id"]
    for transfer in found:
        if (transfer["from_warehouse_id"], transfer["to_warehouse_id"]) != ends:
            message = f"transfer {transfer['transfer_id']} goes another way; ship what has both ends in common"
            raise Problem.bad_field("body.transfer_ids", message)
        TRANSFER.require(transfer["transfer_id"], transfer["state"], "ship")
    async with call.unscoped():
        source, target = [await warehouse_by_id(call, end) for end in ends]
        require_own(call, source)
        lane = await lane_between(call, *ends)
        for transfer in found:
            _require_class(lane, transfer, source["code"], target["code"])
        hours = await hours_of(call, ends)
        expected_at = arrives_at(lane, hours[ends[1]], call.now)
        weight_grams = sum(one["quantity"] * one["weight_grams"] for one in found)
        if weight_grams > HEAVIEST_GRAMS:
            detail = f"they weigh {weight_grams // 1000} kg together; ship them in several goes"
            raise Problem.conflict("too-heavy", detail, weight_grams=weight_grams)
        consignment = await _consign(call, body, lane, weight_grams)
        for transfer in found:
            await _send(call, transfer, consignment["consignment_id"], expected_at)
        sent = [await get_transfer(call, transfer["transfer_id"]) for transfer in found]
        for transfer in sent:
            await tell_case(call, transfer)
    return {
        **consignment,
        "origin": source["code"],
        "to": target["code"],
        "expected_at": expected_at,
        "transfers": sent,
    }


async def _consign(call: Call, body: NewShipment, lane: Lane, weight_grams: int) -> dict[str, Any]:
    values = {
        "from_warehouse_id": lane.from_warehouse_id,
        "to_warehouse_id": lane.to_warehouse_id,
        "carrier": body.carrier,
        "tracking_number": body.tracking_number,
        "weight_grams": weight_grams,
        "freight_minor": freight_minor(lane, weight_grams),
        "currency": lane.currency,
        "now": call.now,
        "by": call.principal.name,
    }
    made = await row(call, "insert_consignment", values)
    assert made is not None  # noqa: S101 - INSERT … RETURNING gives a row
    return {**values, **made, "shipped_at": call.now}


async def _send(call: Call, transfer: Mapping[str, Any], consignment_id: int, expected_at: datetime) -> None:
    number = transfer["transfer_id"]
    cause = Cause.of("transfer", number)
    if transfer["reservation_id"] is not None:
        await travelling.ship(
            call, transfer["reservation_id"], transfer["to_warehouse_id"], cause, expected_at=expected_at
        )
    else:
        source, target = Place("reserved", transfer["from_warehouse_id"]), Place("transit", transfer["to_warehouse_id"])
        entry = Entry(transfer["part_id"], transfer["quantity"], "transfer_out", source, target)
        await stock.post(call, [entry], cause, ticket_id=transfer["ticket_id"])
    charged = await charging.charge_receiver(call, transfer)
    values = {
        "transfer_id": number,
        "consignment_id": consignment_id,
        "expected_at": expected_at,
        "charged_minor": charged and charged[0],
        "charged_currency": charged and charged[1],
        "now": call.now,
    }
    await call.connection.execute(SQL["ship_transfer"], values)


# Ending -------------------------------------------------------------------------------------------


async def cancel(call: Call, transfer_id: int, reason: str) -> DictRow:
    """Give up a transfer that has not left; reserved pieces stay reserved where they are, others are free again.

    Raises:
        Problem: 403 for a partner to whom it does not go; 404; 409 when it has left.
    """
    (transfer,) = await locked(call, [transfer_id])
    to = TRANSFER.require(transfer_id, transfer["state"], "cancel")
    async with call.unscoped():
        require_own(call, await warehouse_by_id(call, transfer["to_warehouse_id"]))
        if transfer["reservation_id"] is None:
            source = transfer["from_warehouse_id"]
            places = Place("reserved", source), Place("free", source)
            entry = Entry(transfer["part_id"], transfer["quantity"], "release", *places)
            await stock.post(call, [entry], Cause.of("transfer", transfer_id), ticket_id=transfer["ticket_id"])
        await end(call, transfer_id, to, 0, reason)
        cancelled = await get_transfer(call, transfer_id)
        await tell_case(call, cancelled)
    return cancelled


async def end(call: Call, transfer_id: int, state: str, missing: int, reason: str) -> None:
    """End a transfer that is locked, with so many pieces that never came."""
    values = {"transfer_id": transfer_id, "state": state, "missing": missing, "reason": reason, "now": call.now}
    await call.connection.execute(SQL["end_transfer"], values)


async def tell_case(call: Call, transfer: Mapping[str, Any]) -> None:
    """Write into a case's history where its parts are, if it is for a case."""
    if transfer["ticket_id"] is None:
        return
    shown = ("transfer_id", "state", "sku", "quantity", "origin", "to", "received", "damaged", "missing")
    detail = {name: transfer[name] for name in shown}
    expected = transfer["expected_at"].isoformat()
    await append_event(call, transfer["ticket_id"], "transfer", {**detail, "expected_at": expected})
