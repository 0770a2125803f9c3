"""Fetches the facts of a report and has it computed in a thread, for the event loop has other callers."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.reports.lives import Asset, Failure, Replacement
from api.reports.rules import Facts, Inspection, Period, PreventiveTicket, Report, report_of
from careloop.database.queries import load_queries

SQL = load_queries("api.reports")


async def reliability(
    call: Call, *, model: str | None, component: str | None, since: datetime | None, until: datetime | None
) -> Report:
    """The reliability report as of the call's time or an earlier one.

    Args:
        call: Whose `now` no fact is later than.
        model: Only this product model.
        component: Only components of this name.
        since: Start of the period.
        until: End of the period.

    Raises:
        Problem: 422 for an unknown model or component, or a period that ends before it starts.
    """
    period = Period(since, min(until, call.now) if until else call.now)
    if since is not None and since >= period.until:
        raise Problem.bad_field("query.from", f"must be before the end of the period, {period.until.isoformat()}")
    wanted = {"model": model, "component": component, "until": period.until}
    if model is not None:
        await _require(call, "model_known", "query.model", f"there is no product model {model}", wanted)
    if component is not None:
        await _require(call, "component_known", "query.component", f"there is no component {component}", wanted)
    facts = await _facts(call, wanted)
    return await asyncio.to_thread(report_of, facts, period)


async def _facts(call: Call, wanted: Mapping[str, Any]) -> Facts:
    async def rows(query: str) -> list[dict[str, Any]]:
        return await (await call.connection.execute(SQL[query], wanted)).fetchall()

    return Facts(
        assets=[Asset(**row) for row in await rows("list_assets")],
        components=[(row["model"], row["component"]) for row in await rows("list_components")],
        failures=[Failure(**row) for row in await rows("list_failures")],
        replacements=[Replacement(**row) for row in await rows("list_replacements")],
        tickets=[PreventiveTicket(**row) for row in await rows("list_preventive_tickets")],
        inspections=[Inspection(**row) for row in await rows("list_inspections")],
    )


async def _require(call: Call, query: str, field: str, message: str, wanted: Mapping[str, Any]) -> None:
    if await (await call.connection.execute(SQL[query], wanted)).fetchone() is None:
        raise Problem.bad_field(field, message)
