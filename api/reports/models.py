"""Answers of the reports; the figures are those of rules.py and estimates.py."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.conventions.models import Answer

Hours = Annotated[float, Field(description="hours")]


class Estimate(Answer):
    """An estimate with its 95 % bounds; null where the facts allow none."""

    estimate: float | None
    lower: float | None
    upper: float | None


class CurvePoint(Answer):
    """From this age on: share surviving, its band, and how many were at risk just before."""

    hours: Hours
    survival: float
    lower: float
    upper: float
    at_risk: int


class ComponentLife(Answer):
    """How long a component lasts: Kaplan-Meier estimate."""

    lives: int
    failed: int
    censored: int
    median_hours: Estimate
    curve: list[CurvePoint]
    note: str


class Inspected(Answer):
    """What parts taken out turned out to be."""

    parts: int
    by_finding: dict[str, int]
    by_failure_mode: dict[str, int]


class Group(Answer):
    """The figures of one component of one product model."""

    model: str
    component: str
    assets: int
    exposure_hours: Hours
    failures: int
    mtbf_hours: Estimate
    repairs: int
    mttr_hours: Estimate
    life: ComponentLife
    inspected: Inspected


class Prevention(Answer):
    """What preventive tickets did."""

    tickets: int
    by_outcome: dict[str, int]
    failures: int
    failures_caught: int
    replaced_before_failing: int
    median_lead_hours: float | None


class ReliabilityReport(Answer):
    """The reliability report; `methods` tells how each figure is computed."""

    from_: datetime | None = Field(alias="from", description="null: from the installation of each asset")
    to: datetime = Field(description="not included; facts are strictly before it")
    model: str | None
    component: str | None
    confidence: float
    assets: int
    exposure_hours: Hours
    prevention: Prevention
    groups: list[Group]
    methods: dict[str, str]
