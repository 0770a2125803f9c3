"""How long each component has been in its machine."""

import numpy as np

from predictor.moments import Moments
from predictor.timeline import HOUR_MS, FloatArray, IntArray


def component_age_days(replacements: Moments, series: IntArray, hour: IntArray, installed_ms: IntArray) -> FloatArray:
    """Days from the latest replacement strictly before each decision, or from the machine's installation.

    Args:
        replacements: One series for each asset and component.
        series: Which series is asked; any shape.
        hour: Decision time in hours since 1970; same shape.
        installed_ms: When the machine was installed, milliseconds since 1970; same shape.

    Returns:
        Same shape, in days; NaN before the installation.

    >>> replacements = Moments(np.array([0]), np.array([48 * HOUR_MS]))
    >>> component_age_days(replacements, np.array([0, 0]), np.array([48, 72]), np.array([0, 0])).tolist()
    [2.0, 1.0]
    """
    last = replacements.last_before(series, hour * HOUR_MS)
    since = np.where(last >= 0, last, installed_ms)
    days = (hour * HOUR_MS - since) / (24 * HOUR_MS)
    return np.where(days >= 0, days, np.nan)
