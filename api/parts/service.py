"""What is done with parts, stock and reservations.

Locks are always taken in the order job, reservation, balances by part and warehouse; so no two calls wait for one
another.
"""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts import rules
from api.parts.models import NewMovement, NewPart, NewReservation, NewWarehouse
from careloop.database.queries import load_queries

SQL = load_queries("api.parts")

# Jobs that need no part any more, and jobs that somebody is on the way with, relying on the part.
ENDED_JOB_STATES = frozenset({"completed", "cancelled"})
GIVEN_OUT_JOB_STATES = frozenset({"dispatched", "in_progress"})


async def create_part(call: Call, body: NewPart) -> DictRow:
    """Add a part to the catalogue.

    Raises:
        Problem: 409 when the SKU is taken.
    """
    row = await _row(call, "insert_part", body.model_dump())
    if row is None:
        raise Problem.conflict("sku-taken", f"there is a part {body.sku} already")
    return row


async def get_part(call: Call, sku: str) -> DictRow:
    """One part.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise Problem.not_found("part", sku)
    return row


async def part_of_field(call: Call, sku: str, field: str = "body.sku") -> DictRow:
    """The part that a field of a body names.

    Raises:
        Problem: 422 naming the field.
    """
    row = await _row(call, "get_part", {"sku": sku})
    if row is None:
        raise Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")
    return row


async def create_warehouse(call: Call, body: NewWarehouse) -> DictRow:
    """Add a warehouse.

    Raises:
        Problem: 409 when the code is taken.
    """
    row = await _row(call, "insert_warehouse", body.model_dump())
    if row is None:
        raise Problem.conflict("code-taken", f"there is a warehouse {body.code} already")
    return row


async def move(call: Call, body: NewMovement) -> dict[str, Any]:
    """Receive pieces or correct a count: ledger and balance together.

    Raises:
        Problem: 422 for an unknown part or warehouse; 409 when the balance would fall below what is reserved.
    """
    part = await part_of_field(call, body.sku)
    warehouse = await _row(call, "get_warehouse", {"code": body.warehouse})
    if warehouse is None:
        raise Problem.bad_field("body.warehouse", f"there is no warehouse {body.warehouse}; POST /v1/warehouses first")
    where = {"part_id": part["part_id"], "warehouse_id": warehouse["warehouse_id"]}
    await call.connection.execute(SQL["ensure_stock"], where)
    change = {"kind": body.kind, "on_hand_change": body.quantity, "reserved_change": 0, "cause": body.cause}
    movement = await _row(call, "move_stock", {**where, **change, "now": call.now})
    if movement is None:
        stock = await _row(call, "get_stock", where) or {"on_hand": 0, "reserved": 0}
        detail = (
            f"{body.warehouse} has {stock['on_hand']} of {body.sku}, {stock['reserved']} of them reserved; "
            f"a change by {body.quantity} is not possible"
        )
        raise Problem.conflict("stock-out-of-range", detail, **stock)
    return {**movement, "sku": body.sku, "warehouse": body.warehouse}


async def reserve(call: Call, body: NewReservation) -> tuple[DictRow, bool]:
    """Keep a part for a job at the best warehouse.

    Returns:
        The reservation, and whether it was made now; an open one of the same job and part is returned as it is.

    Raises:
        Problem: 422 for an unknown job or part; 409 when the job has ended, when the open reservation is for another
            quantity, or when no warehouse has enough (`no-stock`, with the reason of each and the part's lead time).
    """
    part = await part_of_field(call, body.sku)
    job = await _row(call, "lock_job", {"job_id": body.job_id})
    if job is None:
        raise Problem.bad_field("body.job_id", f"there is no job {body.job_id}")
    if job["state"] in ENDED_JOB_STATES:
        raise Problem.conflict("job-ended", f"job {body.job_id} is {job['state']}; it needs no part any more")
    key = {"job_id": body.job_id, "part_id": part["part_id"]}
    there = await _row(call, "open_reservation", key)
    if there is not None:
        if there["quantity"] != body.quantity:
            number = there["reservation_id"]
            detail = f"reservation {number} keeps {there['quantity']} of {body.sku} for the job; release it first"
            raise Problem.conflict("reservation-differs", detail, reservation_id=number)
        return await get_reservation(call, there["reservation_id"]), False
    return await _reserve_best(call, job, part, body.quantity), True


async def _reserve_best(call: Call, job: DictRow, part: DictRow, quantity: int) -> DictRow:
    place = rules.Place(job["territory"], rules.Position.of(job["latitude"], job["longitude"]))
    wanted = {"part_id": part["part_id"], "quantity": quantity}
    rows = await (await call.connection.execute(SQL["lock_candidates"], wanted)).fetchall()
    best = rules.best_warehouse([_candidate(row) for row in rows], place, quantity)
    if best is None:
        raise await _no_stock(call, part, quantity)
    made = await _row(
        call,
        "insert_reservation",
        {
            **wanted,
            "job_id": job["job_id"],
            "warehouse_id": best.warehouse_id,
            "available_at": rules.available_at(best, place, call.now),
            "now": call.now,
        },
    )
    if made is None:
        raise LookupError("insert_reservation returned no row")
    number: int = made["reservation_id"]
    await _move_reserved(call, number, "reserve", {**wanted, "warehouse_id": best.warehouse_id})
    return await get_reservation(call, number)


def _candidate(row: DictRow) -> rules.Candidate:
    return rules.Candidate(
        warehouse_id=row["warehouse_id"],
        code=row["code"],
        kind=row["kind"],
        territory=row["territory"],
        position=rules.Position.of(row["latitude"], row["longitude"]),
        transfer_days=row["transfer_days"],
        available=row["available"],
    )


async def _no_stock(call: Call, part: DictRow, quantity: int) -> Problem:
    rows = await (await call.connection.execute(SQL["shortages"], {"part_id": part["part_id"]})).fetchall()
    shortages = [
        {
            "warehouse": row["code"],
            "available": row["on_hand"] - row["reserved"],
            "reason": rules.why_not(row["on_hand"], row["reserved"], quantity),
        }
        for row in rows
    ]
    days = part["lead_time_days"]
    detail = f"no warehouse has {quantity} of {part['sku']} available; ordering it takes {days} days"
    return Problem.conflict(
        "no-stock", detail, sku=part["sku"], quantity=quantity, lead_time_days=days, warehouses=shortages
    )


async def get_reservation(call: Call, reservation_id: int) -> DictRow:
    """One reservation.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_reservation", {"reservation_id": reservation_id})
    if row is None:
        raise Problem.not_found("reservation", reservation_id)
    return row


async def settle(call: Call, reservation_id: int, state: Literal["consumed", "released"]) -> DictRow:
    """End a reservation: the part was used, or goes back to what is available; doing the same again changes nothing.

    Raises:
        Problem: 404; 409 when it was ended the other way, or when a part would be taken away from a visit.
    """
    owner = await _row(call, "job_of_reservation", {"reservation_id": reservation_id})
    if owner is None:
        raise Problem.not_found("reservation", reservation_id)
    job = await _row(call, "lock_job", owner)
    row = await get_reservation(call, reservation_id)
    if row["state"] == state:
        return row
    if row["state"] != "reserved":
        detail = f"reservation {reservation_id} is {row['state']} already; it can't be {state}"
        raise Problem.conflict("reservation-ended", detail, state=row["state"])
    if state == "released" and job is not None and job["state"] in GIVEN_OUT_JOB_STATES:
        detail = f"job {job['job_id']} is {job['state']} with this part; recall or cancel the job first"
        raise Problem.conflict("job-relies-on-part", detail, job_id=job["job_id"])
    await _settle(call, reservation_id, state)
    return await get_reservation(call, reservation_id)


async def consume_for_job(call: Call, job_id: int) -> None:
    """All parts still kept for a job were used: they leave the stock."""
    await _settle_all(call, job_id, "consumed")


async def release_for_job(call: Call, job_id: int) -> None:
    """All parts still kept for a job go back to what is available."""
    await _settle_all(call, job_id, "released")


async def settle_pieces(
    call: Call, job_id: int, reservation_id: int, quantity: int, state: Literal["consumed", "released"]
) -> DictRow:
    """End a reservation, or a part of it: of four kept, three may be used and one go back.

    Args:
        call: Whose transaction holds it.
        job_id: The job it is kept for; locked.
        reservation_id: The reservation.
        quantity: How many pieces.
        state: What becomes of them.

    Returns:
        The reservation's `part_id` and `warehouse_id`.

    Raises:
        Problem: 422 for a reservation of another job; 409 when it is ended or holds fewer.
    """
    row = await _row(call, "lock_reservation", {"reservation_id": reservation_id})
    if row is None or row["job_id"] != job_id:
        raise Problem.bad_field("body.reservation_id", f"job {job_id} has no reservation {reservation_id}")
    if row["state"] != "reserved" or row["quantity"] < quantity:
        left = row["quantity"] if row["state"] == "reserved" else 0
        detail = f"reservation {reservation_id} is {row['state']} and keeps {left}, not {quantity}"
        raise Problem.conflict("reservation-ended", detail, state=row["state"], quantity=left)
    if row["quantity"] == quantity:
        await _settle(call, reservation_id, state)
        return row
    values = {"reservation_id": reservation_id, "quantity": quantity, "state": state}
    split = await _row(call, "split_reservation", values)
    if split is None:
        raise LookupError(f"reservation {reservation_id} could not be split although its job is locked")
    kind: Literal["consume", "release"] = "consume" if state == "consumed" else "release"
    await _move_reserved(call, split["reservation_id"], kind, {**row, "quantity": quantity})
    return row


async def move_pieces(
    call: Call, sku: str, warehouse: str, quantity: int, *, kind: Literal["consume", "return"], cause: str
) -> DictRow:
    """Take pieces out of a warehouse without a reservation, or bring them back.

    Args:
        call: Whose transaction holds it.
        sku: The part.
        warehouse: Code of a van, a partner's or the central one.
        quantity: How many pieces.
        kind: `consume` takes them out, `return` brings them back.
        cause: For the ledger, e.g. `visit:12`.

    Returns:
        `part_id` and `warehouse_id`.

    Raises:
        Problem: 422 for an unknown part or warehouse; 409 `stock-out-of-range` when there are not as many free.
    """
    part = await part_of_field(call, sku)
    found = await _row(call, "get_warehouse", {"code": warehouse})
    if found is None:
        raise Problem.bad_field("body.warehouse", f"there is no warehouse {warehouse}; POST /v1/warehouses first")
    where = {"part_id": part["part_id"], "warehouse_id": found["warehouse_id"]}
    await call.connection.execute(SQL["ensure_stock"], where)
    on_hand = -quantity if kind == "consume" else quantity
    change = {"kind": kind, "on_hand_change": on_hand, "reserved_change": 0, "cause": cause, "now": call.now}
    if await _row(call, "move_stock", {**where, **change}) is None:
        stock = await _row(call, "get_stock", where) or {"on_hand": 0, "reserved": 0}
        detail = f"{warehouse} has {stock['on_hand'] - stock['reserved']} of {sku} free, not {quantity}"
        raise Problem.conflict("stock-out-of-range", detail, **stock)
    return where


async def _settle_all(call: Call, job_id: int, state: Literal["consumed", "released"]) -> None:
    await _row(call, "lock_job", {"job_id": job_id})
    rows = await (await call.connection.execute(SQL["open_reservations_of_job"], {"job_id": job_id})).fetchall()
    for row in rows:
        await _settle(call, row["reservation_id"], state)


async def _settle(call: Call, reservation_id: int, state: Literal["consumed", "released"]) -> None:
    """End an open reservation whose job is locked."""
    row = await _row(call, "settle_reservation", {"reservation_id": reservation_id, "state": state})
    if row is None:
        raise LookupError(f"reservation {reservation_id} is not open although its job is locked")
    kind: Literal["consume", "release"] = "consume" if state == "consumed" else "release"
    await _move_reserved(call, reservation_id, kind, row)


async def _move_reserved(
    call: Call, reservation_id: int, kind: Literal["reserve", "consume", "release"], pieces: Mapping[str, Any]
) -> None:
    """Move the balance of the pieces' part and warehouse by their quantity."""
    quantity: int = pieces["quantity"]
    change = {
        "warehouse_id": pieces["warehouse_id"],
        "part_id": pieces["part_id"],
        "kind": kind,
        "on_hand_change": -quantity if kind == "consume" else 0,
        "reserved_change": quantity if kind == "reserve" else -quantity,
        "cause": f"reservation:{reservation_id}",
        "now": call.now,
    }
    if await _row(call, "move_stock", change) is None:
        raise LookupError(f"reservation {reservation_id}: the balance does not allow {kind} of {quantity}")


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
