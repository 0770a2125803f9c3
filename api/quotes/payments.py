"""What is done with records of payments: what a payment provider did, told by people or by its signed messages.

A record is refused only where it contradicts another one, never because it is more than was charged: money that was
taken was taken, and the balance shows it.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow
from standardwebhooks import Webhook

from api.alerts.rules import new_secret
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.quotes import rules
from api.quotes.payment_models import NewPayment, NewRefund, PaymentNotice
from api.quotes.rules import PAYMENT
from api.quotes.service import lock_ticket
from api.tickets.service import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.quotes")

# A message older or newer than that may be somebody's recording.
SIGNED_WITHIN = timedelta(minutes=5)

# Payments ---------------------------------------------------------------------------------------------


async def record_payment(call: Call, ticket_id: int, body: NewPayment) -> tuple[DictRow, bool]:
    """Record what happened at a payment provider, once.

    Returns:
        The payment, and whether it is new.

    Raises:
        Problem: 404; 409 when the reference is known with other facts, or cannot have come to what is told.
    """
    await lock_ticket(call, ticket_id)
    values = {**body.model_dump(), "ticket_id": ticket_id, "now": call.now, "actor": call.principal.name}
    made = await _row(call, "insert_payment", values)
    if made is not None:
        detail = {"payment_id": made["payment_id"], "state": body.state, "amount_minor": body.amount_minor}
        await append_event(call, ticket_id, "payment", detail)
        return await get_payment(call, made["payment_id"]), True
    known = await _row(call, "find_payment", values)
    if known is None:
        raise Problem.conflict("payment-differs", "another case has a payment of this reference")
    _require_same(known, values, body.state)
    await _bring(call, known["payment_id"], body.state, body.amount_minor, body.reason)
    return await get_payment(call, known["payment_id"]), False


async def capture(call: Call, payment_id: int, amount_minor: int | None) -> DictRow:
    """Record that money was taken.

    Raises:
        Problem: 404; 409 in another state; 422 for more than was authorised.
    """
    return await _step(call, payment_id, "capture", amount_minor=amount_minor)


async def fail(call: Call, payment_id: int, reason: str) -> DictRow:
    """Record that a payment came to nothing.

    Raises:
        Problem: 404; 409 in another state.
    """
    return await _step(call, payment_id, "fail", reason=reason)


async def refund(call: Call, payment_id: int, body: NewRefund) -> tuple[DictRow, bool]:
    """Record that money was paid back, once per reference.

    Returns:
        The payment, and whether the refund is new.

    Raises:
        Problem: 404; 409 when the reference is known with another amount, when there is nothing to pay back, or when it
            is more than what is left (`beyond-captured`).
    """
    row = await _locked(call, payment_id)
    key = {"payment_id": payment_id, "external_reference": body.external_reference}
    known = await _row(call, "find_refund", key)
    if known is not None:
        if known["amount_minor"] != body.amount_minor:
            detail = f"refund {body.external_reference} is known with {known['amount_minor']}"
            raise Problem.conflict("payment-differs", detail)
        return await get_payment(call, payment_id), False
    left = row["captured_minor"] - row["refunded_minor"]
    action = "refund" if body.amount_minor >= left else "refund_part"
    to = PAYMENT.require(payment_id, row["state"], action)
    values = {**body.model_dump(), "payment_id": payment_id, "now": call.now, "actor": call.principal.name}
    try:
        async with call.connection.transaction():
            await call.connection.execute(SQL["insert_refund"], values)
    except psycopg.errors.CheckViolation as violation:
        detail = f"of payment {payment_id} only {left} is left to pay back"
        raise Problem.conflict("beyond-captured", detail, refundable_minor=left) from violation
    await _move(call, row, to, 0, "")
    return await get_payment(call, payment_id), True


async def get_payment(call: Call, payment_id: int) -> DictRow:
    """One payment with its refunds.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_payment", {"payment_id": payment_id})
    if row is None:
        raise Problem.not_found("payment", payment_id)
    return row


# What payment providers tell --------------------------------------------------------------------------


async def create_provider(call: Call, name: str) -> DictRow:
    """Let somebody tell of payments; the secret it signs with is shown once.

    Raises:
        Problem: 409 when the name is taken.
    """
    secret = new_secret()
    row = await _row(call, "insert_payment_provider", {"name": name, "secret": secret, "now": call.now})
    if row is None:
        raise Problem.conflict("name-taken", f"there is a payment provider {name} already")
    return {**row, "secret": secret}


