"""Parts that are repaired and used again: what a visit has exchanged, and the way to the repairer."""

import re
from collections.abc import Mapping
from typing import Any

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.conventions.roles import Principal
from api.returns.models import ToRepair
from api.rotables import service as rotables
from api.rotables.models import Install, NewRotable, Remove, Send, Shelve
from api.tickets.repository import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.returns")

# As careloop keeps serial numbers of pieces; what a technician wrote otherwise is no serial number of one.
_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def exchange(call: Call, used: Mapping[str, Any]) -> None:
    """Note which piece came out of a machine and which went in, where the part's pieces have serial numbers.

    What cannot be, e.g. as a piece counts as scrapped, is told in the case's history, and keeps no visit from ending.

    Args:
        call: Of the visit's completion, unscoped for the moment.
        used: The used part, with `serial` of the machine, `old_serial`, `serial_fitted`, `serialised`, `rotable`.
    """
    if not used["serialised"]:
        return
    # The ledger has moved the pieces, and whose warehouse they came from was judged then.
    platform = Call(call.connection, call.now, Principal(call.principal.key, call.principal.name, "service"))
    for serial, step in ((used["old_serial"], _take_out), (used["serial_fitted"], _put_in)):
        if serial is None or not _SERIAL.fullmatch(serial):
            continue
        try:
            async with call.connection.transaction():
                await step(platform, used, serial)
        except Problem as problem:
            if used["ticket_id"] is not None:
                line = {"sku": used["sku"], "serial": serial, "why": problem.detail}
                await append_event(call, used["ticket_id"], "rotable.unclear", line)


async def _take_out(call: Call, used: Mapping[str, Any], serial: str) -> None:
    number = await _find(call, used["part_id"], serial)
    if number is None:
        born = NewRotable(sku=used["sku"], serial=serial, asset=used["serial"], component=used["component"])
        number = (await rotables.register(call, born))["rotable_id"]
    why = f"visit {used['visit_id']}"
    await rotables.remove(call, number, Remove(ticket_id=used["ticket_id"], reason=why))


async def _put_in(call: Call, used: Mapping[str, Any], serial: str) -> None:
    number = await _find(call, used["part_id"], serial)
    if number is None:
        born = NewRotable(sku=used["sku"], serial=serial, asset=used["serial"], component=used["component"])
        await rotables.register(call, born)
        return
    into = {"asset": used["serial"], "component": used["component"], "ticket_id": used["ticket_id"]}
    note = f"visit {used['visit_id']}"
    await rotables.install(call, number, Install(**into, note=note, ledger="moved"))


async def _find(call: Call, part_id: int, serial: str) -> int | None:
    found = await call.connection.execute(SQL["rotable_of_serial"], {"part_id": part_id, "serial": serial})
    known = await found.fetchone()
    return None if known is None else int(known["rotable_id"])


async def to_repairer(call: Call, part: Mapping[str, Any], serial: str | None, body: ToRepair) -> int:
    """Take a piece in that came out of a machine, and send it to be repaired.

    Args:
        call: Of somebody who sees all warehouses.
        part: The old part, with `sku`, `part_id`, `ticket_id`.
        serial: The piece's.
        body: Where it goes.

    Returns:
        The rotable's number.

    Raises:
        Problem: 409 when its serial number is not known, or its state does not allow it; 422 for a warehouse that is no
            quarantine and no repair centre.
    """
    number = None if serial is None else await _find(call, part["part_id"], serial)
    if number is None:
        detail = f"no {part['sku']} with the serial number {serial} is known; POST /v1/rotables with its machine first"
        raise Problem.conflict("rotable-unknown", detail, serial=serial)
    piece = await rotables.get_rotable(call, number)
    ticket_id = part["ticket_id"]
    if piece["state"] == "installed":
        await rotables.remove(call, number, Remove(ticket_id=ticket_id, reason=f"old part {part['old_part_id']}"))
    if piece["state"] in {"installed", "removed"}:
        await rotables.take_in(call, number, Shelve(warehouse=body.warehouse, ticket_id=ticket_id, note=body.note))
    if body.repairer is not None:
        await rotables.send(call, number, Send(repairer=body.repairer, note=body.note))
    return number
