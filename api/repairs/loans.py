"""Machines lent while a customer's own is repaired."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.assets.service import asset_of_field
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.repairs import rules, texts
from api.repairs.models import NewLoan, NewLoaner
from api.repairs.moving import tell
from api.repairs.repository import SQL, add_cost, get_repair, locked, row, rows
from api.repairs.rules import LOAN, REPAIR
from api.tickets.service import append_event

BATCH = 500


async def add_loaner(call: Call, body: NewLoaner) -> DictRow:
    """Put a machine into the pool.

    Raises:
        Problem: 409 when it is there; 422 for an unknown machine or a customer's.
    """
    asset = await asset_of_field(call, body.serial)
    if asset["customer_id"] is not None:
        raise Problem.bad_field("body.serial", f"{body.serial} belongs to customer {asset['customer_id']}")
    made = await row(call, "insert_loaner", {**body.model_dump(), "asset_id": asset["asset_id"], "now": call.now})
    if made is None:
        raise Problem.conflict("loaner-known", f"{body.serial} is in the pool already")
    return await get_loaner(call, made["loaner_id"])


async def get_loaner(call: Call, loaner_id: int) -> DictRow:
    """One machine of the pool.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_loaner", {"loaner_id": loaner_id})
    if found is None:
        raise Problem.not_found("loaner", loaner_id)
    return found


async def change_loaner(call: Call, loaner_id: int, *, active: bool, version: int) -> DictRow:
    """Say whether a machine may be lent; a loan that runs goes on.

    Raises:
        Problem: 404; 412 when somebody else was faster.
    """
    await get_loaner(call, loaner_id)
    if await row(call, "change_loaner", {"loaner_id": loaner_id, "active": active, "version": version}) is None:
        raise changed_meanwhile("loaner", version)
    return await get_loaner(call, loaner_id)


async def lend(call: Call, repair_id: int, body: NewLoan) -> DictRow:
    """Lend a machine to the customer of a repair.

    Raises:
        Problem: 404; 409 when it is lent (`loaner-lent`), the customer has one, or the repair is over; 422 for an
            unknown machine or a day that is over.
    """
    repair = await locked(call, repair_id)
    if repair["state"] in REPAIR.final:
        raise Problem.conflict("repair-state", f"repair {repair_id} is {repair['state']}", state=repair["state"])
    loaner = await row(call, "get_loaner", {"loaner_id": body.loaner_id})
    if loaner is None or not loaner["active"]:
        raise Problem.bad_field("body.loaner_id", f"there is no loaner {body.loaner_id} that may be lent")
    _require_ahead(call, body.due_back_on)
    values = {**body.model_dump(), "repair_id": repair_id, "ticket_id": repair["ticket_id"], "now": call.now}
    try:
        async with call.connection.transaction():
            made = await row(call, "insert_loan", values)
    except psycopg.errors.UniqueViolation as taken:
        if taken.diag.constraint_name == "loan_one_of_repair":
            raise Problem.conflict("loan-open", f"the customer of repair {repair_id} has a loaner already") from taken
        raise Problem.conflict("loaner-lent", f"{loaner['serial']} is lent to somebody else") from taken
    if made is None:
        raise LookupError("insert_loan returned no row")
    loan = await get_loan(call, made["loan_id"])
    await _told(call, loan)
    return loan


async def get_loan(call: Call, loan_id: int) -> DictRow:
    """One loan.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_loan", {"loan_id": loan_id})
    if found is None:
        raise Problem.not_found("loan", loan_id)
    return found


async def extend(call: Call, loan_id: int, due_back_on: date) -> DictRow:
    """Give a loan more time.

    Raises:
        Problem: 404; 409 when it is over; 422 for a day that is over.
    """
    _require_ahead(call, due_back_on)
    return await _move(call, loan_id, "extend", due_back_on=due_back_on)


async def give_back(call: Call, loan_id: int, condition: str) -> DictRow:
    """Take a loaner back.

    Raises:
        Problem: 404; 409 when it is over.
    """
    return await _ended(call, await _move(call, loan_id, "give_back", condition=condition))


async def lose(call: Call, loan_id: int, reason: str) -> DictRow:
    """Note that a loaner does not come back; it may not be lent any more.

    Raises:
        Problem: 404; 409 when it is over.
    """
    loan = await _move(call, loan_id, "lose", condition=reason)
    loaner = await get_loaner(call, loan["loaner_id"])
    await change_loaner(call, loan["loaner_id"], active=False, version=loaner["version"])
    return await _ended(call, loan)


async def run_due(call: Call) -> int:
    """Mark loans that are not back in time, and ask for them."""
    today = (call.now - timedelta(hours=12)).date()
    due = await rows(call, "due_loans", {"today": today, "limit": BATCH})
    for late in due:
        await _told(call, await _move(call, late["loan_id"], "fall_due"))
    return len(due)


def _require_ahead(call: Call, due_back_on: date) -> None:
    if due_back_on < call.now.date():
        raise Problem.bad_field("body.due_back_on", f"is before today, {call.now.date()}")


async def _move(
    call: Call, loan_id: int, action: str, *, due_back_on: date | None = None, condition: str | None = None
) -> DictRow:
    await get_loan(call, loan_id)
    await row(call, "lock_loan", {"loan_id": loan_id})
    loan = await get_loan(call, loan_id)
    to = LOAN.require(loan_id, loan["state"], action)
    values = {"loan_id": loan_id, "to": to, "due_back_on": due_back_on, "condition": condition, "now": call.now}
    await call.connection.execute(SQL["move_loan"], values)
    line = {"loan_id": loan_id, "from": loan["state"], "to": to}
    await append_event(call, loan["ticket_id"], "loan", line)
    return await get_loan(call, loan_id)


async def _ended(call: Call, loan: Mapping[str, Any]) -> DictRow:
    repair = await get_repair(call, loan["repair_id"])
    cost = rules.loaner_cost(loan["lent_at"], loan["ended_at"], loan["day_cost_minor"])
    source, said = f"loan:{loan['loan_id']}", f"Loaner {loan['serial']}"
    await add_cost(call, repair, "loaner", source, amount_minor=cost, description=said, currency=loan["currency"])
    return await get_loan(call, loan["loan_id"])


async def _told(call: Call, loan: Mapping[str, Any]) -> None:
    repair = await get_repair(call, loan["repair_id"])
    message = texts.loan_message(loan["serial"], loan["due_back_on"], loan["state"])
    await tell(call, repair, "repair.loaner", f"{loan['loan_id']}:{loan['version']}", message)
