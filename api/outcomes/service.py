"""What is done with facts about components."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import DictRow

from api.assets.service import get_asset
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch.service import finish_job
from api.outcomes.models import NewFailure, NewReplacement
from api.outcomes.rules import Fact, outcome_of
from api.recovery.service import draft_after_replacement
from api.tickets.service import append_event, move_ticket, require_component
from careloop.database.queries import load_queries

SQL = load_queries("api.outcomes")


async def record_failure(call: Call, serial: str, body: NewFailure) -> dict[str, Any]:
    """Record a failure once and judge the case that foretold it.

    The case gets its outcome and becomes urgent, but stays open with its visit and its part: somebody must still come.
    It ends with the replacement. Told again, the failure fills in what was not known (`restored_at`, `description`).

    Raises:
        Problem: 404 for an unknown asset; 422 for an unknown component or a time to come; 409 when it is known with
            another `restored_at`.
    """
    asset = await _asset_of_fact(call, serial, body.component)
    for field, time in (("failed_at", body.failed_at), ("restored_at", body.restored_at)):
        _refuse_future(call, field, time)
    values = {**body.model_dump(), "asset_id": asset["asset_id"], "now": call.now}
    await lock_facts(call)
    inserted = await _row(call, "insert_failure", values)
    if inserted is None:
        known = await _known(call, "complete_failure", values)
        if body.restored_at not in {None, known["restored_at"]}:
            raise _differs("restored_at", known["restored_at"])
        return await _answer(call, "get_failure", known["failure_id"], created=False)
    fact = Fact("failure", body.failed_at, "failure")
    line = {"failure_id": inserted["failure_id"], "failed_at": body.failed_at.isoformat()}
    judged = await _judge_cases(call, asset, body.component, fact, line)
    return await _answer(call, "get_failure", inserted["failure_id"], created=True, tickets=judged)


async def record_replacement(
    call: Call,
    serial: str,
    body: NewReplacement,
    *,
    part_booked: bool = False,
    spare_ticket_id: int | None = None,
) -> dict[str, Any]:
    """Record a replacement once and end the cases it settles; the failure it repairs is restored from then on.

    Args:
        call: Whose transaction holds it.
        serial: The asset's.
        body: What was replaced.
        part_booked: The part has left the stock already: all cases give theirs back.
        spare_ticket_id: A case that goes on all the same, because whoever replaced it says that it is not solved.

    Raises:
        Problem: 404 for an unknown asset; 422 for an unknown component or a time to come; 409 when it is known with
            another `reason`.
    """
    asset = await _asset_of_fact(call, serial, body.component)
    _refuse_future(call, "replaced_at", body.replaced_at)
    values = {**body.model_dump(), "asset_id": asset["asset_id"], "now": call.now}
    await lock_facts(call)
    inserted = await _row(call, "insert_replacement", values)
    if inserted is None:
        known = await _known(call, "find_replacement", values)
        if known["reason"] != body.reason:
            raise _differs("reason", known["reason"])
        return await _answer(call, "get_replacement", known["replacement_id"], created=False)
    fact = Fact("replacement", body.replaced_at, body.reason)
    if body.reason == "failure":
        await call.connection.execute(SQL["restore_failure"], values)
        await draft_after_replacement(call, inserted["replacement_id"])
    line = {
        "replacement_id": inserted["replacement_id"],
        "replaced_at": body.replaced_at.isoformat(),
        "reason": body.reason,
    }
    settled = [
        (case, outcome)
        for case, outcome in await _settled_cases(call, asset, body.component, fact)
        if case["ticket_id"] != spare_ticket_id
    ]
    ended = await _end_cases(call, settled, fact, line, part_used=part_booked)
    return await _answer(call, "get_replacement", inserted["replacement_id"], created=True, tickets=ended)


async def lock_facts(call: Call) -> None:
    """Come before anybody else who records facts; whoever locks cases first and records facts then does this first."""
    await call.connection.execute(SQL["lock_facts"])


async def list_facts(call: Call, query: str, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Facts that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        query: `list_failures` or `list_replacements`.
        wanted: `serial`, `component` (None: any), `after_id`, `fetch`.
    """
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL[query], wanted, prepare=False)).fetchall()


async def _asset_of_fact(call: Call, serial: str, component: str) -> DictRow:
    asset = await get_asset(call, serial)
    await require_component(call, asset, component)
    return asset


def _refuse_future(call: Call, field: str, time: datetime | None) -> None:
    if time is not None and time > call.now:
        raise Problem.bad_field(f"body.{field}", f"is after now, {call.now.isoformat()}; tell it when it has happened")


def _differs(field: str, known: object) -> Problem:
    said = known.isoformat() if isinstance(known, datetime) else known
    return Problem.conflict("fact-differs", f"the fact is known already, with {field} {said}", field=field)


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def _known(call: Call, query: str, values: Mapping[str, Any]) -> DictRow:
    row = await _row(call, query, values)
    if row is None:
        raise LookupError(f"{query} found no fact although it is there")
    return row


async def _answer(
    call: Call, query: str, fact_id: int, *, created: bool, tickets: list[int] | None = None
) -> dict[str, Any]:
    return {**await _known(call, query, {"fact_id": fact_id}), "created": created, "ticket_ids": tickets or []}


# The closing of the loop ------------------------------------------------------------------------


async def _judge_cases(call: Call, asset: DictRow, component: str, fact: Fact, line: Mapping[str, Any]) -> list[int]:
    """Give the open preventive cases of a failed component their outcome; returns their numbers."""
    judged: list[int] = []
    for case, outcome in await _settled_cases(call, asset, component, fact):
        await append_event(call, case["ticket_id"], "fact", {**line, "outcome": outcome})
        await call.connection.execute(SQL["judge_case"], {"ticket_id": case["ticket_id"], "outcome": outcome})
        judged.append(case["ticket_id"])
    return judged


async def _end_cases(
    call: Call, settled: list[tuple[DictRow, str]], fact: Fact, line: Mapping[str, Any], *, part_used: bool
) -> list[int]:
    """End the open cases that a replacement settles, with their jobs; returns their numbers."""
    ended: list[int] = []
    for case, outcome in settled:
        ticket_id = case["ticket_id"]
        await append_event(call, ticket_id, "fact", line)
        job = await _row(call, "open_job", {"ticket_id": ticket_id})
        if job is None:
            await move_ticket(call, ticket_id, "resolved", outcome=outcome)
        else:
            # One part went in: the first case that foretold it has used its part, all others give theirs back.
            uses_part = not part_used and fact.at >= case["opened_at"]
            await finish_job(call, job["job_id"], outcome, consume_parts=uses_part)
            part_used = part_used or uses_part
        ended.append(ticket_id)
    return ended


async def _settled_cases(call: Call, asset: DictRow, component: str, fact: Fact) -> list[tuple[DictRow, str]]:
    """The open cases of a component about which a fact says something, locked, each with its outcome."""
    key = {"asset_id": asset["asset_id"], "component": component}
    model = await _known(call, "horizon_of_asset", key)
    horizon = timedelta(hours=model["horizon_hours"])
    # All tickets are locked before any job and part, as the dispatch does, so that nobody waits in a circle.
    cases = await (await call.connection.execute(SQL["lock_open_cases"], key)).fetchall()
    settled: list[tuple[DictRow, str]] = []
    for case in cases:
        outcome = outcome_of(fact, case["kind"], case["opened_at"], horizon)
        if outcome is not None:
            # What a failure has said of a case, its repair does not unsay.
            settled.append((case, case["outcome"] or outcome))
    return settled
