"""What falls due with transfers: those late are told of, those that nobody needs any more are cancelled."""

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.tickets.service import append_event
from api.transfers.repository import SQL
from api.transfers.service import cancel

BATCH = 200


async def run_due(call: Call) -> int:
    """Tell of transfers that should have arrived, and cancel planned ones whose reservation has ended; how many."""
    return await _mark_overdue(call) + await _cancel_abandoned(call)


async def _mark_overdue(call: Call) -> int:
    due = await (await call.connection.execute(SQL["due_transfers"], {"now": call.now, "batch": BATCH})).fetchall()
    for transfer in due:
        number = transfer["transfer_id"]
        await call.connection.execute(SQL["mark_overdue"], {"transfer_id": number, "now": call.now})
        where = "has not left" if transfer["state"] == "planned" else "has not arrived"
        case = f" (ticket {transfer['ticket_id']})" if transfer["ticket_id"] is not None else ""
        way = f"from {transfer['origin']} to {transfer['to']}"
        shown = ("transfer_id", "state", "sku", "quantity", "origin", "to", "ticket_id")
        await announce(
            call,
            topic="transfer.overdue",
            cause=f"transfer:{number}:overdue:{transfer['expected_at'].isoformat()}",
            asset_id=transfer["asset_id"],
            subject=f"Overdue: {transfer['quantity']} {transfer['sku']} {way}{case}",
            body=f"Transfer {number} was expected on {transfer['expected_at']:%Y-%m-%d %H:%M} UTC and {where}.",
            payload={name: transfer[name] for name in shown},
        )
        if transfer["ticket_id"] is not None:
            detail = {"transfer_id": number, "state": transfer["state"], "overdue": True}
            await append_event(call, transfer["ticket_id"], "transfer", detail)
    return len(due)


async def _cancel_abandoned(call: Call) -> int:
    found = await (await call.connection.execute(SQL["abandoned_transfers"], {"batch": BATCH})).fetchall()
    done = 0
    for transfer in found:
        try:
            await cancel(call, transfer["transfer_id"], "its reservation has ended")
        except Problem:
            # Somebody has ended it this moment.
            continue
        done += 1
    return done
