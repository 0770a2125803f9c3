"""Times as the predictor counts them: whole milliseconds, and whole hours, since 1970 in UTC.

Everything the predictor knows is kept in numpy arrays, so times are integers there; the grid of readings has one cell
an hour. Decisions are taken as of a full hour.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HOUR_MS = 3_600_000
NEVER_MS = 2**42 - 1
"""Later than every time (the year 2109); also the largest time that `Moments` can order."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded down, so that `time < hour` stays true or false for full hours.

    >>> to_ms(datetime(1970, 1, 1, 1, tzinfo=UTC))
    3600000
    """
    return (time - _EPOCH) // timedelta(milliseconds=1)


def to_hour(time: datetime) -> int:
    """The full hour since 1970 that is not after `time`.

    >>> to_hour(datetime(1970, 1, 2, 0, 59, tzinfo=UTC))
    24
    """
    return to_ms(time) // HOUR_MS


def from_ms(time_ms: int) -> datetime:
    """The time of a number of milliseconds since 1970.

    >>> from_ms(3_600_000).isoformat()
    '1970-01-01T01:00:00+00:00'
    """
    return _EPOCH + timedelta(milliseconds=int(time_ms))


def from_hour(hour: int) -> datetime:
    """The time at which an hour since 1970 begins.

    >>> from_hour(24).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return from_ms(int(hour) * HOUR_MS)
