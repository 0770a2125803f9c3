"""What is done with reservations.

Locks are always taken in the order job, reservation, balances by part and warehouse; so no two calls wait for one
another.
"""

from datetime import datetime
from typing import Literal

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.positions import Position
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.reservations import rules
from api.reservations.models import NewReservation
from api.reservations.repository import SQL, get_reservation, locked, post
from api.reservations.repository import row as fetch
from api.stock import service as stock
from api.stock.service import Cause, Entry, Place
from api.warehouses.service import warehouse_of_field

Ending = Literal["consumed", "released"]

# Jobs that need no part any more, and jobs that somebody is on the way with, relying on the part.
ENDED_JOB_STATES = frozenset({"completed", "cancelled"})
GIVEN_OUT_JOB_STATES = frozenset({"dispatched", "in_progress"})


# Keeping ------------------------------------------------------------------------------------------


async def reserve(call: Call, body: NewReservation) -> tuple[DictRow, bool]:
    """Keep a part for a job at the best warehouse.

    Returns:
        The reservation, and whether it was made now; an open one of the same job and part is returned as it is.

    Raises:
        Problem: 422 for an unknown job or part; 409 when the job has ended, when the open reservation is for another
            quantity, or when no warehouse has enough (`no-stock`, with the reason of each and the part's lead time).
    """
    part = await part_of_field(call, body.sku)
    job = await fetch(call, "lock_job", {"job_id": body.job_id})
    if job is None:
        raise Problem.bad_field("body.job_id", f"there is no job {body.job_id}")
    if job["state"] in ENDED_JOB_STATES:
        raise Problem.conflict("job-ended", f"job {body.job_id} is {job['state']}; it needs no part any more")
    key = {"job_id": body.job_id, "part_id": part["part_id"]}
    there = await fetch(call, "open_reservation", key)
    if there is not None:
        if there["quantity"] != body.quantity:
            number = there["reservation_id"]
            detail = f"reservation {number} keeps {there['quantity']} of {body.sku} for the job; release it first"
            raise Problem.conflict("reservation-differs", detail, reservation_id=number)
        return await get_reservation(call, there["reservation_id"]), False
    return await _reserve_best(call, job, part, body.quantity), True


async def _reserve_best(call: Call, job: DictRow, part: DictRow, quantity: int) -> DictRow:
    """Choose without locks, then lock the one chosen; whoever was quicker there makes us look again.

    It ends: each time round somebody else has taken pieces, and there are only so many.
    """
    place = rules.Destination(job["territory"], Position.of(job["latitude"], job["longitude"]))
    wanted = {"part_id": part["part_id"], "quantity": quantity}
    while True:
        rows = await (await call.connection.execute(SQL["candidates"], wanted)).fetchall()
        best = rules.best_warehouse([_candidate(row) for row in rows], place, quantity)
        if best is None:
            raise await _no_stock(call, part, quantity)
        shelf = await fetch(call, "lock_shelf", {"part_id": part["part_id"], "warehouse_id": best.warehouse_id})
        if shelf is not None and shelf["available"] >= quantity:
            break
    return await reserve_at(
        call,
        part_id=part["part_id"],
        warehouse_id=best.warehouse_id,
        quantity=quantity,
        ticket_id=job["ticket_id"],
        job_id=job["job_id"],
        available_at=rules.available_at(best, place, call.now),
    )


async def reserve_at(
    call: Call,
    *,
    part_id: int,
    warehouse_id: int,
    quantity: int,
    ticket_id: int | None,
    job_id: int | None = None,
    demand_id: int | None = None,
    available_at: datetime,
) -> DictRow:
    """Keep pieces at one warehouse for a case, or for its job where there is one.

    Args:
        call: Whose transaction holds it.
        part_id: Of what.
        warehouse_id: Where.
        quantity: Pieces.
        ticket_id: The case, if it is for one.
        job_id: The job, if there is one; locked by the caller. One of both is needed.
        demand_id: The demand that it answers.
        available_at: When it can be at the site.

    Returns:
        The reservation, as `get_reservation`.

    Raises:
        Problem: 409 `stock-out-of-range` when the warehouse has not as many free.
    """
    values = {
        "part_id": part_id,
        "warehouse_id": warehouse_id,
        "quantity": quantity,
        "ticket_id": ticket_id,
        "job_id": job_id,
        "demand_id": demand_id,
        "available_at": available_at,
        "now": call.now,
    }
    made = await fetch(call, "insert_reservation", values)
    if made is None:
        raise LookupError("insert_reservation returned no row")
    entry = Entry(part_id, quantity, "reserve", Place("free", warehouse_id), Place("reserved", warehouse_id))
    await stock.post(call, [entry], Cause.of("reservation", made["reservation_id"]), ticket_id=ticket_id)
    return made


