"""What is done with warehouses, and what other rooms ask of them."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.providers.service import provider_of_field
from api.sla.hours import ALWAYS_OPEN, Calendar, Spans
from api.sla.service import spans_of
from api.warehouses.models import NewWarehouse, WarehouseChange
from api.warehouses.rules import HouseDays, Lane, unentered_lane
from careloop.database.queries import load_queries

SQL = load_queries("api.warehouses")

EARLIEST_DAY = date(1, 1, 2)


async def create_warehouse(call: Call, body: NewWarehouse) -> DictRow:
    """Add a warehouse.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown partner or technician, or one who works for another.
    """
    owner = await _owner(call, body.provider_id, body.technician_id)
    made = await row(call, "insert_warehouse", {**body.model_dump(), "provider_id": owner})
    if made is None:
        raise Problem.conflict("code-taken", f"there is a warehouse {body.code} already")
    return made


async def _owner(call: Call, provider_id: int | None, technician_id: int | None) -> int | None:
    """The partner whose a warehouse is: the one given, else the one whose technician drives it."""
    if provider_id is not None:
        await provider_of_field(call, provider_id, "body.provider_id")
    if technician_id is None:
        return provider_id
    technician = await row(call, "get_technician", {"technician_id": technician_id})
    if technician is None or not technician["active"]:
        wrong = "there is no" if technician is None else "nothing is given to the inactive"
        raise Problem.bad_field("body.technician_id", f"{wrong} technician {technician_id}")
    works_for: int | None = technician["provider_id"]
    if provider_id not in (None, works_for):
        message = f"technician {technician_id} does not work for provider {provider_id}; leave provider_id out"
        raise Problem.bad_field("body.provider_id", message)
    return works_for


async def get_warehouse(call: Call, code: str) -> DictRow:
    """One warehouse.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_warehouse", {"code": code})
    if found is None:
        raise Problem.not_found("warehouse", code)
    return found


async def warehouse_by_id(call: Call, warehouse_id: int) -> DictRow:
    """One warehouse by its number, which is known to be one.

    Raises:
        Problem: 404, for a caller who does not see it.
    """
    found = await row(call, "get_warehouse_by_id", {"warehouse_id": warehouse_id})
    if found is None:
        raise Problem.not_found("warehouse", warehouse_id)
    return found


async def warehouse_of_field(call: Call, code: str, field: str = "body.warehouse", *, active: bool = True) -> DictRow:
    """The warehouse that a field of a body names.

    Args:
        call: Who asks.
        code: Its code.
        field: For the problem's words.
        active: Whether one that is out of use is refused.

    Raises:
        Problem: 422 naming the field.
    """
    found = await row(call, "get_warehouse", {"code": code})
    if found is None:
        raise Problem.bad_field(field, f"there is no warehouse {code}; POST /v1/warehouses first")
    if active and not found["active"]:
        raise Problem.bad_field(field, f"the warehouse {code} is inactive; PATCH it to active, or choose another")
    return found


async def change_warehouse(call: Call, code: str, change: WarehouseChange, version: int) -> DictRow:
    """Change a warehouse that is still at the version seen.

    Raises:
        Problem: 404; 409 when it is to be closed, or given to another, while pieces are in it; 412; 422.
    """
    seen = await row(call, "lock_warehouse", {"code": code})
    if seen is None:
        raise Problem.not_found("warehouse", code)
    if seen["version"] != version:
        raise changed_meanwhile("warehouse", version)
    values = {**seen, **change.model_dump(include=change.model_fields_set)}
    if change.technician_id is not None and seen["kind"] != "van":
        raise Problem.bad_field("body.technician_id", f"{code} is no van; only a van is a technician's")
    if change.model_fields_set & {"provider_id", "technician_id"}:
        # A new driver brings his own partner; a new partner must be the driver's.
        owner = None if "provider_id" not in change.model_fields_set and change.technician_id else values["provider_id"]
        values["provider_id"] = await _owner(call, owner, values["technician_id"])
    await _require_empty(call, seen, values)
    changed = await row(call, "change_warehouse", values)
    assert changed is not None  # noqa: S101 - locked above
    return changed


