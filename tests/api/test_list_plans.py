"""Every list of the API stands on an index: its plan is read on a database where every table is large.

By construction: each statement of a `queries.sql` of the API whose name begins with `list_`, `search_` or `pick_` is
explained with nothing but what it must have, then with each optional filter by itself; and the lists of tickets with
each way they can be walked. Tables are filled by the types of their columns, after their constraints were dropped, with
values that differ from row to row where no constraint lists them: so a filter without an index is a sequential scan
here, as it would be on two million rows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.tickets.filters import BUILT_IN, PIECES, Viewer, walk_of
from api.tickets.models import TicketWish
from careloop.database.engine import connect
from tests.house.test_queries import _statements

ROWS = 2000
# Tables that a person fills by hand, a few dozen rows, or a few hundred: reading one whole is as quick as an index.
SMALL = {
    "alert_target", "calendar", "component", "extension_right", "metric", "model_metric", "plan", "plan_part",
    "product_model", "provider", "sla_policy", "ticket_filter", "ticket_route", "warehouse",
}  # fmt: skip
# What looks at everything, because that is the question.
WHOLE = {
    "api.customers: list_duplicates": "compares all customers with one another",
    "api.reports": "statistics of all facts there are",
    "api.stock: list_values": "what all that is held is worth needs the prices of all parts",
}
# A filter that its route takes only together with another one.
TOGETHER = {("api.access: list_audit", "row_key"): "table_name", ("api.stocking: list_idle", "kind"): "warehouse"}

_LIST = re.compile(r"^(list|search|pick)_")
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sbt]")
_OPTIONAL = re.compile(r"%\((\w+)\)[sbt](?:::[\w\[\]]+)? IS NULL")
_CHOICE = re.compile(r"CHECK \(\((\w+) = ANY \(ARRAY\[([^\]]*)\]\)\)\)")
_WRONG = re.compile(r'(?:for type ([\w ]+)|(array) literal): "(p\d+)"')
_SAMPLES = {
    "bigint": "3", "integer": "3", "smallint": "3", "timestamp with time zone": "2026-01-02T00:00:00Z",
    "date": "2026-01-02", "boolean": "true", "uuid": "00000000-0000-4000-8000-000000000007", "real": "0.5",
    "double precision": "0.5", "numeric": "5", "interval": "1 day", "json": "{}", "array": "{3}",
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(postgres) -> Iterator[psycopg.Connection]:
    """Every table of the service desk with some thousand rows, and statistics of them."""
    with connect(postgres.url_of("postgres")) as server:
        server.execute("CREATE DATABASE list_plans TEMPLATE careloop STRATEGY file_copy")
    with connect(postgres.url_of("list_plans")) as connection:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            for table in _tables(connection):
                _fill(connection, table)
        connection.execute("ANALYZE")
        yield connection
    with connect(postgres.url_of("postgres")) as server:
        server.execute("DROP DATABASE list_plans WITH (FORCE)")


def _tables(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'service'::regnamespace AND relkind = 'r' ORDER BY relname"
    )
    return [row["relname"] for row in rows]


def _fill(connection: psycopg.Connection, table: str) -> None:
    choices: dict[str, str] = {}
    for row in connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) AS rule FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype IN ('c', 'x')",
        (f"service.{table}",),
    ).fetchall():
        listed = _CHOICE.fullmatch(row["rule"])
        if listed:
            choices[listed[1]] = f"(ARRAY[{listed[2]}])[1 + i % cardinality(ARRAY[{listed[2]}])]"
        connection.execute(f'ALTER TABLE service.{table} DROP CONSTRAINT "{row["conname"]}"')
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        (f"service.{table}",),
    ).fetchall()
    names = ", ".join(f'"{column["attname"]}"' for column in columns)
    values = ", ".join(choices.get(column["attname"], _value(column["kind"])) for column in columns)
    connection.execute(f"DELETE FROM service.{table}")
    connection.execute(
        f"INSERT INTO service.{table} ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {values} FROM generate_series(1, {ROWS}) AS i ON CONFLICT DO NOTHING"
    )


def _value(kind: str) -> str:
    """A value of a column in the i-th row."""
    if kind.endswith("[]"):
        return f"ARRAY[{_value(kind.removesuffix('[]'))}]"
    return {
        "text": "'v' || i", "character varying": "'v' || i", "bigint": "i", "integer": "i", "smallint": "i % 30000",
        "boolean": "i % 2 = 0", "timestamp with time zone": "timestamptz '2026-01-01Z' + i * interval '1 minute'",
        "date": "date '2020-01-01' + i % 3000", "jsonb": "'{}'::jsonb", "bytea": "int4send(i)",
        "uuid": "md5(i::text)::uuid", "double precision": "i", "real": "i", "numeric": "i",
        "tsvector": "('''v' || i || '''')::tsvector", "interval": "i * interval '1 minute'",
        "time without time zone": "time '08:00'", "xid8": "i::text::xid8", "tstzmultirange": "'{}'::tstzmultirange",
    }[kind]  # fmt: skip


def _lists() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    code = sorted(path.relative_to(root) for path in (root / "api").rglob("*.py"))
    return {
        name: text
        for name, text in _statements(root, code)
        if name.startswith("api.") and any(_LIST.match(piece) for piece in name.partition(": ")[2].split(" + "))
    }


def _variants(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is given besides the necessary, and the parameters: None, or a mark that tells whose type is wrong."""
    names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    optional = set(_OPTIONAL.findall(text))
    marks = {key: f"p{place}" for place, key in enumerate(names)}
    for given in (None, *sorted(optional)):
        wanted = {given, TOGETHER.get((name, given))}
        kept = {key: None if key in optional - wanted else mark for key, mark in marks.items()}
        yield given or "nothing", kept


