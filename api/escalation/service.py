"""What is done with ladders and escalations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.escalation import rules
from api.escalation.models import LadderChange, LadderStep, NewDecision, NewLadder, stored
from api.escalation.rules import ESCALATION, Decider, Ladder, Moments, Step
from api.sla import service as sla
from api.sla.hours import ALWAYS_OPEN
from api.sla.service import Trip
from api.tickets.models import Assignment, TicketChange
from api.tickets.repository import lock_ticket
from api.tickets.rules import OVER
from api.tickets.service import append_event, assign, change_ticket
from careloop.database.queries import load_queries

SQL = load_queries("api.escalation")

BATCH = 100
RETURNED_PAGE = 500


# What falls due ---------------------------------------------------------------------------------


async def run_due(call: Call) -> int:
    """Tell of clocks that trip, open escalations, go the steps that are due, end what has settled by itself."""
    ladders = await _ladders(call)
    trips = await sla.claim_trips(call)
    for trip in trips:
        if trip.event == "stopped":
            await _settle(call, trip)
        else:
            await _tell(call, trip)
            await _on_trip(call, trip, ladders)
    returned = await _on_returns(call, ladders)
    wanted = {"now": call.now, "limit": BATCH}
    rows = await (await call.connection.execute(SQL["claim_steps"], wanted)).fetchall()
    for row in rows:
        await _go_on(call, row)
    return len(trips) + returned + len(rows)


async def _ladders(call: Call) -> list[Ladder]:
    rows = await (await call.connection.execute(SQL["active_ladders"])).fetchall()
    return [
        Ladder(
            row["ladder_id"],
            _steps(row["steps"]),
            **{name: None if row[name] is None else frozenset(row[name]) for name in ("kinds", "priorities", "queues")},
        )
        for row in rows
    ]


def _steps(kept: list[dict[str, Any]]) -> tuple[Step, ...]:
    return tuple(Step(**step) for step in kept)


async def _case(call: Call, ticket_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["case_of"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise LookupError(f"ticket {ticket_id} is gone")
    return row


async def _tell(call: Call, trip: Trip) -> None:
    """Write a trip into the case's history and announce it."""
    clock, case = trip.clock, await _case(call, trip.ticket_id)
    breached = trip.event == "breached"
    told = {"clock": clock.kind, "due_at": clock.due_at, "target_minutes": clock.target_minutes}
    line = {**told, "due_at": None if clock.due_at is None else clock.due_at.isoformat()}
    await append_event(call, trip.ticket_id, f"sla_{trip.event}", line)
    mail = rules.clock_mail(trip.ticket_id, case["title"], clock.kind, clock.due_at, breached=breached)
    since = clock.due_at if breached else clock.warned_at
    await announce(
        call,
        topic=f"sla.{trip.event}",
        # A clock that is put off and trips again is another thing to hear of.
        cause=f"clock:{trip.clock_id}:{trip.event}:{since.isoformat() if since else ''}",
        asset_id=case["asset_id"],
        subject=mail.subject,
        body=mail.body,
        payload={
            **told,
            **{name: case[name] for name in ("ticket_id", "priority", "queue", "owner_user_id", "customer_id")},
        },
    )


async def _on_trip(call: Call, trip: Trip, ladders: Sequence[Ladder]) -> None:
    """Open an escalation for a clock that trips, or tell the one that is open when its next step is due."""
    clock, cause = trip.clock, f"clock:{trip.clock.kind}"
    book = await sla.current_book(call)
    calendar = book.houses[clock.calendar_id].calendar
    moments = Moments(calendar, call.now, clock.warned_at, clock.breached_at)
    key = {"ticket_id": trip.ticket_id, "cause": cause}
    seen = await (await call.connection.execute(SQL["escalation_of_cause"], key)).fetchone()
    if seen is not None:
        due = moments.due_of(_next(_steps(seen["steps"]), seen["steps_gone"]))
        await call.connection.execute(SQL["set_next"], {"escalation_id": seen["escalation_id"], "next_at": due})
        return
    case = await _case(call, trip.ticket_id)
    fitting = (ladder for ladder in ladders if ladder.fits(case["kind"], case["priority"], case["queue"]))
    ladder = next((ladder for ladder in fitting if ladder.steps_of_clock(clock.kind)), None)
    if ladder is not None:
        steps = ladder.steps_of_clock(clock.kind)
        due = moments.due_of(steps[0])
        # Else its steps begin with the breach.
        if due is not None:
            await _open(call, key, ladder, steps, due, clock_id=trip.clock_id)


