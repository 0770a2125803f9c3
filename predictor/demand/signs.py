"""What a part's past says about its next month: one row of numbers a series.

Nothing here depends on a part's number or place in the file, nor on the calendar: only on its own months before.
"""

import numpy as np

from predictor.demand.distributions import BoolArray, FloatArray

WINDOWS = (3, 6, 12, 24, 60)
LAGS = (1, 2, 3, 12)
DISCOUNTS = (0.97, 0.9, 0.8)
LONG_AGO = 60
"""Months since the last demand, of a part that never had any."""


def signs(history: FloatArray) -> FloatArray:
    """One row per series of a history of shape (series, months ≥ 1).

    >>> signs(np.array([[0.0, 2, 0], [np.nan, np.nan, 5]])).shape
    (2, 33)
    """
    sold = ~np.isnan(history)
    pieces = np.where(sold, history, 0.0)
    wanted = pieces > 0
    columns = [sold.sum(axis=1)]
    columns += _levels(pieces, sold, wanted)
    columns += [_lag(history, lag) for lag in LAGS]
    columns += _gaps(wanted)
    columns += _sizes(pieces, sold, wanted)
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)


def _levels(pieces: FloatArray, sold: BoolArray, wanted: BoolArray) -> list[FloatArray]:
    """Pieces a month, and share of months with any, over windows and with fading weights."""
    found: list[FloatArray] = []
    for window in WINDOWS:
        months = np.maximum(sold[:, -window:].sum(axis=1), 1)
        found += [pieces[:, -window:].sum(axis=1) / months, wanted[:, -window:].sum(axis=1) / months]
    for discount in DISCOUNTS:
        weight = discount ** np.arange(pieces.shape[1])[::-1] * sold
        total = np.maximum(weight.sum(axis=1), 1e-9)
        found += [(weight * pieces).sum(axis=1) / total, (weight * wanted).sum(axis=1) / total]
    return found


def _lag(history: FloatArray, lag: int) -> FloatArray:
    """The month so long ago; -1 where it is not known (a column of NaN only could not be trained on)."""
    months = history.shape[1]
    return np.nan_to_num(history[:, months - lag], nan=-1.0) if months >= lag else np.full(len(history), -1.0)


def _gaps(wanted: BoolArray) -> list[FloatArray]:
    """Months since the last demand, and between the two last ones."""
    months = wanted.shape[1]
    when = np.sort(np.where(wanted, np.arange(months), -1), axis=1)
    last = when[:, -1]
    before = when[:, -2] if months > 1 else np.full(len(when), -1)
    since = np.where(last >= 0, months - 1 - last, LONG_AGO)
    return [since, np.where(before >= 0, last - before, LONG_AGO)]


def _sizes(pieces: FloatArray, sold: BoolArray, wanted: BoolArray) -> list[FloatArray]:
    """How many pieces at a time: a part sold by the pair or in fives shows it here."""
    months = pieces.shape[1]
    times = np.maximum(wanted.sum(axis=1), 1)
    fading = 0.95 ** np.arange(months)[::-1] * wanted
    count = np.maximum(sold.sum(axis=1), 1)
    mean = pieces.sum(axis=1) / count
    variance = ((pieces - mean[:, None]) ** 2 * sold).sum(axis=1) / count
    some = wanted.any(axis=1)
    last = np.where(wanted, np.arange(months), -1).max(axis=1)
    return [
        (fading * pieces).sum(axis=1) / np.maximum(fading.sum(axis=1), 1e-9),
        pieces.max(axis=1),
        pieces[:, -12:].max(axis=1),
        variance / np.maximum(mean, 1e-9),
        (pieces == 1).sum(axis=1) / times,
        (pieces == 2).sum(axis=1) / times,
        ((pieces % 2 == 0) & wanted).sum(axis=1) / times,
        ((pieces % 5 == 0) & wanted).sum(axis=1) / times,
        np.where(some, np.where(wanted, pieces, np.inf).min(axis=1), 0.0),
        np.where(some, pieces[np.arange(len(pieces)), last], 0.0),
    ]
