"""What is done with denials."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.assets.service import get_asset
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.denials import rules
from api.denials.models import NewDenial
from api.files.service import attach, require_file
from api.telemetry import service as telemetry
from api.telemetry.rules import Span
from api.tickets.service import append_event, require_component
from careloop.database.queries import load_queries

SQL = load_queries("api.denials")

UNITS: dict[str, rules.Unit] = {"exceeded_raw": "readings", "exceeded_hourly": "hours", "exceeded_daily": "days"}


async def deny(call: Call, serial: str, body: NewDenial) -> DictRow:
    """Refuse the warranty for a case or a machine, and freeze what the machine said of its use.

    Raises:
        Problem: 404 for an unknown asset; 409 when the case has a denial that stands; 422 for a field that names
            nothing, or a span in which the metric was not read or never beyond the threshold.
    """
    asset = await get_asset(call, serial)
    if body.component is not None:
        await require_component(call, asset, body.component)
    if body.ticket_id is not None:
        await _require_case(call, asset, body.ticket_id)
    extract = await _extract(call, serial, body)
    for index, file_id in enumerate(body.file_ids):
        await require_file(call, file_id, f"body.file_ids.{index}")
        await attach(call, file_id, ticket_id=body.ticket_id, asset_id=asset["asset_id"])
    text = rules.customer_text(serial, body.reasons, body.explanation, extract)
    evidence = {"telemetry": extract, "file_ids": body.file_ids, "sha256": _digest(extract)}
    values = {
        **body.model_dump(include={"ticket_id", "component", "reasons", "note"}),
        "asset_id": asset["asset_id"],
        "evidence": Jsonb(evidence, dumps=_dumps),
        "customer_text": text,
        "now": call.now,
        "actor": call.principal.name,
    }
    row = await _row(call, "insert_denial", values)
    if row is None:
        raise Problem.conflict("denial-stands", f"ticket {body.ticket_id} has a denial that stands; overturn it first")
    denial = await get_denial(call, row["denial_id"])
    if body.ticket_id is not None:
        line = {"denial_id": denial["denial_id"], "reasons": body.reasons}
        await append_event(call, body.ticket_id, "warranty_denied", line)
    await _announce(call, denial, "warranty.denied", f"Warranty of {serial} refused", text)
    return denial


async def _require_case(call: Call, asset: DictRow, ticket_id: int) -> None:
    key = {"asset_id": asset["asset_id"], "ticket_id": ticket_id}
    if await _row(call, "ticket_of_asset", key) is None:
        raise Problem.bad_field("body.ticket_id", f"{asset['serial']} has no ticket {ticket_id}")


async def _extract(call: Call, serial: str, body: NewDenial) -> dict[str, Any] | None:
    """What the machine said, to be frozen; None when the denial does not rest on it."""
    if body.metric is None or body.from_time is None or body.to_time is None or body.threshold is None:
        return None
    misfit = rules.misfit_of_span(body.from_time, body.to_time, call.now)
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    series = await _row(call, "series", {"serial": serial, "metric": body.metric})
    if series is None:
        raise Problem.bad_field("body.metric", f"no machine ever sent a metric {body.metric}")
    span = Span(body.from_time, body.to_time)
    # A chart's first bucket may begin before the span, which makes one more.
    chart = await telemetry.chart(call, serial, body.metric, span, rules.MOST_POINTS - 1)
    exceeded = await _exceeded(call, {**series, **asdict(span)}, chart["resolution"], body)
    if exceeded.readings == 0:
        raise Problem.bad_field("body.metric", f"{serial} sent no {body.metric} in that span")
    if exceeded.beyond == 0:
        message = f"{body.metric} was never {body.direction} it in that span; the extreme was {exceeded.extreme:g}"
        raise Problem.bad_field("body.threshold", message)
    listed = {"code": None, "until": span.to_time, "skip": 0, "fetch": rules.MOST_EVENTS + 1}
    events = await telemetry.events(call, serial, span, listed)
    return rules.extract(
        chart, exceeded, events, threshold=body.threshold, direction=body.direction, frozen_at=call.now
    )


async def _exceeded(call: Call, key: Mapping[str, Any], resolution: str, body: NewDenial) -> rules.Exceeded:
    """Counted in readings where the chart was drawn from them, else in hours, or in days where no hours are left."""
    parameters = {**key, "threshold": body.threshold, "sign": 1 if body.direction == "above" else -1}
    queries = ("exceeded_raw",) if resolution == "raw" else ("exceeded_hourly", "exceeded_daily")
    found = rules.Exceeded("readings", 0, 0, 0, None, None, None)
    for query in queries:
        # Planned for this very span: a plan for any would open every day there is.
        row = await (await call.connection.execute(SQL[query], parameters, prepare=False)).fetchone()
        if row is not None:
            found = rules.Exceeded(unit=UNITS[query], **row)
        if found.readings:
            break
    return found


async def get_denial(call: Call, denial_id: int) -> DictRow:
    """One denial; what is for the desk only is empty for others.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_denial", {"denial_id": denial_id})
    if row is None:
        raise Problem.not_found("warranty denial", denial_id)
    return _shown(call, row)


async def list_denials(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Denials that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `serial`, `ticket_id`, `state` (None: any), `after_id`, `fetch`.
    """
    rows = await (await call.connection.execute(SQL["list_denials"], wanted, prepare=False)).fetchall()
    return [_shown(call, row) for row in rows]


def _shown(call: Call, row: DictRow) -> DictRow:
    return {**row, "note": ""} if call.principal.scoped else row


async def overturn(call: Call, denial_id: int, reason: str) -> DictRow:
    """Take a denial back; its evidence stays.

    Raises:
        Problem: 404; 409 when it does not stand any more.
    """
    seen = await _row(call, "lock_denial", {"denial_id": denial_id})
    if seen is None:
        raise Problem.not_found("warranty denial", denial_id)
    to = rules.DENIAL_MACHINE.require(denial_id, seen["state"], "overturn")
    values = {"denial_id": denial_id, "state": to, "now": call.now, "actor": call.principal.name, "reason": reason}
    await call.connection.execute(SQL["overturn"], values)
    denial = await get_denial(call, denial_id)
    if denial["ticket_id"] is not None:
        line = {"denial_id": denial_id, "reason": reason}
        await append_event(call, denial["ticket_id"], "denial_overturned", line)
    subject = f"Warranty of {denial['serial']} not refused any more"
    await _announce(call, denial, "warranty.overturned", subject, rules.overturned_text(denial["serial"]))
    return denial


async def _announce(call: Call, denial: DictRow, topic: str, subject: str, body: str) -> None:
    payload = {name: denial[name] for name in ("denial_id", "serial", "ticket_id", "component", "state", "reasons")}
    await announce(
        call,
        topic=topic,
        cause=f"denial:{denial['denial_id']}:{denial['state']}",
        asset_id=denial["asset_id"],
        subject=subject,
        body=body,
        payload=payload,
    )


def _digest(extract: Mapping[str, Any] | None) -> str | None:
    """By which anybody can tell that what was frozen is as it was: SHA-256 of its JSON with sorted names."""
    if extract is None:
        return None
    return hashlib.sha256(json.dumps(extract, sort_keys=True, default=_plain).encode()).hexdigest()


def _dumps(evidence: object) -> str:
    return json.dumps(evidence, default=_plain)


def _plain(thing: object) -> str:
    return thing.isoformat() if isinstance(thing, date | datetime) else str(thing)


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
