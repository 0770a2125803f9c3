"""Trains every component's model on the history seen so far."""

import logging

import numpy as np

from predictor.features.matrix import SILENT_AFTER_HOURS, FeaturePlan, feature_matrix, is_heard
from predictor.fleet import Decisions, History
from predictor.models import ComponentModel, TooFewFailures, train_component

log = logging.getLogger(__name__)

DECISIONS_PER_HORIZON = 20
"""More decision times than this within one horizon say the same thing again."""


def grid_hours(horizon_hours: int, least: int) -> int:
    """Hours between the decision times trained on.

    >>> grid_hours(24, 3), grid_hours(168, 3)
    (3, 8)
    """
    return max(least, horizon_hours // DECISIONS_PER_HORIZON)


def decision_grid(history: History, until_hour: int, every_hours: int) -> Decisions:
    """Decision times of every asset from its second day of readings on, where it was heard of; by asset and time."""
    grid, first_hour = history.grid, history.early_life.first_hour
    hours = np.arange(-(-grid.first_hour // every_hours) * every_hours, until_hour, every_hours, dtype=np.int64)
    assets = np.arange(len(history.fleet), dtype=np.int64)
    decisions = Decisions(np.repeat(assets, len(hours)), np.tile(hours, len(assets)))
    begun = (first_hour[decisions.asset] >= 0) & (decisions.hour >= first_hour[decisions.asset] + SILENT_AFTER_HOURS)
    decisions = decisions.where(begun)
    return decisions.where(is_heard(history, decisions))


def train_fleet(
    history: History, until_hour: int, *, least_grid_hours: int, failures_needed: int
) -> list[ComponentModel | TooFewFailures]:
    """One model, or the reason why there is none, for each component of a fleet."""
    fleet = history.fleet
    decisions = decision_grid(history, until_hour, grid_hours(fleet.horizon_hours, least_grid_hours))
    if not len(decisions):
        return [TooFewFailures(fleet.kind, component, 0, failures_needed) for component in fleet.components]
    plan = FeaturePlan.of(fleet, history.event_codes)
    matrix = feature_matrix(history, plan, decisions)
    return [
        train_component(
            history, plan, matrix, decisions, component, until_hour=until_hour, failures_needed=failures_needed
        )
        for component in fleet.components
    ]
