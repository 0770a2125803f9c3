"""Why a ticket was raised, in words and numbers; frozen into the ticket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from careloop import __version__
from predictor.calibration import log_odds
from predictor.features.matrix import Feature
from predictor.models import ComponentModel
from predictor.scoring import Score
from predictor.timeline import FloatArray, from_hour

READINGS_TOLD = 5
LEAST_TOLD = 0.05
"""A reading that moves the log-odds by less than this is not worth a line."""


@dataclass(frozen=True)
class Contribution:
    """One source of readings that spoke for a failure.

    Attributes:
        feature: The column that shows it best.
        value: What it is; NaN when not known.
        usual: Median in training; NaN when not known.
        probability_without: What the probability would be if this source were as usual.
    """

    feature: Feature
    value: float
    usual: float
    probability_without: float

    def __str__(self) -> str:
        unit = f" {self.feature.unit}" if self.feature.unit else ""
        return f"{self.feature.words}: {_number(self.value)}{unit} (usually {_number(self.usual)}{unit})"

    def to_json(self) -> dict[str, Any]:
        """As it goes into the ticket."""
        return {
            "source": self.feature.source,
            "feature": self.feature.name,
            "words": str(self),
            "value": _finite(self.value),
            "usual": _finite(self.usual),
            "unit": self.feature.unit,
            "probability_without": round(self.probability_without, 4),
        }


def contributions(model: ComponentModel, features: FloatArray) -> list[Contribution]:
    """The sources of readings without which the model would be less sure, weightiest first.

    All columns of one source (a metric, an event code, a component's age …) are set to their medians together, since
    they tell the same story in several ways; the fall of the log-odds is the source's weight.

    Args:
        model: The model that scored.
        features: Row of the matrix; shape (columns,).
    """
    columns = model.plan.features()
    sources = list(dict.fromkeys(column.source for column in columns))
    source_of = np.array([sources.index(column.source) for column in columns])
    # First a row for each source as usual, then one for each column as usual.
    mended = np.repeat(features[np.newaxis, :], len(sources) + len(columns), axis=0)
    for number in range(len(sources)):
        mended[number, source_of == number] = model.usual[source_of == number]
    each = np.arange(len(columns))
    mended[len(sources) + each, each] = model.usual
    without = model.probabilities(mended)
    now = log_odds(model.probabilities(features[np.newaxis, :]))[0]
    weight = now - log_odds(without)
    of_source, of_column = weight[: len(sources)], weight[len(sources) :]
    told: list[Contribution] = []
    for number in np.argsort(-of_source, kind="stable")[:READINGS_TOLD]:
        if of_source[number] < LEAST_TOLD:
            break
        column = max(np.flatnonzero(source_of == number).tolist(), key=lambda column: (of_column[column], -column))
        told.append(
            Contribution(columns[column], float(features[column]), float(model.usual[column]), float(without[number]))
        )
    return told


def act_by(score: Score) -> datetime:
    """Until when a visit comes before the failure foreseen: the end of the horizon."""
    return from_hour(score.hour) + timedelta(hours=score.stored.model.horizon_hours)


def evidence(score: Score, told: Sequence[Contribution]) -> dict[str, Any]:
    """What is frozen into the ticket."""
    model = score.stored.model
    return {
        "model": {
            "model_id": score.stored.model_id,
            "kind": model.kind,
            "component": model.component,
            "sha256": score.stored.sha256,
            "trained_as_of": from_hour(model.trained_as_of_hour).isoformat(),
            "training_failures": model.failures,
            "code_version": __version__,
        },
        "as_of": from_hour(score.hour).isoformat(),
        "probability": round(score.probability, 4),
        "horizon_hours": model.horizon_hours,
        "threshold": round(score.threshold, 4),
        "act_by": act_by(score).isoformat(),
        "costs": _costs(score),
        "readings": [contribution.to_json() for contribution in told],
    }


def description(score: Score, told: Sequence[Contribution]) -> str:
    """The same for a person."""
    costs, horizon_hours = _costs(score), score.stored.model.horizon_hours
    waiting, planned, failure = (
        f"{_money(costs[name])} {score.currency}"
        for name in ("expected_failure_minor", "planned_minor", "failure_minor")
    )
    lines = [
        f"{score.component} will fail within {horizon_hours} h with a probability of {score.probability:.0%}.",
        f"Waiting would cost {waiting} on average, a planned visit {planned}; a failure costs {failure}.",
        f"Act by {act_by(score):%Y-%m-%d %H:%M} UTC.",
    ]
    if told:
        lines.append("What speaks for it:")
        lines += [f"- {contribution}" for contribution in told]
    return "\n".join(lines)


def _costs(score: Score) -> Mapping[str, Any]:
    return {
        "failure_minor": round(score.costs.failure_minor),
        "planned_minor": round(score.costs.planned_minor),
        "expected_failure_minor": round(score.probability * score.costs.failure_minor),
        "break_even_probability": round(score.costs.break_even, 4),
        "currency": score.currency,
    }


def _money(minor: float) -> str:
    return f"{minor / 100:,.2f}"


def _number(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "unknown"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
