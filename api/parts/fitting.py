"""Which parts fit which machines: by what was recorded, by bills of materials, by the components of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts import rules
from api.parts.catalogue_models import NewFit, NewFitOfPart
from api.parts.rules import Bounds, Machine, Verdict
from api.parts.service import SQL, get_part, parts_by_sku, rows_of, substitutes_of, unknown_part

MOST_FITS = 5000

_PLAIN = ("from_batch", "until_batch", "from_date", "until_date", "quantity", "note")


@dataclass
class Fitting:
    """A part that fits, with all that says so."""

    part_id: int
    sku: str
    name: str
    state: str
    component: str | None
    quantity: int
    verdict: Verdict
    sources: list[str] = field(default_factory=list)
    depends_on: list[str] = field(default_factory=list)


async def add_fit(call: Call, sku: str, body: NewFit) -> list[DictRow]:
    """Record into which machines a part goes; the same again changes nothing.

    Raises:
        Problem: 404; 422 for an unknown model or component, or batches in the wrong order.
    """
    part = await get_part(call, sku)
    await _insert(call, [part["part_id"]], [body], ["body"])
    return await fits_of_part(call, sku)


async def add_fits(call: Call, items: Sequence[NewFitOfPart]) -> int:
    """Record fits of many parts. Returns how many were not known before.

    Raises:
        Problem: 422 for an unknown part, model or component, or batches in the wrong order.
    """
    numbers = await parts_by_sku(call, (item.sku for item in items))
    for place, item in enumerate(items):
        if item.sku not in numbers:
            raise unknown_part(f"body.items.{place}.sku", item.sku)
    fields = [f"body.items.{place}" for place in range(len(items))]
    return await _insert(call, [numbers[item.sku] for item in items], items, fields)


async def _insert(call: Call, part_ids: Sequence[int], fits: Sequence[NewFit], fields: Sequence[str]) -> int:
    rows = await rows_of(call, "find_models", {"codes": sorted({fit.model for fit in fits})})
    models = {row["code"]: row["model_id"] for row in rows}
    components = {(row["code"], row["component"]): row["component_id"] for row in rows}
    for fit, place in zip(fits, fields, strict=True):
        if fit.model not in models:
            raise Problem.bad_field(f"{place}.model", f"there is no product model {fit.model}")
        if fit.component is not None and (fit.model, fit.component) not in components:
            raise Problem.bad_field(f"{place}.component", f"{fit.model} has no component {fit.component}")
        wrong = Bounds.of(fit.model_dump()).validity.misfit()
        if wrong is not None:
            raise Problem.bad_field(f"{place}.{wrong}", "is before the first one")
    values: dict[str, Any] = {name: [getattr(fit, name) for fit in fits] for name in _PLAIN}
    values["part_id"] = list(part_ids)
    values["model_id"] = [models[fit.model] for fit in fits]
    values["component_id"] = [components.get((fit.model, fit.component)) if fit.component else None for fit in fits]
    values["revisions"] = [None if fit.revisions is None else Jsonb(fit.revisions) for fit in fits]
    return len(await rows_of(call, "insert_fits", {**values, "actor": call.principal.name, "now": call.now}))


async def drop_fit(call: Call, sku: str, part_fit_id: int) -> None:
    """Take back that a part goes into machines.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    keys = {"part_id": part["part_id"], "part_fit_id": part_fit_id}
    if await (await call.connection.execute(SQL["delete_fit"], keys)).fetchone() is None:
        raise Problem.not_found(f"fit of part {sku}:", part_fit_id)


