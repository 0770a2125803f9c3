"""What is done with jobs and visits.

Locks are always taken in the order ticket, job, technician, parts; so no two calls wait for one another. A job's state
moves only through `rules.MACHINE`, and its visit, its ticket and its parts move with it in the same transaction.
"""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.allocation.service import adopt as adopt_demands
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch import rules
from api.dispatch.models import Dispatch, Job, NewJob
from api.dispatch.repository import SQL, get_job, row
from api.dispatch.rules import Action
from api.dispatch.technicians import give_to_partner
from api.reservations.service import adopt, consume_for_job, release_for_job
from api.sla import service as sla
from api.tickets import rules as ticket_rules
from api.tickets.service import move_ticket

# Making jobs --------------------------------------------------------------------------------------


async def create_job(call: Call, body: NewJob) -> tuple[DictRow, bool]:
    """Make the job of a ticket, or of an occurrence of a plan on an asset.

    Returns:
        The job, and whether it was made now: the open job of the ticket, or the job that the occurrence once got,
        is returned as it is.

    Raises:
        Problem: 422 naming the field; 409 when the ticket is over, the plan not active, or the asset retired.
    """
    of_plan = {"plan_id": body.plan_id, "serial": body.serial, "occurrence": body.occurrence}
    if body.ticket_id is not None:
        for name, value in of_plan.items():
            if value is not None:
                raise Problem.bad_field(f"body.{name}", "a job is for a ticket or for a plan; leave out one of them")
        return await _job_of_ticket(call, body.ticket_id)
    if body.plan_id is None:
        raise Problem.bad_field("body.ticket_id", "give ticket_id, or plan_id with serial and occurrence")
    for name, value in of_plan.items():
        if value is None:
            raise Problem.bad_field(f"body.{name}", "is needed with plan_id")
    return await _job_of_plan(call, of_plan)


async def _job_of_ticket(call: Call, ticket_id: int) -> tuple[DictRow, bool]:
    ticket = await row(call, "lock_ticket", {"ticket_id": ticket_id})
    if ticket is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {ticket_id}")
    there = await row(call, "open_job_of_ticket", {"ticket_id": ticket_id})
    if there is not None:
        return await get_job(call, there["job_id"]), False
    if ticket["state"] in rules.ENDED_TICKET_STATES:
        raise Problem.conflict("ticket-over", f"ticket {ticket_id} is {ticket['state']}; it needs no job")
    if ticket["asset_id"] is None:
        raise Problem.bad_field("body.ticket_id", f"ticket {ticket_id} is about no machine; a job is work at one")
    made = await _required(call, "insert_job_of_ticket", {"ticket_id": ticket_id, "now": call.now})
    values = {"ticket_id": ticket_id, "job_id": made["job_id"]}
    await call.connection.execute(SQL["insert_parts_of_ticket"], values)
    await adopt(call, ticket_id, made["job_id"])
    await adopt_demands(call, ticket_id, made["job_id"])
    return await get_job(call, made["job_id"]), True


async def _job_of_plan(call: Call, wanted: dict[str, Any]) -> tuple[DictRow, bool]:
    found = await row(call, "plan_and_asset", wanted)
    if found is None:
        raise Problem.bad_field("body.plan_id", f"there is no plan {wanted['plan_id']}")
    if found["asset_id"] is None:
        raise Problem.bad_field("body.serial", f"there is no asset {wanted['serial']}")
    key = {**wanted, "asset_id": found["asset_id"], "now": call.now}
    there = await row(call, "job_of_occurrence", key)
    if there is not None:
        return await get_job(call, there["job_id"]), False
    if found["asset_model_id"] != found["plan_model_id"]:
        message = f"the plan is for assets of the model {found['plan_model']}, not for {wanted['serial']}"
        raise Problem.bad_field("body.serial", message)
    if not found["active"]:
        raise Problem.conflict("plan-inactive", f"plan {wanted['plan_id']} is not active; it makes no jobs")
    if found["asset_state"] != "active":
        raise Problem.conflict("asset-retired", f"asset {wanted['serial']} is {found['asset_state']}")
    made = await row(call, "insert_job_of_plan", key)
    if made is None:
        # Another call was faster; the insertion waited for it.
        there = await _required(call, "job_of_occurrence", key)
        return await get_job(call, there["job_id"]), False
    await call.connection.execute(SQL["insert_parts_of_plan"], {**key, "job_id": made["job_id"]})
    return await get_job(call, made["job_id"]), True


