"""What columns have when the person they told of is gone: SQL expressions by column.

Parameters of the expressions: `loose` and `exact`, the patterns of `traces`.
"""

from collections.abc import Iterator

from psycopg import sql

from api.privacy.references import Column, Table

_TEXTS = frozenset({"text", "varchar", "jsonb", "_text"})
# What a column is called that holds another one's hash.
_PROOF = "_sha256"


def changes_of(table: Table, *, emptier: bool) -> Iterator[tuple[str, sql.Composable]]:
    """Which columns of a table become what: personal ones blank, all other texts without what betrays the person.

    Args:
        table: The table.
        emptier: Null where a column may be null; else the word `erased`, for checks that want something to be there.
    """
    for column in table.columns:
        if not column.written or column.bound or column.name in table.key or _is_proof(table, column):
            continue
        if column.name in table.personal:
            blank = _blanked(table, column, emptier=emptier)
            if blank is not None:
                yield column.name, blank
        elif column.type in _TEXTS and not column.listed:
            yield from _redacted(table, column)


def _is_proof(table: Table, column: Column) -> bool:
    return column.name.endswith(_PROOF) and table.has(column.name.removesuffix(_PROOF))


def _redacted(table: Table, column: Column) -> Iterator[tuple[str, sql.Composable]]:
    name = sql.Identifier(column.name)
    found = sql.SQL("({n}::text ~* %(loose)s OR {n}::text ~ %(exact)s)").format(n=name)
    redacted: sql.Composable = sql.SQL("service.redacted({}, %(loose)s, %(exact)s)").format(name)
    if column.unique:
        redacted = sql.SQL("'erased-' || {}::text").format(sql.Identifier(table.key[0]))
    yield column.name, sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(found, redacted, name)
    proof = column.name + _PROOF
    if table.has(proof):
        # What proves the text must go on proving it.
        hashed = sql.SQL("encode(sha256(convert_to({}, 'UTF8')), 'hex')").format(redacted)
        yield proof, sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(found, hashed, sql.Identifier(proof))


def _blanked(table: Table, column: Column, *, emptier: bool) -> sql.Composable | None:
    """What a personal column has afterwards; None when it may stay, e.g. a time."""
    name = sql.Identifier(column.name)
    if column.type == "jsonb":
        return sql.SQL("service.redacted(service.without_words({}), %(loose)s, %(exact)s)").format(name)
    if column.unique and column.type in _TEXTS:
        # Whom it named is gone, but no two may be alike.
        number = sql.Identifier(table.key[0])
        return sql.SQL("CASE WHEN {} IS NOT NULL THEN 'erased-' || {}::text END").format(name, number)
    if column.nullable and emptier:
        return sql.SQL("NULL")
    blanks: dict[str, sql.Composable] = {
        "text": sql.SQL("CASE WHEN {n} = '' THEN '' WHEN {n} IS NOT NULL THEN 'erased' END").format(n=name),
        "_text": sql.SQL("'{}'::text[]"),
        "bytea": sql.SQL("''::bytea"),
        "float8": sql.SQL("0"),
        "numeric": sql.SQL("0"),
    }
    return blanks.get(column.type)
