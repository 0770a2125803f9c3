"""When a visit takes place and who does it: proposed, confirmed, moved, given to somebody else, called off."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch import service as dispatch
from api.dispatch.models import Dispatch
from api.dispatch.rules import appointment_words
from api.dispatch.technicians import give_to_partner
from api.sla import service as sla
from api.tickets.service import append_event
from api.visits import rules
from api.visits.models import Confirmation, NewContact, NewSlot, NewVisit, Reassignment, Rescheduling
from api.visits.repository import Locked, execute, lock, require_own, row

# After the last appointment offered, a link may still tell what came of it.
LINK_LIVES = timedelta(days=14)
TOKEN_BYTES = 32
LINK_PATH = "/v1/visits/by-token/"


def hash_token(token: str) -> bytes:
    """What is stored of a link's token; tokens are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(token.encode()).digest()


async def propose(call: Call, body: NewVisit) -> int:
    """Offer appointments for a job; the first is booked until the customer chooses.

    Returns:
        The visit's number.

    Raises:
        Problem: 404; 422 or 409 as `dispatch.service.dispatch`, for the first slot.
    """
    first = body.slots[0]
    _require_slots(call, body.slots)
    _, visit_id = await dispatch.propose(call, body.job_id, Dispatch(**first.model_dump()))
    locked = await lock(call, visit_id)
    await _offer(call, locked, body.slots)
    return visit_id


async def offer(call: Call, visit_id: int, slots: Sequence[NewSlot]) -> None:
    """Offer other appointments than before.

    Raises:
        Problem: 404; 409 when the visit is past being offered, or the first slot cannot be booked; 422.
    """
    locked = await lock(call, visit_id)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "offer")
    _require_slots(call, slots)
    first = Dispatch(**slots[0].model_dump())
    await dispatch.require_bookable(call, locked.job, first, except_visit_id=visit_id, field="body.slots.0")
    await _book(call, locked, first, state)
    await _offer(call, locked, slots)


def _require_slots(call: Call, slots: Sequence[NewSlot]) -> None:
    for index, slot in enumerate(slots):
        dispatch.require_interval(call, Dispatch(**slot.model_dump()), f"body.slots.{index}")


async def _offer(call: Call, locked: Locked, slots: Sequence[NewSlot]) -> None:
    """Write down what is offered, and tell the customer with a link to choose."""
    visit_id = locked.visit_id
    await execute(call, "withdraw_slots", {"visit_id": visit_id})
    for slot in slots:
        technician = await dispatch_technician(call, slot.technician_id)
        if technician is None:
            raise Problem.bad_field("body.slots", f"there is no technician {slot.technician_id}")
        await execute(call, "insert_slot", {**slot.model_dump(), "visit_id": visit_id, "now": call.now})
    token = await make_link(call, visit_id, max(slot.ends_at for slot in slots))
    zone = ZoneInfo(locked.visit["time_zone"])
    words = [appointment_words((slot.starts_at, slot.ends_at), zone) for slot in slots]
    lines = rules.proposed_lines(locked.visit["serial"], words, LINK_PATH + token["token"])
    await _tell(call, locked, "visit.proposed", f"offer:{token['link_id']}", subject="appointment offered", lines=lines)
    await _note(call, locked, "visit.offered", {"slots": [slot.model_dump(mode="json") for slot in slots]})


async def dispatch_technician(call: Call, technician_id: int) -> DictRow | None:
    """The technician, when the caller may see one of that number."""
    return await row(call, "technician_exists", {"technician_id": technician_id})


