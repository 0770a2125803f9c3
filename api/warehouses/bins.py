"""What is done with bins, and with what lies in them."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.warehouses.models import BinNote, Placings
from api.warehouses.service import SQL, get_warehouse, require_own, row


async def _own(call: Call, code: str) -> DictRow:
    warehouse = await get_warehouse(call, code)
    require_own(call, warehouse)
    return warehouse


async def put_bin(call: Call, code: str, bin_code: str, body: BinNote) -> DictRow:
    """Make a bin, or write down what one should know of it.

    Raises:
        Problem: 403 in a warehouse of somebody else, 404.
    """
    warehouse = await _own(call, code)
    values = {"warehouse_id": warehouse["warehouse_id"], "code": bin_code, "note": body.note}
    made = await row(call, "put_bin", values)
    assert made is not None  # noqa: S101 - INSERT … DO UPDATE RETURNING gives a row
    return made


async def delete_bin(call: Call, code: str, bin_code: str) -> None:
    """Take a bin away.

    Raises:
        Problem: 403, 404; 409 when a part has it.
    """
    key = {"warehouse_id": (await _own(call, code))["warehouse_id"], "code": bin_code}
    if await row(call, "delete_bin", key) is not None:
        return
    if await row(call, "get_bin", key) is None:
        raise Problem.not_found("bin", bin_code)
    raise Problem.conflict("bin-in-use", f"parts have the bin {bin_code}; give them another one first")


async def place(call: Call, code: str, body: Placings) -> dict[str, int]:
    """Say which bins parts lie in; bins that are not there yet are made.

    Raises:
        Problem: 403, 404; 422 naming the first unknown part.
    """
    warehouse = await _own(call, code)
    values = {
        "warehouse_id": warehouse["warehouse_id"],
        "skus": [item.sku for item in body.items],
        "bins": [item.bin for item in body.items],
    }
    unknown = await row(call, "unknown_skus", values)
    if unknown is not None:
        raise Problem.bad_field(f"body.items.{unknown['place']}.sku", f"there is no part {unknown['sku']}")
    made = await call.connection.execute(SQL["make_bins"], values)
    await call.connection.execute(SQL["make_shelves"], values)
    placed = await call.connection.execute(SQL["place_parts"], values)
    return {"placed": placed.rowcount, "bins_made": made.rowcount}


async def list_contents(call: Call, code: str, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Parts that have a bin in a warehouse.

    Raises:
        Problem: 404.
    """
    warehouse = await get_warehouse(call, code)
    values = {**wanted, "warehouse_id": warehouse["warehouse_id"]}
    return await (await call.connection.execute(SQL["list_bin_contents"], values, prepare=False)).fetchall()


async def list_bins(call: Call, code: str, page: Mapping[str, Any]) -> list[DictRow]:
    """Bins of a warehouse by their code.

    Raises:
        Problem: 404.
    """
    warehouse = await get_warehouse(call, code)
    values = {**page, "warehouse_id": warehouse["warehouse_id"]}
    return await (await call.connection.execute(SQL["list_bins"], values)).fetchall()
