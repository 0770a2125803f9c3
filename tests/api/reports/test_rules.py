"""The whole report on facts small enough to compute by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from api.reports.lives import Asset, Failure, Replacement
from api.reports.rules import Facts, Period, PreventiveTicket, report_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


FACTS = Facts(
    assets=[
        Asset(1, "HD-5", START),
        Asset(2, "HD-5", at(100)),
        Asset(3, "HD-5", START, retired_at=at(50)),
        Asset(4, "WM", at(500)),
    ],
    components=[("HD-5", "hose"), ("HD-5", "pump"), ("WM", "drum")],
    failures=[Failure(1, "pump", at(200), at(204)), Failure(2, "pump", at(300))],
    replacements=[
        Replacement(1, "pump", at(203), "failure"),
        Replacement(2, "pump", at(302), "failure"),
        Replacement(1, "hose", at(600), "preventive"),
    ],
    tickets=[
        PreventiveTicket(1, "pump", at(180), at(205), "confirmed"),
        # Opened at the very moment, and closed long before: neither caught the other failure.
        PreventiveTicket(2, "pump", at(300), None, None),
        PreventiveTicket(2, "pump", at(150), at(160), "no_fault_found"),
        PreventiveTicket(1, "hose", at(560), at(600), "prevented"),
        PreventiveTicket(1, "hose", at(700), at(710), None),
    ],
)


def test_by_hand() -> None:
    report = report_of(FACTS, Period(None, at(1000)))
    hose, pump, drum = report.groups
    assert [(group.model, group.component, group.assets) for group in report.groups] == [
        ("HD-5", "hose", 3),
        ("HD-5", "pump", 3),
        ("WM", "drum", 1),
    ]
    assert pump.exposure_hours == 1000 + 900 + 50
    assert (pump.failures, pump.mtbf_hours.estimate) == (2, 975.0)
    assert (pump.repairs, pump.mttr_hours.estimate) == (1, 4.0)
    assert (pump.life.lives, pump.life.failed) == (5, 2)
    assert (hose.failures, hose.mtbf_hours.estimate, hose.life.censored) == (0, None, 4)
    assert drum.exposure_hours == 500
    assert report.exposure_hours == 2450

    prevention = report.prevention
    assert prevention.tickets == 5
    assert prevention.by_outcome == {"cancelled": 1, "confirmed": 1, "no_fault_found": 1, "open": 1, "prevented": 1}
    assert (prevention.failures, prevention.failures_caught, prevention.replaced_before_failing) == (2, 1, 1)
    # 20 hours before the failure, 40 before the replacement.
    assert prevention.median_lead_hours == 30.0


def test_a_ticket_catches_one_failure_and_a_failure_is_caught_once() -> None:
    facts = Facts(
        assets=[Asset(1, "HD-5", START)],
        components=[],
        failures=[Failure(1, "pump", at(100), at(101)), Failure(1, "pump", at(110), at(111))],
        replacements=[],
        # The case stays open after the failure it foretold until somebody has been there: at 200.
        tickets=[
            PreventiveTicket(1, "pump", at(70), at(200), "confirmed"),
            PreventiveTicket(1, "pump", at(90), at(200), "confirmed"),
        ],
    )
    prevention = report_of(facts, Period(None, at(1000))).prevention
    assert (prevention.failures, prevention.failures_caught, prevention.median_lead_hours) == (2, 1, 30.0)


def test_a_period_counts_what_is_in_it() -> None:
    report = report_of(FACTS, Period(at(250), at(700)))
    _, pump, drum = report.groups
    assert pump.exposure_hours == 450 + 450
    assert (pump.failures, pump.repairs) == (1, 0)
    assert drum.exposure_hours == 200
    assert (report.prevention.tickets, report.prevention.failures_caught) == (2, 0)


def test_zero_exposure_and_nothing_at_all() -> None:
    unborn = report_of(Facts([], [("HD-5", "pump")], [], [], []), Period(None, START))
    (group,) = unborn.groups
    assert (group.exposure_hours, group.mtbf_hours.lower, group.life.curve) == (0.0, None, ())
    assert report_of(Facts([], [], [], [], []), Period(None, START)).groups == ()


def test_a_component_that_no_model_declares_is_reported_where_it_failed() -> None:
    facts = Facts([Asset(1, "HD-5", START)], [], [Failure(1, "lance", at(10))], [], [])
    (group,) = report_of(facts, Period(None, at(100))).groups
    assert (group.component, group.failures, group.mtbf_hours.estimate) == ("lance", 1, pytest.approx(100.0))
