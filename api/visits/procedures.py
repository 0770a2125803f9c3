"""What is done with procedures and the fault catalogue."""

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.visits.repository import SQL, execute, find_fault_code, get_fault_code, get_sop, row
from api.visits.sop_models import PARENT_OF, FaultCodeChange, NewFaultCode, NewSop


async def create_sop(call: Call, body: NewSop) -> DictRow:
    """Make a procedure, or the next version of the one with that code; visits keep the version they were made with.

    Raises:
        Problem: 422 for an unknown product model.
    """
    model_id = None
    if body.model is not None:
        model = await row(call, "model_of_code", {"model": body.model})
        if model is None:
            raise Problem.bad_field("body.model", f"there is no product model {body.model}")
        model_id = model["model_id"]
    values = {
        **body.model_dump(include={"code", "title", "product_kind", "job_kind"}),
        "model_id": model_id,
        **{name: Jsonb(items) for name, items in body.model_dump(include={"tips", "checks", "steps"}).items()},
        "actor": call.principal.name,
        "now": call.now,
    }
    # Two versions made at once get two numbers.
    await execute(call, "lock_sop_code", values)
    await execute(call, "supersede_sop", values)
    made = await row(call, "insert_sop", values)
    if made is None:
        raise LookupError("insert_sop returned no row")
    return await get_sop(call, made["sop_id"])


async def withdraw_sop(call: Call, sop_id: int) -> DictRow:
    """Take a procedure out of use; visits that have it keep it.

    Raises:
        Problem: 404; 409 when a later version is there already.
    """
    sop = await get_sop(call, sop_id)
    await execute(call, "lock_sop_code", sop)
    if (await get_sop(call, sop_id))["superseded_at"] is not None:
        raise Problem.conflict("sop-superseded", f"version {sop['version']} of {sop['code']} is out of use already")
    await execute(call, "supersede_sop", {**sop, "now": call.now})
    return await get_sop(call, sop_id)


async def create_fault_code(call: Call, body: NewFaultCode) -> DictRow:
    """Add an entry to the fault catalogue.

    Raises:
        Problem: 409 when the code is taken; 422 for a parent that is missing, unknown or of the wrong level.
    """
    wanted = PARENT_OF[body.level]
    if (wanted is None) != (body.parent is None):
        message = "a symptom has none" if wanted is None else f"a {body.level} stands below a {wanted}"
        raise Problem.bad_field("body.parent", message)
    parent_id = None
    if body.parent is not None:
        parent = await find_fault_code(call, body.product_kind, body.parent)
        if parent is None or parent["level"] != wanted:
            message = f"there is no {wanted} {body.parent} of {body.product_kind}"
            raise Problem.bad_field("body.parent", message)
        parent_id = parent["fault_code_id"]
    made = await row(call, "insert_fault_code", {**body.model_dump(), "parent_id": parent_id})
    if made is None:
        raise Problem.conflict("code-taken", f"{body.product_kind} has a fault code {body.code} already")
    return await get_fault_code(call, made["fault_code_id"])


async def change_fault_code(call: Call, fault_code_id: int, change: FaultCodeChange, version: int) -> DictRow:
    """Change an entry that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile.
    """
    await get_fault_code(call, fault_code_id)
    values = {**change.model_dump(), "fault_code_id": fault_code_id, "version": version}
    if await (await call.connection.execute(SQL["change_fault_code"], values)).fetchone() is None:
        raise changed_meanwhile("fault code", version)
    return await get_fault_code(call, fault_code_id)
