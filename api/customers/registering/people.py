"""Finds or makes many customers and their sites at once, as a sheet tells them.

Somebody is found only where nothing is guessed: by a phone number or mail address together with the name; a business
that is told without either, by its exact name. Everybody else is made, and shows up among duplicates.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from api.conventions.call import Call
from careloop.database.queries import load_queries

SQL = load_queries("api.customers.registering")


class Person(NamedTuple):
    """A customer as told.

    Attributes:
        name: Of the consumer or business, and of its main contact.
        kind: consumer or business.
        phone: E.164, or None.
        email: In small letters, or None.
        language: What they read.
        country: ISO 3166-1, or None.
    """

    name: str
    kind: str
    phone: str | None
    email: str | None
    language: str
    country: str | None


class Place(NamedTuple):
    """A site as told; it is the customer's site of that name, or a new one.

    Attributes:
        customer_id: Whose; None for nobody's.
        name: Of the site.
        street: With the house number.
        postal_code: Of the place.
        city: Of the place.
        country: ISO 3166-1.
        territory: Whose technicians serve it; None is `default`.
        time_zone: IANA name; None is UTC.
        latitude: Degrees north.
        longitude: Degrees east.
    """

    customer_id: int | None
    name: str
    street: str | None
    postal_code: str | None
    city: str | None
    country: str | None
    territory: str | None
    time_zone: str | None
    latitude: float | None
    longitude: float | None


Told = TypeVar("Told", Person, Place)


def _keys_of(told: Person | Place) -> list[Hashable]:
    """What somebody or some place is known by; one of these in common makes two of them one."""
    name = told.name.casefold()
    if isinstance(told, Place):
        return [(told.customer_id, name)]
    reached = [(name, kind, value) for kind, value in (("phone", told.phone), ("email", told.email)) if value]
    return list(reached) or [(name, told.kind)]


def each_once(told: Iterable[Told]) -> tuple[list[Told], list[int]]:
    """Those of a sheet's lines that are different, and for each line which of them it is.

    What one line leaves out another one may say; where both say something, the first one counts.
    """
    different: list[Told] = []
    numbers: list[int] = []
    known: dict[Hashable, int] = {}
    for one in told:
        keys = _keys_of(one)
        number = next((known[key] for key in keys if key in known), len(different))
        if number == len(different):
            different.append(one)
        else:
            first = different[number]
            filled = (other if value is None else value for value, other in zip(first, one, strict=True))
            different[number] = type(first)._make(filled)
        known.update((key, number) for key in keys if key not in known)
        numbers.append(number)
    return different, numbers


async def find_or_make_people(call: Call, people: Sequence[Person]) -> tuple[list[int], int]:
    """The number of each customer, and how many of them are new.

    Args:
        call: Whose transaction they are made in.
        people: Each once.
    """
    if not people:
        return [], 0
    found = await _numbers(call, "find_people", _columns(people))
    missing = [person for person, number in zip(people, found, strict=True) if number is None]
    if missing:
        rows = await (await call.connection.execute(SQL["make_people"], _columns(missing))).fetchall()
        # Numbers are given in the order of insertion.
        made = sorted(row["customer_id"] for row in rows)
        values = {**_columns(missing), "customer_id": made, "now": call.now}
        await call.connection.execute(SQL["make_main_contacts"], values)
        following = iter(made)
        found = [next(following) if number is None else number for number in found]
    return [int(number) for number in found if number is not None], len(missing)


async def find_or_make_places(call: Call, places: Sequence[Place]) -> tuple[list[int], int]:
    """The number of each site, and how many of them are new.

    Args:
        call: Whose transaction they are made in.
        places: Each once.
    """
    if not places:
        return [], 0
    found = await _numbers(call, "find_places", _columns(places))
    missing = [place for place, number in zip(places, found, strict=True) if number is None]
    if missing:
        rows = await (await call.connection.execute(SQL["make_places"], _columns(missing))).fetchall()
        following = iter(sorted(row["site_id"] for row in rows))
        found = [next(following) if number is None else number for number in found]
    return [int(number) for number in found if number is not None], len(missing)


def _columns(rows: Sequence[Person] | Sequence[Place]) -> dict[str, Any]:
    return {name: [getattr(row, name) for row in rows] for name in rows[0]._fields}


async def _numbers(call: Call, query: str, told: dict[str, Any]) -> list[int | None]:
    rows = await (await call.connection.execute(SQL[query], told)).fetchall()
    return [row["number"] for row in rows]
