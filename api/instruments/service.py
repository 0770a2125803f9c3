"""What is done with instruments: added, changed, calibrated, taken out of use."""

from datetime import timedelta
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from api.instruments import rules
from api.instruments.models import InstrumentChange, NewCalibration, NewInstrument
from api.instruments.rules import INSTRUMENT
from careloop.database.queries import load_queries

SQL = load_queries("api.instruments")

BATCH = 500


async def add_instrument(call: Call, body: NewInstrument) -> DictRow:
    """Add an instrument; a partner's manager adds its own only.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown warehouse or partner.
    """
    values = {**body.model_dump(), "now": call.now, "warehouse_id": await _warehouse(call, body.warehouse)}
    if call.principal.scoped:
        if body.provider_id not in {None, call.principal.provider_id}:
            raise Problem.bad_field("body.provider_id", "leave it out: you add instruments of your own organisation")
        values["provider_id"] = call.principal.provider_id
    elif body.provider_id is not None and await row(call, "find_provider", values) is None:
        raise Problem.bad_field("body.provider_id", f"there is no provider {body.provider_id}")
    made = await row(call, "insert_instrument", values)
    if made is None:
        raise Problem.conflict("code-taken", f"there is an instrument {body.code} already")
    return await get_instrument(call, made["instrument_id"])


async def _warehouse(call: Call, code: str | None) -> int | None:
    if code is None:
        return None
    found = await row(call, "find_warehouse", {"code": code})
    if found is None:
        raise Problem.bad_field("body.warehouse", f"there is no warehouse {code}; POST /v1/warehouses first")
    number: int = found["warehouse_id"]
    return number


async def get_instrument(call: Call, instrument_id: int) -> DictRow:
    """One instrument.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_instrument", {"instrument_id": instrument_id, "today": call.now.date()})
    if found is None:
        raise Problem.not_found("instrument", instrument_id)
    return found


async def locked(call: Call, instrument_id: int) -> DictRow:
    """One instrument, which nobody else changes meanwhile.

    Raises:
        Problem: 403 for a partner when it is the house's; 404.
    """
    found = await row(call, "lock_instrument", {"instrument_id": instrument_id})
    if found is None:
        raise Problem.not_found("instrument", instrument_id)
    if call.principal.scoped and found["provider_id"] != call.principal.provider_id:
        raise Problem(403, "not-yours", f"{found['code']} is the house's; ask its desk")
    return found


async def change_instrument(call: Call, instrument_id: int, change: InstrumentChange, version: int) -> DictRow:
    """Change an instrument that is still at the version seen.

    Raises:
        Problem: 403; 404; 412 when it changed meanwhile; 422 for an unknown warehouse.
    """
    found = await locked(call, instrument_id)
    if found["version"] != version:
        raise changed_meanwhile("instrument", version)
    values = {**found, **change.model_dump(exclude_unset=True, exclude={"warehouse"})}
    if "warehouse" in change.model_fields_set:
        values["warehouse_id"] = await _warehouse(call, change.warehouse)
    await call.connection.execute(SQL["change_instrument"], values)
    return await get_instrument(call, instrument_id)


async def move(call: Call, instrument_id: int, action: str, note: str | None = None) -> DictRow:
    """Do something with an instrument that is in nobody's hands.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it.
    """
    found = await locked(call, instrument_id)
    if found["state"] == "lent":
        detail = f"{found['code']} is lent; end the loan first (give-back or lose)"
        raise Problem.conflict("instrument-state", detail, state="lent", allowed=[])
    await set_state(call, found, action, note)
    return await get_instrument(call, instrument_id)


async def set_state(call: Call, instrument: DictRow, action: str, note: str | None = None) -> None:
    """Move an instrument that is locked.

    Raises:
        Problem: 409 when its state does not allow it.
    """
    state = INSTRUMENT.require(instrument["code"], instrument["state"], action)
    values = {"instrument_id": instrument["instrument_id"], "state": state, "note": note}
    await call.connection.execute(SQL["move_instrument"], values)


# Calibration --------------------------------------------------------------------------------------


async def calibrate(call: Call, instrument_id: int, body: NewCalibration) -> dict[str, Any]:
    """Record a calibration: the instrument may be lent as long as it holds, or is blocked when it failed.

    Raises:
        Problem: 403; 404; 409 while it is lent, lost or scrapped; 422 for a day ahead, one before the last calibration,
            an unknown file, or when nothing says how long it holds.
    """
    found = await locked(call, instrument_id)
    state = INSTRUMENT.require(found["code"], found["state"], "fail" if body.result == "failed" else "pass")
    if body.calibrated_on > call.now.date() + timedelta(days=1):
        raise Problem.bad_field("body.calibrated_on", "is ahead")
    last = found["calibrated_on"]
    if last is not None and body.calibrated_on < last:
        raise Problem.bad_field("body.calibrated_on", f"is before {last}, the last calibration")
    until = body.calibrated_until
    if until is None and body.result != "failed":
        if found["calibration_days"] is None:
            raise Problem.bad_field("body.calibrated_until", "is needed: nothing says how long its calibrations hold")
        until = rules.calibrated_until(body.calibrated_on, found["calibration_days"])
    if body.certificate_file_id is not None:
        await require_file(call, body.certificate_file_id, "body.certificate_file_id")
        await attach(call, body.certificate_file_id, field="body.certificate_file_id")
    values = {**body.model_dump(), "instrument_id": instrument_id, "calibrated_until": until}
    made = await row(call, "insert_calibration", {**values, "actor": call.principal.name, "now": call.now})
    held = {"calibrated_on": last, "calibrated_until": found["calibrated_until"]}
    kept = held if body.result == "failed" else {"calibrated_on": body.calibrated_on, "calibrated_until": until}
    await call.connection.execute(SQL["set_calibration"], {**kept, "instrument_id": instrument_id, "state": state})
    off = body.result != "passed"
    doubtful = await rows(call, "loans_since", {"instrument_id": instrument_id, "since": last}) if off else []
    return {
        "calibration": made,
        "instrument": await get_instrument(call, instrument_id),
        "doubtful_loans": doubtful,
    }


async def remind_of_calibrations(call: Call) -> int:
    """Tell of instruments whose calibration ends soon, each end once."""
    today = call.now.date()
    before = today + timedelta(days=rules.NOTICE_DAYS)
    due = await rows(call, "due_calibrations", {"before": before, "limit": BATCH})
    for instrument in due:
        until = instrument["calibrated_until"]
        await call.connection.execute(SQL["note_reminder"], instrument)
        await announce(
            call,
            topic="instrument.calibration_due",
            cause=f"instrument:{instrument['instrument_id']}:calibration:{until}",
            asset_id=None,
            subject=f"{instrument['code']}: calibration until {until}",
            body=rules.calibration_text(instrument, today),
            payload=instrument,
        )
    return len(due)


async def row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: dict[str, Any]) -> list[DictRow]:
    """All rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()
