"""Reads technicians, jobs and visits."""

from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.dispatch")

# What is picked differs, what is shown of it does not.
_JOB = SQL["pick_job"] + "\n" + SQL["job_rows"]
_JOBS_BY_STATE = SQL["pick_jobs_by_state"] + "\n" + SQL["job_rows"]
_JOBS_BY_TICKET = SQL["pick_jobs_by_ticket"] + "\n" + SQL["job_rows"]
_JOBS_BY_ASSET = SQL["pick_jobs_by_asset"] + "\n" + SQL["job_rows"]


async def row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def get_job(call: Call, job_id: int) -> DictRow:
    """One job with its parts, reservations and visit.

    Raises:
        Problem: 404.
    """
    found = await (await call.connection.execute(_JOB, {"job_id": job_id})).fetchone()
    if found is None:
        raise Problem.not_found("job", job_id)
    return found


async def list_jobs(call: Call, wanted: dict[str, Any]) -> list[DictRow]:
    """Jobs that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `states`, `ticket_id` and `serial` (None: any), `after_id`, `fetch`.
    """
    query = _JOBS_BY_STATE
    if wanted["ticket_id"] is not None:
        query = _JOBS_BY_TICKET
    elif wanted["serial"] is not None:
        query = _JOBS_BY_ASSET
    return await (await call.connection.execute(query, wanted)).fetchall()


async def list_visits(call: Call, wanted: dict[str, Any]) -> list[DictRow]:
    """Visits that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `states`; `technician_id`, `ends_after`, `starts_before` (None: any); `after_id`, `fetch`.
    """
    return await (await call.connection.execute(SQL["list_visits"], wanted)).fetchall()


async def get_technician(call: Call, technician_id: int) -> DictRow:
    """One technician.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_technician", {"technician_id": technician_id})
    if found is None:
        raise Problem.not_found("technician", technician_id)
    return found
