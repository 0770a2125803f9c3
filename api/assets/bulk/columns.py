"""The columns of a sheet of assets: what each means, and what its cells may say. Pure."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from math import isfinite
from typing import Any, NamedTuple
from zoneinfo import available_timezones

CHANNELS = ("online_shop", "retailer", "dealer", "direct", "rental")
STATES = ("active", "retired")
CUSTOMER_KINDS = ("consumer", "business")

_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
_COUNTRY = re.compile(r"[A-Z]{2}")
_ISO_DAY = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_GERMAN_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
# PostgreSQL keeps no NUL; other control characters in a cell are a slip of the program that wrote it.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class CellError(ValueError):
    """A cell that cannot be read.

    Args:
        message: What is wrong.
        remedy: What to write instead.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class SheetProblem(NamedTuple):
    """One thing that is wrong in a sheet.

    Attributes:
        line: As counted by whoever opens the file, from 1; 0: of the whole file.
        column: Its name; empty: of the whole line.
        value: What stands there, shortened.
        message: What is wrong with it.
        remedy: What to do.
    """

    line: int
    column: str
    value: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Column:
    """A column of the sheet.

    Attributes:
        name: In the first line.
        description: For the template.
        example: A cell.
        read: The value of a cell that is not empty.
        required: Whether a new asset needs it.
    """

    name: str
    description: str
    example: str
    read: Callable[[str], Any]
    required: bool = False


def text(longest: int) -> Callable[[str], str]:
    """Reads cells of at most so many characters."""

    def read(cell: str) -> str:
        if len(cell) > longest:
            raise CellError(f"has {len(cell)} characters", f"write at most {longest}")
        if _CONTROL.search(cell):
            raise CellError("has control characters in it", "take them out")
        return cell

    return read


def choice(*choices: str) -> Callable[[str], str]:
    """Reads cells that say one of some words."""

    def read(cell: str) -> str:
        word = cell.casefold().replace(" ", "_").replace("-", "_")
        if word not in choices:
            raise CellError("is none of the words known here", f"write one of {', '.join(choices)}")
        return word

    return read


def pattern(form: re.Pattern[str], what: str, remedy: str) -> Callable[[str], str]:
    """Reads cells of a form: what it is, and what to write instead of anything else."""

    def read(cell: str) -> str:
        if not form.fullmatch(cell):
            raise CellError(f"is not {what}", remedy)
        return cell

    return read


def read_day(cell: str) -> date:
    """A day: 2026-03-01, 2026/3/1 or 01.03.2026; one with slashes and the year last is ambiguous.

    Raises:
        CellError: It is none.
    """
    day, _, rest = cell.replace("T", " ", 1).partition(" ")
    remedy = "write the day as 2026-03-01"
    if rest and not re.fullmatch(r"0{1,2}:00(:00(\.0+)?)?(Z|\+00:00)?", rest):
        raise CellError("has a time of day", remedy)
    iso, german = _ISO_DAY.fullmatch(day), _GERMAN_DAY.fullmatch(day)
    parts = iso.groups() if iso else tuple(reversed(german.groups())) if german else None
    if parts is None:
        raise CellError("is not a day", remedy)
    try:
        return date(*map(int, parts))
    except ValueError as error:
        raise CellError("is a day that does not exist", remedy) from error


def read_instant(cell: str) -> datetime:
    """An instant: a day (its first instant in UTC), or an RFC 3339 time; without an offset it is UTC.

    Raises:
        CellError: It is none.
    """
    try:
        day = read_day(cell)
    except CellError:
        try:
            instant = datetime.fromisoformat(cell)
            return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise CellError("is not a time", "write 2026-03-01 or 2026-03-01T08:30:00Z") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _degrees(most: int) -> Callable[[str], float]:
    def read(cell: str) -> float:
        try:
            degrees = float(cell.replace(",", ".", 1))
        except ValueError as error:
            raise CellError("is not a number", "write degrees as 48.8925") from error
        if not -most <= degrees <= most:
            raise CellError("is no place on the Earth", f"write degrees from -{most} to {most}")
        return degrees

    return read


def _attributes(cell: str) -> dict[str, Any]:
    remedy = 'write a JSON object of texts, numbers and booleans, e.g. {"age_years": 4}'
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise CellError("is not JSON", remedy) from error
    if not isinstance(value, dict) or len(value) > 100:
        raise CellError("is not an object of at most 100 fields", remedy)
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool) or (isinstance(item, float) and not isfinite(item)):
            raise CellError(f"has a field {name[:40]} that is neither text, number nor boolean", remedy)
        if _CONTROL.search(name) or (isinstance(item, str) and _CONTROL.search(item)):
            raise CellError("has control characters in it", remedy)
        try:
            f"{name}{item}".encode()
        except UnicodeEncodeError as error:
            raise CellError("has half a character in it", remedy) from error
    return value


def _time_zone(cell: str) -> str:
    if cell not in available_timezones():
        raise CellError("is not an IANA time zone", "write e.g. Europe/Berlin")
    return cell


_NAME = text(128)

