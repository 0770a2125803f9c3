"""Return slips: one parcel each, with old parts of one partner."""

import asyncio
from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.returns import rules
from api.returns.models import NewReturnSlip, Shipping, SlipContents, SlipReceipt
from api.returns.paper import slip_pdf
from api.returns.rules import OLD_PART_MACHINE, SLIP_MACHINE
from api.returns.service import get_old_part, lock_old_parts, move, note_in_case, receive, row, rows
from careloop.database.queries import load_queries

SQL = load_queries("api.returns")


_ONE = SQL["slip_rows"] + "\n" + SQL["one_slip"]
_PAGE = SQL["slip_rows"] + "\n" + SQL["list_slips"]
_PARTS = SQL["old_part_rows"] + "\n" + SQL["parts_of_slip"]

_KEEP: Mapping[str, Any] = {"carrier": None, "tracking_number": None, "note": ""}


async def list_slips(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Slips in ascending order of their number: `state`, `provider_id` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(_PAGE, wanted, prepare=False)).fetchall()


async def get_slip(call: Call, return_slip_id: int) -> DictRow:
    """One slip with its parts.

    Raises:
        Problem: 404.
    """
    found = await row(call, _ONE, {"return_slip_id": return_slip_id})
    if found is None:
        raise Problem.not_found("return slip", return_slip_id)
    return {
        **found,
        "parts": await rows(call, _PARTS, {"return_slip_id": return_slip_id, "now": call.now}),
        "paper": f"/v1/return-slips/{return_slip_id}/paper",
        "actions": SLIP_MACHINE.actions_of(found["state"]),
    }


async def paper(call: Call, return_slip_id: int) -> bytes:
    """The slip that goes into the parcel, as PDF.

    Raises:
        Problem: 404.
    """
    slip = await get_slip(call, return_slip_id)
    return await asyncio.to_thread(slip_pdf, slip, slip["parts"])


async def open_slip(call: Call, body: NewReturnSlip) -> int:
    """Pack old parts into a parcel.

    Returns:
        The slip's number.

    Raises:
        Problem: 409 when a part is not to be sent; 422 for an unknown warehouse or part, or parts of several partners.
    """
    warehouse = await row(call, SQL["warehouse_of_code"], {"code": body.warehouse})
    if warehouse is None or warehouse["provider_id"] is not None:
        raise Problem.bad_field("body.warehouse", f"there is no warehouse of the maker's {body.warehouse}")
    parts = await lock_old_parts(call, body.old_parts, "body.old_parts")
    providers = {part["provider_id"] for part in parts}
    if len(providers) > 1:
        raise Problem.bad_field("body.old_parts", "are of several partners; each sends a parcel of its own")
    values = {
        "provider_id": providers.pop(),
        "warehouse_id": warehouse["warehouse_id"],
        "state": SLIP_MACHINE.initial,
        "note": body.note,
        "now": call.now,
    }
    made = await row(call, SQL["insert_slip"], values)
    if made is None:
        raise LookupError("insert_slip returned no row")
    await _pack(call, made["return_slip_id"], parts)
    return int(made["return_slip_id"])


async def _pack(call: Call, return_slip_id: int, parts: list[DictRow]) -> None:
    for part in parts:
        number = part["old_part_id"]
        to = OLD_PART_MACHINE.require(number, part["state"], "pack")
        if part["rule"] != "return":
            detail = f"the old part {number} is to be scrapped on site; show it: POST /v1/old-parts/{number}/scrap"
            raise Problem.conflict("old-part-rule", detail, rule=part["rule"])
        await move(call, number, to, return_slip_id=return_slip_id)


async def change_contents(call: Call, return_slip_id: int, body: SlipContents) -> None:
    """Put old parts into an open parcel, or take some out.

    Raises:
        Problem: 404; 409 when the parcel is not open, or a part is not to be sent; 422 naming the field.
    """
    slip = await _lock(call, return_slip_id)
    if slip["state"] != "open":
        SLIP_MACHINE.require(return_slip_id, slip["state"], "cancel")
    inside = {part["old_part_id"]: part for part in await _lock_parts(call, return_slip_id)}
    for number in dict.fromkeys(body.remove):
        if number not in inside:
            raise Problem.bad_field("body.remove", f"the old part {number} is not in return slip {return_slip_id}")
        to = OLD_PART_MACHINE.require(number, inside[number]["state"], "unpack")
        await move(call, number, to, off_slip=True)
    added = await lock_old_parts(call, [number for number in body.add if number not in inside], "body.add")
    if any(part["provider_id"] != slip["provider_id"] for part in added):
        raise Problem.bad_field("body.add", "are of another partner, which sends a parcel of its own")
    await _pack(call, return_slip_id, added)
    await call.connection.execute(SQL["touch_slip"], slip)


