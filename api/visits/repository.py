"""Reads visits, and locks what a change of one needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch.repository import get_job
from api.visits import rules
from careloop.database.queries import load_queries

SQL = load_queries("api.visits")

_ONE_SOP = SQL["sop_rows"] + "\n" + SQL["one_sop"]
_SOPS = SQL["sop_rows"] + "\n" + SQL["page_of_sops"]
_ONE_FAULT_CODE = SQL["fault_code_rows"] + "\n" + SQL["one_fault_code"]
_FAULT_CODE_OF_KIND = SQL["fault_code_rows"] + "\n" + SQL["fault_code_of_kind"]
_FAULT_CODES = SQL["fault_code_rows"] + "\n" + SQL["page_of_fault_codes"]


@dataclass(frozen=True)
class Locked:
    """A visit with its job and its ticket, locked until the transaction ends.

    Attributes:
        visit: Its row, with `serial`, `asset_id`, `product_kind`, `time_zone`, `territory` and the site's position.
        job: As api.dispatch shows it.
        ticket: None for work of a plan.
    """

    visit: DictRow
    job: DictRow
    ticket: DictRow | None

    @property
    def visit_id(self) -> int:
        """The visit's number."""
        return int(self.visit["visit_id"])


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """The rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()


async def execute(call: Call, query: str, values: Mapping[str, Any]) -> None:
    """Run a statement that answers nothing."""
    await call.connection.execute(SQL[query], values)


async def lock(call: Call, visit_id: int) -> Locked:
    """Lock a visit in the order of all rooms: ticket, job, visit; so that no two calls wait for one another.

    Raises:
        Problem: 404.
    """
    key = await row(call, "job_of_visit", {"visit_id": visit_id})
    if key is None:
        raise Problem.not_found("visit", visit_id)
    ticket = await row(call, "lock_ticket_of_job", key)
    await row(call, "lock_job", key)
    visit = await row(call, "lock_visit", {"visit_id": visit_id})
    if visit is None:
        raise Problem.not_found("visit", visit_id)
    return Locked(visit, await get_job(call, key["job_id"]), ticket)


def require_own(call: Call, visit: Mapping[str, Any]) -> None:
    """Refuse a technician who does another technician's visit.

    Raises:
        Problem: 403.
    """
    own = call.principal.technician_id
    if own is not None and visit["technician_id"] != own:
        detail = (
            f"visit {visit['visit_id']} is technician {visit['technician_id']}'s; ask the dispatcher to reassign it"
        )
        raise Problem(403, "not-your-visit", detail)


async def get_visit(call: Call, visit_id: int) -> DictRow:
    """One visit with all that belongs to it and what may be done with it.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_visit", {"visit_id": visit_id})
    if found is None:
        raise Problem.not_found("visit", visit_id)
    for position in found["positions"]:
        position["warnings"] = warnings_of(position)
    progress = await rows(call, "progress", {"visit_id": visit_id})
    return {**found, "progress": progress, "actions": rules.MACHINE.actions_of(found["state"])}


def warnings_of(position: Mapping[str, Any]) -> list[str]:
    """What is odd about a position: `far` from the site, `clock` wrong, or `no_position`."""
    ahead = position["clock_ahead_s"]
    odd = {
        "far": position["far"],
        "clock": ahead is not None and abs(ahead) > rules.CLOCK_TOLERANCE.total_seconds(),
        "no_position": position["latitude"] is None,
    }
    return [name for name, is_so in odd.items() if is_so]


async def get_sop(call: Call, sop_id: int) -> DictRow:
    """One version of a procedure.

    Raises:
        Problem: 404.
    """
    found = await (await call.connection.execute(_ONE_SOP, {"sop_id": sop_id})).fetchone()
    if found is None:
        raise Problem.not_found("procedure", sop_id)
    return found


async def list_sops(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Procedures: `code` (None: any), `with_old`, `after_id`, `fetch`."""
    return await (await call.connection.execute(_SOPS, wanted, prepare=False)).fetchall()


async def get_fault_code(call: Call, fault_code_id: int) -> DictRow:
    """One entry of the fault catalogue.

    Raises:
        Problem: 404.
    """
    found = await (await call.connection.execute(_ONE_FAULT_CODE, {"fault_code_id": fault_code_id})).fetchone()
    if found is None:
        raise Problem.not_found("fault code", fault_code_id)
    return found


async def find_fault_code(call: Call, product_kind: str, code: str) -> DictRow | None:
    """The entry of a code, if there is one."""
    key = {"product_kind": product_kind, "code": code}
    return await (await call.connection.execute(_FAULT_CODE_OF_KIND, key)).fetchone()


async def list_fault_codes(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Entries of a `product_kind`: `level` (None: any), `with_old`, `after_id`, `fetch`."""
    return await (await call.connection.execute(_FAULT_CODES, wanted, prepare=False)).fetchall()