def _next(steps: Sequence[Step], gone: int) -> Step | None:
    return steps[gone] if gone < len(steps) else None


async def _open(
    call: Call,
    key: Mapping[str, Any],
    ladder: Ladder,
    steps: Sequence[Step],
    due: datetime | None,
    *,
    clock_id: int | None = None,
) -> None:
    values = {
        **key,
        "ladder_id": ladder.ladder_id,
        "clock_id": clock_id,
        "steps": Jsonb([stored(step) for step in steps]),
        "next_at": due,
        "now": call.now,
    }
    await call.connection.execute(SQL["insert_escalation"], values)


async def _on_returns(call: Call, ladders: Sequence[Ladder]) -> int:
    """Open escalations for cases that came back often enough."""
    wanting = [ladder for ladder in ladders if any(step.on == "reopened" for step in ladder.steps)]
    opened, after_id = 0, 0
    while wanting:
        page = {"after_id": after_id, "limit": RETURNED_PAGE}
        rows = await (await call.connection.execute(SQL["returned_cases"], page)).fetchall()
        for row in rows:
            count, facts = row["reopened_count"], (row["kind"], row["priority"], row["queue"])
            fitting = ((ladder, ladder.steps_of_return(count)) for ladder in wanting if ladder.fits(*facts))
            found = next(((ladder, steps) for ladder, steps in fitting if steps), None)
            if found is not None:
                ladder, steps = found
                key = {"ticket_id": row["ticket_id"], "cause": f"reopened:{count}"}
                await _open(call, key, ladder, steps, Moments(ALWAYS_OPEN, call.now).due_of(steps[0]))
                opened += 1
        if len(rows) < RETURNED_PAGE:
            break
        after_id = rows[-1]["ticket_id"]
    return opened


async def _settle(call: Call, trip: Trip) -> None:
    """End the escalation of a clock that has stopped in time; go no further step where it has stopped late."""
    key = {"ticket_id": trip.ticket_id, "cause": f"clock:{trip.clock.kind}"}
    seen = await (await call.connection.execute(SQL["escalation_of_cause"], key)).fetchone()
    if seen is None or seen["state"] != "open":
        return
    escalation_id = seen["escalation_id"]
    if trip.clock.breached_at is not None:
        await call.connection.execute(SQL["set_next"], {"escalation_id": escalation_id, "next_at": None})
        return
    ended = {"state": ESCALATION.require(escalation_id, "open", "lapse"), "decision": None, "text": None}
    values = {**ended, "escalation_id": escalation_id, "decided_by": None, "now": call.now}
    await call.connection.execute(SQL["end_escalation"], values)
    await append_event(call, trip.ticket_id, "escalation_lapsed", {"escalation_id": escalation_id})


# A step -----------------------------------------------------------------------------------------


async def _go_on(call: Call, escalation: DictRow) -> None:
    """Go all steps of an escalation that are due by now."""
    book = await sla.current_book(call)
    house = book.houses.get(escalation["calendar_id"])
    calendar = ALWAYS_OPEN if house is None else house.calendar
    moments = Moments(calendar, escalation["opened_at"], escalation["warned_at"], escalation["breached_at"])
    steps, gone, due = _steps(escalation["steps"]), escalation["steps_gone"], escalation["next_at"]
    while due is not None and due <= call.now:
        step = steps[gone]
        gone += 1
        key = {"escalation_id": escalation["escalation_id"], "step": gone, "now": call.now}
        done = await _do(call, escalation, step)
        if await (await call.connection.execute(SQL["insert_step"], {**key, "done": done})).fetchone() is not None:
            await _tell_step(call, escalation, step, gone, done)
        due = moments.due_of(_next(steps, gone))
        values = {**key, "next_at": due, "role": step.role, "user_id": step.user_id}
        await call.connection.execute(SQL["step_gone"], values)