# Moving jobs --------------------------------------------------------------------------------------


async def hold(call: Call, job_id: int, reason: str) -> DictRow:
    """Let a job wait, with the reason for the dispatcher; the same reason again changes and announces nothing.

    Raises:
        Problem: 404; 409 when the job is past waiting.
    """
    job, ticket = await _lock(call, job_id, "hold")
    if job["waiting_reason"] == reason:
        return job
    job = await _move(call, job, ticket, "hold", waiting_reason=reason)
    await _announce(call, job, "job.waiting", str(job["version"]), rules.waiting_message(job, reason))
    return job


async def dispatch(call: Call, job_id: int, body: Dispatch) -> DictRow:
    """Give a job to a technician with an appointment.

    Raises:
        Problem: 404; 422 for an impossible interval or an unknown technician; 409 `job-state`, `ticket-over`,
            `technician-unfit`, `parts-not-reserved` or `technician-busy`.
    """
    job, technician, visit_id = await _book(call, job_id, body)
    await appointed(call, job)
    span, zone = (body.starts_at, body.ends_at), ZoneInfo(job["time_zone"])
    message = rules.dispatched_message(job, technician["name"], span, zone)
    await _announce(call, job, "job.dispatched", str(visit_id), message, technician=technician["name"])
    return job


async def propose(call: Call, job_id: int, body: Dispatch) -> tuple[DictRow, int]:
    """Give a job to a technician with an appointment that the customer has still to agree to.

    Returns:
        The job, and the number of its visit.

    Raises:
        Problem: As `dispatch`.
    """
    job, _, visit_id = await _book(call, job_id, body)
    return job, visit_id


async def appointed(call: Call, job: DictRow) -> None:
    """The customer has an appointment: the clock that waits for one stops."""
    if job["ticket_id"] is not None:
        await sla.appointed(call, job["ticket_id"])


async def _book(call: Call, job_id: int, body: Dispatch) -> tuple[DictRow, DictRow, int]:
    """Move a job to its technician and make the visit; returns the job, the technician and the visit's number."""
    require_interval(call, body)
    job, ticket = await _lock(call, job_id, "dispatch")
    if ticket is not None and ticket["state"] in rules.ENDED_TICKET_STATES:
        detail = f"ticket {ticket['ticket_id']} is {ticket['state']}; cancel the job"
        raise Problem.conflict("ticket-over", detail, ticket_id=ticket["ticket_id"])
    technician = await require_bookable(call, job, body)
    await give_to_partner(call, job, body.technician_id)
    values = {**body.model_dump(), "job_id": job_id, "now": call.now}
    visit = await _required(call, "insert_visit", values)
    note = {"visit_id": visit["visit_id"], "technician": technician["name"]}
    return await _move(call, job, ticket, "dispatch", note=note), technician, int(visit["visit_id"])


def require_interval(call: Call, wanted: Dispatch, field: str = "body") -> None:
    """Refuse an appointment that is impossible.

    Raises:
        Problem: 422 naming the field.
    """
    misfit = rules.misfit_of_interval(wanted.starts_at, wanted.ends_at, call.now)
    if misfit is not None:
        raise Problem.bad_field(f"{field}.{misfit[0]}", misfit[1])


async def require_bookable(
    call: Call, job: DictRow, wanted: Dispatch, *, except_visit_id: int = 0, field: str = "body"
) -> DictRow:
    """The technician of an appointment, locked until the transaction ends, when the appointment is possible.

    Args:
        call: Whose transaction holds the lock.
        job: Locked.
        wanted: The appointment.
        except_visit_id: A visit whose time counts as free, because it is the one that moves.
        field: What of the body a problem names.

    Raises:
        Problem: 422 for an unknown technician; 409 `technician-unfit`, `parts-not-reserved` or `technician-busy`.
    """
    technician = await row(call, "lock_technician", {"technician_id": wanted.technician_id})
    if technician is None:
        raise Problem.bad_field(f"{field}.technician_id", f"there is no technician {wanted.technician_id}")
    _require_fit(job, technician)
    _require_parts(job, wanted)
    span, zone = (wanted.starts_at, wanted.ends_at), ZoneInfo(job["time_zone"])
    await _require_time(call, technician, span, zone, except_visit_id)
    return technician


