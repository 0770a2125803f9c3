"""How far an asset has drifted from its own early life."""

import numpy as np

from predictor.timeline import FloatArray


def drift(level_now: FloatArray, early_level: FloatArray, early_spread: FloatArray) -> FloatArray:
    """Distance of a level from the asset's early level, in standard deviations of its early life.

    Args:
        level_now: In the metric's unit; shape (…).
        early_level: Same unit and shape.
        early_spread: Same unit and shape.

    Returns:
        Shape (…), without unit; NaN where the early life is unknown or did not vary.

    >>> drift(np.array([5.0, 5.0]), np.array([3.0, 3.0]), np.array([2.0, 0.0])).tolist()
    [1.0, nan]
    """
    varied = np.where(early_spread > 0.0, early_spread, np.nan)
    return np.asarray((level_now - early_level) / varied)