async def ship(call: Call, return_slip_id: int, body: Shipping) -> None:
    """The parcel was handed to a carrier; its way is not counted against its parts.

    Raises:
        Problem: 404; 409 when it is not open, or empty.
    """
    slip = await _lock(call, return_slip_id)
    to = SLIP_MACHINE.require(return_slip_id, slip["state"], "ship")
    parts = await _lock_parts(call, return_slip_id)
    if not parts:
        detail = f"return slip {return_slip_id} is empty; put old parts in, or cancel it"
        raise Problem.conflict("slip-empty", detail)
    for part in parts:
        shipped = OLD_PART_MACHINE.require(part["old_part_id"], part["state"], "ship")
        await move(call, part["old_part_id"], shipped, due_by=rules.due_of_parcel(part["due_by"], call.now))
    values = {**_KEEP, **body.model_dump(), "return_slip_id": return_slip_id, "state": to, "now": call.now}
    await call.connection.execute(SQL["move_slip"], values)


async def cancel(call: Call, return_slip_id: int) -> None:
    """The parcel is not sent; its parts are expected as before.

    Raises:
        Problem: 404; 409 when it is not open.
    """
    slip = await _lock(call, return_slip_id)
    to = SLIP_MACHINE.require(return_slip_id, slip["state"], "cancel")
    for part in await _lock_parts(call, return_slip_id):
        expected = OLD_PART_MACHINE.require(part["old_part_id"], part["state"], "unpack")
        await move(call, part["old_part_id"], expected, off_slip=True)
    values = {**_KEEP, "return_slip_id": return_slip_id, "state": to, "now": call.now}
    await call.connection.execute(SQL["move_slip"], values)


async def take_in(call: Call, return_slip_id: int, body: SlipReceipt) -> None:
    """The parcel has arrived: what was in it is received, what was not is expected again, and the partner is told.

    Raises:
        Problem: 404; 409 when it is not on its way; 422 for a part that is not on the slip, or told twice.
    """
    slip = await _lock(call, return_slip_id)
    to = SLIP_MACHINE.require(return_slip_id, slip["state"], "receive")
    parts = {part["old_part_id"]: part for part in await _lock_parts(call, return_slip_id)}
    arrived = {}
    for index, item in enumerate(body.items):
        if item.old_part_id in arrived or item.old_part_id not in parts:
            again = "is told twice" if item.old_part_id in arrived else f"is not on return slip {return_slip_id}"
            raise Problem.bad_field(f"body.items.{index}.old_part_id", f"the old part {item.old_part_id} {again}")
        arrived[item.old_part_id] = (index, item)
    for number, part in parts.items():
        whole = part["state"] != "shipped"
        if number in arrived:
            index, item = arrived[number]
            whole = await receive(call, part, item.quantity, item.note, f"body.items.{index}.quantity")
        if not whole:
            await _miss(call, slip, number)
    values = {**_KEEP, "note": body.note, "return_slip_id": return_slip_id, "state": to, "now": call.now}
    await call.connection.execute(SQL["move_slip"], values)


async def _miss(call: Call, slip: Mapping[str, Any], old_part_id: int) -> None:
    """A part, or some of it, was not in its parcel: it is expected again, with time to look for it."""
    part = await get_old_part(call, old_part_id)
    expected = OLD_PART_MACHINE.require(old_part_id, part["state"], "miss")
    await move(call, old_part_id, expected, off_slip=True, due_by=rules.due_of_parcel(part["due_by"], call.now))
    missing = part["quantity"] - part["quantity_received"]
    said = (
        f"{missing} of {part['sku']} ({part['serial']}) was not in the parcel of return slip {slip['return_slip_id']}"
    )
    await announce(
        call,
        topic="old_part.missing",
        cause=f"return_slip:{slip['return_slip_id']}:missing:{old_part_id}",
        asset_id=part["asset_id"],
        subject=f"{part['sku']} was missing in a parcel",
        body=f"{said}.\nPlease look for it, and send it with another slip; it is expected until then.",
        payload={
            **{name: part[name] for name in ("old_part_id", "visit_id", "provider_id", "sku")},
            "missing": missing,
        },
    )
    await note_in_case(call, part, "old_part.missing", {"old_part_id": old_part_id, "missing": missing})


async def _lock(call: Call, return_slip_id: int) -> DictRow:
    slip = await row(call, SQL["lock_slip"], {"return_slip_id": return_slip_id})
    if slip is None:
        raise Problem.not_found("return slip", return_slip_id)
    return slip


async def _lock_parts(call: Call, return_slip_id: int) -> list[DictRow]:
    await rows(call, SQL["share_tickets_of_slip"], {"return_slip_id": return_slip_id})
    return await rows(call, SQL["lock_parts_of_slip"], {"return_slip_id": return_slip_id})
