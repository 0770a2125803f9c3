"""What is done with old parts: expected, received, scrapped, written off; and when they are overdue.

Locks are taken in the order slip, tickets, old parts by their number, accounts.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from api.returns import rules
from api.returns.rotating import exchange
from api.returns.rules import OLD_PART_MACHINE, OWED, State
from api.tickets.repository import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.returns")

_ONE = SQL["old_part_rows"] + "\n" + SQL["one_old_part"]
_PAGE = SQL["old_part_rows"] + "\n" + SQL["list_old_parts"]

BATCH = 500
# What a filter stands for, where it is not one state.
_STATES: Mapping[str, tuple[State, ...]] = {
    "to_return": OWED,
    "received": ("received", "inspected", "at_repair"),
    "overdue": OWED,
}


# Expectations ---------------------------------------------------------------------------------------


async def follow(call: Call, visit_id: int, visit_part_id: int | None = None) -> None:
    """Let old parts follow what the technician says while the visit goes on; the rules decide at its end.

    Args:
        call: Whose transaction holds it.
        visit_id: The visit.
        visit_part_id: The used part; all of the visit if None.
    """
    key = {"visit_id": visit_id, "visit_part_id": visit_part_id}
    async with call.unscoped():
        for used in await rows(call, SQL["used_parts"], key):
            if used["told"] == "return_to_maker":
                reason = "the technician said that it goes back to its maker"
                plain = {"bearer": None, "fate": "return", "reason": reason, "evidence": False, "due_by": None}
                await call.connection.execute(SQL["put_old_part"], {**used, **plain})
            else:
                await call.connection.execute(SQL["drop_old_part"], used)


async def require_with_technician(call: Call, visit_part_id: int) -> None:
    """Refuse to tell otherwise of an old part that has left its technician.

    Raises:
        Problem: 409.
    """
    async with call.unscoped():
        there = await row(call, SQL["state_of_old_part"], {"visit_part_id": visit_part_id})
    if there is not None and there["received_at"] is not None:
        raise Problem.conflict("old-part-received", f"the old part {visit_part_id} has been received already")
    if there is not None and there["state"] != "expected":
        detail = f"the old part {visit_part_id} is {there['state']}; take it out of its return slip first"
        raise Problem.conflict("old-part-state", detail, state=there["state"])


async def expect(call: Call, visit_id: int, borne: Mapping[int, Mapping[str, Any]]) -> list[DictRow]:
    """Expect the old parts of a completed visit, each by the rule that fits it.

    Args:
        call: Whose transaction completes the visit.
        visit_id: The visit.
        borne: `bearer` and `quantity` of each part that was used and not brought back, by its number.

    Returns:
        The old parts that are owed or were scrapped.
    """
    made: list[DictRow] = []
    async with call.unscoped():
        found = await rows(call, SQL["used_parts"], {"visit_id": visit_id, "visit_part_id": None})
        part_ids = [used["part_id"] for used in found]
        in_force = [rules.Rule(**row) for row in await rows(call, SQL["rules_in_force"], {"part_ids": part_ids})]
        for used in found:
            number = used["visit_part_id"]
            bearing = borne.get(number)
            if bearing is not None:
                await exchange(call, used)
            expected = None if bearing is None else rules.expectation_of(_used(used, bearing["bearer"]), in_force)
            if bearing is None or expected is None or expected.fate == "none":
                await call.connection.execute(SQL["drop_old_part"], used)
                continue
            values = {
                **used,
                "quantity": bearing["quantity"],
                "bearer": bearing["bearer"],
                "fate": expected.fate,
                "reason": expected.reason,
                "evidence": expected.evidence,
                "due_by": rules.due_at(call.now, expected.due_days),
            }
            kept = await row(call, SQL["put_old_part"], values)
            if kept is not None and expected.fate == "scrap_on_site" and kept["state"] == "expected":
                await _scrap_at_once(call, number, expected, str(used["told"]))
            made.append(await get_old_part(call, number))
    return made


def _used(used: Mapping[str, Any], bearer: rules.Bearer) -> rules.Used:
    names = ("part_id", "model_id", "manufacturer", "rotable", "old_part_rule", "told")
    return rules.Used(**{name: used[name] for name in names}, bearer=bearer)


async def _scrap_at_once(call: Call, old_part_id: int, expected: rules.Expectation, told: str) -> None:
    """What nobody wants to see is scrapped with the visit."""
    if not expected.evidence:
        state = OLD_PART_MACHINE.require(old_part_id, "expected", "scrap")
        note = f"on site, without evidence wanted; the technician said {told.replace('_', ' ')}"
        await move(call, old_part_id, state, ended_note=note)


async def forgo(call: Call, left: Mapping[int, int], visit_id: int) -> None:
    """Expect fewer old parts, or none: pieces of what was built in were brought back unused by a later visit."""
    async with call.unscoped():
        for number in sorted(left):
            part = await row(call, SQL["lock_old_parts"], {"old_part_ids": [number]})
            if part is None or part["state"] != "expected":
                continue
            if left[number] <= part["quantity_received"]:
                state = OLD_PART_MACHINE.require(number, part["state"], "waive")
                await move(call, number, state, ended_note=f"brought back unused on visit {visit_id}")
            else:
                await call.connection.execute(SQL["lessen_old_part"], {"old_part_id": number, "left": left[number]})


# Reading --------------------------------------------------------------------------------------------


async def list_old_parts(call: Call, wanted: Mapping[str, Any], state: str | None) -> list[DictRow]:
    """Old parts in ascending order of their number; a partner's people see their own.

    Args:
        call: Whose connection is used.
        wanted: `provider_id`, `visit_id`, `ticket_id` (None: any), `after_id`, `fetch`.
        state: A state, or what stands for several (`to_return`, `received`, `overdue`); None for all.
    """
    own = call.principal.provider_id
    if own is not None and wanted["provider_id"] not in {None, own}:
        return []
    values = {
        **wanted,
        # What row-level security would sort out one by one is walked along instead.
        "provider_id": wanted["provider_id"] if own is None else own,
        "states": None if state is None else list(_STATES.get(state, (state,))),
        "overdue": state == "overdue",
        "returned": state == "to_return",
        "now": call.now,
    }
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(_PAGE, values, prepare=False)).fetchall()


async def get_old_part(call: Call, old_part_id: int) -> DictRow:
    """One old part with its inspections, files, and what may be done with it.

    Raises:
        Problem: 404.
    """
    key = {"old_part_id": old_part_id, "now": call.now}
    found = await row(call, _ONE, key)
    if found is None:
        raise Problem.not_found("old part", old_part_id)
    return {
        **found,
        "inspections": await rows(call, SQL["inspections_of_part"], key),
        "files": [file["file_id"] for file in await rows(call, SQL["files_of_part"], key)],
        "actions": OLD_PART_MACHINE.actions_of(found["state"]),
    }


async def lock_old_part(call: Call, old_part_id: int) -> DictRow:
    """One old part that nobody else changes until the transaction ends.

    Raises:
        Problem: 404.
    """
    key = {"old_part_ids": [old_part_id]}
    await rows(call, SQL["share_tickets"], key)
    locked = await row(call, SQL["lock_old_parts"], key)
    if locked is None:
        raise Problem.not_found("old part", old_part_id)
    return locked


async def lock_old_parts(call: Call, old_part_ids: Collection[int], field: str) -> list[DictRow]:
    """Old parts that a field of a body names, locked.

    Raises:
        Problem: 422 when one of them is not there, or not the caller's.
    """
    key = {"old_part_ids": list(old_part_ids)}
    await rows(call, SQL["share_tickets"], key)
    found = await rows(call, SQL["lock_old_parts"], key)
    missing = sorted(set(old_part_ids) - {part["old_part_id"] for part in found})
    if missing:
        raise Problem.bad_field(field, f"there is no old part {missing[0]}; GET /v1/old-parts lists them")
    return found


# What happens ---------------------------------------------------------------------------------------


async def move(
    call: Call,
    old_part_id: int,
    state: str,
    *,
    return_slip_id: int | None = None,
    off_slip: bool = False,
    due_by: datetime | None = None,
    ended_note: str | None = None,
) -> None:
    """Give a locked old part its next state, with what changes by that; what is left out stays."""
    values = {
        "old_part_id": old_part_id,
        "state": state,
        "return_slip_id": return_slip_id,
        "off_slip": off_slip,
        "due_by": due_by,
        "ended_note": ended_note,
        "now": call.now,
    }
    await call.connection.execute(SQL["move_old_part"], values)


async def receive(call: Call, part: Mapping[str, Any], quantity: int | None, note: str, field: str) -> bool:
    """Take in pieces of a locked old part.

    Returns:
        Whether all of it has come now.

    Raises:
        Problem: 409 when it was received, or is not expected; 422 when more come than are missing.
    """
    number = part["old_part_id"]
    if part["state"] not in OWED and part["received_at"] is not None:
        raise Problem.conflict("old-part-received", f"the old part {number} has been received already")
    to = OLD_PART_MACHINE.require(number, part["state"], "receive")
    missing = part["quantity"] - part["quantity_received"]
    pieces = missing if quantity is None else quantity
    if pieces > missing:
        raise Problem.bad_field(field, f"{missing} of the old part {number} are missing, not {pieces}")
    whole = bool(pieces == missing)
    values = {"old_part_id": number, "quantity": pieces, "state": to if whole else part["state"], "note": note}
    await call.connection.execute(SQL["receive_old_part"], {**values, "actor": call.principal.name, "now": call.now})
    line = {"visit_part_id": number, "quantity": pieces, "old_serial": part["old_serial"]}
    await note_in_case(call, part, "visit.old_part_received", line)
    return whole


async def scrap(call: Call, old_part_id: int, files: Sequence[int], note: str) -> None:
    """Show by photos that a part was scrapped on site.

    Raises:
        Problem: 404; 409 when it is to come back, or is not owed; 422 for an unknown file.
    """
    part = await lock_old_part(call, old_part_id)
    to = OLD_PART_MACHINE.require(old_part_id, part["state"], "scrap")
    if part["rule"] != "scrap_on_site":
        detail = f"the old part {old_part_id} is to come back: {part['rule_reason']}; pack it into a return slip"
        raise Problem.conflict("old-part-rule", detail, rule=part["rule"])
    await keep_files(call, part, files, "scrapping")
    await move(call, old_part_id, to, ended_note=f"scrapped on site by {call.principal.name}; {note}".rstrip("; "))
    await note_in_case(call, part, "old_part.scrapped", {"old_part_id": old_part_id})


async def write_off(call: Call, old_part_id: int, reason: str, files: Sequence[int]) -> None:
    """Write an old part off: after its inspection, or because evidence shows that it will not come.

    Raises:
        Problem: 404; 409 when its state does not allow it; 422 without evidence, or for an unknown file.
    """
    part = await lock_old_part(call, old_part_id)
    to = OLD_PART_MACHINE.require(old_part_id, part["state"], "write_off")
    if part["state"] != "inspected" and not files:
        message = "a part that nobody has inspected is written off against evidence: give a photo or a paper"
        raise Problem.bad_field("body.files", message)
    await keep_files(call, part, files, "write_off")
    await move(call, old_part_id, to, ended_note=reason)
    await note_in_case(call, part, "old_part.written_off", {"old_part_id": old_part_id, "reason": reason})


async def waive(call: Call, old_part_id: int, reason: str) -> None:
    """Do without an old part; its visit is settled as if it had come.

    Raises:
        Problem: 404; 409 when it is not expected.
    """
    part = await lock_old_part(call, old_part_id)
    to = OLD_PART_MACHINE.require(old_part_id, part["state"], "waive")
    await move(call, old_part_id, to, ended_note=reason)
    await note_in_case(call, part, "old_part.waived", {"old_part_id": old_part_id, "reason": reason})


async def keep_files(
    call: Call, part: Mapping[str, Any], files: Sequence[int], kind: Literal["scrapping", "write_off", "inspection"]
) -> None:
    """Let files that were sent belong to an old part, its case and its machine.

    Raises:
        Problem: 422 naming the file.
    """
    for index, file_id in enumerate(dict.fromkeys(files)):
        field = f"body.files.{index}"
        await require_file(call, file_id, field)
        await attach(call, file_id, ticket_id=part["ticket_id"], asset_id=part["asset_id"], field=field)
        values = {"old_part_id": part["old_part_id"], "file_id": file_id, "kind": kind}
        await call.connection.execute(SQL["keep_file"], values)


async def note_in_case(call: Call, part: Mapping[str, Any], kind: str, line: Mapping[str, Any]) -> None:
    """Write a line into the history of an old part's case, if it has one."""
    if part["ticket_id"] is not None:
        await append_event(call, part["ticket_id"], kind, line)


