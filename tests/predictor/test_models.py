"""Training: the same for the same history, and of use."""

import numpy as np
import pytest

from predictor.features.matrix import FeaturePlan, feature_matrix
from predictor.fleet import Decisions
from predictor.labels import Labels
from predictor.learners import candidates
from predictor.models import TooFewFailures, _best, train_component
from predictor.training import decision_grid, train_fleet


@pytest.fixture
def pumps(park):
    return park(assets=8, hours=40 * 24).with_failures(16)


def train(pumps, component="seal"):
    history = pumps.history()
    until = history.grid.end_hour
    results = train_fleet(history, until, least_grid_hours=6, failures_needed=5)
    return results[pumps.fleet().components.index(component)]


def test_the_same_history_gives_the_same_model(pumps):
    one, other = train(pumps), train(pumps)
    history = pumps.history()
    decisions = decision_grid(history, history.grid.end_hour, 6)
    matrix = feature_matrix(history, one.plan, decisions)
    assert one.threshold == other.threshold
    np.testing.assert_array_equal(one.probabilities(matrix), other.probabilities(matrix))


def test_a_failure_is_foreseen_on_pumps_and_weeks_not_trained_on(pumps, park):
    model = train(pumps)
    later = park(assets=8, hours=40 * 24, seed=77).with_failures(8)
    history = later.history()
    sure = []
    for asset, _, hour in later.failures:
        hours = history.grid.first_hour + np.array([hour - 120, hour - 12])
        decisions = Decisions(np.array([asset, asset]), hours)
        sure.append(model.probabilities(feature_matrix(history, model.plan, decisions)) >= model.threshold)
    healthy, failing = np.array(sure).T
    assert failing.mean() >= 0.8
    assert healthy.mean() <= 0.2


def test_a_component_with_few_failures_has_no_model_and_says_so(pumps):
    result = train(pumps, "valve")
    assert isinstance(result, TooFewFailures)
    assert str(result) == "pump/valve: 0 failures on record, a model needs 5"


def test_few_failures_give_a_model_with_a_cautious_threshold(park):
    pumps = park(assets=4, hours=40 * 24)
    for asset, hour in ((0, 400), (1, 500), (2, 600)):
        pumps.fail_seal(asset, hour)
    history = pumps.history()
    results = train_fleet(history, history.grid.end_hour, least_grid_hours=6, failures_needed=2)
    assert results[0].failures == 3
    assert results[0].threshold == 0.5


def test_a_fleet_without_any_reading_has_no_models(park):
    pumps = park(assets=2, hours=48)
    pumps.values[:] = np.nan
    history = pumps.history()
    results = train_fleet(history, history.grid.end_hour, least_grid_hours=3, failures_needed=5)
    assert [type(result) for result in results] == [TooFewFailures, TooFewFailures]


def test_training_looks_at_nothing_after_its_end(pumps):
    """Cutting the history at the end of training changes nothing."""
    history, cut = pumps.history(), pumps.history(until=600)
    until = cut.grid.end_hour
    plan = FeaturePlan.of(cut.fleet, cut.event_codes)
    models = []
    for known in (history, cut):
        decisions = decision_grid(cut, until, 6)
        matrix = feature_matrix(known, plan, decisions)
        model = train_component(known, plan, matrix, decisions, "seal", until_hour=until, failures_needed=2)
        models.append(model.probabilities(matrix))
    np.testing.assert_array_equal(*models)


def test_trees_are_tried_where_failures_are_many_or_the_record_is_long():
    assert list(candidates(failures=8, rows=2_000)) == ["logistic"]
    assert list(candidates(failures=15, rows=2_000)) == ["logistic", "boosted"]
    assert list(candidates(failures=8, rows=20_000)) == ["logistic", "boosted"]


def test_the_learner_that_does_better_on_assets_left_out_is_taken():
    """What shows only in a combination is for trees, what adds up from many sides is for the line."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4_000, 6))
    decisions = Decisions(np.arange(4_000) % 8, np.repeat(np.arange(500), 8))
    failed = (matrix[:, 0] > 0.5) ^ (matrix[:, 1] > 0.5)
    labels = Labels(failed, np.ones(4_000, dtype=bool))
    assert _best(matrix, decisions, labels, failures=50).learner == "boosted"
    wide = rng.normal(size=(2_000, 40))
    straight = Labels(wide.sum(axis=1) + rng.logistic(size=2_000) > 6, np.ones(2_000, dtype=bool))
    fewer = Decisions(decisions.asset[:2_000], decisions.hour[:2_000])
    assert _best(wide, fewer, straight, failures=50).learner == "logistic"
