"""What a technician does on the way and on site."""

from datetime import datetime
from typing import Any, Literal

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.positions import Position
from api.conventions.problems import Problem
from api.dispatch import service as dispatch
from api.files.service import attach, require_file
from api.parts.service import part_of_field
from api.reservations.service import move_pieces, settle_pieces
from api.returns import service as returns
from api.stock.service import Cause
from api.tickets.service import append_event, require_component
from api.visits import rules
from api.visits.appointments import tell_failed
from api.visits.models import EntryBatch, NewEntry, NewPosition, NewVisitPart, NoAccess, OldPart, Refusal
from api.visits.repository import Locked, execute, get_sop, lock, require_own, row, rows

Steps = dict[tuple[str, str], dict[str, Any]]


async def move(
    call: Call, visit_id: int, action: Literal["depart", "check_in", "check_out"], body: NewPosition
) -> None:
    """Leave for the site, arrive there, or leave it; the position is kept, and a warning when it is far from the site.

    Raises:
        Problem: 404; 403 for another technician's visit; 409 when the visit does not allow it.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], action)
    moment = rules.moment_of(body.device_at or call.now, body.sent_at, call.now)
    if action == "check_in":
        # The job and its ticket are in progress with the first visit that arrives.
        await dispatch.start(call, locked.visit["job_id"])
    site = Position.of(locked.visit["site_latitude"], locked.visit["site_longitude"])
    distance = rules.distance_m(site, Position.of(body.latitude, body.longitude))
    position = {
        **body.model_dump(include={"latitude", "longitude", "accuracy_m"}),
        "visit_id": visit_id,
        "kind": action,
        "distance_m": distance,
        "far": action != "depart" and rules.is_far(distance, body.accuracy_m),
        "device_at": body.device_at or call.now,
        "clock_ahead_s": moment.clock_ahead_s,
        "now": call.now,
        "actor": call.principal.name,
    }
    await execute(call, "insert_position", position)
    await _advance(call, visit_id, state, action, moment.at)
    await _note(call, locked, f"visit.{action}", {"at": moment.at.isoformat(), "far": position["far"]})


async def begin_work(call: Call, visit_id: int) -> None:
    """Release the work: every safety tip was read and every check passed.

    Raises:
        Problem: 404; 403 for another technician's visit; 409 when the visit does not allow it, or `unsafe-to-begin`
            with everything that is open.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "begin_work")
    progress = await rows(call, "progress", {"visit_id": visit_id})
    sop = await sop_of(call, locked.visit)
    tips = rules.open_tips(sop["tips"], progress)
    checks = rules.open_items(sop["checks"], progress, "check")
    if tips or checks:
        lines = [f"the safety tip {code} was not read" for code in tips] + [why for _, why in checks]
        members = {"tips": tips, "checks": [{"code": code, "message": why} for code, why in checks]}
        raise Problem.conflict("unsafe-to-begin", "; ".join(lines) + "; put it in order or refuse the work", **members)
    await _advance(call, visit_id, state, "begin_work", call.now)


async def sop_of(call: Call, visit: DictRow) -> DictRow:
    """The procedure of a visit; an empty one where none was written."""
    if visit["sop_id"] is None:
        return {"tips": [], "checks": [], "steps": []}
    return await get_sop(call, visit["sop_id"])


async def _advance(call: Call, visit_id: int, state: str, action: str, at: datetime) -> None:
    await execute(call, "advance_visit", {"visit_id": visit_id, "state": state, "action": action, "at": at})


async def _note(call: Call, locked: Locked, kind: str, detail: dict[str, Any]) -> None:
    if locked.ticket is not None:
        await append_event(call, locked.ticket["ticket_id"], kind, {"visit_id": locked.visit_id, **detail})


# A visit that does not do its work ----------------------------------------------------------------


async def refuse(call: Call, visit_id: int, body: Refusal) -> None:
    """End a visit because the work would not be safe; its job waits for another one.

    Raises:
        Problem: 404; 403; 409 when the visit does not allow it; 422 for an unknown photo.
    """
    await _fail(call, visit_id, "refuse", body)


