"""Bodies and answers of instruments, their loans and calibrations."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Id, Name, Text

InstrumentState = Literal["available", "lent", "in_calibration", "blocked", "lost", "scrapped"]
LoanState = Literal["lent", "overdue", "returned", "lost"]
Result = Literal["passed", "adjusted", "failed"]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Days = Annotated[int, Field(ge=1, le=3660)]


class NewInstrument(Body):
    """A tool or an instrument."""

    code: Code = Field(description="on its label")
    name: Name
    kind: Name = Field(description="what somebody asks for, e.g. torque_wrench")
    maker_serial: Text = ""
    warehouse: Code | None = Field(None, description="where it is kept")
    provider_id: Id | None = Field(None, description="whose it is; left out, the house's")
    calibration_days: Days | None = Field(None, description="how long a calibration holds; left out, it needs none")
    note: Text = ""


class InstrumentChange(Body):
    """What of an instrument may change; what is left out stays."""

    name: Name = ""
    kind: Name = ""
    maker_serial: Text = ""
    warehouse: Code | None = None
    calibration_days: Days | None = Field(None, description="counts from the next calibration on; null: it needs none")
    note: Text = ""


class Instrument(Answer):
    """A tool or an instrument."""

    instrument_id: int
    code: str
    name: str
    kind: str
    maker_serial: str
    state: InstrumentState
    warehouse: str | None
    provider_id: int | None
    calibration_days: int | None
    calibrated_on: date | None
    calibrated_until: date | None = Field(description="the last day on which it may be used")
    lendable: bool = Field(description="it is there, and its calibration holds today")
    instrument_loan_id: int | None = Field(description="of the loan that runs")
    note: str
    version: int


class NewLoan(Body):
    """Who gets it, and until when."""

    technician_id: Id
    due_back_on: date = Field(description="the last day")
    ticket_id: Id | None = None


class Extension(Body):
    """A later last day."""

    due_back_on: date


class GivingBack(Body):
    """In which condition it came back."""

    condition: Text = ""
    damaged: bool = Field(False, description="it is blocked, and not lent until somebody releases it")


class Why(Body):
    """A reason in words."""

    reason: Name


class Loan(Answer):
    """An instrument in somebody's hands."""

    instrument_loan_id: int
    instrument_id: int
    code: str
    name: str
    technician_id: int
    technician: str
    ticket_id: int | None
    state: LoanState
    lent_at: datetime
    lent_by: str
    due_back_on: date
    ended_at: datetime | None
    condition: str
    reminders: int
    version: int


class NewCalibration(Body):
    """What a calibration found."""

    result: Result = Field(description="adjusted: it was off and was put right; failed: it cannot be")
    calibrated_on: date
    calibrated_until: date | None = Field(None, description="left out: as long as its calibrations hold")
    laboratory: Text = ""
    certificate_file_id: Id | None = Field(None, description="POSTed to /v1/files before")
    note: Text = ""

    @model_validator(mode="after")
    def _until_when(self) -> "NewCalibration":
        if self.calibrated_until is not None and self.result == "failed":
            raise ValueError("calibrated_until: a calibration that failed holds for no day")
        if self.calibrated_until is not None and self.calibrated_until < self.calibrated_on:
            raise ValueError("calibrated_until must not be before calibrated_on")
        return self


class Calibration(Answer):
    """A calibration."""

    instrument_calibration_id: int
    result: Result
    calibrated_on: date
    calibrated_until: date | None
    laboratory: str
    certificate_file_id: int | None
    note: str
    recorded_by: str
    recorded_at: datetime


class CalibrationDone(Answer):
    """A calibration, the instrument after it, and what it puts in doubt."""

    calibration: Calibration
    instrument: Instrument
    doubtful_loans: list[Loan] = Field(
        description="when it was off: the loans since the calibration before, whose measurements are in doubt"
    )
