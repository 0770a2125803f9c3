"""Reading tickets and writing their history."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.tickets.rules import Machine
from careloop.database.queries import load_queries

SQL = load_queries("api.tickets")


async def one(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def get_ticket(call: Call, ticket_id: int) -> DictRow:
    """One ticket.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_ticket"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def lock_ticket(call: Call, ticket_id: int) -> DictRow:
    """What may change of a ticket, which nobody else changes until the transaction ends.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["lock_ticket"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def append_event(call: Call, ticket_id: int, kind: str, detail: Mapping[str, Any]) -> None:
    """Write a line into a ticket's history."""
    values = {"ticket_id": ticket_id, "now": call.now, "actor": call.principal.name, "kind": kind}
    await call.connection.execute(SQL["insert_event"], {**values, "detail": Jsonb(dict(detail))})


async def require_no_work(call: Call, ticket_id: int) -> None:
    """Refuse to end a case that somebody works at: a technician would drive to a case that is over.

    Raises:
        Problem: 409 `job-open` or `repair-open`.
    """
    job = await one(call, "open_job", {"ticket_id": ticket_id})
    if job is not None:
        message = f"job {job['job_id']} of ticket {ticket_id} is open; complete or cancel the job first"
        raise Problem.conflict("job-open", message, job_id=job["job_id"])
    repair = await one(call, "open_repair", {"ticket_id": ticket_id})
    if repair is not None:
        message = f"repair {repair['repair_id']} of ticket {ticket_id} is open; close or cancel the repair first"
        raise Problem.conflict("repair-open", message, repair_id=repair["repair_id"])


async def machine_of(call: Call, asset_id: int | None) -> Machine | None:
    """How the customer calls the machine of a case, if it is about one."""
    if asset_id is None:
        return None
    row = await one(call, "describe_machine", {"asset_id": asset_id})
    if row is None:
        raise LookupError(f"asset {asset_id} is gone")
    return Machine(**row)
