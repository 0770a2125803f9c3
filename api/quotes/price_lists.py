"""What is done with price lists, and which one prices a case."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.quotes.models import NewPriceList
from api.quotes.pricing import Cover, Line, PartCost, Priced, Tariff, Unpriced, price
from careloop.database.queries import load_queries

SQL = load_queries("api.quotes")

_KINDS = {"operation": "operations", "zone": "zones", "part": "parts", "fee": "fees"}


async def create_price_list(call: Call, body: NewPriceList) -> DictRow:
    """Add a version of the prices for some customers.

    Raises:
        Problem: 409 when there is one that begins on the same day.
    """
    values = {**body.model_dump(exclude={"items"}), "now": call.now, "actor": call.principal.name}
    made = await (await call.connection.execute(SQL["insert_price_list"], values)).fetchone()
    if made is None:
        detail = f"there is a price list for the same customers in {body.currency} from {body.valid_from} on already"
        raise Problem.conflict("price-list-taken", detail)
    items = {
        "price_list_id": made["price_list_id"],
        "kinds": [item.kind for item in body.items],
        "codes": [item.code for item in body.items],
        "prices": [item.price_minor for item in body.items],
    }
    await call.connection.execute(SQL["insert_price_items"], items)
    return await get_price_list(call, made["price_list_id"])


async def get_price_list(call: Call, price_list_id: int) -> DictRow:
    """One price list with its items.

    Raises:
        Problem: 404.
    """
    key = {"price_list_id": price_list_id}
    row = await (await call.connection.execute(SQL["get_price_list"], key)).fetchone()
    if row is None:
        raise Problem.not_found("price list", price_list_id)
    items = await (await call.connection.execute(SQL["list_price_items"], key)).fetchall()
    return {**row, "items": items}


async def end_price_list(call: Call, price_list_id: int, valid_until: date | None, version: int) -> DictRow:
    """Say which day is a price list's last.

    Raises:
        Problem: 404; 412 when somebody else was faster; 422 for a day before its first.
    """
    row = await get_price_list(call, price_list_id)
    if valid_until is not None and valid_until < row["valid_from"]:
        raise Problem.bad_field("body.valid_until", f"must not be before {row['valid_from']}, its first day")
    values = {"price_list_id": price_list_id, "valid_until": valid_until, "version": version}
    if await (await call.connection.execute(SQL["change_price_list"], values)).fetchone() is None:
        raise changed_meanwhile("price list", version)
    return await get_price_list(call, price_list_id)


async def list_for(call: Call, ticket: DictRow, on: date, price_list_id: int | None, currency: str | None) -> DictRow:
    """The price list of a case on a day: the one named, or the most exact one that holds then.

    Args:
        call: Whose connection is used.
        ticket: `country`, `customer_kind`, `provider_level`.
        on: The day.
        price_list_id: The one to take, if any.
        currency: When several currencies fit.

    Raises:
        Problem: 409 `no-price-list` when none fits; 422 for an unknown one.
    """
    if price_list_id is not None:
        key = {"price_list_id": price_list_id}
        row = await (await call.connection.execute(SQL["get_price_list"], key)).fetchone()
        if row is None:
            raise Problem.bad_field("body.price_list_id", f"there is no price list {price_list_id}")
        return row
    wanted = {name: ticket[name] for name in ("country", "customer_kind", "provider_level")}
    values = {**wanted, "on": on, "currency": currency}
    rows = await (await call.connection.execute(SQL["lists_of_day"], values)).fetchall()
    if not rows:
        said = ", ".join(f"{name} {value!r}" for name, value in wanted.items())
        raise Problem.conflict("no-price-list", f"no price list holds on {on} for {said}; POST /v1/price-lists")
    return rows[0]


async def price_by(
    call: Call, lines: Sequence[Line], listed: DictRow, cover: Cover, *, on: date, customer_kind: str
) -> Priced:
    """Lines priced by a price list; parts that are not on it by the catalogue's price for customers.

    Args:
        call: Whose connection is used.
        lines: What is to be priced.
        listed: The price list.
        cover: Who bears what.
        on: The day whose catalogue prices count.
        customer_kind: Whose catalogue prices come before those for all.

    Raises:
        Problem: 422 naming the line that has no price.
    """
    codes = {"price_list_id": listed["price_list_id"], "codes": sorted({line.code for line in lines if line.code})}
    prices: dict[str, Any] = {name: {} for name in _KINDS.values()}
    for item in await (await call.connection.execute(SQL["prices_of_codes"], codes)).fetchall():
        prices[_KINDS[item["kind"]]][item["code"]] = item["price_minor"]
    asked = {**codes, "currency": listed["currency"], "on": on, "level": customer_kind}
    costs = {
        row["sku"]: PartCost(row["name"], row["cost_minor"], row["currency"], row["listed_minor"])
        for row in await (await call.connection.execute(SQL["part_costs"], asked)).fetchall()
    }
    try:
        return price(lines, _tariff(listed, prices), costs, cover)
    except Unpriced as unpriced:
        raise Problem.bad_field(f"body.lines.{unpriced.place}.{unpriced.field}", str(unpriced)) from unpriced


def _tariff(listed: DictRow, prices: dict[str, Any]) -> Tariff:
    columns = {column.name for column in fields(Tariff)} - set(prices)
    plain: dict[str, Any] = {name: listed[name] for name in columns}
    return Tariff(**plain, **prices)
