"""What somebody would be recognised by in a text: patterns for PostgreSQL's regular expressions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import phonenumbers

# Between the digits of a phone number as people write it.
_GAP = r"[ ./()\u00a0-]*"
# They are no name of anybody, though they stand in names.
_COMMON = frozenset({
    "and", "der", "die", "und", "von", "van", "the", "herr", "frau", "mrs", "miss", "family", "familie", "erased",
})  # fmt: skip
_SHORTEST_WORD = 3
_SHORTEST_TEXT = 4
NEVER = "(?=x)y"


@dataclass
class Person:
    """What is known of somebody; empty texts are left out.

    Attributes:
        names: Of people, whose single words betray them too.
        firms: Of businesses, only as a whole.
        phones: E.164.
        places: Street with number, and postal code with city.
        signs: Whatever is theirs alone: mail addresses, logins, tax numbers.
    """

    names: set[str] = field(default_factory=set)
    firms: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    signs: set[str] = field(default_factory=set)

    @property
    def texts(self) -> set[str]:
        """All of it as it is kept."""
        every = self.names | self.firms | self.phones | self.places | self.signs
        return {text for text in every if len(text) >= _SHORTEST_TEXT or not text.isascii()}


def loose_pattern(person: Person) -> str:
    """What counts in any case of letters: whole names, numbers, addresses."""
    parts = [_words(text) for text in sorted(person.names | person.firms) if _is_telling(text)]
    parts += [_words(text) for text in sorted(person.places) if len(text) >= _SHORTEST_TEXT]
    parts += [_alone(re.escape(text)) for text in sorted(person.signs) if len(text) >= _SHORTEST_TEXT]
    parts += [_phone(text) for text in sorted(person.phones)]
    return "|".join(parts) or NEVER


def exact_pattern(person: Person) -> str:
    """What counts only as it is written, because in small letters it may be a word like any other: parts of names."""
    words = {
        word
        for name in person.names
        for word in re.split(r"[\s,.()'\"-]+", name)
        if len(word) >= _SHORTEST_WORD and word.casefold() not in _COMMON and not word.isdigit()
    }
    return "|".join(_alone(re.escape(word)) for word in sorted(words)) or NEVER


def _is_telling(name: str) -> bool:
    """Whether a name as a whole is more than a word that might stand anywhere."""
    return not name.isascii() or len(name.split()) > 1 or len(name) > 8


def _words(text: str) -> str:
    return r"[\s,.]+".join(re.escape(word) for word in re.split(r"[\s,.]+", text) if word)


def _alone(pattern: str) -> str:
    return rf"(?<![[:alnum:]]){pattern}(?![[:alnum:]])"


def _phone(text: str) -> str:
    number = phonenumbers.parse(text, None)
    national = _GAP.join(phonenumbers.national_significant_number(number))
    code = _GAP.join(str(number.country_code))
    return rf"(?<![0-9])(?:(?:\+|00){_GAP}{code}{_GAP}(?:\(0\){_GAP})?|0)?{national}(?![0-9])"


def add_places(person: Person, rows: Iterable[dict[str, str | None]]) -> None:
    """Note the addresses of sites: rows with `street`, `address_extra`, `postal_code`, `city`."""
    for row in rows:
        person.places |= {text for text in (row.get("street"), row.get("address_extra")) if text}
        if row.get("postal_code") and row.get("city"):
            person.places.add(f"{row['postal_code']} {row['city']}")


def note_row(person: Person, table: str, row: dict[str, Any], *, business: bool) -> None:
    """Note what a row says of who somebody is.

    Args:
        person: Where to.
        table: `customer`, `contact`, `site` or `app_user`.
        row: Its columns, all or some of them.
        business: It is a firm's own name.
    """

    def texts(*columns: str) -> set[str]:
        return {str(row[column]) for column in columns if row.get(column)} - {"erased"}

    if table == "site":
        add_places(person, [row])
    elif table == "customer":
        (person.firms if business else person.names).update(texts("name"))
        person.signs |= texts("tax_number", "registration_number")
    else:
        person.names |= texts("name")
        person.phones |= texts("phone")
        person.signs |= texts("email", "wechat", "login", "oidc_subject")
