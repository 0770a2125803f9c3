"""The spread of a metric over a window."""

import numpy as np

from predictor.features.level import level
from predictor.timeline import FloatArray


def spread(means: FloatArray) -> FloatArray:
    """Standard deviation (of the population) of the hourly means of each window, in the metric's unit.

    Args:
        means: Shape (…, hours).

    >>> spread(np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, np.nan]])).tolist()
    [1.0, nan]
    """
    deviation = means - level(means)[..., np.newaxis]
    return np.sqrt(level(deviation * deviation))
