"""Points in time of many series at once: events by code, failures and replacements by component.

All series lie in one sorted array of `series × 2⁴² + milliseconds`, so that a question about every asset and every
decision time is a single binary search.
"""

from typing import Self

import numpy as np

from predictor.timeline import NEVER_MS, IntArray

_SPAN = NEVER_MS + 1


class Moments:
    """Times of `series_count` series.

    Args:
        series: Which series each time belongs to, from 0; shape (n,).
        times_ms: Milliseconds since 1970; shape (n,).

    >>> moments = Moments(np.array([0, 1, 1]), np.array([10, 20, 30]))
    >>> moments.count_before(np.array([0, 1, 1]), np.array([11, 30, 31])).tolist()
    [1, 1, 2]
    >>> moments.last_before(np.array([1, 1, 0]), np.array([20, 21, 10])).tolist()
    [-1, 20, -1]
    >>> moments.next_after(np.array([1, 1]), np.array([20, 30])).tolist() == [30, NEVER_MS]
    True
    """

    def __init__(self, series: IntArray, times_ms: IntArray) -> None:
        self._keys = np.sort(series.astype(np.int64) * _SPAN + np.clip(times_ms, 0, NEVER_MS - 1))

    @classmethod
    def none(cls) -> Self:
        """No moments at all."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self._keys)

    def count_before(self, series: IntArray, times_ms: IntArray) -> IntArray:
        """How many moments of each series lie strictly before each time."""
        start = np.searchsorted(self._keys, series * _SPAN)
        return (np.searchsorted(self._keys, series * _SPAN + times_ms) - start).astype(np.int64)

    def last_before(self, series: IntArray, times_ms: IntArray) -> IntArray:
        """The latest moment strictly before each time, in milliseconds; -1 where there is none."""
        return self._at(np.searchsorted(self._keys, series * _SPAN + times_ms) - 1, series, -1)

    def last_until(self, series: IntArray, times_ms: IntArray) -> IntArray:
        """The latest moment before or at each time, in milliseconds; -1 where there is none."""
        return self._at(np.searchsorted(self._keys, series * _SPAN + times_ms, side="right") - 1, series, -1)

    def next_after(self, series: IntArray, times_ms: IntArray) -> IntArray:
        """The earliest moment strictly after each time, in milliseconds; `NEVER_MS` where there is none."""
        return self._at(np.searchsorted(self._keys, series * _SPAN + times_ms, side="right"), series, NEVER_MS)

    def next_from(self, series: IntArray, times_ms: IntArray) -> IntArray:
        """The earliest moment at or after each time, in milliseconds; `NEVER_MS` where there is none."""
        return self._at(np.searchsorted(self._keys, series * _SPAN + times_ms), series, NEVER_MS)

    def _at(self, position: IntArray, series: IntArray, otherwise: int) -> IntArray:
        if not len(self._keys):
            return np.full(np.broadcast(position, series).shape, otherwise, np.int64)
        inside = (position >= 0) & (position < len(self._keys))
        key = self._keys[np.clip(position, 0, len(self._keys) - 1)]
        return np.where(inside & (key // _SPAN == series), key % _SPAN, otherwise)
