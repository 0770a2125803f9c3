"""Partners' accounts and their journal.

An account is locked before its journal and its lots; of several accounts of a partner the one opened first. Whoever
moves stock too does that first.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow

from api.accounts import rules
from api.accounts.models import AccountChange, NewAccount, NewEntry
from api.accounts.rules import EntryKind
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.providers.service import provider_of_field
from careloop.database.queries import load_queries

SQL = load_queries("api.accounts")

_ACCOUNT = SQL["account_rows"] + "\n" + SQL["one_account"]
_ACCOUNT_IN = SQL["account_rows"] + "\n" + SQL["account_in_currency"]
_ACCOUNTS = SQL["account_rows"] + "\n" + SQL["list_accounts"]
_ENTRY = SQL["entry_rows"] + "\n" + SQL["one_entry"]

# By which an account is opened that nobody has agreed anything about.
_PLAIN: Mapping[str, Any] = {"limit_minor": None, "handling_minor": 0, "handling_bp": 0}


# Accounts -----------------------------------------------------------------------------------------


async def open_account(call: Call, body: NewAccount) -> DictRow:
    """Open an account, or say 409 when there is one.

    Raises:
        Problem: 422 for an unknown partner; 409 when it has an account in the currency.
    """
    provider = await provider_of_field(call, body.provider_id, "body.provider_id")
    made = await row(call, SQL["insert_account"], {**body.model_dump(), "now": call.now})
    if made is None:
        there = await row(call, _ACCOUNT_IN, body.model_dump()) or {}
        number = there.get("partner_account_id")
        detail = f"{provider['code']} has an account in {body.currency}; PATCH /v1/partner-accounts/{number} changes it"
        raise Problem.conflict("account-exists", detail, partner_account_id=number)
    return await get_account(call, made["partner_account_id"])


async def get_account(call: Call, partner_account_id: int) -> DictRow:
    """One account.

    Raises:
        Problem: 404.
    """
    found = await row(call, _ACCOUNT, {"partner_account_id": partner_account_id})
    if found is None:
        raise Problem.not_found("partner account", partner_account_id)
    return found


async def list_accounts(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Accounts in ascending order of their number: `provider_id` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(_ACCOUNTS, wanted, prepare=False)).fetchall()


async def change_account(call: Call, partner_account_id: int, change: AccountChange, version: int) -> DictRow:
    """Change an account that is still at the version seen. A lower limit takes nothing back; it refuses what follows.

    Raises:
        Problem: 404, 412.
    """
    await get_account(call, partner_account_id)
    values = {
        **change.model_dump(),
        "with_limit": "limit_minor" in change.model_fields_set,
        "partner_account_id": partner_account_id,
        "version": version,
    }
    if await row(call, SQL["change_account"], values) is None:
        raise changed_meanwhile("partner account", version)
    return await get_account(call, partner_account_id)


async def account_in(call: Call, provider_id: int, currency: str) -> DictRow:
    """A partner's account in a currency; opened where there is none."""
    key = {"provider_id": provider_id, "currency": currency}
    async with call.unscoped():
        found = await row(call, _ACCOUNT_IN, key)
        if found is None:
            await call.connection.execute(SQL["insert_account"], {**key, **_PLAIN, "now": call.now})
            found = await row(call, _ACCOUNT_IN, key)
    if found is None:
        raise LookupError(f"partner {provider_id} has no account although one was opened")
    return found


async def find_account(call: Call, provider_id: int, currency: str) -> DictRow | None:
    """A partner's account in a currency, if it has one; whoever asks."""
    async with call.unscoped():
        return await row(call, _ACCOUNT_IN, {"provider_id": provider_id, "currency": currency})


# The journal --------------------------------------------------------------------------------------


