"""The level of a metric over a window."""

import numpy as np

from predictor.timeline import FloatArray


def level(means: FloatArray) -> FloatArray:
    """Mean of the hourly means of each window, in the metric's unit; NaN where a window is empty.

    Args:
        means: Shape (…, hours).

    >>> level(np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, np.nan]])).tolist()
    [2.0, nan]
    """
    valid = ~np.isnan(means)
    with np.errstate(invalid="ignore"):
        result: FloatArray = np.where(valid, means, 0.0).sum(axis=-1) / valid.sum(axis=-1)
    return result
