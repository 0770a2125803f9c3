"""One classifier per component of a kind: how likely does it fail within the horizon?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from predictor.calibration import Calibration, fit_calibration
from predictor.decide import Costs, Record, best_threshold
from predictor.features.matrix import FeaturePlan
from predictor.fleet import Decisions, History
from predictor.labels import Labels, is_down, label
from predictor.timeline import HOUR_MS, BoolArray, FloatArray

FOLDS = 4
"""Calibration and threshold are found on assets left out of training, a quarter at a time.

Cutting by time instead leaves the earlier folds with half of the failures; their scores are so much fainter than those
of the final model that the calibration found on them doubled its false alerts (measured on machines 1-80 of Azure PdM).
"""

VALIDATION_FAILURES = 5
"""With fewer failures in the validation, a threshold is not found but set."""

CAUTIOUS_THRESHOLD = 0.5
"""Where the threshold cannot be found: raise what is more likely than not, if that also pays."""


@dataclass(frozen=True)
class ComponentModel:
    """A trained model of one component.

    Attributes:
        kind: Kind of product model.
        component: Name of the component.
        horizon_hours: How far ahead it predicts.
        plan: Columns it was trained on.
        classifier: Fitted on all of the training window.
        calibration: Found on assets that were left out of training.
        threshold: From where on a ticket is raised, before the costs of an asset's own product model are looked at.
        usual: Median of each column in training, for the evidence; shape (columns,).
        trained_as_of_hour: End of the training window, hours since 1970.
        rows: Number of rows trained on.
        failures: Number of failures among them.
        metrics: How it did on assets left out of training.
    """

    kind: str
    component: str
    horizon_hours: int
    plan: FeaturePlan
    classifier: HistGradientBoostingClassifier
    calibration: Calibration
    threshold: float
    usual: FloatArray
    trained_as_of_hour: int
    rows: int
    failures: int
    metrics: dict[str, float]

    def probabilities(self, matrix: FloatArray) -> FloatArray:
        """Calibrated probabilities of failure within the horizon; shape (n,)."""
        if not len(matrix):
            return np.empty(0)
        return self.calibration.apply(self.classifier.predict_proba(matrix)[:, 1])


@dataclass(frozen=True)
class TooFewFailures:
    """Why a component has no model."""

    kind: str
    component: str
    failures: int
    needed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.component}: {self.failures} failures on record, a model needs {self.needed}"


def train_component(
    history: History,
    plan: FeaturePlan,
    matrix: FloatArray,
    decisions: Decisions,
    component: str,
    *,
    until_hour: int,
    failures_needed: int,
) -> ComponentModel | TooFewFailures:
    """Train one component's model, the same for the same history.

    Args:
        history: Of the fleet, as of `until_hour`.
        plan: What the columns of `matrix` are.
        matrix: Features of the decisions.
        decisions: In the order of asset and time.
        component: Which component.
        until_hour: End of the training window, hours since 1970.
        failures_needed: With fewer there is no model.
    """
    horizon_hours = history.fleet.horizon_hours
    labels = label(history, component, decisions, horizon_hours, until_hour)
    failures = _failures_in(history, component, decisions, labels)
    if failures < failures_needed:
        return TooFewFailures(history.fleet.kind, component, failures, failures_needed)
    scores = np.full(len(decisions), np.nan)
    for train, predict in _folds(decisions, labels):
        if labels.failed[train].any() and not labels.failed[train].all():
            classifier = _fit(matrix[train], labels.failed[train])
            scores[predict] = classifier.predict_proba(matrix[predict])[:, 1]
    validated = labels.known & ~np.isnan(scores)
    calibration = fit_calibration(scores[validated], labels.failed[validated])
    record = record_of(history, component, decisions.where(validated))
    probabilities = calibration.apply(scores[validated])
    threshold, metrics = _judge(history, component, record, probabilities, labels.failed[validated])
    return ComponentModel(
        kind=history.fleet.kind,
        component=component,
        horizon_hours=horizon_hours,
        plan=plan,
        classifier=_fit(matrix[labels.known], labels.failed[labels.known]),
        calibration=calibration,
        threshold=threshold,
        usual=_median(matrix[labels.known]),
        trained_as_of_hour=until_hour,
        rows=int(labels.known.sum()),
        failures=failures,
        metrics=metrics,
    )


def typical_costs(history: History, component: str) -> Costs:
    """Mean over the fleet's product models that have the component."""
    declared = [part for (_, name), part in sorted(history.fleet.declared.items()) if name == component]
    return Costs(
        failure_minor=float(np.mean([part["failure_cost_minor"] for part in declared])),
        planned_minor=float(np.mean([part["planned_cost_minor"] for part in declared])),
    )


def record_of(history: History, component: str, decisions: Decisions) -> Record:
    """What became of decisions, for judging a rule by its costs."""
    series = decisions.asset * len(history.fleet.components) + history.fleet.components.index(component)
    time_ms = decisions.hour * HOUR_MS
    return Record(
        asset=decisions.asset,
        hour=decisions.hour,
        failure_ms=history.failures.next_after(series, time_ms),
        renewal_ms=history.renewals.next_after(series, time_ms),
        down=is_down(history, component, decisions, history.fleet.horizon_hours),
    )


def _judge(
    history: History, component: str, record: Record, probabilities: FloatArray, failed: BoolArray
) -> tuple[float, dict[str, float]]:
    costs = typical_costs(history, component)
    failures = len(set(zip(record.asset[failed].tolist(), record.failure_ms[failed].tolist(), strict=True)))
    if failures >= VALIDATION_FAILURES:
        threshold = best_threshold(record, probabilities, history.fleet.horizon_hours, costs)
    else:
        threshold = max(CAUTIOUS_THRESHOLD, costs.break_even)
    brier = float(np.mean((probabilities - failed) ** 2)) if len(failed) else float("nan")
    metrics = {"validation_rows": float(len(failed)), "validation_failures": float(failures), "brier": brier}
    return threshold, metrics


def _folds(decisions: Decisions, labels: Labels) -> Iterator[tuple[BoolArray, BoolArray]]:
    """Rows to train on and rows to predict, for each fold; an asset is never on both sides."""
    for fold in range(FOLDS):
        left_out = decisions.asset % FOLDS == fold
        if left_out.any():
            yield np.asarray(labels.known & ~left_out), np.asarray(left_out)


def _failures_in(history: History, component: str, decisions: Decisions, labels: Labels) -> int:
    positive = decisions.where(labels.failed & labels.known)
    record = record_of(history, component, positive)
    return len(set(zip(record.asset.tolist(), record.failure_ms.tolist(), strict=True)))


def _median(matrix: FloatArray) -> FloatArray:
    known = ~np.isnan(matrix)
    columns: Sequence[float] = [
        float(np.median(matrix[known[:, column], column])) if known[:, column].any() else float("nan")
        for column in range(matrix.shape[1])
    ]
    return np.array(columns)


def _fit(matrix: FloatArray, failed: BoolArray) -> HistGradientBoostingClassifier:
    parameters: dict[str, Any] = {
        "learning_rate": 0.1,
        "max_iter": 100,
        "max_leaf_nodes": 15,
        "min_samples_leaf": 50,
        "max_features": 0.2,
        "l2_regularization": 1.0,
        "early_stopping": False,
        # Categories would need a preprocessor, whose file we would have to trust.
        "categorical_features": None,
        "random_state": 7266,
    }
    return HistGradientBoostingClassifier(**parameters).fit(matrix, failed)
