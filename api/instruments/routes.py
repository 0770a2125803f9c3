"""`/v1/instruments`, `/v1/instrument-loans`."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.instruments import loans, service
from api.instruments.models import (
    Calibration,
    CalibrationDone,
    Code,
    Extension,
    GivingBack,
    Instrument,
    InstrumentChange,
    InstrumentState,
    Loan,
    LoanState,
    NewCalibration,
    NewInstrument,
    NewLoan,
    Why,
)

router = APIRouter(prefix="/v1", tags=["instruments"], route_class=CallRoute, responses=RESPONSES)

LOOKERS = [allow(*STAFF, *FIELD)]
LENDERS = [allow("agent", "dispatcher", "partner_manager", "service")]


def _shown(response: Response, found: dict[str, object]) -> Instrument:
    instrument = Instrument.model_validate(found)
    tag(response, instrument.version)
    return instrument


@router.post("/instruments", status_code=201, dependencies=LENDERS)
async def add_instrument(body: NewInstrument, call: CurrentCall, response: Response) -> Instrument:
    """Add a tool or an instrument."""
    return _shown(response, await service.add_instrument(call, body))


@router.get("/instruments", dependencies=LOOKERS)
async def list_instruments(
    page: CurrentPage,
    call: CurrentCall,
    kind: Annotated[Name | None, Query()] = None,
    state: Annotated[InstrumentState | None, Query()] = None,
    *,
    warehouse: Annotated[Code | None, Query()] = None,
    calibrated_before: Annotated[date | None, Query(description="in use, and calibrated until before this day")] = None,
) -> Page[Instrument]:
    """All instruments, or those that fit."""
    wanted = {"kind": kind, "state": state, "warehouse": warehouse, "calibrated_before": calibrated_before}
    rows = await service.rows(call, "list_instruments", {**page.parameters, **wanted, "today": call.now.date()})
    return Page[Instrument].model_validate(page.page(rows, "instrument_id"))


@router.get("/instruments/{instrument_id}", dependencies=LOOKERS)
async def get_instrument(instrument_id: Id, call: CurrentCall, response: Response) -> Instrument:
    """One instrument."""
    return _shown(response, await service.get_instrument(call, instrument_id))


@router.patch("/instruments/{instrument_id}", dependencies=LENDERS)
async def change_instrument(
    instrument_id: Id, body: InstrumentChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Instrument:
    """Change an instrument; needs If-Match."""
    version = require_version(if_match)
    return _shown(response, await service.change_instrument(call, instrument_id, body, version))


@router.post("/instruments/{instrument_id}/send-to-calibration", dependencies=LENDERS)
async def send_to_calibration(instrument_id: Id, call: CurrentCall, response: Response) -> Instrument:
    """Note that an instrument is away to be calibrated."""
    return _shown(response, await service.move(call, instrument_id, "send"))


@router.post("/instruments/{instrument_id}/block", dependencies=LENDERS)
async def block_instrument(instrument_id: Id, body: Why, call: CurrentCall, response: Response) -> Instrument:
    """Lend an instrument no more until somebody releases it."""
    return _shown(response, await service.move(call, instrument_id, "block", body.reason))


@router.post("/instruments/{instrument_id}/release", dependencies=LENDERS)
async def release_instrument(instrument_id: Id, body: Why, call: CurrentCall, response: Response) -> Instrument:
    """Let a blocked instrument be lent again."""
    return _shown(response, await service.move(call, instrument_id, "release", body.reason))


@router.post("/instruments/{instrument_id}/lose", dependencies=LENDERS)
async def lose_instrument(instrument_id: Id, body: Why, call: CurrentCall, response: Response) -> Instrument:
    """Note that an instrument cannot be found; one that is lent is lost by its loan."""
    return _shown(response, await service.move(call, instrument_id, "lose", body.reason))


@router.post("/instruments/{instrument_id}/find", dependencies=LENDERS)
async def find_instrument(instrument_id: Id, body: Why, call: CurrentCall, response: Response) -> Instrument:
    """Note that a lost instrument is there again; it stays blocked until somebody has looked at it."""
    return _shown(response, await service.move(call, instrument_id, "find", body.reason))


@router.post("/instruments/{instrument_id}/scrap", dependencies=LENDERS)
async def scrap_instrument(instrument_id: Id, body: Why, call: CurrentCall, response: Response) -> Instrument:
    """Take an instrument out of use for good."""
    return _shown(response, await service.move(call, instrument_id, "scrap", body.reason))


@router.post("/instruments/{instrument_id}/calibrations", status_code=201, dependencies=LENDERS)
async def calibrate(instrument_id: Id, body: NewCalibration, call: CurrentCall) -> CalibrationDone:
    """Record a calibration; one that was off tells which loans it puts in doubt."""
    return CalibrationDone.model_validate(await service.calibrate(call, instrument_id, body))


@router.get("/instruments/{instrument_id}/calibrations", dependencies=LOOKERS)
async def list_calibrations(instrument_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Calibration]:
    """The calibrations of an instrument."""
    await service.get_instrument(call, instrument_id)
    rows = await service.rows(call, "list_calibrations", {**page.parameters, "instrument_id": instrument_id})
    return Page[Calibration].model_validate(page.page(rows, "instrument_calibration_id"))


@router.post("/instruments/{instrument_id}/loans", status_code=201, dependencies=LENDERS)
async def lend(instrument_id: Id, body: NewLoan, call: CurrentCall) -> Loan:
    """Lend an instrument to a technician."""
    return Loan(**await loans.lend(call, instrument_id, body))


@router.get("/instrument-loans", dependencies=LOOKERS)
async def list_loans(
    page: CurrentPage,
    call: CurrentCall,
    instrument_id: Annotated[Id | None, Query()] = None,
    technician_id: Annotated[Id | None, Query()] = None,
    state: Annotated[LoanState | None, Query()] = None,
) -> Page[Loan]:
    """Loans, of one instrument, one technician or in one state if wished."""
    wanted = {"instrument_id": instrument_id, "technician_id": technician_id, "state": state}
    rows = await service.rows(call, "list_loans", {**page.parameters, **wanted})
    return Page[Loan].model_validate(page.page(rows, "instrument_loan_id"))


@router.get("/instrument-loans/{instrument_loan_id}", dependencies=LOOKERS)
async def get_loan(instrument_loan_id: Id, call: CurrentCall) -> Loan:
    """One loan."""
    return Loan(**await loans.get_loan(call, instrument_loan_id))


@router.post("/instrument-loans/{instrument_loan_id}/extend", dependencies=LENDERS)
async def extend_loan(instrument_loan_id: Id, body: Extension, call: CurrentCall) -> Loan:
    """Give a loan more time."""
    return Loan(**await loans.extend(call, instrument_loan_id, body.due_back_on))


@router.post("/instrument-loans/{instrument_loan_id}/give-back", dependencies=LENDERS)
async def give_back(instrument_loan_id: Id, body: GivingBack, call: CurrentCall) -> Loan:
    """Take an instrument back."""
    return Loan(**await loans.give_back(call, instrument_loan_id, body))


@router.post("/instrument-loans/{instrument_loan_id}/lose", dependencies=LENDERS)
async def lose_loan(instrument_loan_id: Id, body: Why, call: CurrentCall) -> Loan:
    """Note that an instrument does not come back."""
    return Loan(**await loans.lose(call, instrument_loan_id, body.reason))
