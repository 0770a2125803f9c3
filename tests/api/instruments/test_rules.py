"""When an instrument may be lent: pure."""

from datetime import date

import pytest

from api.instruments.rules import calibrated_until, refusal_of_loan

TODAY = date(2026, 7, 1)


@pytest.mark.parametrize(
    ("days", "until", "back_on", "slug"),
    [
        (None, None, date(2027, 1, 1), None),
        (365, None, TODAY, "calibration-missing"),
        (365, date(2026, 6, 30), TODAY, "calibration-expired"),
        (365, date(2026, 7, 1), TODAY, None),
        (365, date(2026, 7, 1), date(2026, 7, 2), "calibration-ends-first"),
    ],
)
def test_an_instrument_is_lent_only_while_its_calibration_holds(days, until, back_on, slug) -> None:
    instrument = {"code": "TW-1", "calibration_days": days, "calibrated_until": until}
    refusal = refusal_of_loan(instrument, back_on, TODAY)
    assert (refusal and refusal.slug) == slug


def test_a_calibration_holds_its_days() -> None:
    assert calibrated_until(date(2026, 2, 28), 1) == date(2026, 3, 1)
