"""The published intermittent methods, by statsforecast: a rate each, and the quantile rules they are given.

Croston (Operational Research Quarterly 23, 1972), SBA (A. Syntetos and J. Boylan, International Journal of Forecasting
21, 2005), TSB (R. Teunter, A. Syntetos and M. Babai, EJOR 214, 2011). They forecast a rate, not a distribution, so
each gets the rules below, and in the evaluation the one that is best for it.
"""

from collections.abc import Callable

import numpy as np
from statsforecast.models import TSB, CrostonClassic, CrostonSBA

from predictor.demand.distributions import MOST_PIECES, FloatArray, negative_binomial, poisson

AVERAGED_MONTHS = 12
TSB_CONSTANTS = tuple((size, chance) for size in (0.1, 0.2, 0.3) for chance in (0.05, 0.1, 0.2, 0.3))
"""Smoothing constants of TSB to choose from."""


def croston(history: FloatArray) -> FloatArray:
    """Croston's rate of each series, pieces a month."""
    return _by_series(history, lambda months: CrostonClassic().forecast(months, h=1)["mean"][0])


def sba(history: FloatArray) -> FloatArray:
    """Croston's rate without its bias: the Syntetos–Boylan approximation."""
    return _by_series(history, lambda months: CrostonSBA().forecast(months, h=1)["mean"][0])


def tsb(history: FloatArray, alpha_size: float = 0.1, alpha_chance: float = 0.1) -> FloatArray:
    """The rate of Teunter, Syntetos and Babai, which fades while nothing is wanted."""
    return _by_series(history, lambda months: TSB(alpha_chance, alpha_size).forecast(months, h=1)["mean"][0])


def moving_average(history: FloatArray) -> FloatArray:
    """Mean of the last twelve months.

    >>> moving_average(np.array([[0.0, 3.0], [np.nan, np.nan]]))
    array([1.5, 0. ])
    """
    return _by_series(history, lambda months: months[-AVERAGED_MONTHS:].mean())


def _by_series(history: FloatArray, method: Callable[[FloatArray], float]) -> FloatArray:
    """A series that never had a demand has rate 0; months in which it was not sold are left out."""
    rates = np.zeros(len(history))
    for row, series in enumerate(history):
        months = series[~np.isnan(series)]
        if (months > 0).any():
            rates[row] = method(months)
    return np.maximum(rates, 0.0)


def as_poisson(rate: FloatArray, history: FloatArray) -> FloatArray:
    """Poisson with the method's rate; `history` is not needed."""
    del history
    return poisson(rate)


def as_negative_binomial(rate: FloatArray, history: FloatArray) -> FloatArray:
    """Negative binomial with the method's rate and the variance-to-mean ratio of the series' past."""
    mean, variance = np.zeros(len(history)), np.zeros(len(history))
    some = (~np.isnan(history)).any(axis=1)
    mean[some], variance[some] = np.nanmean(history[some], axis=1), np.nanvar(history[some], axis=1)
    return negative_binomial(rate, rate * np.maximum(variance / np.maximum(mean, 1e-9), 1.0))


def as_residuals(rate: FloatArray, history: FloatArray) -> FloatArray:
    """The rate plus what the months of the past differed from their mean, rounded, not below zero."""
    chance = np.zeros((len(history), MOST_PIECES + 1))
    for row, months in enumerate(_seen(history)):
        mean = months.mean() if len(months) else 0.0
        values = np.round(np.clip(rate[row] + months - mean, 0, MOST_PIECES)) if len(months) else np.zeros(1)
        chance[row] = np.bincount(values.astype(int), minlength=MOST_PIECES + 1) / len(values)
    return chance


def as_lots(rate: FloatArray, history: FloatArray) -> FloatArray:
    """A demand or none, of the sizes that were seen, with the chance that gives the rate: Croston's own model."""
    chance = np.zeros((len(history), MOST_PIECES + 1))
    for row, months in enumerate(_seen(history)):
        sizes = months[months > 0]
        some = min(rate[row] / sizes.mean(), 1.0) if len(sizes) else 0.0
        if some:
            sized = np.bincount(np.minimum(sizes, MOST_PIECES).astype(int), minlength=MOST_PIECES + 1)
            chance[row] = some * sized / len(sizes)
        chance[row, 0] += 1 - some
    return chance


def _seen(history: FloatArray) -> list[FloatArray]:
    """The months of each series in which it was sold."""
    return [series[~np.isnan(series)] for series in history]


RULES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "poisson": as_poisson,
    "negative_binomial": as_negative_binomial,
    "residuals": as_residuals,
    "lots": as_lots,
}
