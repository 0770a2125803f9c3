"""What is done with parts that have serial numbers, each step with its line in the ledger."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.assets.service import asset_of_field
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import get_part, part_of_field
from api.rotables import rules
from api.rotables.models import End, GiveBack, Install, Issue, NewRotable, Remove, Send, Shelve, TakeBack
from api.rotables.rules import ROTABLE, SET_ASIDE, Step
from api.stock.service import Cause, Entry, Place, post
from api.warehouses.service import require_own, warehouse_by_id, warehouse_of_field
from careloop.database.queries import load_queries

SQL = load_queries("api.rotables")

_NOTHING: Mapping[str, Any] = {
    "ticket_id": None,
    "repairer": "",
    "note": "",
    "fault_found": None,
    "cost_minor": None,
    "currency": None,
    "days_in_machine": None,
}


async def register(call: Call, body: NewRotable) -> DictRow:
    """Note a piece's serial number: where it lies, with its receipt, or which machine it is in.

    Raises:
        Problem: 403 for somebody else's warehouse; 409 when it is known, or there are no more pieces than serial
            numbers; 422 for an unknown part, warehouse or machine, or a part whose pieces have no serial numbers.
    """
    part = await part_of_field(call, body.sku)
    if not part["serialised"]:
        raise Problem.bad_field("body.sku", f"pieces of {body.sku} have no serial numbers; PATCH serialised first")
    values: dict[str, Any] = {**body.model_dump(), "part_id": part["part_id"], "now": call.now}
    values |= {"state": "installed", "warehouse_id": None, "asset_id": None}
    if body.asset is not None:
        values["asset_id"] = (await asset_of_field(call, body.asset, "body.asset"))["asset_id"]
        values["installed_at"] = body.installed_at or call.now
    else:
        warehouse = await _warehouse(call, body.warehouse or "")
        values["warehouse_id"] = warehouse["warehouse_id"]
        values["state"] = "quarantined" if warehouse["kind"] in SET_ASIDE else "in_stock"
    made = await row(call, "insert_rotable", values)
    if made is None:
        raise Problem.conflict("rotable-known", f"there is a {body.sku} with the serial number {body.serial} already")
    values["rotable_id"] = made["rotable_id"]
    moved: list[DictRow] = []
    if body.warehouse is not None and body.arrival == "received":
        entry = Entry(part["part_id"], 1, "receipt", Place("supplier"), Place("free", values["warehouse_id"]))
        moved = await post(call, [entry], Cause.of("rotable", made["rotable_id"]))
    elif body.warehouse is not None:
        await _require_piece(call, body.sku, body.warehouse, values)
    await _note(call, values, action="register", from_state=None, told={}, lines=moved)
    return await get_rotable(call, made["rotable_id"])


async def _warehouse(call: Call, code: str) -> DictRow:
    warehouse = await warehouse_of_field(call, code)
    require_own(call, warehouse)
    return warehouse


async def _require_piece(call: Call, sku: str, warehouse: str, shelf: Mapping[str, Any]) -> None:
    counted = await row(call, "count_on_shelf", shelf) or {"on_hand": 0, "serials": 1}
    if counted["serials"] > counted["on_hand"]:
        detail = f"{warehouse} has {counted['on_hand']} of {sku} on hand, and as many serial numbers; receive it first"
        raise Problem.conflict("no-piece", detail, sku=sku, warehouse=warehouse, on_hand=counted["on_hand"])


async def get_rotable(call: Call, rotable_id: int) -> DictRow:
    """One piece.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_rotable", {"rotable_id": rotable_id})
    if found is None:
        raise Problem.not_found("rotable", rotable_id)
    return found


# Steps of its life --------------------------------------------------------------------------------


async def issue(call: Call, rotable_id: int, body: Issue) -> DictRow:
    """Hand a piece out to a technician.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for an unknown ticket.
    """
    return await _step(
        call, rotable_id, "issue", told=body.model_dump(exclude={"ledger"}), moved=body.ledger == "moved"
    )


async def give_back(call: Call, rotable_id: int, body: GiveBack) -> DictRow:
    """Take a piece back that a technician did not use.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it.
    """
    return await _step(call, rotable_id, "give_back", told={"note": body.note}, moved=body.ledger == "moved")


