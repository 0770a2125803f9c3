"""Readings on a grid of hours: what windows are cut from, in training and in scoring alike."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from predictor.timeline import HOUR_MS, FloatArray, IntArray

EARLY_LIFE_HOURS = 168


@dataclass(frozen=True)
class Readings:
    """Readings as they come from the database, in any order.

    Attributes:
        asset: Position of the asset in its fleet; shape (n,).
        metric: Position of the metric in its fleet's metrics; shape (n,).
        times_ms: Milliseconds since 1970; shape (n,).
        values: In the metric's canonical unit; shape (n,).
    """

    asset: IntArray
    metric: IntArray
    times_ms: IntArray
    values: FloatArray


@dataclass(frozen=True)
class ReadingGrid:
    """Mean, least and greatest reading of every asset, metric and hour; NaN where an hour has none.

    Attributes:
        first_hour: Hour since 1970 of the first cell.
        means: Shape (assets, metrics, hours).
        minima: Same shape.
        maxima: Same shape.
    """

    first_hour: int
    means: FloatArray
    minima: FloatArray
    maxima: FloatArray

    @property
    def end_hour(self) -> int:
        """The hour after the last cell."""
        return self.first_hour + int(self.means.shape[2])

    def moved(self, first_hour: int, end_hour: int) -> "ReadingGrid":
        """The same readings on the hours [first_hour, end_hour); hours that were not there are empty."""
        keep_from, keep_to = max(first_hour, self.first_hour), min(end_hour, self.end_hour)

        def move(cells: FloatArray) -> FloatArray:
            moved = np.full((*cells.shape[:2], end_hour - first_hour), np.nan)
            if keep_from < keep_to:
                kept = cells[:, :, keep_from - self.first_hour : keep_to - self.first_hour]
                moved[:, :, keep_from - first_hour : keep_to - first_hour] = kept
            return moved

        return ReadingGrid(first_hour, move(self.means), move(self.minima), move(self.maxima))

    def put(self, newer: "ReadingGrid") -> None:
        """Overwrite this grid's cells by those of `newer`, in place, over the hours that both have."""
        start, end = max(newer.first_hour, self.first_hour), min(newer.end_hour, self.end_hour)
        if start >= end:
            return
        here = slice(start - self.first_hour, end - self.first_hour)
        there = slice(start - newer.first_hour, end - newer.first_hour)
        for cells, new in (
            (self.means, newer.means),
            (self.minima, newer.minima),
            (self.maxima, newer.maxima),
        ):
            cells[:, :, here] = new[:, :, there]

    def windows(self, asset: IntArray, hour: IntArray, length: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The `length` hours strictly before each decision: means, minima, maxima, each (n, metrics, length)."""
        if not len(hour):
            none = np.empty((0, self.means.shape[1], length))
            return none, none, none
        start = int(hour.min()) - length
        grid = self if start >= self.first_hour else self.moved(start, self.end_hour)
        position = hour - length - grid.first_hour

        def cut(cells: FloatArray) -> FloatArray:
            windows = sliding_window_view(cells, length, axis=2)
            return np.ascontiguousarray(windows[asset, :, position])

        return cut(grid.means), cut(grid.minima), cut(grid.maxima)


def to_grid(readings: Readings, *, assets: int, metrics: int, first_hour: int, end_hour: int) -> ReadingGrid:
    """Put readings on the grid of hours [first_hour, end_hour); readings outside are left out.

    The result does not depend on the order of the readings, so two database engines give the same grid to the last bit.
    """
    hours = end_hour - first_hour
    shape = (assets, metrics, hours)
    hour = readings.times_ms // HOUR_MS - first_hour
    inside = (hour >= 0) & (hour < hours)
    cell = ((readings.asset * metrics + readings.metric) * hours + hour)[inside]
    values, times_ms = readings.values[inside], readings.times_ms[inside]
    size = assets * metrics * hours
    order = np.lexsort((values, times_ms, cell))
    cell, values = cell[order], values[order]
    counts = np.bincount(cell, minlength=size)
    sums = np.bincount(cell, weights=values, minlength=size)
    minima, maxima, means = np.full(size, np.nan), np.full(size, np.nan), np.full(size, np.nan)
    filled = counts > 0
    means[filled] = sums[filled] / counts[filled]
    if len(cell):
        first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        minima[cell[first]] = np.minimum.reduceat(values, first)
        maxima[cell[first]] = np.maximum.reduceat(values, first)
    return ReadingGrid(first_hour, means.reshape(shape), minima.reshape(shape), maxima.reshape(shape))


@dataclass(frozen=True)
class EarlyLife:
    """The first week of every asset's readings, by which its later ones are measured.

    Attributes:
        first_hour: Hour since 1970 of an asset's first reading, -1 where it has none yet; shape (assets,).
        means: Hourly means from there on, NaN where missing; shape (assets, metrics, EARLY_LIFE_HOURS).
    """

    first_hour: IntArray
    means: FloatArray
    _sums: FloatArray
    _squares: FloatArray
    _counts: IntArray

    @classmethod
    def of(cls, first_hour: IntArray, means: FloatArray) -> "EarlyLife":
        """Build it, with the running sums that make its level at any time one look-up."""
        valid = ~np.isnan(means)
        values = np.where(valid, means, 0.0)
        edge = ((0, 0), (0, 0), (1, 0))
        return cls(
            first_hour,
            means,
            np.pad(np.cumsum(values, axis=2), edge),
            np.pad(np.cumsum(values * values, axis=2), edge),
            np.pad(np.cumsum(valid, axis=2), edge).astype(np.int64),
        )

    def level_and_spread(self, asset: IntArray, hour: IntArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of what was known of the early life strictly before each decision.

        Args:
            asset: Position of the asset; shape (n,).
            hour: Decision time in hours since 1970; shape (n,).

        Returns:
            Two arrays of shape (n, metrics), in the metrics' units; NaN with fewer than two hours of readings.
        """
        first = self.first_hour[asset]
        known = np.where(first < 0, 0, np.clip(hour - first, 0, EARLY_LIFE_HOURS))
        count = self._counts[asset, :, known].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sums[asset, :, known] / count
            variance = self._squares[asset, :, known] / count - mean * mean
        enough = count >= 2
        return np.where(enough, mean, np.nan), np.where(enough, np.sqrt(np.clip(variance, 0.0, None)), np.nan)
