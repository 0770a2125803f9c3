"""Bodies and answers of product models and assets."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Count, Currency, Id, Minor, Name, Serial, Text, Time


class Metric(Body):
    """A metric that a product model reports, in its canonical unit."""

    name: Name
    unit: Annotated[str, Field(max_length=32)] = ""


class Component(Body):
    """A component that can fail, the part that replaces it, and what its failure costs."""

    name: Name
    sku: Name | None = Field(None, description="part that replaces it; must be in the catalogue of parts")
    quantity: Count = 1
    skill: Name = "general"
    labour_minutes: Annotated[int, Field(ge=1, le=10_000)] = 60
    failure_cost_minor: Minor = 50_000
    planned_cost_minor: Minor = 10_000
    currency: Currency = "EUR"


class NewProductModel(Body):
    """A product model with what it measures and what it is made of."""

    code: Name
    name: Name
    kind: Name = Field(description="models of one kind share metrics, components and predictor")
    manufacturer: Text = ""
    horizon_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    metrics: list[Metric] = Field(default_factory=list, max_length=500)
    components: list[Component] = Field(default_factory=list, max_length=500)

    @model_validator(mode="after")
    def _names_once(self) -> "NewProductModel":
        for what, names in (("metrics", self.metrics), ("components", self.components)):
            seen = [item.name for item in names]
            twice = sorted({name for name in seen if seen.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: {', '.join(twice)} stands twice")
        return self


class ProductModel(Answer):
    """A product model."""

    code: str
    name: str
    kind: str
    manufacturer: str
    horizon_hours: int
    metrics: list[Metric]
    components: list[Component]
    version: int


class NewWarrantyTerm(Body):
    """A span of days, both included, in which the maker bears a failure."""

    name: Name = "standard"
    starts_on: date
    ends_on: date = Field(description="the last day covered")

    @field_validator("ends_on")
    @classmethod
    def _in_order(cls, ends_on: date, others: ValidationInfo) -> date:
        starts_on = others.data.get("starts_on")
        if starts_on is not None and ends_on < starts_on:
            raise ValueError("must not be before starts_on")
        return ends_on


class NewAsset(Body):
    """A machine with its serial number."""

    serial: Serial
    model: Name = Field(description="code of its product model")
    site_id: Id | None = None
    installed_at: Time
    attributes: dict[str, str | int | float | bool] = Field(default_factory=dict, max_length=100)
    warranty_terms: list[NewWarrantyTerm] = Field(default_factory=list, max_length=20)


class AssetChange(Body):
    """What of an asset may change."""

    site_id: Id | None = None
    state: Literal["active", "retired"] | None = None
    attributes: dict[str, str | int | float | bool] | None = Field(None, max_length=100)


class Asset(Answer):
    """A machine."""

    asset_id: int
    serial: str
    model: str
    kind: str
    site_id: int | None
    territory: str
    installed_at: datetime
    state: str
    attributes: dict[str, Any]
    version: int
