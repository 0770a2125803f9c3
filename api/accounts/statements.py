"""An account in a span of days: what it opened with, every entry, what it closed with."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

from psycopg.rows import DictRow

from api.accounts.journal import get_account, row, rows
from api.assets.bulk.sheets import CsvWriter
from api.conventions.call import Call
from api.conventions.pages import PageRequest
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.accounts")


_ENTRIES = SQL["entry_rows"] + "\n" + SQL["list_entries"]
_PERIOD = SQL["entry_rows"] + "\n" + SQL["entries_of_period"]

COLUMNS = (
    "at", "entry", "kind", "cause", "text", "ticket", "sku", "quantity", "amount_minor", "balance_minor", "currency",
)  # fmt: skip
AT_ONCE = 2000
IN_MEMORY_BYTES = 2**20
LONGEST = timedelta(days=3660)


async def list_entries(call: Call, partner_account_id: int, page: PageRequest) -> list[DictRow]:
    """Entries of an account, in the order booked.

    Raises:
        Problem: 404.
    """
    await get_account(call, partner_account_id)
    wanted = {**page.parameters, "partner_account_id": partner_account_id, "from_at": None, "until_at": None}
    return await (await call.connection.execute(_ENTRIES, wanted, prepare=False)).fetchall()


async def statement(call: Call, partner_account_id: int, first: date, last: date, page: PageRequest) -> dict[str, Any]:
    """A statement with a page of its entries.

    Args:
        call: Whose connection is used.
        partner_account_id: The account.
        first: The first day, in UTC.
        last: The last day, included.
        page: Which entries.

    Raises:
        Problem: 404; 422 when the last day is before the first, or more than ten years after it.
    """
    account = await get_account(call, partner_account_id)
    key = {**_span(first, last), "partner_account_id": partner_account_id}
    found = await call.connection.execute(_ENTRIES, {**key, **page.parameters}, prepare=False)
    paged = page.page(await found.fetchall(), "partner_entry_id")
    return {
        **account,
        **paged,
        "from": first,
        "to": last,
        "opening_minor": await _balance_before(call, key, "from_at"),
        "closing_minor": await _balance_before(call, key, "until_at"),
        "totals": await rows(call, SQL["totals_of_period"], key),
    }


async def statement_sheet(
    call: Call, partner_account_id: int, first: date, last: date
) -> "SpooledTemporaryFile[bytes]":
    """The same as CSV, whole: a line for what it opened with, one for each entry, one for what it closed with.

    Raises:
        Problem: As `statement`.
    """
    account = await get_account(call, partner_account_id)
    key = {**_span(first, last), "partner_account_id": partner_account_id}
    currency = account["currency"]
    writer = CsvWriter(COLUMNS)
    spool: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - read by the answer
    opening, closing = [await _balance_before(call, key, name) for name in ("from_at", "until_at")]
    try:
        spool.write(writer.add([_total_line(key["from_at"], "opening", opening, currency)]))
        async with call.connection.cursor("statement") as cursor:
            await cursor.execute(_PERIOD, key)
            while found := await cursor.fetchmany(AT_ONCE):
                # Elsewhere, so that other calls are answered meanwhile.
                await asyncio.to_thread(_write, writer, spool, found)
        spool.write(writer.add([_total_line(key["until_at"], "closing", closing, currency)]) + writer.end())
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _span(first: date, last: date) -> dict[str, Any]:
    if last < first:
        raise Problem.bad_field("query.to", f"must not be before the first day, {first}")
    if last - first > LONGEST or last > date.max - timedelta(days=1):
        raise Problem.bad_field("query.to", "a statement spans ten years at most; ask for a shorter span")
    return {
        "from_at": datetime.combine(first, time(), UTC),
        "until_at": datetime.combine(last + timedelta(days=1), time(), UTC),
    }


async def _balance_before(call: Call, key: dict[str, Any], name: str) -> int:
    found = await row(call, SQL["balance_before"], {**key, "before": key[name]})
    return 0 if found is None else int(found["balance_minor"])


def _write(writer: CsvWriter, spool: "SpooledTemporaryFile[bytes]", found: Sequence[DictRow]) -> None:
    spool.write(writer.add(_line(entry) for entry in found))


def _line(entry: DictRow) -> tuple[Any, ...]:
    cause = f"{entry['cause_kind']} {entry['cause_key']}"
    names = ("text", "ticket_id", "sku", "quantity", "amount_minor", "balance_minor", "currency")
    return entry["at"], entry["partner_entry_id"], entry["kind"], cause, *(entry[name] for name in names)


def _total_line(at: datetime, kind: str, balance_minor: int, currency: str) -> tuple[Any, ...]:
    return at, None, kind, None, None, None, None, None, None, balance_minor, currency
