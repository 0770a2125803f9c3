"""What other rooms do with partners' accounts: charge and credit them; and who bears a part."""

from datetime import date

from psycopg.rows import DictRow

from api.accounts import rules
from api.accounts.journal import account_in, credit_limit, enter, find_account, row, rows
from api.accounts.rules import Bearer, Verdict
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import price_of
from api.warranty.service import question
from careloop.database.queries import load_queries

SQL = load_queries("api.accounts")


async def charge(  # noqa: PLR0917 - what an entry says
    call: Call,
    provider_id: int,
    amount_minor: int,
    currency: str,
    cause_kind: str,
    cause_key: str,
    text: str,
    ticket_id: int | None = None,
    *,
    part_id: int | None = None,
    quantity: int | None = None,
) -> DictRow:
    """Let a partner owe more for what it buys; a cause charges once, however often it is told.

    Args:
        call: Whose transaction holds it, whoever calls.
        provider_id: The partner.
        amount_minor: More than nothing, minor units.
        currency: Of the amount.
        cause_kind: What it is for, e.g. `transfer`.
        cause_key: Which one.
        text: For people who read the statement.
        ticket_id: The case, if any.
        part_id: What was bought; then what is claimed back later is what was paid now.
        quantity: How many pieces of it.

    Returns:
        The entry.

    Raises:
        Problem: 409 `credit-limit`, naming limit, balance and remedy; 409 `entry-differs` when the cause has charged
            another amount.
    """
    account = await account_in(call, provider_id, currency)
    what = {"cause_kind": cause_kind, "cause_key": cause_key, "text": text, "ticket_id": ticket_id}
    pieces = {"part_id": part_id, "quantity": quantity}
    entry, made = await enter(call, account, "charge", amount_minor, {**what, **pieces})
    if made and part_id is not None:
        async with call.unscoped():
            await call.connection.execute(SQL["insert_lot"], {**entry, **pieces})
    return entry


async def credit(  # noqa: PLR0917 - what an entry says
    call: Call,
    provider_id: int,
    amount_minor: int,
    currency: str,
    cause_kind: str,
    cause_key: str,
    text: str,
    ticket_id: int | None = None,
    *,
    part_id: int | None = None,
    quantity: int | None = None,
) -> DictRow:
    """Let a partner owe less; a cause credits once. Arguments and answer as of `charge`.

    Raises:
        Problem: 409 `entry-differs`.
    """
    account = await account_in(call, provider_id, currency)
    what = {"cause_kind": cause_kind, "cause_key": cause_key, "text": text, "ticket_id": ticket_id}
    entry, _ = await enter(call, account, "credit", -amount_minor, {**what, "part_id": part_id, "quantity": quantity})
    return entry


async def settle(  # noqa: PLR0917 - what an entry says
    call: Call, provider_id: int, amount_minor: int, currency: str, cause_kind: str, cause_key: str, text: str
) -> DictRow:
    """Book what was paid outside the account, in either direction, whatever the limit; a cause books once.

    Args:
        call: Whose transaction holds it, whoever calls.
        provider_id: The partner.
        amount_minor: What the partner owes more by it; negative: less. Not 0.
        currency: Of the amount.
        cause_kind: What it was paid with, e.g. `statement`.
        cause_key: Which one.
        text: For people who read the account's statement.

    Raises:
        Problem: 409 `entry-differs`.
    """
    account = await account_in(call, provider_id, currency)
    what = {"cause_kind": cause_kind, "cause_key": cause_key, "text": text}
    return (await enter(call, account, "payment" if amount_minor < 0 else "adjustment", amount_minor, what))[0]


async def require_credit(call: Call, provider_id: int, amount_minor: int, currency: str) -> None:
    """Refuse what a partner's limit does not hold now. Nothing is kept for it: the charge decides.

    Raises:
        Problem: 409 `credit-limit`.
    """
    account = await find_account(call, provider_id, currency)
    if account is not None and account["limit_minor"] is not None and amount_minor > account["available_minor"]:
        raise credit_limit(account, amount_minor)


# Pieces that a partner has bought -------------------------------------------------------------------


async def charge_part(  # noqa: PLR0917 - what an entry says
    call: Call,
    provider_id: int,
    part_id: int,
    quantity: int,
    cause_kind: str,
    cause_key: str,
    text: str,
    ticket_id: int | None = None,
) -> DictRow | None:
    """Charge a partner for pieces of a part at its price of today.

    Returns:
        The entry; None where the part costs the partner nothing.

    Raises:
        Problem: 409 `credit-limit`; 409 `no-price` when the part has no partner's price today.
    """
    priced = await partner_price(call, provider_id, part_id, call.now.date())
    if priced is None:
        detail = f"part {part_id} has no partner's price today; enter one under /v1/parts/{{sku}}/prices"
        raise Problem.conflict("no-price", detail, part_id=part_id)
    price_minor, currency = priced
    if price_minor == 0:
        return None
    amount = price_minor * quantity
    return await charge(
        call,
        provider_id,
        amount,
        currency,
        cause_kind,
        cause_key,
        text,
        ticket_id,
        part_id=part_id,
        quantity=quantity,
    )


