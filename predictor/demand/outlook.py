"""What will be wanted until the next order has come: the usual, and what is foreseen of single machines. Pure.

The usual is forecast from the months of the past. Foreseen are parts that failing machines need, each with its
probability, and parts of maintenance that falls due. Part of the usual is made of the same failures and maintenance, so
the usual is thinned by what is foreseen, but never below a share of it: not every demand can be foreseen.
"""

from collections.abc import Iterable

import numpy as np

from predictor.demand import shrinkage
from predictor.demand.chosen import ChosenMethod
from predictor.demand.distributions import MOST_PIECES, FloatArray, mean_of, negative_binomial

DAYS_OF_MONTH = 365.25 / 12
UNFORESEEN_SHARE = 0.25
"""So much of the usual demand comes whatever is foreseen."""
CUT_OFF = 1e-4
"""What is less probable than this is counted in the last number of pieces."""


def usual(history: FloatArray, days: FloatArray, foreseen: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and probabilities of the pieces that come beside what is foreseen.

    The months are alike and independent but for the part's rate, which is one and not known exactly: its uncertainty
    grows with the square of the time, the rest of the variance with the time.

    Args:
        history: Shape (series, months).
        days: Of each series, how far to look.
        foreseen: Of each series, expected pieces that are foreseen.

    Returns:
        Shape (series,) and (series, MOST_PIECES + 1).
    """
    month = ChosenMethod(history).forecast(history)
    mean = mean_of(month)
    variance = (month @ np.arange(month.shape[1], dtype=float) ** 2) - mean**2
    _, uncertainty = shrinkage.shrunk_rate(history)
    uncertainty = np.minimum(uncertainty, variance)
    months = days / DAYS_OF_MONTH
    whole = mean * months
    spread = (variance - uncertainty) * months + uncertainty * months**2
    share = np.clip(1 - foreseen / np.maximum(whole, 1e-12), UNFORESEEN_SHARE, 1.0)
    rest = whole * share
    return rest, negative_binomial(rest, share**2 * spread + share * (1 - share) * whole)


def certain_and_likely(wanted: Iterable[tuple[int, float]], most: int = MOST_PIECES) -> FloatArray:
    """Probabilities of the sum of wants that come or not, each by itself (Poisson's binomial).

    Args:
        wanted: Pieces and probability of each.
        most: The last number of pieces: so many or more.

    >>> certain_and_likely([(1, 0.5), (2, 1.0)], most=4)
    array([0. , 0. , 0.5, 0.5, 0. ])
    """
    chance = np.zeros(most + 1)
    chance[0] = 1.0
    for pieces, probability in wanted:
        moved = np.zeros_like(chance)
        reach = min(pieces, most)
        moved[reach:] = chance[: most + 1 - reach]
        moved[-1] += chance[most + 1 - reach :].sum()
        chance = chance * (1 - probability) + moved * probability
    return chance


def together(one: FloatArray, other: FloatArray) -> FloatArray:
    """Probabilities of the sum of two independent demands, as long as the first.

    >>> together(np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.5, 0.0]))
    array([0.25, 0.5 , 0.25])
    """
    both = np.convolve(one, other)
    both[len(one) - 1] = both[len(one) - 1 :].sum()
    return both[: len(one)]


def cut(chance: FloatArray) -> list[float]:
    """Without the tail that never comes; the sum stays 1.

    >>> cut(np.array([0.5, 0.49995, 0.00005]))
    [0.5, 0.5]
    """
    beyond = 1 - np.cumsum(chance)
    last = int(np.argmax(beyond <= CUT_OFF)) if (beyond <= CUT_OFF).any() else len(chance) - 1
    kept = np.round(chance[: last + 1], 6)
    kept[-1] = round(max(1 - float(kept[:-1].sum()), 0.0), 6)
    return [float(value) for value in kept]


def within(probability: float, horizon_hours: float, days: float) -> float:
    """A failure's probability within its horizon, within fewer days; more days than the horizon foresee no more.

    >>> round(within(0.75, 48, 1), 3)
    0.5
    """
    share = min(days * 24 / horizon_hours, 1.0)
    return float(1 - (1 - min(probability, 1.0)) ** share)
