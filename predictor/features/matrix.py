"""All features of a fleet at many decision times, in one matrix; the same function in training and in scoring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from predictor.features.change import change
from predictor.features.component_age import component_age_days
from predictor.features.early_life import drift
from predictor.features.events import FORGOTTEN_AFTER_HOURS, event_count, hours_since_event
from predictor.features.extremes import highest, lowest
from predictor.features.level import level
from predictor.features.product_model import is_model
from predictor.features.shift import shift
from predictor.features.slope import slope
from predictor.features.spread import spread
from predictor.fleet import Decisions, Fleet, History
from predictor.timeline import BoolArray, FloatArray, IntArray

LEVEL_HOURS = (6, 24, 72, 168)
CHANGE_HOURS = (12, 24, 48, 144)
SHIFT_HOURS = (48, 96)
SPREAD_HOURS = (24, 168)
SLOPE_HOURS = (24, 72, 168)
EXTREME_HOURS = (24, 168)
DRIFT_HOURS = (24, 168)
EVENT_HOURS = (24, 168)
LONGEST_HOURS = 168
SILENT_AFTER_HOURS = 24
"""An asset without a reading for so long is not scored, and such times train nothing."""

ROWS_AT_ONCE = 4096
"""Bounds memory: windows of 168 hours of 8 metrics for so many decisions are 44 MB."""


@dataclass(frozen=True)
class Feature:
    """What a column of the matrix means.

    Attributes:
        name: Unique, stable, e.g. `level_24h:pressure_bar`.
        source: What it was read from, e.g. `metric:pressure_bar`; evidence is told by source.
        words: How a person would say it, e.g. `pressure_bar, mean of the last 24 h`.
        unit: Its unit.
    """

    name: str
    source: str
    words: str
    unit: str


@dataclass(frozen=True)
class FeaturePlan:
    """Which columns the matrix has; made in training, kept with the model, used again in scoring.

    Attributes:
        metrics: Metrics that windows are cut from.
        units: Unit of each of them.
        event_codes: Event codes that are counted.
        components: Components whose age is told.
        attributes: Numeric attributes of the assets.
        models: Codes of the product models seen in training.
    """

    metrics: tuple[str, ...]
    units: tuple[str, ...]
    event_codes: tuple[str, ...]
    components: tuple[str, ...]
    attributes: tuple[str, ...]
    models: tuple[str, ...]

    @classmethod
    def of(cls, fleet: Fleet, event_codes: Sequence[str]) -> "FeaturePlan":
        """All that a fleet declares, and the event codes given."""
        return cls(
            fleet.metrics,
            tuple(fleet.units[metric] for metric in fleet.metrics),
            tuple(event_codes),
            fleet.components,
            fleet.attributes,
            tuple(sorted(set(fleet.models))),
        )

    def without_events(self) -> "FeaturePlan":
        """The same without event codes, for honest back-tests where codes give the answer away."""
        return replace(self, event_codes=())

    def features(self) -> list[Feature]:
        """The columns, in order."""
        columns: list[Feature] = []
        for prefix, words, per_window in _WINDOW_COLUMNS:
            for metric, unit in zip(self.metrics, self.units, strict=True):
                its_unit = {"same": unit, "per day": f"{unit}/day", "hours": "h", "spreads": "σ", "none": ""}[
                    per_window
                ]
                columns.append(Feature(f"{prefix}:{metric}", f"metric:{metric}", f"{metric}, {words}", its_unit))
        for hours in EVENT_HOURS:
            columns += [
                Feature(f"count_{hours}h:{code}", f"event:{code}", f"{code}, times in the last {hours} h", "")
                for code in self.event_codes
            ]
        columns += [
            Feature(f"recency:{code}", f"event:{code}", f"{code}, time since the last one", "h")
            for code in self.event_codes
        ]
        columns += [
            Feature(f"age:{component}", f"age:{component}", f"{component}, time since its replacement", "days")
            for component in self.components
        ]
        columns += [Feature(f"attribute:{name}", f"attribute:{name}", name, "") for name in self.attributes]
        columns += [Feature(f"model:{code}", "model", f"is a {code}", "") for code in self.models]
        return columns


def _window_columns() -> list[tuple[str, str, str]]:
    columns = [(f"level_{hours}h", f"mean of the last {hours} h", "same") for hours in LEVEL_HOURS]
    columns += [
        (f"change_{hours}h", f"last {hours // 2} h against the {hours // 2} h before", "same") for hours in CHANGE_HOURS
    ]
    for hours in SHIFT_HOURS:
        columns.append((f"shift_{hours}h_since", f"time since its largest shift within {hours} h", "hours"))
        columns.append((f"shift_{hours}h_size", f"largest shift within {hours} h", "same"))
        columns.append(
            (f"shift_{hours}h_share", f"part of the variance over {hours} h that the shift explains", "none")
        )
    columns += [(f"spread_{hours}h", f"standard deviation over {hours} h", "same") for hours in SPREAD_HOURS]
    columns += [(f"slope_{hours}h", f"trend over {hours} h", "per day") for hours in SLOPE_HOURS]
    columns += [(f"lowest_{hours}h", f"least of the last {hours} h", "same") for hours in EXTREME_HOURS]
    columns += [(f"highest_{hours}h", f"greatest of the last {hours} h", "same") for hours in EXTREME_HOURS]
    columns += [(f"drift_{hours}h", f"mean of {hours} h against its first week", "spreads") for hours in DRIFT_HOURS]
    return columns


_WINDOW_COLUMNS = _window_columns()


def feature_matrix(history: History, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    """Features of each decision, from what happened strictly before it.

    Args:
        history: May reach past the decision times; what lies there is not looked at.
        plan: Which columns; names that the fleet no longer has give NaN.
        decisions: n decision points.

    Returns:
        Shape (n, len(plan.features())); NaN where something is not known.
    """
    blocks = [
        _rows(history, plan, decisions.where(np.arange(start, min(start + ROWS_AT_ONCE, len(decisions)))))
        for start in range(0, len(decisions), ROWS_AT_ONCE)
    ]
    return np.concatenate(blocks) if blocks else np.empty((0, len(plan.features())))


def _rows(history: History, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    return np.concatenate(
        [
            _metric_columns(history, plan, decisions),
            _event_columns(history, plan, decisions),
            _age_columns(history, plan, decisions),
            _asset_columns(history.fleet, plan, decisions),
        ],
        axis=1,
    )


def is_heard(history: History, decisions: Decisions) -> BoolArray:
    """Whether each decision's asset has sent any reading in the `SILENT_AFTER_HOURS` strictly before."""
    means, _, _ = history.grid.windows(decisions.asset, decisions.hour, SILENT_AFTER_HOURS)
    return np.asarray(~np.isnan(means).all(axis=(1, 2)))


