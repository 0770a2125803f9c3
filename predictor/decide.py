"""The decision: a planned visit now, or wait and risk the failure? Pure rules over probabilities and costs."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from predictor.calibration import log_odds
from predictor.timeline import HOUR_MS, BoolArray, FloatArray, IntArray

CASE_HORIZONS = 2
"""A ticket is looked into within so many horizons; without a fault by then it is closed as no fault found."""

CANDIDATES = 40
HIGHEST_THRESHOLD = 0.95


@dataclass(frozen=True)
class Costs:
    """What is at stake with one component, in minor units of one currency.

    Attributes:
        failure_minor: An unplanned failure: repair, downtime, warranty.
        planned_minor: A planned visit: labour, travel, part, remaining life thrown away.
    """

    failure_minor: float
    planned_minor: float

    @property
    def break_even(self) -> float:
        """The probability of failure at which a planned visit costs as much as waiting.

        >>> Costs(failure_minor=50_000, planned_minor=10_000).break_even
        0.2
        """
        return min(self.planned_minor / self.failure_minor, 1.0) if self.failure_minor > 0 else 1.0


@dataclass(frozen=True)
class Quiet:
    """A ticket of the same asset and component that was closed without a fault.

    Attributes:
        until_hour: Nothing is raised before this hour since 1970 …
        probability: … unless the probability has clearly risen above what it was then.
    """

    until_hour: int
    probability: float


Verdict = Literal["raise", "wait", "quiet"]


def decide(
    probability: float, threshold: float, *, hour: int, quiet: Quiet | None = None, odds_ratio_to_break: float = 4.0
) -> Verdict:
    """Whether to raise a ticket.

    Args:
        probability: Calibrated probability of failure within the horizon.
        threshold: From where on a planned visit is the cheaper choice, see `best_threshold`.
        hour: Now, hours since 1970.
        quiet: The last ticket of this asset and component that found no fault.
        odds_ratio_to_break: How many times greater the odds of failure must have become to break the quiet.

    >>> decide(0.9, 0.5, hour=10)
    'raise'
    >>> decide(0.9, 0.5, hour=10, quiet=Quiet(until_hour=20, probability=0.85))
    'quiet'
    """
    if probability < threshold:
        return "wait"
    if quiet is not None and hour < quiet.until_hour:
        risen = log_odds(np.array([probability, quiet.probability]))
        if risen[0] - risen[1] < np.log(odds_ratio_to_break):
            return "quiet"
    return "raise"


@dataclass(frozen=True)
class Record:
    """What became of the decisions of one component, in the order of asset and time.

    Attributes:
        asset: Shape (n,).
        hour: Decision time in hours since 1970, ascending for each asset; shape (n,).
        failure_ms: The next failure strictly after it, milliseconds since 1970; shape (n,).
        renewal_ms: The next replacement strictly after it that was not because of a failure; shape (n,).
        down: Whether the component was down; shape (n,).
    """

    asset: IntArray
    hour: IntArray
    failure_ms: IntArray
    renewal_ms: IntArray
    down: BoolArray


def cost_of(record: Record, raises: BoolArray, horizon_hours: int, costs: Costs) -> float:
    """What a rule would have cost: a planned visit for each ticket, and each failure that no ticket came in time for.

    One case is open at a time. It ends with the failure, with a replacement, or after `CASE_HORIZONS` horizons without
    a fault; until then no second one is opened. A ticket is in time when the failure lies within the horizon: one
    raised earlier costs its visit and does not save the failure.

    Args:
        record: n decisions.
        raises: Whether the rule would raise a ticket at each; shape (n,).
        horizon_hours: How far ahead failures are predicted.
        costs: What visits and failures cost.
    """
    tickets, saved = 0, set[tuple[int, int]]()
    asset, busy_until_ms = -1, -1
    for row in np.flatnonzero(raises & ~record.down):
        now_ms = int(record.hour[row]) * HOUR_MS
        if int(record.asset[row]) != asset:
            asset, busy_until_ms = int(record.asset[row]), -1
        if now_ms < busy_until_ms:
            continue
        tickets += 1
        failure, renewal = int(record.failure_ms[row]), int(record.renewal_ms[row])
        if failure <= now_ms + horizon_hours * HOUR_MS and failure < renewal:
            saved.add((asset, failure))
        busy_until_ms = min(failure, renewal, now_ms + CASE_HORIZONS * horizon_hours * HOUR_MS)
    failures = _failures_within(record, horizon_hours)
    return tickets * costs.planned_minor + (failures - len(saved)) * costs.failure_minor


def _failures_within(record: Record, horizon_hours: int) -> int:
    seen = record.failure_ms <= (record.hour + horizon_hours) * HOUR_MS
    return len(set(zip(record.asset[seen].tolist(), record.failure_ms[seen].tolist(), strict=True)))


def best_threshold(record: Record, probabilities: FloatArray, horizon_hours: int, costs: Costs) -> float:
    """The threshold that would have cost least, never below where a planned visit breaks even.

    Waiting keeps the choice open: most decisions are taken again a few hours later and know more by then. What that is
    worth cannot be read from one probability, so it is found by replaying the record. Where many thresholds cost the
    same, the lowest is taken, which is the nearest to break-even: a record of a dozen failures cannot tell a high
    threshold from a lucky one (machines 1-80 of Azure PdM: 98 of 99 failures caught, 96 by the middle of the stretch).

    Args:
        record: Decisions about assets that the classifier was not trained on.
        probabilities: Calibrated, of the same decisions; shape (n,).
        horizon_hours: How far ahead failures are predicted.
        costs: What visits and failures cost.
    """
    lowest = float(np.clip(costs.break_even, 0.01, HIGHEST_THRESHOLD))
    ends = log_odds(np.array([lowest, HIGHEST_THRESHOLD]))
    candidates = 1.0 / (1.0 + np.exp(-np.linspace(ends[0], ends[1], CANDIDATES)))
    totals = [cost_of(record, probabilities >= candidate, horizon_hours, costs) for candidate in candidates]
    return float(candidates[int(np.argmin(totals))])