async def no_access(call: Call, visit_id: int, body: NoAccess) -> None:
    """End a visit because nobody was there or let us in; its job waits for another one.

    Raises:
        Problem: 404; 403; 409 when the visit does not allow it, or nobody tried to reach the customer; 422.
    """
    await _fail(call, visit_id, "no_access", body)


async def _fail(call: Call, visit_id: int, action: str, body: Refusal | NoAccess) -> None:
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], action)
    if action == "no_access" and await row(call, "any_contact", {"visit_id": visit_id}) is None:
        message = f"try to reach the customer first: POST /v1/visits/{visit_id}/contacts"
        raise Problem.conflict("no-contact-attempt", message)
    for index, file_id in enumerate(body.photos):
        await take_file(call, locked, file_id, f"body.photos.{index}")
        await execute(call, "insert_photo", {"visit_id": visit_id, "file_id": file_id})
    ended = {"visit_id": visit_id, "state": state, "reason": body.reason, "note": body.note, "now": call.now}
    await execute(call, "end_visit", ended)
    why = f"{state.replace('_', ' ')}: {body.reason.replace('_', ' ')}"
    await dispatch.recall(call, locked.visit["job_id"], f"{why}; {body.note}" if body.note else why)
    await tell_failed(call, locked, state, body.reason, body.note)


async def take_file(call: Call, locked: Locked, file_id: int, field: str) -> None:
    """Let a file that was sent belong to the visit's case and machine.

    Raises:
        Problem: 422 naming the field.
    """
    await require_file(call, file_id, field)
    await attach(call, file_id, ticket_id=locked.visit["ticket_id"], asset_id=locked.visit["asset_id"], field=field)


# Tips, checks, steps --------------------------------------------------------------------------------


async def tell(call: Call, visit_id: int, body: EntryBatch) -> list[dict[str, Any]]:
    """Keep what was read, checked and done; in whatever order it comes, late or twice.

    Nothing is lost for something else's sake: an entry that the procedure does not know, or whose photo is not there,
    is refused by itself and can be sent again. An entry outside its limits is kept and judged unfit.

    Returns:
        What became of each entry, in the order tips, checks, steps.

    Raises:
        Problem: 404; 403 for another technician's visit.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    sop = await sop_of(call, locked.visit)
    answers = []
    for kind, items, entries in (
        ("tip", sop["tips"], body.tips),
        ("check", sop["checks"], body.checks),
        ("step", sop["steps"], body.steps),
    ):
        known = {item["code"]: item for item in items}
        for entry in entries:
            answer = await _keep(call, locked, kind, known.get(entry.code), entry, body.sent_at)
            answers.append({"entry_id": entry.entry_id, "kind": kind, "code": entry.code, **answer})
    return answers


async def _keep(  # noqa: PLR0917 - what an entry is judged by
    call: Call, locked: Locked, kind: str, item: dict[str, Any] | None, entry: NewEntry, sent_at: datetime | None
) -> dict[str, Any]:
    """Keep one entry; returns `outcome`, `fit`, `message`."""
    if item is None:
        message = f"the visit's procedure has no {kind} {entry.code}"
        return {"outcome": "refused", "fit": None, "message": message}
    if entry.photo_file_id is not None:
        try:
            await take_file(call, locked, entry.photo_file_id, "photo_file_id")
        except Problem as problem:
            return {"outcome": "refused", "fit": None, "message": problem.detail}
    misfit = rules.misfit_of_entry(
        item,
        rules.Entry(kind, entry.code, entry.result, entry.value, entry.choice, entry.photo_file_id is not None),
    )
    values = {
        **entry.model_dump(),
        "device_at": rules.moment_of(entry.device_at, sent_at, call.now).at,
        "visit_id": locked.visit_id,
        "kind": kind,
        "fit": misfit is None,
        "misfit": misfit,
        "late": locked.visit["state"] in rules.MACHINE.final,
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await row(call, "insert_entry", values)
    return {"outcome": "known" if made is None else "kept", "fit": misfit is None, "message": misfit}


# Parts ----------------------------------------------------------------------------------------------


async def book_part(call: Call, visit_id: int, body: NewVisitPart) -> bool:
    """Book a part that was built in, or that is brought back unused; told twice it moves once.

    Returns:
        Whether it was booked now.

    Raises:
        Problem: 404; 403; 422 naming the field; 409 when the visit is not on site, or the stock does not have it.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    if (body.reservation_id is None) == (body.warehouse is None):
        raise Problem.bad_field("body.warehouse", "give a reservation_id or a warehouse, and not both")
    part = await part_of_field(call, body.sku)
    component = await _component(call, locked, part, body) if body.kind == "used" else body.component
    values = {
        **body.model_dump(exclude={"sku", "warehouse"}),
        "visit_id": visit_id,
        "part_id": part["part_id"],
        "component": component,
        "old_part": body.old_part or ("none" if body.kind == "used" else None),
        "device_at": body.device_at or call.now,
        "now": call.now,
        "actor": call.principal.name,
    }
    if await row(call, "part_entry", values) is not None:
        return False
    if locked.visit["state"] not in {"started", "travelling"}:
        detail = f"visit {visit_id} is {locked.visit['state']}; parts are booked while it is on site"
        raise Problem.conflict("visit-state", detail, state=locked.visit["state"])
    where = await _move_part(call, locked, part, body)
    made = await row(call, "insert_part", {**values, "warehouse_id": where["warehouse_id"]})
    if made is not None and body.kind == "used":
        await returns.follow(call, visit_id, made["visit_part_id"])
    line = {"sku": body.sku, "quantity": body.quantity, "kind": body.kind}
    await _note(call, locked, "visit.part", line)
    return True


