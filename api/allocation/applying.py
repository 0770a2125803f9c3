"""Does what was chosen for a demand, and takes it back again: reservations, transfers, kits, purchases."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.allocation import rules
from api.allocation.gathering import Asked, onward_of
from api.allocation.options import Priced
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import kit_contents
from api.purchasing import service as purchasing
from api.reservations.service import reserve_at, settle
from api.stock import service as stock
from api.stock.service import Cause, Entry, Place
from api.transfers import service as transfers
from careloop.allocation.model import OptionKind

# What an option can fail with because the world has moved on since it was reckoned: the next best one is tried.
PASSING = frozenset({"nothing-to-promise", "stock-out-of-range"})


@dataclass(frozen=True)
class Applied:
    """What a demand relies on once an option was applied."""

    promised_at: datetime
    reservation_id: int | None = None
    transfer_id: int | None = None
    purchase_line_id: int | None = None
    supplied_at: datetime | None = None
    transfer: DictRow | None = None


def why_fixed(demand: DictRow) -> str | None:
    """Why what was decided for a demand cannot be taken back any more; None when it can.

    Args:
        demand: By `demands_by_id`.
    """
    if demand["state"] not in rules.ALIVE:
        return f"it is {demand['state']}"
    if demand["state"] == "allocated" and demand["job_state"] in rules.GIVEN_OUT:
        return f"job {demand['job_id']} is {demand['job_state']} with this part; recall the job first"
    if demand["reservation_id"] is not None and demand["reservation_state"] != "reserved":
        return f"its pieces are {demand['reservation_state']}"
    if demand["reservation_id"] is not None and demand["place"] != "reserved":
        return "its pieces are on their way" if demand["place"] == "transit" else "its pieces were handed out"
    if demand["reservation_id"] is None and demand["order_state"] not in {None, "draft"}:
        return f"it was ordered; the order is {demand['order_state']}"
    return None


async def undo(call: Call, demand: DictRow, reason: str) -> None:
    """Take back what a demand relies on; its pieces are free again, its order is for nobody.

    Args:
        call: Whose transaction holds it.
        demand: By `demands_by_id`; locked, with its job.
        reason: For the transfer that is called off.

    Raises:
        Problem: 409 where it cannot be taken back.
    """
    if demand["transfer_id"] is not None and demand["transfer_state"] == "planned":
        await transfers.cancel(call, demand["transfer_id"], reason)
    if demand["reservation_id"] is not None and demand["reservation_state"] == "reserved":
        await settle(call, demand["reservation_id"], "released")
    elif demand["purchase_line_id"] is not None:
        await purchasing.withdraw(call, demand["part_demand_id"], reason)


async def apply(call: Call, asked: Asked, priced: Priced) -> Applied:
    """Do what was chosen.

    Args:
        call: Whose transaction (or savepoint) holds all of it.
        asked: The demand; locked, with its job.
        priced: One of its options.

    Raises:
        Problem: 409 when the pieces are not there any more, or something else stands in the way.
    """
    demand, option = asked.demand, priced.option
    if option.kind is OptionKind.PURCHASE:
        owner = {
            "ticket_id": demand["ticket_id"],
            "job_id": demand["job_id"],
            "demand_id": demand["part_demand_id"],
        }
        if priced.line_id is not None:
            line = await purchasing.promise(call, purchase_line_id=priced.line_id, quantity=option.quantity, **owner)
        else:
            line = await purchasing.order(
                call,
                part_id=option.part_id,
                quantity=option.quantity,
                warehouse_id=option.warehouse_id,
                **owner,
            )
        supplied_at = line["expected_at"]
        promised_at = supplied_at + onward_of(asked.need)
        return Applied(promised_at, purchase_line_id=line["purchase_line_id"], supplied_at=supplied_at)
    if option.kind is OptionKind.KIT:
        await _open_kits(call, priced, demand["ticket_id"])
    kept = await _keep(call, demand, priced)
    number: int = kept["reservation_id"]
    if option.lane is None:
        return Applied(option.available_at, reservation_id=number)
    known = {**kept, "part_id": option.part_id, "warehouse_id": option.warehouse_id}
    transfer = await transfers.create_kept(
        call,
        known,
        option.lane.to_warehouse_id,
        option.available_at,
        cause=("part_demand", str(demand["part_demand_id"])),
    )
    return Applied(
        transfer["expected_at"], reservation_id=number, transfer_id=transfer["transfer_id"], transfer=transfer
    )


async def _keep(call: Call, demand: DictRow, priced: Priced) -> DictRow:
    """Keep the pieces of an option.

    Raises:
        Problem: 409 when they are gone, or when the job keeps pieces of that part already, for something else.
    """
    option = priced.option
    try:
        return await reserve_at(
            call,
            part_id=option.part_id,
            warehouse_id=option.warehouse_id,
            quantity=option.quantity,
            ticket_id=demand["ticket_id"],
            job_id=demand["job_id"],
            demand_id=demand["part_demand_id"],
            available_at=option.available_at,
        )
    except psycopg.errors.UniqueViolation as violation:
        detail = f"job {demand['job_id']} keeps {priced.sku} already; change that reservation's quantity instead"
        raise Problem.conflict("reservation-there", detail, sku=priced.sku) from violation


async def _open_kits(call: Call, priced: Priced, ticket_id: int | None) -> None:
    """Take kits apart: what is in them lies free on the same shelves."""
    (take,) = priced.option.takes
    where, opened = take.shelf.warehouse_id, take.pieces
    entries = [Entry(take.shelf.part_id, opened, "convert", Place("free", where), Place("converted"))]
    for part_id, quantity in await kit_contents(call, take.shelf.part_id):
        entries.append(Entry(part_id, quantity * opened, "convert", Place("converted"), Place("free", where)))
    await stock.post(call, entries, Cause.of("kit", take.shelf.part_id), ticket_id=ticket_id, note=priced.option.reason)


def is_passing(problem: Problem) -> bool:
    """Whether an option failed only because somebody else was quicker."""
    return problem.slug in PASSING


def relied_upon(applied: Applied | None) -> dict[str, Any]:
    """The columns of a demand that say what it relies on."""
    return {
        "reservation_id": applied and applied.reservation_id,
        "transfer_id": applied and applied.transfer_id,
        "purchase_line_id": applied and applied.purchase_line_id,
        "supplied_at": applied and applied.supplied_at,
    }
