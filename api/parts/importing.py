"""Puts a sheet of parts into the catalogue, with their prices and successors: all of it, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from psycopg.rows import DictRow

from api.assets.bulk.columns import SheetProblem, judge_header, read_column, shown
from api.assets.bulk.sheets import Format, Sheet, SheetError, read_sheet
from api.conventions.call import Call
from api.parts import prices, rules
from api.parts.catalogue_models import NewPriceOfPart
from api.parts.columns import COLUMNS, PLAIN, PRICE_COLUMNS
from api.parts.models import TAKEN_PATHS
from api.parts.service import SQL, Price, prices_of, rows_of

Mode = Literal["create", "update", "upsert"]


@dataclass
class Told:
    """What the lines of a sheet say.

    Attributes:
        lines: Number of each line.
        values: By column, the value of each line; a column that is not in the sheet is full of None.
        problems: What is wrong.
    """

    lines: list[int]
    values: dict[str, list[Any]]
    problems: list[SheetProblem]

    def complain(self, place: int, column: str, message: str, remedy: str) -> None:
        """Note what is wrong with a cell."""
        value = self.values[column][place]
        self.problems.append(
            SheetProblem(self.lines[place], column, "" if value is None else shown(str(value)), message, remedy)
        )


@dataclass
class Outcome:
    """What an import did, or would do.

    Attributes:
        sheet: What was read; None when the file is no sheet.
        problems: In order of their lines; none, or nothing was done.
        created: Parts made.
        updated: Parts changed.
        priced: Prices added.
        superseded: Successors named.
    """

    sheet: Sheet | None
    problems: list[SheetProblem]
    created: int = 0
    updated: int = 0
    priced: int = 0
    superseded: int = 0


async def import_sheet(
    call: Call, raw: bytes, *, file_format: Format, encoding: str | None, mode: Mode, dry_run: bool
) -> Outcome:
    """Judge a sheet and put it in, if nothing is wrong.

    Args:
        call: Whose transaction it is put into.
        raw: The file.
        file_format: What it is.
        encoding: Of CSV; found out when it is None.
        mode: Whether lines make new parts, change known ones, or both.
        dry_run: Take back what was done, and only tell of it.

    Raises:
        Problem: 409 when a part has another price from the same day on already.
    """
    try:
        # Elsewhere, so that other calls are answered meanwhile.
        sheet = await asyncio.to_thread(read_sheet, raw, file_format, encoding)
    except SheetError as error:
        return Outcome(None, [error.problem])
    told = await asyncio.to_thread(judge, sheet, mode)
    # Whoever links parts comes one after the other; so do sheets, which may name the same parts.
    await call.connection.execute(SQL["lock_chains"])
    named = {sku for column in ("sku", "superseded_by") for sku in told.values[column] if sku is not None}
    known = {row["sku"]: row for row in await rows_of(call, "known_parts", {"skus": sorted(named)})}
    links = await rows_of(call, "links_of_parts", {"part_ids": [row["part_id"] for row in known.values()]})
    new_links = await asyncio.to_thread(judge_against, told, mode, known, links, call.now.date())
    outcome = Outcome(sheet, sorted(told.problems))
    if outcome.problems:
        return outcome
    async with call.connection.transaction(force_rollback=dry_run):
        await _write(call, told, known, new_links, outcome)
    return outcome


def judge(sheet: Sheet, mode: Mode) -> Told:
    """Read all cells and judge each line by itself."""
    told = Told(sheet.numbers, {}, [*sheet.problems])
    told.problems += judge_header(sheet.header, creating=mode == "create", columns=COLUMNS)
    for column in COLUMNS:
        if column.name not in sheet.header:
            told.values[column.name] = [None] * len(sheet.numbers)
            continue
        place = sheet.header.index(column.name)
        required = column.name == "sku" or (column.required and mode == "create")
        cells = [row[place] for row in sheet.cells]
        told.values[column.name], problems = read_column(column, sheet.numbers, cells, required=required)
        told.problems += problems
    _judge_lines(told)
    return told


def _judge_lines(told: Told) -> None:
    given = told.values
    first: dict[str, int] = {}
    for place, sku in enumerate(given["sku"]):
        if sku in TAKEN_PATHS:
            told.complain(place, "sku", "names a list of this API", "no part may be called so")
        elif sku in first:
            told.complain(place, "sku", f"stands in line {first[sku]} already", "take one of the two lines out")
        elif sku is not None:
            first[sku] = told.lines[place]
        if given["superseded_by"][place] is None:
            for name in ("superseded_on", "two_way"):
                if given[name][place] is not None:
                    told.complain(place, name, "is of nothing: superseded_by is empty", "fill in superseded_by")


def judge_against(
    told: Told, mode: Mode, known: Mapping[str, DictRow], links: Sequence[DictRow], today: date
) -> list[rules.Link]:
    """Judge each line by what is known already.

    Args:
        told: What the lines say; more problems are noted there.
        mode: Whether lines make new parts, change known ones, or both.
        known: Parts that are there, by SKU.
        links: All links that hang together with them.
        today: The day from which on a successor counts whose line names no day.

    Returns:
        The links to add.
    """
    given = told.values
    remedy = "import with mode=upsert to change those that are there, or take the line out"
    for place, sku in enumerate(given["sku"]):
        there = known.get(sku)
        if there is not None and mode == "create":
            told.complain(place, "sku", "is there already", remedy)
        elif there is None and mode == "update":
            told.complain(place, "sku", "is no part", "import with mode=upsert to make it, or take the line out")
        elif there is None and given["name"][place] is None:
            told.complain(place, "name", "is empty, and the part is new", "write what it is called")
        rotable = given["rotable"][place]
        if rotable is None:
            rotable = there is not None and there["rotable"]
        if rotable and given["serialised"][place] is False:
            told.complain(place, "serialised", "a rotable part is serialised", "write yes, or nothing")
    return _links(told, known, links, today)


def _links(told: Told, known: Mapping[str, DictRow], links: Sequence[DictRow], today: date) -> list[rules.Link]:
    given = told.values
    there = {link["sku"]: rules.Link(link["sku"], link["successor"], link["effective_on"]) for link in links}
    chains = rules.Chains(there.values())
    here = set(given["sku"])
    new: list[tuple[int, rules.Link]] = []
    for place, (sku, successor) in enumerate(zip(given["sku"], given["superseded_by"], strict=True)):
        if sku is None or successor is None:
            continue
        link = rules.Link(sku, successor, given["superseded_on"][place] or today)
        old = there.get(sku)
        if successor not in known and successor not in here:
            told.complain(place, "superseded_by", "is no part", "add a line for it, or POST /v1/parts first")
        elif successor in known and known[successor]["state"] == "discontinued" and old is None:
            told.complain(place, "superseded_by", "is discontinued", "reinstate it, or name another")
        elif old is not None and (successor, given["superseded_on"][place] or old.effective_on) != (
            old.successor,
            old.effective_on,
        ):
            said = f"{sku} gives way to {old.successor} on {old.effective_on} already"
            told.complain(place, "superseded_by", said, f"DELETE /v1/parts/{sku}/successor first, or write the same")
        elif old is None:
            new.append((place, link))
    # The first day first, so that a chain is judged in the order in which it comes to be.
    for place, link in sorted(new, key=lambda one: (one[1].effective_on, one[0])):
        misfit = chains.misfit(link)
        if misfit is None:
            chains.add(link)
        else:
            column = "superseded_by" if misfit[0] == "successor" else "superseded_on"
            told.complain(place, column, misfit[1], "look which of the lines is right")
    return [link for _, link in new]


async def _write(
    call: Call, told: Told, known: Mapping[str, DictRow], links: Sequence[rules.Link], outcome: Outcome
) -> None:
    skus = told.values["sku"]
    numbers = {sku: row["part_id"] for sku, row in known.items()}
    for query in ("insert_parts", "update_parts"):
        places = [place for place, sku in enumerate(skus) if (sku in known) == (query == "update_parts")]
        if not places:
            continue
        values = {name: [told.values[name][place] for place in places] for name in ("sku", *PLAIN)}
        rows = await rows_of(call, query, values)
        numbers |= {row["sku"]: row["part_id"] for row in rows}
        outcome.created += len(rows) if query == "insert_parts" else 0
        outcome.updated += len(rows) if query == "update_parts" else 0
    outcome.superseded = await _supersede(call, told, numbers, links)
    outcome.priced = await _price(call, told, numbers)


async def _supersede(call: Call, told: Told, numbers: Mapping[str, int], links: Sequence[rules.Link]) -> int:
    if not links:
        return 0
    two_way = dict(zip(told.values["sku"], told.values["two_way"], strict=True))
    values = {
        "part_id": [numbers[link.sku] for link in links],
        "successor_id": [numbers[link.successor] for link in links],
        "effective_on": [link.effective_on for link in links],
        "two_way": [bool(two_way[link.sku]) for link in links],
    }
    said = {"today": call.now.date(), "actor": call.principal.name, "now": call.now}
    return len(await rows_of(call, "insert_supersessions", {**values, **said}))


async def _price(call: Call, told: Told, numbers: Mapping[str, int]) -> int:
    """Add the prices that differ from those that hold on their first day."""
    given, today = told.values, call.now.date()
    rows = await rows_of(call, "currencies", {"part_ids": [*numbers.values()]})
    currencies = {row["part_id"]: row["currency"] for row in rows}
    wanted: list[tuple[int, NewPriceOfPart]] = []
    for kind, column in PRICE_COLUMNS.items():
        lines = zip(given["sku"], given[column], given["prices_from"], strict=True)
        by_day: dict[date, list[tuple[str, int]]] = {}
        for sku, price_minor, start in lines:
            if price_minor is not None:
                by_day.setdefault(start or today, []).append((sku, price_minor))
        for day, said in by_day.items():
            held = await prices_of(call, [numbers[sku] for sku, _ in said], kind, day)
            for sku, price_minor in said:
                part_id = numbers[sku]
                price = Price(price_minor, currencies[part_id])
                if held.get(part_id) != price:
                    new = NewPriceOfPart(kind=kind, sku=sku, valid_from=day, **asdict(price))
                    wanted.append((part_id, new))
    await prices.insert_all(call, wanted)
    return len(wanted)