async def install(call: Call, rotable_id: int, body: Install) -> DictRow:
    """Build a piece into a machine.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for an unknown machine or ticket.
    """
    asset = await asset_of_field(call, body.asset, "body.asset")
    changes = {
        "asset_id": asset["asset_id"],
        "component": body.component,
        "installed_at": body.installed_at or call.now,
        "warehouse_id": None,
    }
    told = {"ticket_id": body.ticket_id, "note": body.note}
    return await _step(call, rotable_id, "install", told=told, changes=changes, moved=body.ledger == "moved")


async def remove(call: Call, rotable_id: int, body: Remove) -> DictRow:
    """Take a piece out of its machine.

    Raises:
        Problem: 404; 409 when it is in none; 422 for an unknown ticket, or a time before it came in.
    """
    found = await _lock(call, rotable_id)
    removed_at = body.removed_at or call.now
    told: dict[str, Any] = {"ticket_id": body.ticket_id, "note": body.reason}
    if found["installed_at"] is not None:
        if removed_at < found["installed_at"]:
            raise Problem.bad_field(
                "body.removed_at", f"is before {found['installed_at'].isoformat()}, when it came in"
            )
        # A piece that nobody had named before was noted just now: since when it was in there, nobody knows.
        if removed_at > found["installed_at"]:
            told["days_in_machine"] = rules.days_between(found["installed_at"], removed_at)
    return await _step(call, rotable_id, "remove", told=told, changes={"condition": body.condition})


async def take_in(call: Call, rotable_id: int, body: Shelve) -> DictRow:
    """Put a piece that came out of a machine into a quarantine or a repair centre.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for a warehouse of another kind.
    """
    return await _shelve(call, rotable_id, "take_in", body, aside=True)


async def find(call: Call, rotable_id: int, body: Shelve) -> DictRow:
    """Put a piece that was lost and is found into a quarantine or a repair centre.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for a warehouse of another kind.
    """
    return await _shelve(call, rotable_id, "find", body, aside=True)


async def release(call: Call, rotable_id: int, body: Shelve) -> DictRow:
    """Make a piece stock again that nothing is wrong with.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for a quarantine or a repair centre.
    """
    return await _shelve(call, rotable_id, "release", body, aside=False)


async def _shelve(call: Call, rotable_id: int, action: str, body: Shelve, *, aside: bool) -> DictRow:
    warehouse = await _warehouse(call, body.warehouse)
    _require_kind(warehouse, aside=aside)
    changes = {"warehouse_id": warehouse["warehouse_id"], "asset_id": None, "component": None, "installed_at": None}
    if body.condition:
        changes["condition"] = body.condition
    told = {"ticket_id": body.ticket_id, "note": body.note}
    return await _step(call, rotable_id, action, told=told, changes=changes, moved=body.ledger == "moved")


def _require_kind(warehouse: DictRow, *, aside: bool) -> None:
    if (warehouse["kind"] in SET_ASIDE) != aside:
        wanted = "a quarantine or a repair centre" if aside else "no quarantine and no repair centre"
        said = f"{warehouse['code']} is a {warehouse['kind'].replace('_', ' ')}; name {wanted}"
        raise Problem.bad_field("body.warehouse", said)


async def relocate(call: Call, rotable_id: int, body: Shelve) -> DictRow:
    """Note that a piece has travelled to another warehouse; a transfer has moved it in the ledger.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it, or the ledger knows of no piece there; 422 for the same
            warehouse, or another kind of it.
    """
    found = await _lock(call, rotable_id)
    warehouse = await _warehouse(call, body.warehouse)
    _require_kind(warehouse, aside=found["state"] == "quarantined")
    if warehouse["warehouse_id"] == found["warehouse_id"]:
        raise Problem.bad_field("body.warehouse", f"it is in {body.warehouse} already")
    changes = {"warehouse_id": warehouse["warehouse_id"]}
    told = {"ticket_id": body.ticket_id, "note": body.note}
    after = await _step(call, rotable_id, "relocate", told=told, changes=changes, moved=True)
    await _require_piece(call, after["sku"], body.warehouse, {**found, **changes})
    return after


async def send(call: Call, rotable_id: int, body: Send) -> DictRow:
    """Send a piece out to be repaired.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it, or the part is not repaired.
    """
    found = await _lock(call, rotable_id)
    if not found["rotable"]:
        raise Problem.conflict("not-rotable", f"{found['sku']} is not repaired; PATCH the part to rotable, or scrap it")
    return await _step(call, rotable_id, "send", told=body.model_dump())


