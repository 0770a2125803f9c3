"""When an instrument may be lent, how long its calibration holds, and what is said of it: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from api.conventions.states import StateMachine

INSTRUMENT = StateMachine(
    name="instrument",
    initial="available",
    moves={
        "available": {
            "lend": "lent",
            "send": "in_calibration",
            "pass": "available",
            "fail": "blocked",
            "block": "blocked",
            "lose": "lost",
            "scrap": "scrapped",
        },
        "lent": {"give_back": "available", "give_back_damaged": "blocked", "lose": "lost"},
        "in_calibration": {"pass": "available", "fail": "blocked", "lose": "lost"},
        "blocked": {
            "send": "in_calibration",
            "pass": "available",
            "fail": "blocked",
            "release": "available",
            "lose": "lost",
            "scrap": "scrapped",
        },
        "lost": {"find": "blocked"},
        "scrapped": {},
    },
    notes="Whether its calibration holds is no state: it follows from the day. What is found again is looked at first.",
)

LOAN = StateMachine(
    name="instrument_loan",
    initial="lent",
    moves={
        "lent": {"fall_due": "overdue", "extend": "lent", "give_back": "returned", "lose": "lost"},
        "overdue": {"remind": "overdue", "extend": "lent", "give_back": "returned", "lose": "lost"},
        "returned": {},
        "lost": {},
    },
    notes="An instrument is lent to one technician at a time; the database holds that by an index.",
)

# How long before its calibration ends somebody is told, and how often one is asked for that is not back.
NOTICE_DAYS = 14
REMIND_EVERY_DAYS = 7


@dataclass(frozen=True)
class Refusal:
    """Why an instrument is not lent.

    Attributes:
        slug: Of the problem.
        detail: In words, with the remedy.
    """

    slug: str
    detail: str


def calibrated_until(calibrated_on: date, days: int) -> date:
    """The last day on which a calibration of a day holds."""
    return calibrated_on + timedelta(days=days)


def refusal_of_loan(instrument: Mapping[str, Any], due_back_on: date, today: date) -> Refusal | None:
    """Why an instrument may not be lent until a day; None when it may.

    Args:
        instrument: With `code`, `calibration_days` and `calibrated_until`.
        due_back_on: The last day of the loan.
        today: The first.
    """
    if instrument["calibration_days"] is None:
        return None
    code, until = instrument["code"], instrument["calibrated_until"]
    if until is None:
        return Refusal("calibration-missing", f"{code} has never been calibrated; record a calibration first")
    if until < today:
        return Refusal("calibration-expired", f"the calibration of {code} ended on {until}; have it calibrated first")
    if until < due_back_on:
        detail = f"the calibration of {code} ends on {until}; lend it until then, or have it calibrated first"
        return Refusal("calibration-ends-first", detail)
    return None


def overdue_text(loan: Mapping[str, Any], today: date) -> str:
    """What is said of an instrument that is not back."""
    days = (today - loan["due_back_on"]).days
    said = f"{loan['name']} ({loan['code']}) was due back on {loan['due_back_on']}, {days} days ago"
    return f"{said}. {loan['technician']} has it since {loan['lent_at']:%Y-%m-%d}; ask for it, or extend the loan."


def calibration_text(instrument: Mapping[str, Any], today: date) -> str:
    """What is said of an instrument whose calibration ends."""
    until = instrument["calibrated_until"]
    ends = f"ended on {until}" if until < today else f"ends on {until}"
    where = "lent; ask for it" if instrument["state"] == "lent" else "in its place"
    return f"The calibration of {instrument['name']} ({instrument['code']}) {ends}. It is {where}; have it calibrated."