def _plan(connection: psycopg.Connection, text: str, values: dict[str, Any]) -> dict[str, Any]:
    """The plan, with each mark replaced by a value of the type that PostgreSQL wants there."""
    for _ in range(len(values) + 1):
        try:
            with connection.transaction(force_rollback=True), psycopg.ClientCursor(connection) as cursor:
                cursor.execute("EXPLAIN (FORMAT JSON) " + text, values)
                return cursor.fetchone()["QUERY PLAN"][0]["Plan"]
        except (psycopg.errors.InvalidTextRepresentation, psycopg.errors.InvalidDatetimeFormat) as error:
            wrong = _WRONG.search(str(error))
            if wrong is None:
                raise
            name = next(name for name, value in values.items() if value == wrong[3])
            values = {**values, name: _SAMPLES[wrong[1] or wrong[2]]}
    raise AssertionError(f"no values fit: {text}")


def _scanned(plan: dict[str, Any]) -> set[str]:
    """The large tables that a plan reads whole."""
    here = (
        {plan["Relation Name"]}
        if plan["Node Type"] == "Seq Scan" and plan.get("Schema", "service") == "service"
        else set()
    )
    return here.union(*(_scanned(part) for part in plan.get("Plans", ()))) - SMALL


def test_no_list_reads_a_table_whole(filled) -> None:
    lists, wrong = _lists(), []
    service_tables = set(_tables(filled))
    for name, text in lists.items():
        if name in WHOLE or name.partition(":")[0] in WHOLE:
            continue
        for given, values in _variants(name, text):
            scanned = _scanned(_plan(filled, text, values)) & service_tables
            if scanned:
                wrong.append(f"{name} with {given} reads all of {', '.join(sorted(scanned))}")
    assert len(lists) > 50
    assert not wrong, "\n".join(wrong)


