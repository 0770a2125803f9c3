"""When a planned visit pays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.decide import Costs, Quiet, Record, best_threshold, cost_of, decide
from predictor.timeline import HOUR_MS, NEVER_MS

COSTS = Costs(failure_minor=50_000, planned_minor=10_000)
HORIZON = 24


def record(hours, failures=(), renewals=(), down=()):
    """One asset's decisions."""
    hour = np.array(hours)

    def following(times):
        return np.array([min((t * HOUR_MS for t in times if t > h), default=NEVER_MS) for h in hours])

    return Record(np.zeros(len(hour), np.int64), hour, following(failures), following(renewals), np.isin(hour, down))


def cost(rows, raised_at):
    return cost_of(rows, np.isin(rows.hour, raised_at), HORIZON, COSTS)


def test_a_ticket_in_time_costs_its_visit_and_saves_the_failure():
    rows = record(range(0, 200, 3), failures=[100])
    assert cost(rows, []) == 50_000
    assert cost(rows, [78]) == 10_000


def test_one_case_is_open_at_a_time():
    rows = record(range(0, 200, 3), failures=[100])
    assert cost(rows, [78, 81, 84, 99]) == 10_000


def test_a_ticket_too_early_blocks_the_one_in_time():
    rows = record(range(0, 200, 3), failures=[100])
    assert cost(rows, [60, 78]) == 60_000
    assert cost(rows, [48, 99]) == 20_000  # 48 + 2 horizons is over by 99


def test_a_replacement_ends_a_case_and_a_component_that_is_down_opens_none():
    rows = record(range(0, 200, 3), failures=[150], renewals=[63], down=[66])
    assert cost(rows, [60, 66, 129]) == 20_000


def test_the_threshold_is_one_that_would_have_cost_least():
    hours = list(range(0, 600, 3))
    rows = record(hours, failures=[100, 400])
    probabilities = np.full(len(hours), 0.05)
    probabilities[(rows.hour >= 78) & (rows.hour < 100)] = 0.9
    probabilities[(rows.hour >= 378) & (rows.hour < 400)] = 0.8
    probabilities[(rows.hour >= 360) & (rows.hour < 378)] = 0.6  # too early
    threshold = best_threshold(rows, probabilities, HORIZON, COSTS)
    assert 0.6 < threshold <= 0.8
    assert cost_of(rows, probabilities >= threshold, HORIZON, COSTS) == 20_000


@given(st.floats(0, 1), st.floats(0.01, 1e6), st.floats(0, 1e6))
def test_nothing_is_raised_below_the_break_even(probability, failure_minor, planned_minor):
    costs = Costs(failure_minor, planned_minor)
    threshold = best_threshold(record([0, 3], failures=[5]), np.array([probability, probability]), HORIZON, costs)
    assert threshold >= min(costs.break_even, 0.95) - 1e-9
    assert 0 < threshold <= 1


def test_a_failure_that_costs_nothing_is_never_worth_a_visit():
    assert Costs(failure_minor=0, planned_minor=10).break_even == 1.0


@pytest.mark.parametrize(
    ("probability", "hour", "verdict"),
    [(0.49, 10, "wait"), (0.5, 10, "quiet"), (0.6, 10, "quiet"), (0.95, 10, "raise"), (0.6, 20, "raise")],
)
def test_after_no_fault_found_only_clearly_new_evidence_or_time_breaks_the_quiet(probability, hour, verdict):
    quiet = Quiet(until_hour=20, probability=0.6)
    assert decide(probability, 0.5, hour=hour, quiet=quiet) == verdict
