"""Estimates against textbooks and published data."""

import csv
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from api.reports.estimates import component_life, mtbf, mttr
from api.reports.lives import Life

START = datetime(2026, 1, 1, tzinfo=UTC)


def lives(*hours_failed: tuple[float, bool], starts_at: datetime = START) -> list[Life]:
    return [Life(starts_at, starts_at + timedelta(hours=hours), failed) for hours, failed in hours_failed]


# NIST/SEMATECH e-Handbook 8.4.5.1, table of multipliers of the MTBF for two-sided 95 % bounds.
@pytest.mark.parametrize(
    ("failures", "lower", "upper"),
    [(1, 0.1795, 39.4978), (2, 0.2768, 8.2573), (5, 0.4285, 3.0798), (10, 0.5438, 2.0853)],
)
def test_bounds_of_the_mtbf_are_those_of_the_nist_handbook(failures, lower, upper) -> None:
    estimate = mtbf(1600.0, failures)
    assert estimate.estimate == 1600 / failures
    assert estimate.lower / estimate.estimate == pytest.approx(lower, abs=5e-5)
    assert estimate.upper / estimate.estimate == pytest.approx(upper, abs=5e-4)


def test_without_a_failure_there_is_only_a_lower_bound_and_without_operation_nothing() -> None:
    assert mtbf(2996.0, 0).estimate is None
    # The rule of three: T/3.
    assert mtbf(2996.0, 0).lower == pytest.approx(1000.0, rel=1e-3)
    assert mtbf(2996.0, 0).upper is None
    assert mtbf(0.0, 0) == mttr([])


def test_the_mtbf_of_nelsons_generator_fans(shared_data) -> None:
    """Nelson, Applied Life Data Analysis (1982): 12 failures of 70 fans in 344,440 hours, mean life 28,700 hours."""
    with (shared_data / "reliability" / "fan.csv").open() as table:
        rows = [(float(row["hours"]), row["event"], int(float(row["count"]))) for row in csv.DictReader(table)]
    hours = sum(row[0] * row[2] for row in rows)
    failures = sum(row[2] for row in rows if row[1] == "Fail")
    assert (hours, failures) == (344_440.0, 12)
    estimate = mtbf(hours, failures)
    assert estimate.estimate == pytest.approx(28_703, abs=1)
    # χ²(0.975; 26) = 41.923 and χ²(0.025; 24) = 12.401.
    assert (estimate.lower, estimate.upper) == pytest.approx((2 * hours / 41.923, 2 * hours / 12.401), rel=1e-4)


def test_the_mttr_has_lognormal_bounds_from_three_repairs_on() -> None:
    assert mttr([2.0, 4.0]) == mttr([4.0, 2.0])
    assert (mttr([2.0, 4.0]).estimate, mttr([2.0, 4.0]).lower) == (3.0, None)
    # Logarithms 0, 1, 2: mean 1, variance 1; t(0.975; 2) = 4.3027; width 4.3027·√(1/3 + 1/4).
    estimate = mttr([1.0, math.e, math.e**2])
    assert estimate.estimate == pytest.approx((1 + math.e + math.e**2) / 3)
    width = 4.30265 * math.sqrt(1 / 3 + 1 / 4)
    assert estimate.lower == pytest.approx(math.exp(1.5 - width), rel=1e-4)
    assert estimate.upper == pytest.approx(math.exp(1.5 + width), rel=1e-4)
    assert mttr([0.0, 1.0, 2.0]).lower > 0


# Freireich et al. (1963), weeks in remission under 6-mercaptopurine; the table stands in every textbook on survival.
REMISSION = [
    (6, 1),
    (6, 1),
    (6, 1),
    (6, 0),
    (7, 1),
    (9, 0),
    (10, 1),
    (10, 0),
    (11, 0),
    (13, 1),
    (16, 1),
    (17, 0),
    (19, 0),
]
REMISSION += [(20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0)]


