"""What is done with technicians, and with the partners that they work for."""

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.dispatch.models import NewTechnician, TechnicianChange
from api.dispatch.repository import get_technician, row
from api.providers.service import provider_of_field
from api.tickets.models import Assignment
from api.tickets.service import assign


async def create_technician(call: Call, body: NewTechnician) -> DictRow:
    """Add a technician.

    Raises:
        Problem: 409 when the name is taken, 422 for an unknown service partner.
    """
    if body.provider_id is not None:
        await provider_of_field(call, body.provider_id, "body.provider_id")
    made = await row(call, "insert_technician", body.model_dump())
    if made is None:
        raise Problem.conflict("name-taken", f"there is a technician {body.name!r} already")
    return made


async def change_technician(call: Call, technician_id: int, change: TechnicianChange, version: int) -> DictRow:
    """Change a technician who is still at the version seen.

    Raises:
        Problem: 404, 412 when somebody else was faster, 422 for an unknown service partner.
    """
    await get_technician(call, technician_id)
    if change.provider_id is not None:
        await provider_of_field(call, change.provider_id, "body.provider_id")
    moves = "provider_id" in change.model_fields_set
    values = {**change.model_dump(), "moves": moves, "technician_id": technician_id, "version": version}
    changed = await row(call, "change_technician", values)
    if changed is None:
        raise changed_meanwhile("technician", version)
    return changed


async def give_to_partner(call: Call, job: DictRow, technician_id: int) -> None:
    """A case goes to the partner whose technician comes, who must see it.

    Args:
        call: Whose transaction has the ticket locked.
        job: Of the case, if it has one.
        technician_id: Who comes.

    Raises:
        Problem: 409 `other-partner` when the case was given to another one.
    """
    wanted = {"ticket_id": job["ticket_id"], "technician_id": technician_id}
    partners = await row(call, "partners_of_visit", wanted) if job["ticket_id"] is not None else None
    if partners is None or partners["comes"] in (None, partners["given"]):
        return
    if partners["given"] is not None:
        detail = f"ticket {job['ticket_id']} was given to another service partner; assign it to this one first"
        raise Problem.conflict("other-partner", detail, provider_id=partners["given"])
    await assign(call, job["ticket_id"], Assignment(provider_id=partners["comes"], reason="its technician comes"))
