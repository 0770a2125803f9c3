"""From a classifier's scores to probabilities that mean what they say."""

from dataclasses import dataclass

import numpy as np

from predictor.timeline import BoolArray, FloatArray

SMALLEST = 1e-6
ITERATIONS = 50
TOLERANCE = 1e-9
PRIOR_STRENGTH = 4.0
"""Pulls the map towards leaving scores as they are, so that few failures move it little."""


@dataclass(frozen=True)
class Calibration:
    """Platt's map: log-odds' = slope × log-odds + offset (Platt 1999), found on predictions of times not trained on."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, scores: FloatArray) -> FloatArray:
        """Probabilities from scores, both in [0, 1].

        >>> Calibration().apply(np.array([0.25])).round(6).tolist()
        [0.25]
        """
        return self.apply_odds(log_odds(scores))

    def apply_odds(self, odds: FloatArray) -> FloatArray:
        """The same from log-odds."""
        return _expit(self.slope * odds + self.offset)


def log_odds(probabilities: FloatArray) -> FloatArray:
    """Natural log of p / (1 − p), with p kept off 0 and 1."""
    clipped = np.clip(probabilities, SMALLEST, 1.0 - SMALLEST)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def fit_calibration(scores: FloatArray, failed: BoolArray) -> Calibration:
    """Fit Platt's map by Newton's method, with a quadratic penalty that holds it near the identity.

    Args:
        scores: Predictions of a classifier that has not seen these rows; shape (n,).
        failed: What became of them; shape (n,).

    >>> calibration = fit_calibration(np.array([0.9] * 50 + [0.1] * 50), np.array([True, False] * 50))
    >>> bool(abs(calibration.apply(np.array([0.9]))[0] - 0.5) < 0.05)
    True
    """
    if not failed.any() or failed.all():
        return Calibration()
    columns = np.stack([log_odds(scores), np.ones(len(scores))], axis=1)
    target = failed.astype(float)
    prior = np.array([1.0, 0.0])

    def loss(weights: FloatArray) -> float:
        odds = columns @ weights
        penalty = 0.5 * PRIOR_STRENGTH * float(((weights - prior) ** 2).sum())
        return float((np.logaddexp(0.0, odds) - target * odds).sum()) + penalty

    weights = prior.copy()
    for _ in range(ITERATIONS):
        probability = _expit(columns @ weights)
        gradient = columns.T @ (probability - target) + PRIOR_STRENGTH * (weights - prior)
        curvature = (columns * (probability * (1.0 - probability))[:, np.newaxis]).T @ columns
        step = np.linalg.solve(curvature + PRIOR_STRENGTH * np.eye(2), gradient)
        # Newton's step overshoots where the curve is flat, so it is halved until it goes downhill.
        while loss(weights - step) > loss(weights) and float(np.abs(step).max()) > TOLERANCE:
            step = step / 2.0
        weights = weights - step
        if float(np.abs(step).max()) <= TOLERANCE:
            break
    # A map that turned the order round would be worse than none.
    return Calibration(float(max(weights[0], 0.05)), float(weights[1]))


def _expit(odds: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -odds)))
