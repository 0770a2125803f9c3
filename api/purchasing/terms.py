"""What suppliers deliver on which terms."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.purchasing.models import TermsList
from api.purchasing.repository import row, rows


async def put_terms(call: Call, code: str, body: TermsList) -> dict[str, int]:
    """Take a supplier's price list, or a part of it; parts that are not named stay as they are.

    Returns:
        How many were `added`, `changed` and `unchanged`.

    Raises:
        Problem: 404; 422 naming the first unknown part.
    """
    supplier = await row(call, "get_supplier", {"code": code})
    if supplier is None:
        raise Problem.not_found("supplier", code)
    columns = {
        "supplier_id": supplier["supplier_id"],
        "skus": [item.sku for item in body.items],
        "supplier_skus": [item.supplier_sku for item in body.items],
        "prices": [item.price_minor for item in body.items],
        "currencies": [item.currency for item in body.items],
        "lead_times": [item.lead_time_days for item in body.items],
        "minimums": [item.minimum_quantity for item in body.items],
        "packs": [item.pack_size for item in body.items],
        "tolerances": [item.over_delivery_percent for item in body.items],
        "places": [item.place for item in body.items],
        "actives": [item.active for item in body.items],
    }
    unknown = await row(call, "unknown_skus", columns)
    if unknown is not None:
        raise Problem.bad_field(f"body.items.{unknown['place']}.sku", f"there is no part {unknown['sku']}")
    written = await row(call, "put_terms", columns)
    added, changed = (written["added"], written["changed"]) if written else (0, 0)
    return {"added": added, "changed": changed, "unchanged": len(body.items) - added - changed}


async def list_terms(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Terms that fit, in ascending order of their number."""
    return await rows(call, "list_supplier_parts", wanted)
