"""What an old part turned out to be, and what follows: for the claim, the case and the figures of reliability."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from api.accounts.bearing import bearer_of_part, decide
from api.accounts.models import NewBearer
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.returns import rules
from api.returns.models import NewInspection, ToRepair
from api.returns.rotating import to_repairer
from api.returns.rules import OLD_PART_MACHINE
from api.returns.service import get_old_part, keep_files, lock_old_part, move, note_in_case, rows
from api.tickets.service import correct_outcome
from careloop.database.queries import load_queries

SQL = load_queries("api.returns")


async def inspect(call: Call, old_part_id: int, body: NewInspection) -> None:
    """Keep what an old part turned out to be; of several inspections the last counts.

    Where the claim does not stand, what was claimed back for the part built in is taken back: a wrong part is the
    partner's to bear, a misused one the customer's. A foretold failure whose part was in order was a false alarm.

    Raises:
        Problem: 404; 409 when it has not come; 422 for a finding that does not fit, or an unknown file.
    """
    part = await lock_old_part(call, old_part_id)
    to = OLD_PART_MACHINE.require(old_part_id, part["state"], "inspect")
    _require_fitting(part, body)
    stands = rules.claim_stands(body.finding) if body.claim_stands is None else body.claim_stands
    before = await rows(call, SQL["inspections_of_part"], {"old_part_id": old_part_id})
    values = {
        **body.model_dump(exclude={"files"}),
        **{name: part[name] for name in ("old_part_id", "asset_id", "component", "taken_out_at")},
        "matches": body.finding != "wrong_part",
        "claim_stands": stands,
        "now": call.now,
    }
    await call.connection.execute(SQL["insert_inspection"], values)
    await keep_files(call, part, body.files, "inspection")
    await move(call, old_part_id, to)
    line = {"old_part_id": old_part_id, "finding": body.finding, "failure_mode": body.failure_mode}
    await note_in_case(call, part, "old_part.inspected", {**line, "claim_stands": stands})
    stood = before[-1]["claim_stands"] if before else True
    if stands != stood:
        await _judge_claim(call, part, body, stands=stands)
    if body.finding == "no_fault_found" and part["ticket_id"] is not None:
        detail = f"no fault found in the part taken out ({old_part_id})"
        await correct_outcome(call, part["ticket_id"], "prevented", "no_fault_found", detail)


def _require_fitting(part: Mapping[str, Any], body: NewInspection) -> None:
    misfit = rules.misfit_of_finding(body.finding, body.failure_mode)
    if misfit is not None:
        raise Problem.bad_field("body.failure_mode", misfit)
    known = part["old_serial"]
    if body.serial_found is not None and known is not None and body.serial_found != known:
        if body.finding != "wrong_part":
            message = f"{known} was reported, {body.serial_found} was found: the finding is wrong_part"
            raise Problem.bad_field("body.finding", message)
    elif body.finding == "wrong_part" and not body.note:
        raise Problem.bad_field("body.note", "say what is wrong with it: which part it is, or its serial_found")


async def _judge_claim(call: Call, part: Mapping[str, Any], body: NewInspection, *, stands: bool) -> None:
    """Let the one bear the part built in who has to by the inspection, or as it was before."""
    decision = await bearer_of_part(call, part["old_part_id"])
    if decision is None:
        return
    said = f"inspection of the old part: {body.finding.replace('_', ' ')}"
    reason = f"{said}; {body.note}" if body.note else said
    if stands:
        to: rules.Bearer = "maker"
    else:
        to = "customer" if body.finding == "misuse" else "partner"
    if decision["bearer"] != to and (stands or decision["bearer"] == "maker"):
        await decide(call, decision["part_bearer_id"], NewBearer(bearer=to, reason=reason[:2000]))


async def to_repair(call: Call, old_part_id: int, body: ToRepair) -> None:
    """Send an inspected part to be repaired and used again.

    Raises:
        Problem: 404; 409 when it is not inspected, no part that is repaired, or its serial number is not known; 422 for
            a warehouse that is no quarantine and no repair centre.
    """
    locked = await lock_old_part(call, old_part_id)
    to = OLD_PART_MACHINE.require(old_part_id, locked["state"], "repair")
    part = await get_old_part(call, old_part_id)
    if not part["rotable"]:
        detail = f"{part['sku']} is not repaired and used again; write it off"
        raise Problem.conflict("not-rotable", detail)
    found = [one["serial_found"] for one in part["inspections"] if one["serial_found"] is not None]
    rotable_id = await to_repairer(call, part, found[-1] if found else part["old_serial"], body)
    await move(call, old_part_id, to, ended_note=body.note or f"to be repaired as rotable {rotable_id}")
    await note_in_case(call, part, "old_part.to_repair", {"old_part_id": old_part_id, "rotable_id": rotable_id})


async def findings(call: Call, since: datetime, until: datetime, model: str | None) -> list[DictRow]:
    """How often inspections in a span of time found what, by model, component and part.

    Raises:
        Problem: 422 when the span ends before it starts.
    """
    if until <= since:
        raise Problem.bad_field("query.until", "must be after since")
    return await rows(call, SQL["findings"], {"since": since, "until": until, "model": model})
