"""What the case's history and the customer are told of a demand."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.allocation import rules
from api.allocation.gathering import SQL
from api.allocation.rules import Message
from api.conventions.call import Call
from api.tickets.service import append_event


async def note(call: Call, demand: Mapping[str, Any], event: str, **more: Any) -> None:
    """Write a line into the case's history."""
    if demand["ticket_id"] is None:
        return
    detail = {"part_demand_id": demand["part_demand_id"], "sku": demand["sku"], "quantity": demand["quantity"], **more}
    await append_event(call, demand["ticket_id"], event, detail)


async def tell_answer(call: Call, demand: DictRow) -> None:
    """Tell the customer what was promised, unless the part is at hand and nobody waits for it.

    Args:
        call: Whose transaction holds it, and has noted already what the customer knows then (`rules.told_after`).
        demand: As it was decided now, by `demands_by_id`; but `told_at` is what was told before.
    """
    if demand["state"] == "refused":
        if demand["told_at"] is not None or demand["promised_at"] is not None:
            await _announce(call, demand, "part.refused", rules.refused_message)
    elif demand["promised_at"] > call.now:
        await _tell_promise(call, demand)
    elif demand["told_at"] is not None:
        await tell_arrival(call, demand)


async def tell_date(call: Call, demand: DictRow) -> None:
    """Tell the customer the promised date, or that it has moved; nothing where it differs by a few hours only."""
    if await _tell_promise(call, demand):
        values = {"part_demand_id": demand["part_demand_id"], "told_at": demand["promised_at"]}
        await call.connection.execute(SQL["tell_date"], values)


async def _tell_promise(call: Call, demand: DictRow) -> bool:
    if demand["told_at"] is None:
        await _announce(call, demand, "part.promised", rules.promised_message)
        return True
    news = rules.is_news(demand["told_at"], demand["promised_at"])
    if news:
        await _announce(call, demand, "part.date_moved", rules.moved_message)
    return news


async def tell_arrival(call: Call, demand: DictRow) -> None:
    """Tell a customer who was told a date that the part is there."""
    if demand["told_at"] is not None:
        await _announce(call, demand, "part.arrived", rules.arrived_message)


async def _announce(call: Call, demand: DictRow, topic: str, message: Any) -> None:
    told: Message = message({**demand, "what": rules.subject_of(demand)})
    number, day = demand["part_demand_id"], demand["promised_at"]
    cause = f"part_demand:{number}:{topic.removeprefix('part.')}:{demand['version']}"
    payload = {
        "part_demand_id": number,
        "ticket_id": demand["ticket_id"],
        "job_id": demand["job_id"],
        "sku": demand["sku"],
        "given_sku": demand["given_sku"],
        "quantity": demand["quantity"],
        "kind": demand["kind"],
        "promised_at": day,
        "promised_before": demand["told_at"],
        "needed_by": demand["needed_by"],
        "reason": demand["reason"],
    }
    await announce(
        call,
        topic=topic,
        cause=cause,
        asset_id=demand["asset_id"],
        subject=told.subject,
        body=told.body,
        payload=payload,
    )