async def partner_price(
    call: Call, provider_id: int, part_id: int, on: date, currency: str | None = None
) -> tuple[int, str] | None:
    """What a piece costs a partner on a day, with its currency; None without a price."""
    async with call.unscoped():
        provider = await row(call, SQL["provider_exists"], {"provider_id": provider_id})
        level = "" if provider is None else provider["level"]
        price = await price_of(call, part_id, "partner", on, level=level, currency=currency)
    return None if price is None else (price.price_minor, price.currency)


async def use_up(call: Call, provider_id: int, part_id: int, pieces: int) -> tuple[int, str] | None:
    """Take pieces out of what a partner has bought, the oldest first.

    Returns:
        What they cost the partner, and the currency: what it paid, and today's price for pieces that were never
        charged; None where nobody knows a price.
    """
    key = {"provider_id": provider_id, "part_id": part_id}
    async with call.unscoped():
        accounts = await rows(call, SQL["lock_accounts_of_provider"], key)
        lots = [rules.Lot(**row) for row in await rows(call, SQL["lots_of_part"], key)]
        # One currency at a time: that of the oldest.
        lots = [lot for lot in lots if lot.account == lots[0].account]
        taken, missing = rules.take(lots, pieces)
        for one in taken:
            await call.connection.execute(SQL["take_from_lot"], {"number": one.lot.number, "pieces": one.pieces})
    currency = next(
        (row["currency"] for row in accounts if lots and row["partner_account_id"] == lots[0].account), None
    )
    paid = sum(one.worth_minor for one in taken)
    if not missing and currency is not None:
        return paid, currency
    priced = await partner_price(call, provider_id, part_id, call.now.date(), currency)
    if priced is None:
        return None if currency is None else (paid, currency)
    return paid + priced[0] * missing, priced[1]


async def put_back(call: Call, provider_id: int, part_id: int, pieces: int) -> None:
    """Put pieces back into what a partner has bought, where those used last came from; what fits nowhere never was."""
    key = {"provider_id": provider_id, "part_id": part_id}
    async with call.unscoped():
        await rows(call, SQL["lock_accounts_of_provider"], key)
        for lot in await rows(call, SQL["lots_used_last"], key):
            some = min(pieces, lot["used"])
            pieces -= some
            if some > 0:
                await call.connection.execute(SQL["take_from_lot"], {"number": lot["number"], "pieces": -some})


async def give_back(  # noqa: PLR0917 - what an entry says
    call: Call,
    provider_id: int,
    part_id: int,
    quantity: int,
    cause_kind: str,
    cause_key: str,
    text: str,
    ticket_id: int | None = None,
) -> DictRow | None:
    """Credit a partner for pieces that it sends back unused, at what it paid for them.

    Returns:
        The entry; None where they cost nothing.
    """
    worth = await use_up(call, provider_id, part_id, quantity)
    if worth is None or worth[0] == 0:
        return None
    amount_minor, currency = worth
    return await credit(
        call,
        provider_id,
        amount_minor,
        currency,
        cause_kind,
        cause_key,
        text,
        ticket_id,
        part_id=part_id,
        quantity=quantity,
    )


# Who bears ------------------------------------------------------------------------------------------


async def verdict(
    call: Call,
    serial: str | None,
    *,
    on: date,
    component: str | None,
    cause: str | None = None,
    ticket_id: int | None = None,
) -> Verdict:
    """Who bears a part that is built into a machine, by the warranty's answer."""
    if serial is None:
        return rules.NO_MACHINE
    coverage = await question(call, serial, on=on, component=component, cause=cause, ticket_id=ticket_id)
    reasons = [reason.model_dump() for reason in coverage.reasons]
    return rules.verdict_of(parts=coverage.parts, extent=coverage.extent, reasons=reasons)


async def bearer(call: Call, ticket_id: int, part_id: int, on: date) -> Bearer:
    """Who would bear a part for a case that broke on a day.

    Raises:
        Problem: 404 for an unknown case.
    """
    case = await row(call, SQL["case_of_part"], {"ticket_id": ticket_id, "part_id": part_id})
    if case is None:
        raise Problem.not_found("ticket", ticket_id)
    found = await verdict(call, case["serial"], on=on, component=case["component"], ticket_id=ticket_id)
    return found.bearer