COLUMNS: tuple[Column, ...] = (
    Column(
        "serial",
        "Serial number, the key of the line: letters, digits, . _ -",
        "HD5-000123",
        pattern(_SERIAL, "a serial number", "write 1-64 letters, digits, dots, hyphens or underscores"),
        required=True,
    ),
    Column("model", "Code of the product model, which must exist", "HD-5", _NAME, required=True),
    Column(
        "installed_at",
        "When it was installed or first sold: a day, or a time with its offset",
        "2026-03-01",
        read_instant,
        required=True,
    ),
    Column("installed_by", "Who installed it", "Service Nord GmbH", _NAME),
    Column("state", "active (also when empty) or retired", "active", choice(*STATES)),
    Column("retired_at", "When it went out of service; only of a retired one", "", read_instant),
    Column("batch", "Production batch", "2026W07", _NAME),
    Column("produced_on", "Day of production", "2026-02-11", read_day),
    Column("firmware", "Version that runs on it", "2.4.1", _NAME),
    Column("sold_on", "Day of sale, on which a warranty may start", "2026-02-27", read_day),
    Column("channel", f"How it was sold: {', '.join(CHANNELS)}", "retailer", choice(*CHANNELS)),
    Column("dealer", "By whom it was sold", "Baumarkt Winnenden", _NAME),
    Column("attributes", "Further facts, as a JSON object", '{"age_years": 0}', _attributes),
    Column("customer_name", "The owner; found by phone or mail, else made", "Hotel Seeblick", _NAME),
    Column("customer_kind", "consumer (also when empty) or business", "business", choice(*CUSTOMER_KINDS)),
    Column("customer_phone", "With the country's code", "+49 7195 14-0", text(64)),
    Column("customer_email", "Mail address", "technik@example.com", text(254)),
    Column(
        "customer_language",
        "What the owner reads: en, de, zh-CN",
        "de",
        pattern(_LANGUAGE, "a language", "write e.g. en, de or zh-CN"),
    ),
    Column("site_name", "Where it stands; a site of the owner", "Wash bay 2", _NAME),
    Column("site_street", "Street and number", "Seestraße 1", text(200)),
    Column("site_postcode", "", "71364", text(32)),
    Column("site_city", "", "Winnenden", _NAME),
    Column(
        "site_country",
        "Two letters, ISO 3166",
        "DE",
        pattern(_COUNTRY, "a country", "write two capital letters, e.g. DE"),
    ),
    Column("site_territory", "Whose technicians serve it", "south", _NAME),
    Column("site_time_zone", "IANA name", "Europe/Berlin", _time_zone),
    Column("site_latitude", "Degrees north", "48.8925", _degrees(90)),
    Column("site_longitude", "Degrees east", "9.3978", _degrees(180)),
)

BY_NAME = {column.name: column for column in COLUMNS}
CUSTOMER_COLUMNS = tuple(column.name for column in COLUMNS if column.name.startswith("customer_"))
SITE_COLUMNS = tuple(column.name for column in COLUMNS if column.name.startswith("site_"))


def normal_name(cell: str) -> str:
    """A column's name as it is compared: `Installed at` is `installed_at`."""
    return re.sub(r"[\s-]+", "_", cell.strip().strip("*").casefold())


def judge_header(header: list[str], *, creating: bool, columns: Sequence[Column] = COLUMNS) -> list[SheetProblem]:
    """What is wrong with the first line.

    Args:
        header: Its cells, as `normal_name` gives them; empty where nothing stands.
        creating: Whether every line makes something new.
        columns: All there are, the key first.
    """
    problems: list[SheetProblem] = []
    names = [column.name for column in columns]
    for position, name in enumerate(header):
        if name and name not in names:
            near = get_close_matches(name, names, 1)
            remedy = f"call it {near[0]}" if near else "take it out; GET …/import/columns lists the columns"
            problems.append(SheetProblem(1, name[:64], name[:64], "is no column of this sheet", remedy))
        elif name and name in header[:position]:
            problems.append(SheetProblem(1, name, name, "stands twice", "take one of the two out"))
    needed = [column.name for column in columns if column is columns[0] or (creating and column.required)]
    problems += [
        SheetProblem(1, name, "", "is missing", f"add a column {name}, or take the template")
        for name in needed
        if name not in header
    ]
    return problems


def read_column(
    column: Column, lines: list[int], cells: list[str], *, required: bool
) -> tuple[list[Any], list[SheetProblem]]:
    """The values of a column, None where a cell is empty, and what is wrong with it.

    Args:
        column: Which.
        lines: Number of each line.
        cells: What stands in each, stripped.
        required: Whether it must not be empty.
    """
    # Most columns say the same few things over and over.
    known: dict[str, Any] = {"": None}
    values: list[Any] = []
    problems: list[SheetProblem] = []
    for line, cell in zip(lines, cells, strict=True):
        try:
            if cell not in known:
                known[cell] = column.read(cell)
            values.append(known[cell])
        except CellError as error:
            values.append(None)
            problems.append(SheetProblem(line, column.name, shown(cell), error.message, error.remedy))
            continue
        if required and not cell:
            remedy = f"write e.g. {column.example}"
            problems.append(SheetProblem(line, column.name, "", "is empty", remedy))
    return values, problems


def shown(cell: str) -> str:
    """A cell as a report shows it."""
    text = _CONTROL.sub("�", cell)
    return text if len(text) <= 80 else f"{text[:79]}…"
