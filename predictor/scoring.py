"""Probabilities of failure of every asset and component as of one hour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from predictor.decide import Costs
from predictor.features.matrix import FeaturePlan, feature_matrix, is_heard
from predictor.fleet import Decisions, History
from predictor.labels import is_down
from predictor.models import ComponentModel
from predictor.timeline import FloatArray


@dataclass(frozen=True)
class StoredModel:
    """A model as the registry holds it.

    Attributes:
        model_id: Its number in `prediction.model`.
        sha256: Hash of its file, in hexadecimal digits.
        model: Itself.
    """

    model_id: int
    sha256: str
    model: ComponentModel


@dataclass(frozen=True)
class Score:
    """What the predictor thinks of one component of one asset.

    Attributes:
        asset_id: Number of the asset.
        serial: Its serial number.
        component: Name of the component.
        hour: As of when, hours since 1970.
        stored: The model that says so.
        probability: Calibrated probability of failure within the model's horizon.
        threshold: From where on a ticket is raised.
        costs: Of the asset's own product model.
        currency: Of the costs.
        is_down: Whether it has failed and was not replaced yet: there is nothing to foresee.
        features: Row of the matrix.
    """

    asset_id: int
    serial: str
    component: str
    hour: int
    stored: StoredModel
    probability: float
    threshold: float
    costs: Costs
    currency: str
    is_down: bool
    features: FloatArray


def score_fleet(history: History, models: Sequence[StoredModel], hour: int) -> Iterator[Score]:
    """Score the assets of a fleet that were heard of lately, for each component that has a model.

    Args:
        history: As of `hour`.
        models: Of the fleet's kind.
        hour: Now, hours since 1970.
    """
    everybody = Decisions(np.arange(len(history.fleet)), np.full(len(history.fleet), hour, dtype=np.int64))
    decisions = everybody.where(is_heard(history, everybody)) if models else everybody.where(np.empty(0, np.int64))
    if not len(decisions):
        return
    matrices: dict[FeaturePlan, FloatArray] = {}
    for stored in models:
        plan = stored.model.plan
        if plan not in matrices:
            matrices[plan] = feature_matrix(history, plan, decisions)
        yield from _score_component(history, stored, matrices[plan], decisions)


def _score_component(
    history: History, stored: StoredModel, matrix: FloatArray, decisions: Decisions
) -> Iterator[Score]:
    fleet, model = history.fleet, stored.model
    if model.component not in fleet.components:
        return
    probabilities = model.probabilities(matrix)
    down = is_down(history, model.component, decisions, model.horizon_hours)
    for row, asset in enumerate(decisions.asset.tolist()):
        declared = fleet.declared.get((fleet.models[asset], model.component))
        if declared is None:
            continue
        costs = Costs(float(declared["failure_cost_minor"]), float(declared["planned_cost_minor"]))
        yield Score(
            asset_id=int(fleet.asset_ids[asset]),
            serial=fleet.serials[asset],
            component=model.component,
            hour=int(decisions.hour[row]),
            stored=stored,
            probability=float(probabilities[row]),
            threshold=max(model.threshold, costs.break_even),
            costs=costs,
            currency=declared["currency"],
            is_down=bool(down[row]),
            features=matrix[row],
        )
