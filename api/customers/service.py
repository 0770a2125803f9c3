"""What is done with customers, contacts and sites."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.customers import rules
from api.customers.models import (
    ContactChange,
    CustomerChange,
    NewContact,
    NewCustomer,
    NewSite,
    SiteChange,
)
from careloop.database.queries import load_queries

SQL = load_queries("api.customers")

# So many contacts and sites stand on a customer's card.
ON_A_CARD = 100


# Customers --------------------------------------------------------------------------------------


async def create_customer(call: Call, body: NewCustomer) -> DictRow:
    """Add a customer with contacts and sites; returns the card.

    Raises:
        Problem: 422 naming the field.
    """
    values = body.model_dump(exclude={"contacts", "sites"})
    _refuse_numbers(values)
    row = await one_row(call, "insert_customer", {**values, "now": call.now})
    customer_id = row["customer_id"]
    for number, contact in enumerate(body.contacts):
        await _insert_contact(call, customer_id, contact, body.country, f"body.contacts.{number}")
    for number, site in enumerate(body.sites):
        _refuse_time_zone(site.time_zone, f"body.sites.{number}")
        await one_row(call, "insert_site", {**site.model_dump(), "customer_id": customer_id})
    return await customer_card(call, customer_id)


async def get_customer(call: Call, customer_id: int) -> DictRow:
    """One customer.

    Raises:
        Problem: 404; 308 to the survivor when it was merged.
    """
    row = await maybe_row(call, "get_customer", {"customer_id": customer_id})
    if row is None:
        raise Problem.not_found("customer", customer_id)
    if row["merged_into"] is not None:
        raise merged_away(row, 308)
    return row


async def customer_card(call: Call, customer_id: int) -> DictRow:
    """A customer with active contacts and sites.

    Raises:
        Problem: 404; 308 to the survivor when it was merged.
    """
    customer = await get_customer(call, customer_id)
    wanted = {"customer_id": customer_id, "active": True, "after_id": 0, "fetch": ON_A_CARD}
    return {
        **customer,
        "contacts": await every_row(call, "list_contacts", wanted),
        "sites": await every_row(call, "list_sites", wanted),
    }


async def list_customers(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Customers that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `states`, and `kind`, `channel`, `tax_number`, `phone`, `last_digits`, `email`, `name`, `serial`
            (None: any), `after_id`, `fetch`.
    """
    return await every_row(call, "list_customers", wanted)


async def change_customer(call: Call, customer_id: int, change: CustomerChange, version: int) -> DictRow:
    """Change a customer who is still at the version seen.

    Raises:
        Problem: 404, 409 when merged or erased, 412, 422.
    """
    seen = await lock_customer(call, customer_id, version)
    values = {**seen, **change.model_dump(include=change.model_fields_set)}
    _refuse_numbers(values)
    await call.connection.execute(SQL["change_customer"], values)
    return await get_customer(call, customer_id)


async def move_customer(call: Call, customer_id: int, action: str, version: int) -> DictRow:
    """Deactivate or reactivate a customer who is still at the version seen.

    Raises:
        Problem: 404, 409, 412.
    """
    seen = await lock_customer(call, customer_id, version)
    to = rules.MACHINE.require(customer_id, seen["state"], action)
    await call.connection.execute(SQL["move_customer"], {"customer_id": customer_id, "to": to})
    return await get_customer(call, customer_id)


async def lock_customer(call: Call, customer_id: int, version: int | None = None) -> DictRow:
    """A customer who lives, locked.

    Raises:
        Problem: 404, 409 when merged or erased, 412 when not at the version.
    """
    row = await maybe_row(call, "lock_customer", {"customer_id": customer_id})
    if row is None:
        raise Problem.not_found("customer", customer_id)
    _refuse_gone(row)
    if version is not None and row["version"] != version:
        raise changed_meanwhile("customer", version)
    return row


async def require_customer(call: Call, customer_id: int, field: str = "body.customer_id") -> None:
    """Refuse a customer whom nothing can be added to; until the call ends nobody merges or erases it.

    Raises:
        Problem: 422 naming the field.
    """
    row = await maybe_row(call, "hold_customer", {"customer_id": customer_id})
    if row is None:
        raise Problem.bad_field(field, f"there is no customer {customer_id}")
    if row["merged_into"] is not None:
        message = f"customer {customer_id} was merged into {row['merged_into']}; take that number"
        raise Problem.bad_field(field, message)
    if row["state"] == "erased":
        raise Problem.bad_field(field, f"customer {customer_id} was erased")


def merged_away(row: Mapping[str, Any], status: int = 409) -> Problem:
    """Where a merged customer's things are now."""
    into = row["merged_into"]
    detail = f"customer {row['customer_id']} was merged into {into}; go on there"
    headers = {"Location": f"/v1/customers/{into}"} if status == 308 else None
    return Problem(status, "merged-into", detail, headers=headers, customer_id=into)


def _refuse_gone(row: Mapping[str, Any]) -> None:
    if row["merged_into"] is not None:
        raise merged_away(row)
    if row["state"] == "erased":
        raise Problem.conflict("customer-erased", f"customer {row['customer_id']} was erased; nothing is kept of them")


def _refuse_numbers(values: Mapping[str, Any]) -> None:
    field = rules.misfit_of_numbers(values["kind"], values["tax_number"], values["registration_number"])
    if field is not None:
        raise Problem.bad_field(f"body.{field}", "only a business has one; leave it out or set kind to business")


