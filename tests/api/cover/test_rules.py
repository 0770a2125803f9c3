"""Codes, spans and rights."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cover.rules import CODE_LENGTH, Right, first_day, hash_code, new_code, refusal_of

RIGHT = Right(days_around_expiry=30, longest_days=60, monthly_count=10, monthly_minor=10_000, day_minor=200)
TODAY = date(2026, 3, 31)


@pytest.mark.parametrize(
    ("ended_days_ago", "days", "granted", "code"),
    [
        (0, 30, 0, None),
        (30, 30, 0, None),
        (30, 29, 0, "too-short"),
        (31, 40, 0, "too-late"),
        (-30, 60, 0, None),
        (-31, 60, 0, "too-early"),
        (0, 61, 0, "too-long"),
        (0, 20, 40, None),
        (0, 21, 40, "too-long"),
        (0, 1, 90, "too-long"),
    ],
)
def test_what_is_within_a_right(ended_days_ago, days, granted, code) -> None:
    covered_until = TODAY - timedelta(days=ended_days_ago)
    refusal = refusal_of(RIGHT, covered_until=covered_until, today=TODAY, days=days, granted_days=granted)
    assert (refusal.code if refusal else None) == code


@given(st.integers(-100, 100), st.integers(1, 100), st.integers(0, 100), st.integers(0, 50), st.integers(0, 50))
def test_a_wider_right_never_refuses_more(ended_days_ago, days, granted, wider, longer) -> None:
    case = {
        "covered_until": TODAY - timedelta(days=ended_days_ago),
        "today": TODAY,
        "days": days,
        "granted_days": granted,
    }
    wide = Right(30 + wider, 60 + longer, 10, 10_000, 200)
    if refusal_of(RIGHT, **case) is None:
        assert refusal_of(wide, **case) is None


def test_codes_are_read_however_they_are_typed() -> None:
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    for code in codes:
        assert len(code.replace("-", "")) == CODE_LENGTH
        typed = code.replace("-", " ").lower().replace("0", "o").replace("1", "l")
        assert hash_code(typed) == hash_code(code)
    assert len({hash_code(code) for code in codes}) == 50


def test_when_a_contract_starts() -> None:
    until = TODAY + timedelta(days=10)
    assert first_day("after_warranty", TODAY, until) == until + timedelta(days=1)
    assert first_day("after_warranty", TODAY, TODAY - timedelta(days=5)) == TODAY
    assert first_day("after_warranty", TODAY, None) == TODAY
    assert first_day("activation", TODAY, until) == TODAY
