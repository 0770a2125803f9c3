"""Telling somebody everything that is kept about them, and forgetting them."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.customers.rules import MACHINE
from api.customers.service import get_customer, merged_away
from api.privacy.blanking import changes_of
from api.privacy.models import Erase
from api.privacy.references import Footprint, Table, footprint_of
from api.privacy.traces import Person, exact_pattern, loose_pattern, note_row
from careloop.database.queries import load_queries

SQL = load_queries("api.privacy")

# Tables that say by their columns who somebody is.
WHO = ("customer", "contact", "site", "app_user")
# Blanked by statements of their own.
BY_HAND = frozenset({"audit", "change", "session", "file_content"})
LARGEST_EXPORT_BYTES = 64 * 2**20
# Proofs of secrets and search words are nothing about a person that the rows do not say already.
_UNSHOWN_TYPES = frozenset({"bytea", "tsvector"})


# Export -----------------------------------------------------------------------------------------


async def export(call: Call, customer_id: int, *, with_files: bool) -> dict[str, Any]:
    """Every row about a customer, from every table that refers to them, and their files.

    Args:
        call: Whose connection is used.
        customer_id: Those merged into it are in it.
        with_files: Embed the bytes, up to `LARGEST_EXPORT_BYTES` of them.

    Raises:
        Problem: 404; 308 to the survivor when it was merged.
    """
    await get_customer(call, customer_id)
    footprint = await footprint_of(call, await _merged_with(call, customer_id))
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, table in footprint.tables.items():
        rows = await (await call.connection.execute(_shown(table, footprint), footprint.numbers)).fetchall()
        if rows:
            tables[f"service.{name}"] = [row["shown"] for row in rows]
    wanted = {"file_ids": list(footprint.numbers.get("file", [])), "with_content": with_files}
    files = await (await call.connection.execute(SQL["files_of"], wanted)).fetchall()
    return {
        "customer_id": customer_id,
        "exported_at": call.now,
        "tables": tables,
        "files": list(_files(files)),
    }


def _shown(table: Table, footprint: Footprint) -> sql.Composed:
    unshown = [
        column.name for column in table.columns if column.type in _UNSHOWN_TYPES or column.name.endswith("_hash")
    ]
    order = sql.SQL(", ").join([sql.Identifier(column) for column in table.key])
    return sql.SQL("SELECT to_jsonb(t) - {}::text[] AS shown FROM {} t WHERE {} ORDER BY {}").format(
        sql.Literal(unshown), table.identifier, footprint.where[table.name], order
    )


def _files(rows: Sequence[DictRow]) -> Iterator[dict[str, Any]]:
    left = LARGEST_EXPORT_BYTES
    for row in rows:
        content = row.pop("content")
        embedded = None
        if content is not None and len(content) <= left:
            left -= len(content)
            embedded = base64.b64encode(content).decode()
        yield {**row, "path": f"/v1/files/{row['file_id']}/content", "content_base64": embedded}


# Erasure ----------------------------------------------------------------------------------------


async def erase(call: Call, customer_id: int, body: Erase) -> DictRow:
    """Forget a customer for ever; cases keep their facts. Done already: the record of then.

    Raises:
        Problem: 404; 409 when the customer was merged, or has open cases or debts and nothing forces it.
    """
    customer_ids = await _merged_with(call, customer_id)
    seen = await _row(call, "customer_to_erase", {"customer_id": customer_id})
    if seen is None:
        raise Problem.not_found("customer", customer_id)
    if seen["merged_into"] is not None:
        raise merged_away(seen)
    record = await _row(call, "erasure_of", {"customer_id": customer_id})
    if record is not None:
        return record
    to = MACHINE.require(customer_id, seen["state"], "erase")
    whose = {"customer_ids": customer_ids}
    obstacles = await _rows(call, "obstacles_to_erasing", whose)
    if obstacles and body.force is None:
        said = "; ".join(f"{one['what']}: ticket {one['ticket_id']}, {one['detail']}" for one in obstacles[:5])
        raise Problem.conflict("erasure-obstacles", f"{said}; end them, or give force a reason", obstacles=obstacles)
    # Whoever writes into a case of theirs waits until it is over.
    await call.connection.execute(SQL["lock_tickets_of"], whose)
    await call.connection.execute(SQL["begin_erasing"])
    footprint = await footprint_of(call, customer_ids)
    person = await _person(call, footprint)
    patterns = {"loose": loose_pattern(person), "exact": exact_pattern(person)}
    counts = await _forget(call, footprint, person, patterns, whose)
    await call.connection.execute(SQL["retire_erased"], {"customer_id": customer_id, "to": to})
    await _forget_audit(call, await footprint_of(call, customer_ids), patterns, counts)
    values = {
        **patterns,
        **body.model_dump(),
        "customer_id": customer_id,
        "now": call.now,
        "actor": call.principal.name,
        "obstacles": Jsonb(obstacles),
        "counts": Jsonb(counts),
    }
    record = await _row(call, "insert_erasure", values)
    await call.connection.execute(SQL["end_erasing"])
    if record is None:
        raise LookupError("insert_erasure returned no row")
    return record


async def get_erasure(call: Call, customer_id: int) -> DictRow:
    """The record that a customer was erased.

    Raises:
        Problem: 404.
    """
    record = await _row(call, "erasure_of", {"customer_id": customer_id})
    if record is None:
        raise Problem.not_found("erasure of customer", customer_id)
    return record


async def _forget(
    call: Call, footprint: Footprint, person: Person, patterns: Mapping[str, str], whose: Mapping[str, Any]
) -> dict[str, int]:
    """Blank and delete everything but the audit; counts rows by table."""
    counts: dict[str, int] = {}
    numbers = {**footprint.numbers, **patterns}
    await call.connection.execute(SQL["erase_logins"], whose)
    for query, cleared in (("erase_sessions", "session"), ("erase_keys", "api_key")):
        counts[cleared] = (await call.connection.execute(SQL[query], {**whose, "now": call.now})).rowcount
    alerts, files = footprint.numbers.get("alert", []), footprint.numbers.get("file", [])
    await call.connection.execute(SQL["erase_alerts"], {"alert_ids": list(alerts)})
    counts["file_content"] = (await call.connection.execute(SQL["erase_files"], {"file_ids": list(files)})).rowcount
    answers = {"principals": _principals(footprint), "texts": _bytes_of(person), "numbers": _said_numbers(footprint)}
    counts["idempotency_key"] = (await call.connection.execute(SQL["erase_answers"], answers)).rowcount
    for name, table in footprint.tables.items():
        if name not in BY_HAND:
            counts[name] = await _blank(call, table, footprint.where[name], numbers)
    tickets = list(footprint.numbers.get("ticket", []))
    await call.connection.execute(SQL["index_tickets_anew"], {"ticket_ids": tickets})
    return {name: count for name, count in counts.items() if count}


async def _blank(call: Call, table: Table, where: sql.Composable, numbers: Mapping[str, Any]) -> int:
    """Blank the personal columns of a table's rows, and what betrays the person in the others.

    Empty where it may be empty; where a check of the table wants something to be there, the word `erased`.
    """
    for emptier in (True, False):
        changes = dict(changes_of(table, emptier=emptier))
        if not changes:
            return 0
        pairs = [(sql.Identifier(name), new) for name, new in changes.items()]
        sets: list[sql.Composable] = [sql.SQL("{} = {}").format(column, new) for column, new in pairs]
        if any((column.name, column.type) == ("version", "int4") for column in table.columns):
            sets.append(sql.SQL("version = version + 1"))
        differs = sql.SQL(" OR ").join([sql.SQL("{} IS DISTINCT FROM {}").format(*pair) for pair in pairs])
        statement = sql.SQL("UPDATE {} SET {} WHERE {} AND ({})").format(
            table.identifier, sql.SQL(", ").join(sets), where, differs
        )
        try:
            async with call.connection.transaction():
                return (await call.connection.execute(statement, numbers, prepare=False)).rowcount
        except psycopg.errors.CheckViolation:
            if not emptier:
                raise
    raise AssertionError("both ways were tried")


async def _forget_audit(call: Call, footprint: Footprint, patterns: Mapping[str, str], counts: dict[str, int]) -> None:
    """Blank the audit of all these rows, what the erasure itself wrote there included."""
    keys = await _keys(call, footprint)
    found = await _rows(call, "audit_of_keys", keys)
    found += await _rows(call, "audit_of_bytes", {"principals": _principals(footprint)})
    audit_ids = sorted({*footprint.numbers["audit"], *(row["audit_id"] for row in found)})
    for table, values in (
        ("audit", {"audit_ids": audit_ids}),
        ("change", {"change_ids": list(footprint.numbers["change"])}),
    ):
        query = "erase_audit" if table == "audit" else "erase_changes"
        row = await _row(call, query, {**patterns, **values})
        if row is not None and row["blanked"]:
            counts[table] = row["blanked"]


async def _keys(call: Call, footprint: Footprint) -> dict[str, list[str]]:
    """The rows as the audit names them: `table_names` and `row_keys`, pairwise; deleted ones, too."""
    pairs: list[tuple[str, str]] = []
    numbers = {name: [str(number) for number in found] for name, found in footprint.numbers.items()}
    for name, table in footprint.tables.items():
        if not table.key or name in {"audit", "change"}:
            continue
        key = sql.SQL("concat_ws(',', {})").format(sql.SQL(", ").join([sql.Identifier(one) for one in table.key]))
        statement = sql.SQL("SELECT {} AS key FROM {} WHERE {}").format(key, table.identifier, footprint.where[name])
        rows = await (await call.connection.execute(statement, footprint.numbers, prepare=False)).fetchall()
        pairs += [(name, row["key"]) for row in rows]
        for reference in table.references:
            if reference.parent != "asset":
                wanted = {"table_name": name, "column": reference.column, "numbers": numbers.get(reference.parent, [])}
                gone = await _rows(call, "deleted_rows", wanted)
                pairs += [(name, row["row_key"]) for row in gone]
                numbers.setdefault(name, []).extend(row["row_key"] for row in gone)
    return {"table_names": [name for name, _ in pairs], "row_keys": [key for _, key in pairs]}


async def _person(call: Call, footprint: Footprint) -> Person:
    """By what the customer would be recognised: what is kept now, and what was kept before."""
    person = Person()
    business = False
    now: dict[str, list[str]] = {"table_names": [], "row_keys": []}
    for name in WHO:
        table = footprint.tables[name]
        statement = sql.SQL("SELECT to_jsonb(t) AS row FROM {} t WHERE {}").format(
            table.identifier, footprint.where[name]
        )
        for row in await (await call.connection.execute(statement, footprint.numbers, prepare=False)).fetchall():
            business = business or row["row"].get("kind") == "business"
            note_row(person, name, row["row"], business=business)
            now["table_names"].append(name)
            now["row_keys"].append(str(row["row"][table.key[0]]))
    for row in await _rows(call, "former_values", now):
        note_row(person, row["table_name"], row["before"], business=business)
    return person


def _principals(footprint: Footprint) -> list[str]:
    users = [f"user:{number}" for number in footprint.numbers.get("app_user", [])]
    return users + [f"key:{number}" for number in footprint.numbers.get("api_key", [])]


def _bytes_of(person: Person) -> list[bytes]:
    return [text.encode() for text in sorted(person.texts)]


def _said_numbers(footprint: Footprint) -> list[str]:
    """The rows as a stored answer would name them, e.g. `ticket_id:12`."""
    return [
        f"{table.key[0]}:{number}"
        for name, table in footprint.tables.items()
        if len(table.key) == 1 and name not in {"audit", "change", "asset"}
        for number in footprint.numbers[name]
    ]


async def _merged_with(call: Call, customer_id: int) -> list[int]:
    rows = await _rows(call, "merged_into_customer", {"customer_id": customer_id})
    return [row["customer_id"] for row in rows] or [customer_id]


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def _rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    return await (await call.connection.execute(SQL[query], values, prepare=False)).fetchall()