async def _require_empty(call: Call, seen: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    closing = seen["active"] and not values["active"]
    if not closing and values["provider_id"] == seen["provider_id"]:
        return
    async with call.unscoped():
        found = await row(call, "pieces_of_warehouse", seen)
    pieces = found["pieces"] if found else 0
    if pieces:
        what = "closed" if closing else "given to another"
        detail = f"{pieces} pieces are in {seen['code']} or on their way there; transfer them away before it is {what}"
        raise Problem.conflict("warehouse-not-empty", detail, pieces=pieces)


def require_own(call: Call, warehouse: Mapping[str, Any]) -> None:
    """Refuse a partner who acts in a warehouse that is not its own, though it may see it.

    Raises:
        Problem: 403.
    """
    if call.principal.scoped and warehouse["provider_id"] != call.principal.provider_id:
        detail = f"the warehouse {warehouse['code']} is not yours; ask the desk to do it"
        raise Problem(403, "not-yours", detail)


async def quarantine_for(call: Call, warehouse_id: int) -> DictRow | None:
    """Where what came into a warehouse damaged is put; None where there is no quarantine."""
    async with call.unscoped():
        return await row(call, "quarantine_for", {"warehouse_id": warehouse_id})


# What an arrival depends on ---------------------------------------------------------------------


async def lanes_to(call: Call, to_warehouse_id: int, from_warehouse_ids: Iterable[int]) -> dict[int, Lane]:
    """The ways to a warehouse, by where they begin; where no lane is entered, the transfer days of there hold."""
    wanted = {"to_warehouse_id": to_warehouse_id, "from_warehouse_ids": list(from_warehouse_ids)}
    rows = await (await call.connection.execute(SQL["lanes_between"], wanted)).fetchall()
    return {found["from_warehouse_id"]: _lane(found) for found in rows}


async def lane_between(call: Call, from_warehouse_id: int, to_warehouse_id: int) -> Lane:
    """The way from one warehouse to another, entered or not."""
    async with call.unscoped():
        lanes = await lanes_to(call, to_warehouse_id, [from_warehouse_id])
    return lanes[from_warehouse_id]


def _lane(found: Mapping[str, Any]) -> Lane:
    ends = found["from_warehouse_id"], found["to_warehouse_id"]
    if found["transit_hours"] is None:
        return unentered_lane(*ends, found["transfer_days"])
    return Lane(
        *ends,
        found["transit_hours"],
        found["freight_base_minor"],
        found["freight_kg_minor"],
        found["currency"],
        frozenset(found["shipping_classes"]),
    )


async def hours_of(call: Call, warehouse_ids: Iterable[int]) -> dict[int, Calendar]:
    """When warehouses are open from yesterday on, by their numbers; those that have said nothing always are."""
    since = max(call.now.date(), EARLIEST_DAY) - timedelta(days=1)
    wanted = {"warehouse_ids": list(warehouse_ids), "since": since}
    async with call.unscoped():
        rows = await (await call.connection.execute(SQL["opening_hours"], wanted)).fetchall()
    return {found["warehouse_id"]: _calendar(found) for found in rows}


def _calendar(found: Mapping[str, Any]) -> Calendar:
    if found["week"] is None and found["own_days"] is None and found["time_zone"] == "UTC":
        return ALWAYS_OPEN
    week = ALWAYS_OPEN.week if found["week"] is None else tuple(map(spans_of, found["week"]))
    days = HouseDays(_days(found["calendar_days"]), _days(found["own_days"]))
    return Calendar(ZoneInfo(found["time_zone"]), week, days.all)


def _days(stored: Mapping[str, list[list[int]]] | None) -> dict[date, Spans]:
    return {date.fromisoformat(day): spans_of(spans) for day, spans in (stored or {}).items()}


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()
