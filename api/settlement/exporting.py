"""Statements for finance: as a sheet, or as JSON that is signed."""

import asyncio
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from psycopg.rows import DictRow

from api.assets.bulk.sheets import MEDIA_TYPES, harmless
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.settlement.facts import SQL
from api.settlement.rules import major, month_from
from api.settlement.service import get_statement
from api.settlement.signing import MEDIA_TYPE, SigningKey

ExportFormat = Literal["csv", "xlsx", "json"]
Cell = str | int | Decimal | date | None
TYPES: dict[ExportFormat, str] = {"csv": MEDIA_TYPES["csv"], "xlsx": MEDIA_TYPES["xlsx"], "json": MEDIA_TYPE}
MOST_LINES = 200_000

HEAD = (
    "statement_id", "provider", "provider_name", "month", "currency", "state", "line_count", "total", "total_minor",
    "issued_at", "agreed_at", "closed_at", "paid_at", "payment_reference",
)  # fmt: skip
LINE = (
    "statement_id", "provider", "month", "currency", "line", "source", "kind", "on_day", "visit_id", "ticket_id",
    "serial", "rule", "subject", "description", "quantity", "unit", "price_minor", "price_per", "amount",
    "amount_minor", "rate_card_id", "rate_card_line_id", "of_line", "account_entry_id",
)  # fmt: skip


async def export_statement(call: Call, statement_id: int, file_format: ExportFormat, key: SigningKey | None) -> bytes:
    """One statement with its lines.

    Raises:
        Problem: 404; 409 when it is to be signed and there is no key.
    """
    await get_statement(call, statement_id)
    return await _export(call, {"statement_id": statement_id, "month": None}, file_format, key)


async def export_period(call: Call, month_text: str, file_format: ExportFormat, key: SigningKey | None) -> bytes:
    """All statements of a month with their lines, and what they come to by currency.

    Raises:
        Problem: 409 when it is to be signed and there is no key; 422 when there are too many lines for one file.
    """
    return await _export(call, {"statement_id": None, "month": month_from(month_text)}, file_format, key)


async def _export(call: Call, wanted: Mapping[str, Any], file_format: ExportFormat, key: SigningKey | None) -> bytes:
    if file_format == "json" and key is None:
        raise no_key()
    heads = await (await call.connection.execute(SQL["statements_to_export"], wanted)).fetchall()
    if sum(head["line_count"] for head in heads) > MOST_LINES:
        message = f"there are more than {MOST_LINES} lines; export the statements one by one"
        raise Problem.bad_field("query.format", message)
    numbers = {"statement_ids": [head["statement_id"] for head in heads]}
    lines = await (await call.connection.execute(SQL["lines_to_export"], numbers)).fetchall()
    # Elsewhere, so that other calls are answered meanwhile.
    if key is not None and file_format == "json":
        return await asyncio.to_thread(_signed, heads, lines, call.now, key)
    return await asyncio.to_thread(_csv if file_format == "csv" else _xlsx, heads, lines)


def no_key() -> Problem:
    """409: nothing can be signed."""
    detail = "this desk has no settlement key: set CARELOOP_SETTLEMENT_KEY_FILE, or take format=csv or xlsx"
    return Problem.conflict("no-settlement-key", detail)


# Signed JSON ----------------------------------------------------------------------------------------


def _signed(heads: Sequence[DictRow], lines: Sequence[DictRow], now: datetime, key: SigningKey) -> bytes:
    content = json.dumps(document(heads, lines, now), ensure_ascii=False, separators=(",", ":")).encode()
    return json.dumps(key.sign(content)).encode()


def document(heads: Sequence[DictRow], lines: Sequence[DictRow], now: datetime) -> dict[str, Any]:
    """What is signed: totals by currency, and statements with their lines; amounts in minor units and as text."""
    of_statement: dict[int, list[dict[str, Any]]] = {head["statement_id"]: [] for head in heads}
    currencies = {head["statement_id"]: head["currency"] for head in heads}
    for line in lines:
        told = {name: _json(value) for name, value in line.items() if name != "statement_id"}
        amount = major(line["amount_minor"], currencies[line["statement_id"]])
        of_statement[line["statement_id"]].append({**told, "amount": amount})
    totals: dict[str, int] = {}
    for head in heads:
        totals[head["currency"]] = totals.get(head["currency"], 0) + head["total_minor"]
    return {
        "kind": "careloop.settlement",
        "made_at": _json(now),
        "totals": [
            {"currency": currency, "amount_minor": total, "amount": major(total, currency)}
            for currency, total in sorted(totals.items())
        ],
        "statements": [
            {
                **{name: _json(value) for name, value in head.items()},
                "total": major(head["total_minor"], head["currency"]),
                "lines": of_statement[head["statement_id"]],
            }
            for head in heads
        ],
    }


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    return value.isoformat() if isinstance(value, date) else value


# Sheets ---------------------------------------------------------------------------------------------


def _csv(heads: Sequence[DictRow], lines: Sequence[DictRow]) -> bytes:
    """The lines, with the mark by which Excel knows UTF-8; the sums of statements stand in the workbook."""
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(LINE)
    writer.writerows(_lines(heads, lines))
    return b"\xef\xbb\xbf" + target.getvalue().encode()


def _xlsx(heads: Sequence[DictRow], lines: Sequence[DictRow]) -> bytes:
    workbook = Workbook(write_only=True)
    for title, header, rows in (("statements", HEAD, _heads(heads)), ("lines", LINE, _lines(heads, lines))):
        sheet = workbook.create_sheet(title)
        sheet.freeze_panes = "A2"
        cells = [WriteOnlyCell(sheet, value=name) for name in header]
        for cell in cells:
            cell.font = Font(bold=True)
        sheet.append(cells)
        for row in rows:
            sheet.append(row)
    packed = io.BytesIO()
    workbook.save(packed)
    return packed.getvalue()


def _heads(heads: Sequence[DictRow]) -> Iterable[list[Cell]]:
    for head in heads:
        told = {**head, "total": Decimal(major(head["total_minor"], head["currency"]))}
        yield [_cell(told[name]) for name in HEAD]


def _lines(heads: Sequence[DictRow], lines: Sequence[DictRow]) -> Iterable[list[Cell]]:
    of_head = {head["statement_id"]: head for head in heads}
    for line in lines:
        head = of_head[line["statement_id"]]
        told = {
            **{name: head[name] for name in ("provider", "month", "currency")},
            **line,
            "line": line["statement_line_id"],
            "rule": line["code"],
            "of_line": line["of_line_id"],
            "amount": Decimal(major(line["amount_minor"], head["currency"])),
        }
        yield [_cell(told[name]) for name in LINE]


def _cell(value: Any) -> Cell:
    """What stands in a cell: amounts as numbers, nothing that a spreadsheet program would execute."""
    if isinstance(value, datetime):
        return str(_json(value))
    if value is None or isinstance(value, int | Decimal | date):
        found: Cell = value
        return found
    return harmless(ILLEGAL_CHARACTERS_RE.sub("", str(value)))