def _require_fit(job: DictRow, technician: DictRow) -> None:
    reasons = rules.unfit(technician, job["skill"], job["territory"])
    if reasons:
        raise Problem.conflict("technician-unfit", f"{technician['name']} {' and '.join(reasons)}", reasons=reasons)


def _require_parts(job: DictRow, body: Dispatch) -> None:
    kept = [entry.model_dump() for entry in Job.of(job).reservations]
    missing = rules.missing_parts(job["parts"], kept, body.starts_at)
    if missing:
        detail = "; ".join(f"{part['sku']}: {part['reason']}" for part in missing)
        raise Problem.conflict("parts-not-reserved", f"{detail}; POST /v1/parts/reservations first", parts=missing)


async def _require_time(
    call: Call, technician: DictRow, span: rules.Span, zone: ZoneInfo, except_visit_id: int
) -> None:
    days = rules.days_touched(span, zone)
    since, until = rules.day_span(days[0], zone)[0], rules.day_span(days[-1], zone)[1]
    wanted = {
        "technician_id": technician["technician_id"],
        "since": since,
        "until": until,
        "except_visit_id": except_visit_id,
    }
    rows = await (await call.connection.execute(SQL["visits_within"], wanted)).fetchall()
    promised = [(visit["starts_at"], visit["ends_at"]) for visit in rows]
    why = rules.why_busy(span, promised, timedelta(minutes=technician["daily_capacity_minutes"]), zone)
    if why is not None:
        raise Problem.conflict("technician-busy", f"{technician['name']} {why}", reason=why)


async def admit(call: Call, job_id: int) -> DictRow:
    """Begin a job whose machine has come into the workshop: nobody drives.

    Raises:
        Problem: 404; 409 when somebody is on the way already, or the job has ended.
    """
    job, ticket = await _lock(call, job_id, "admit")
    return await _move(call, job, ticket, "admit")


async def start(call: Call, job_id: int) -> DictRow:
    """The technician begins the visit.

    Raises:
        Problem: 404; 409 when the job is not dispatched.
    """
    job, ticket = await _lock(call, job_id, "start")
    await call.connection.execute(SQL["start_visit"], {"job_id": job_id})
    return await _move(call, job, ticket, "start")


async def recall(call: Call, job_id: int, reason: str) -> DictRow:
    """Take a job back from its technician: the appointment is off, the parts stay reserved, the job waits.

    Raises:
        Problem: 404; 409 when the job is not with a technician, or in the workshop.
    """
    job, ticket = await _lock(call, job_id, "recall")
    if job["visit"] is None:
        detail = f"job {job_id} is done in the workshop; there is no appointment to call off"
        raise Problem.conflict("job-in-workshop", detail, job_id=job_id)
    await call.connection.execute(SQL["call_off_visit"], {"job_id": job_id, "now": call.now})
    job = await _move(call, job, ticket, "recall", waiting_reason=reason, note={"reason": reason})
    await _announce(call, job, "job.waiting", str(job["version"]), rules.waiting_message(job, reason))
    return job


async def cancel(call: Call, job_id: int, reason: str) -> DictRow:
    """Give a job up: its parts go back, its visit is off, its ticket is open again.

    Raises:
        Problem: 404; 409 when the job has ended.
    """
    job, ticket = await _lock(call, job_id, "cancel")
    await release_for_job(call, job_id)
    await call.connection.execute(SQL["call_off_visit"], {"job_id": job_id, "now": call.now})
    return await _move(call, job, ticket, "cancel", cancel_reason=reason, note={"reason": reason})


async def complete(call: Call, job_id: int, outcome: str, *, parts_used: bool) -> DictRow:
    """Complete a job by hand, as `finish_job`; not while a technician who checked in owes a report.

    Raises:
        Problem: As `finish_job`; 409 `visit-owes-report`.
    """
    await row(call, "lock_ticket_of_job", {"job_id": job_id})
    await row(call, "lock_job", {"job_id": job_id})
    visit = await row(call, "visit_with_check_in", {"job_id": job_id})
    if visit is not None:
        number = visit["visit_id"]
        detail = f"visit {number} is on site: POST /v1/visits/{number}/complete, or recall the job first"
        raise Problem.conflict("visit-owes-report", detail, visit_id=number)
    return await finish_job(call, job_id, outcome, consume_parts=rules.uses_parts(outcome, parts_used))


