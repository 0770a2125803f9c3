"""What is done with alerts and their targets; delivery stands in delivery.py."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.models import AlertTargetChange, NewAlertTarget
from api.alerts.rules import new_secret, webhook_fault
from api.alerts.sending import apprise_target, shown
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.alerts")


async def announce(
    call: Call,
    *,
    topic: str,
    cause: str,
    asset_id: int | None,
    subject: str,
    body: str,
    payload: Mapping[str, Any],
) -> None:
    """Put an alert into the outbox for every active target of its topic, in the call's transaction.

    Args:
        call: Whose transaction also holds what the alert tells of.
        topic: What kind of thing happened, e.g. `ticket.opened`.
        cause: The one thing that happened, e.g. `ticket:12:opened`; a target hears of each cause once, ever.
        asset_id: The asset concerned, if any.
        subject: One line for people.
        body: Text for people.
        payload: JSON for machines; what `json` cannot write (times, decimals) is written as text.
    """
    values = {
        "topic": topic,
        "cause": cause,
        "asset_id": asset_id,
        "subject": subject,
        "body": body,
        "payload": as_payload(payload),
        "now": call.now,
    }
    async with call.unscoped():
        # To whom it goes is nobody's business who sees a part only.
        await call.connection.execute(SQL["insert_alerts"], values)


def as_payload(payload: Mapping[str, Any]) -> Jsonb:
    """An alert's JSON for machines, for a statement that calls `service.announce`."""
    return Jsonb(payload, dumps=_dumps)


async def create_target(call: Call, body: NewAlertTarget) -> DictRow:
    """Add a target.

    Returns:
        Its row, with the new `secret` of a webhook, which is never shown again.

    Raises:
        Problem: 409 when the name is taken; 422 for a URL that cannot be delivered to.
    """
    fault = webhook_fault(body.url) if body.kind == "webhook" else apprise_fault(body.url)
    if fault:
        raise Problem.bad_field("body.url", fault)
    secret = new_secret() if body.kind == "webhook" else None
    values = {**body.model_dump(), "secret": secret, "now": call.now}
    row = await (await call.connection.execute(SQL["insert_target"], values)).fetchone()
    if row is None:
        raise Problem.conflict("name-taken", f"there is an alert target {body.name} already")
    return {**_masked(row), "secret": secret}


async def list_targets(call: Call, parameters: Mapping[str, int]) -> list[DictRow]:
    """Targets with masked URLs."""
    rows = await (await call.connection.execute(SQL["list_targets"], parameters)).fetchall()
    return [_masked(row) for row in rows]


async def get_target(call: Call, target_id: int) -> DictRow:
    """One target with its URL masked.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_target"], {"target_id": target_id})).fetchone()
    if row is None:
        raise Problem.not_found("alert target", target_id)
    return _masked(row)


async def change_target(call: Call, target_id: int, change: AlertTargetChange, version: int) -> DictRow:
    """Change a target that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile.
    """
    await get_target(call, target_id)
    values = {**change.model_dump(), "target_id": target_id, "version": version}
    row = await (await call.connection.execute(SQL["change_target"], values)).fetchone()
    if row is None:
        raise changed_meanwhile("alert target", version)
    return _masked(row)


async def get_alert(call: Call, alert_id: int) -> DictRow:
    """One alert.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_alert"], {"alert_id": alert_id})).fetchone()
    if row is None:
        raise Problem.not_found("alert", alert_id)
    return row


async def resend(call: Call, alert_id: int) -> DictRow:
    """Make a dead or unconfirmed alert pending again, with all its attempts.

    Raises:
        Problem: 404, 409 in another state.
    """
    alert = await get_alert(call, alert_id)
    if await (await call.connection.execute(SQL["resend_alert"], {"alert_id": alert_id})).fetchone() is None:
        raise Problem.conflict(
            "alert-not-stuck", f"alert {alert_id} is {alert['state']}; only a dead or unconfirmed one is sent again"
        )
    return await get_alert(call, alert_id)


def apprise_fault(url: str) -> str | None:
    """What is wrong with an Apprise URL, if anything."""
    if url.startswith("careloop-file:") and not url.startswith("careloop-file:///"):
        return "must hold an absolute path, e.g. careloop-file:///var/log/careloop/alerts.jsonl"
    if apprise_target(url) is None:
        return "is no URL that Apprise understands, e.g. mailto://user:password@example.com or careloop-log://"
    return None


def _masked(row: DictRow) -> DictRow:
    return {**row, "url": shown(row["kind"], row["url"])}


def _dumps(payload: object) -> str:
    return json.dumps(payload, default=_plain)


def _plain(thing: object) -> str:
    return thing.isoformat() if isinstance(thing, date | datetime) else str(thing)