async def fits_of_part(call: Call, sku: str) -> list[DictRow]:
    """All machines that a part goes into, whoever says so.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    return await rows_of(call, "fits_of_part", {"part_id": part["part_id"], "most": MOST_FITS})


# The question -------------------------------------------------------------------------------------


async def parts_of_machine(call: Call, serial: str, component: str | None) -> dict[str, Any]:
    """Which parts fit a machine, or one of its components.

    Raises:
        Problem: 404 for an unknown machine, or one of somebody else's.
    """
    model_id, code, machine = await _machine(call, serial)
    found = await _fitting(call, model_id, machine, component)
    return {"model": code, "serial": serial, "component": component, "items": await _with_successors(call, found)}


async def parts_of_model(call: Call, code: str, component: str | None) -> dict[str, Any]:
    """Which parts fit some machine of a model; what they depend on is told.

    Raises:
        Problem: 404 for an unknown model.
    """
    rows = await rows_of(call, "find_models", {"codes": [code]})
    if not rows:
        raise Problem.not_found("product model", code)
    found = await _fitting(call, rows[0]["model_id"], Machine(), component)
    return {"model": code, "serial": None, "component": component, "items": await _with_successors(call, found)}


async def fit_of(call: Call, sku: str, serial: str) -> dict[str, Any]:
    """Whether a part fits a machine: by itself, or in the place of one that does.

    Raises:
        Problem: 404 for an unknown part or machine.
    """
    part = await get_part(call, sku)
    model_id, code, machine = await _machine(call, serial)
    found = await _fitting(call, model_id, machine, None)
    own = [fitting for fitting in found if fitting.part_id == part["part_id"]]
    verdicts: list[tuple[Verdict, str]] = [(fitting.verdict, _said(fitting)) for fitting in own]
    if not own:
        instead = await substitutes_of(call, sorted({fitting.part_id for fitting in found}))
        verdicts = [
            (fitting.verdict, f"{fitting.sku} fits, {sku} in its place: {substitute.why}")
            for fitting in found
            for substitute in instead[fitting.part_id]
            if substitute.part_id == part["part_id"]
        ]
    if not verdicts:
        why = f"nothing says that {sku} goes into {code} as {serial} is"
        return {"sku": sku, "serial": serial, "verdict": "no", "why": [why]}
    verdict = rules.best(*(one for one, _ in verdicts))
    return {"sku": sku, "serial": serial, "verdict": verdict, "why": [why for one, why in verdicts if one == verdict]}


def _said(fitting: Fitting) -> str:
    where = "the machine" if fitting.component is None else f"the component {fitting.component}"
    by = ", ".join(source.replace("_", " ") for source in fitting.sources)
    missing = ", ".join(rules.DEPENDS[name] for name in fitting.depends_on)
    return f"goes into {where} (by {by})" + (f", depending on {missing}, which is not known" if missing else "")


async def _machine(call: Call, serial: str) -> tuple[int, str, Machine]:
    row = await (await call.connection.execute(SQL["machine_of_serial"], {"serial": serial})).fetchone()
    if row is None:
        raise Problem.not_found("asset", serial)
    return row["model_id"], row["model"], Machine(row["batch"], row["produced_on"], row["revision"])


async def _fitting(call: Call, model_id: int, machine: Machine, component: str | None) -> list[Fitting]:
    """What goes in, in the order of components and SKUs; each part once for each component."""
    found: dict[tuple[int, str | None], Fitting] = {}
    said = await rows_of(call, "fits_of_model", {"model_id": model_id})
    judged: list[tuple[Mapping[str, Any], Verdict, list[str]]] = [
        (row, *Bounds.of(row).verdict(machine)) for row in said
    ]
    judged += rules.built_in(await rows_of(call, "bom_of_model", {"model_id": model_id}), machine)
    for row, verdict, depends in judged:
        asked = component is None or row["component"] in {None, component}
        # Of a bill of materials what belongs to no component says nothing of one.
        silent = component is not None and row["component"] is None and row["source"] == "bill_of_materials"
        if verdict == "no" or row["part_id"] is None or not asked or silent:
            continue
        _add(found, row, verdict, depends)
    return sorted(found.values(), key=lambda fitting: (fitting.component or "", fitting.sku))


def _add(
    found: dict[tuple[int, str | None], Fitting], row: Mapping[str, Any], verdict: Verdict, depends: list[str]
) -> None:
    key = (row["part_id"], row["component"])
    plain = {name: row[name] for name in ("part_id", "sku", "name", "state", "component", "quantity")}
    fitting = found.setdefault(key, Fitting(**plain, verdict=verdict, depends_on=depends))
    if row["source"] not in fitting.sources:
        fitting.sources.append(row["source"])
    if verdict == "fits" and fitting.verdict != "fits":
        fitting.verdict, fitting.depends_on = verdict, []


async def _with_successors(call: Call, found: Sequence[Fitting]) -> list[dict[str, Any]]:
    old = sorted({fitting.part_id for fitting in found if fitting.state == "superseded"})
    links = await rows_of(call, "links_of_parts", {"part_ids": old}) if old else []
    chains = rules.Chains(rules.Link(link["sku"], link["successor"], link["effective_on"]) for link in links)
    today = call.now.date()
    return [
        {
            **vars(fitting),
            "sure": fitting.verdict == "fits",
            "take": chains.current(fitting.sku, today),
        }
        for fitting in found
    ]
