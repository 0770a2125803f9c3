"""Reservations whose pieces travel or are handed out: they stay kept all the way."""

from datetime import datetime

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.reservations.repository import SQL, get_reservation, locked, post
from api.reservations.repository import row as fetch
from api.stock.service import Cause, Entry, Place


async def ship(
    call: Call, reservation_id: int, to_warehouse_id: int, cause: Cause, *, expected_at: datetime
) -> DictRow:
    """Send the pieces of a reservation to another warehouse; they stay kept on their way.

    Returns:
        The reservation, as `get_reservation`.

    Raises:
        Problem: 404; 409 when it is ended, handed out or on its way already.
    """
    row = await locked(call, reservation_id)
    _require_place(row, "reserved")
    source = Place("reserved", row["warehouse_id"])
    entry = Entry(row["part_id"], row["quantity"], "transfer_out", source, Place("transit", to_warehouse_id))
    await post(call, row, entry, cause)
    return await _moved(call, row, "transit", to_warehouse_id, expected_at)


async def arrive(call: Call, reservation_id: int, cause: Cause) -> bool:
    """Take in the pieces of a reservation that were sent; whether they are still kept, else the caller frees them.

    Raises:
        Problem: 404; 409 when they are not on their way.
    """
    row = await locked(call, reservation_id)
    if row["state"] != "reserved":
        return False
    _require_place(row, "transit")
    target = Place("reserved", row["warehouse_id"])
    entry = Entry(row["part_id"], row["quantity"], "transfer_in", Place("transit", row["warehouse_id"]), target)
    await post(call, row, entry, cause)
    await _moved(call, row, "reserved", row["warehouse_id"], call.now)
    return True


async def on_way(call: Call, reservation_id: int) -> bool:
    """Whether the pieces of a reservation travel and are still kept; locks it."""
    row = await locked(call, reservation_id)
    return bool(row["state"] == "reserved" and row["place"] == "transit")


async def split_on_way(call: Call, reservation_id: int, quantity: int) -> int:
    """Make a reservation of its own of some pieces on their way, which come later than the others; its number.

    Raises:
        Problem: 409 when they are not on their way.
    """
    row = await locked(call, reservation_id)
    _require_place(row, "transit")
    return await _split(call, reservation_id, quantity, "reserved")


async def give_up(call: Call, reservation_id: int, quantity: int) -> None:
    """Keep some pieces on their way no more, because they will not come as they should; of all, that ends it.

    The ledger's line is the caller's, who knows where the pieces are.

    Raises:
        Problem: 409 when they are not on their way.
    """
    row = await locked(call, reservation_id)
    _require_place(row, "transit")
    if quantity < row["quantity"]:
        await _split(call, reservation_id, quantity, "released")
    else:
        await call.connection.execute(
            SQL["settle_reservation"], {"reservation_id": reservation_id, "state": "released"}
        )


async def _split(call: Call, reservation_id: int, quantity: int, state: str) -> int:
    values = {"reservation_id": reservation_id, "quantity": quantity, "state": state}
    split = await fetch(call, "split_reservation", values)
    if split is None:
        raise LookupError(f"reservation {reservation_id} could not be split although it is locked")
    number: int = split["reservation_id"]
    return number


async def issue(call: Call, reservation_id: int) -> DictRow:
    """Hand the pieces of a reservation out to the technician; doing it again changes nothing.

    Raises:
        Problem: 404; 409 when it is ended, or on its way.
    """
    row = await locked(call, reservation_id)
    if row["state"] == "reserved" and row["place"] == "issued":
        return await get_reservation(call, reservation_id)
    _require_place(row, "reserved")
    where = row["warehouse_id"]
    entry = Entry(row["part_id"], row["quantity"], "issue", Place("reserved", where), Place("issued", where))
    await post(call, row, entry, Cause.of("reservation", reservation_id))
    return await _moved(call, row, "issued", where, None)


def _require_place(row: DictRow, place: str) -> None:
    number = row["reservation_id"]
    if row["state"] != "reserved":
        detail = f"reservation {number} is {row['state']} already"
        raise Problem.conflict("reservation-ended", detail, state=row["state"])
    if row["place"] != place:
        words = {"reserved": "on the shelf", "transit": "on its way", "issued": "handed out"}
        detail = f"reservation {number} is {words[row['place']]}, not {words[place]}"
        raise Problem.conflict("reservation-elsewhere", detail, place=row["place"])


async def _moved(call: Call, row: DictRow, place: str, warehouse_id: int, at: datetime | None) -> DictRow:
    number: int = row["reservation_id"]
    values = {"reservation_id": number, "place": place, "warehouse_id": warehouse_id, "available_at": at}
    await call.connection.execute(SQL["move_reservation"], values)
    return await get_reservation(call, number)
