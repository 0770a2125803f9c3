"""When a metric last shifted to another level, and by how much."""

import numpy as np

from predictor.timeline import FloatArray

SHORTEST_HOURS = 3
"""Fewer readings on a side than this tell nothing of a level."""


def shift(means: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The most likely single shift of level within each window.

    The window is cut in two where the squared difference of the two levels, weighted by the readings on either side, is
    largest: the likelihood-ratio change point of a mean (Hawkins 1977).

    Args:
        means: Hourly means; shape (…, hours), oldest first.

    Returns:
        Hours since the shift; level after less level before, in the metric's unit; and the share of the window's
        variance that the shift explains. NaN with too few readings. Each of shape (…).

    >>> hours, size, share = shift(np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 6.0, 7.0, 6.0, 7.0]))
    >>> (hours.tolist(), size.tolist(), round(float(share), 2))
    (4.0, 5.0, 0.96)
    """
    valid = ~np.isnan(means)
    total = valid.sum(axis=-1, keepdims=True).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(valid, means, 0.0).sum(axis=-1, keepdims=True) / total
        values = np.where(valid, means - centre, 0.0)
        # Position k cuts before the last k + 1 hours. The values sum to zero, so the sum before is minus that after.
        after = np.cumsum(values[..., ::-1], axis=-1)[..., :-1]
        readings_after = np.cumsum(valid[..., ::-1], axis=-1)[..., :-1].astype(float)
        readings_before = total - readings_after
        gain = after * after * (1.0 / readings_after + 1.0 / readings_before)
        usable = (readings_after >= SHORTEST_HOURS) & (readings_before >= SHORTEST_HOURS)
        cut = np.argmax(np.where(usable, gain, -1.0), axis=-1)[..., np.newaxis]
        at_cut = (np.take_along_axis(cells, cut, axis=-1)[..., 0] for cells in (after, readings_after, readings_before))
        sum_after, count_after, count_before = at_cut
        size = sum_after / count_after + sum_after / count_before
        share = np.take_along_axis(gain, cut, axis=-1)[..., 0] / (values * values).sum(axis=-1)
    enough = usable.any(axis=-1)
    return (
        np.where(enough, cut[..., 0] + 1.0, np.nan),
        np.where(enough, size, np.nan),
        np.where(enough & np.isfinite(share), share, np.nan),
    )
