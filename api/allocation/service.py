"""What is done with demands for parts: asked, answered, asked again, given up.

Locks are always taken in the order ticket, job, demand, reservation, balances by part and warehouse; so no two calls
wait for one another.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.allocation import rules
from api.allocation.applying import undo, why_fixed
from api.allocation.deciding import Choosing, decide, locked
from api.allocation.gathering import (
    DEMANDS_BY_JOB,
    DEMANDS_BY_PART,
    DEMANDS_BY_STATE,
    DEMANDS_BY_TICKET,
    SQL,
    demands_by_id,
    policy_of,
    read_policy,
)
from api.allocation.models import NewDemand, PolicyChange
from api.allocation.rules import DEMAND
from api.allocation.telling import note
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.warehouses.service import warehouse_of_field


async def create_demand(call: Call, body: NewDemand) -> tuple[DictRow, bool]:
    """Ask for a part, and answer where it comes from.

    Returns:
        The demand with its answer, and whether it was made now: an open one of the same case or job and part is
        returned as it is.

    Raises:
        Problem: 422 for an unknown ticket, job, part or warehouse; 409 when the case or job is over, or when the demand
            there is asks for another quantity.
    """
    part = await part_of_field(call, body.sku)
    to = await warehouse_of_field(call, body.to_warehouse, "body.to_warehouse") if body.to_warehouse else None
    owner = await _owner(call, body)
    key = {"part_id": part["part_id"], "ticket_id": owner["ticket_id"], "job_id": owner["job_id"]}
    # A case's demands may be its job's by now; without a job the insertion sees for itself what is there.
    there = await _row(call, "demand_there", key) if owner["job_id"] is not None else None
    if there is not None:
        return await _same(call, body, owner, there["part_demand_id"]), False
    values = {
        **key,
        "quantity": body.quantity,
        "needed_by": body.needed_by or owner["due_by"] or call.now,
        "priority": owner["priority"],
        "to_warehouse_id": to and to["warehouse_id"],
        "strict": body.strict,
        "now": call.now,
    }
    made = await _row(call, "insert_demand", values)
    if made is None:
        # Another call asked for the same at this moment; the insertion waited for it.
        again = await _row(call, "demand_there", key)
        if again is None:
            raise Problem.conflict("demand-ended", "the demand there was has just ended; ask again")
        return await _same(call, body, owner, again["part_demand_id"]), False
    number: int = made["part_demand_id"]
    await _take_over(call, body, key, number)
    decided = await answer(call, number, Choosing("single")) if body.at_once else {}
    return (decided if "decision" in decided else await get_demand(call, number)), True


async def _owner(call: Call, body: NewDemand) -> dict[str, Any]:
    """The case and job that a part is for, locked, with their priority and due date."""
    ticket = await _row(call, "lock_ticket", {"ticket_id": body.ticket_id, "job_id": body.job_id})
    job = None
    if body.job_id is not None:
        job = await _row(call, "lock_job", {"job_id": body.job_id})
        if job is None:
            raise Problem.bad_field("body.job_id", f"there is no job {body.job_id}")
        if body.ticket_id not in {None, job["ticket_id"]}:
            message = f"job {body.job_id} is not of ticket {body.ticket_id}; leave it out"
            raise Problem.bad_field("body.ticket_id", message)
        if job["state"] in rules.ENDED:
            raise Problem.conflict("job-ended", f"job {body.job_id} is {job['state']}; it needs no part any more")
    elif ticket is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    if ticket is not None and ticket["state"] in rules.TICKET_OVER:
        detail = f"ticket {ticket['ticket_id']} is {ticket['state']}; it needs no part any more"
        raise Problem.conflict("ticket-over", detail)
    leading: Mapping[str, Any] = job or ticket or {}
    return {
        "ticket_id": ticket and ticket["ticket_id"],
        "job_id": body.job_id,
        "priority": leading["priority"],
        "due_by": leading["due_by"] or (ticket and ticket["due_by"]),
    }


async def _same(call: Call, body: NewDemand, owner: Mapping[str, Any], number: int) -> DictRow:
    """The demand that there is already, given to the job that asks now."""
    if owner["job_id"] is not None and owner["ticket_id"] is not None:
        await adopt(call, owner["ticket_id"], owner["job_id"])
    demand = await get_demand(call, number)
    if demand["quantity"] != body.quantity:
        detail = f"demand {number} asks for {demand['quantity']} of {body.sku} already; cancel it first"
        raise Problem.conflict("demand-differs", detail, part_demand_id=number)
    return demand


async def _take_over(call: Call, body: NewDemand, key: Mapping[str, Any], number: int) -> None:
    """What the job has kept already, without any demand, is the answer until a better one is found."""
    if key["job_id"] is None:
        return
    kept = await _row(call, "reservation_there", key)
    if kept is None:
        return
    if kept["quantity"] != body.quantity:
        there = kept["reservation_id"]
        detail = f"reservation {there} keeps {kept['quantity']} of {body.sku} for the job; release it first"
        raise Problem.conflict("reservation-differs", detail, reservation_id=there)
    reason = "kept before it was asked where it is to come from"
    values = {"part_demand_id": number, "reservation_id": kept["reservation_id"], "now": call.now, "reason": reason}
    await call.connection.execute(SQL["take_over_reservation"], values)


async def answer(call: Call, part_demand_id: int, choosing: Choosing) -> DictRow:
    """Decide where a demand's part comes from, and do it.

    Args:
        call: Whose transaction holds it.
        part_demand_id: Locked by the caller, or made by it.
        choosing: Which option is wanted; by itself the cheapest that is possible now.

    Returns:
        The demand, by `demands_by_id`.
    """
    return await decide(call, part_demand_id, policy_of(await read_policy(call)), choosing)


async def decide_again(call: Call, part_demand_id: int) -> DictRow:
    """Decide anew where a demand's part comes from; what is still the best stays.

    Raises:
        Problem: 404; 409 when it is over, or when its pieces are on their way, handed out or ordered.
    """
    demand = await locked(call, part_demand_id)
    DEMAND.require(part_demand_id, demand["state"], "allocate")
    why = why_fixed(demand)
    if why is not None:
        raise Problem.conflict("demand-fixed", f"demand {part_demand_id}: {why}", reason=why)
    decided = await answer(call, part_demand_id, Choosing("single"))
    return decided if "decision" in decided else await get_demand(call, part_demand_id)


async def cancel(call: Call, part_demand_id: int, reason: str) -> DictRow:
    """Give a demand up: its pieces are free again, a transfer not yet shipped is called off, an order is for nobody.

    Raises:
        Problem: 404; 409 when it is over, or somebody is on the way with the part.
    """
    demand = await locked(call, part_demand_id)
    to = DEMAND.require(part_demand_id, demand["state"], "cancel")
    if demand["job_state"] in rules.GIVEN_OUT:
        detail = f"job {demand['job_id']} is {demand['job_state']} with this part; recall or cancel the job first"
        raise Problem.conflict("job-relies-on-part", detail, job_id=demand["job_id"])
    await undo(call, demand, reason)
    values = {"part_demand_id": part_demand_id, "state": to, "reason": f"cancelled: {reason}"}
    await call.connection.execute(SQL["end_demand"], values)
    await note(call, demand, "part_demand_cancelled", reason=reason)
    return await get_demand(call, part_demand_id)


async def adopt(call: Call, ticket_id: int, job_id: int) -> None:
    """Hang a case's demands that are for no job yet to its new job."""
    await call.connection.execute(SQL["give_to_job"], {"ticket_id": ticket_id, "job_id": job_id})


