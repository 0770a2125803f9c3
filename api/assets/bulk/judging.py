"""What a sheet of assets says, line by line, and what is wrong with it. Pure.

Nothing here asks the database; what only that can say (is the serial number taken, is the model there) is judged by
`judge_against` with what it said.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api.assets.bulk.columns import (
    BY_NAME,
    COLUMNS,
    CUSTOMER_COLUMNS,
    SITE_COLUMNS,
    Column,
    SheetProblem,
    judge_header,
    read_column,
    shown,
)
from api.assets.bulk.sheets import Sheet
from api.assets.rules import TAKEN_SERIALS
from api.customers.registering.people import Person
from api.customers.rules import email_address, phone_number

Mode = Literal["create", "update", "upsert"]

_REMEDY_SERIAL = "import with mode=upsert to change those that are there, or take the line out"


@dataclass
class Told:
    """What the lines of a sheet say.

    Attributes:
        lines: Number of each line.
        values: By column, the value of each line; a column that is not in the sheet is full of None.
        problems: What is wrong.
        people: The customer of each line, None where it names none.
    """

    lines: list[int]
    values: dict[str, list[Any]]
    problems: list[SheetProblem]
    people: list[Person | None] = field(default_factory=list)

    def complain(self, place: int, column: str, message: str, remedy: str) -> None:
        """Note what is wrong with a cell."""
        value = self.values[column][place] if column else None
        self.problems.append(
            SheetProblem(self.lines[place], column, "" if value is None else shown(str(value)), message, remedy)
        )


def judge(sheet: Sheet, mode: Mode) -> Told:
    """Read all cells and judge each line by itself.

    Args:
        sheet: What stands in the file.
        mode: Whether lines make new assets, change known ones, or both.
    """
    told = Told(sheet.numbers, {}, [*sheet.problems])
    told.problems += judge_header(sheet.header, creating=mode == "create")
    for column in COLUMNS:
        if column.name not in sheet.header:
            told.values[column.name] = [None] * len(sheet.numbers)
            continue
        place = sheet.header.index(column.name)
        cells = [row[place] for row in sheet.cells]
        required = column.name == "serial" or (column.required and mode == "create")
        values, problems = read_column(column, sheet.numbers, cells, required=required)
        told.values[column.name] = values
        told.problems += problems
    _judge_serials(told)
    _judge_lines(told)
    _judge_people(told)
    return told


def _judge_serials(told: Told) -> None:
    first: dict[str, int] = {}
    for place, serial in enumerate(told.values["serial"]):
        if serial in TAKEN_SERIALS:
            told.complain(place, "serial", "names a list of this API", "no machine may be called so")
        elif serial in first:
            told.complain(place, "serial", f"stands in line {first[serial]} already", "take one of the two lines out")
        elif serial is not None:
            first[serial] = told.lines[place]


def _judge_lines(told: Told) -> None:
    given = told.values
    for place in range(len(told.lines)):
        retired_at, installed_at = given["retired_at"][place], given["installed_at"][place]
        if retired_at is not None and given["state"][place] != "retired":
            told.complain(
                place, "retired_at", "is of a machine in service", "write retired as its state, or nothing here"
            )
        elif retired_at is not None and installed_at is not None and retired_at < installed_at:
            told.complain(place, "retired_at", "is before its installation", "look which of the two is right")
        if (given["site_latitude"][place] is None) != (given["site_longitude"][place] is None):
            column = "site_latitude" if given["site_longitude"][place] is None else "site_longitude"
            told.complain(place, column, "is half a position", "give latitude and longitude, or neither")
        for name, columns in (("customer_name", CUSTOMER_COLUMNS), ("site_name", SITE_COLUMNS)):
            if given[name][place] is None:
                said = next((column for column in columns if given[column][place] is not None), None)
                if said is not None:
                    told.complain(place, said, f"is of nobody: {name} is empty", f"fill in {name}")


def _judge_people(told: Told) -> None:
    given = told.values
    phones: dict[tuple[str, str | None], str | CellMisfit] = {}
    mails: dict[str, str | CellMisfit] = {}
    for place in range(len(told.lines)):
        name, country = given["customer_name"][place], given["site_country"][place]
        if name is None:
            told.people.append(None)
            continue
        phone, email = given["customer_phone"][place], given["customer_email"][place]
        if phone is not None:
            phone = _known(
                told, place, "customer_phone", known=phones, key=(phone, country), read=lambda key: phone_number(*key)
            )
        if email is not None:
            email = _known(told, place, "customer_email", known=mails, key=email, read=email_address)
        kind, language = given["customer_kind"][place] or "consumer", given["customer_language"][place] or "en"
        told.people.append(Person(name, kind, phone, email, language, country))


@dataclass(frozen=True)
class CellMisfit:
    """Why a cell is no phone number or mail address."""

    message: str


def _known(
    told: Told, place: int, column: str, *, known: dict[Any, str | CellMisfit], key: Any, read: Callable[[Any], str]
) -> str | None:
    """A value that is read once for all lines that have it."""
    if key not in known:
        try:
            known[key] = read(key)
        except ValueError as error:
            known[key] = CellMisfit(str(error))
    value = known[key]
    if isinstance(value, CellMisfit):
        told.complain(place, column, value.message, f"write it as {BY_NAME[column].example}")
        return None
    return value


def judge_against(told: Told, mode: Mode, models: Collection[str], assets: Mapping[str, Mapping[str, Any]]) -> None:
    """Judge each line by what is known already.

    Args:
        told: What the lines say; more problems are noted there.
        mode: Whether lines make new assets, change known ones, or both.
        models: Codes of the product models that are there.
        assets: Assets that are there, by serial number, with `model`, `installed_at` and `retired_at`.
    """
    given = told.values
    needed: list[Column] = [column for column in COLUMNS if column.required and column.name != "serial"]
    for place, serial in enumerate(given["serial"]):
        model = given["model"][place]
        if model is not None and model not in models:
            told.complain(place, "model", "is no product model here", "POST /v1/product-models first, or correct it")
        if serial is None:
            continue
        asset = assets.get(serial)
        if asset is None and mode == "update":
            told.complain(place, "serial", "is not known", "import with mode=upsert to make it, or correct it")
        elif asset is None and mode == "upsert":
            for column in needed:
                if given[column.name][place] is None:
                    told.complain(
                        place, column.name, "is empty, and the machine is new", f"write e.g. {column.example}"
                    )
        elif asset is not None and mode == "create":
            told.complain(place, "serial", "is known already", _REMEDY_SERIAL)
        elif asset is not None and model not in {None, asset["model"]}:
            remedy = f"write {asset['model']}, or nothing"
            told.complain(place, "model", f"the machine is a {asset['model']}; that never changes", remedy)
