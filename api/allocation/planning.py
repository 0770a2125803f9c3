"""What the plan of all demands is made from, and what is done with it (careloop/allocation/exchange.py)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from api.allocation import rules
from api.allocation.applying import undo, why_fixed
from api.allocation.deciding import Choosing, decide, locked
from api.allocation.facts import Policy, Stock
from api.allocation.gathering import SQL, Asked, ask, demands_by_id, policy_of, read_policy
from api.allocation.models import ChoiceGiven, PlanGiven
from api.allocation.options import Priced
from api.allocation.risk import marginal_minor
from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.allocation.model import OptionKind, ShelfKey

# Options of one demand in a snapshot: a plan that needs the twentieth best of them is no plan.
MOST_OPTIONS = 16
REFUSED = (Problem, psycopg.errors.DeadlockDetected)


async def snapshot(call: Call, most: int) -> dict[str, Any]:
    """Demands that can be planned anew, with their options and what there is for them.

    Args:
        call: Whose transaction reads.
        most: No more demands than these; the most urgent.
    """
    row = await read_policy(call)
    policy = policy_of(row)
    found = await (await call.connection.execute(SQL["plannable_demands"], {"limit": most})).fetchall()
    by_number = {demand["part_demand_id"]: demand for demand in await demands_by_id(call, [*map(_number, found)])}
    demands = [by_number[_number(one)] for one in found]
    asked = await ask(call, demands, policy) if demands else []
    lanes = await call.connection.execute(SQL["open_lanes"], {"part_demand_ids": [*map(_number, demands)]})
    offered = [(one, _offered(one.options)) for one in asked]
    return {
        "as_of": call.now,
        "currency": policy.currency,
        "demands": [_demand(one, options, policy) for one, options in offered],
        "shelves": _shelves(offered, policy),
        "open_lanes": await lanes.fetchall(),
    }


def _number(demand: Mapping[str, Any]) -> int:
    number: int = demand["part_demand_id"]
    return number


def _offered(options: Sequence[Priced]) -> list[Priced]:
    """The cheapest, and what can be ordered, which takes from nobody."""
    rest = [priced for priced in options[MOST_OPTIONS:] if priced.option.kind is OptionKind.PURCHASE]
    return [*options[:MOST_OPTIONS], *rest]


# Written straight from the dataclasses of the model: turning tens of thousands into dictionaries first takes seconds.
def _demand(asked: Asked, options: Sequence[Priced], policy: Policy) -> dict[str, Any]:
    need = asked.need
    return {
        "demand_id": asked.demand["part_demand_id"],
        "needed_by": need.needed_by,
        "options": [priced.option for priced in options],
        "refusal_minor": policy.refusal_minor(need.priority),
        "priority": rules.PLACE_OF_PRIORITY[need.priority],
    }


def _shelves(offered: Sequence[tuple[Asked, Sequence[Priced]]], policy: Policy) -> list[dict[str, Any]]:
    """Every shelf that an option takes from, with what each piece of it risks."""
    wanted: dict[ShelfKey, int] = defaultdict(int)
    stocks: dict[ShelfKey, Stock] = {}
    for asked, options in offered:
        for stock in asked.facts.stocks:
            stocks[ShelfKey(stock.spot.warehouse_id, stock.part.part_id)] = stock
        for priced in options:
            for take in priced.option.takes:
                wanted[take.shelf] += take.pieces
    return [
        {
            "key": key,
            "available": stocks[key].available,
            "risk_minor": marginal_minor(
                stocks[key].mean,
                stocks[key].available,
                min(stocks[key].available, pieces),
                policy.shortage_minor,
            ),
        }
        for key, pieces in sorted(wanted.items())
    ]


async def apply_plan(call: Call, plan: PlanGiven) -> dict[str, Any]:
    """Take over the choices of a plan, each judged by what is now.

    A choice may need what another one gives free: those that fail are tried again as long as others succeed, at last
    all together, because they may wait for one another in a circle.

    Returns:
        How many were `applied`, `kept` as they were and `refused`, and the result of each.
    """
    await call.connection.execute(SQL["one_at_a_time"])
    policy = policy_of(await read_policy(call))
    results: dict[int, tuple[str, str]] = {}
    waiting: Sequence[ChoiceGiven] = plan.choices
    while waiting:
        failed = []
        for choice in waiting:
            results[choice.demand_id] = await _try(call, choice, policy)
            if results[choice.demand_id][0] == "refused":
                failed.append(choice)
        if len(failed) == len(waiting):
            results |= await _try_together(call, failed, policy)
            break
        waiting = failed
    counts = {name: sum(result == name for result, _ in results.values()) for name in ("applied", "kept", "refused")}
    return {
        **counts,
        "results": [
            {"demand_id": number, "result": result, "detail": detail} for number, (result, detail) in results.items()
        ],
    }


async def _try(call: Call, choice: ChoiceGiven, policy: Policy) -> tuple[str, str]:
    """Take over one choice, or say why not."""
    try:
        async with call.connection.transaction():
            demand = await locked(call, choice.demand_id)
            why = why_fixed(demand)
            if why is not None:
                raise Problem.conflict("demand-fixed", why)
            after = await decide(call, choice.demand_id, policy, _choosing(choice))
    except REFUSED as problem:
        return "refused", problem.detail if isinstance(problem, Problem) else "others were at it at the same moment"
    return ("applied" if after["version"] != demand["version"] else "kept"), after["reason"]


async def _try_together(call: Call, choices: Sequence[ChoiceGiven], policy: Policy) -> dict[int, tuple[str, str]]:
    """Take over choices that wait for one another's pieces, all or none: what each has is given free first."""
    movable = [choice for choice in choices if choice.kind is not None]
    if len(movable) < 2:
        return {}
    results = {}
    try:
        async with call.connection.transaction():
            for choice in movable:
                demand = await locked(call, choice.demand_id)
                why = why_fixed(demand)
                if why is not None:
                    raise Problem.conflict("demand-fixed", why)
                await undo(call, demand, choice.reason)
            for choice in movable:
                after = await decide(call, choice.demand_id, policy, replace(_choosing(choice), anew=True))
                results[choice.demand_id] = ("applied", after["reason"])
    except REFUSED:
        return {}
    return results


def _choosing(choice: ChoiceGiven) -> Choosing:
    if choice.kind is None or choice.part_id is None or choice.warehouse_id is None:
        return Choosing("plan", refuse=True, reason=choice.reason)
    return Choosing("plan", option=(choice.kind, choice.part_id, choice.warehouse_id), reason=choice.reason)
