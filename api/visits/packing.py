"""Everything for a visit in one answer, to be taken where there is no network."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.assets.service import get_asset
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch.repository import get_job, list_visits
from api.tickets.service import get_ticket
from api.visits.completion import get_report
from api.visits.repository import SQL, get_sop, get_visit, list_fault_codes, require_own, row, rows
from api.warranty.service import question

# As many codes as a phone can show.
MOST_CODES = 2000


async def pack(call: Call, visit_id: int) -> dict[str, Any]:
    """Everything for a visit: machine, case, site, procedure, fault codes, warranty, stock nearby, history, report.

    Raises:
        Problem: 404; 403 for another technician's visit.
    """
    visit = await get_visit(call, visit_id)
    require_own(call, visit)
    job = await get_job(call, visit["job_id"])
    asset = await get_asset(call, visit["serial"])
    place = await row(call, "pack_site", {"visit_id": visit_id}) or {"site": None, "customer": None}
    codes = {"product_kind": asset["kind"], "level": None, "with_old": False, "after_id": 0, "fetch": MOST_CODES}
    key = {"visit_id": visit_id, "asset_id": asset["asset_id"], "territory": job["territory"]}
    on = call.now.astimezone(ZoneInfo(visit["time_zone"])).date()
    coverage = await question(call, visit["serial"], on=on, component=job["component"], ticket_id=visit["ticket_id"])
    return {
        "visit": visit,
        "serial": visit["serial"],
        "asset": asset,
        "job": job,
        "ticket": None if visit["ticket_id"] is None else await get_ticket(call, visit["ticket_id"]),
        **place,
        "sop": None if visit["sop_id"] is None else await get_sop(call, visit["sop_id"]),
        "fault_codes": await list_fault_codes(call, codes),
        "warranty": coverage.model_dump(mode="json"),
        "stock": await rows(call, "pack_stock", key),
        "history": await rows(call, "pack_history", key),
        "report": await _report(call, visit_id),
    }


async def _report(call: Call, visit_id: int) -> dict[str, Any] | None:
    try:
        return await get_report(call, visit_id)
    except Problem:
        return None


async def list_lines(
    call: Call, wanted: dict[str, Any], *, day: date | None = None, ticket_id: int | None = None
) -> list[DictRow]:
    """Visits that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `states`, `technician_id`, `ends_after`, `starts_before` (None: any), `after_id`, `fetch`.
        day: Those that start on the day, where the machine stands; cancelled ones left out.
        ticket_id: Those of a case.
    """
    if ticket_id is not None:
        return await rows(call, "list_visits_of_ticket", {**wanted, "ticket_id": ticket_id})
    if day is None:
        return await list_visits(call, wanted)
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_day"], {**wanted, "day": day}, prepare=False)).fetchall()
