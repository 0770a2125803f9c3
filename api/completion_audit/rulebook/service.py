"""Rule sets: drafted, switched on from a day, followed by another one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.completion_audit.judging import Ready, ready
from api.completion_audit.models import Rule
from api.completion_audit.rulebook.models import NewRuleSet, RuleSetChange
from api.completion_audit.rules import RULE_SET
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.completion_audit.rulebook")

_ONE = SQL["set_rows"] + "\n" + SQL["one_set"]
_LOCKED = SQL["set_rows"] + "\n" + SQL["lock_set"]
_AT = SQL["set_rows"] + "\n" + SQL["set_at"]


def rules_of(found: Mapping[str, Any]) -> list[Ready]:
    """The rules of a set's row, ready to be asked."""
    return ready([Rule.model_validate(rule) for rule in found["rules"]])


async def get_set(call: Call, rule_set_id: int) -> DictRow:
    """A rule set.

    Raises:
        Problem: 404.
    """
    found = await (await call.connection.execute(_ONE, {"rule_set_id": rule_set_id})).fetchone()
    if found is None:
        raise Problem.not_found("rule set", rule_set_id)
    return found


async def set_at(call: Call, at: datetime) -> DictRow | None:
    """The set that holds for visits completed at a time; None when none did yet."""
    return await (await call.connection.execute(_AT, {"at": at})).fetchone()


async def list_sets(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Rule sets without their rules: `state` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(SQL["list_sets"], wanted)).fetchall()


async def create_set(call: Call, body: NewRuleSet) -> DictRow:
    """Draft a rule set.

    Raises:
        Problem: 422 when there is no set to copy.
    """
    rules: Any
    if body.copy_of is not None:
        try:
            rules = (await get_set(call, body.copy_of))["rules"]
        except Problem as problem:
            raise Problem.bad_field("body.copy_of", problem.detail) from problem
    else:
        rules = [rule.model_dump(mode="json") for rule in body.rules or []]
    await call.connection.execute(SQL["lock_numbering"])
    values = {
        "name": body.name,
        "note": body.note,
        "rules": Jsonb(rules),
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await (await call.connection.execute(SQL["insert_set"], values)).fetchone()
    if made is None:
        raise LookupError("insert_set returned no row")
    return await get_set(call, made["rule_set_id"])


async def change_set(call: Call, rule_set_id: int, body: RuleSetChange, version: int) -> DictRow:
    """Change a draft.

    Raises:
        Problem: 404; 409 when it is no draft; 412 when somebody else was faster.
    """
    await _move(call, rule_set_id, "edit")
    values = {
        "rule_set_id": rule_set_id,
        "version": version,
        "name": body.name,
        "note": body.note,
        "rules": None if body.rules is None else Jsonb([rule.model_dump(mode="json") for rule in body.rules]),
    }
    if await (await call.connection.execute(SQL["change_set"], values)).fetchone() is None:
        raise changed_meanwhile("rule set", version)
    return await get_set(call, rule_set_id)


async def activate(call: Call, rule_set_id: int, active_from: datetime | None) -> DictRow:
    """Switch a draft on, from now or from a day to come; the set before it holds until then.

    Raises:
        Problem: 404; 409 when it is no draft, or another set is planned; 422 for a time in the past.
    """
    # Of two at once the second sees what the first has planned.
    await call.connection.execute(SQL["lock_numbering"])
    found, state = await _move(call, rule_set_id, "activate")
    since = active_from or call.now
    if since < call.now:
        raise Problem.bad_field("body.active_from", "is in the past; visits completed since then have been judged")
    if not found["rules"]:
        raise Problem.conflict("no-rules", f"rule set {rule_set_id} has no rule: every visit would pass; add one")
    await _begin_due(call)
    planned = await (await call.connection.execute(SQL["planned_set"])).fetchone()
    if planned is not None:
        detail = (
            f"rule set {planned['rule_set_id']} is planned from {planned['active_from']:%Y-%m-%d %H:%M} UTC already"
        )
        raise Problem.conflict(
            "another-set-planned", f"{detail}; withdraw it first", rule_set_id=planned["rule_set_id"]
        )
    held = await set_at(call, since)
    if held is not None and held["active_from"] >= since:
        raise Problem.bad_field("body.active_from", f"rule set {held['rule_set_id']} begins at that very moment")
    await _note_state(call, rule_set_id, state, since, call.principal.name)
    await _begin_due(call)
    return await get_set(call, rule_set_id)


async def withdraw(call: Call, rule_set_id: int) -> DictRow:
    """Take back a set that has not begun; it is a draft again.

    Raises:
        Problem: 404; 409 when it is not planned, or its day has come.
    """
    await _begin_due(call)
    _, state = await _move(call, rule_set_id, "withdraw")
    await _note_state(call, rule_set_id, state, None, None)
    return await get_set(call, rule_set_id)


async def discard(call: Call, rule_set_id: int) -> DictRow:
    """Give a draft up; it stays to be read.

    Raises:
        Problem: 404; 409 when it is no draft.
    """
    _, state = await _move(call, rule_set_id, "discard")
    await _note_state(call, rule_set_id, state, None, None)
    return await get_set(call, rule_set_id)


async def run_due(call: Call) -> int:
    """Begin a planned set whose day has come, and retire the one before it."""
    return await _begin_due(call)


async def _begin_due(call: Call) -> int:
    due = await (await call.connection.execute(SQL["planned_set_due"], {"now": call.now})).fetchone()
    if due is None:
        return 0
    # The tables of both say so: RULE_SET.moves["active"]["retire"], ["planned"]["begin"].
    await call.connection.execute(SQL["retire_active_set"], {"at": due["active_from"]})
    await call.connection.execute(SQL["begin_planned_set"], {"rule_set_id": due["rule_set_id"]})
    return 1


async def _move(call: Call, rule_set_id: int, action: str) -> tuple[DictRow, str]:
    """Lock a set; returns it and what the action makes of it."""
    found = await (await call.connection.execute(_LOCKED, {"rule_set_id": rule_set_id})).fetchone()
    if found is None:
        raise Problem.not_found("rule set", rule_set_id)
    return found, RULE_SET.require(rule_set_id, found["state"], action)


async def _note_state(call: Call, rule_set_id: int, state: str, since: datetime | None, by: str | None) -> None:
    values = {"rule_set_id": rule_set_id, "state": state, "active_from": since, "activated_by": by}
    await call.connection.execute(SQL["move_set"], values)
