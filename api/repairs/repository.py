"""Reads repairs and writes their nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.repairs import rules
from api.repairs.models import RepairHead
from api.repairs.rules import NODES, IsWorking, Node
from api.sla.service import current_book
from careloop.database.queries import load_queries

SQL = load_queries("api.repairs")


@dataclass(frozen=True)
class Standard:
    """How long nodes take, and what the workshop's time costs."""

    business_days: Mapping[str, int]
    labour_hour_minor: int
    currency: str


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()


async def get_repair(call: Call, repair_id: int) -> DictRow:
    """One repair with its nodes, delays, parts and shipments.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_repair", {"repair_id": repair_id})
    if found is None:
        raise Problem.not_found("repair", repair_id)
    return found


async def locked(call: Call, repair_id: int) -> DictRow:
    """One repair that nobody else moves until the transaction ends; its ticket is locked before it.

    Raises:
        Problem: 404.
    """
    if await row(call, "lock_ticket_of_repair", {"repair_id": repair_id}) is None:
        raise Problem.not_found("repair", repair_id)
    await row(call, "lock_repair", {"repair_id": repair_id})
    return await get_repair(call, repair_id)


async def list_repairs(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Repairs that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `states`; `overdue`, `ticket_id`, `serial`, `label` (None: any; one counts); `after_id`, `fetch`.
    """
    if wanted["label"] is not None:
        return await rows(call, "list_repairs_of_label", wanted)
    if wanted["ticket_id"] is not None:
        return await rows(call, "list_repairs_of_ticket", wanted)
    if wanted["serial"] is not None:
        return await rows(call, "list_repairs_of_asset", wanted)
    return await rows(call, "list_overdue_repairs" if wanted["overdue"] else "list_repairs", wanted)


async def standard_for(call: Call, product_kind: str, provider_id: int | None) -> Standard:
    """The most exact standard; the defaults where none is kept."""
    async with call.unscoped():
        found = await row(call, "standard_of", {"product_kind": product_kind, "provider_id": provider_id})
    if found is None:
        return Standard({}, 0, "EUR")
    return Standard(found["business_days"], found["labour_hour_minor"], found["currency"])


async def working_days(call: Call) -> IsWorking:
    """The business days of the house's first calendar; Monday to Friday where it keeps none."""
    houses = (await current_book(call)).houses
    if not houses:
        return rules.monday_to_friday
    calendar = houses[min(houses)].calendar
    return lambda day: bool(calendar.spans_of(day))


def today_of(call: Call, repair: Mapping[str, Any]) -> date:
    """The day where the machine stands at home."""
    return call.now.astimezone(ZoneInfo(repair["time_zone"])).date()


def nodes_of(repair: Mapping[str, Any]) -> list[Node]:
    """The nodes of a repair's row."""
    return [
        Node(
            node["node"],
            date.fromisoformat(node["first_expected_on"]),
            date.fromisoformat(node["expected_on"]),
            None if node["done_at"] is None else datetime.fromisoformat(node["done_at"]),
        )
        for node in repair["nodes"]
    ]


async def keep_nodes(call: Call, repair_id: int, nodes: Sequence[Node]) -> None:
    """Write the nodes of a repair in the place of those that are there."""
    names = [node.name for node in nodes]
    await call.connection.execute(SQL["delete_nodes"], {"repair_id": repair_id, "nodes": names})
    async with call.connection.cursor() as cursor:
        values = [
            {
                "repair_id": repair_id,
                "node": node.name,
                "place": NODES.index(node.name),
                "first_expected_on": node.first_expected_on,
                "expected_on": node.expected_on,
                "done_at": node.done_at,
            }
            for node in nodes
        ]
        await cursor.executemany(SQL["put_node"], values)


async def add_cost(
    call: Call,
    repair: Mapping[str, Any],
    kind: str,
    source: str,
    *,
    amount_minor: int,
    description: str,
    currency: str | None = None,
) -> None:
    """Enter something that a repair cost the maker, once per source; nothing where it cost nothing."""
    if amount_minor == 0:
        return
    values = {
        "repair_id": repair["repair_id"],
        "kind": kind,
        "source": source,
        "description": description,
        "amount_minor": amount_minor,
        "currency": currency or repair["currency"],
        "now": call.now,
        "actor": call.principal.name,
    }
    await call.connection.execute(SQL["insert_cost"], values)


def head_of(repair: Mapping[str, Any]) -> dict[str, Any]:
    """A repair as machines are told of it."""
    return RepairHead(**repair).model_dump(mode="json")
