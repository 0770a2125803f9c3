"""Follows what demands rely on: pieces that come or are used, dates that move, promises that fail, stock coming in."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.allocation import rules
from api.allocation.applying import undo
from api.allocation.deciding import Choosing, decide, locked
from api.allocation.gathering import SQL, demands_by_id, policy_of, read_policy
from api.allocation.rules import DEMAND
from api.allocation.telling import note, tell_arrival, tell_date
from api.conventions.call import Call
from api.conventions.problems import Problem

BATCH = 200
# What one demand meets that another call holds; it is looked at again next time.
PASSING = (Problem, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)


async def run_due(call: Call) -> int:
    """Follow what has changed for demands, then look again at those that wait."""
    await call.connection.execute(SQL["one_at_a_time"])
    done = 0
    for changed in await _rows(call, "changed_demands", {"limit": BATCH}):
        done += await _safely(call, changed["part_demand_id"], changed)
    for stirred in await _rows(call, "stirred_demands", {"limit": BATCH, "now": call.now}):
        done += await _safely(call, stirred["part_demand_id"], None)
    return done


async def _safely(call: Call, number: int, changed: Mapping[str, Any] | None) -> int:
    """Follow one demand; its trouble is not the others'."""
    try:
        async with call.connection.transaction():
            demand = await locked(call, number)
            if demand["state"] not in rules.ALIVE:
                return 0
            if changed is None:
                return await _look_again(call, demand, Choosing("event", only_better=True))
            await _follow(call, demand, changed)
    except PASSING:
        return 0
    return 1


async def _look_again(call: Call, demand: DictRow, choosing: Choosing) -> int:
    """Decide anew; whether anything came of it."""
    policy = policy_of(await read_policy(call))
    after = await decide(call, demand["part_demand_id"], policy, choosing)
    return int(after["version"] != demand["version"])


async def _follow(call: Call, demand: DictRow, changed: Mapping[str, Any]) -> None:
    """Do what follows from one change; what else has changed is done next time."""
    if changed["reservation_state"] == "consumed":
        await _end(call, demand, "fulfil", None, "part_used")
        return
    over = _what_is_over(demand, changed)
    if over is not None:
        await undo(call, demand, over)
        await _end(call, demand, "cancel", f"not needed any more: {over}", "part_demand_cancelled")
    elif changed["own_reservation_id"] is not None:
        await _take_over(call, demand, changed)
    elif (
        changed["reservation_state"] == "released"
        or changed["transfer_state"] in {"cancelled", "lost"}
        or changed["promise_state"] == "withdrawn"
    ):
        await _look_again(call, demand, Choosing("event", anew=True))
    elif changed["promise_state"] == "kept" and demand["reservation_id"] is None:
        await _came(call, demand, changed["promised_reservation_id"])
    elif changed["transfer_state"] == "received":
        await _came(call, demand, None)
    elif changed["transfer_at"] is not None:
        await _move_date(call, demand, {"promised_at": changed["transfer_at"], "supplied_at": None})
    elif changed["line_at"] is not None:
        onward = demand["promised_at"] - (demand["supplied_at"] or demand["promised_at"])
        moved = {"promised_at": changed["line_at"] + onward, "supplied_at": changed["line_at"]}
        await _move_date(call, demand, moved)


def _what_is_over(demand: Mapping[str, Any], changed: Mapping[str, Any]) -> str | None:
    """Why nobody needs the part any more; None while somebody does."""
    if demand["job_id"] is not None:
        return f"the job is {changed['job_state']}" if changed["job_state"] in rules.ENDED else None
    return f"the case is {changed['ticket_state']}" if changed["ticket_state"] in rules.TICKET_OVER else None


async def _end(call: Call, demand: DictRow, action: str, reason: str | None, kind: str) -> None:
    number = demand["part_demand_id"]
    values = {"part_demand_id": number, "state": DEMAND.require(number, demand["state"], action), "reason": reason}
    await call.connection.execute(SQL["end_demand"], values)
    await note(call, demand, kind, **({"reason": reason} if reason else {}))


async def _take_over(call: Call, demand: DictRow, changed: Mapping[str, Any]) -> None:
    """The job has got the part in another way: what was to come for it is for nobody."""
    await undo(call, demand, "the job has the part")
    number = demand["part_demand_id"]
    values = {
        "part_demand_id": number,
        "reservation_id": changed["own_reservation_id"],
        "now": call.now,
        "reason": "kept for the job when it was at hand",
    }
    await call.connection.execute(SQL["take_over_reservation"], values)
    if changed["own_at"] <= call.now:
        await _came(call, demand, None)
    else:
        (demand,) = await demands_by_id(call, [number])
        await tell_date(call, demand)


async def _came(call: Call, demand: DictRow, reservation_id: int | None) -> None:
    """The pieces are there."""
    values = {"part_demand_id": demand["part_demand_id"], "reservation_id": reservation_id, "now": call.now}
    await call.connection.execute(SQL["pieces_came"], values)
    (demand,) = await demands_by_id(call, [demand["part_demand_id"]])
    await note(call, demand, "part_arrived")
    await tell_arrival(call, demand)


async def _move_date(call: Call, demand: DictRow, moved: Mapping[str, Any]) -> None:
    """A promised date has moved."""
    before = demand["promised_at"]
    await call.connection.execute(SQL["move_date"], {**moved, "part_demand_id": demand["part_demand_id"]})
    (demand,) = await demands_by_id(call, [demand["part_demand_id"]])
    if rules.is_news(before, demand["promised_at"]):
        dates = {"before": before.isoformat(), "promised_at": demand["promised_at"].isoformat()}
        await note(call, demand, "part_date_moved", **dates)
    await tell_date(call, demand)


async def _rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    return await (await call.connection.execute(SQL[query], values)).fetchall()
