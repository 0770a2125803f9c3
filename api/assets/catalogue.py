"""What is done with product models and their bills of materials."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.assets import rules
from api.assets.models import Component, Metric, NewBillOfMaterials, NewBomItem, NewProductModel, ProductModelChange
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.assets")

_BOUNDS = ("from_batch", "until_batch", "from_date", "until_date")


async def create_model(call: Call, body: NewProductModel) -> DictRow:
    """Add a product model.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown part or a metric known in another unit.
    """
    given = body.model_dump(include={"code", "name", "kind", "manufacturer", "horizon_hours"})
    row = await (await call.connection.execute(SQL["insert_model"], given)).fetchone()
    if row is None:
        raise Problem.conflict("code-taken", f"there is a product model {body.code} already")
    await _put(call, row["model_id"], body.metrics, body.components)
    return await get_model(call, body.code)


async def change_model(call: Call, code: str, change: ProductModelChange, version: int) -> DictRow:
    """Change a product model that is still at the version seen.

    Raises:
        Problem: 404; 412 when it changed meanwhile; 422 for an unknown part or a metric known in another unit.
    """
    model = await _lock(call, code, version)
    given = change.model_dump(include={"name", "manufacturer", "horizon_hours"}, exclude_unset=True)
    await call.connection.execute(SQL["change_model"], {**model, **given})
    await _put(call, model["model_id"], change.metrics, change.components)
    return await get_model(call, code)


async def _lock(call: Call, code: str, version: int) -> DictRow:
    model = await (await call.connection.execute(SQL["lock_model"], {"code": code})).fetchone()
    if model is None:
        raise Problem.not_found("product model", code)
    if model["version"] != version:
        raise changed_meanwhile("product model", version)
    return model


async def _put(call: Call, model_id: int, metrics: Sequence[Metric], components: Sequence[Component]) -> None:
    for index, metric in enumerate(metrics):
        known = await (await call.connection.execute(SQL["upsert_metric"], metric.model_dump())).fetchone()
        if known is not None and known["unit"] != metric.unit:
            message = f"the metric {metric.name} is kept in {known['unit']!r}, not {metric.unit!r}"
            raise Problem.bad_field(f"body.metrics.{index}.unit", message)
        await call.connection.execute(SQL["insert_model_metric"], {"model_id": model_id, "name": metric.name})
    parts = await _parts(call, (component.sku for component in components))
    for index, component in enumerate(components):
        if component.sku is not None and component.sku not in parts:
            raise _unknown_part(f"body.components.{index}.sku", component.sku)
        part_id = None if component.sku is None else parts[component.sku]
        values = {**component.model_dump(exclude={"sku"}), "model_id": model_id, "part_id": part_id}
        await call.connection.execute(SQL["put_component"], values)


async def _parts(call: Call, skus: Iterable[str | None]) -> dict[str, int]:
    wanted = sorted({sku for sku in skus if sku is not None})
    if not wanted:
        return {}
    rows = await (await call.connection.execute(SQL["find_parts"], {"skus": wanted})).fetchall()
    return {row["sku"]: row["part_id"] for row in rows}


def _unknown_part(field: str, sku: str) -> Problem:
    return Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")


async def get_model(call: Call, code: str) -> DictRow:
    """One product model.

    Raises:
        Problem: 404.
    """
    parameters = {"after_id": 0, "fetch": 1, "code": code}
    row = await (await call.connection.execute(SQL["list_models"], parameters)).fetchone()
    if row is None:
        raise Problem.not_found("product model", code)
    return row


# Bill of materials ------------------------------------------------------------------------------


async def get_bom(call: Call, code: str, batch: str | None, produced_on: Any) -> dict[str, Any]:
    """What a model is made of; with a batch or a day of production, only what is built into those machines.

    Raises:
        Problem: 404.
    """
    model = await get_model(call, code)
    rows = await (await call.connection.execute(SQL["list_bom"], {"model_id": model["model_id"]})).fetchall()
    built_in = [row for row in rows if rules.Validity(*(row[bound] for bound in _BOUNDS)).holds(batch, produced_on)]
    return {
        "model": code,
        "version": model["version"],
        "batch": batch,
        "produced_on": produced_on,
        "items": rules.tree(built_in),
    }


async def put_bom(call: Call, code: str, body: NewBillOfMaterials, version: int) -> dict[str, Any]:
    """Let a bill of materials take the place of the one before, in a model that is still at the version seen.

    Raises:
        Problem: 404; 412 when the model changed meanwhile; 422 for an unknown part or component, two items at one
            position in the same machines, or too many or too deeply nested items.
    """
    model = await _lock(call, code, version)
    if rules.depth_of(body.items) > rules.DEEPEST_BOM:
        raise Problem.bad_field("body.items", f"is nested more than {rules.DEEPEST_BOM} deep")
    levels = _levels(body.items)
    await _judge(call, model["model_id"], levels)
    await call.connection.execute(SQL["delete_bom"], model)
    numbers: list[int | None] = [None]
    for level in levels:
        numbers = await _insert_level(call, model["model_id"], level, numbers)
    await call.connection.execute(SQL["change_model"], model)
    return await get_bom(call, code, None, None)


# An item with the place of its assembly in the level above, and the field that it stands in.
_Placed = tuple[NewBomItem, int, str]


def _levels(items: Sequence[NewBomItem]) -> list[list[_Placed]]:
    """The tree level by level.

    Raises:
        Problem: 422 when there are too many items.
    """
    level: list[_Placed] = [(item, 0, f"body.items.{index}") for index, item in enumerate(items)]
    levels: list[list[_Placed]] = []
    total = 0
    while level:
        levels.append(level)
        total += len(level)
        if total > rules.MOST_BOM_ITEMS:
            raise Problem.bad_field("body.items", f"has more than {rules.MOST_BOM_ITEMS} items in all")
        level = [
            (inner, place, f"{field}.items.{index}")
            for place, (item, _, field) in enumerate(level)
            for index, inner in enumerate(item.items)
        ]
    return levels


async def _judge(call: Call, model_id: int, levels: Sequence[Sequence[_Placed]]) -> None:
    every = [placed for level in levels for placed in level]
    parts = await _parts(call, (item.sku for item, _, _ in every))
    rows = await (await call.connection.execute(SQL["components_of_model"], {"model_id": model_id})).fetchall()
    components = {row["name"] for row in rows}
    for item, _, field in every:
        if item.sku is not None and item.sku not in parts:
            raise _unknown_part(f"{field}.sku", item.sku)
        if item.component is not None and item.component not in components:
            raise Problem.bad_field(f"{field}.component", f"the model has no component {item.component}")
    for level in levels:
        assemblies: dict[int, list[_Placed]] = {}
        for placed in level:
            assemblies.setdefault(placed[1], []).append(placed)
        for siblings in assemblies.values():
            spans = [(item.position, rules.Validity(*(getattr(item, b) for b in _BOUNDS))) for item, _, _ in siblings]
            for index, why in rules.misfits_of_siblings(spans):
                raise Problem.bad_field(f"{siblings[index][2]}.position", why)


async def _insert_level(
    call: Call, model_id: int, level: Sequence[_Placed], parents: Sequence[int | None]
) -> list[int | None]:
    names = ("position", "name", "sku", "component", "quantity", *_BOUNDS)
    columns: dict[str, Any] = {name: [getattr(item, name) for item, _, _ in level] for name in names}
    values = {**columns, "model_id": model_id, "parent_id": [parents[place] for _, place, _ in level]}
    rows = await (await call.connection.execute(SQL["insert_bom_items"], values)).fetchall()
    # Numbers are given in the order of insertion.
    return sorted(row["bom_item_id"] for row in rows)