async def get_demand(call: Call, part_demand_id: int) -> DictRow:
    """One demand with the last decision about it.

    Raises:
        Problem: 404.
    """
    rows = await demands_by_id(call, [part_demand_id])
    if not rows:
        raise Problem.not_found("part demand", part_demand_id)
    decision = await _row(call, "last_decision", {"part_demand_id": part_demand_id})
    return {**rows[0], "decision": decision}


async def list_demands(call: Call, page: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[DictRow]:
    """Demands of a ticket, a job or a part, or in some states."""
    values = {**page, **wanted}
    query = DEMANDS_BY_STATE
    if wanted["ticket_id"] is not None:
        query = DEMANDS_BY_TICKET
    elif wanted["job_id"] is not None:
        query = DEMANDS_BY_JOB
    elif wanted["sku"] is not None:
        query = DEMANDS_BY_PART
    return await (await call.connection.execute(query, values)).fetchall()


async def list_decisions(call: Call, part_demand_id: int, page: Mapping[str, Any]) -> list[DictRow]:
    """Everything that was decided for a demand, oldest first.

    Raises:
        Problem: 404.
    """
    await get_demand(call, part_demand_id)
    values = {**page, "part_demand_id": part_demand_id}
    return await (await call.connection.execute(SQL["list_decisions"], values)).fetchall()


async def change_policy(call: Call, change: PolicyChange, version: int) -> DictRow:
    """Let something count differently from now on.

    Raises:
        Problem: 412 when it was changed meanwhile.
    """
    seen = await read_policy(call)
    values = {**seen, **change.model_dump(exclude_none=True), "version": version}
    if await _row(call, "change_policy", values) is None:
        raise changed_meanwhile("allocation policy", version)
    return await read_policy(call)


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
