"""What counts as a failure foreseen, and what nobody can know."""

import numpy as np
import pytest

from predictor.fleet import Decisions
from predictor.labels import label


@pytest.fixture
def labels_of(park):
    def labels(hours, *, until=300, horizon=24, failures=(), replacements=()):
        pumps = park(assets=1, hours=400)
        pumps.failures += [(0, "seal", hour) for hour in failures]
        pumps.replacements += [(0, "seal", hour, why) for hour, why in replacements]
        history = pumps.history()
        start = history.grid.first_hour
        decisions = Decisions(np.zeros(len(hours), np.int64), start + np.array(hours))
        result = label(history, "seal", decisions, horizon, start + until)
        return result.failed.tolist(), result.known.tolist()

    return labels


def test_a_failure_counts_from_strictly_after_the_decision_to_the_horizons_end(labels_of):
    failed, known = labels_of([75, 76, 99, 102], failures=[100], replacements=[(100, "failure")])
    assert failed == [False, True, True, False]
    assert known == [True] * 4


def test_a_component_that_is_down_teaches_nothing_until_it_is_replaced(labels_of):
    _, known = labels_of([99, 100, 104, 105, 106], failures=[100], replacements=[(105, "failure")])
    assert known == [True, False, False, False, True]


def test_a_failure_without_a_recorded_replacement_is_over_after_one_horizon(labels_of):
    _, known = labels_of([100, 124, 125], failures=[100])
    assert known == [False, False, True]


@pytest.mark.parametrize("why", ["preventive", "scheduled"])
def test_a_replacement_before_the_failure_leaves_open_what_would_have_been(labels_of, why):
    failed, known = labels_of([80, 89, 91, 96], replacements=[(96, why)])
    assert known == [False, False, False, True]
    assert failed[3] is False


def test_a_failure_before_the_replacement_is_known(labels_of):
    failed, known = labels_of([90], failures=[95], replacements=[(96, "preventive")])
    assert (failed, known) == ([True], [True])


def test_a_horizon_that_reaches_past_what_is_known_has_no_label(labels_of):
    failed, known = labels_of([276, 277], failures=[290])
    assert known == [True, False]
    assert failed[0] is True
