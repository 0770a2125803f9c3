"""What is done with agreed fees and charges.

What is charged is bounded by the database (careloop/database/migrations/0023_quotes.sql), whoever writes and however
many at once; what is told here only gives its refusals words.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.quotes import rules
from api.quotes.payment_models import NewAgreedFee, NewCharge
from api.quotes.pricing import tax_within
from api.quotes.rules import CHARGE, Account
from api.quotes.service import beyond_accepted, get_quote, lock_ticket
from api.tickets.service import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.quotes")

MOST_ROWS = 10_000


async def agree_fee(call: Call, ticket_id: int, body: NewAgreedFee) -> DictRow:
    """Record a fee that the customer agreed to at booking.

    Raises:
        Problem: 404; 409 when a fee of the kind is agreed already, or the case is accounted in another currency.
    """
    await lock_ticket(call, ticket_id)
    values = {
        **body.model_dump(),
        "ticket_id": ticket_id,
        "text_sha256": rules.text_hash(body.text),
        "now": call.now,
        "actor": call.principal.name,
    }
    try:
        async with call.connection.transaction():
            row = await _row(call, "insert_agreed_fee", values)
    except psycopg.errors.CheckViolation as violation:
        raise beyond_accepted(violation, ticket_id) from violation
    if row is None:
        raise Problem.conflict("fee-agreed", f"a {body.kind} fee is agreed for ticket {ticket_id} already; it stays")
    await append_event(call, ticket_id, "fee_agreed", {"fee": body.kind, "amount_minor": body.amount_minor})
    return row


async def charge(call: Call, ticket_id: int, body: NewCharge) -> DictRow:
    """Charge the customer, within what was accepted or agreed.

    Raises:
        Problem: 404; 409 `beyond-accepted`; 422 for an unknown fee.
    """
    await lock_ticket(call, ticket_id)
    key = {"ticket_id": ticket_id, "agreed_fee_id": body.agreed_fee_id}
    if body.agreed_fee_id is not None:
        basis = await _row(call, "agreed_fee", key)
        if basis is None:
            raise Problem.bad_field("body.agreed_fee_id", f"no fee {body.agreed_fee_id} is agreed for this ticket")
        said = f"{basis['kind'].capitalize()} fee"
    else:
        basis = await accepted_quote(call, ticket_id)
        said = f"By quote {basis['quote_id']}"
    values = {
        **key,
        "quote_id": None if body.agreed_fee_id else basis["quote_id"],
        "amount_minor": body.amount_minor,
        "tax_minor": tax_within(body.amount_minor, basis["tax_rate_bp"]),
        "tax_rate_bp": basis["tax_rate_bp"],
        "currency": body.currency,
        "description": body.description or said,
        "now": call.now,
        "actor": call.principal.name,
    }
    try:
        async with call.connection.transaction():
            row = await _row(call, "insert_charge", values)
    except psycopg.errors.CheckViolation as violation:
        raise beyond_accepted(violation, ticket_id) from violation
    if row is None:
        raise LookupError("insert_charge returned no row")
    await append_event(call, ticket_id, "charged", {"charge_id": row["charge_id"], "amount_minor": body.amount_minor})
    return row


async def charge_agreed_fees(call: Call, ticket_id: int, kinds: list[str]) -> list[DictRow]:
    """Charge the fees of these kinds that were agreed for a case and are not charged yet."""
    wanted = {"ticket_id": ticket_id, "kinds": kinds}
    fees = await (await call.connection.execute(SQL["uncharged_fees"], wanted)).fetchall()
    return [
        await charge(
            call,
            ticket_id,
            NewCharge(amount_minor=fee["amount_minor"], currency=fee["currency"], agreed_fee_id=fee["agreed_fee_id"]),
        )
        for fee in fees
    ]


async def accepted_quote(call: Call, ticket_id: int) -> DictRow:
    """The quote by which a case may be charged.

    Raises:
        Problem: 409 when the customer has accepted none.
    """
    row = await _row(call, "accepted_quote", {"ticket_id": ticket_id})
    if row is None:
        detail = f"the customer of ticket {ticket_id} has accepted no quote"
        raise Problem.conflict("beyond-accepted", detail, constraint="charge_of_accepted")
    return await get_quote(call, row["quote_id"])


async def require_accepted(call: Call, ticket_id: int, amount_minor: int, currency: str) -> DictRow:
    """Make sure that an amount may still be charged for a case.

    Args:
        call: Whose connection is used.
        ticket_id: The case.
        amount_minor: With tax.
        currency: Of the amount.

    Returns:
        The accepted quote.

    Raises:
        Problem: 409 `beyond-accepted`.
    """
    quote = await accepted_quote(call, ticket_id)
    left = (await account_of(call, ticket_id))[0].chargeable_minor
    if quote["currency"] != currency or amount_minor > left:
        wanted, still = rules.money(amount_minor, currency), rules.money(left, quote["currency"])
        detail = f"{wanted} is beyond what is left of the accepted quote {quote['quote_id']}: {still}"
        raise Problem.conflict("beyond-accepted", detail, chargeable_minor=left, constraint="within_accepted")
    return quote


async def void(call: Call, charge_id: int, reason: str) -> DictRow:
    """Take a charge back.

    Raises:
        Problem: 404; 409 when it is void already.
    """
    row = await _row(call, "lock_charge", {"charge_id": charge_id})
    if row is None:
        raise Problem.not_found("charge", charge_id)
    to = CHARGE.require(charge_id, row["state"], "void")
    voided = await _row(call, "void_charge", {"charge_id": charge_id, "to": to, "reason": reason})
    if voided is None:
        raise LookupError(f"charge {charge_id} is gone although it is locked")
    await append_event(call, row["ticket_id"], "charge_voided", {"charge_id": charge_id, "reason": reason})
    return voided


async def account_of(call: Call, ticket_id: int) -> tuple[Account, str | None]:
    """What a case's customer owes, and in which currency.

    Raises:
        Problem: 404.
    """
    if await _row(call, "ticket_exists", {"ticket_id": ticket_id}) is None:
        raise Problem.not_found("ticket", ticket_id)
    row = await _row(call, "get_account", {"ticket_id": ticket_id})
    if row is None:
        raise LookupError("get_account returned no row")
    currency = row.pop("currency")
    return Account(**row), currency


async def receipt(call: Call, ticket_id: int) -> dict[str, Any]:
    """What a receipt shows: what was charged, the tax in it, and what was paid.

    Raises:
        Problem: 404.
    """
    account, currency = await account_of(call, ticket_id)
    whole = {"ticket_id": ticket_id, "after_id": 0, "fetch": MOST_ROWS}
    charges = [
        row
        for row in await (await call.connection.execute(SQL["list_charges"], whole)).fetchall()
        if row["state"] == "charged"
    ]
    payments = await (await call.connection.execute(SQL["list_payments"], whole)).fetchall()
    gross, tax = (sum(row[name] for row in charges) for name in ("amount_minor", "tax_minor"))
    return {
        **(await _row(call, "customer_of_ticket", {"ticket_id": ticket_id}) or {}),
        "ticket_id": ticket_id,
        "at": call.now,
        "charges": charges,
        "payments": payments,
        "net_minor": gross - tax,
        "tax_minor": tax,
        "gross_minor": gross,
        "balance": balance(ticket_id, account, currency),
    }


def balance(ticket_id: int, account: Account, currency: str | None) -> dict[str, Any]:
    """An account as it is answered."""
    sums = {name: getattr(account, name) for name in Account.__dataclass_fields__}
    derived = {"balance_minor": account.balance_minor, "chargeable_minor": account.chargeable_minor}
    return {"ticket_id": ticket_id, "currency": currency, **sums, **derived}


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