def test_each_way_to_list_tickets_walks_its_index(filled) -> None:
    """All walks and fits, in both orders of numbers, each asked for by a wish: page, end of page, and count."""
    wishes = {
        **BUILT_IN,
        "everything": TicketWish(),
        "by date": TicketWish(order="due", kinds=["repair"], serial="v7"),
        "of a machine": TicketWish(serial="v7", component="v8"),
        "of a customer": TicketWish(customer_id=7, tag="v7"),
        "watched": TicketWish(watched=True, reopened=True),
        "somebody's": TicketWish(owner=7, reopened=False),
        "somebody's now": TicketWish(owner=7, states=["open"]),
        "tagged": TicketWish(tag="v7", owner="nobody"),
        "a partner's": TicketWish(provider_id=7, service_modes=["remote"]),
        "a partner's now": TicketWish(provider_id=7, states=["open"], queue="v9"),
        "queued": TicketWish(queue="v7", priorities=["low"]),
        "queued now": TicketWish(queue="v7", overdue=True),
        "to claim in a queue": TicketWish(queue="v7", owner="nobody", states=["open"]),
        "without a job": TicketWish(needs_job=True),
        "not without a job": TicketWish(needs_job=False),
        "kind and state": TicketWish(kinds=["recall"], states=["closed"]),
        "kind": TicketWish(kinds=["recall"]),
        "active": TicketWish(states=["open", "scheduled"]),
        "two of all": TicketWish(customer_id=7, serial="v7", owner=7, provider_id=7, watched=True, queue="v7"),
        "unclaimed and without a job": TicketWish(provider_id=7, needs_job=True),
    }
    walked: set[str] = set()
    wrong = []
    for name, wish in wishes.items():
        for order in (wish.order,) if wish.order else ("oldest", "newest"):
            walk, values = walk_of(wish.model_copy(update={"order": order}), Viewer(7, None, None))
            walked |= {walk.along, *walk.fits}
            given = {
                **values,
                "after_id": 1000,
                "after_due": "2026-01-01Z",
                "fetch": 6,
                "scan": 100,
                "now": "2026-01-02Z",
            }
            for what, text in (("page", walk.rows()), ("end", walk.reached()), ("count", walk.count())):
                plan = _plan(filled, text, given)
                if _scanned(plan) or (what == "page" and "Sort" in _nodes_on_tickets(plan)):
                    wrong.append(f"{name} ({order}, {what}): {_told(plan)}")
    assert not wrong, "\n".join(wrong)
    assert walked == {name for name in PIECES if name != "columns"}, "a piece that no wish uses, or is not tried here"


def _told(plan: dict[str, Any]) -> str:
    inner = ", ".join(_told(part) for part in plan.get("Plans", ()))
    return f"{plan['Node Type']} {plan.get('Index Name') or plan.get('Relation Name') or ''} [{inner}]"


def _nodes_on_tickets(plan: dict[str, Any]) -> set[str]:
    """Kinds of the nodes below the first limit: a sort there would read a whole walk for each page."""
    if plan["Node Type"] == "Limit":
        return _kinds(plan)
    return set().union(*(_nodes_on_tickets(part) for part in plan.get("Plans", ())))


def _kinds(plan: dict[str, Any]) -> set[str]:
    return {plan["Node Type"]}.union(*(_kinds(part) for part in plan.get("Plans", ())))


def test_a_filter_without_an_index_would_be_found(filled) -> None:
    text = (
        "SELECT ticket_id FROM service.ticket WHERE ticket_id > %(after_id)s AND (%(x)s::text IS NULL OR title = %(x)s)"
    )
    variants = dict(_variants("", text + " ORDER BY ticket_id LIMIT %(fetch)s"))
    assert set(variants) == {"nothing", "x"}
    assert _scanned(_plan(filled, text + " ORDER BY ticket_id LIMIT %(fetch)s", variants["x"])) == {"ticket"}
    assert _scanned(_plan(filled, text + " ORDER BY ticket_id LIMIT %(fetch)s", variants["nothing"])) == set()