async def _do(call: Call, escalation: DictRow, step: Step) -> list[str]:
    """Change the case as a step says.

    Returns:
        What was done, and what could not be.
    """
    ticket_id = escalation["ticket_id"]
    case = await _case(call, ticket_id)
    done: list[str] = []
    if case["state"] in OVER:
        return ["the case is over"] if step.raise_priority or step.owner_user_id or step.queue else []
    if step.raise_priority and rules.RAISED[case["priority"]] != case["priority"]:
        raised = TicketChange.model_validate({"priority": rules.RAISED[case["priority"]]})
        await change_ticket(call, ticket_id, raised, case["version"])
        done.append(f"priority {raised.priority}")
    wish = {"owner_user_id": step.owner_user_id, "queue": step.queue}
    given = {name: value for name, value in wish.items() if value is not None}
    if given:
        wanted = ", ".join(f"{name} {value}" for name, value in given.items())
        try:
            async with call.connection.transaction():
                await assign(call, ticket_id, Assignment.model_validate({**given, "reason": "escalated"}))
            done.append(wanted)
        except Problem as problem:
            # Somebody has left since the ladder was made: the other steps go on.
            done.append(f"not done: {wanted} ({problem.detail})")
    return done


async def _tell_step(call: Call, escalation: DictRow, step: Step, number: int, done: list[str]) -> None:
    ticket_id, case = escalation["ticket_id"], await _case(call, escalation["ticket_id"])
    role = step.role or escalation["role"]
    user_id = step.user_id or escalation["user_id"]
    named = f"user {step.user_id}" if step.user_id else str(role or "the desk")
    line = {
        "escalation_id": escalation["escalation_id"],
        "cause": escalation["cause"],
        "step": number,
        "role": step.role,
        "user_id": step.user_id,
        "done": done,
    }
    await append_event(call, ticket_id, "escalated", line)
    mail = rules.step_mail(ticket_id, case["title"], escalation["cause"], number, named)
    to_decide = {"role": role, "user_id": user_id}
    provider_id = case["provider_id"] if step.tell_provider else None
    await _announce(call, case, mail, str(number), {**line, "to_decide": to_decide, "provider_id": provider_id})


async def _announce(call: Call, case: DictRow, mail: rules.Mail, moment: str, told: Mapping[str, Any]) -> None:
    await announce(
        call,
        topic="ticket.escalated",
        cause=f"escalation:{told['escalation_id']}:{moment}",
        asset_id=case["asset_id"],
        subject=mail.subject,
        body=mail.body,
        payload={**told, "ticket_id": case["ticket_id"], "priority": case["priority"]},
    )


# By hand ----------------------------------------------------------------------------------------


async def open_by_hand(call: Call, ticket_id: int, role: Decider, reason: str) -> tuple[DictRow, bool]:
    """Let somebody decide about a case, whatever its clocks say; while one is open, the reason is added to its history.

    Returns:
        The escalation, and whether it is new; of one that was open already, who decides stays as it was.

    Raises:
        Problem: 404; 409 when the case is over.
    """
    case = await lock_ticket(call, ticket_id)
    if case["state"] in OVER:
        detail = f"ticket {ticket_id} is {case['state']}; open it again first"
        raise Problem.conflict("ticket-state", detail, state=case["state"])
    values = {"ticket_id": ticket_id, "role": role, "reason": reason, "opened_by": call.principal.name, "now": call.now}
    seen = await (await call.connection.execute(SQL["open_by_hand"], values)).fetchone()
    if seen is not None:
        again = {"escalation_id": seen["escalation_id"], "role": seen["role"], "reason": reason}
        await append_event(call, ticket_id, "escalation_urged", again)
        return await get_escalation(call, seen["escalation_id"]), False
    made = await (await call.connection.execute(SQL["insert_by_hand"], values)).fetchone()
    if made is None:
        raise LookupError(f"the escalation of ticket {ticket_id} was not written")
    line = {**made, "role": role, "reason": reason}
    await append_event(call, ticket_id, "escalated", line)
    mail = rules.hand_mail(ticket_id, case["title"], role, reason)
    to_decide = {"role": role, "user_id": None}
    await _announce(call, case, mail, "opened", {**line, "to_decide": to_decide, "provider_id": None})
    return await get_escalation(call, made["escalation_id"]), True


