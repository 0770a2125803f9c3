"""Counts of stock: what lies there according to somebody who looked, against what the ledger says.

Nothing stands still for a count. Each line is judged by the balance at the moment of looking, and what is posted is the
difference: whatever moves before or after is right by itself.
"""

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.stock.count_models import NewCount, NewLine, NewLines
from api.stock.rules import STOCK_COUNT, Variance, needs_approval
from api.stock.service import SQL, Cause, Entry, Place, post
from api.warehouses.service import warehouse_of_field

# Lines of the ledger written by one statement.
BATCH = 1000


async def open_count(call: Call, body: NewCount) -> DictRow:
    """Make a sheet.

    Raises:
        Problem: 403 for another's warehouse; 422 for an unknown warehouse, bin or part; 409 `nothing-to-count`.
    """
    warehouse = await warehouse_of_field(call, body.warehouse, "body.warehouse", active=False)
    _require_own(call, warehouse)
    key = {"warehouse_id": warehouse["warehouse_id"], "bin_id": None}
    if body.bin is not None:
        found = await _row(call, "bin_of_warehouse", {**key, "code": body.bin})
        if found is None:
            raise Problem.bad_field("body.bin", f"the warehouse {body.warehouse} has no bin {body.bin}")
        key["bin_id"] = found["bin_id"]
    count_id = await _insert(call, {**key, "note": body.note, "recount_of": None})
    if body.skus is None:
        await call.connection.execute(SQL["insert_lines_of_shelves"], {**key, "stock_count_id": count_id})
    else:
        await _parts(call, body.skus, [f"body.skus.{place}" for place in range(len(body.skus))])
        await call.connection.execute(SQL["insert_lines_of_skus"], {"stock_count_id": count_id, "skus": body.skus})
    made = await get_count(call, count_id)
    if not made["lines"]:
        detail = f"the ledger knows of nothing in {body.warehouse}; name skus to count all the same"
        raise Problem.conflict("nothing-to-count", detail)
    return made


def _require_own(call: Call, warehouse: DictRow) -> None:
    """Partners count their own warehouses; the house's they only see.

    Raises:
        Problem: 403.
    """
    if call.principal.scoped and warehouse["provider_id"] != call.principal.provider_id:
        raise Problem(403, "forbidden", f"the warehouse {warehouse['code']} is not yours to count")


async def _insert(call: Call, values: dict[str, object]) -> int:
    made = await _row(call, "insert_count", {**values, "actor": call.principal.name, "now": call.now})
    if made is None:
        raise LookupError("insert_count returned no row")
    number: int = made["stock_count_id"]
    return number


async def _parts(call: Call, skus: list[str], fields: list[str]) -> dict[str, int]:
    """Numbers of parts.

    Raises:
        Problem: 422 naming the field of the first that there is not.
    """
    rows = await (await call.connection.execute(SQL["parts_of_skus"], {"skus": skus})).fetchall()
    known = {row["sku"]: row["part_id"] for row in rows}
    for sku, field in zip(skus, fields, strict=True):
        if sku not in known:
            raise Problem.bad_field(field, f"there is no part {sku}; POST /v1/parts first")
    return known


async def get_count(call: Call, stock_count_id: int) -> DictRow:
    """One count with its sums.

    Raises:
        Problem: 404.
    """
    wanted: dict[str, object] = {
        "stock_count_id": stock_count_id,
        "state": None,
        "warehouse": None,
        "after_id": 0,
        "fetch": 1,
    }
    found = await _row(call, "list_counts", wanted)
    if found is None:
        raise Problem.not_found("stock count", stock_count_id)
    hidden = found["state"] in {"draft", "cancelled"}
    found["variances"] = [] if hidden else await _variances(call, stock_count_id)
    return found


async def _variances(call: Call, stock_count_id: int) -> list[DictRow]:
    key = {"stock_count_id": stock_count_id}
    return await (await call.connection.execute(SQL["variances"], key)).fetchall()


async def _locked(call: Call, stock_count_id: int, action: str) -> tuple[DictRow, str]:
    """The count, its row locked, and what it is after an action.

    Raises:
        Problem: 404; 403 for another's warehouse; 409 `stock-count-state`.
    """
    found = await _row(call, "lock_count", {"stock_count_id": stock_count_id})
    if found is None:
        raise Problem.not_found("stock count", stock_count_id)
    owner = await _row(call, "owner_of_warehouse", found)
    if owner is not None:
        _require_own(call, owner)
    to = found["state"] if action == "count" and found["state"] == "draft" else None
    return found, to or STOCK_COUNT.require(stock_count_id, found["state"], action)


async def tell(call: Call, stock_count_id: int, body: NewLines) -> DictRow:
    """Keep what was counted.

    Raises:
        Problem: 404; 403; 409 when the sheet is finished; 422 for an unknown part or a time to come.
    """
    count, _ = await _locked(call, stock_count_id, "count")
    known = await _parts(
        call, [line.sku for line in body.lines], [f"body.lines.{place}.sku" for place in range(len(body.lines))]
    )
    for place, line in enumerate(body.lines):
        if line.counted_at is not None and line.counted_at > call.now:
            raise Problem.bad_field(f"body.lines.{place}.counted_at", "lies in the future")
    shelves = sorted(known.values())
    keys = {"parts": shelves, "warehouses": [count["warehouse_id"]] * len(shelves)}
    await call.connection.execute(SQL["lock_balances"], keys)
    await call.connection.execute(SQL["put_lines"], _told(call, count, known, body.lines))
    return await get_count(call, stock_count_id)


