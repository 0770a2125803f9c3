"""How often and how lately a machine reported each of its event codes."""

import numpy as np

from predictor.moments import Moments
from predictor.timeline import HOUR_MS, FloatArray, IntArray

FORGOTTEN_AFTER_HOURS = 720
"""Scoring reads no older events than this, so training does not look at them either."""


def event_count(events: Moments, series: IntArray, hour: IntArray, window_hours: int) -> FloatArray:
    """Number of events of each series in the `window_hours` strictly before each decision.

    Args:
        events: One series for each asset and code.
        series: Which series is asked; any shape.
        hour: Decision time in hours since 1970; same shape.
        window_hours: Length of the window.

    >>> events = Moments(np.array([0, 0]), np.array([9, 10]) * HOUR_MS)
    >>> event_count(events, np.array([0, 0]), np.array([10, 11]), 1).tolist()
    [1.0, 1.0]
    """
    until = events.count_before(series, hour * HOUR_MS)
    return (until - events.count_before(series, (hour - window_hours) * HOUR_MS)).astype(float)


def hours_since_event(events: Moments, series: IntArray, hour: IntArray) -> FloatArray:
    """Hours from the latest event strictly before each decision; NaN where there was none in 30 days.

    Args:
        events: One series for each asset and code.
        series: Which series is asked; any shape.
        hour: Decision time in hours since 1970; same shape.

    >>> events = Moments(np.array([0]), np.array([9]) * HOUR_MS)
    >>> hours_since_event(events, np.array([0, 0, 0]), np.array([9, 12, 9 + 721])).tolist()
    [nan, 3.0, nan]
    """
    last = events.last_before(series, hour * HOUR_MS)
    hours = (hour * HOUR_MS - last) / HOUR_MS
    return np.where((last >= 0) & (hours <= FORGOTTEN_AFTER_HOURS), hours, np.nan)
