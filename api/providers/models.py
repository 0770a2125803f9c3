"""Bodies and answers of service partners."""

from datetime import datetime
from typing import Annotated

import phonenumbers
from pydantic import AfterValidator, EmailStr, Field

from api.conventions.models import Answer, Body, Name, Text


def _e164(text: str) -> str:
    """A telephone number in one form, +49301234567, however it was written."""
    if not text:
        return ""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError("is no telephone number; write it with its country, e.g. +49 30 1234567") from error
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is no possible telephone number; write it with its country, e.g. +49 30 1234567")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _each_once(names: list[str]) -> list[str]:
    return sorted(set(names))


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Level = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,32}$")]
Phone = Annotated[str, Field(max_length=40), AfterValidator(_e164)]
Email = Annotated[EmailStr, Field(max_length=254)]
Territories = Annotated[list[Name], Field(max_length=500), AfterValidator(_each_once)]


class NewProvider(Body):
    """A service partner."""

    code: Code
    name: Name
    phone: Phone = ""
    email: Email | None = None
    address: Text = ""
    note: Text = ""
    territories: Territories = Field([], description="where it works, as sites name their territory")
    level: Level = Field("", description="as price lists name it in provider_level; empty: none in particular")


class ProviderChange(Body):
    """What of a partner may change; only what is given does. Inactive: nothing new is given to it."""

    name: Name | None = None
    phone: Phone | None = None
    email: Email | None = None
    address: Text | None = None
    note: Text | None = None
    territories: Territories | None = None
    level: Level | None = None
    active: bool | None = None


class Provider(Answer):
    """A service partner."""

    provider_id: int
    code: str
    name: str
    phone: str
    email: str
    address: str
    note: str
    territories: list[str]
    level: str
    active: bool
    created_at: datetime
    version: int


class NewProviderContact(Body):
    """Somebody to talk to."""

    name: Name
    role: Annotated[Text, Field(max_length=128)] = Field("", description="e.g. dispatcher, owner, accounts")
    phone: Phone = ""
    email: Email | None = None


class ProviderContactChange(Body):
    """What of a contact may change; only what is given does."""

    name: Name | None = None
    role: Annotated[Text, Field(max_length=128)] | None = None
    phone: Phone | None = None
    email: Email | None = None


class ProviderContact(Answer):
    """Somebody to talk to."""

    provider_contact_id: int
    provider_id: int
    name: str
    role: str
    phone: str
    email: str
    version: int
