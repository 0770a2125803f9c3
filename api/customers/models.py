"""Bodies and answers of customers, sites, contacts and consents."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from api.conventions.models import Answer, Body, Id, Latitude, Longitude, Name, Text, Time
from api.customers.rules import (
    ConsentState,
    ContactChannel,
    ContactRole,
    DuplicateReason,
    Kind,
    Purpose,
    SalesChannel,
    State,
    country_code,
    email_address,
    plain_number,
)

Language = Annotated[str, Field(pattern="^[a-z]{2}(-[A-Z]{2})?$")]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["DE"]), AfterValidator(country_code)]
# Judged by the country, which the service knows.
Phone = Annotated[str, Field(min_length=3, max_length=40, pattern="^[^\\x00]*$", examples=["+49 151 23456789"])]
Email = Annotated[str, Field(max_length=254, examples=["marta@example.com"]), AfterValidator(email_address)]
RegisterNumber = Annotated[Name, Field(max_length=64), AfterValidator(plain_number)]
Line = Annotated[Name, Field(max_length=200)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class NewContact(Body):
    """A person, and how one reaches them."""

    name: Name
    role: ContactRole = "main"
    phone: Phone | None = Field(None, description="kept as E.164; without + it is read by the customer's country")
    email: Email | None = None
    wechat: Name | None = None
    language: Language | None = None
    site_id: Id | None = Field(None, description="where they are to be reached about one site only")


class ContactChange(NewContact):
    """What of a contact may change; fields left out stay."""

    name: Name = ""
    active: bool = True


class Contact(Answer):
    """A person, and how one reaches them."""

    contact_id: int
    customer_id: int
    site_id: int | None
    name: str
    role: ContactRole
    phone: str | None
    email: str | None
    wechat: str | None
    language: str | None
    active: bool
    created_at: datetime
    version: int


class _Place(Body):
    territory: Name = "default"
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    time_zone: Name = "UTC"
    street: Line | None = Field(None, description="with the house number")
    address_extra: Line | None = Field(None, description="floor, door, building, care of")
    postal_code: Annotated[Name, Field(max_length=16)] | None = None
    city: Line | None = None
    region: Line | None = Field(None, description="province, state, canton")
    country: Country | None = None


class NewSiteOfCustomer(_Place):
    """Where a new customer's assets stand."""

    name: Name


class NewSite(_Place):
    """Where assets stand."""

    name: Name
    customer_id: Id | None = None


class SiteChange(_Place):
    """What of a site may change; fields left out stay."""

    name: Name = ""
    active: bool = True


class Site(Answer):
    """Where assets stand."""

    site_id: int
    name: str
    customer_id: int | None
    territory: str
    latitude: float | None
    longitude: float | None
    time_zone: str
    street: str | None
    address_extra: str | None
    postal_code: str | None
    city: str | None
    region: str | None
    country: str | None
    active: bool
    version: int


class _Particulars(Body):
    kind: Kind = "consumer"
    language: Language = "en"
    country: Country | None = Field(None, description="what phone numbers without a country's code are read by")
    tax_number: RegisterNumber | None = Field(None, description="of a business")
    registration_number: RegisterNumber | None = Field(None, description="of a business")
    channel: SalesChannel | None = Field(None, description="how they came to buy")
    note: Text = ""


class NewCustomer(_Particulars):
    """A consumer or a business, with contacts and sites at once if wished."""

    name: Name
    contacts: list[NewContact] = Field(default_factory=list, max_length=50)
    sites: list[NewSiteOfCustomer] = Field(default_factory=list, max_length=50)


class CustomerChange(_Particulars):
    """What of a customer may change; fields left out stay."""

    name: Name = ""


class Customer(Answer):
    """A consumer or a business."""

    customer_id: int
    name: str
    kind: Kind
    state: State
    language: str
    country: str | None
    tax_number: str | None
    registration_number: str | None
    channel: SalesChannel | None
    note: str
    merged_into: int | None
    created_at: datetime
    version: int


class CustomerCard(Customer):
    """A customer with everything one wants to see at a call."""

    contacts: list[Contact] = Field(description="active ones, at most 100")
    sites: list[Site] = Field(description="active ones, at most 100")


class NewConsent(Body):
    """What a customer allows or forbids."""

    channel: ContactChannel
    purpose: Purpose
    state: ConsentState
    source: Annotated[Text, Field(min_length=1)] = Field(
        description="how it was said, e.g. web form of 3 May, box ticked"
    )
    at: Time | None = Field(None, description="when it was said; now if left out")


class Consent(Answer):
    """What a customer once allowed or forbade."""

    consent_id: int
    customer_id: int
    channel: ContactChannel
    purpose: Purpose
    state: ConsentState
    at: datetime
    source: str
    recorded_by: str
    recorded_at: datetime


class CurrentConsent(Answer):
    """What holds for a channel and purpose."""

    channel: ContactChannel
    purpose: Purpose
    state: ConsentState | None = Field(description="null: they were never asked")
    may_contact: bool = Field(description="service: unless withdrawn; marketing: only if given")
    at: datetime | None
    source: str | None


class Consents(Answer):
    """All channels and purposes."""

    customer_id: int
    consents: list[CurrentConsent]


class SharedValue(Answer):
    """What two customers have in common."""

    reason: DuplicateReason
    value: str


class Duplicate(Answer):
    """Who a customer may be too."""

    customer_id: int
    name: str
    kind: Kind
    reasons: list[SharedValue]


class DuplicateGroup(Answer):
    """A customer, and those after it who may be the same."""

    customer_id: int
    name: str
    kind: Kind
    duplicates: list[Duplicate]


class Duplicates(Answer):
    """Who may be the same customer; at most 100."""

    items: list[Duplicate]


class Merge(Body):
    """Which customer takes this one in."""

    into: Id = Field(description="the customer that remains")
    into_version: Version = Field(description="the version of it that you have seen")


class MergeRecord(Answer):
    """A merge that was done."""

    merge_id: int
    from_customer: int
    into_customer: int
    at: datetime
    actor: str
    moved: dict[str, int] = Field(description="rows that have changed hands, by table")
    consents_withdrawn: list[str] = Field(description="channel:purpose; the stricter of both holds")
