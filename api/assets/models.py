"""Bodies and answers of product models, assets, their owners, firmware and papers."""

import json
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from api.assets.rules import TAKEN_SERIALS
from api.conventions.models import Answer, Body, Count, Currency, Id, Minor, Name, Serial, Text, Time

Channel = Literal["online_shop", "retailer", "dealer", "direct", "rental"]
AssetState = Literal["active", "retired"]
Language = Annotated[str, Field(pattern="^[a-z]{2}(-[A-Z]{2})?$")]
ModelDocumentKind = Literal["manual", "drawing", "parts_list", "certificate", "bulletin", "other"]
AssetDocumentKind = Literal["proof_of_purchase", "photo", "certificate", "report", "other"]


def _unreserved(serial: str) -> str:
    if serial in TAKEN_SERIALS:
        raise ValueError(f"{serial!r} names a list of this API; no machine may be called so")
    return serial


def _storable(attributes: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
    if any("\x00" in text for pair in attributes.items() for text in pair if isinstance(text, str)):
        raise ValueError("must not contain the character NUL")
    try:
        json.dumps(attributes, allow_nan=False)
    except ValueError as error:
        raise ValueError("must have finite numbers only") from error
    return attributes


NewSerial = Annotated[Serial, AfterValidator(_unreserved)]
Attributes = Annotated[dict[str, str | int | float | bool], Field(max_length=100), AfterValidator(_storable)]


class Metric(Body):
    """A metric that a product model reports, in its canonical unit."""

    name: Name
    unit: Annotated[Text, Field(max_length=32)] = ""


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


def _once(**named: list[Any]) -> None:
    for what, items in named.items():
        seen = [item.name for item in items]
        twice = sorted({name for name in seen if seen.count(name) > 1})
        if twice:
            raise ValueError(f"{what}: {', '.join(twice)} stands twice")


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
        _once(metrics=self.metrics, components=self.components)
        return self


class ProductModelChange(Body):
    """What of a product model may change; what is left out stays.

    Metrics are added. Components are added, or changed where one of that name is there; none goes, since tickets and
    failures name them.
    """

    name: Name = ""
    manufacturer: Text = ""
    horizon_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    metrics: list[Metric] = Field(default_factory=list, max_length=500)
    components: list[Component] = Field(default_factory=list, max_length=500)

    @model_validator(mode="after")
    def _names_once(self) -> "ProductModelChange":
        _once(metrics=self.metrics, components=self.components)
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


# Bill of materials ------------------------------------------------------------------------------


class NewBomItem(Body):
    """An assembly with what is in it, or a part; bounds are included, and what is left out is no bound."""

    position: Annotated[Name, Field(max_length=32)] = Field(description="number in the exploded drawing")
    name: Name
    sku: Name | None = Field(None, description="a part of the catalogue; without, it cannot be had as a whole")
    component: Name | None = Field(None, description="the component of the model that it is")
    quantity: Count = 1
    from_batch: Name | None = None
    until_batch: Name | None = None
    from_date: date | None = Field(None, description="by the machine's day of production")
    until_date: date | None = None
    items: list["NewBomItem"] = Field(default_factory=list, max_length=1000)


class NewBillOfMaterials(Body):
    """A whole bill of materials; it takes the place of the one before."""

    items: list[NewBomItem] = Field(max_length=1000)


class BomItem(Answer):
    """An assembly with what is in it, or a part."""

    position: str
    name: str
    sku: str | None
    part_name: str | None
    component: str | None
    quantity: int
    from_batch: str | None
    until_batch: str | None
    from_date: date | None
    until_date: date | None
    items: list["BomItem"]


class BillOfMaterials(Answer):
    """What a product model, or a machine of it, is made of."""

    model: str
    version: int = Field(description="of the product model")
    batch: str | None = Field(description="for which batch; null for all")
    produced_on: date | None = Field(description="for which day of production; null for all")
    items: list[BomItem]


# Assets -----------------------------------------------------------------------------------------


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

    serial: NewSerial
    model: Name = Field(description="code of its product model")
    customer_id: Id | None = Field(None, description="the owner; left out, the customer of the site")
    site_id: Id | None = None
    installed_at: Time
    installed_by: Annotated[Text, Field(max_length=128)] = ""
    batch: Name | None = Field(None, description="production batch")
    produced_on: date | None = None
    firmware: Name | None = None
    sold_on: date | None = None
    channel: Channel | None = None
    dealer: Annotated[Text, Field(max_length=128)] = ""
    attributes: Attributes = Field(default_factory=dict)
    warranty_terms: list[NewWarrantyTerm] = Field(default_factory=list, max_length=20)


class AssetChange(Body):
    """What of an asset may change; what is left out stays, and null takes away what may be unknown.

    A new owner comes by a transfer; `customer_id` here corrects who was written down wrongly.
    """

    customer_id: Id | None = None
    site_id: Id | None = None
    state: AssetState | None = None
    installed_at: Time | None = None
    installed_by: Annotated[Text, Field(max_length=128)] | None = None
    batch: Name | None = None
    produced_on: date | None = None
    sold_on: date | None = None
    channel: Channel | None = None
    dealer: Annotated[Text, Field(max_length=128)] | None = None
    attributes: Attributes | None = None

    @model_validator(mode="after")
    def _nothing_emptied(self) -> "AssetChange":
        emptied = [
            name
            for name in ("customer_id", "state", "installed_at", "installed_by", "dealer", "attributes")
            if name in self.model_fields_set and getattr(self, name) is None
        ]
        if emptied:
            raise ValueError(f"{', '.join(emptied)} must not be null; leave out what stays")
        return self


class Asset(Answer):
    """A machine."""

    asset_id: int
    serial: str
    model: str
    kind: str
    customer_id: int | None
    site_id: int | None
    territory: str
    installed_at: datetime
    installed_by: str
    state: str
    retired_at: datetime | None
    retired_reason: str
    batch: str | None
    produced_on: date | None
    firmware: str | None
    sold_on: date | None
    channel: str | None
    dealer: str
    attributes: dict[str, Any]
    version: int


class NewRetirement(Body):
    """A machine goes out of service."""

    at: Time | None = Field(None, description="when; left out, now")
    reason: Annotated[Text, Field(max_length=500)] = ""


class NewReturn(Body):
    """A retired machine goes back to service."""

    reason: Annotated[Text, Field(max_length=500)] = ""


class NewTransfer(Body):
    """A machine changes hands."""

    customer_id: Id
    site_id: Id | None = Field(None, description="where it stands from then on; a site of the new owner")
    at: Time | None = Field(None, description="from when on; left out, now")
    proof_file_id: Id | None = Field(None, description="e.g. the bill of sale, POSTed to /v1/files before")
    note: Text = ""


class Owner(Answer):
    """Whose a machine was from when until when; the owner now has no end."""

    asset_owner_id: int
    customer_id: int
    customer_name: str | None
    site_id: int | None
    from_at: datetime
    until_at: datetime | None
    reason: str
    proof_file_id: int | None
    note: str
    recorded_by: str
    recorded_at: datetime


class OpenTicket(Answer):
    """A case that is open at the transfer, and still the former owner's."""

    ticket_id: int
    kind: str
    state: str
    title: str
    customer_id: int | None


class Transfer(Answer):
    """A machine that has changed hands."""

    asset: Asset
    owner: Owner
    open_tickets: list[OpenTicket] = Field(description="cases to be settled with the former owner, or moved by hand")


class NewFirmware(Body):
    """What runs on a machine from some time on."""

    version: Name
    module: Name = Field("machine", description="`machine` for the machine itself, else which board or program")
    at: Time | None = Field(None, description="since when; left out, now")


class Firmware(Answer):
    """What ran on a machine from some time on, and who said so."""

    asset_firmware_id: int
    module: str
    version: str
    at: datetime
    source: str
    recorded_by: str


class InstalledPart(Answer):
    """A component as it is in a machine now."""

    component: str
    sku: str | None
    part_name: str | None
    quantity: int
    installed_at: datetime = Field(description="by its latest replacement, else with the machine")
    replaced_for: str | None = Field(description="failure, preventive or scheduled; null: it is the first one")
    replacements: int
    failures: int


# Papers -----------------------------------------------------------------------------------------


class NewModelDocument(Body):
    """A paper for all machines of a model."""

    kind: ModelDocumentKind
    title: Name
    language: Language | Literal[""] = ""
    file_id: Id


class NewAssetDocument(Body):
    """A paper of one machine."""

    kind: AssetDocumentKind
    title: Name
    language: Language | Literal[""] = ""
    file_id: Id


class Document(Answer):
    """A paper; its bytes are at `/v1/files/{file_id}/content`."""

    document_id: int
    kind: str
    title: str
    language: str
    file_id: int
    of: Literal["model", "asset"]
    added_by: str
    added_at: datetime
