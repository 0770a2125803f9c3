"""What it may cost later to take a piece now: pure.

Demand during the time until more can come is taken as Poisson with mean m. With s pieces left, the expected number that
will be missing is the loss function L(s) = E[(D - s)+] = m·P(D >= s) - s·P(D >= s + 1) (P. Zipkin, Foundations of
Inventory Management, 2000, appendix C.2.3.6; S. Axsäter, Inventory Control, 2015, section 5.3). The s-th piece saves
L(s - 1) - L(s) = P(D >= s) missing ones: that, times what a missing one costs, is the risk of taking it. It grows with
every piece taken, so that risks of several takers add up in any order.
"""

import math
from functools import lru_cache

# Beyond so many standard deviations a tail is nothing, or all.
FAR = 12.0
# Halvings that take a mean to far below a thousandth of a piece.
HALVINGS = 60


def tail(mean: float, least: int) -> float:
    """P(D >= least) of a Poisson demand.

    Args:
        mean: Its mean, pieces.
        least: Pieces.
    """
    if least <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    spread = FAR * math.sqrt(mean) + FAR
    if least > mean + spread:
        return 0.0
    if least < mean - spread:
        return 1.0
    # Terms fall from the mean on; summed from the least one up, the small ones come last and are not missed.
    term = math.exp(least * math.log(mean) - mean - math.lgamma(least + 1))
    total, pieces = 0.0, least
    while term > 0.0 and (pieces <= mean or term > total * 1e-15):
        total += term
        pieces += 1
        term *= mean / pieces
    return min(1.0, total)


def missing(mean: float, left: int) -> float:
    """L(left): the expected number of pieces that will be missing."""
    if left <= 0:
        return max(0.0, mean - left)
    return max(0.0, mean * tail(mean, left) - left * tail(mean, left + 1))


@lru_cache(maxsize=4096)
def mean_behind(minimum: int, service_level_bp: int) -> float:
    """The mean demand that a minimum stock is meant for: with it, the minimum suffices at just that service level.

    Args:
        minimum: Pieces.
        service_level_bp: Hundredths of a percent of the cases in which nothing is to be missing.
    """
    if minimum <= 0:
        return 0.0
    lacking = 1.0 - service_level_bp / 10_000
    low, high = 0.0, float(minimum) + 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if tail(middle, minimum + 1) < lacking:
            low = middle
        else:
            high = middle
    return low


def marginal_minor(mean: float, available: int, pieces: int, shortage_minor: int) -> tuple[int, ...]:
    """What taking the first, second, … of some pieces costs in expected shortage, in minor units, half up.

    Args:
        mean: Expected demand until more can come, pieces.
        available: Pieces there are.
        pieces: How many to price.
        shortage_minor: What a missing piece costs.
    """
    if mean <= 0 or shortage_minor <= 0:
        return ()
    return tuple(half_up(shortage_minor * tail(mean, available - taken)) for taken in range(pieces))


def taking_minor(mean: float, available: int, pieces: int, shortage_minor: int) -> int:
    """What taking some pieces costs in expected shortage: the sum of `marginal_minor`."""
    return sum(marginal_minor(mean, available, pieces, shortage_minor))


def half_up(amount: float) -> int:
    """A whole number of minor units, halves up."""
    return math.floor(amount + 0.5)