def test_kaplan_meier_gives_the_textbooks_remission_times() -> None:
    life = component_life(lives(*((week, bool(end)) for week, end in REMISSION)), None)
    table = {point.hours: round(point.survival, 3) for point in life.curve}
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert table == {0: 1.0, **published, 35: 0.448}
    assert [point.at_risk for point in life.curve] == [21, 21, 17, 15, 12, 11, 7, 6, 1]
    assert (life.lives, life.failed, life.censored) == (21, 9, 12)
    assert (life.median_hours.estimate, life.median_hours.lower, life.median_hours.upper) == (23.0, 13.0, None)
    # Log-log Greenwood at 6 weeks, by hand: S = 6/7, θ = √(Σ d/(n(n-d)))/ln S.
    theta = math.sqrt(3 / (21 * 18)) / math.log(6 / 7)
    bounds = sorted((6 / 7) ** math.exp(sign * 1.959964 * theta) for sign in (1, -1))
    assert [life.curve[1].lower, life.curve[1].upper] == pytest.approx(bounds, rel=1e-6)


@pytest.mark.parametrize(
    ("file", "column", "failed"), [("shockabsorber", "miles", "Failure"), ("fan", "hours", "Fail")]
)
def test_kaplan_meier_is_the_product_limit_on_published_tables(shared_data, file, column, failed) -> None:
    with (shared_data / "reliability" / f"{file}.csv").open() as table:
        observed = [
            (float(row[column]), row["event"] == failed)
            for row in csv.DictReader(table)
            for _ in range(int(float(row.get("count", 1))))
        ]
    share = Fraction(1)
    expected: dict[float, float] = {}
    for age in sorted({age for age, failed_then in observed if failed_then}):
        at_risk = sum(1 for other, _ in observed if other >= age)
        share *= 1 - Fraction(observed.count((age, True)), at_risk)
        expected[age] = float(share)
    life = component_life(lives(*observed), None)
    assert {point.hours: point.survival for point in life.curve[1:] if point.hours in expected} == pytest.approx(
        expected
    )
    assert all(point.lower <= point.survival <= point.upper for point in life.curve)


def test_one_failure_all_censored_and_nothing_are_told_honestly() -> None:
    one = component_life(lives((50, True)), None)
    assert (one.median_hours.estimate, one.curve[-1].survival) == (50.0, 0.0)
    censored = component_life(lives((50, False), (70, False)), None)
    assert (censored.failed, censored.median_hours.estimate) == (0, None)
    assert [point.survival for point in censored.curve] == [1.0, 1.0]
    nothing = component_life([], None)
    assert (nothing.curve, nothing.note) == ((), "nothing was observed")


def test_older_components_enter_late() -> None:
    since = START + timedelta(hours=40)
    seen = [*lives((30, True), (50, True), (100, False)), *lives((10, True), (60, False), (60, False), starts_at=since)]
    life = component_life(seen, since)
    # The first ended before the period. At 10 only the three of the period are at risk; at 50 four, two of them older.
    assert [(point.hours, point.at_risk) for point in life.curve] == [(0, 3), (10, 3), (50, 4), (100, 1)]
    assert [point.survival for point in life.curve] == pytest.approx([1, 2 / 3, 2 / 3 * 3 / 4, 1 / 2])
    assert life.note == "2 of 5 began before the period and enter at their age then"


def test_where_late_entries_break_the_estimate_only_the_young_are_used() -> None:
    since = START + timedelta(hours=40)
    # The one young component fails before any older one is in view: the product would stay at zero.
    seen = [*lives((50, True), (60, True)), *lives((10, True), starts_at=since)]
    life = component_life(seen, since)
    assert (life.lives, life.failed) == (1, 1)
    assert life.note == "only the 1 installed within the period; the 2 older ones cannot be used"
    old = component_life(lives((50, True)), since)
    assert (old.curve, old.note) == ((), "all began before the period: nothing is known of their youth")
