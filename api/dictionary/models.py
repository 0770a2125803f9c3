"""Bodies and answers of the metric dictionary."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.conventions.models import Answer, Body

Review = Literal["declared", "pending", "accepted", "ignored"]


class ModelMetric(Answer):
    """One metric of one product model."""

    name: str
    unit: str = Field(description="canonical unit; readings in another of the same dimension are converted")
    learned: bool = Field(description="the model's machines send it, and the model was registered without it")
    review: Review = Field(description="pending: learned, and nobody has looked at it yet")
    first_seen_at: datetime | None = Field(description="null when no machine of the model has sent it yet")
    decided_by: str | None
    decided_at: datetime | None


class ModelMetrics(Answer):
    """The dictionary of one product model."""

    model: str
    items: list[ModelMetric]


class PendingMetric(Answer):
    """A learned metric that waits for review."""

    number: int = Field(exclude=True)
    model: str
    name: str
    unit: str
    first_seen_at: datetime


class NewReview(Body):
    """What is decided about a learned metric."""

    decision: Literal["accepted", "ignored"]
    unit: Annotated[str, Field(max_length=32)] | None = Field(
        None, description="canonical unit, for a metric that was learned without one"
    )