async def enter(
    call: Call, account: Mapping[str, Any], kind: EntryKind, amount_minor: int, what: Mapping[str, Any]
) -> tuple[DictRow, bool]:
    """Write a line of the journal, unless its cause has written it before.

    Args:
        call: Whose transaction holds it.
        account: Its row.
        kind: Of the entry.
        amount_minor: What the partner owes more by it.
        what: `cause_kind`, `cause_key`, `text`; `ticket_id`, `part_id`, `quantity`, `reverses_id` where there are any.

    Returns:
        The entry, and whether it was made now.

    Raises:
        Problem: 409 `credit-limit` or `entry-differs`.
    """
    empty = dict.fromkeys(("ticket_id", "part_id", "quantity", "reverses_id"))
    values = {
        **empty,
        **what,
        "partner_account_id": account["partner_account_id"],
        "kind": kind,
        "amount_minor": amount_minor,
        "now": call.now,
    }
    async with call.unscoped():
        await call.connection.execute(SQL["lock_account"], values)
        there = await row(call, SQL["entry_of_cause"], values)
        if there is not None:
            if there["amount_minor"] != amount_minor:
                said = f"{what['cause_kind']} {what['cause_key']}"
                detail = (
                    f"{said} has booked {there['amount_minor']} already, not {amount_minor}; reverse that entry first"
                )
                raise Problem.conflict("entry-differs", detail, partner_entry_id=there["partner_entry_id"])
            return await get_entry(call, there["partner_entry_id"]), False
        try:
            async with call.connection.transaction():
                made = await row(call, SQL["insert_entry"], values)
        except psycopg.errors.CheckViolation as violation:
            if violation.diag.constraint_name != "within_credit":
                raise
            now = await get_account(call, account["partner_account_id"])
            raise credit_limit(now, amount_minor) from violation
        if made is None:
            raise LookupError("insert_entry returned no row")
        return await get_entry(call, made["partner_entry_id"]), True


def credit_limit(account: Mapping[str, Any], amount_minor: int) -> Problem:
    """The refusal of a charge that an account's limit does not hold."""
    numbers = {name: account[name] for name in ("balance_minor", "limit_minor", "currency")}
    path = f"/v1/partner-accounts/{account['partner_account_id']}"
    detail = rules.beyond_limit(account["provider"], **numbers, amount_minor=amount_minor, path=path)
    return Problem.conflict(
        "credit-limit",
        detail,
        **numbers,
        provider=account["provider"],
        amount_minor=amount_minor,
        available_minor=account["available_minor"],
        partner_account_id=account["partner_account_id"],
    )


async def get_entry(call: Call, partner_entry_id: int) -> DictRow:
    """One entry.

    Raises:
        Problem: 404.
    """
    found = await row(call, _ENTRY, {"partner_entry_id": partner_entry_id})
    if found is None:
        raise Problem.not_found("partner entry", partner_entry_id)
    return found


async def book(call: Call, partner_account_id: int, body: NewEntry) -> tuple[DictRow, bool]:
    """Book a payment or a correction by its paper; told again it changes nothing.

    Returns:
        The entry, and whether it was made now.

    Raises:
        Problem: 404; 409 when the paper was booked with another amount.
    """
    account = await get_account(call, partner_account_id)
    amount = -body.amount_minor if body.kind == "payment" else body.amount_minor
    what = {"cause_kind": "paper", "cause_key": body.reference, "text": body.text}
    return await enter(call, account, body.kind, amount, what)


async def reverse(call: Call, partner_entry_id: int, reason: str) -> DictRow:
    """Take an entry back by another one; the limit does not refuse it.

    Raises:
        Problem: 404; 409 when it was taken back before, or is such a taking back itself.
    """
    entry = await get_entry(call, partner_entry_id)
    account = await get_account(call, entry["partner_account_id"])
    if entry["kind"] == "reversal":
        detail = f"entry {partner_entry_id} takes another back; book an adjustment instead"
        raise Problem.conflict("entry-reversed", detail)
    async with call.unscoped():
        await call.connection.execute(SQL["lock_account"], entry)
        done = await row(call, SQL["reversal_of"], entry)
    if done is not None:
        detail = f"entry {partner_entry_id} was taken back by entry {done['partner_entry_id']}"
        raise Problem.conflict("entry-reversed", detail, partner_entry_id=done["partner_entry_id"])
    what = {
        "cause_kind": "entry",
        "cause_key": str(partner_entry_id),
        "text": reason,
        "ticket_id": entry["ticket_id"],
        "reverses_id": partner_entry_id,
    }
    return (await enter(call, account, "reversal", -entry["amount_minor"], what))[0]


async def row(call: Call, query: Any, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(query, values)).fetchone()


async def rows(call: Call, query: Any, values: Mapping[str, Any]) -> list[DictRow]:
    """The rows of a statement."""
    return await (await call.connection.execute(query, values)).fetchall()
