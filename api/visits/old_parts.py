"""Old parts that their maker wants back: who still has them, and which have come."""

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.pages import PageRequest
from api.conventions.problems import Problem
from api.tickets.repository import append_event
from api.visits.old_part_models import OldPartReceipt, OldPartState
from api.visits.repository import SQL, row


async def list_old_parts(
    call: Call, page: PageRequest, state: OldPartState | None, provider_id: int | None
) -> list[DictRow]:
    """Old parts to be returned or received, in ascending order of their number; a partner's people see their own."""
    wanted = {
        **page.parameters,
        "received": None if state is None else state == "received",
        "provider_id": provider_id,
    }
    if call.principal.provider_id is not None:
        # What row-level security would sort out one by one is walked along instead.
        wanted["provider_id"] = call.principal.provider_id
        if provider_id not in {None, call.principal.provider_id}:
            return []
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_old_parts"], wanted, prepare=False)).fetchall()


async def receive_old_part(call: Call, visit_part_id: int, body: OldPartReceipt) -> DictRow:
    """Take in an old part, once.

    Raises:
        Problem: 404 when there is no such part to be returned; 409 when it was received before.
    """
    values = {**body.model_dump(), "visit_part_id": visit_part_id, "actor": call.principal.name, "now": call.now}
    taken = await row(call, "receive_old_part", values)
    part = await row(call, "get_old_part", values)
    if part is None:
        raise Problem.not_found("old part to be returned", visit_part_id)
    if taken is None:
        raise Problem.conflict("old-part-received", f"the old part {visit_part_id} has been received already")
    if part["ticket_id"] is not None:
        line = {"visit_part_id": visit_part_id, "sku": part["sku"], "old_serial": part["old_serial"]}
        await append_event(call, part["ticket_id"], "visit.old_part_received", line)
    return part
