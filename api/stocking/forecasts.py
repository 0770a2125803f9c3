"""Forecasts: taken line by line, closed, and compared with what was used."""

from datetime import timedelta
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.stocking.models import NewForecast, NewLine, NewLines
from api.stocking.repository import SQL, row
from api.stocking.rules import enough

SCORED_AT_ONCE = 500


async def create(call: Call, body: NewForecast) -> DictRow:
    """Begin a forecast.

    Raises:
        Problem: 422 when it is of the future.
    """
    as_of = body.as_of or call.now
    if as_of > call.now:
        raise Problem.bad_field("body.as_of", "must not be later than now")
    values = {**body.model_dump(), "as_of": as_of, "now": call.now, "by": call.principal.name}
    made = await (await call.connection.execute(SQL["insert_forecast"], values)).fetchone()
    if made is None:
        raise LookupError("insert_forecast returned no row")
    return await get(call, made["forecast_id"])


async def get(call: Call, forecast_id: int) -> DictRow:
    """One forecast.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_forecast", {"forecast_id": forecast_id})
    if found is None:
        raise Problem.not_found("forecast", forecast_id)
    return found


async def add_lines(call: Call, forecast_id: int, body: NewLines) -> dict[str, int]:
    """Take lines.

    Raises:
        Problem: 404; 409 when the forecast is complete; 422 naming an unknown part or warehouse.
    """
    forecast = await _open(call, forecast_id)
    parts = await _numbers(call, "numbers_of_parts", "skus", [line.sku for line in body.lines])
    warehouses = await _numbers(call, "numbers_of_warehouses", "codes", [line.warehouse for line in body.lines])
    rows = []
    for place, line in enumerate(body.lines):
        for field, known, name in (("sku", parts, line.sku), ("warehouse", warehouses, line.warehouse)):
            if name not in known:
                what = "part" if field == "sku" else field
                raise Problem.bad_field(f"body.lines.{place}.{field}", f"there is no {what} {name}")
        rows.append(
            {
                **_measures(line),
                "forecast_id": forecast_id,
                "part_id": parts[line.sku],
                "warehouse_id": warehouses[line.warehouse],
                "ends_at": forecast["as_of"] + timedelta(days=line.covered_days),
            }
        )
    async with call.connection.cursor() as cursor:
        await cursor.executemany(SQL["insert_line"], rows)
        taken = cursor.rowcount
    return {"taken": taken, "there_already": len(rows) - taken}


def _measures(line: NewLine) -> dict[str, Any]:
    levels = {f"enough_{percent}": enough(line.chance, percent / 100) for percent in (50, 90, 95)}
    mean = sum(pieces * chance for pieces, chance in enumerate(line.chance))
    names = ("covered_days", "chance", "from_history", "from_predictions", "from_plans")
    return {**levels, "mean": mean, **{name: getattr(line, name) for name in names}}


async def _numbers(call: Call, query: str, parameter: str, names: list[str]) -> dict[str, int]:
    rows = await (await call.connection.execute(SQL[query], {parameter: sorted(set(names))})).fetchall()
    return dict(tuple(found.values()) for found in rows)


async def complete(call: Call, forecast_id: int) -> DictRow:
    """All lines are there: from now on it is planned by.

    Raises:
        Problem: 404; 409 when it is complete already.
    """
    await _open(call, forecast_id)
    await call.connection.execute(SQL["complete_forecast"], {"forecast_id": forecast_id, "now": call.now})
    return await get(call, forecast_id)


async def _open(call: Call, forecast_id: int) -> DictRow:
    found = await row(call, "lock_forecast", {"forecast_id": forecast_id})
    if found is None:
        raise Problem.not_found("forecast", forecast_id)
    if found["completed_at"] is not None:
        detail = f"forecast {forecast_id} is complete; begin another by POST /v1/stocking/forecasts"
        raise Problem.conflict("forecast-complete", detail)
    return found


async def run_due(call: Call) -> int:
    """Compare lines whose time has passed with what was used."""
    scored = await call.connection.execute(SQL["score_lines"], {"now": call.now, "batch": SCORED_AT_ONCE})
    if scored.rowcount < SCORED_AT_ONCE:
        await call.connection.execute(SQL["score_forecasts"], {"now": call.now})
    return scored.rowcount
