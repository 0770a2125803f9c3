"""The extremes of a metric over a window."""

import numpy as np

from predictor.timeline import FloatArray


def lowest(minima: FloatArray) -> FloatArray:
    """Least reading of each window, in the metric's unit; NaN where a window is empty.

    Args:
        minima: Least reading of every hour; shape (…, hours).

    >>> lowest(np.array([[2.0, np.nan, 1.0], [np.nan, np.nan, np.nan]])).tolist()
    [1.0, nan]
    """
    return np.asarray(np.fmin.reduce(minima, axis=-1))


def highest(maxima: FloatArray) -> FloatArray:
    """Greatest reading of each window, in the metric's unit; NaN where a window is empty.

    Args:
        maxima: Greatest reading of every hour; shape (…, hours).

    >>> highest(np.array([2.0, np.nan, 1.0])).tolist()
    2.0
    """
    return np.asarray(np.fmax.reduce(maxima, axis=-1))
