"""What is done with extensions that the desk grants: within a right, within a month's budget, or by a desk lead."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.cover.models import ExtensionRightChange, NewExtension
from api.cover.rules import EXTENSION_MACHINE, Right, refusal_of
from api.cover.service import SQL
from api.tickets.service import append_event, move_ticket
from api.warranty.service import end_terms, grant_term, last_of_machine, lock_asset, today_of


async def rights(call: Call) -> list[DictRow]:
    """What each role may grant by itself."""
    return await (await call.connection.execute(SQL["list_rights"])).fetchall()


async def change_right(call: Call, role: str, change: ExtensionRightChange, version: int) -> DictRow:
    """Change a role's right that is still at the version seen.

    Raises:
        Problem: 412 when it changed meanwhile.
    """
    row = await _row(call, "change_right", {**change.model_dump(), "role": role, "version": version})
    if row is None:
        raise changed_meanwhile("extension right", version)
    return row


async def budget(call: Call) -> dict[str, Any]:
    """What the caller granted this month, and what is left."""
    right = await _right(call)
    key = {"principal": call.principal.key, "month": _month(call)}
    row = await _row(call, "get_budget", key) or {"count": 0, "spent_minor": 0}
    return {"month": key["month"], "right": right, **row, **_left(right, row)}


async def ask(call: Call, serial: str, body: NewExtension) -> DictRow:
    """Extend a machine's warranty within one's right and budget, or ask a desk lead to.

    Raises:
        Problem: 404; 409 when it has no warranty to extend, or it is not within right or budget and no lead is asked;
            422 for a case of another machine.
    """
    asset = await lock_asset(call, serial)
    if body.ticket_id is not None:
        case = {"asset_id": asset["asset_id"], "ticket_id": body.ticket_id}
        if await _row(call, "ticket_of_asset", case) is None:
            raise Problem.bad_field("body.ticket_id", f"{serial} has no ticket {body.ticket_id}")
    right = await _right(call)
    problem = await _refuse(call, asset, body.days, right) or await _spend(call, body.days, right)
    if problem is not None and not body.ask_lead:
        raise problem
    values = {
        **body.model_dump(exclude={"ask_lead"}),
        "asset_id": asset["asset_id"],
        "cost_minor": body.days * right["day_minor"],
        "currency": right["currency"],
        "now": call.now,
        "actor": call.principal.name,
    }
    row = await _row(call, "insert_extension", values)
    if row is None:
        raise LookupError("insert_extension returned no row")
    if problem is None:
        await _grant(call, asset, {**values, **row}, "within the right of its role")
    return await get_extension(call, row["extension_id"])


async def decide(call: Call, extension_id: int, action: str, reason: str) -> DictRow:
    """Grant, refuse or withdraw an extension; granting counts against the budget of whoever grants.

    Raises:
        Problem: 404; 409 when its state does not allow it, or it is not within the lead's right or budget either.
    """
    seen = await get_extension(call, extension_id)
    asset = await lock_asset(call, seen["serial"])
    extension = await _row(call, "lock_extension", {"extension_id": extension_id})
    if extension is None:
        raise Problem.not_found("warranty extension", extension_id)
    to = EXTENSION_MACHINE.require(extension_id, extension["state"], action)
    if to == "granted":
        right = await _right(call)
        problem = await _refuse(call, asset, extension["days"], right) or await _spend(call, extension["days"], right)
        if problem is not None:
            raise problem
        await _grant(call, asset, extension, reason)
        return await get_extension(call, extension_id)
    values = {"extension_id": extension_id, "state": to, "now": call.now, "actor": call.principal.name}
    span = {"starts_on": extension["starts_on"], "ends_on": extension["ends_on"]}
    await call.connection.execute(SQL["decide_extension"], {**values, **span, "decision": reason})
    if to == "withdrawn":
        await end_terms(call, asset["asset_id"], today_of(call, asset), extension_id=extension_id)
    if extension["ticket_id"] is not None:
        line = {"extension_id": extension_id, "state": to, "reason": reason}
        await append_event(call, extension["ticket_id"], "warranty_extension", line)
    return await get_extension(call, extension_id)


async def get_extension(call: Call, extension_id: int) -> DictRow:
    """One extension.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_extension", {"extension_id": extension_id})
    if row is None:
        raise Problem.not_found("warranty extension", extension_id)
    return row


