"""Numbers, addresses and consents as they are kept; what a customer may become."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, get_args

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from api.conventions.states import StateMachine

Kind = Literal["consumer", "business"]
State = Literal["active", "inactive", "merged", "erased"]
SalesChannel = Literal["online_shop", "retailer", "dealer", "direct", "rental"]
ContactRole = Literal["main", "site", "technical", "billing", "other"]
ContactChannel = Literal["sms", "email", "phone", "wechat", "app", "post"]
Purpose = Literal["service", "marketing"]
ConsentState = Literal["given", "withdrawn"]
DuplicateReason = Literal["phone", "email", "tax_number", "registration_number", "serial"]

CHANNELS: tuple[ContactChannel, ...] = get_args(ContactChannel)
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

MACHINE = StateMachine(
    name="customer",
    initial="active",
    moves={
        "active": {"deactivate": "inactive", "merge": "merged", "erase": "erased"},
        "inactive": {"reactivate": "active", "merge": "merged", "erase": "erased"},
        "merged": {},
        "erased": {},
    },
    notes="A merged customer is a signpost to the one that took it in, and is erased together with that one.",
)

# ISO 3166-1: the regions of numbering plans, but for those that are no countries there, and countries without phones.
COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS) - {"AC", "TA"} | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}

FEWEST_DIGITS = 5
_E164 = re.compile(r"\+[0-9]{3,15}")


def country_code(text: str) -> str:
    """A country's code.

    Raises:
        ValueError: It is none of ISO 3166-1.
    """
    if text not in COUNTRIES:
        raise ValueError(f"{text} is no country's code of two capitals (ISO 3166-1), e.g. DE or CN")
    return text


def phone_number(text: str, country: str | None) -> str:
    """A phone number as E.164, e.g. +4915123456789.

    Args:
        text: As somebody wrote it.
        country: Whose numbering plan is meant when it does not begin with + or 00 of that country.

    Raises:
        ValueError: It is no possible number, or needs a country.
    """
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and country is None:
            raise ValueError(
                "needs its country's code, e.g. +49 151 23456789; or give the customer's country"
            ) from error
        raise ValueError("is no phone number, e.g. +49 151 23456789") from error
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is too short or too long for a phone number of its country, e.g. +49 151 23456789")
    kept = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not _E164.fullmatch(kept):
        raise ValueError("has more digits than a phone number can have")
    return kept


def email_address(text: str) -> str:
    """A mail address in small letters; whether the mailbox is there is not asked.

    Raises:
        ValueError: It is no address.
    """
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(f"is no mail address: {error}") from error


def plain_number(text: str) -> str:
    """A tax or registration number in capitals and digits only: `DE 123.456-789` is `DE123456789`.

    Raises:
        ValueError: Nothing is left of it.
    """
    plain = "".join(sign for sign in text.upper() if sign.isalnum())
    if not plain:
        raise ValueError("must have letters or digits")
    return plain


def searched_phone(text: str, country: str | None) -> tuple[str | None, str | None]:
    """What to search a phone number by: the whole of it, or else its last digits backwards.

    Raises:
        ValueError: Too few digits.
    """
    if text.startswith("+") or country is not None:
        try:
            return phone_number(text, country), None
        except ValueError:
            pass
    digits = "".join(sign for sign in text if sign in "0123456789").lstrip("0")
    if len(digits) < FEWEST_DIGITS:
        raise ValueError(f"must have at least {FEWEST_DIGITS} digits")
    return None, digits[::-1]


def misfit_of_numbers(kind: str, tax_number: str | None, registration_number: str | None) -> str | None:
    """The field that only a business has, or None."""
    if kind == "business":
        return None
    for field, number in (("tax_number", tax_number), ("registration_number", registration_number)):
        if number is not None:
            return field
    return None


# Consents ---------------------------------------------------------------------------------------


def may_be_contacted(purpose: str, consent: str | None) -> bool:
    """Whether a consent lets one write or call.

    What belongs to the service somebody asked for needs no consent, but heeds a withdrawal; marketing needs one.
    """
    return consent == "given" if purpose == "marketing" else consent != "withdrawn"


def to_withdraw(
    survivor: Mapping[tuple[str, str], str], merged: Mapping[tuple[str, str], str]
) -> list[tuple[str, str]]:
    """What must be withdrawn when two customers turn out to be one: whatever either has withdrawn.

    Args:
        survivor: Current consents by channel and purpose.
        merged: The other one's.
    """
    return sorted(
        what
        for what in survivor.keys() | merged.keys()
        if {survivor.get(what), merged.get(what)} == {"given", "withdrawn"}
    )


def current_consents(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every channel and purpose with what holds now.

    Args:
        rows: The newest consent of each, where there is one.
    """
    known = {(row["channel"], row["purpose"]): row for row in rows}
    for channel in CHANNELS:
        for purpose in PURPOSES:
            row = known.get((channel, purpose))
            state = None if row is None else row["state"]
            at: datetime | None = None if row is None else row["at"]
            yield {
                "channel": channel,
                "purpose": purpose,
                "state": state,
                "may_contact": may_be_contacted(purpose, state),
                "at": at,
                "source": None if row is None else row["source"],
            }


def reachable(contacts: Collection[Mapping[str, Any]], channel: str) -> bool:
    """Whether there is a number or address for a channel; an app and the post find their way without."""
    field = {"sms": "phone", "phone": "phone", "email": "email", "wechat": "wechat"}.get(channel)
    return field is None or any(contact[field] for contact in contacts)
