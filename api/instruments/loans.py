"""Instruments in technicians' hands: lent, extended, given back, asked for."""

from datetime import date, timedelta

import psycopg
from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.instruments import rules
from api.instruments.models import GivingBack, NewLoan
from api.instruments.rules import LOAN
from api.instruments.service import BATCH, SQL, locked, remind_of_calibrations, row, rows, set_state


async def lend(call: Call, instrument_id: int, body: NewLoan) -> DictRow:
    """Lend an instrument to a technician, as long as its calibration holds.

    Raises:
        Problem: 403; 404; 409 when it is not there (`instrument-state`) or not calibrated (`calibration-expired`,
            `calibration-missing`, `calibration-ends-first`); 422 for an unknown technician or ticket, another partner's
            technician, or a day that is over.
    """
    instrument = await locked(call, instrument_id)
    technician = await row(call, "find_technician", {"technician_id": body.technician_id})
    if technician is None or not technician["active"]:
        raise Problem.bad_field("body.technician_id", f"there is no technician {body.technician_id} at work")
    if instrument["provider_id"] not in {None, technician["provider_id"]}:
        detail = f"{instrument['code']} belongs to provider {instrument['provider_id']}, {technician['name']} does not"
        raise Problem.bad_field("body.technician_id", detail)
    if body.ticket_id is not None and await row(call, "find_ticket", {"ticket_id": body.ticket_id}) is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {body.ticket_id}")
    _require_ahead(call, body.due_back_on)
    await set_state(call, instrument, "lend")
    _require_calibrated(call, instrument, body.due_back_on)
    values = {**body.model_dump(), "instrument_id": instrument_id, "actor": call.principal.name, "now": call.now}
    try:
        made = await row(call, "insert_loan", values)
    except psycopg.errors.UniqueViolation as taken:
        raise Problem.conflict("instrument-lent", f"{instrument['code']} is lent already") from taken
    if made is None:
        raise LookupError("insert_loan returned no row")
    return await get_loan(call, made["instrument_loan_id"])


async def get_loan(call: Call, instrument_loan_id: int) -> DictRow:
    """One loan.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_loan", {"instrument_loan_id": instrument_loan_id})
    if found is None:
        raise Problem.not_found("instrument loan", instrument_loan_id)
    return found


async def extend(call: Call, instrument_loan_id: int, due_back_on: date) -> DictRow:
    """Give a loan more time, as long as the calibration holds.

    Raises:
        Problem: 403; 404; 409 when it is over, or the calibration ends first; 422 for a day that is over.
    """
    _require_ahead(call, due_back_on)
    instrument = await locked(call, (await get_loan(call, instrument_loan_id))["instrument_id"])
    moved = await _move(call, instrument_loan_id, "extend", due_back_on=due_back_on)
    _require_calibrated(call, instrument, due_back_on)
    return moved


async def give_back(call: Call, instrument_loan_id: int, body: GivingBack) -> DictRow:
    """Take an instrument back; a damaged one is blocked.

    Raises:
        Problem: 403; 404; 409 when the loan is over.
    """
    instrument = await locked(call, (await get_loan(call, instrument_loan_id))["instrument_id"])
    moved = await _move(call, instrument_loan_id, "give_back", condition=body.condition)
    action = "give_back_damaged" if body.damaged else "give_back"
    await set_state(call, instrument, action, body.condition if body.damaged else None)
    return moved


async def lose(call: Call, instrument_loan_id: int, reason: str) -> DictRow:
    """Note that an instrument does not come back.

    Raises:
        Problem: 403; 404; 409 when the loan is over.
    """
    instrument = await locked(call, (await get_loan(call, instrument_loan_id))["instrument_id"])
    moved = await _move(call, instrument_loan_id, "lose", condition=reason)
    await set_state(call, instrument, "lose", reason)
    return moved


async def run_due(call: Call) -> int:
    """Mark loans that are not back in time, ask for them every week, and tell of calibrations that end."""
    # Whoever lends until a day has it until that day's end, wherever on Earth.
    today = (call.now - timedelta(hours=12)).date()
    due = await rows(call, "due_loans", {"today": today, "limit": BATCH})
    for late in due:
        loan = await get_loan(call, late["instrument_loan_id"])
        action = "fall_due" if loan["state"] == "lent" else "remind"
        again = today + timedelta(days=rules.REMIND_EVERY_DAYS)
        loan = await _move(call, loan["instrument_loan_id"], action, next_reminder_on=again)
        await announce(
            call,
            topic="instrument.overdue",
            cause=f"instrument_loan:{loan['instrument_loan_id']}:overdue:{loan['version']}",
            asset_id=None,
            subject=f"{loan['code']} is not back: {loan['technician']}",
            body=rules.overdue_text(loan, today),
            payload=loan,
        )
    return len(due) + await remind_of_calibrations(call)


def _require_ahead(call: Call, due_back_on: date) -> None:
    if due_back_on < call.now.date():
        raise Problem.bad_field("body.due_back_on", f"is before today, {call.now.date()}")


def _require_calibrated(call: Call, instrument: DictRow, due_back_on: date) -> None:
    refusal = rules.refusal_of_loan(instrument, due_back_on, call.now.date())
    if refusal is not None:
        until = instrument["calibrated_until"]
        raise Problem.conflict(refusal.slug, refusal.detail, calibrated_until=None if until is None else str(until))


async def _move(
    call: Call,
    instrument_loan_id: int,
    action: str,
    *,
    due_back_on: date | None = None,
    condition: str | None = None,
    next_reminder_on: date | None = None,
) -> DictRow:
    key = {"instrument_loan_id": instrument_loan_id}
    found = await row(call, "lock_loan", key)
    if found is None:
        raise Problem.not_found("instrument loan", instrument_loan_id)
    state = LOAN.require(instrument_loan_id, found["state"], action)
    values = {"due_back_on": due_back_on, "condition": condition, "next_reminder_on": next_reminder_on}
    await call.connection.execute(SQL["move_loan"], {**key, **values, "state": state, "now": call.now})
    return await get_loan(call, instrument_loan_id)