async def adopt(call: Call, ticket_id: int, job_id: int) -> None:
    """Hang what is kept for a case, and for no job yet, to its new job."""
    await call.connection.execute(SQL["adopt"], {"ticket_id": ticket_id, "job_id": job_id})


def _candidate(row: DictRow) -> rules.Candidate:
    return rules.Candidate(
        warehouse_id=row["warehouse_id"],
        code=row["code"],
        kind=row["kind"],
        territory=row["territory"],
        position=Position.of(row["latitude"], row["longitude"]),
        transfer_days=row["transfer_days"],
        available=row["available"],
    )


async def _no_stock(call: Call, part: DictRow, quantity: int) -> Problem:
    rows = await (await call.connection.execute(SQL["shortages"], {"part_id": part["part_id"]})).fetchall()
    shortages = [
        {
            "warehouse": row["code"],
            "available": row["on_hand"] - row["reserved"],
            "reason": rules.why_not(row["on_hand"], row["reserved"], quantity, row["kind"]),
        }
        for row in rows
    ]
    days = part["lead_time_days"]
    detail = f"no warehouse has {quantity} of {part['sku']} available; ordering it takes {days} days"
    return Problem.conflict(
        "no-stock", detail, sku=part["sku"], quantity=quantity, lead_time_days=days, warehouses=shortages
    )


# Ending -------------------------------------------------------------------------------------------


async def settle(call: Call, reservation_id: int, state: Ending) -> DictRow:
    """End a reservation: the part was used, or goes back to what is available; doing the same again changes nothing.

    Raises:
        Problem: 404; 409 when it was ended the other way, when a part would be taken away from a visit, or when it is
            used while on its way.
    """
    owner = await fetch(call, "job_of_reservation", {"reservation_id": reservation_id})
    if owner is None:
        raise Problem.not_found("reservation", reservation_id)
    job = await fetch(call, "lock_job", owner) if owner["job_id"] is not None else None
    row = await locked(call, reservation_id)
    if row["job_id"] != owner["job_id"]:
        detail = f"reservation {reservation_id} became job {row['job_id']}'s this moment; try again"
        raise Problem.conflict("reservation-moved", detail, job_id=row["job_id"])
    if row["state"] == state:
        return await get_reservation(call, reservation_id)
    if row["state"] != "reserved":
        detail = f"reservation {reservation_id} is {row['state']} already; it can't be {state}"
        raise Problem.conflict("reservation-ended", detail, state=row["state"])
    if state == "released" and job is not None and job["state"] in GIVEN_OUT_JOB_STATES:
        detail = f"job {job['job_id']} is {job['state']} with this part; recall or cancel the job first"
        raise Problem.conflict("job-relies-on-part", detail, job_id=job["job_id"])
    if state == "consumed" and row["place"] == "transit":
        detail = f"reservation {reservation_id} is on its way; receive its transfer first"
        raise Problem.conflict("reservation-elsewhere", detail, place="transit")
    await _settle(call, row, state)
    return await get_reservation(call, reservation_id)


async def consume_for_job(call: Call, job_id: int) -> None:
    """All parts still kept for a job were used: they leave the stock.

    What is on its way cannot have been; it becomes available where it arrives.
    """
    await _settle_all(call, "open_reservations_of_job", {"job_id": job_id}, "consumed")


async def release_for_job(call: Call, job_id: int) -> None:
    """All parts still kept for a job go back to what is available."""
    await _settle_all(call, "open_reservations_of_job", {"job_id": job_id}, "released")


