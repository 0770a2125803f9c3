"""What parts cost whom. A price that has begun is never rewritten: it ends, and another begins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.parts.catalogue_models import NewPrice, NewPriceOfPart
from api.parts.service import SQL, get_part, parts_by_sku, rows_of, unknown_part

_COLUMNS = ("kind", "level", "currency", "price_minor", "valid_from", "valid_until")
_KEY = ("kind", "level", "currency", "valid_from")


async def add_price(call: Call, sku: str, body: NewPrice) -> DictRow:
    """Add a price of a part.

    Raises:
        Problem: 404; 409 when there is one that begins on the same day.
    """
    part = await get_part(call, sku)
    made = await insert_prices(call, [(part["part_id"], body)])
    if not made:
        raise _taken(sku, body)
    return {**made[0], "sku": sku}


async def add_prices(call: Call, items: Sequence[NewPriceOfPart]) -> int:
    """Add prices of many parts; all of them, or none. Returns how many.

    Raises:
        Problem: 409 when there is one that begins on the same day; 422 for an unknown part.
    """
    numbers = await parts_by_sku(call, (item.sku for item in items))
    for place, item in enumerate(items):
        if item.sku not in numbers:
            raise unknown_part(f"body.items.{place}.sku", item.sku)
    await insert_all(call, [(numbers[item.sku], item) for item in items])
    return len(items)


async def insert_all(call: Call, prices: Sequence[tuple[int, NewPriceOfPart]]) -> None:
    """Insert prices of parts by number.

    Raises:
        Problem: 409 when there is one that begins on the same day.
    """
    made = await insert_prices(call, prices)
    left = Counter((row["part_id"], *(row[name] for name in _KEY)) for row in made)
    for part_id, price in prices:
        key = (part_id, *(getattr(price, name) for name in _KEY))
        if not left[key]:
            raise _taken(price.sku, price)
        left[key] -= 1


async def insert_prices(call: Call, prices: Sequence[tuple[int, NewPrice]]) -> list[DictRow]:
    """Insert prices of parts by number; what begins on the same day as another one is left out."""
    values: dict[str, Any] = {name: [getattr(price, name) for _, price in prices] for name in _COLUMNS}
    values["part_id"] = [part_id for part_id, _ in prices]
    return await rows_of(call, "insert_prices", {**values, "actor": call.principal.name, "now": call.now})


def _taken(sku: str, price: NewPrice) -> Problem:
    said = f"{price.kind} price in {price.currency}" + (f" of level {price.level}" if price.level else "")
    detail = f"{sku} has a {said} from {price.valid_from} on already; let the new one begin on another day"
    return Problem.conflict("price-taken", detail, sku=sku, valid_from=price.valid_from.isoformat())


async def list_prices(call: Call, sku: str, page: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[DictRow]:
    """Prices of a part that the caller may see; `wanted` has `kind`, `level` and `on`, None for any.

    Raises:
        Problem: 404 for an unknown part.
    """
    part = await get_part(call, sku)
    return await rows_of(call, "list_prices", {**page, **wanted, "part_id": part["part_id"]})


async def end_price(call: Call, part_price_id: int, valid_until: date | None, version: int) -> DictRow:
    """Say which day is a price's last.

    Raises:
        Problem: 404; 412 when somebody else was faster; 422 for a day before its first, or one that is over.
    """
    price = await _get(call, part_price_id)
    if valid_until is not None and valid_until < price["valid_from"]:
        raise Problem.bad_field("body.valid_until", f"must not be before {price['valid_from']}, its first day")
    yesterday = date.fromordinal(call.now.date().toordinal() - 1)
    if valid_until is not None and valid_until < yesterday:
        raise Problem.bad_field("body.valid_until", f"is over; it has counted until {yesterday} at least")
    values = {"part_price_id": part_price_id, "valid_until": valid_until, "version": version}
    if await (await call.connection.execute(SQL["end_price"], values)).fetchone() is None:
        raise changed_meanwhile("price", version)
    return await _get(call, part_price_id)


async def drop_price(call: Call, part_price_id: int) -> None:
    """Take back a price that has not begun.

    Raises:
        Problem: 404; 409 when it has begun.
    """
    price = await _get(call, part_price_id)
    values = {"part_price_id": part_price_id, "today": call.now.date()}
    if await (await call.connection.execute(SQL["delete_price"], values)).fetchone() is None:
        detail = f"price {part_price_id} counts since {price['valid_from']}; PATCH its valid_until instead"
        raise Problem.conflict("price-begun", detail)


async def _get(call: Call, part_price_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["get_price"], {"part_price_id": part_price_id})).fetchone()
    if row is None:
        raise Problem.not_found("price", part_price_id)
    return row