def _told(call: Call, count: DictRow, known: dict[str, int], lines: list[NewLine]) -> dict[str, object]:
    return {
        "stock_count_id": count["stock_count_id"],
        "warehouse_id": count["warehouse_id"],
        "parts": [known[line.sku] for line in lines],
        "pieces": [line.counted for line in lines],
        "times": [line.counted_at or call.now for line in lines],
        "actor": call.principal.name,
        "key": call.principal.key,
    }


async def finish(call: Call, stock_count_id: int, threshold_minor: int) -> DictRow:
    """Hand a sheet in; small differences are posted at once.

    Args:
        call: Whose transaction holds it.
        stock_count_id: Which.
        threshold_minor: What the differences may be worth, found and missing together, in each currency.

    Raises:
        Problem: 404; 403; 409 when lines are open.
    """
    count, to = await _locked(call, stock_count_id, "finish")
    rows = await (await call.connection.execute(SQL["open_lines"], {"stock_count_id": stock_count_id})).fetchall()
    if rows:
        skus = [row["sku"] for row in rows]
        detail = f"stock count {stock_count_id} has lines not counted yet, e.g. {', '.join(skus[:5])}; count 0 for none"
        raise Problem.conflict("lines-open", detail, skus=skus)
    done = {"stock_count_id": stock_count_id, "actor": call.principal.name, "key": call.principal.key, "now": call.now}
    await call.connection.execute(SQL["finish_count"], {**done, "state": to})
    worth = [
        Variance(row["currency"], int(row["found_minor"]), int(row["missing_minor"]))
        for row in await _variances(call, stock_count_id)
    ]
    if not needs_approval(worth, threshold_minor):
        said = f"the differences are worth no more than {threshold_minor} minor units"
        try:
            # What is missing may be kept for jobs: then it waits for somebody who gives them something else.
            async with call.connection.transaction():
                await _decide(call, count, STOCK_COUNT.require(stock_count_id, to, "approve"), said)
        except Problem as problem:
            if problem.slug != "stock-out-of-range":
                raise
    return await get_count(call, stock_count_id)


async def approve(call: Call, stock_count_id: int, reason: str) -> DictRow:
    """Believe a count: its differences become movements.

    Raises:
        Problem: 404; 403; 409 `same-person` for whoever counted or handed in, or `stock-out-of-range`.
    """
    count, to = await _locked(call, stock_count_id, "approve")
    key = {"stock_count_id": stock_count_id, "key": call.principal.key}
    if count["finished_key"] == call.principal.key or await _row(call, "has_counted", key) is not None:
        detail = f"{call.principal.name} counted; somebody else must approve stock count {stock_count_id}, or reject it"
        raise Problem.conflict("same-person", detail)
    await _decide(call, count, to, reason)
    return await get_count(call, stock_count_id)


async def reject(call: Call, stock_count_id: int, reason: str) -> DictRow:
    """Do not believe a count; what differs stands on a new sheet, to be counted again.

    Returns:
        The new sheet.

    Raises:
        Problem: 404; 403; 409.
    """
    count, to = await _locked(call, stock_count_id, "reject")
    await _decide(call, count, to, reason)
    place = {"warehouse_id": count["warehouse_id"], "bin_id": count["bin_id"], "note": ""}
    again = await _insert(call, {**place, "recount_of": stock_count_id})
    lines = {"stock_count_id": again, "recount_of": stock_count_id}
    await call.connection.execute(SQL["insert_lines_to_recount"], lines)
    return await get_count(call, again)


async def cancel(call: Call, stock_count_id: int, reason: str) -> DictRow:
    """Throw a sheet away.

    Raises:
        Problem: 404; 403; 409.
    """
    count, to = await _locked(call, stock_count_id, "cancel")
    await _decide(call, count, to, reason)
    return await get_count(call, stock_count_id)


async def _decide(call: Call, count: DictRow, to: str, decision: str) -> None:
    number = count["stock_count_id"]
    values = {
        "stock_count_id": number,
        "state": to,
        "actor": call.principal.name,
        "decision": decision,
        "now": call.now,
    }
    await call.connection.execute(SQL["decide_count"], values)
    if to != "approved":
        return
    shelf, variance = Place("free", count["warehouse_id"]), Place("variance")
    rows = await (await call.connection.execute(SQL["differing_lines"], {"stock_count_id": number})).fetchall()
    entries = [
        Entry(row["part_id"], row["variance"], "count", variance, shelf)
        if row["variance"] > 0
        else Entry(row["part_id"], -row["variance"], "count", shelf, variance)
        for row in rows
    ]
    for start in range(0, len(entries), BATCH):
        await post(call, entries[start : start + BATCH], Cause.of("count", number))


async def _row(call: Call, query: str, values: dict[str, object]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