async def change_old_part(call: Call, visit_id: int, visit_part_id: int, body: OldPart) -> None:
    """Tell what becomes of a part that was taken out.

    Raises:
        Problem: 404; 403; 409 when the visit is over, or the part has been received.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    if locked.visit["state"] in rules.MACHINE.final:
        detail = f"visit {visit_id} is {locked.visit['state']}; its report stays as it is"
        raise Problem.conflict("visit-state", detail, state=locked.visit["state"])
    values = {**body.model_dump(), "visit_id": visit_id, "visit_part_id": visit_part_id}
    await returns.require_with_technician(call, visit_part_id)
    if await row(call, "change_old_part", values) is None:
        raise Problem.not_found(f"used part of visit {visit_id}", visit_part_id)
    await returns.follow(call, visit_id, visit_part_id)


async def _component(call: Call, locked: Locked, part: DictRow, body: NewVisitPart) -> str | None:
    """Which component the part was built in for: as told, else the only one of the model that takes it."""
    if body.component is not None:
        asset = {"asset_id": locked.visit["asset_id"], "serial": locked.visit["serial"]}
        await require_component(call, asset, body.component)
        return body.component
    key = {"asset_id": locked.visit["asset_id"], "part_id": part["part_id"]}
    known = await rows(call, "component_of_part", key)
    return str(known[0]["name"]) if len(known) == 1 else None


async def _move_part(call: Call, locked: Locked, part: DictRow, body: NewVisitPart) -> DictRow:
    job_id = locked.visit["job_id"]
    if body.reservation_id is not None:
        to: Literal["consumed", "released"] = "consumed" if body.kind == "used" else "released"
        reservation = await settle_pieces(call, job_id, body.reservation_id, body.quantity, to)
        if reservation["part_id"] != part["part_id"]:
            raise Problem.bad_field("body.sku", f"reservation {body.reservation_id} keeps another part")
        return reservation
    if body.warehouse is None:
        raise LookupError("neither reservation nor warehouse although one was asked for")
    if body.kind == "returned":
        used = await row(call, "pieces_used", {"job_id": job_id, "part_id": part["part_id"]})
        if used is None or used["pieces"] < body.quantity:
            pieces = 0 if used is None else used["pieces"]
            detail = f"{pieces} of {body.sku} were taken for job {job_id}; {body.quantity} cannot come back"
            raise Problem.conflict("not-taken", detail)
    kind: Literal["consume", "return"] = "consume" if body.kind == "used" else "return"
    cause, ticket_id = Cause.of("visit", locked.visit_id), locked.visit["ticket_id"]
    return await move_pieces(call, body.sku, body.warehouse, body.quantity, kind=kind, cause=cause, ticket_id=ticket_id)
