"""One classifier per component of a kind: how likely does it fail within the horizon?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictor.calibration import SMALLEST, Calibration, fit_calibration, log_odds
from predictor.decide import Costs, Record, best_threshold
from predictor.features.matrix import FeaturePlan
from predictor.fleet import Decisions, History
from predictor.labels import Labels, is_down, label
from predictor.learners import Classifier, Learner, candidates
from predictor.timeline import HOUR_MS, BoolArray, FloatArray

FOLDS = 4
"""A model is the mean of so many members, each trained without another share of the assets.

On the assets left out calibration and threshold are found, with members as good as those in use. Cutting by time
instead leaves the earlier members with half of the failures, and a calibration that suits nobody: on machines 1-80 of
Azure PdM it doubled the false alerts. One classifier alone misses a failure in ten by the luck of its seed.
"""

SEED = 7266

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
        learner: What the members were fitted by, see `predictor.learners`.
        members: Classifiers; their log-odds are averaged.
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
    learner: str
    members: tuple[Classifier, ...]
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
        odds = np.mean([log_odds(member.predict_proba(matrix)[:, 1]) for member in self.members], axis=0)
        return self.calibration.apply_odds(odds)


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
    trained = _best(matrix, decisions, labels, failures)
    record = record_of(history, component, decisions.where(trained.validated))
    failed = labels.failed[trained.validated]
    threshold, metrics = _judge(history, component, record, trained.probabilities, failed)
    return ComponentModel(
        kind=history.fleet.kind,
        component=component,
        horizon_hours=horizon_hours,
        plan=plan,
        learner=trained.learner,
        members=trained.members,
        calibration=trained.calibration,
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


@dataclass(frozen=True)
class _Trained:
    """What one learner made of the training window.

    Attributes:
        learner: Its name.
        members: Fitted, each without another share of the assets.
        calibration: Found on the assets left out.
        validated: Rows that were left out by a member, and whose outcome is known; shape (n,).
        probabilities: Calibrated, of these rows; shape (validated rows,).
        log_loss: Mean, of these rows; infinite where there are none.
    """

    learner: str
    members: tuple[Classifier, ...]
    calibration: Calibration
    validated: BoolArray
    probabilities: FloatArray
    log_loss: float


def _best(matrix: FloatArray, decisions: Decisions, labels: Labels, failures: int) -> _Trained:
    learners = candidates(failures, int(labels.known.sum()))
    tried = [_train(name, learner, matrix, decisions, labels) for name, learner in learners.items()]
    return min(tried, key=lambda trained: trained.log_loss)


def _train(name: str, learner: Learner, matrix: FloatArray, decisions: Decisions, labels: Labels) -> _Trained:
    members: list[Classifier] = []
    scores = np.full(len(decisions), np.nan)
    for fold in range(FOLDS):
        left_out = decisions.asset % FOLDS == fold
        seen = labels.known & ~left_out
        if left_out.any() and labels.failed[seen].any():
            member = learner(matrix[seen], labels.failed[seen], seed=SEED + fold)
            members.append(member)
            scores[left_out] = member.predict_proba(matrix[left_out])[:, 1]
    if not members:
        # All failures are of one asset, so nothing is left to validate on.
        members.append(learner(matrix[labels.known], labels.failed[labels.known], seed=SEED))
    validated = labels.known & ~np.isnan(scores)
    failed = labels.failed[validated]
    calibration = fit_calibration(scores[validated], failed)
    probabilities = calibration.apply(scores[validated])
    surprise = -np.log(np.clip(np.where(failed, probabilities, 1.0 - probabilities), SMALLEST, None))
    log_loss = float(surprise.mean()) if len(failed) else float("inf")
    return _Trained(name, tuple(members), calibration, validated, probabilities, log_loss)


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
