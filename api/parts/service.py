"""Parts, and what others ask of the catalogue: what may be taken instead, what is in a kit, what a piece costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts import rules
from api.parts.models import NewPart
from api.parts.rules import PriceKind
from api.tickets.words import words_of
from careloop.database.queries import load_queries

SQL = load_queries("api.parts")

MOST_WORDS = 16


@dataclass(frozen=True)
class Price:
    """What a piece costs.

    Attributes:
        price_minor: In minor units of the currency.
        currency: Three letters.
    """

    price_minor: int
    currency: str


@dataclass(frozen=True)
class Substitute:
    """A part that may be built in instead of another.

    Attributes:
        part_id: Its number.
        sku: Its name on labels.
        rank: 1 is to be tried first.
        why: In words: how it comes to be one.
        name: For people.
        state: `discontinued` and `superseded` ones may be used up, but not ordered.
    """

    part_id: int
    sku: str
    rank: int
    why: str
    name: str = ""
    state: str = "active"


async def create_part(call: Call, body: NewPart) -> DictRow:
    """Add a part to the catalogue.

    Raises:
        Problem: 409 when the SKU is taken.
    """
    row = await _row(call, "insert_part", body.model_dump())
    if row is None:
        raise Problem.conflict("sku-taken", f"there is a part {body.sku} already")
    return row


async def get_part(call: Call, sku: str) -> DictRow:
    """One part.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise Problem.not_found("part", sku)
    return row


async def part_of_field(call: Call, sku: str, field: str = "body.sku") -> DictRow:
    """The part that a field of a body names.

    Raises:
        Problem: 422 naming the field.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise unknown_part(field, sku)
    return row


def unknown_part(field: str, sku: str) -> Problem:
    """422: a field names a part that is not in the catalogue."""
    return Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")


async def parts_by_sku(call: Call, skus: Iterable[str]) -> dict[str, int]:
    """Numbers of the parts that are there, by SKU."""
    rows = await rows_of(call, "find_parts", {"skus": sorted(set(skus))})
    return {row["sku"]: row["part_id"] for row in rows}


async def list_parts(call: Call, page: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[DictRow]:
    """Parts that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        page: Its parameters.
        wanted: `q` (words of SKU or name; the last may be the beginning of one), `sku_prefix`, `state`,
            `shipping_class`, `imported`, `serialised`, `rotable`; None for any.
    """
    prefix = wanted["sku_prefix"]
    values = {
        **page,
        **wanted,
        "asked": None if wanted["q"] is None else _asked_for(wanted["q"]),
        # `_` is a letter of SKUs, and of LIKE any letter.
        "sku_prefix": None if prefix is None else prefix.replace("_", r"\_") + "%",
    }
    return await rows_of(call, "list_parts", values)


def _asked_for(question: str) -> str:
    """A question as text of PostgreSQL's type tsquery; one without a word asks for what nothing has."""
    words = words_of(question)[:MOST_WORDS]
    return " & ".join([*(f"'{word}'" for word in words[:-1]), *(f"'{word}':*" for word in words[-1:])]) or "'\u0020'"


# What may be taken instead -------------------------------------------------------------------------


async def substitutes(call: Call, part_id: int) -> list[Substitute]:
    """What may be built in instead of a part, the best first: its successors through the whole chain, predecessors
    that are still as good, alternatives and what took their place.
    """  # noqa: D205 - one sentence
    return (await substitutes_of(call, [part_id]))[part_id]


async def substitutes_of(call: Call, part_ids: Sequence[int]) -> dict[int, list[Substitute]]:
    """What may be built in instead of each of many parts, by the part's number; the best first."""
    rows = await rows_of(call, "substitutes", {"part_ids": list(part_ids), "on": call.now.date()})
    steps: dict[int, list[DictRow]] = {part_id: [] for part_id in part_ids}
    for row in rows:
        steps[row["origin_id"]].append(row)
    return {
        part_id: [
            Substitute(step["part_id"], step["sku"], place, rules.why_substitute(step), step["name"], step["state"])
            for place, step in enumerate(rules.in_order(ways), 1)
        ]
        for part_id, ways in steps.items()
    }


# Kits ---------------------------------------------------------------------------------------------


async def kits_with(call: Call, part_id: int) -> list[tuple[int, int]]:
    """The kits that a part is in: the kit's number, and how many pieces of the part are in one."""
    return [(row["kit_id"], row["quantity"]) for row in await rows_of(call, "kits_with", {"part_id": part_id})]


async def kit_contents(call: Call, kit_part_id: int) -> list[tuple[int, int]]:
    """What is in a kit: each part's number, and how many pieces; nothing when the part is no kit."""
    return [(row["part_id"], row["quantity"]) for row in await rows_of(call, "kit_contents", {"part_id": kit_part_id})]


# Prices -------------------------------------------------------------------------------------------


async def price_of(
    call: Call, part_id: int, kind: PriceKind, on: date, *, level: str = "", currency: str | None = None
) -> Price | None:
    """What a piece costs on a day, or None when that is said nowhere.

    Args:
        call: Whose connection is used; what its principal may see does not matter.
        part_id: The part.
        kind: Whose price; `internal` falls back to the part's cost.
        on: The day.
        level: A partner's or a kind of customer's own price comes before the one for all.
        currency: The only one that counts; else the part's own first.
    """
    return (await prices_of(call, [part_id], kind, on, level=level, currency=currency)).get(part_id)


async def prices_of(
    call: Call, part_ids: Sequence[int], kind: PriceKind, on: date, *, level: str = "", currency: str | None = None
) -> dict[int, Price]:
    """What a piece of each of many parts costs on a day, by the part's number; see `price_of`."""
    values = {"part_ids": list(part_ids), "kind": kind, "on": on, "level": level, "currency": currency}
    async with call.unscoped():
        rows = await rows_of(call, "prices_of_day", values)
        found = {row["part_id"]: Price(row["price_minor"], row["currency"]) for row in rows}
        if kind == "internal" and len(found) < len(set(part_ids)):
            costs = await rows_of(call, "costs_of_parts", values)
            found = {row["part_id"]: Price(row["price_minor"], row["currency"]) for row in costs} | found
    return found


async def rows_of(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
