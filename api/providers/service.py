"""What is done with service partners."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.providers.models import NewProvider, NewProviderContact, ProviderChange, ProviderContactChange
from careloop.database.queries import load_queries

SQL = load_queries("api.providers")


async def create_provider(call: Call, body: NewProvider) -> DictRow:
    """Add a partner.

    Raises:
        Problem: 409 when the code is taken.
    """
    values = {**body.model_dump(), "email": body.email or "", "now": call.now}
    made = await _row(call, "insert_provider", values)
    if made is None:
        raise Problem.conflict("code-taken", f"there is a provider {body.code} already")
    await call.connection.execute(SQL["insert_territories"], {**values, **made})
    return await get_provider(call, made["provider_id"])


async def get_provider(call: Call, provider_id: int) -> DictRow:
    """One partner.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_provider", {"provider_id": provider_id})
    if row is None:
        raise Problem.not_found("provider", provider_id)
    return row


async def provider_of_field(call: Call, provider_id: int, field: str) -> DictRow:
    """A partner that a field of the body names, who takes new work.

    Raises:
        Problem: 422 naming the field.
    """
    row = await _row(call, "get_provider", {"provider_id": provider_id})
    if row is None:
        raise Problem.bad_field(field, f"there is no provider {provider_id}")
    if not row["active"]:
        raise Problem.bad_field(field, f"the provider {row['code']} is inactive and gets nothing new")
    return row


async def list_providers(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Partners that fit, in ascending order of their number."""
    return await (await call.connection.execute(SQL["list_providers"], wanted, prepare=False)).fetchall()


async def change_provider(call: Call, provider_id: int, change: ProviderChange, version: int) -> DictRow:
    """Change a partner that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile, 422 for a null where there must be something.
    """
    seen = await _row(call, "lock_provider", {"provider_id": provider_id})
    if seen is None:
        raise Problem.not_found("provider", provider_id)
    if seen["version"] != version:
        raise changed_meanwhile("provider", version)
    values = {**seen, **_given(change)}
    await call.connection.execute(SQL["change_provider"], values)
    if change.territories is not None:
        await call.connection.execute(SQL["delete_territories"], values)
        await call.connection.execute(SQL["insert_territories"], values)
    return await get_provider(call, provider_id)


async def add_contact(call: Call, provider_id: int, body: NewProviderContact) -> DictRow:
    """Add somebody to talk to.

    Raises:
        Problem: 404.
    """
    await get_provider(call, provider_id)
    values = {**body.model_dump(), "email": body.email or "", "provider_id": provider_id}
    row = await _row(call, "insert_contact", values)
    assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
    return row


async def list_contacts(call: Call, provider_id: int, page: Mapping[str, int]) -> list[DictRow]:
    """Whom to talk to.

    Raises:
        Problem: 404.
    """
    await get_provider(call, provider_id)
    return await (await call.connection.execute(SQL["list_contacts"], {**page, "provider_id": provider_id})).fetchall()


async def change_contact(
    call: Call, provider_id: int, contact_id: int, change: ProviderContactChange, version: int
) -> DictRow:
    """Change somebody who is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile, 422 for a null where there must be something.
    """
    key = {"provider_id": provider_id, "provider_contact_id": contact_id}
    seen = await _row(call, "get_contact", key)
    if seen is None:
        raise Problem.not_found("contact", contact_id)
    if seen["version"] != version:
        raise changed_meanwhile("contact", version)
    row = await _row(call, "change_contact", {**seen, **_given(change)})
    assert row is not None  # noqa: S101 - locked above
    return row


async def remove_contact(call: Call, provider_id: int, contact_id: int) -> None:
    """Remove somebody who is no longer there.

    Raises:
        Problem: 404.
    """
    if await _row(call, "delete_contact", {"provider_id": provider_id, "provider_contact_id": contact_id}) is None:
        raise Problem.not_found("contact", contact_id)


def _given(change: ProviderChange | ProviderContactChange) -> dict[str, Any]:
    """What a change says; an e-mail address can be taken away by null, all else must stay something."""
    given = {name: value for name, value in change.model_dump().items() if name in change.model_fields_set}
    if given.get("email", "") is None:
        given["email"] = ""
    for name, value in given.items():
        if value is None:
            raise Problem.bad_field(f"body.{name}", "must not be null; leave it out to keep it")
    return given


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
