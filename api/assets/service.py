"""What is done with product models and assets."""

from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.assets.models import AssetChange, NewAsset, NewProductModel, NewWarrantyTerm
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.assets")


async def create_model(call: Call, body: NewProductModel) -> DictRow:
    """Add a product model.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown part or a metric known in another unit.
    """
    given = body.model_dump(include={"code", "name", "kind", "manufacturer", "horizon_hours"})
    row = await (await call.connection.execute(SQL["insert_model"], given)).fetchone()
    if row is None:
        raise Problem.conflict("code-taken", f"there is a product model {body.code} already")
    model_id = row["model_id"]
    for index, metric in enumerate(body.metrics):
        known = await (await call.connection.execute(SQL["upsert_metric"], metric.model_dump())).fetchone()
        if known is not None and known["unit"] != metric.unit:
            message = f"the metric {metric.name} is kept in {known['unit']!r}, not {metric.unit!r}"
            raise Problem.bad_field(f"body.metrics.{index}.unit", message)
        await call.connection.execute(SQL["insert_model_metric"], {"model_id": model_id, "name": metric.name})
    for index, component in enumerate(body.components):
        part_id = await _part_id(call, component.sku, f"body.components.{index}.sku")
        values = {**component.model_dump(exclude={"sku"}), "model_id": model_id, "part_id": part_id}
        await call.connection.execute(SQL["insert_component"], values)
    return await get_model(call, body.code)


async def _part_id(call: Call, sku: str | None, field: str) -> int | None:
    if sku is None:
        return None
    row = await (await call.connection.execute(SQL["find_part"], {"sku": sku})).fetchone()
    if row is None:
        raise Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")
    return int(row["part_id"])


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


async def create_asset(call: Call, body: NewAsset) -> DictRow:
    """Register an asset with its warranty terms.

    Raises:
        Problem: 409 when the serial number is taken; 422 for an unknown model or site.
    """
    await _require(call, "model_exists", "body.model", model=body.model)
    if body.site_id is not None:
        await _require(call, "site_exists", "body.site_id", site_id=body.site_id)
    values = {**body.model_dump(exclude={"warranty_terms"}), "attributes": Jsonb(body.attributes), "now": call.now}
    row = await (await call.connection.execute(SQL["insert_asset"], values)).fetchone()
    if row is None:
        raise Problem.conflict("serial-taken", f"there is an asset {body.serial} already")
    for term in body.warranty_terms:
        await add_term(call, row["asset_id"], term)
    return await get_asset(call, body.serial)


async def add_term(call: Call, asset_id: int, term: NewWarrantyTerm) -> int:
    """Add a warranty term to an asset and return its number.

    Raises:
        Problem: 409 when a term of that name starts that day already.
    """
    values = {**term.model_dump(), "asset_id": asset_id}
    row = await (await call.connection.execute(SQL["insert_term"], values)).fetchone()
    if row is None:
        raise Problem.conflict("term-taken", f"a term {term.name} starting {term.starts_on} is there already")
    return int(row["term_id"])


async def get_asset(call: Call, serial: str) -> DictRow:
    """One asset.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_asset"], {"serial": serial})).fetchone()
    if row is None:
        raise Problem.not_found("asset", serial)
    return row


async def asset_of_field(call: Call, serial: str, field: str = "body.serial") -> DictRow:
    """The asset that a field of a body names.

    Raises:
        Problem: 422 naming the field.
    """
    row = await (await call.connection.execute(SQL["get_asset"], {"serial": serial})).fetchone()
    if row is None:
        raise Problem.bad_field(field, f"there is no asset {serial}; POST /v1/assets first")
    return row


async def change_asset(call: Call, serial: str, change: AssetChange, version: int) -> DictRow:
    """Change an asset that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile, 422 for an unknown site.
    """
    await get_asset(call, serial)
    set_site = "site_id" in change.model_fields_set
    if set_site and change.site_id is not None:
        await _require(call, "site_exists", "body.site_id", site_id=change.site_id)
    values = {
        "serial": serial,
        "version": version,
        "set_site": set_site,
        "site_id": change.site_id,
        "state": change.state,
        "now": call.now,
        "attributes": None if change.attributes is None else Jsonb(change.attributes),
    }
    if await (await call.connection.execute(SQL["change_asset"], values)).fetchone() is None:
        raise changed_meanwhile("asset", version)
    return await get_asset(call, serial)


async def _require(call: Call, query: str, field: str, **key: Any) -> None:
    if await (await call.connection.execute(SQL[query], key)).fetchone() is None:
        (name, value), *_ = key.items()
        raise Problem.bad_field(field, f"there is no {name.removesuffix('_id')} {value}")


async def _one(call: Call, query: str, values: dict[str, Any]) -> DictRow:
    row = await (await call.connection.execute(SQL[query], values)).fetchone()
    if row is None:
        raise LookupError(f"{query} returned no row")
    return row
