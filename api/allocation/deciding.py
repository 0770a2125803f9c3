"""Decides for one demand: options, the choice, what is done for it, what is recorded and told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic_core import to_json

from api.allocation import rules
from api.allocation.applying import Applied, apply, is_passing, relied_upon, undo
from api.allocation.facts import Policy
from api.allocation.gathering import SQL, Asked, ask, demands_by_id
from api.allocation.options import Priced, Unfit
from api.allocation.rules import DEMAND, MadeBy
from api.allocation.telling import note, tell_answer
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.transfers.service import tell_case

# Each further try takes somebody who was quicker at another shelf; beyond it something else is wrong.
TRIES = 100
# Places named in a refusal; the record has all of them.
MOST_NAMED = 4


@dataclass(frozen=True)
class Choosing:
    """Which option is wanted, and by whom.

    Attributes:
        made_by: For the record.
        option: Kind, part and warehouse; None for the cheapest.
        refuse: None of them.
        reason: Why, instead of the option's own words.
        only_better: Keep what there is unless the best is cheaper and sooner.
        anew: Nothing is kept: what there is has failed.
    """

    made_by: MadeBy
    option: tuple[str, int, int] | None = None
    refuse: bool = False
    reason: str = ""
    only_better: bool = False
    anew: bool = False


async def locked(call: Call, part_demand_id: int) -> DictRow:
    """A demand, locked together with its job.

    Raises:
        Problem: 404; 409 when it became another job's this moment.
    """
    found = await _row(call, "job_of_demand", {"part_demand_id": part_demand_id})
    if found is None:
        raise Problem.not_found("part demand", part_demand_id)
    if found["job_id"] is not None:
        await _row(call, "lock_job", found)
    row = await _row(call, "lock_demand", {"part_demand_id": part_demand_id})
    if row is None or row["job_id"] != found["job_id"]:
        raise Problem.conflict("demand-moved", f"demand {part_demand_id} became another job's this moment; try again")
    (demand,) = await demands_by_id(call, [part_demand_id])
    return demand


async def decide(call: Call, part_demand_id: int, policy: Policy, choosing: Choosing) -> DictRow:
    """Choose for a demand and do it, again and again until nobody was quicker.

    Args:
        call: Whose transaction holds it.
        part_demand_id: Locked with its job.
        policy: What counts how much.
        choosing: Which option is wanted.

    Returns:
        The demand as it is then; where something was decided, with the `decision`.

    Raises:
        Problem: 409 `choice-stale` when the option that is wanted is none any more.
    """
    failed: dict[_Name, Unfit] = {}
    for _ in range(TRIES):
        (demand,) = await demands_by_id(call, [part_demand_id])
        (asked,) = await ask(call, [demand], policy)
        place = _choose(asked, policy, choosing, failed)
        if demand["state"] == "allocated" and not choosing.anew:
            if place is not None and place == asked.current():
                return await _keep(call, asked, place, choosing)
            if choosing.only_better and not _is_better(asked, place, policy):
                return await _touch(call, demand, demand["promised_at"])
        elif demand["state"] == "refused" and place is None:
            return await _touch(call, demand, asked.earliest)
        undone = False
        try:
            async with call.connection.transaction():
                await undo(call, demand, choosing.reason or "another way is better")
                undone = True
                applied = None if place is None else await apply(call, asked, asked.options[place])
        except Problem as problem:
            if not undone or place is None:
                raise
            if choosing.option is not None:
                raise Problem.conflict("choice-stale", problem.detail) from problem
            if not is_passing(problem):
                priced = asked.options[place]
                failed[_name(priced)] = Unfit(priced.warehouse, priced.sku, problem.detail)
            continue
        asked.unfit.extend(failed.values())
        return await _record(call, asked, place, applied, choosing)
    raise Problem.conflict("demand-contended", f"demand {part_demand_id}: others were quicker {TRIES} times; try again")


_Name = tuple[str, int, int]


def _name(priced: Priced) -> _Name:
    return priced.option.kind.value, priced.option.part_id, priced.option.warehouse_id


def _choose(asked: Asked, policy: Policy, choosing: Choosing, failed: Mapping[_Name, Unfit]) -> int | None:
    """The place of the option to take; None to refuse.

    Raises:
        Problem: 409 `choice-stale` when the option that is wanted is none.
    """
    if choosing.refuse:
        return None
    if choosing.option is not None:
        place = asked.place_of(*choosing.option)
        if place is None:
            raise Problem.conflict("choice-stale", _why_stale(asked, choosing.option))
        return place
    most_minor = policy.refusal_minor(asked.need.priority)
    for place, priced in enumerate(asked.options):
        if _name(priced) not in failed:
            # They are in order: when this one costs more than doing without, all others do.
            return place if priced.total_minor <= most_minor else None
    return None


def _why_stale(asked: Asked, wanted: _Name) -> str:
    """Why an option is none any more, by what is said of other places."""
    kind, _, warehouse_id = wanted
    codes = {stock.spot.code for stock in asked.facts.stocks if stock.spot.warehouse_id == warehouse_id}
    words = [f"{unfit.warehouse}: {unfit.reason}" for unfit in asked.unfit if unfit.warehouse in codes]
    return f"{kind.replace('_', ' ')} is not possible any more ({'; '.join(words) or 'its stock is gone'})"


def _is_better(asked: Asked, place: int | None, policy: Policy) -> bool:
    """Whether an option is worth changing a promise for: sooner by more than can be overlooked, and cheaper."""
    if place is None:
        return False
    best, promised_at = asked.options[place], asked.demand["promised_at"]
    late_minor = policy.lateness_minor(asked.need.priority, asked.need.needed_by, promised_at)
    return best.option.available_at + rules.NEWS <= promised_at and best.total_minor <= late_minor


async def _keep(call: Call, asked: Asked, place: int, choosing: Choosing) -> DictRow:
    """What there is is the best; recorded only where nothing was decided yet."""
    demand = asked.demand
    if demand["total_minor"] is not None:
        return await _touch(call, demand, demand["promised_at"])
    kept = Applied(
        demand["promised_at"],
        demand["reservation_id"],
        demand["transfer_id"],
        demand["purchase_line_id"],
        demand["supplied_at"],
    )
    return await _record(call, asked, place, kept, choosing)


async def _touch(call: Call, demand: DictRow, promised_at: datetime | None) -> DictRow:
    """Note that a demand was looked at again, and that nothing follows."""
    values = {
        "part_demand_id": demand["part_demand_id"],
        "part_id": demand["part_id"],
        "promised_at": promised_at,
        "next_try_at": call.now + rules.TRY_AGAIN,
    }
    await call.connection.execute(SQL["touch_demand"], values)
    return {**demand, "promised_at": promised_at}


async def _record(call: Call, asked: Asked, place: int | None, applied: Applied | None, choosing: Choosing) -> DictRow:
    """Write down what was decided and everything it was chosen from; tell the case and the customer."""
    number = asked.demand["part_demand_id"]
    priced = None if place is None else asked.options[place]
    promised_at = applied.promised_at if applied is not None else asked.earliest
    reason = choosing.reason or (priced.option.reason if priced is not None else _refusal(asked))
    at_hand = priced is not None and priced.option.lane is None and promised_at is not None and promised_at <= call.now
    decision = {
        "at": call.now,
        "actor": call.principal.name,
        "made_by": choosing.made_by,
        "chosen": place,
        "reason": reason,
        "promised_at": promised_at,
        "options": [option_shown(one) for one in asked.options],
        "refusals": [asdict(one) for one in asked.unfit],
    }
    values = {
        **relied_upon(applied),
        **decision,
        "part_demand_id": number,
        "part_id": asked.demand["part_id"],
        "state": DEMAND.require(number, asked.demand["state"], "refuse" if priced is None else "allocate"),
        "kind": priced and priced.option.kind.value,
        "given_part_id": priced and priced.option.part_id,
        "warehouse_id": priced and priced.option.warehouse_id,
        "total_minor": None if priced is None else priced.total_minor,
        "arrived_at": call.now if at_hand else None,
        "next_try_at": call.now + rules.TRY_AGAIN,
        "options": Jsonb(decision["options"], dumps=to_json),
        "refusals": Jsonb(decision["refusals"], dumps=to_json),
        "now": call.now,
    }
    told_at = asked.demand["told_at"]
    values["told_at"] = rules.told_after(values["state"], promised_at, told_at, call.now)
    async with call.connection.pipeline():
        await call.connection.execute(SQL["decide_demand"], values)
        (demand,) = await demands_by_id(call, [number])
    kind = "part_refused" if priced is None else "part_allocated"
    more = {"kind": demand["kind"], "given_sku": demand["given_sku"], "warehouse": demand["warehouse"]}
    day = promised_at.isoformat() if promised_at is not None else None
    async with call.connection.pipeline():
        if applied is not None and applied.transfer is not None:
            await tell_case(call, applied.transfer)
        await note(call, demand, kind, **more, promised_at=day, reason=reason)
        await tell_answer(call, {**demand, "told_at": told_at})
    return {**demand, "decision": decision}


def option_shown(priced: Priced) -> dict[str, Any]:
    """An option as it is recorded and answered; see models.OptionShown."""
    option = priced.option
    return {
        "kind": option.kind.value,
        "sku": priced.sku,
        "warehouse": priced.warehouse,
        "to_warehouse": priced.to_warehouse,
        "quantity": option.quantity,
        "available_at": option.available_at,
        "freight_minor": priced.freight_minor,
        "lateness_minor": option.lateness_minor,
        "risk_minor": priced.risk_minor,
        "age_credit_minor": option.age_credit_minor,
        "extra_minor": option.extra_minor,
        "total_minor": priced.total_minor,
        "reason": option.reason,
    }


def _refusal(asked: Asked) -> str:
    """Why there is no way, in words for a dispatcher."""
    need = asked.need
    places = [f"{unfit.warehouse}: {unfit.reason}" for unfit in asked.unfit[:MOST_NAMED]]
    if len(asked.unfit) > MOST_NAMED:
        places.append(f"{len(asked.unfit) - MOST_NAMED} more")
    if asked.options:
        said = f"every way to get {need.quantity} of {need.part.sku} costs more than doing without"
    elif need.strict and asked.earliest is not None:
        said = f"{need.quantity} of {need.part.sku} cannot be there by {rules.day_of(need.needed_by)}"
    else:
        said = f"no warehouse has {need.quantity} of {need.part.sku}, and it can be ordered nowhere"
    if asked.earliest is not None:
        said += f"; at the earliest on {rules.day_of(asked.earliest)}"
    return f"{said} ({'; '.join(places)})" if places else said


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
