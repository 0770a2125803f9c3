"""A part's own rate, drawn to that of all parts: gamma–Poisson with discounted counts and shared over-dispersion.

Counts of long ago weigh less, as demand of spare parts drifts and dies. The rate of a part has a gamma prior whose
mean and variance are those of all parts (parametric empirical Bayes; B. Efron and C. Morris, JASA 70, 1975); the
months scatter more than Poisson says by a factor that is drawn to the one of all parts as well. The predictive
distribution is negative binomial.
"""

import numpy as np

from predictor.demand.distributions import MOST_PIECES, FloatArray, negative_binomial

DISCOUNT = 0.85
"""Weight of a month against the one after it; tuned on months 16–27 of the real parts."""
SHARED_MONTHS = 10.0
"""The scatter of all parts counts as much as so many months of the part's own."""


def shrunk_rate(history: FloatArray, discount: float = DISCOUNT) -> tuple[FloatArray, FloatArray]:
    """Posterior mean and variance of each series' rate, in pieces a month; history's shape is (series, months).

    >>> mean, variance = shrunk_rate(np.array([[0.0, 0, 0, 0], [2, 1, 2, 2], [np.nan, np.nan, 1, 0]]))
    >>> mean.round(2)
    array([0.24, 1.47, 0.6 ])
    """
    sold = ~np.isnan(history)
    weight = discount ** np.arange(history.shape[1])[::-1] * sold
    pieces = (np.where(sold, history, 0) * weight).sum(axis=1)
    months = weight.sum(axis=1)
    shape, months_before = _prior(pieces, months)
    posterior_months = months + months_before
    mean = (pieces + shape) / posterior_months
    return mean, mean / posterior_months


def _prior(pieces: FloatArray, months: FloatArray) -> tuple[float, float]:
    """The gamma prior of all series, as pieces in months."""
    seen = months > 0
    if not seen.any() or not pieces.sum():
        return 0.05, 1.0
    rates = pieces[seen] / months[seen]
    mean = float(pieces.sum() / months.sum())
    variance = max(float(rates.var()), mean**2 / 100)
    before = min(mean / variance, 12.0)
    return mean * before, before


def scatter(history: FloatArray) -> FloatArray:
    """Variance over mean of each series' months, drawn to that of all series and never under 1.

    >>> scatter(np.array([[0.0, 3, 0, 3, 0, 3], [1, 1, 1, 1, 1, 1]])).round(2)
    array([1.19, 1.  ])
    """
    sold = ~np.isnan(history)
    count = sold.sum(axis=1)
    filled = np.where(sold, history, 0)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    squares = ((filled - mean[:, None]) ** 2 * sold).sum(axis=1)
    expected = (mean * count).sum()
    shared = max(float(squares.sum() / expected), 1.0) if expected else 1.0
    floored = np.maximum(mean, 0.05)
    own: FloatArray = (squares + SHARED_MONTHS * shared * floored) / (floored * (count + SHARED_MONTHS))
    return np.maximum(own, 1.0)


def forecast(history: FloatArray, *, most: int = MOST_PIECES, discount: float = DISCOUNT) -> FloatArray:
    """Probabilities of 0 … `most` pieces next month, shape (series, most + 1).

    >>> forecast(np.array([[0.0, 0, 1, 0], [4, 2, 3, 4]]), most=2).round(2)
    array([[0.61, 0.27, 0.12],
           [0.07, 0.17, 0.76]])
    """
    mean, uncertainty = shrunk_rate(history, discount)
    return negative_binomial(mean, mean * scatter(history) + uncertainty, most)
