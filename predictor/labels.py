"""What became of each decision: did the component fail within the horizon?"""

from dataclasses import dataclass

import numpy as np

from predictor.fleet import Decisions, History
from predictor.timeline import HOUR_MS, BoolArray


@dataclass(frozen=True)
class Labels:
    """Labels of one component.

    Attributes:
        failed: Whether it failed in (t, t + horizon]; shape (n,).
        known: Whether that can be said at all; shape (n,).
    """

    failed: BoolArray
    known: BoolArray


def label(history: History, component: str, decisions: Decisions, horizon_hours: int, until_hour: int) -> Labels:
    """Label decisions by what happened strictly after them.

    A label is not known where the horizon reaches past `until_hour`; where the component was renewed within the horizon
    before it failed, since nobody knows what would have become of it; and while it was down.

    Args:
        history: With failures and replacements up to `until_hour`.
        component: One of the fleet's components.
        decisions: n decision points.
        horizon_hours: How far ahead.
        until_hour: As of when the history is known, hours since 1970.
    """
    fleet = history.fleet
    series = decisions.asset * len(fleet.components) + fleet.components.index(component)
    time_ms, horizon_ms = decisions.hour * HOUR_MS, horizon_hours * HOUR_MS
    failure = history.failures.next_after(series, time_ms)
    renewal = history.renewals.next_after(series, time_ms)
    failed = failure <= time_ms + horizon_ms
    cut_short = (renewal < failure) & (renewal <= time_ms + horizon_ms)
    reached = decisions.hour + horizon_hours <= until_hour
    down = is_down(history, component, decisions, horizon_hours)
    return Labels(np.asarray(failed), np.asarray(reached & ~cut_short & ~down))


def is_down(history: History, component: str, decisions: Decisions, horizon_hours: int) -> BoolArray:
    """Whether the component has failed at or before each decision and was not replaced strictly before it.

    A failure without a recorded replacement counts for one horizon: after that the machine evidently runs again.
    """
    fleet = history.fleet
    series = decisions.asset * len(fleet.components) + fleet.components.index(component)
    time_ms = decisions.hour * HOUR_MS
    failure = history.failures.last_until(series, time_ms)
    restored = np.minimum(
        history.replacements.next_from(series, np.maximum(failure, 0)), failure + horizon_hours * HOUR_MS
    )
    return np.asarray((failure >= 0) & (time_ms <= restored))
