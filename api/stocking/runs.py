"""Runs: what is foreseen and what is there, put together, planned, and kept as proposals."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.stocking import forecasts
from api.stocking.marginal import Freight, Shelf, Terms, bought_per_money
from api.stocking.models import NewRun
from api.stocking.planning import Place, plan
from api.stocking.repository import SQL, row, rows
from api.stocking.rules import exceeding
from api.warehouses.rules import UNENTERED_CLASSES
from api.warehouses.service import warehouse_of_field

Way = Callable[[int, int, int], Freight | None]


async def create(call: Call, body: NewRun) -> DictRow:
    """Plan, and propose; what was proposed before for the same warehouses is superseded.

    Raises:
        Problem: 422 for an unknown forecast or warehouse, or one that is not complete; 409 when there is none.
    """
    warehouse_id = None
    if body.warehouse is not None:
        warehouse_id = (await warehouse_of_field(call, body.warehouse))["warehouse_id"]
    key = {"forecast_id": await _forecast(call, body.forecast_id), "warehouse_id": warehouse_id}
    found = await rows(call, "places_to_plan", key)
    parts = sorted({place["part_id"] for place in found})
    left_out: Counter[str] = Counter()
    terms, way = await _terms(call, parts, body.currency)
    places = _places(found, terms, left_out)
    givers = [_giver(one) for one in await rows(call, "givers", {**key, "parts": parts})]
    # Hundreds of thousands of steps would hold up every other call.
    outcome = await to_thread.run_sync(
        lambda: plan(
            places, givers, terms, way, budget_minor=body.budget_minor, service_level=body.service_level
        )
    )  # fmt: skip
    values = {
        **key,
        "service_level": body.service_level,
        "budget_minor": body.budget_minor,
        "currency": body.currency,
        "spent_minor": outcome.spent_minor,
        "wanted": outcome.wanted,
        "short_before": outcome.short_before,
        "short_after": max(outcome.short_after, 0.0),
        "curve": Jsonb([[money, round(level, 6)] for money, level in outcome.curve]),
        "left_out": Jsonb(dict(left_out)),
        "now": call.now,
        "by": call.principal.name,
    }
    made = await row(call, "insert_run", values)
    if made is None:
        raise LookupError("insert_run returned no row")
    words = {"warehouse_id": warehouse_id, "decision": f"run {made['run_id']}", "now": call.now, "by": values["by"]}
    await call.connection.execute(SQL["supersede_proposals"], words)
    async with call.connection.cursor() as cursor:
        of_run = {"run_id": made["run_id"], "currency": body.currency}
        await cursor.executemany(SQL["insert_proposal"], [{**vars(one), **of_run} for one in outcome.proposals])
    return await get(call, made["run_id"])


async def get(call: Call, run_id: int) -> dict[str, Any]:
    """One run, with its curve.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_run", {"run_id": run_id})
    if found is None:
        raise Problem.not_found("run", run_id)
    curve = [(money, level) for money, level in found["curve"]]
    spent = [point for point in curve if point[0] <= found["spent_minor"]]
    shown = [{"spent_minor": money, "service_level": level} for money, level in curve]
    return {**found, "curve": shown, "points_per_1000": bought_per_money(spent, major=100_000)}


async def _forecast(call: Call, forecast_id: int | None) -> int:
    if forecast_id is None:
        latest = await row(call, "latest_forecast", {"now": call.now})
        if latest is None:
            raise Problem.conflict("no-forecast", "nothing is foreseen yet; run `careloop parts forecast` first")
        number: int = latest["forecast_id"]
        return number
    try:
        found = await forecasts.get(call, forecast_id)
    except Problem as problem:
        raise Problem.bad_field("body.forecast_id", f"there is no forecast {forecast_id}") from problem
    if found["completed_at"] is None:
        detail = f"forecast {forecast_id} is not complete; POST /v1/stocking/forecasts/{forecast_id}/complete first"
        raise Problem.bad_field("body.forecast_id", detail)
    return forecast_id


async def _terms(call: Call, parts: list[int], currency: str) -> tuple[dict[int, Terms], Way]:
    """How each part is bought, and what moving it costs."""
    wanted = {"parts": parts, "currency": currency}
    known = {one["part_id"]: one for one in await rows(call, "parts_to_plan", wanted)}
    terms = {
        part_id: Terms(one["price_minor"], one["minimum_quantity"], one["pack_size"])
        for part_id, one in known.items()
        if one["state"] == "active" and one["price_minor"] is not None
    }
    lanes = {
        (lane["from_warehouse_id"], lane["to_warehouse_id"]): lane for lane in await rows(call, "ways_to_plan", wanted)
    }
    unentered = await row(call, "freight_unentered", wanted) or {"freight_base_minor": 0, "freight_kg_minor": 0}

    def way(part_id: int, origin: int, destination: int) -> Freight | None:
        part = known[part_id]
        lane = lanes.get((origin, destination))
        if part["shipping_class"] not in (UNENTERED_CLASSES if lane is None else lane["shipping_classes"]):
            return None
        if lane is not None and not lane["in_currency"]:
            return None
        cost = unentered if lane is None else lane
        return Freight(cost["freight_base_minor"], (2 * cost["freight_kg_minor"] * part["weight_grams"] + 1000) // 2000)

    return terms, way


def _places(found: list[DictRow], terms: dict[int, Terms], left_out: Counter[str]) -> list[Place]:
    places = []
    for one in found:
        if not one["kept_here"]:
            left_out["warehouse-not-stocked"] += 1
            continue
        if one["part_id"] not in terms:
            left_out["not-bought-in-this-currency"] += 1
        position = one["available"] + one["coming"] + one["ordered"]
        shelf = Shelf(
            one["part_id"],
            one["warehouse_id"],
            one["provider_id"],
            exceeding(one["chance"]),
            position,
            one["available"],
        )
        look_days = min(one["review_days"], one["covered_days"])
        places.append(Place(shelf, one["covered_days"], look_days, one["min_quantity"], one["max_quantity"]))
    return places


def _giver(one: DictRow) -> Shelf:
    return Shelf(
        one["part_id"], one["warehouse_id"], one["provider_id"], exceeding(one["chance"] or [1.0]), one["available"],
        one["available"], planned=False,
    )  # fmt: skip