async def finish_job(call: Call, job_id: int, outcome: str, *, consume_parts: bool) -> DictRow:
    """Complete a job, its visit and its ticket, and announce it.

    Facts about components are not recorded here: what was replaced comes by POST /v1/assets/{serial}/replacements,
    what failed by …/failures.

    Args:
        call: Whose transaction holds all of it.
        job_id: The job.
        outcome: What was found; the ticket's outcome too, except `done`, which says nothing about a cause.
        consume_parts: Whether the parts still kept for it leave the stock, or go back to what is available.

    Returns:
        The job.

    Raises:
        Problem: 404; 409 when the job has ended; 422 for an outcome that does not fit the ticket.
    """
    job, ticket = await _lock(call, job_id, "complete")
    ticket_outcome = None if outcome == "done" else outcome
    if ticket is not None:
        misfit = rules.misfit_of_outcome(ticket["kind"], outcome) or ticket_rules.misfit_of_outcome(
            ticket["kind"], "resolved", ticket_outcome
        )
        if misfit is not None:
            raise Problem.bad_field("body.outcome", misfit)
    await (consume_for_job if consume_parts else release_for_job)(call, job_id)
    await call.connection.execute(SQL["complete_visit"], {"job_id": job_id, "now": call.now})
    job = await _move(call, job, ticket, "complete", outcome=outcome, ticket_outcome=ticket_outcome)
    await _announce(call, job, "job.completed", "", rules.completed_message(job, outcome))
    return job


async def _lock(call: Call, job_id: int, action: Action) -> tuple[DictRow, DictRow | None]:
    """The job and its ticket, both locked, when the action fits the job's state.

    Raises:
        Problem: 404; 409 when the table does not have the action.
    """
    ticket = await row(call, "lock_ticket_of_job", {"job_id": job_id})
    await row(call, "lock_job", {"job_id": job_id})
    job = await get_job(call, job_id)
    rules.MACHINE.require(job_id, job["state"], action)
    return job, ticket


async def _move(
    call: Call,
    job: DictRow,
    ticket: DictRow | None,
    action: Action,
    *,
    waiting_reason: str | None = None,
    cancel_reason: str | None = None,
    outcome: str | None = None,
    ticket_outcome: str | None = None,
    note: dict[str, Any] | None = None,
) -> DictRow:
    """Move a locked job, and its ticket with it; returns the job as it is then."""
    job_id = job["job_id"]
    values = {
        "job_id": job_id,
        "from": job["state"],
        "to": rules.MACHINE.require(job_id, job["state"], action),
        "waiting_reason": waiting_reason,
        "cancel_reason": cancel_reason,
        "outcome": outcome,
        "now": call.now,
    }
    await _required(call, "move_job", values)
    follows = rules.TICKET_FOLLOWS.get(action)
    if ticket is not None and follows is not None and ticket["state"] in follows[1]:
        detail = {"job_id": job_id, "action": action, **(note or {})}
        await move_ticket(call, ticket["ticket_id"], follows[0], outcome=ticket_outcome, detail=detail)
    return await get_job(call, job_id)


async def _announce(call: Call, job: DictRow, topic: str, instance: str, message: rules.Message, **more: str) -> None:
    """Tell of a job; `instance` tells apart what can happen to one job more than once."""
    cause = ":".join(part for part in ("job", str(job["job_id"]), topic.removeprefix("job."), instance) if part)
    payload = {**Job.of(job).model_dump(mode="json"), **more}
    await announce(
        call,
        topic=topic,
        cause=cause,
        asset_id=job["asset_id"],
        subject=message.subject,
        body=message.body,
        payload=payload,
    )


async def _required(call: Call, query: str, values: dict[str, Any]) -> DictRow:
    found = await row(call, query, values)
    if found is None:
        raise LookupError(f"{query} returned no row although its rows are locked")
    return found
