"""The proof that nothing is lost: balances reckoned anew from every movement there ever was."""

from datetime import timedelta

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.conventions.call import Call
from api.stock.service import SQL

# A ledger that has moved is proved again after so long.
EVERY = timedelta(days=1)


async def reckon(call: Call) -> DictRow:
    """Reckon all balances from the movements and compare; `faults` is how many differ, `examples` the first."""
    found = await (await call.connection.execute(SQL["prove"])).fetchone()
    if found is None:
        raise LookupError("prove returned no row")
    return found


async def prove(call: Call) -> DictRow:
    """Reckon, keep what was found, and tell of faults."""
    found = await reckon(call)
    values = {**found, "examples": Jsonb(found["examples"]), "now": call.now}
    made = await (await call.connection.execute(SQL["insert_proof"], values)).fetchone()
    if found["faults"] and made is not None:
        await announce(
            call,
            topic="stock.imbalance",
            cause=f"stock_proof:{made['stock_proof_id']}",
            asset_id=None,
            subject=f"{found['faults']} balances of stock differ from their movements",
            body="GET /v1/stock/proof shows them; nothing but the ledger may write them, so find out who did.",
            payload=found,
        )
    return found


async def last_proof(call: Call) -> DictRow | None:
    """The latest proof, if there ever was one."""
    return await (await call.connection.execute(SQL["last_proof"])).fetchone()


async def run_due(call: Call) -> int:
    """Prove a ledger that has moved since the last time, once a day; how many proofs were made."""
    moved = await (await call.connection.execute(SQL["last_movement"])).fetchone()
    if moved is None:
        return 0
    proved = await last_proof(call)
    if proved is not None and (proved["last_movement_id"] == moved["movement_id"] or proved["at"] > call.now - EVERY):
        return 0
    await prove(call)
    return 1