async def _right(call: Call) -> DictRow:
    role = "agent" if call.principal.role == "agent" else "desk_lead"
    row = await _row(call, "get_right", {"role": role})
    if row is None:
        raise LookupError(f"there is no extension right of {role}")
    return row


async def _refuse(call: Call, asset: DictRow, days: int, right: DictRow) -> Problem | None:
    """Why the right does not allow it, budget apart.

    Raises:
        Problem: 409 when there is nothing to extend, which no right allows.
    """
    last = await last_of_machine(call, asset["asset_id"])
    if last is None:
        raise Problem.conflict("no-warranty", f"{asset['serial']} has no warranty that could be extended")
    granted = await _row(call, "granted_days", {"asset_id": asset["asset_id"]}) or {"days": 0}
    refusal = refusal_of(
        Right(**{name: right[name] for name in Right.__dataclass_fields__}),
        covered_until=last["ends_on"],
        today=today_of(call, asset),
        days=days,
        granted_days=granted["days"],
    )
    if refusal is None:
        return None
    return Problem.conflict("extension-right", refusal.text, code=refusal.code, covered_until=str(last["ends_on"]))


async def _spend(call: Call, days: int, right: DictRow) -> Problem | None:
    """Take it from this month's budget; two at once cannot take the last of it twice."""
    key = {"principal": call.principal.key, "month": _month(call)}
    cost_minor = days * right["day_minor"]
    await call.connection.execute(SQL["open_budget"], key)
    if await _row(call, "spend", {**right, **key, "cost_minor": cost_minor}) is not None:
        return None
    row = await _row(call, "get_budget", key) or {"count": 0, "spent_minor": 0}
    left = _left(right, row)
    message = (
        f"this costs {cost_minor} {right['currency']} in minor units; this month {left['minor_left']} and "
        f"{left['count_left']} extensions are left: ask a desk lead by ask_lead"
    )
    return Problem.conflict("extension-budget", message, **left, currency=right["currency"], cost_minor=cost_minor)


def _left(right: Mapping[str, Any], spent: Mapping[str, Any]) -> dict[str, int]:
    # A right may have been cut below what was spent by then.
    return {
        "count_left": max(0, right["monthly_count"] - spent["count"]),
        "minor_left": max(0, right["monthly_minor"] - spent["spent_minor"]),
    }


async def _grant(call: Call, asset: DictRow, extension: Mapping[str, Any], decision: str) -> None:
    """Let a machine's warranty go on, on the same conditions, from the day after its last one."""
    last = await last_of_machine(call, asset["asset_id"])
    if last is None:
        raise LookupError(f"{asset['serial']} has no warranty that could be extended")
    extension_id = extension["extension_id"]
    span = {
        "starts_on": last["ends_on"] + timedelta(days=1),
        "ends_on": last["ends_on"] + timedelta(days=extension["days"]),
    }
    kept = ("policy_id", "meter_metric", "meter_limit", "parts", "labour", "travel", "conditions")
    term = {**{name: last[name] for name in kept}, **span, "source": "extension", "extension_id": extension_id}
    await grant_term(call, asset["asset_id"], {**term, "name": f"extension {extension_id}"})
    values = {"extension_id": extension_id, "state": "granted", "now": call.now, "actor": call.principal.name}
    await call.connection.execute(SQL["decide_extension"], {**values, **span, "decision": decision})
    line = {"extension_id": extension_id, "days": extension["days"], "ends_on": str(span["ends_on"])}
    if extension["ticket_id"] is not None:
        await append_event(call, extension["ticket_id"], "warranty_extended", line)
    # What the case announced does not happen.
    expiry = await _row(call, "open_expiry", {"term_id": last["term_id"]})
    if expiry is not None:
        await move_ticket(call, expiry["ticket_id"], "resolved", outcome="superseded", detail=line)


def _month(call: Call) -> date:
    return call.now.date().replace(day=1)


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