def _metric_columns(history: History, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    pick = _positions(plan.metrics, history.fleet.metrics)
    means, minima, maxima = (
        _picked(cells, pick) for cells in history.grid.windows(decisions.asset, decisions.hour, LONGEST_HOURS)
    )
    early = history.early_life.level_and_spread(decisions.asset, decisions.hour)
    early_level, early_spread = (_picked(values, pick) for values in early)
    levels: dict[int, FloatArray] = {hours: level(_last(means, hours)) for hours in {*LEVEL_HOURS, *DRIFT_HOURS}}
    # In the order of _WINDOW_COLUMNS.
    columns = [levels[hours] for hours in LEVEL_HOURS]
    columns += _each(change, means, CHANGE_HOURS)
    for hours in SHIFT_HOURS:
        columns += shift(_last(means, hours))
    columns += _each(spread, means, SPREAD_HOURS)
    columns += _each(slope, means, SLOPE_HOURS)
    columns += _each(lowest, minima, EXTREME_HOURS)
    columns += _each(highest, maxima, EXTREME_HOURS)
    columns += [drift(levels[hours], early_level, early_spread) for hours in DRIFT_HOURS]
    return np.concatenate(columns, axis=1)


def _each(transform: Callable[[FloatArray], FloatArray], cells: FloatArray, windows: Sequence[int]) -> list[FloatArray]:
    return [transform(_last(cells, hours)) for hours in windows]


def _last(cells: FloatArray, hours: int) -> FloatArray:
    return cells[..., cells.shape[-1] - hours :]


def _event_columns(history: History, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    pick = _positions(plan.event_codes, history.event_codes)
    # A code that never occurred is asked for by a series that has no moments.
    nowhere = len(history.fleet) * max(len(history.event_codes), 1)
    series = np.where(pick >= 0, decisions.asset[:, np.newaxis] * len(history.event_codes) + pick, nowhere)
    hour = np.broadcast_to(decisions.hour[:, np.newaxis], series.shape)
    columns = [event_count(history.events, series, hour, window) for window in EVENT_HOURS]
    return np.concatenate([*columns, hours_since_event(history.events, series, hour)], axis=1)


def _age_columns(history: History, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    fleet = history.fleet
    pick = _positions(plan.components, fleet.components)
    nowhere = len(fleet) * max(len(fleet.components), 1)
    series = np.where(pick >= 0, decisions.asset[:, np.newaxis] * len(fleet.components) + pick, nowhere)
    hour = np.broadcast_to(decisions.hour[:, np.newaxis], series.shape)
    installed_ms = np.broadcast_to(fleet.installed_ms[decisions.asset][:, np.newaxis], series.shape)
    return component_age_days(history.replacements, series, hour, installed_ms)


def _asset_columns(fleet: Fleet, plan: FeaturePlan, decisions: Decisions) -> FloatArray:
    attributes = _picked(fleet.attribute_values, _positions(plan.attributes, fleet.attributes))
    return np.concatenate([attributes, is_model(fleet.models, plan.models)], axis=1)[decisions.asset]


def _positions(wanted: Sequence[str], present: Sequence[str]) -> IntArray:
    position: Mapping[str, int] = {name: number for number, name in enumerate(present)}
    return np.array([position.get(name, -1) for name in wanted], dtype=np.int64)


def _picked(values: FloatArray, pick: IntArray) -> FloatArray:
    """Columns (axis 1) by position; NaN where the position is -1."""
    if np.array_equal(pick, np.arange(values.shape[1])):
        return values
    if not values.shape[1]:
        return np.full((values.shape[0], len(pick), *values.shape[2:]), np.nan)
    picked = values[:, pick]
    picked[:, pick < 0] = np.nan
    return picked


__all__ = ["FORGOTTEN_AFTER_HOURS", "LONGEST_HOURS", "Feature", "FeaturePlan", "feature_matrix", "is_heard"]