async def release_for_ticket(call: Call, ticket_id: int) -> None:
    """All parts still kept for a case without a job go back to what is available."""
    await _settle_all(call, "open_reservations_of_ticket", {"ticket_id": ticket_id}, "released")


async def settle_pieces(call: Call, job_id: int, reservation_id: int, quantity: int, state: Ending) -> DictRow:
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
        Problem: 422 for a reservation of another job; 409 when it is ended, on its way or holds fewer.
    """
    row = await fetch(call, "lock_reservation", {"reservation_id": reservation_id})
    if row is None or row["job_id"] != job_id:
        raise Problem.bad_field("body.reservation_id", f"job {job_id} has no reservation {reservation_id}")
    if row["state"] != "reserved" or row["quantity"] < quantity:
        left = row["quantity"] if row["state"] == "reserved" else 0
        detail = f"reservation {reservation_id} is {row['state']} and keeps {left}, not {quantity}"
        raise Problem.conflict("reservation-ended", detail, state=row["state"], quantity=left)
    if row["place"] == "transit":
        detail = f"reservation {reservation_id} is on its way; receive its transfer first"
        raise Problem.conflict("reservation-elsewhere", detail, place="transit")
    if row["quantity"] == quantity:
        await _settle(call, row, state)
        return row
    values = {"reservation_id": reservation_id, "quantity": quantity, "state": state}
    split = await fetch(call, "split_reservation", values)
    if split is None:
        raise LookupError(f"reservation {reservation_id} could not be split although it is locked")
    await _post_end(call, {**row, "quantity": quantity, "reservation_id": split["reservation_id"]}, state)
    return row


async def move_pieces(
    call: Call,
    sku: str,
    warehouse: str,
    quantity: int,
    *,
    kind: Literal["consume", "return"],
    cause: Cause,
    ticket_id: int | None = None,
) -> DictRow:
    """Take pieces out of a warehouse without a reservation, or bring them back.

    Args:
        call: Whose transaction holds it.
        sku: The part.
        warehouse: Code of a van, a partner's or the central one.
        quantity: How many pieces.
        kind: `consume` takes them out, `return` brings them back.
        cause: For the ledger, e.g. a visit.
        ticket_id: The case it is for.

    Returns:
        `part_id` and `warehouse_id`.

    Raises:
        Problem: 422 for an unknown part or warehouse; 409 `stock-out-of-range` when there are not as many free.
    """
    part = await part_of_field(call, sku)
    found = await warehouse_of_field(call, warehouse)
    places = [Place("free", found["warehouse_id"]), Place("used")]
    source, target = places if kind == "consume" else reversed(places)
    await stock.post(call, [Entry(part["part_id"], quantity, kind, source, target)], cause, ticket_id=ticket_id)
    return {"part_id": part["part_id"], "warehouse_id": found["warehouse_id"]}


async def _settle_all(call: Call, query: str, owner: dict[str, int], state: Ending) -> None:
    if "job_id" in owner:
        await fetch(call, "lock_job", owner)
    for found in await (await call.connection.execute(SQL[query], owner)).fetchall():
        row = await locked(call, found["reservation_id"])
        if row["state"] == "reserved":
            await _settle(call, row, "released" if row["place"] == "transit" else state)


async def _settle(call: Call, row: DictRow, state: Ending) -> None:
    """End an open reservation that is locked."""
    key = {"reservation_id": row["reservation_id"], "state": state}
    await call.connection.execute(SQL["settle_reservation"], key)
    await _post_end(call, row, state)


async def _post_end(call: Call, row: DictRow, state: Ending) -> None:
    """Move the pieces of a reservation that ends; on their way they go on, for nobody."""
    if row["place"] == "transit":
        return
    where = row["warehouse_id"]
    source = Place(row["place"], where)
    if state == "consumed":
        entry = Entry(row["part_id"], row["quantity"], "consume", source, Place("used"))
    else:
        back: Literal["release", "return"] = "release" if row["place"] == "reserved" else "return"
        entry = Entry(row["part_id"], row["quantity"], back, source, Place("free", where))
    await post(call, row, entry, Cause.of("reservation", row["reservation_id"]))
