"""Sheets as CSV and XLSX: bytes to lines of cells, and back. Pure; knows nothing of what stands in them.

A cell that a spreadsheet program would take for a formula (`=`, `+`, `-`, `@`, tab or carriage return at its start) is
written with an apostrophe before it, and read without it.
"""

import codecs
import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal
from xml.etree.ElementTree import ParseError

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils.exceptions import InvalidFileException

from api.assets.bulk.columns import SheetProblem, normal_name

Format = Literal["csv", "xlsx"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MOST_LINES = 100_000
MOST_COLUMNS = 64
# An XLSX is a zip: a few kilobytes may unpack to gigabytes.
MOST_UNPACKED_BYTES = 256 * 2**20
LONGEST_CELL = 32_767
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_DELIMITERS = (",", ";", "\t")


class SheetError(ValueError):
    """A file that is no sheet.

    Args:
        problem: What is wrong, and where.
    """

    def __init__(self, problem: SheetProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class Sheet:
    """What stands in a file.

    Attributes:
        encoding: By which it was read; `xlsx` has none.
        delimiter: Between cells; `xlsx` has none.
        header: Names of the columns, as `normal_name` gives them.
        numbers: Of the lines that are not empty, as whoever opens the file counts them.
        cells: Of each of these lines, stripped, as many as the header has.
        problems: Lines with more cells than the header.
    """

    encoding: str
    delimiter: str
    header: list[str]
    numbers: list[int]
    cells: list[list[str]]
    problems: list[SheetProblem]


def harmless(cell: str) -> str:
    """A cell that no spreadsheet program executes; `plain` takes it back."""
    return f"'{cell}" if cell.startswith((*_DANGEROUS, "'")) else cell


def plain(cell: str) -> str:
    """A cell without the apostrophe that made it harmless."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith((*_DANGEROUS, "'")) else cell


def read_sheet(raw: bytes, file_format: Format, encoding: str | None = None) -> Sheet:
    """Read a file.

    Args:
        raw: Its bytes.
        file_format: Which it is said to be.
        encoding: Of CSV; found out when it is None.

    Raises:
        SheetError: It is damaged, not of this format, or too large.
    """
    if file_format == "xlsx":
        return _filled("", "", _xlsx_lines(raw))
    text, found = _decode(raw, encoding)
    lines, delimiter = _csv_lines(text)
    return _filled(found, delimiter, lines)


def _filled(encoding: str, delimiter: str, lines: Iterator[tuple[int, Sequence[str]]]) -> Sheet:
    header: list[str] | None = None
    numbers: list[int] = []
    cells: list[list[str]] = []
    problems: list[SheetProblem] = []
    for number, found in lines:
        row = [plain(cell.strip()) for cell in found]
        while row and not row[-1]:
            row.pop()
        if not row:
            continue
        if header is None:
            if len(row) > MOST_COLUMNS:
                raise _error(number, f"has {len(row)} columns", f"at most {MOST_COLUMNS} are read")
            header = [normal_name(cell) for cell in row]
            continue
        if len(row) > len(header):
            message = f"has {len(row)} cells, and there are {len(header)} columns"
            remedy = "put cells that contain the delimiter between double quotes"
            problems.append(SheetProblem(number, "", row[len(header)][:80], message, remedy))
        if len(numbers) >= MOST_LINES:
            raise _error(number, f"the file has more than {MOST_LINES} lines", "cut it into several files")
        numbers.append(number)
        cells.append([*row, *[""] * (len(header) - len(row))][: len(header)])
    if header is None:
        raise _error(0, "the file is empty", "take the template: GET …/import/template")
    return Sheet(encoding, delimiter, header, numbers, cells, problems)


def _error(line: int, message: str, remedy: str) -> SheetError:
    return SheetError(SheetProblem(line, "", "", message, remedy))


# CSV --------------------------------------------------------------------------------------------


def _decode(raw: bytes, encoding: str | None) -> tuple[str, str]:
    """The text and its encoding: what its first bytes say, else UTF-8, else GB 18030, which Excel writes in China."""
    marked = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    said = next((name for mark, name in marked.items() if raw.startswith(mark)), None)
    tried = [encoding] if encoding else [said] if said else ["utf-8", "gb18030"]
    for name in tried:
        try:
            # An explicit utf-8 must not leave the mark in the first column's name.
            return raw.decode(name).removeprefix("\ufeff"), name
        except UnicodeError as error:
            last = error
    line = raw.count(b"\n", 0, getattr(last, "start", 0)) + 1
    message = f"is not {' nor '.join(tried)}"
    raise _error(line, message, "save the file as CSV UTF-8, or name its encoding") from last


def _csv_lines(text: str) -> tuple[Iterator[tuple[int, Sequence[str]]], str]:
    first, _, rest = text.partition("\n")
    skipped = 0
    # Excel's own way to say the delimiter.
    if first.strip().casefold().startswith("sep=") and len(first.strip()) == 5:
        delimiter, text, skipped = first.strip()[4], rest, 1
        if delimiter not in _DELIMITERS:
            raise _error(1, f"the delimiter {delimiter!r} is not known here", "use a comma, a semicolon or a tab")
    else:
        delimiter = max(_DELIMITERS, key=first.count)
    return _numbered(text, delimiter, skipped), delimiter


def _numbered(text: str, delimiter: str, skipped: int) -> Iterator[tuple[int, Sequence[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in reader:
            yield begins + skipped, row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise _error(begins + skipped, f"is not CSV: {error}", "look at the double quotes there") from error


# XLSX -------------------------------------------------------------------------------------------


def _xlsx_lines(raw: bytes) -> Iterator[tuple[int, Sequence[str]]]:
    remedy = "save the sheet as an Excel workbook (.xlsx) again, or as CSV"
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            # Reading stops at the size that is declared, so what is declared can be believed.
            unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > MOST_UNPACKED_BYTES:
            message = f"unpacks to {unpacked:,} bytes, more than {MOST_UNPACKED_BYTES:,}"
            raise _error(0, message, "cut it into several files, or save it as CSV")
        workbook = load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        worksheet = workbook.worksheets[0]
        # The sheet's own word on how wide it is may be a lie, or stale.
        worksheet.reset_dimensions()
        rows = worksheet.iter_rows(max_col=MOST_COLUMNS + 1, max_row=MOST_LINES + 2, values_only=True)
        yield from ((number, [_cell_text(value) for value in row]) for number, row in enumerate(rows, 1))
    except (
        zipfile.BadZipFile, zlib.error, struct.error, InvalidFileException, ParseError, LookupError, AttributeError,
        TypeError, ValueError, EOFError, RuntimeError, ArithmeticError, AssertionError, OSError,
    ) as error:  # fmt: skip
        if isinstance(error, SheetError):
            raise
        raise _error(0, "is not an XLSX workbook that can be read", remedy) from error


def _cell_text(value: object) -> str:
    """A cell as it would stand in CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


# Writing ----------------------------------------------------------------------------------------


def cell_of(value: Any) -> str | float:
    """What stands in a cell for a value."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat()
        return text.removesuffix("+00:00") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    # Control characters have no place in a sheet, nor in what can be imported again.
    return harmless(ILLEGAL_CHARACTERS_RE.sub("", str(value)))


class CsvWriter:
    """Lines as CSV, in pieces: UTF-8 with the mark by which Excel knows it."""

    def __init__(self, header: Sequence[str]) -> None:
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, lineterminator="\r\n")
        self._buffer.write("\ufeff")
        self._writer.writerow(header)

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """More lines; returns the bytes that are due."""
        self._writer.writerows([cell_of(value) for value in row] for row in rows)
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()

    def end(self) -> bytes:
        """What is still to be written."""
        return self.add(())


class XlsxWriter:
    """Lines as an XLSX workbook; all of it is written at the end, from a temporary file."""

    def __init__(self, header: Sequence[str], title: str = "assets") -> None:
        self._workbook = Workbook(write_only=True)
        self._sheet = self._workbook.create_sheet(title)
        self._sheet.freeze_panes = "A2"
        self._sheet.append([_bold(self._sheet, name) for name in header])

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """More lines."""
        for row in rows:
            self._sheet.append([cell_of(value) for value in row])
        return b""

    def add_sheet(self, title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A second sheet, e.g. one that explains the first."""
        sheet = self._workbook.create_sheet(title)
        sheet.append([_bold(sheet, name) for name in header])
        for row in rows:
            sheet.append([cell_of(value) for value in row])

    def end(self) -> bytes:
        """The workbook."""
        packed = io.BytesIO()
        self._workbook.save(packed)
        return packed.getvalue()


def _bold(sheet: Any, text: str) -> Any:
    cell = WriteOnlyCell(sheet, value=text)
    cell.font = Font(bold=True)
    return cell


def written(file_format: Format, header: Sequence[str], rows: Iterable[Sequence[Any]], title: str) -> bytes:
    """A small sheet in one piece."""
    writer = CsvWriter(header) if file_format == "csv" else XlsxWriter(header, title)
    return writer.add(rows) + writer.end()
