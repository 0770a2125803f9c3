"""What is done with customers and sites."""

from typing import Any
from zoneinfo import available_timezones

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.customers.models import NewCustomer, NewSite
from careloop.database.queries import load_queries

SQL = load_queries("api.customers")


async def create_customer(call: Call, body: NewCustomer) -> DictRow:
    """Add a customer."""
    return await _one(call, "insert_customer", body.model_dump())


async def create_site(call: Call, body: NewSite) -> DictRow:
    """Add a site.

    Raises:
        Problem: 422 for an unknown customer or time zone.
    """
    if body.time_zone not in available_timezones():
        raise Problem.bad_field("body.time_zone", f"{body.time_zone} is not an IANA time zone, e.g. Asia/Shanghai")
    key = {"customer_id": body.customer_id}
    if body.customer_id is not None:
        there = await (await call.connection.execute(SQL["customer_exists"], key)).fetchone()
        if there is None:
            raise Problem.bad_field("body.customer_id", f"there is no customer {body.customer_id}")
    return await _one(call, "insert_site", body.model_dump())


async def _one(call: Call, query: str, values: dict[str, Any]) -> DictRow:
    row = await (await call.connection.execute(SQL[query], values)).fetchone()
    if row is None:
        raise LookupError(f"{query} returned no row")
    return row