# Contacts ---------------------------------------------------------------------------------------


async def create_contact(call: Call, customer_id: int, body: NewContact) -> DictRow:
    """Add a contact.

    Raises:
        Problem: 404, 409 when the customer is merged or erased, 422.
    """
    customer = await lock_customer(call, customer_id)
    return await _insert_contact(call, customer_id, body, customer["country"], "body")


async def list_contacts(call: Call, customer_id: int, wanted: Mapping[str, Any]) -> list[DictRow]:
    """A customer's contacts, in ascending order of their number.

    Raises:
        Problem: 404; 308.
    """
    await get_customer(call, customer_id)
    return await every_row(call, "list_contacts", {**wanted, "customer_id": customer_id})


async def get_contact(call: Call, contact_id: int) -> DictRow:
    """One contact.

    Raises:
        Problem: 404.
    """
    row = await maybe_row(call, "get_contact", {"contact_id": contact_id})
    if row is None:
        raise Problem.not_found("contact", contact_id)
    return row


async def change_contact(call: Call, contact_id: int, change: ContactChange, version: int) -> DictRow:
    """Change a contact that is still at the version seen.

    Raises:
        Problem: 404, 409, 412, 422.
    """
    # The customer first: all who lock both do so in this order.
    customer = await lock_customer(call, (await get_contact(call, contact_id))["customer_id"])
    seen = await one_row(call, "lock_contact", {"contact_id": contact_id})
    if seen["version"] != version:
        raise changed_meanwhile("contact", version)
    given = change.model_dump(include=change.model_fields_set)
    if given.get("phone") is not None:
        given["phone"] = _phone(given["phone"], customer["country"], "body")
    if given.get("site_id") is not None:
        await _require_own_site(call, customer["customer_id"], given["site_id"], "body")
    return await one_row(call, "change_contact", {**seen, **given})


async def _insert_contact(call: Call, customer_id: int, body: NewContact, country: str | None, field: str) -> DictRow:
    values = {**body.model_dump(), "customer_id": customer_id, "now": call.now}
    if body.phone is not None:
        values["phone"] = _phone(body.phone, country, field)
    if body.site_id is not None:
        await _require_own_site(call, customer_id, body.site_id, field)
    return await one_row(call, "insert_contact", values)


def _phone(text: str, country: str | None, field: str) -> str:
    try:
        return rules.phone_number(text, country)
    except ValueError as error:
        raise Problem.bad_field(f"{field}.phone", str(error)) from error


async def _require_own_site(call: Call, customer_id: int, site_id: int, field: str) -> None:
    site = await maybe_row(call, "get_site", {"site_id": site_id})
    if site is None or site["customer_id"] != customer_id:
        raise Problem.bad_field(f"{field}.site_id", f"customer {customer_id} has no site {site_id}")


# Sites ------------------------------------------------------------------------------------------


async def create_site(call: Call, body: NewSite) -> DictRow:
    """Add a site.

    Raises:
        Problem: 422 for an unknown customer or time zone.
    """
    _refuse_time_zone(body.time_zone, "body")
    if body.customer_id is not None:
        await require_customer(call, body.customer_id)
    return await one_row(call, "insert_site", body.model_dump())


async def list_sites(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Sites, of one customer if wished, in ascending order of their number."""
    return await every_row(call, "list_sites", wanted)


async def get_site(call: Call, site_id: int) -> DictRow:
    """One site.

    Raises:
        Problem: 404.
    """
    row = await maybe_row(call, "get_site", {"site_id": site_id})
    if row is None:
        raise Problem.not_found("site", site_id)
    return row


async def change_site(call: Call, site_id: int, change: SiteChange, version: int) -> DictRow:
    """Change a site that is still at the version seen.

    Raises:
        Problem: 404, 409 when its customer was erased, 412, 422.
    """
    site = await get_site(call, site_id)
    if site["customer_id"] is not None:
        await lock_customer(call, site["customer_id"])
    seen = await one_row(call, "lock_site", {"site_id": site_id})
    if seen["version"] != version:
        raise changed_meanwhile("site", version)
    values = {**seen, **change.model_dump(include=change.model_fields_set)}
    _refuse_time_zone(values["time_zone"], "body")
    return await one_row(call, "change_site", values)


def _refuse_time_zone(name: str, field: str) -> None:
    if name not in available_timezones():
        raise Problem.bad_field(f"{field}.time_zone", f"{name} is not an IANA time zone, e.g. Asia/Shanghai")


# Duplicates -------------------------------------------------------------------------------------


async def duplicates_of(call: Call, customer_id: int) -> list[DictRow]:
    """Who may be the same customer, the likeliest first.

    Raises:
        Problem: 404; 308.
    """
    await get_customer(call, customer_id)
    return await every_row(call, "duplicates_of", {"customer_id": customer_id})


async def list_duplicates(call: Call, parameters: Mapping[str, int]) -> list[DictRow]:
    """All customers who may be the same as a later one."""
    return await every_row(call, "list_duplicates", parameters)


async def maybe_row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The row that a statement of the room gives, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def one_row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow:
    """The row that a statement of the room always gives."""
    row = await maybe_row(call, query, values)
    if row is None:
        raise LookupError(f"{query} returned no row")
    return row


async def every_row(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows that a statement of the room gives."""
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL[query], values, prepare=False)).fetchall()
