"""Moving a repair: its state, its nodes, its ticket and what the customer hears move together, or not at all."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch.service import cancel as cancel_job
from api.dispatch.service import finish_job
from api.repairs import rules, texts
from api.repairs.repository import (
    SQL,
    get_repair,
    head_of,
    keep_nodes,
    locked,
    nodes_of,
    row,
    today_of,
    working_days,
)
from api.repairs.rules import REPAIR, TICKET_FOLLOWS, Node, Way
from api.tickets import rules as ticket_rules
from api.tickets.service import append_event, move_ticket


async def begin(call: Call, repair_id: int, action: str) -> tuple[DictRow, str]:
    """A repair, locked, and what it will be after an action.

    Raises:
        Problem: 404; 409 when the table does not have the action.
    """
    repair = await locked(call, repair_id)
    return repair, REPAIR.require(repair_id, repair["state"], action)


async def move(
    call: Call,
    repair: Mapping[str, Any],
    to: str,
    *,
    quoted: bool | None = None,
    detail: Mapping[str, Any] | None = None,
    end_reason: str | None = None,
    told: str = "",
) -> DictRow:
    """Move a repair that is locked.

    Args:
        call: Whose transaction holds the move.
        repair: As it was.
        to: Its new state.
        quoted: Whether a quote lies ahead; left out, as before.
        detail: Goes to the ticket's history.
        end_reason: Why it ends.
        told: A line of its own for the customer.

    Returns:
        The repair as it is then.
    """
    repair_id = repair["repair_id"]
    nodes = await _nodes_after(call, repair, to, quoted)
    await keep_nodes(call, repair_id, nodes)
    following = rules.next_node(nodes)
    values = {
        "repair_id": repair_id,
        "to": to,
        "next_node": following.name if following else None,
        "next_expected_on": following.expected_on if following else None,
        "end_reason": end_reason,
        "today": today_of(call, repair),
        "now": call.now,
    }
    await call.connection.execute(SQL["move_repair"], values)
    line = {"repair_id": repair_id, "from": repair["state"], "to": to, **(detail or {})}
    await append_event(call, repair["ticket_id"], "repair", line)
    await _follow_ticket(call, repair, to)
    moved = await get_repair(call, repair_id)
    topic = "repair.opened" if to == "label" else "repair.moved"
    await tell(call, moved, topic, str(moved["version"]), texts.moved_message(moved, nodes, told))
    return moved


async def tell(call: Call, repair: Mapping[str, Any], topic: str, instance: str, message: texts.Message) -> None:
    """Tell the customer of a repair; `instance` tells apart what can happen to it more than once."""
    await announce(
        call,
        topic=topic,
        cause=f"repair:{repair['repair_id']}:{topic.removeprefix('repair.')}:{instance}",
        asset_id=repair["asset_id"],
        subject=message.subject,
        body=message.body,
        payload=head_of(repair),
    )


async def replan(call: Call, repair: Mapping[str, Any], nodes: Sequence[Node]) -> DictRow:
    """Write the nodes of a repair that stays where it is."""
    await keep_nodes(call, repair["repair_id"], nodes)
    following = rules.next_node(nodes)
    values = {
        "repair_id": repair["repair_id"],
        "to": repair["state"],
        "next_node": following.name if following else None,
        "next_expected_on": following.expected_on if following else None,
        "end_reason": None,
        "today": today_of(call, repair),
        "now": call.now,
    }
    await call.connection.execute(SQL["move_repair"], values)
    return await get_repair(call, repair["repair_id"])


def require_paid(repair: Mapping[str, Any]) -> None:
    """Refuse work on a machine whose customer has not accepted to pay for it.

    Raises:
        Problem: 409 `quote-needed`.
    """
    if repair["state"] == "diagnosed" and rules.needs_quote(repair["bearer"], central=repair["central"]):
        detail = f"the customer bears costs of repair {repair['repair_id']}; quote them, and go on when it is accepted"
        raise Problem.conflict("quote-needed", detail, bearer=repair["bearer"])


async def _nodes_after(call: Call, repair: Mapping[str, Any], to: str, quoted: bool | None) -> list[Node]:
    today = today_of(call, repair)
    nodes = nodes_of(repair)
    reached = rules.NODE_OF_STATE.get(to)
    if to == "in_repair" and any(node.name == "parts" and node.done_at is None for node in nodes):
        reached = "parts"
    if reached is not None:
        nodes = rules.done(nodes, reached, call.now, today)
    before = any(node.name == "quoted" for node in nodes)
    way = Way(to, repair["mode"], before if quoted is None else quoted)
    return rules.replanned(
        nodes,
        rules.nodes_ahead(way),
        repair["business_days"],
        today,
        await working_days(call),
        not_before=_parts_come(repair),
    )


def _parts_come(repair: Mapping[str, Any]) -> dict[str, date]:
    """The day on which the last part that was ordered is there."""
    awaited = [
        datetime.fromisoformat(part["expected_at"]).date()
        for part in repair["parts"]
        if part["state"] in {"missing", "reserved"}
    ]
    return {"parts": max(awaited)} if awaited else {}


async def _follow_ticket(call: Call, repair: Mapping[str, Any], to: str) -> None:
    """Bring the ticket to where the repair is, and end its job with it."""
    ticket_id = repair["ticket_id"]
    detail = {"repair_id": repair["repair_id"]}
    outcome = ("confirmed" if repair["fault_found"] else "no_fault_found") if to == "delivered" else None
    if repair["job_id"] is not None and to == "delivered":
        # With what is left of its parts released; what was used was consumed when it was repaired.
        await finish_job(call, repair["job_id"], outcome or "confirmed", consume_parts=False)
    elif repair["job_id"] is not None and to in {"returned_unrepaired", "scrapped"}:
        await cancel_job(call, repair["job_id"], f"repair {repair['repair_id']} is {to.replace('_', ' ')}")
    wanted = next((target for state, target in TICKET_FOLLOWS.items() if state == to), None)
    ticket = await row(call, "ticket_to_repair", {"ticket_id": ticket_id})
    # Somebody may have moved the ticket by hand; the machine is in our workshop all the same.
    if wanted is not None and ticket is not None and ticket_rules.may_move(ticket["state"], wanted):
        await move_ticket(call, ticket_id, wanted, outcome=outcome if wanted == "resolved" else None, detail=detail)
