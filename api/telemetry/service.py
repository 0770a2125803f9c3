"""Reads what machines said."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.telemetry import rules
from careloop.database.queries import load_queries

SQL = load_queries("api.telemetry")

CHARTS: dict[rules.Resolution, LiteralString] = {
    "raw": SQL["chart_raw"],
    "hourly": SQL["chart_hourly"],
    "daily": SQL["chart_daily"],
}
COUNTS: dict[rules.Resolution, LiteralString] = {"hourly": SQL["count_hourly"], "daily": SQL["count_daily"]}
# Readings that come later than this are shown when ingest's maintenance has rolled up their hour, seconds later.
LIVE = timedelta(days=2)


async def chart(call: Call, serial: str, metric: str, span: rules.Span, points: int) -> dict[str, Any]:
    """A metric of an asset in at most about `points` buckets.

    Drawn from the finest rollup, or raw readings, that the number of points calls for; from a coarser one where
    retention took the finer, or where there are too many readings to look at.

    Raises:
        Problem: 404 for an unknown asset; 422 for a metric that nobody ever sent.
    """
    series = await (await call.connection.execute(SQL["find_series"], {"serial": serial, "metric": metric})).fetchone()
    if series is None:
        raise Problem.not_found("asset", serial)
    if series["metric_id"] is None:
        raise Problem.bad_field("query.metric", f"no machine ever sent a metric {metric}")
    key = {"asset_id": series["asset_id"], "metric_id": series["metric_id"]}
    buckets, rows = await _finest(call, key, span, points)
    return {
        "serial": serial,
        "metric": series["metric"],
        "unit": series["unit"],
        "from_time": span.from_time,
        "to_time": span.to_time,
        "resolution": buckets.resolution,
        "bucket_seconds": buckets.width.total_seconds(),
        "points": rows,
    }


async def _finest(
    call: Call, key: Mapping[str, int], span: rules.Span, points: int
) -> tuple[rules.Buckets, Sequence[DictRow]]:
    wanted = rules.finest_resolution(span, points)
    candidates = rules.RESOLUTIONS[rules.RESOLUTIONS.index(wanted) :]
    for resolution, coarser in zip(candidates, [*candidates[1:], None], strict=True):
        rolled_up = await _count(call, key, span, coarser) if coarser else 0
        if resolution == "raw" and rolled_up > rules.MOST_RAW_READINGS:
            continue
        buckets = rules.divide(span, points, resolution)
        times = {**asdict(span), "origin": buckets.origin, "width": buckets.width}
        rows = await (await _planned(call, CHARTS[resolution], {**key, **times})).fetchall()
        if sum(row["readings"] for row in rows) >= rolled_up:
            break
    return buckets, rows


async def _count(call: Call, key: Mapping[str, int], span: rules.Span, resolution: rules.Resolution) -> int:
    """Readings that a rollup knows of in the whole hours or days of a span."""
    whole = rules.whole(span, resolution)
    if whole is None:
        return 0
    row = await (await _planned(call, COUNTS[resolution], {**key, **asdict(whole)})).fetchone()
    return int(row["readings"]) if row else 0


async def _planned(call: Call, statement: LiteralString, parameters: Mapping[str, Any]) -> AsyncCursor[DictRow]:
    """Execute a statement with a plan made for these very times: a plan for any would open every day there is."""
    return await call.connection.execute(statement, parameters, prepare=False)


async def events(call: Call, serial: str, span: rules.Span, listed: Mapping[str, Any]) -> Sequence[DictRow]:
    """Events of an asset, newest first.

    Args:
        call: The call.
        serial: The asset's.
        span: When they happened.
        listed: `code` of those wanted, or None for all; `until`, the instant to start from; `skip`, how many of that
            instant to leave out; `fetch`, how many to get.

    Raises:
        Problem: 404 for an unknown asset.
    """
    asset = await (await call.connection.execute(SQL["find_asset"], {"serial": serial})).fetchone()
    if asset is None:
        raise Problem.not_found("asset", serial)
    parameters = {"asset_id": asset["asset_id"], **asdict(span), **listed}
    return await (await call.connection.execute(SQL["list_events"], parameters)).fetchall()


async def latest(call: Call, page: Mapping[str, int], model: str | None) -> list[dict[str, Any]]:
    """A page of active assets with the last reading of each of their metrics and whether they are online."""
    assets = await (await call.connection.execute(SQL["list_fleet"], {**page, "model": model})).fetchall()
    ids = {"assets": [asset["asset_id"] for asset in assets]}
    # In this order: what the rollup job takes out of the queue meanwhile is in telemetry.latest by then.
    row = await (await call.connection.execute(SQL["known_since"])).fetchone()
    readings = await (await call.connection.execute(SQL["list_latest"], ids)).fetchall()
    if row and row["since"] is not None:
        # By whole days, which is how readings are stored.
        since = rules.floor_to(max(row["since"], call.now - LIVE), timedelta(days=1))
        readings += await (await _planned(call, SQL["list_live"], {**ids, "since": since})).fetchall()
    metrics = {row["metric_id"]: row for row in await (await call.connection.execute(SQL["list_metrics"])).fetchall()}
    newest: dict[int, dict[str, DictRow]] = {asset["asset_id"]: {} for asset in assets}
    for reading in readings:
        metric = metrics[reading["metric_id"]]
        known = newest[reading["asset_id"]].get(metric["name"])
        if known is None or known["time"] <= reading["time"]:
            newest[reading["asset_id"]][metric["name"]] = {
                "metric": metric["name"], "unit": metric["unit"], "time": reading["time"], "value": reading["value"],
            }  # fmt: skip
    return [{**asset, "latest": [of for _, of in sorted(newest[asset["asset_id"]].items())]} for asset in assets]
