"""What is done with the change feed and with webhooks; delivery stands in delivery.py."""

from datetime import timedelta
from typing import Any

from psycopg.rows import DictRow

from api.alerts.rules import new_secret, webhook_fault
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.pages import decode_cursor, encode_cursor
from api.conventions.problems import Problem
from api.feed import rules
from api.feed.models import NewWebhook, WebhookChange
from api.feed.repository import SQL, give_positions

# How long messages are signed with the secret before, too.
OLD_SECRET_FOR = timedelta(hours=24)


async def list_events(call: Call, after_id: int, limit: int) -> dict[str, Any]:
    """The feed after a position, as far as the caller may see it."""
    async with call.unscoped():
        await give_positions(call.connection)
    rows = await (
        await call.connection.execute(SQL["list_events"], {"after_id": after_id, "fetch": limit}, prepare=False)
    ).fetchall()
    last = rows[-1]["position"] if rows else after_id
    return {"items": [rules.event_of(row) for row in rows], "next": encode_cursor(last)}


async def create_webhook(call: Call, body: NewWebhook) -> DictRow:
    """Add a webhook.

    Returns:
        Its row, with the new `secret`, which is never shown again.

    Raises:
        Problem: 409 when the name is taken; 422 for a URL that cannot be delivered to, or a bad cursor.
    """
    _require_url(body.url)
    await give_positions(call.connection)
    after_id = None if body.after is None else decode_cursor(body.after, "body.after")
    secret = new_secret()
    values = {**body.model_dump(include={"name", "url", "types"}), "secret": secret, "now": call.now}
    row = await (await call.connection.execute(SQL["insert_webhook"], {**values, "after_id": after_id})).fetchone()
    if row is None:
        raise Problem.conflict("name-taken", f"there is a webhook {body.name} already")
    return {**await get_webhook(call, row["webhook_id"]), "secret": secret}


async def list_webhooks(call: Call, parameters: dict[str, int]) -> list[DictRow]:
    """Webhooks, oldest first."""
    values = {**parameters, "webhook_id": None}
    rows = await (await call.connection.execute(SQL["list_webhooks"], values)).fetchall()
    return [_with_cursor(row) for row in rows]


async def get_webhook(call: Call, webhook_id: int) -> DictRow:
    """One webhook.

    Raises:
        Problem: 404.
    """
    values = {"after_id": 0, "fetch": 1, "webhook_id": webhook_id}
    row = await (await call.connection.execute(SQL["list_webhooks"], values)).fetchone()
    if row is None:
        raise Problem.not_found("webhook", webhook_id)
    return _with_cursor(row)


async def change_webhook(call: Call, webhook_id: int, change: WebhookChange, version: int) -> DictRow:
    """Change a webhook that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile, 422 for a URL that cannot be delivered to.
    """
    seen = await _lock(call, webhook_id)
    if seen["version"] != version:
        raise changed_meanwhile("webhook", version)
    if change.url is not None:
        _require_url(change.url)
    given = change.model_dump(exclude_none=True)
    await call.connection.execute(SQL["change_webhook"], {**seen, **given})
    return await get_webhook(call, webhook_id)


async def rotate_secret(call: Call, webhook_id: int) -> DictRow:
    """Make a new secret; messages are signed with the old one too for a day.

    Raises:
        Problem: 404.
    """
    await _lock(call, webhook_id)
    secret = new_secret()
    values = {"webhook_id": webhook_id, "secret": secret, "until": call.now + OLD_SECRET_FOR}
    await call.connection.execute(SQL["rotate_secret"], values)
    return {**await get_webhook(call, webhook_id), "secret": secret}


async def delete_webhook(call: Call, webhook_id: int) -> None:
    """Tell it no more.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["delete_webhook"], {"webhook_id": webhook_id})).fetchone()
    if row is None:
        raise Problem.not_found("webhook", webhook_id)


async def replay(call: Call, webhook_id: int, after: str | None) -> DictRow:
    """Tell everything after a cursor again, in order; what was parked or dead comes again in its place.

    Raises:
        Problem: 404, 422 for a bad cursor.
    """
    await _lock(call, webhook_id)
    after_id = 0 if after is None else decode_cursor(after, "body.after")
    await call.connection.execute(SQL["drop_parked"], {"webhook_id": webhook_id})
    await call.connection.execute(SQL["rewind"], {"webhook_id": webhook_id, "after_id": after_id})
    return await get_webhook(call, webhook_id)


async def list_parked(call: Call, webhook_id: int, parameters: dict[str, int]) -> list[DictRow]:
    """Events that a webhook has not taken, in order.

    Raises:
        Problem: 404.
    """
    await get_webhook(call, webhook_id)
    values = {**parameters, "webhook_id": webhook_id}
    rows = await (await call.connection.execute(SQL["list_parked"], values)).fetchall()
    return [
        {**row, "id": rules.message_id(row), "type": rules.type_of(row), "cursor": encode_cursor(row["position"])}
        for row in rows
    ]


async def _lock(call: Call, webhook_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_webhook"], {"webhook_id": webhook_id})).fetchone()
    if row is None:
        raise Problem.not_found("webhook", webhook_id)
    return row


def _with_cursor(row: DictRow) -> DictRow:
    return {**row, "cursor": encode_cursor(row["position"])}


def _require_url(url: str) -> None:
    fault = webhook_fault(url)
    if fault:
        raise Problem.bad_field("body.url", fault)
