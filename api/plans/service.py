"""What is done with maintenance plans."""

from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.plans.models import CalendarTrigger, NewPlan, PlanChange
from careloop.database.queries import load_queries

SQL = load_queries("api.plans")


async def create_plan(call: Call, body: NewPlan) -> DictRow:
    """Add a plan.

    Raises:
        Problem: 409 when the name is taken; 422 for an unknown model or part, or a metric the model does not declare.
    """
    values = {**body.model_dump(exclude={"trigger", "parts"}), **_trigger(body), "now": call.now}
    known = {"model": body.model, "metric": values["meter_metric"]}
    model = await _row(call, "model_of_plan", known)
    if model is None:
        raise Problem.bad_field("body.model", f"there is no product model {body.model}; POST /v1/product-models first")
    if not model["measures"]:
        message = f"the product model {body.model} does not declare the metric {known['metric']}"
        raise Problem.bad_field("body.trigger.meter.metric", message)
    made = await _row(call, "insert_plan", {**values, "model_id": model["model_id"]})
    if made is None:
        raise Problem.conflict("name-taken", f"there is a plan {body.name!r} already")
    for index, wanted in enumerate(body.parts):
        part = await part_of_field(call, wanted.sku, f"body.parts.{index}.sku")
        line = {"plan_id": made["plan_id"], "part_id": part["part_id"], "quantity": wanted.quantity}
        await call.connection.execute(SQL["insert_plan_part"], line)
    return await get_plan(call, made["plan_id"])


def _trigger(body: NewPlan) -> dict[str, Any]:
    trigger = body.trigger
    if isinstance(trigger, CalendarTrigger):
        columns: dict[str, Any] = {"every_days": trigger.every_days, "meter_metric": None, "every_meter": None}
    else:
        columns = {"every_days": None, "meter_metric": trigger.metric, "every_meter": trigger.every}
    return {"trigger_kind": trigger.kind, **columns}


async def get_plan(call: Call, plan_id: int) -> DictRow:
    """One plan.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_plan", {"plan_id": plan_id})
    if row is None:
        raise Problem.not_found("plan", plan_id)
    return row


async def change_plan(call: Call, plan_id: int, change: PlanChange, version: int) -> DictRow:
    """Change a plan that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile.
    """
    await get_plan(call, plan_id)
    values = {**change.model_dump(), "plan_id": plan_id, "version": version}
    if await _row(call, "change_plan", values) is None:
        raise changed_meanwhile("plan", version)
    return await get_plan(call, plan_id)


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
