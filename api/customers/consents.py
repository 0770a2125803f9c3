"""What customers allow and forbid, by channel and purpose."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.customers import rules
from api.customers.models import NewConsent
from api.customers.service import ON_A_CARD, every_row, get_customer, lock_customer, maybe_row, one_row


async def record_consent(call: Call, customer_id: int, body: NewConsent) -> DictRow:
    """Note what a customer allows or forbids; what was noted before stays in the history.

    Raises:
        Problem: 404, 409, 422 for a time to come.
    """
    await lock_customer(call, customer_id)
    if body.at is not None and body.at > call.now:
        raise Problem.bad_field("body.at", f"is after now, {call.now.isoformat()}")
    values = {
        **body.model_dump(),
        "customer_id": customer_id,
        "at": body.at or call.now,
        "actor": call.principal.name,
        "now": call.now,
    }
    return await one_row(call, "insert_consent", values)


async def consents_of(call: Call, customer_id: int) -> list[dict[str, Any]]:
    """What holds for every channel and purpose.

    Raises:
        Problem: 404; 308.
    """
    await get_customer(call, customer_id)
    return list(rules.current_consents(await every_row(call, "current_consents", {"customer_id": customer_id})))


async def list_consents(call: Call, customer_id: int, parameters: Mapping[str, int]) -> list[DictRow]:
    """All that was ever noted, oldest first.

    Raises:
        Problem: 404; 308.
    """
    await get_customer(call, customer_id)
    return await every_row(call, "list_consents", {**parameters, "customer_id": customer_id})


async def may_contact(call: Call, customer_id: int, channel: str, purpose: str) -> bool:
    """Whether one may write to or call a customer, for other rooms.

    Args:
        call: Whose connection is used.
        customer_id: Also a merged one; its survivor is asked.
        channel: `sms`, `email`, `phone`, `wechat`, `app` or `post`.
        purpose: `service` for what belongs to a case or a machine, else `marketing`.
    """
    return channel in await channels_to(call, customer_id, purpose)


async def channels_to(call: Call, customer_id: int, purpose: str) -> list[str]:
    """The channels by which one may write to or call a customer and that lead to them.

    Nobody is to be contacted who was erased, and for marketing nobody who is inactive.
    """
    customer = await maybe_row(call, "get_customer", {"customer_id": customer_id})
    if customer is not None and customer["merged_into"] is not None:
        return await channels_to(call, customer["merged_into"], purpose)
    if customer is None or customer["state"] == "erased":
        return []
    if purpose == "marketing" and customer["state"] != "active":
        return []
    key = {"customer_id": customer_id}
    consents = {
        (row["channel"], row["purpose"]): row["state"] for row in await every_row(call, "current_consents", key)
    }
    contacts = await every_row(call, "list_contacts", {**key, "active": True, "after_id": 0, "fetch": ON_A_CARD})
    return [
        channel
        for channel in rules.CHANNELS
        if rules.may_be_contacted(purpose, consents.get((channel, purpose))) and rules.reachable(contacts, channel)
    ]
