"""`careloop parts evaluate`: every method on months that it has not seen.

Rolling origin: at the beginning of each month of the holdout every method forecasts that month from the months before
it. The chosen method's trees are trained again every few months, on what was known then; the published methods get
for each level the quantile rule (and TSB the smoothing constants) that were best for them on the months before the
holdout.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from careloop.errors import CareloopError
from predictor.demand import base_stock, classic
from predictor.demand.chosen import ChosenMethod
from predictor.demand.distributions import LEVELS, FloatArray, mean_of, pinball, quantile
from predictor.demand.histories import Histories, read_histories

SHORTEST_PAST = 12
RETRAIN_MONTHS = 6
TUNING_ORIGINS = 6

Rate = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Forecasts:
    """What a method said as of the beginning of each month of the holdout.

    Attributes:
        quantiles: By level, shape (series, months).
        chances: The distribution for the stock simulation, one array a month.
        point: What its MASE is measured on, shape (series, months).
        mean: Expected pieces, shape (series, months).
        words: How its point and its quantiles came about.
    """

    quantiles: dict[float, FloatArray]
    chances: list[FloatArray]
    point: FloatArray
    mean: FloatArray
    words: dict[str, Any]


def print_evaluation(file: Path, holdout_months: int, *, as_json: bool) -> None:
    """Evaluate, and print the figures as JSON or as a table."""
    figures = evaluate(file, holdout_months)
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    columns = ("mase", "pinball_50", "pinball_90", "pinball_95")
    print(f"{figures['parts']} parts, {figures['holdout_months']} months from {figures['origins'][0]} on")
    print(f"{'':16}" + "".join(f"{column:>12}" for column in columns) + "   stock for 90 % served at once")
    for name, method in figures["methods"].items():
        stock = figures["inventory"]["methods"][name]["average_stock_at_fill_rate"]["0.9"]
        print(f"{name:16}" + "".join(f"{method[column]:12.4f}" for column in columns) + f"   {stock or '-'}")


def evaluate(file: Path, holdout_months: int = 12) -> dict[str, Any]:
    """Figures of all methods on the last months of a file.

    Raises:
        CareloopError: the file can't be read, or its months are too few.
    """
    histories = read_histories(file)
    pieces = histories.pieces
    first = pieces.shape[1] - holdout_months
    if holdout_months < 1 or first <= SHORTEST_PAST:
        most = pieces.shape[1] - SHORTEST_PAST - 1
        raise CareloopError(
            f"--holdout-months: {holdout_months} of {pieces.shape[1]} months leave too few to learn from; "
            f"give 1 to {most}"
            if most >= 1
            else f"{file}: {pieces.shape[1]} months are too few; give more than 13"
        )
    tsb = {
        f"{size:g}/{chance:g}": partial(classic.tsb, alpha_size=size, alpha_chance=chance)
        for size, chance in classic.TSB_CONSTANTS
    }
    methods = {
        "chosen": chosen(pieces, first),
        "croston": published(pieces, first, {"": classic.croston}),
        "sba": published(pieces, first, {"": classic.sba}),
        "tsb": published(pieces, first, tsb),
        "moving_average": published(pieces, first, {"": classic.moving_average}),
        "zero": zero(pieces, first),
    }
    return _report(histories, first, methods)


def chosen(pieces: FloatArray, first: int) -> Forecasts:
    """The method in use, trained anew every few months."""
    chances = []
    for origin in range(first, pieces.shape[1]):
        if (origin - first) % RETRAIN_MONTHS == 0:
            method = ChosenMethod(pieces[:, :origin])
        chances.append(method.forecast(pieces[:, :origin]))
    quantiles = {level: np.stack([quantile(chance, level) for chance in chances], axis=1) for level in LEVELS}
    words = {
        "point": "median: MASE is a mean absolute error, which the median makes least",
        "method": f"linear pool of pooled boosted trees and shrunk rate; trained anew every {RETRAIN_MONTHS} months",
    }
    return Forecasts(quantiles, chances, quantiles[0.5], np.stack([mean_of(c) for c in chances], axis=1), words)


def zero(pieces: FloatArray, first: int) -> Forecasts:
    """Nothing is ever wanted."""
    nothing = np.zeros(pieces[:, first:].shape)
    chance = np.zeros((len(pieces), 2))
    chance[:, 0] = 1
    return Forecasts(
        dict.fromkeys(LEVELS, nothing), [chance] * (pieces.shape[1] - first), nothing, nothing, {"point": "0"}
    )


def published(pieces: FloatArray, first: int, rates: Mapping[str, Rate]) -> Forecasts:
    """A published rate with the rules and constants that were best for it before the holdout."""
    best = _tuned(pieces, first, rates)
    origins = range(first, pieces.shape[1])
    used = {name for name, _ in best.values()}
    rate_of = {name: [rates[name](pieces[:, :origin]) for origin in origins] for name in used}
    quantiles, chances = {}, []
    for level, (name, rule) in best.items():
        chances = [classic.RULES[rule](r, pieces[:, :o]) for r, o in zip(rate_of[name], origins, strict=True)]
        quantiles[level] = np.stack([quantile(chance, level) for chance in chances], axis=1)
    name = best[max(LEVELS)][0]
    mean = np.stack(rate_of[name], axis=1)
    rules = {f"{level:g}": rule + (f", constants {name}" if name else "") for level, (name, rule) in best.items()}
    return Forecasts(quantiles, chances, mean, mean, {"point": "its rate, as published", "quantile_rules": rules})


def _tuned(pieces: FloatArray, first: int, rates: Mapping[str, Rate]) -> dict[float, tuple[str, str]]:
    """For each level the pair of constants and rule with the least pinball loss on months before the holdout."""
    origins = np.unique(np.linspace(max(SHORTEST_PAST, first - SHORTEST_PAST), first - 1, TUNING_ORIGINS).astype(int))
    loss: dict[tuple[float, str, str], float] = {}
    for name, rate in rates.items():
        for origin in origins:
            past, demand = pieces[:, :origin], pieces[:, origin]
            forecast = rate(past)
            for rule, chances in classic.RULES.items():
                chance = chances(forecast, past)
                for level in LEVELS:
                    key = (level, name, rule)
                    loss[key] = loss.get(key, 0.0) + pinball(demand, quantile(chance, level), level)
    pairs = [(name, rule) for name in rates for rule in classic.RULES]
    return {level: min(pairs, key=lambda pair: loss[(level, *pair)]) for level in LEVELS}


def _report(histories: Histories, first: int, methods: dict[str, Forecasts]) -> dict[str, Any]:
    demand = histories.pieces[:, first:]
    scale = _naive_error(histories.pieces[:, :first])
    sold = ~np.isnan(demand)
    return {
        "parts": len(histories.parts),
        "months": len(histories.months),
        "holdout_months": demand.shape[1],
        "origins": list(histories.months[first:]),
        "forecasts": int(sold.sum()),
        "parts_without_scale": int((~(scale > 0)).sum()),
        "mase_scale": "mean absolute error of the naive forecast on the months before the holdout; parts in which it "
        "is 0 (no change in all those months) have no MASE and are left out of it, not of the pinball loss",
        "methods": {name: _figures(made, demand, scale) for name, made in methods.items()},
        "inventory": {
            "simulation": "order-up-to level each month, lead time one month, unserved demand waits; level = quantile "
            f"of the demand of {base_stock.COVERED_MONTHS} months",
            "stock_unit": "pieces per part on average at the end of a month; the file has no prices, so every piece "
            "counts alike",
            "methods": {name: base_stock.outcome(made.chances, demand) for name, made in methods.items()},
        },
    }  # fmt: skip


def _naive_error(past: FloatArray) -> FloatArray:
    """Mean absolute change from month to month of each series; NaN where there are no two months in a row."""
    change = np.abs(np.diff(past, axis=1))
    count = (~np.isnan(change)).sum(axis=1)
    error: FloatArray = np.where(count > 0, np.nansum(change, axis=1) / np.maximum(count, 1), np.nan)
    return error


def _figures(made: Forecasts, demand: FloatArray, scale: FloatArray) -> dict[str, Any]:
    def mase(forecast: FloatArray) -> float:
        """Mean over the parts of each one's mean absolute error over its scale."""
        some = (scale > 0) & (~np.isnan(demand)).any(axis=1)
        return float(np.mean(np.nanmean(np.abs(demand - forecast)[some], axis=1) / scale[some]))

    sold = ~np.isnan(demand)
    losses = {f"pinball_{level * 100:g}": round(pinball(demand, made.quantiles[level], level), 5) for level in LEVELS}
    return {
        "mase": round(mase(made.point), 5),
        **losses,
        "mase_of_mean": round(mase(made.mean), 5),
        "mase_of_median": round(mase(made.quantiles[0.5]), 5),
        "covered_95": round(float((demand <= made.quantiles[0.95])[sold].mean()), 4),
        **made.words,
    }
