"""Two records of one customer become one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.customers import rules
from api.customers.models import Merge
from api.customers.service import merged_away
from careloop.database.queries import load_queries

SQL = load_queries("api.customers")

# Whoever was writing to a customer while it was merged has ended by then.
STRAY_FOR = timedelta(minutes=10)


async def merge(call: Call, customer_id: int, body: Merge, version: int) -> DictRow:
    """Let another customer take in this one with everything that refers to it; returns the record of it.

    Done already: the record of then, with nothing changed but what has strayed since.

    Raises:
        Problem: 404, 409 when either is merged elsewhere or erased, 412, 422.
    """
    if body.into == customer_id:
        raise Problem.bad_field("body.into", "is the same customer")
    pair = {"from_customer": customer_id, "into_customer": body.into}
    rows = await (await call.connection.execute(SQL["lock_both"], pair)).fetchall()
    both = {row["customer_id"]: row for row in rows}
    if customer_id not in both:
        raise Problem.not_found("customer", customer_id)
    if body.into not in both:
        raise Problem.bad_field("body.into", f"there is no customer {body.into}")
    merged, survivor = both[customer_id], both[body.into]
    if merged["merged_into"] == body.into:
        await _move_references(call, pair)
        return await _record_of(call, customer_id)
    _require_mergeable(merged, survivor)
    if merged["version"] != version:
        raise changed_meanwhile("customer", version)
    if survivor["version"] != body.into_version:
        raise changed_meanwhile(f"customer {body.into}", body.into_version)
    return await _merge(call, pair)


def _require_mergeable(merged: Mapping[str, Any], survivor: Mapping[str, Any]) -> None:
    for row in (merged, survivor):
        if row["merged_into"] is not None:
            raise merged_away(row)
    rules.MACHINE.require(merged["customer_id"], merged["state"], "merge")
    if survivor["state"] != "active":
        detail = f"customer {survivor['customer_id']} is {survivor['state']}; only an active one takes in another"
        raise Problem.conflict("customer-state", detail, state=survivor["state"])


async def _merge(call: Call, pair: Mapping[str, int]) -> DictRow:
    withdraw = rules.to_withdraw(
        await _consents(call, pair["into_customer"]), await _consents(call, pair["from_customer"])
    )
    await call.connection.execute(SQL["take_over"], pair)
    to = rules.MACHINE.moves["active"]["merge"]
    await call.connection.execute(SQL["retire_merged"], {**pair, "to": to})
    moved = await _move_references(call, pair)
    await call.connection.execute(SQL["rest_double_contacts"], pair)
    for channel, purpose in withdraw:
        source = f"merge with customer {pair['from_customer']}: one of the two had withdrawn"
        values = {
            "customer_id": pair["into_customer"],
            "channel": channel,
            "purpose": purpose,
            "state": "withdrawn",
            "source": source,
            "at": call.now,
            "actor": call.principal.name,
            "now": call.now,
        }
        await call.connection.execute(SQL["insert_consent"], values)
    record = {
        **pair,
        "now": call.now,
        "actor": call.principal.name,
        "moved": Jsonb(moved),
        "withdrawn": Jsonb([f"{channel}:{purpose}" for channel, purpose in withdraw]),
    }
    row = await (await call.connection.execute(SQL["insert_merge"], record)).fetchone()
    if row is None:
        raise LookupError("insert_merge returned no row")
    return row


async def _consents(call: Call, customer_id: int) -> dict[tuple[str, str], str]:
    rows = await (await call.connection.execute(SQL["current_consents"], {"customer_id": customer_id})).fetchall()
    return {(row["channel"], row["purpose"]): row["state"] for row in rows}


async def _move_references(call: Call, pair: Mapping[str, int]) -> dict[str, int]:
    """Give everything that refers to the merged customer to the survivor, whatever table it is in; counts by table.

    Raises:
        Problem: 409 when a table allows one row per customer and both have one.
    """
    moved: dict[str, int] = {}
    for row in await (await call.connection.execute(SQL["references_to_customer"])).fetchall():
        table = f"{row['schema_name']}.{row['table_name']}"
        column = sql.Identifier(row["column_name"])
        statement = sql.SQL("UPDATE {} SET {} = %(into_customer)s WHERE {} = %(from_customer)s").format(
            sql.Identifier(row["schema_name"], row["table_name"]), column, column
        )
        try:
            async with call.connection.transaction():
                count = (await call.connection.execute(statement, pair)).rowcount
        except psycopg.errors.UniqueViolation as error:
            detail = f"both customers have a row in {table} that can be there once only; remove one of them first"
            raise Problem.conflict("merge-clash", detail, table=table) from error
        if count:
            moved[table] = moved.get(table, 0) + count
    return moved


async def _record_of(call: Call, customer_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["merge_of"], {"from_customer": customer_id})).fetchone()
    if row is None:
        raise LookupError(f"customer {customer_id} is merged without a record")
    return row


async def list_merges(call: Call, customer_id: int, parameters: Mapping[str, int]) -> list[DictRow]:
    """Whom a customer took in, oldest first."""
    values = {**parameters, "customer_id": customer_id}
    return await (await call.connection.execute(SQL["list_merges"], values)).fetchall()


async def run_due(call: Call) -> int:
    """Fetch what was written to a customer at the very moment of its merge; tells how many rows."""
    values = {"since": call.now - STRAY_FOR, "now": call.now}
    rows = await (await call.connection.execute(SQL["merges_lately"], values)).fetchall()
    return sum([sum((await _move_references(call, pair)).values()) for pair in rows])
