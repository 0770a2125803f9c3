"""Where in the database somebody is: every row that belongs to a customer, found by the catalogue's foreign keys.

A row belongs to whomever its own `customer_id` names. Without one, it belongs with what it refers to: a message with
its ticket, a visit with its job. A machine decides last, because it may have had other owners: what names a case too
goes with the case. Columns named like another table's key count as references where no foreign key is declared (the
audit), and so do such names in an alert's payload.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from api.conventions.call import Call
from careloop.database.queries import load_queries

SQL = load_queries("api.privacy")

ROOT = "customer"
MACHINE_TABLE = "asset"
# What is known by its number wherever a column or a payload has its name.
KNOWN_BY_NAME = {"customer_id": "customer", "ticket_id": "ticket", "asset_id": "asset"}
# These tell that somebody was merged or forgotten, by numbers alone.
RECORDS = frozenset({"customer_merge", "erasure"})


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        type: PostgreSQL's short name of its type, e.g. `int8`, `text`, `_text`.
        nullable: It may be null.
        written: Statements write it, not the database alone.
        bound: A part of a foreign key.
        listed: A check lists what it may be.
        unique: A part of a unique index.
    """

    name: str
    type: str
    nullable: bool
    written: bool
    bound: bool
    listed: bool
    unique: bool


@dataclass(frozen=True)
class Reference:
    """That a row refers to another table's row.

    Attributes:
        column: Which column refers, or holds what does.
        value: SQL expression of the value that refers.
        parent: The other table.
        to: Its column.
        as_text: The value is text although the column is a number.
    """

    column: str
    value: sql.Composable
    parent: str
    to: str
    as_text: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the service desk."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    references: tuple[Reference, ...]
    personal: frozenset[str]

    @property
    def identifier(self) -> sql.Identifier:
        """Its name with the schema."""
        return sql.Identifier("service", self.name)

    def has(self, column: str) -> bool:
        """Whether it has a column."""
        return any(one.name == column for one in self.columns)


@dataclass(frozen=True)
class Footprint:
    """All rows of a customer.

    Attributes:
        tables: Those that may have some, the customer's own first.
        numbers: Their numbers by table, where a table has one column as its key.
        where: The condition of such rows, by table; its parameters are in `numbers`, by the parent's name.
    """

    tables: Mapping[str, Table]
    numbers: Mapping[str, Sequence[Any]]
    where: Mapping[str, sql.Composable]


async def footprint_of(call: Call, customer_ids: Sequence[int]) -> Footprint:
    """All rows of a customer and of those that were merged into it.

    Args:
        call: Sees everything.
        customer_ids: The customer and those merged into it.
    """
    rows = await (await call.connection.execute(SQL["tables_of_service"])).fetchall()
    tables = {table.name: table for table in _related({row["name"]: _table(row) for row in rows})}
    where = {name: _condition(table, tables) for name, table in tables.items()}
    where[ROOT] = sql.SQL("customer_id = ANY (%(customer)s::bigint[])")
    numbers: dict[str, Sequence[Any]] = {name: [] for name in tables}
    numbers[ROOT] = list(customer_ids)
    parents = {reference.parent for table in tables.values() for reference in table.references}
    growing = True
    while growing:
        growing = False
        for name, table in tables.items():
            if name == ROOT or len(table.key) != 1 or name not in parents:
                continue
            found = await _numbers(call, table, where[name], numbers)
            growing = growing or len(found) > len(numbers[name])
            numbers[name] = found
    for name, table in tables.items():
        if len(table.key) == 1 and name not in parents:
            numbers[name] = await _numbers(call, table, where[name], numbers)
    return Footprint(tables, numbers, where)


async def _numbers(
    call: Call, table: Table, where: sql.Composable, numbers: Mapping[str, Sequence[Any]]
) -> Sequence[Any]:
    statement = sql.SQL("SELECT {key} AS number FROM {table} WHERE {where} ORDER BY 1").format(
        key=sql.Identifier(table.key[0]), table=table.identifier, where=where
    )
    rows = await (await call.connection.execute(statement, numbers, prepare=False)).fetchall()
    return [row["number"] for row in rows]


def _table(row: Mapping[str, Any]) -> Table:
    columns = tuple(Column(**column) for column in row["columns"])
    key = tuple(row["key"])
    declared = {one["column"] for one in row["refers"]}
    references = [
        Reference(one["column"], sql.Identifier(one["column"]), one["table"], one["to"]) for one in row["refers"]
    ]
    for column in columns:
        parent = KNOWN_BY_NAME.get(column.name)
        if parent is not None and parent != row["name"] and column.name not in declared:
            references.append(Reference(column.name, sql.Identifier(column.name), parent, column.name))
        if (column.name, column.type) == ("payload", "jsonb"):
            for name, known in KNOWN_BY_NAME.items():
                value = sql.SQL("{} ->> {}").format(sql.Identifier(column.name), sql.Literal(name))
                references.append(Reference(column.name, value, known, name, as_text=True))
    return Table(row["name"], key, columns, tuple(references), frozenset(row["personal"]))


def _related(tables: Mapping[str, Table]) -> Iterator[Table]:
    """The tables that refer to the customer over however many others, nearest first."""
    reached = {ROOT: tables[ROOT]}
    growing = True
    while growing:
        nearer = set(reached)
        for name, table in tables.items():
            if name in reached or name in RECORDS:
                continue
            if any(reference.parent in nearer for reference in table.references):
                reached[name] = table
        growing = len(reached) > len(nearer)
    yield from reached.values()


def _condition(table: Table, tables: Mapping[str, Table]) -> sql.Composable:
    """When a row of a table belongs to the customer; see the module's own words."""
    groups: dict[str, list[Reference]] = {"own": [], "between": [], "machine": []}
    for reference in table.references:
        if reference.parent == ROOT:
            groups["own"].append(reference)
        elif reference.parent == MACHINE_TABLE and table.name != MACHINE_TABLE:
            groups["machine"].append(reference)
        elif reference.parent in tables and reference.parent != table.name:
            groups["between"].append(reference)
    parts: list[sql.Composable] = []
    silent: list[sql.Composable] = []
    for group in ("own", "between", "machine"):
        if groups[group]:
            found = sql.SQL(" OR ").join([_holds(reference, tables) for reference in groups[group]])
            parts.append(sql.SQL("(") + sql.SQL(" AND ").join([sql.SQL("({})").format(found), *silent]) + sql.SQL(")"))
            silent += [sql.SQL("({}) IS NULL").format(reference.value) for reference in groups[group]]
    return sql.SQL("(") + (sql.SQL(" OR ").join(parts) if parts else sql.SQL("false")) + sql.SQL(")")


def _holds(reference: Reference, tables: Mapping[str, Table]) -> sql.Composable:
    parent = tables[reference.parent]
    # Said each time, because an empty list has no type.
    kind = next(column.type for column in parent.columns if column.name == parent.key[0])
    numbers = sql.SQL("{}::{}[]").format(sql.Placeholder(reference.parent), sql.Identifier("pg_catalog", kind))
    if parent.key == (reference.to,):
        cast = sql.SQL("::text[]") if reference.as_text else sql.SQL("")
        return sql.SQL("({}) = ANY ({}{})").format(reference.value, numbers, cast)
    key = sql.Identifier(parent.key[0])
    return sql.SQL("({}) IN (SELECT {} FROM {} WHERE {} = ANY ({}))").format(
        reference.value, sql.Identifier(reference.to), parent.identifier, key, numbers
    )
