"""Puts a sheet of assets into the database: all of it, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.assets.bulk.columns import SheetProblem
from api.assets.bulk.judging import Mode, Told, judge, judge_against
from api.assets.bulk.sheets import Format, Sheet, SheetError, read_sheet
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.customers.registering.people import Person, Place, each_once, find_or_make_people, find_or_make_places
from careloop.database.queries import load_queries

SQL = load_queries("api.assets.bulk")

# Columns of a line that go into the asset as they are.
_PLAIN = (
    "installed_at", "installed_by", "state", "retired_at", "batch", "produced_on", "firmware", "sold_on", "channel",
    "dealer",
)  # fmt: skip


@dataclass
class Outcome:
    """What an import did, or would do.

    Attributes:
        sheet: What was read; None when the file is no sheet.
        problems: In order of their lines; none, or nothing was done.
        created: Machines made.
        updated: Machines changed.
        customers_created: Customers made.
        sites_created: Sites made.
    """

    sheet: Sheet | None
    problems: list[SheetProblem]
    created: int = 0
    updated: int = 0
    customers_created: int = 0
    sites_created: int = 0


async def import_sheet(
    call: Call, raw: bytes, *, file_format: Format, encoding: str | None, mode: Mode, dry_run: bool
) -> Outcome:
    """Judge a sheet and put it in, if nothing is wrong.

    Args:
        call: Whose transaction it is put into.
        raw: The file.
        file_format: What it is.
        encoding: Of CSV; found out when it is None.
        mode: Whether lines make new assets, change known ones, or both.
        dry_run: Take back what was done, and only tell of it.

    Raises:
        Problem: 409 when somebody else was registering the same machines.
    """
    try:
        # Elsewhere, so that other calls are answered meanwhile.
        sheet = await asyncio.to_thread(read_sheet, raw, file_format, encoding)
    except SheetError as error:
        return Outcome(None, [error.problem])
    told = await asyncio.to_thread(judge, sheet, mode)
    models = await _by_key(call, "known_models", "code", {"codes": _different(told.values["model"])})
    assets = await _by_key(call, "known_assets", "serial", {"serials": _different(told.values["serial"])})
    await asyncio.to_thread(judge_against, told, mode, models, assets)
    outcome = Outcome(sheet, sorted(told.problems))
    if outcome.problems:
        return outcome
    try:
        async with call.connection.transaction(force_rollback=dry_run):
            await _write(call, told, models, assets, outcome)
    except psycopg.errors.UniqueViolation as error:
        detail = "some of these machines were registered meanwhile; import the file again"
        raise Problem.conflict("serial-taken", detail) from error
    return outcome


def _different(values: Sequence[Any]) -> list[Any]:
    return sorted({value for value in values if value is not None})


async def _by_key(call: Call, query: str, key: str, parameters: Mapping[str, Any]) -> dict[str, DictRow]:
    rows = await (await call.connection.execute(SQL[query], parameters)).fetchall()
    return {row[key]: row for row in rows}


async def _write(
    call: Call, told: Told, models: Mapping[str, DictRow], assets: Mapping[str, DictRow], outcome: Outcome
) -> None:
    owners = await _owners(call, told, assets, outcome)
    sites = await _sites(call, told, assets, owners, outcome)
    serials = told.values["serial"]
    new = [place for place, serial in enumerate(serials) if serial not in assets]
    known = [place for place, serial in enumerate(serials) if serial in assets]
    touched: list[int] = []
    if new:
        values = {**_lines(told, new, owners, sites), "now": call.now}
        values["serial"] = [serials[place] for place in new]
        values["model_id"] = [models[told.values["model"][place]]["model_id"] for place in new]
        rows = await (await call.connection.execute(SQL["insert_assets"], values)).fetchall()
        touched += sorted(row["asset_id"] for row in rows)
        outcome.created = len(rows)
    if known:
        numbers = [assets[serials[place]]["asset_id"] for place in known]
        values = {**_lines(told, known, owners, sites), "asset_id": numbers, "now": call.now}
        rows = await (await call.connection.execute(SQL["update_assets"], values)).fetchall()
        touched += sorted(row["asset_id"] for row in rows)
        outcome.updated = len(rows)
        # What a former owner had ends before what the next one has begins.
        had = {"asset_id": numbers, "customer_id": [owners[place] for place in known], "now": call.now}
        await call.connection.execute(SQL["end_owners"], had)
    said = {"asset_id": touched, "actor": call.principal.name, "now": call.now}
    await call.connection.execute(SQL["add_owners"], said)
    await call.connection.execute(SQL["add_firmware"], said)


def _lines(
    told: Told, places: Sequence[int], owners: Sequence[int | None], sites: Sequence[int | None]
) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {name: [told.values[name][place] for place in places] for name in _PLAIN}
    attributes = (told.values["attributes"][place] for place in places)
    values["attributes"] = [None if given is None else Jsonb(given) for given in attributes]
    values["customer_id"] = [owners[place] for place in places]
    values["site_id"] = [sites[place] for place in places]
    return values


async def _owners(call: Call, told: Told, assets: Mapping[str, DictRow], outcome: Outcome) -> list[int | None]:
    """Whose each machine is: as the line says; else, or if that names the owner there is, as it was."""
    owners: list[int | None] = []
    wanted: list[Person] = []
    places: list[int] = []
    for place, (serial, person) in enumerate(zip(told.values["serial"], told.people, strict=True)):
        asset = assets.get(serial)
        owners.append(None if asset is None else asset["customer_id"])
        same = asset is not None and person is not None and _same(asset["customer_name"], person.name)
        if person is not None and not same:
            wanted.append(person)
            places.append(place)
    people, whose = each_once(wanted)
    numbers, outcome.customers_created = await find_or_make_people(call, people)
    for place, number in zip(places, whose, strict=True):
        owners[place] = numbers[number]
    return owners


def _same(one: str | None, other: str) -> bool:
    return one is not None and one.casefold() == other.casefold()


async def _sites(
    call: Call, told: Told, assets: Mapping[str, DictRow], owners: Sequence[int | None], outcome: Outcome
) -> list[int | None]:
    """Where each machine stands: as the line says; else as it was, unless it changed hands."""
    given = told.values
    sites: list[int | None] = []
    wanted: list[Place] = []
    places: list[int] = []
    for place, serial in enumerate(given["serial"]):
        asset, name, owner = assets.get(serial), given["site_name"][place], owners[place]
        stays = asset is not None and (asset["customer_id"] in {None, owner})
        sites.append(asset["site_id"] if asset is not None and stays else None)
        if name is not None:
            there = Place(
                owner, name, given["site_street"][place], given["site_postcode"][place], given["site_city"][place],
                given["site_country"][place], given["site_territory"][place], given["site_time_zone"][place],
                given["site_latitude"][place], given["site_longitude"][place],
            )  # fmt: skip
            wanted.append(there)
            places.append(place)
    different, which = each_once(wanted)
    numbers, outcome.sites_created = await find_or_make_places(call, different)
    for place, number in zip(places, which, strict=True):
        sites[place] = numbers[number]
    return sites
