"""What is done with the lanes between warehouses: the matrix of lead times and freight."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.warehouses.models import LaneMatrix
from api.warehouses.rules import arrives_at, freight_minor
from api.warehouses.service import SQL, get_warehouse, hours_of, lane_between, row, warehouse_of_field


async def put_lanes(call: Call, body: LaneMatrix) -> dict[str, int]:
    """Enter lanes, or change them; those that are not named stay as they are.

    Returns:
        How many were `added`, `changed` and `unchanged`.

    Raises:
        Problem: 422 naming the first lane that is named twice, leads nowhere, or has an unknown end.
    """
    seen: dict[tuple[str, str], int] = {}
    for place, lane in enumerate(body.lanes):
        if lane.origin == lane.to:
            raise Problem.bad_field(f"body.lanes.{place}.to", f"{lane.to} leads to itself; a lane has two ends")
        first = seen.setdefault((lane.origin, lane.to), place)
        if first != place:
            message = f"{lane.origin} to {lane.to} is lane {first} already; give each once"
            raise Problem.bad_field(f"body.lanes.{place}", message)
    columns = body.columns()
    ends = {name: columns[name] for name in ("origins", "destinations")}
    unknown = await row(call, "unknown_codes", ends)
    if unknown is not None:
        field = f"body.lanes.{unknown['place']}.{unknown['field']}"
        raise Problem.bad_field(field, f"there is no warehouse {unknown['code']}; POST /v1/warehouses first")
    written = await row(call, "put_lanes", {**columns, "now": call.now, "by": call.principal.name})
    added, changed = (written["added"], written["changed"]) if written else (0, 0)
    return {"added": added, "changed": changed, "unchanged": len(body.lanes) - added - changed}


async def list_lanes(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Lanes, those from or to a warehouse if wished."""
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_lanes"], wanted, prepare=False)).fetchall()


async def delete_lane(call: Call, origin: str, destination: str) -> None:
    """Take a lane back; the warehouse's transfer days hold again.

    Raises:
        Problem: 404.
    """
    if await row(call, "delete_lane", {"origin": origin, "destination": destination}) is None:
        raise Problem.not_found("lane", f"{origin} to {destination}")


async def arrival(call: Call, origin: str, destination: str, weight_grams: int, shipping_class: str) -> dict[str, Any]:
    """When something sent now would be at another warehouse, and what it would cost.

    Raises:
        Problem: 404; 422 for a destination that is not there, or the same.
    """
    source = await get_warehouse(call, origin)
    target = await warehouse_of_field(call, destination, "query.to", active=False)
    ends = source["warehouse_id"], target["warehouse_id"]
    if ends[0] == ends[1]:
        raise Problem.bad_field("query.to", f"it is in {destination} already")
    lane = await lane_between(call, *ends)
    hours = await hours_of(call, ends)
    return {
        "origin": origin,
        "to": destination,
        "entered": lane.entered,
        "transit_hours": lane.transit_hours,
        "arrives_at": arrives_at(lane, hours[ends[1]], call.now, departs=hours[ends[0]]),
        "freight_minor": freight_minor(lane, weight_grams),
        "currency": lane.currency,
        "allowed": lane.takes(shipping_class),
    }
