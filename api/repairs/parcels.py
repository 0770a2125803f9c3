"""Parcels to us and to the customer: labels, pick-ups, and what is in them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files.service import attach, require_file, store_file
from api.repairs import rules, texts
from api.repairs.label import label_pdf
from api.repairs.models import NewLabel, Parcel, Pickup
from api.repairs.moving import tell
from api.repairs.repository import SQL, add_cost, get_repair, locked, nodes_of, row, rows
from api.tickets.service import append_event

OWN_CARRIER = "any carrier"
NO_WORKSHOP = ("Service centre",)


async def plain_label(call: Call, repair: Mapping[str, Any]) -> int:
    """Make our own label for the parcel to us; the shipment's number."""
    number = rules.label_number(repair["repair_id"])
    async with call.unscoped():
        workshop = await row(call, "workshop_address", repair)
    to = NO_WORKSHOP
    if workshop is not None:
        to = (workshop["name"], *workshop["address"].splitlines())
    content = await asyncio.to_thread(label_pdf, repair, number, to)
    owners = {"ticket_id": repair["ticket_id"], "asset_id": repair["asset_id"]}
    file_id = await store_file(call, f"{number}.pdf", "application/pdf", content, **owners)
    return await announce_inbound(call, repair, "label", OWN_CARRIER, number, label_file_id=file_id)


async def announce_inbound(
    call: Call, repair: Mapping[str, Any], method: str, carrier: str, tracking_number: str | None, **more: Any
) -> int:
    """Note how the machine is to come; what was announced before no longer counts.

    Raises:
        Problem: 409 when another parcel has the carrier's number.
    """
    await call.connection.execute(SQL["cancel_shipments"], {"repair_id": repair["repair_id"], "now": call.now})
    values = {
        "repair_id": repair["repair_id"],
        "direction": "inbound",
        "method": method,
        "carrier": carrier,
        "tracking_number": tracking_number or "",
        "label_file_id": None,
        "contents": Jsonb([{"kind": "machine", "code": repair["serial"], "quantity": 1}]),
        "pickup_from": None,
        "pickup_until": None,
        "address": "",
        "now": call.now,
        **more,
    }
    return await _insert(call, values)


async def _insert(call: Call, values: Mapping[str, Any]) -> int:
    made = await row(call, "insert_shipment", values)
    if made is None:
        detail = f"a parcel of {values['carrier']} with the number {values['tracking_number']} is known already"
        raise Problem.conflict("parcel-known", detail)
    return int(made["shipment_id"])


async def _awaited(call: Call, repair_id: int) -> DictRow:
    """A repair whose machine has not come.

    Raises:
        Problem: 404; 409 `repair-state`.
    """
    repair = await locked(call, repair_id)
    if repair["state"] != "label":
        detail = f"repair {repair_id} is {repair['state']}; its machine has come already"
        raise Problem.conflict("repair-state", detail, state=repair["state"], allowed=["label"])
    return repair


async def new_label(call: Call, repair_id: int, body: NewLabel) -> DictRow:
    """A carrier's label in the place of ours, or ours anew.

    Raises:
        Problem: 404; 409 when the machine has come; 422 for an unknown file or a label without a carrier's number.
    """
    repair = await _awaited(call, repair_id)
    if body.carrier is None:
        for field in ("tracking_number", "file_id"):
            if getattr(body, field) is not None:
                raise Problem.bad_field("body.carrier", f"is needed with {field}: whose label is it?")
        # A number is for one parcel; what we print again is the same one.
        known = next((parcel for parcel in repair["shipments"] if parcel["carrier"] == OWN_CARRIER), None)
        if known is None:
            await plain_label(call, repair)
        return await get_repair(call, repair_id)
    if body.tracking_number is None:
        raise Problem.bad_field("body.tracking_number", "is needed with a carrier")
    if body.file_id is not None:
        await require_file(call, body.file_id, "body.file_id")
        await attach(call, body.file_id, ticket_id=repair["ticket_id"], asset_id=repair["asset_id"])
    shipment_id = await announce_inbound(
        call, repair, "label", body.carrier, body.tracking_number, label_file_id=body.file_id
    )
    return await _announced(call, repair, shipment_id, body.freight_minor, f"Label: {body.carrier}.")


async def order_pickup(call: Call, repair_id: int, body: Pickup) -> DictRow:
    """Let a carrier fetch the machine.

    Raises:
        Problem: 404; 409 when the machine has come, or the carrier's number is known.
    """
    repair = await _awaited(call, repair_id)
    times = {"pickup_from": body.pickup_from, "pickup_until": body.pickup_until}
    shipment_id = await announce_inbound(
        call, repair, "pickup", body.carrier, body.tracking_number, address=body.address, **times
    )
    said = f"{body.carrier} fetches the machine on {body.pickup_from:%Y-%m-%d} from {body.pickup_from:%H:%M} UTC on."
    return await _announced(call, repair, shipment_id, body.freight_minor, said)


async def _announced(call: Call, repair: Mapping[str, Any], shipment_id: int, freight_minor: int, said: str) -> DictRow:
    source, said_of_cost = f"shipment:{shipment_id}", "Freight to the workshop"
    await add_cost(call, repair, "freight_in", source, amount_minor=freight_minor, description=said_of_cost)
    line = {"repair_id": repair["repair_id"], "shipment_id": shipment_id, "direction": "inbound"}
    await append_event(call, repair["ticket_id"], "shipment", line)
    found = await get_repair(call, repair["repair_id"])
    await tell(
        call, found, "repair.moved", f"shipment:{shipment_id}", texts.moved_message(found, nodes_of(found), said)
    )
    return found


async def send_out(call: Call, repair: Mapping[str, Any], body: Parcel) -> None:
    """Note the parcel to the customer: the machine, what came with it, and the old parts if they are wanted.

    Raises:
        Problem: 409 when the carrier's number is known.
    """
    machine = repair["replacement_serial"] or repair["serial"]
    came = (repair["parcel"] or {}).get("accessories", [])
    contents = [{"kind": "machine", "code": machine, "quantity": 1}]
    contents += [{"kind": "accessory", "code": item["name"], "quantity": item["quantity"]} for item in came]
    if repair["old_part_wanted"]:
        used = await rows(call, "used_parts", {"repair_id": repair["repair_id"]})
        contents += [{"kind": "old_part", "code": part["sku"], "quantity": part["quantity"]} for part in used]
    values = {
        "repair_id": repair["repair_id"],
        "direction": "outbound",
        "method": "parcel",
        "carrier": body.carrier,
        "tracking_number": body.tracking_number,
        "label_file_id": None,
        "contents": Jsonb(contents),
        "pickup_from": None,
        "pickup_until": None,
        "address": "",
        "now": call.now,
    }
    shipment_id = await _insert(call, values)
    source, said = f"shipment:{shipment_id}", "Freight to the customer"
    await add_cost(call, repair, "freight_out", source, amount_minor=body.freight_minor, description=said)