async def verified(call: Call, name: str, headers: Mapping[str, str], body: bytes) -> DictRow:
    """The payment provider whose signature a message bears, as Standard Webhooks says, with `message_id`.

    Raises:
        Problem: 401 when it is unknown, signed by nobody known, or not of now.
    """
    row = await _row(call, "payment_provider", {"name": name})
    identity, signed_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = [part.partition(",")[2] for part in headers.get("webhook-signature", "").split(" ") if part[:3] == "v1,"]
    # As many digits as a time has for the next 200 years; what is longer would not fit a time at all.
    known = row is not None and 0 < len(identity) <= 200 and identity.isprintable()
    if known and signed_at.isascii() and signed_at.isdigit() and len(signed_at) <= 10:
        at = datetime.fromtimestamp(int(signed_at), UTC)
        if row is not None and abs(at - call.now) <= SIGNED_WITHIN:
            text = body.decode("utf-8", "surrogateescape")
            wanted = _signature(row["secret"], identity, signed_at, text)
            if any(hmac.compare_digest(wanted, one.encode("utf-8", "surrogateescape")) for one in given):
                return {**row, "message_id": identity}
    raise Problem(401, "bad-signature", "the message is not signed by a payment provider we know, or not just now")


def _signature(secret: str, identity: str, signed_at: str, text: str) -> bytes:
    at = datetime.fromtimestamp(int(signed_at), UTC)
    return Webhook(secret).sign(identity, at, text).partition(",")[2].encode()


async def take_notice(call: Call, provider: DictRow, notice: PaymentNotice) -> DictRow | None:
    """Act upon a verified message, once; None when it came before.

    Raises:
        Problem: 409 or 422 when it does not fit what we know.
    """
    key = {"payment_provider_id": provider["payment_provider_id"], "message_id": provider["message_id"]}
    if await _row(call, "take_message", {**key, "now": call.now}) is None:
        return None
    reference = {"provider": provider["name"], "external_reference": notice.external_reference}
    if notice.type == "payment.refunded":
        payment = await _refunded(call, reference, notice)
    else:
        told = notice.model_dump(include={"amount_minor", "currency", "method", "reason"})
        body = NewPayment(**reference, **told, state=notice.type.removeprefix("payment."))
        try:
            payment, _ = await record_payment(call, notice.ticket_id, body)
        except Problem as problem:
            if problem.status == 404:
                raise Problem.bad_field("body.ticket_id", problem.detail) from problem
            raise
    await call.connection.execute(SQL["payment_of_message"], {**key, "payment_id": payment["payment_id"]})
    return payment


async def _refunded(call: Call, reference: Mapping[str, str], notice: PaymentNotice) -> DictRow:
    known = await _row(call, "find_payment", reference)
    if known is None:
        raise Problem.bad_field("body.external_reference", "there is no payment of this reference")
    values = {"external_reference": notice.refund_reference or notice.external_reference, "reason": notice.reason}
    body = NewRefund(**values, amount_minor=notice.amount_minor)
    return (await refund(call, known["payment_id"], body))[0]


def _require_same(known: DictRow, told: Mapping[str, Any], state: str) -> None:
    """A reference stands for one payment; only of a capture the amount may be a part."""
    same = known["ticket_id"] == told["ticket_id"] and known["currency"] == told["currency"]
    fits = told["amount_minor"] == known["amount_minor"]
    if state == "captured":
        fits = told["amount_minor"] <= known["amount_minor"]
    if not (same and fits):
        detail = f"payment {told['external_reference']} of {told['provider']} is known with other facts"
        raise Problem.conflict("payment-differs", detail, payment_id=known["payment_id"])


async def _bring(call: Call, payment_id: int, state: str, amount_minor: int, reason: str) -> None:
    """Bring a known payment to what is told; old news changes nothing."""
    row = await _locked(call, payment_id)
    if rules.payment_action(row["state"], state, amount_minor, 0) is not None:
        await _step(call, payment_id, "capture" if state == "captured" else "fail", amount_minor, reason)


async def _step(call: Call, payment_id: int, action: str, amount_minor: int | None = None, reason: str = "") -> DictRow:
    row = await _locked(call, payment_id)
    to = PAYMENT.require(payment_id, row["state"], action)
    taken = (amount_minor or row["amount_minor"]) if action == "capture" else 0
    if taken > row["amount_minor"]:
        raise Problem.bad_field("body.amount_minor", f"only {row['amount_minor']} was authorised")
    await _move(call, row, to, taken, reason)
    return await get_payment(call, payment_id)


async def _locked(call: Call, payment_id: int) -> DictRow:
    payment = await get_payment(call, payment_id)
    await lock_ticket(call, payment["ticket_id"])
    row = await _row(call, "lock_payment", {"payment_id": payment_id})
    if row is None:
        raise Problem.not_found("payment", payment_id)
    return row


async def _move(call: Call, row: DictRow, to: str, captured_minor: int, reason: str) -> None:
    values = {"payment_id": row["payment_id"], "to": to, "captured_minor": captured_minor, "reason": reason}
    await call.connection.execute(SQL["move_payment"], values)
    await append_event(call, row["ticket_id"], "payment", {"payment_id": row["payment_id"], "state": to})


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
