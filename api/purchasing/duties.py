"""What falls due with purchases: those late are told of, and drafts count from today."""

from datetime import timedelta

from api.alerts.service import announce
from api.conventions.call import Call
from api.purchasing.orders import reckon_draft
from api.purchasing.repository import SQL, get_line, rows
from api.purchasing.service import tell_case

BATCH = 200
# How old the dates of a draft may become.
RECKON_EVERY = timedelta(hours=20)


async def run_due(call: Call) -> int:
    """Tell of lines that should have come, and reckon the dates of drafts anew; how many."""
    return await _mark_late(call) + await _reckon_drafts(call)


async def _mark_late(call: Call) -> int:
    late = await (await call.connection.execute(SQL["late_lines"], {"now": call.now, "batch": BATCH})).fetchall()
    for line in late:
        number = line["purchase_line_id"]
        await call.connection.execute(SQL["mark_late"], {"purchase_line_id": number, "now": call.now})
        promises = await rows(call, "open_promises_of_lines", {"purchase_line_ids": [number]})
        cases = sorted({promise["ticket_id"] for promise in promises if promise["ticket_id"] is not None})
        waiting = f" Tickets that wait for it: {', '.join(map(str, cases))}." if cases else ""
        await announce(
            call,
            topic="purchase.late",
            cause=f"purchase:{number}:late:{line['expected_at'].isoformat()}",
            asset_id=None,
            subject=f"Late: {line['missing']} {line['sku']} from {line['supplier']} to {line['warehouse']}",
            body=(
                f"Purchase order {line['purchase_order_id']} was expected on {line['expected_at']:%Y-%m-%d %H:%M} UTC; "
                f"{line['missing']} pieces have not come.{waiting}"
            ),
            payload={
                "purchase_order_id": line["purchase_order_id"],
                "purchase_line_id": number,
                "sku": line["sku"],
                "missing": line["missing"],
                "ticket_ids": cases,
            },
        )
        shown = await get_line(call, number)
        for promise in promises:
            await tell_case(call, promise["ticket_id"], shown, "late", promise["quantity"])
    return len(late)


async def _reckon_drafts(call: Call) -> int:
    wanted = {"reckoned_before": call.now - RECKON_EVERY, "batch": BATCH}
    drafts = await (await call.connection.execute(SQL["stale_drafts"], wanted)).fetchall()
    for draft in drafts:
        await reckon_draft(call, draft)
    return len(drafts)
