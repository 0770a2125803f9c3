"""Bodies and answers of customers and sites."""

from typing import Annotated

from pydantic import Field

from api.conventions.models import Answer, Body, Id, Latitude, Longitude, Name


class NewCustomer(Body):
    """A customer."""

    name: Name
    language: Annotated[str, Field(pattern="^[a-z]{2}(-[A-Z]{2})?$")] = "en"


class Customer(Answer):
    """A customer."""

    customer_id: int
    name: str
    language: str
    version: int


class NewSite(Body):
    """Where assets stand."""

    name: Name
    customer_id: Id | None = None
    territory: Name = "default"
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    time_zone: Name = "UTC"


class Site(Answer):
    """Where assets stand."""

    site_id: int
    name: str
    customer_id: int | None
    territory: str
    latitude: float | None
    longitude: float | None
    time_zone: str