# What falls due ---------------------------------------------------------------------------------------


async def run_due(call: Call) -> int:
    """Tell partners of old parts that are overdue, each time that one's day has passed once."""
    late = await rows(call, SQL["fall_due"], {"now": call.now, "batch": BATCH})
    for number in sorted(part["old_part_id"] for part in late):
        part = await get_old_part(call, number)
        await announce(
            call,
            topic="old_part.overdue",
            cause=f"old_part:{number}:overdue:{part['due_by'].isoformat()}",
            asset_id=part["asset_id"],
            subject=f"{part['sku']} of {part['serial']} has not come back",
            body=overdue_text(part),
            payload={name: part[name] for name in ("old_part_id", "visit_id", "provider_id", "sku", "state", "due_by")},
        )
        await note_in_case(
            call, part, "old_part.overdue", {"old_part_id": number, "due_by": part["due_by"].isoformat()}
        )
    return len(late)


def overdue_text(part: Mapping[str, Any]) -> str:
    """What a partner is told of an old part that it owes."""
    missing = part["quantity"] - part["quantity_received"]
    what = f"{missing} old {part['sku']}, taken out on visit {part['visit_id']}"
    if part["rule"] == "scrap_on_site":
        wanted = f"Please show that it was scrapped: POST /v1/old-parts/{part['old_part_id']}/scrap with photos."
    elif part["state"] == "shipped":
        wanted = f"It was sent with return slip {part['return_slip_id']} and has not arrived: please ask the carrier."
    else:
        wanted = "Please send it with a return slip: POST /v1/return-slips."
    due = f"{part['due_by']:%Y-%m-%d}"
    return f"{what}, was due by {due}. The visit is not settled while it is missing.\n{wanted}"


async def row(call: Call, query: Any, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(query, values)).fetchone()


async def rows(call: Call, query: Any, values: Mapping[str, Any]) -> list[DictRow]:
    """The rows of a statement."""
    return await (await call.connection.execute(query, values)).fetchall()
