"""Probabilities of whole pieces, one row a series; and how good their quantiles are.

An array of shape (series, K + 1) holds in column k the probability of k pieces; the last column holds all of "K or
more", so every row sums to 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LEVELS = (0.5, 0.9, 0.95)
MOST_PIECES = 120
"""K: no month of the kind of demand that these methods are for has more."""


def poisson(rate: FloatArray, most: int = MOST_PIECES) -> FloatArray:
    """Poisson probabilities.

    >>> poisson(np.array([0.5]), 3).round(3)
    array([[0.607, 0.303, 0.076, 0.014]])
    """
    return _closed(_by_ratio(np.exp(-rate), lambda k: rate / k, most))


def negative_binomial(mean: FloatArray, variance: FloatArray, most: int = MOST_PIECES) -> FloatArray:
    """Negative binomial probabilities by mean and variance; where the variance is not above the mean, Poisson.

    >>> negative_binomial(np.array([1.0]), np.array([2.0]), 3).round(4)
    array([[0.5  , 0.25 , 0.125, 0.125]])
    """
    mean = np.maximum(mean, 1e-9)
    ratio = np.maximum(variance / mean, 1.0 + 1e-6)
    size = mean / (ratio - 1)
    fading = 1 - 1 / ratio
    return _closed(_by_ratio(ratio**-size, lambda k: fading * (size + k - 1) / k, most))


def _by_ratio(first: FloatArray, ratio_of: Callable[[int], FloatArray], most: int) -> FloatArray:
    """Each column from the one before it."""
    columns = [first]
    for k in range(1, most + 1):
        columns.append(columns[-1] * ratio_of(k))
    return np.stack(columns, axis=1)


def _closed(chance: FloatArray) -> FloatArray:
    """What lies beyond the last column is counted in it."""
    chance[:, -1] += np.maximum(1 - chance.sum(axis=1), 0)
    closed: FloatArray = chance / chance.sum(axis=1, keepdims=True)
    return closed


def quantile(chance: FloatArray, level: float) -> FloatArray:
    """The fewest pieces that are enough with at least this probability.

    >>> quantile(np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]), 0.9)
    array([1., 2.])
    """
    fewest: FloatArray = (np.cumsum(chance, axis=1) < level - 1e-9).sum(axis=1).astype(float)
    return fewest


def mean_of(chance: FloatArray) -> FloatArray:
    """Expected pieces.

    >>> mean_of(np.array([[0.5, 0.25, 0.25]]))
    array([0.75])
    """
    mean: FloatArray = chance @ np.arange(chance.shape[1], dtype=float)
    return mean


def pool(chances: Sequence[FloatArray], weights: Sequence[float | FloatArray]) -> FloatArray:
    """The linear opinion pool (M. Stone, Annals of Mathematical Statistics 32, 1961): a weighted mean.

    >>> pool([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], [3, 1])
    array([[0.75, 0.25]])
    """
    columns = [np.atleast_1d(np.asarray(weight, dtype=float))[:, None] for weight in weights]
    total = sum(columns)
    mixed: FloatArray = np.asarray(sum(w * chance for w, chance in zip(columns, chances, strict=True)) / total)
    return mixed


def over_months(chance: FloatArray, months: int) -> FloatArray:
    """Probabilities of the sum of so many independent months.

    >>> over_months(np.array([[0.5, 0.5, 0.0]]), 2)
    array([[0.25, 0.5 , 0.25]])
    """
    total = chance
    most = chance.shape[1] - 1
    for _ in range(months - 1):
        added = np.zeros_like(total)
        for k in range(most + 1):
            if chance[:, k].any():
                added[:, k:] += total[:, : most + 1 - k] * chance[:, [k]]
        total = _closed(added)
    return total


def pinball(demand: FloatArray, forecast: FloatArray, level: float) -> float:
    """Mean pinball (quantile) loss in pieces over the months that are not NaN (Koenker and Bassett, 1978).

    >>> pinball(np.array([2.0, 0.0, np.nan]), np.array([1.0, 1.0, 1.0]), 0.9)
    0.5
    """
    short = demand - forecast
    return float(np.nanmean(np.maximum(level * short, (level - 1) * short)))