async def make_link(call: Call, visit_id: int, until: Any) -> dict[str, Any]:
    """A link for a customer without login: `link_id`, `token` (shown once), `path`, `expires_at`."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = max(until, call.now) + LINK_LIVES
    values = {"visit_id": visit_id, "token_hash": hash_token(token), "now": call.now, "expires_at": expires_at}
    made = await row(call, "insert_link", values)
    if made is None:
        raise LookupError("insert_link returned no row")
    return {**made, "token": token, "path": LINK_PATH + token, "expires_at": expires_at}


async def visit_of_token(call: Call, token: str) -> int:
    """The visit that a customer's link is for.

    Raises:
        Problem: 404 for a token that is unknown or too old.
    """
    found = await row(call, "find_link", {"token_hash": hash_token(token), "now": call.now})
    if found is None:
        raise Problem(404, "not-found", "there is no such link, or it is too old; ask for another one")
    return int(found["visit_id"])


async def confirm(call: Call, visit_id: int, body: Confirmation) -> None:
    """The customer agrees to the appointment booked, or to another of those offered.

    Raises:
        Problem: 404; 409 when the visit is past that, or the appointment chosen is taken by now; 422.
    """
    locked = await lock(call, visit_id)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "confirm")
    booked = Dispatch(**{name: locked.visit[name] for name in ("technician_id", "starts_at", "ends_at")})
    if body.slot_id is not None:
        slot = await row(call, "offered_slot", {"visit_id": visit_id, "slot_id": body.slot_id})
        if slot is None:
            raise Problem.bad_field("body.slot_id", f"visit {visit_id} does not offer the slot {body.slot_id}")
        booked = Dispatch(**{name: slot[name] for name in ("technician_id", "starts_at", "ends_at")})
        # The customer chooses among technicians and times that are none of the customer's business otherwise.
        async with call.unscoped():
            await dispatch.require_bookable(call, locked.job, booked, except_visit_id=visit_id)
    if booked.ends_at <= call.now:
        raise Problem.conflict("appointment-past", f"the appointment ended at {booked.ends_at.isoformat()}")
    await _book(call, locked, booked, state)
    values = {**booked.model_dump(), "visit_id": visit_id, "slot_id": body.slot_id}
    await execute(call, "choose_slot", values)
    await execute(call, "withdraw_slots", values)
    await _confirmed(call, locked, booked)


async def _confirmed(call: Call, locked: Locked, booked: Dispatch) -> None:
    await dispatch.appointed(call, locked.job)
    when = _when(locked, booked)
    lines = [f"Machine: {locked.visit['serial']}", f"Appointment: {when}"]
    instance = f"confirmed:{locked.visit['version'] + 1}"
    await _tell(call, locked, "visit.confirmed", instance, subject=f"appointment {when}", lines=lines)
    await _note(call, locked, "visit.confirmed", {"starts_at": booked.starts_at.isoformat()})


async def reschedule(call: Call, visit_id: int, body: Rescheduling) -> None:
    """Move a visit to another time; it must be confirmed again, unless the customer has agreed already.

    Raises:
        Problem: 404; 422; 409 when the visit is past that, or the new time is not possible.
    """
    misfit = rules.misfit_of_cause(body.reason, body.caused_by, body.note)
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    locked = await lock(call, visit_id)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "reschedule")
    technician_id = body.technician_id or locked.visit["technician_id"]
    wanted = Dispatch(technician_id=technician_id, starts_at=body.starts_at, ends_at=body.ends_at)
    dispatch.require_interval(call, wanted)
    await dispatch.require_bookable(call, locked.job, wanted, except_visit_id=visit_id)
    if body.agreed:
        state = rules.MACHINE.require(visit_id, state, "confirm")
    await _book(call, locked, wanted, state, anew=True)
    await execute(call, "withdraw_slots", {"visit_id": visit_id})
    detail = body.model_dump(mode="json", include={"reason", "caused_by", "note"})
    await _changed(call, locked, "reschedule", wanted, detail)
    when = _when(locked, wanted)
    lines = rules.moved_lines(locked.visit["serial"], when, body.reason)
    instance = f"rescheduled:{locked.visit['version'] + 1}"
    await _tell(call, locked, "visit.rescheduled", instance, subject=f"new appointment {when}", lines=lines)
    if body.agreed:
        await dispatch.appointed(call, locked.job)


async def reassign(call: Call, visit_id: int, body: Reassignment) -> None:
    """Give a visit to another technician at the same time.

    Raises:
        Problem: 404; 422; 409 when the visit is past that, or the technician cannot do it.
    """
    if body.reason == "other" and not body.note:
        raise Problem.bad_field("body.note", "say what the other reason is")
    locked = await lock(call, visit_id)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "reassign")
    if locked.visit["technician_id"] == body.technician_id:
        raise Problem.bad_field("body.technician_id", "has the visit already")
    wanted = Dispatch(
        technician_id=body.technician_id, starts_at=locked.visit["starts_at"], ends_at=locked.visit["ends_at"]
    )
    await dispatch.require_bookable(call, locked.job, wanted, except_visit_id=visit_id)
    await _book(call, locked, wanted, state)
    await _changed(call, locked, "reassign", wanted, {**body.model_dump(include={"reason", "note"}), "caused_by": None})


async def cancel(call: Call, visit_id: int, reason: str) -> None:
    """Call a visit off; its job waits for another one. A visit that had begun did take place.

    Raises:
        Problem: 404; 409 when the visit is over.
    """
    locked = await lock(call, visit_id)
    rules.MACHINE.require(visit_id, locked.visit["state"], "call_off")
    await dispatch.recall(call, locked.visit["job_id"], reason)
    await execute(call, "explain_end", {"visit_id": visit_id, "note": reason})


async def contact(call: Call, visit_id: int, body: NewContact) -> None:
    """Write down that the customer was called or written to; the first that reached somebody counts as the answer.

    Raises:
        Problem: 404; 403 for another technician's visit.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    await execute(
        call,
        "insert_contact",
        {**body.model_dump(), "visit_id": visit_id, "now": call.now, "actor": call.principal.name},
    )
    await _note(call, locked, "visit.contact", {"channel": body.channel, "result": body.result})
    if body.result == "reached" and locked.ticket is not None:
        await sla.responded(call, locked.ticket["ticket_id"])


