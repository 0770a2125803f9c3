"""Answers: charts, events, latest values."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.conventions.models import Answer
from api.telemetry.rules import Resolution


class Point(Answer):
    """What a metric was in a bucket of time; a spike shows in `min` and `max` however wide the bucket is."""

    time: datetime = Field(description="start of the bucket")
    mean: float
    min: float
    max: float
    readings: int


class Chart(Answer):
    """A metric of an asset over a span; buckets in which nothing was read are left out."""

    serial: str
    metric: str
    unit: str
    from_time: datetime
    to_time: datetime
    resolution: Resolution = Field(description="raw readings, or the rollup that it is drawn from")
    bucket_seconds: float
    points: list[Point]


class Event(Answer):
    """What a machine reported."""

    time: datetime
    code: str
    severity: str
    detail: dict[str, Any]


class LatestReading(Answer):
    """The last reading of a metric."""

    metric: str
    unit: str
    time: datetime
    value: float


class LatestOfAsset(Answer):
    """The last reading of each metric that an asset ever sent."""

    asset_id: int
    serial: str
    model: str
    online: bool | None = Field(description="whether its own agent is connected; null behind a gateway")
    online_since: datetime | None = Field(description="since when that is so")
    latest: list[LatestReading]
