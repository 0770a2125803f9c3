"""Which policy holds for a machine, since when, and what follows from a change."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.warranty.derivation import EARLIEST, LATEST, Machine, Policy, changes, choose, last_day, start_of

ANY = frozenset()
WORLD = Policy(1, 1, None, None, date(2020, 1, 1), None, "installation", 0, ANY, ANY)
KIND = replace(WORLD, policy_id=2, kind="pressure_washer")
MODEL = replace(WORLD, policy_id=3, model_id=5)
GERMAN = replace(WORLD, policy_id=4, model_id=5, countries=frozenset({"DE"}))
BUSINESS = replace(WORLD, policy_id=5, model_id=5, customer_kinds=frozenset({"business"}))
OLD = replace(WORLD, policy_id=6, model_id=5, valid_from=date(2010, 1, 1), valid_to=date(2019, 12, 31))
ALL = (WORLD, KIND, MODEL, GERMAN, BUSINESS, OLD)
MACHINE = Machine(installed_on=date(2025, 1, 31))


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        ({}, MODEL),
        ({"country": "DE"}, GERMAN),
        ({"country": "FR"}, MODEL),
        ({"customer_kind": "business"}, BUSINESS),
        ({"customer_kind": "business", "country": "DE"}, BUSINESS),
        ({"customer_kind": "consumer"}, MODEL),
        ({"sold_on": date(2019, 12, 31)}, OLD),
        ({"sold_on": date(2019, 12, 31), "purchased_on": date(2020, 1, 1)}, MODEL),
        ({"sold_on": date(2009, 1, 1)}, None),
    ],
)
def test_the_most_specific_policy_of_the_day_of_sale_holds(change, chosen) -> None:
    assert choose(ALL, replace(MACHINE, **change)) is chosen


@pytest.mark.parametrize(
    ("rule", "known", "start", "awaited"),
    [
        ("installation", {}, "2025-02-10", False),
        ("production", {"produced_on": date(2024, 6, 1)}, "2024-06-11", False),
        ("production", {}, "2025-02-10", False),
        ("first_reading", {"first_reading_on": date(2025, 3, 1)}, "2025-03-11", False),
        ("first_reading", {}, "2025-02-10", True),
        ("first_reading", {"purchased_on": date(2025, 1, 2)}, "2025-01-02", False),
    ],
)
def test_when_it_starts(rule, known, start, awaited) -> None:
    policy = replace(MODEL, start_rule=rule, start_delay_days=10)
    found = start_of(policy, replace(MACHINE, **known))
    assert (found.on, found.awaited) == (date.fromisoformat(start), awaited)


def test_no_start_leaves_the_calendar() -> None:
    policy = replace(MODEL, start_delay_days=3650)
    assert start_of(policy, Machine(installed_on=date.max)).on == LATEST
    assert start_of(replace(policy, start_delay_days=0), Machine(installed_on=date.min)).on == EARLIEST
    assert last_day(LATEST, 600) == LATEST


@pytest.mark.parametrize(
    ("starts_on", "months", "ends_on"),
    [
        ("2025-01-01", 12, "2025-12-31"),
        ("2025-01-31", 1, "2025-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2025-03-15", 24, "2027-03-14"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2025-12-01", 1, "2025-12-31"),
    ],
)
def test_the_last_day_of_so_many_months(starts_on, months, ends_on) -> None:
    assert last_day(date.fromisoformat(starts_on), months) == date.fromisoformat(ends_on)


@given(st.dates(EARLIEST, date(2200, 1, 1)), st.integers(1, 599))
def test_more_months_and_later_starts_never_end_earlier(starts_on, months) -> None:
    assert starts_on <= last_day(starts_on, months) < last_day(starts_on, months + 1)
    assert last_day(starts_on, months) <= last_day(starts_on + timedelta(days=1), months)


def test_what_a_moved_start_changes() -> None:
    term = {"policy_id": 1, "starts_on": date(2025, 1, 1), "ends_on": date(2025, 12, 31), "meter_metric": None,
            "meter_limit": None, "parts": True, "labour": True, "travel": True}  # fmt: skip
    moved = {**term, "starts_on": date(2025, 2, 1), "ends_on": date(2026, 1, 31)}
    machine, motor, pump = ({**moved, "component": name} for name in (None, "motor", "pump"))
    there = [
        {**term, "component": None, "term_id": 10, "ticket_id": 77},
        {**term, "component": "motor", "term_id": 11, "ticket_id": None},
        {**moved, "component": "pump", "term_id": 12, "ticket_id": 78},
        {**term, "component": "hose", "term_id": 13, "ticket_id": None},
    ]
    to_do = changes([machine, motor, pump], there)
    assert to_do.changed == [(11, motor)]
    assert to_do.added == [machine]
    assert to_do.withdrawn == [10, 13]
    assert changes([pump], [there[2]]) == changes([], [])
