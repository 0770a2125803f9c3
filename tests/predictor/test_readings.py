"""The grid of readings."""

import numpy as np
import pytest

from predictor.readings import EARLY_LIFE_HOURS, EarlyLife, Readings, to_grid
from predictor.timeline import HOUR_MS


def readings(*rows):
    asset, metric, hours, values = zip(*rows, strict=True)
    times = [round(hour * HOUR_MS) for hour in hours]
    return Readings(np.array(asset), np.array(metric), np.array(times, np.int64), np.array(values, float))


def test_an_hour_has_the_mean_and_the_extremes_of_its_readings():
    grid = to_grid(
        readings((0, 0, 10.0, 1.0), (0, 0, 10.5, 3.0), (0, 0, 11.0, 9.0), (0, 0, 12.0, 7.0)),
        assets=1, metrics=2, first_hour=10, end_hour=12,
    )  # fmt: skip
    assert grid.means[0].tolist()[0] == [2.0, 9.0]
    assert (grid.minima[0, 0, 0], grid.maxima[0, 0, 0]) == (1.0, 3.0)
    assert np.isnan(grid.means[0, 1]).all()


def test_the_order_of_readings_does_not_matter_to_the_last_bit():
    rng = np.random.default_rng(3)
    rows = [(0, 0, 10 + k / 200, float(value)) for k, value in enumerate(rng.normal(1e6, 1e-3, 200))]
    shuffled = [rows[k] for k in rng.permutation(200)]
    shape = {"assets": 1, "metrics": 1, "first_hour": 10, "end_hour": 11}
    assert to_grid(readings(*rows), **shape).means == to_grid(readings(*shuffled), **shape).means


def test_windows_end_strictly_before_the_decision_and_are_empty_before_the_first_reading():
    grid = to_grid(
        readings((0, 0, 10, 1.0), (0, 0, 11, 2.0), (0, 0, 12, 3.0)), assets=1, metrics=1, first_hour=10, end_hour=13
    )
    means, _, _ = grid.windows(np.array([0, 0]), np.array([12, 10]), 3)
    np.testing.assert_array_equal(means[:, 0], [[np.nan, 1.0, 2.0], [np.nan] * 3])


def test_a_grid_moves_on_and_takes_newer_readings():
    old = to_grid(readings((0, 0, 10, 1.0), (0, 0, 11, 2.0)), assets=1, metrics=1, first_hour=10, end_hour=12)
    moved = old.moved(11, 14)
    moved.put(to_grid(readings((0, 0, 12, 5.0)), assets=1, metrics=1, first_hour=12, end_hour=14))
    np.testing.assert_array_equal(moved.means[0, 0], [2.0, 5.0, np.nan])
    assert old.means[0, 0].tolist() == [1.0, 2.0]


def test_early_life_grows_until_its_week_is_over():
    means = np.full((2, 1, EARLY_LIFE_HOURS), np.nan)
    means[0, 0] = np.arange(EARLY_LIFE_HOURS)
    early = EarlyLife.of(np.array([1000, -1]), means)
    level, spread = early.level_and_spread(np.array([0, 0, 0, 0, 1]), np.array([1001, 1003, 1168, 5000, 5000]))
    np.testing.assert_allclose(level[:, 0], [np.nan, 1.0, 83.5, 83.5, np.nan])
    assert spread[2, 0] == pytest.approx(np.std(np.arange(EARLY_LIFE_HOURS)))
