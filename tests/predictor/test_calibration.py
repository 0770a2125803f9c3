"""Probabilities that mean what they say."""

import numpy as np
import pytest

from predictor.calibration import Calibration, fit_calibration, log_odds


def test_scores_that_are_too_sure_are_brought_back():
    rng = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(-rng.normal(-2, 1.5, 20_000)))
    failed = rng.random(20_000) < truth
    scores = 1 / (1 + np.exp(-(2.0 * log_odds(truth) + 1.0)))
    calibrated = fit_calibration(scores, failed).apply(scores)
    assert np.abs(calibrated - truth).max() < 0.03


def test_separable_scores_and_wild_starts_do_not_run_away():
    scores = np.array([1e-6] * 1000 + [1 - 1e-6] * 5)
    calibration = fit_calibration(scores, scores > 0.5)
    assert 0.3 < calibration.slope < 3
    assert np.isfinite(calibration.apply(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("failed", [np.zeros(9, bool), np.ones(9, bool), np.zeros(0, bool)])
def test_without_both_outcomes_scores_stay_as_they_are(failed):
    assert fit_calibration(np.full(len(failed), 0.3), failed) == Calibration()


def test_few_failures_move_little():
    few = fit_calibration(np.array([0.2, 0.2, 0.2, 0.9]), np.array([True, False, False, False]))
    assert abs(few.slope - 1) < 0.5
    assert abs(few.offset) < 0.5
