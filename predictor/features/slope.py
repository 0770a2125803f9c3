"""The slope of a metric over a window."""

import numpy as np

from predictor.features.level import level
from predictor.timeline import FloatArray


def slope(means: FloatArray) -> FloatArray:
    """Least-squares slope of the hourly means of each window, in the metric's unit per day.

    Args:
        means: Shape (…, hours), oldest first.

    Returns:
        Shape (…); NaN with fewer than two hours of readings.

    >>> slope(np.array([[1.0, 2.0, np.nan, 4.0], [5.0, np.nan, np.nan, np.nan]])).tolist()
    [24.0, nan]
    """
    valid = ~np.isnan(means)
    hours = np.where(valid, np.arange(means.shape[-1], dtype=float), np.nan)
    hours = hours - level(hours)[..., np.newaxis]
    values = means - level(means)[..., np.newaxis]
    square = np.where(valid, hours * hours, 0.0).sum(axis=-1)
    product = np.where(valid, hours * values, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        per_day: FloatArray = 24.0 * product / square
    return per_day