async def take_back(call: Call, rotable_id: int, body: TakeBack) -> DictRow:
    """Take a piece back from repair into a warehouse.

    Raises:
        Problem: 403; 404; 409 when it is not out at repair; 422 for a quarantine or a repair centre.
    """
    found = await _lock(call, rotable_id)
    warehouse = await _warehouse(call, body.warehouse)
    _require_kind(warehouse, aside=False)
    repairs = found["repairs"] + (1 if body.fault_found else 0)
    changes = {"warehouse_id": warehouse["warehouse_id"], "condition": body.condition, "repairs": repairs}
    told = body.model_dump(include={"fault_found", "cost_minor", "currency", "note"})
    return await _step(call, rotable_id, "take_back", told=told, changes=changes)


async def end(call: Call, rotable_id: int, action: str, body: End) -> DictRow:
    """Scrap or lose a piece, wherever it is.

    Raises:
        Problem: 403; 404; 409 when its state does not allow it; 422 for an unknown ticket.
    """
    told = {"ticket_id": body.ticket_id, "note": body.reason}
    return await _step(call, rotable_id, action, told=told)


async def _lock(call: Call, rotable_id: int, *, fitting: bool = False) -> DictRow:
    found = await row(call, "lock_rotable", {"rotable_id": rotable_id})
    if found is None:
        raise Problem.not_found("rotable", rotable_id)
    # What a technician has in hand may be the house's.
    if found["warehouse_id"] is not None and not (fitting and found["state"] == "issued"):
        require_own(call, await warehouse_by_id(call, found["warehouse_id"]))
    return found


async def _step(
    call: Call,
    rotable_id: int,
    action: str,
    *,
    told: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    moved: bool = False,
) -> DictRow:
    """Move a piece to its next state, in the ledger too, and note it in its history.

    Args:
        call: Whose transaction holds it.
        rotable_id: The piece.
        action: Of the state machine.
        told: For its history.
        changes: Of its row, besides the state.
        moved: The ledger has moved it already.
    """
    found = await _lock(call, rotable_id, fitting=action == "install")
    state = ROTABLE.require(f"{found['sku']} {found['serial']}", found["state"], action)
    ticket_id = told.get("ticket_id")
    if ticket_id is not None and await row(call, "find_ticket", {"ticket_id": ticket_id}) is None:
        raise Problem.bad_field("body.ticket_id", f"there is no ticket {ticket_id}")
    after = {**found, **(changes or {}), "state": state}
    step = Step(action, found["state"], state, found["warehouse_id"], after["warehouse_id"])
    lines: list[DictRow] = []
    entries = [] if moved else rules.entries(found["part_id"], step)
    if entries:
        # Whose warehouses these are has been judged.
        async with call.unscoped():
            lines = await post(call, entries, Cause.of("rotable", rotable_id), ticket_id=ticket_id)
    await call.connection.execute(SQL["move_rotable"], after)
    await _note(call, after, action=action, from_state=found["state"], told=told, lines=lines)
    return await get_rotable(call, rotable_id)


async def _note(
    call: Call,
    after: Mapping[str, Any],
    *,
    action: str,
    from_state: str | None,
    told: Mapping[str, Any],
    lines: list[DictRow],
) -> None:
    values = {
        **_NOTHING,
        **told,
        **{name: after[name] for name in ("rotable_id", "warehouse_id", "asset_id", "component")},
        "action": action,
        "from_state": from_state,
        "to_state": after["state"],
        "movement_ids": [line["movement_id"] for line in lines],
        "actor": call.principal.name,
        "now": call.now,
    }
    await call.connection.execute(SQL["insert_event"], values)


# Questions ----------------------------------------------------------------------------------------


async def reliability(call: Call, sku: str) -> dict[str, Any]:
    """How the pieces of a part do.

    Raises:
        Problem: 404 for an unknown part.
    """
    part = await get_part(call, sku)
    nothing = dict.fromkeys(("pieces", "in_machines", "removals", "repairs", "no_fault_found", "scrapped"), 0)
    found = await row(call, "reliability", part) or {**nothing, "sku": sku, "mean_days_in_machine": None}
    costs = await rows(call, "repair_costs", part)
    return {**found, "repair_costs_minor": {cost["currency"]: cost["cost_minor"] for cost in costs}}


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """All rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()
