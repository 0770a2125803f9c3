"""How far a metric has moved from one window to the next."""

import numpy as np

from predictor.features.level import level
from predictor.timeline import FloatArray


def change(means: FloatArray) -> FloatArray:
    """Level of the later half of each window less that of the earlier half, in the metric's unit.

    It tells when a shift began, which a level alone does not.

    Args:
        means: Shape (…, hours) with an even number of hours.

    >>> change(np.array([1.0, 1.0, 4.0, np.nan])).tolist()
    3.0
    """
    half = means.shape[-1] // 2
    return np.asarray(level(means[..., half:]) - level(means[..., :half]))
