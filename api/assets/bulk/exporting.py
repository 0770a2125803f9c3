"""Writes assets as a sheet that can be imported again."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

from psycopg.rows import DictRow

from api.assets.bulk.columns import COLUMNS, SheetProblem
from api.assets.bulk.sheets import MOST_LINES, CsvWriter, Format, XlsxWriter, written
from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.assets.bulk")

NAMES = [column.name for column in COLUMNS]
AT_ONCE = 2000
IN_MEMORY_BYTES = 8 * 2**20
PIECE_BYTES = 256 * 1024


async def export_assets(call: Call, file_format: Format, wanted: Mapping[str, Any]) -> SpooledTemporaryFile[bytes]:
    """All assets that fit, in a file that is read from its beginning.

    Written whole before the first byte is sent: what is sent is one moment's state, and an error is told as one.

    Raises:
        Problem: 422 when there are more than a workbook is written with.
    """
    writer = CsvWriter(NAMES) if file_format == "csv" else XlsxWriter(NAMES)
    spool: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - read by the answer
    try:
        count = 0
        async with call.connection.cursor("export") as cursor:
            await cursor.execute(SQL["export_assets"], wanted)
            while rows := await cursor.fetchmany(AT_ONCE):
                count += len(rows)
                _refuse_too_many(file_format, count)
                # Elsewhere, so that other calls are answered meanwhile.
                await asyncio.to_thread(_add, writer, spool, rows)
        await asyncio.to_thread(lambda: spool.write(writer.end()))
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _refuse_too_many(file_format: Format, count: int) -> None:
    if file_format == "xlsx" and count > MOST_LINES:
        message = f"a workbook has at most {MOST_LINES} lines; take csv, or fewer by the filters"
        raise Problem.bad_field("query.format", message)


def _add(writer: CsvWriter | XlsxWriter, spool: SpooledTemporaryFile[bytes], rows: Sequence[DictRow]) -> None:
    lines = ([_cell(name, row[name]) for name in NAMES] for row in rows)
    spool.write(writer.add(lines))


def _cell(name: str, value: Any) -> Any:
    if name == "attributes":
        return json.dumps(value, ensure_ascii=False) if value else None
    return value


async def pieces(spool: SpooledTemporaryFile[bytes]) -> AsyncIterator[bytes]:
    """The file piece by piece; it is gone after that."""
    try:
        while piece := await asyncio.to_thread(spool.read, PIECE_BYTES):
            yield piece
    finally:
        spool.close()


def template(file_format: Format) -> bytes:
    """An empty sheet; as a workbook, with a second one that explains the columns."""
    if file_format == "csv":
        return written("csv", NAMES, (), "assets")
    writer = XlsxWriter(NAMES)
    explained = ((c.name, c.description, c.example, "yes" if c.required else "no") for c in COLUMNS)
    writer.add_sheet("columns", ("column", "what it says", "example", "needed for a new machine"), explained)
    return writer.end()


def report(file_format: Format, problems: Sequence[SheetProblem]) -> bytes:
    """What is wrong in a sheet, as a sheet."""
    return written(file_format, SheetProblem._fields, problems, "problems")
