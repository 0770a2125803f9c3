"""What is done with the metric dictionary."""

from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dictionary.models import NewReview
from careloop.database.queries import load_queries

SQL = load_queries("api.dictionary")


async def model_metrics(call: Call, code: str) -> dict[str, Any]:
    """The dictionary of one product model.

    Raises:
        Problem: 404.
    """
    model = await _model(call, code)
    rows = await (await call.connection.execute(SQL["model_metrics"], model)).fetchall()
    return {"model": code, "items": rows}


async def review(call: Call, code: str, name: str, body: NewReview) -> dict[str, Any]:
    """Accept a learned metric into the product model's dictionary, or ignore it; a decision may be changed.

    Raises:
        Problem: 404 for a model or metric that is not there, 409 for one that the model was registered with or that a
            plan counts on, 422 for a unit that its readings are not kept in.
    """
    model = await _model(call, code)
    known = {row["name"]: row for row in (await model_metrics(call, code))["items"]}
    metric = known.get(name)
    if metric is None:
        raise Problem.not_found("metric", f"{name} of the product model {code}")
    if metric["review"] == "declared":
        detail = f"the product model {code} was registered with {name}; only learned metrics are reviewed"
        raise Problem.conflict("metric-declared", detail)
    values = {**model, "name": name}
    if body.decision == "accepted":
        await _accept(call, values, metric["unit"], body.unit)
    else:
        await _ignore(call, values)
    decided = {**values, "decision": body.decision, "decided_by": call.principal.name, "now": call.now}
    await call.connection.execute(SQL["put_review"], decided)
    after = await model_metrics(call, code)
    return next(row for row in after["items"] if row["name"] == name)


async def _accept(call: Call, values: dict[str, Any], kept_in: str, wanted: str | None) -> None:
    unit = kept_in if wanted is None else wanted
    if kept_in and unit != kept_in:
        message = f"its readings are kept in {kept_in!r}; a metric keeps the unit it was first sent in"
        raise Problem.bad_field("body.unit", message)
    declared = await _row(call, "declare_metric", {**values, "unit": unit})
    if declared is not None and declared["unit"] != unit:
        message = f"the metric {values['name']} is declared in {declared['unit']!r} already"
        raise Problem.bad_field("body.unit", message)
    await call.connection.execute(SQL["add_to_model"], values)


async def _ignore(call: Call, values: dict[str, Any]) -> None:
    plan = await _row(call, "metric_in_use", values)
    if plan is not None:
        detail = f"plan {plan['plan_id']} counts on {values['name']}; change that plan first"
        raise Problem.conflict("metric-in-use", detail)
    await call.connection.execute(SQL["take_from_model"], values)


async def _model(call: Call, code: str) -> dict[str, Any]:
    row = await _row(call, "find_model", {"code": code})
    if row is None:
        raise Problem.not_found("product model", code)
    return {"model_id": row["model_id"], "code": row["code"]}


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