# Deciding ---------------------------------------------------------------------------------------


async def decide(call: Call, escalation_id: int, body: NewDecision) -> DictRow:
    """End an escalation by what somebody decided.

    Raises:
        Problem: 403 when somebody else was named; 404; 409 when it has ended already.
    """
    key = {"escalation_id": escalation_id}
    seen = await (await call.connection.execute(SQL["lock_escalation"], key)).fetchone()
    if seen is None:
        raise Problem.not_found("escalation", escalation_id)
    principal = call.principal
    if not rules.may_decide(principal.role, principal.user_id, seen["role"], seen["user_id"]):
        named = f"user {seen['user_id']}" if seen["user_id"] else (seen["role"] or "a desk lead")
        raise Problem(403, "not-named", f"escalation {escalation_id} is for {named} to decide, or for a desk lead")
    state = ESCALATION.require(escalation_id, seen["state"], "decide")
    values = {**key, **body.model_dump(), "state": state, "decided_by": principal.name, "now": call.now}
    await call.connection.execute(SQL["end_escalation"], values)
    line = {**key, "decision": body.decision, "text": body.text}
    await append_event(call, seen["ticket_id"], "escalation_decided", line)
    return await get_escalation(call, escalation_id)


async def get_escalation(call: Call, escalation_id: int) -> DictRow:
    """One escalation with the steps that were gone.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_escalation"], {"escalation_id": escalation_id})).fetchone()
    if row is None:
        raise Problem.not_found("escalation", escalation_id)
    return row


# Ladders ----------------------------------------------------------------------------------------


async def create_ladder(call: Call, body: NewLadder) -> DictRow:
    """Add a ladder.

    Raises:
        Problem: 409 when the name is taken; 422 for a user who is not there.
    """
    await _require_users(call, body.steps)
    values = {**body.model_dump(exclude={"steps"}), "steps": Jsonb([stored(step.step) for step in body.steps])}
    row = await (await call.connection.execute(SQL["insert_ladder"], values)).fetchone()
    if row is None:
        raise Problem.conflict("name-taken", f"there is a ladder {body.name} already")
    return await get_ladder(call, row["ladder_id"])


async def _require_users(call: Call, steps: Sequence[LadderStep]) -> None:
    for index, step in enumerate(steps):
        for name in ("user_id", "owner_user_id"):
            user_id = getattr(step, name)
            if user_id is not None:
                key = {"user_ids": [user_id]}
                row = await (await call.connection.execute(SQL["users_known"], key)).fetchone()
                if row is None or row["known"] == 0:
                    raise Problem.bad_field(f"body.steps.{index}.{name}", f"there is no user {user_id}")


async def get_ladder(call: Call, ladder_id: int) -> DictRow:
    """One ladder.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_ladder"], {"ladder_id": ladder_id})).fetchone()
    if row is None:
        raise Problem.not_found("ladder", ladder_id)
    return row


async def change_ladder(call: Call, ladder_id: int, change: LadderChange, version: int) -> DictRow:
    """Change a ladder that is still at the version seen; open escalations keep the steps they have.

    Raises:
        Problem: 404, 409 when the name is taken, 412 when it changed meanwhile, 422 for a user who is not there.
    """
    seen = await get_ladder(call, ladder_id)
    values = {**seen, **change.model_dump(include=change.model_fields_set - {"steps"}), "version": version}
    steps = seen["steps"]
    if "steps" in change.model_fields_set:
        await _require_users(call, change.steps)
        steps = [stored(step.step) for step in change.steps]
    values["steps"] = Jsonb(steps)
    if await (await call.connection.execute(SQL["ladder_name_taken"], values)).fetchone() is not None:
        raise Problem.conflict("name-taken", f"there is a ladder {values['name']} already")
    if await (await call.connection.execute(SQL["change_ladder"], values)).fetchone() is None:
        raise changed_meanwhile("ladder", version)
    return await get_ladder(call, ladder_id)