async def _book(call: Call, locked: Locked, wanted: Dispatch, state: str, *, anew: bool = False) -> None:
    """Let the locked visit be at an appointment; `anew` forgets who had confirmed the old one."""
    await give_to_partner(call, locked.job, wanted.technician_id)
    values = {**wanted.model_dump(), "visit_id": locked.visit_id, "state": state, "anew": anew}
    await execute(call, "book_visit", {**values, "actor": call.principal.name, "now": call.now})


async def _changed(call: Call, locked: Locked, kind: str, wanted: Dispatch, detail: dict[str, Any]) -> None:
    values = {
        **detail,
        "kind": kind,
        "visit_id": locked.visit_id,
        "from_technician_id": locked.visit["technician_id"],
        "to_technician_id": wanted.technician_id,
        "from_starts_at": locked.visit["starts_at"],
        "to_starts_at": wanted.starts_at,
        "actor": call.principal.name,
        "now": call.now,
    }
    await execute(call, "insert_change", values)
    line = {**detail, "technician_id": wanted.technician_id, "starts_at": wanted.starts_at.isoformat()}
    await _note(call, locked, f"visit.{kind}", line)


async def _note(call: Call, locked: Locked, kind: str, detail: dict[str, Any]) -> None:
    """Write a line into the case's history."""
    if locked.ticket is not None:
        await append_event(call, locked.ticket["ticket_id"], kind, {"visit_id": locked.visit_id, **detail})


async def tell_failed(call: Call, locked: Locked, state: str, reason: str, note: str) -> None:
    """Tell that a visit could not do its work, and why."""
    lines = rules.failed_lines(locked.visit["serial"], state, reason, note)
    await _tell(call, locked, "visit.failed", state, subject="the visit could not do its work", lines=lines)
    await _note(call, locked, f"visit.{state}", {"reason": reason, "note": note})


async def _tell(call: Call, locked: Locked, topic: str, instance: str, *, subject: str, lines: Sequence[str]) -> None:
    payload = {
        name: locked.visit[name]
        for name in ("visit_id", "job_id", "ticket_id", "technician_id", "serial", "starts_at", "ends_at", "state")
    }
    await announce(
        call,
        topic=topic,
        cause=f"visit:{locked.visit_id}:{instance}",
        asset_id=locked.visit["asset_id"],
        subject=f"{locked.visit['serial']}: {subject}",
        body="\n".join(lines),
        payload=payload,
    )


def _when(locked: Locked, booked: Dispatch) -> str:
    return appointment_words((booked.starts_at, booked.ends_at), ZoneInfo(locked.visit["time_zone"]))
