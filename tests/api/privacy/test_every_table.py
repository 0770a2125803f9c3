"""Every table that refers to a customer, over however many others, is filled with a person in every column, and erased.

The rows are put straight into the tables, with triggers, foreign keys and checks off, because no table may be left out
that somebody adds later; test_privacy.py does the same the way people do it.
"""

import pytest
from psycopg import sql

from careloop.database.engine import connect

NAME, MAIL, PHONE = "Marta Beispiel", "marta.beispiel@example.com", "+4915123456789"
SAID = f"{NAME} said: write to {MAIL}, or call 0151 / 234 567 89"
VALUES = {
    "text": SAID, "varchar": SAID, "_text": [SAID, "x"], "bool": True, "int2": 1, "int4": 1, "int8": 1, "float8": 1.5,
    "numeric": 1, "date": "2026-01-01", "timestamptz": "2026-01-01T00:00:00Z", "time": "08:00", "uuid": "0" * 32,
    "interval": "1 day", "_int4": [1], "_int8": [1], "inet": "192.0.2.1", "xid8": "1", "tstzrange": "empty",
    "tsvector": "marta beispiel",
    "tstzmultirange": "{}", "daterange": "empty", "_date": ["2026-01-01"], "_timestamptz": ["2026-01-01T00:00:00Z"],
}  # fmt: skip
# Rows that HTTP made before; and records that tell by numbers alone.
MADE = {"customer", "contact", "site", "asset", "ticket"}
RECORDS = {"customer_merge", "erasure"}

COLUMNS = """
    SELECT c.relname AS "table", a.attname AS name, y.typname AS type, a.attnotnull AS needed,
           a.attgenerated <> '' OR a.attidentity <> '' AS made,
           EXISTS (SELECT FROM pg_constraint k
                   WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
                     AND pg_get_constraintdef(k.oid) LIKE '%= ANY (ARRAY[%') AS listed,
           EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'f')
                   AND a.attnum = ANY (k.conkey)) AS key,
           (SELECT t.relname FROM pg_constraint k JOIN pg_class t ON t.oid = k.confrelid
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum] LIMIT 1) AS refers
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type y ON y.oid = a.atttypid
    WHERE c.relnamespace = 'service'::regnamespace AND c.relkind = 'r'
    ORDER BY c.relname, a.attnum
"""
CHECKS = """
    SELECT c.relname AS "table", k.conname AS name FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    LEFT JOIN pg_class t ON t.oid = k.confrelid
    WHERE c.relnamespace = 'service'::regnamespace AND c.relname <> 'audit'
      AND (k.contype = 'c'
           AND NOT (cardinality(k.conkey) = 1 AND pg_get_constraintdef(k.oid) LIKE '%%= ANY (ARRAY[%%')
           OR k.contype = 'f' AND t.relname <> ALL (%s))
"""
LISTS = """
    SELECT (regexp_match(pg_get_constraintdef(k.oid), '''([^'']*)''::text'))[1] AS first
    FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
    WHERE k.conrelid = ('service.' || %s)::regclass AND a.attname = %s AND k.contype = 'c'
      AND pg_get_constraintdef(k.oid) LIKE '%%= ANY (ARRAY[%%'
"""


@pytest.fixture
def person(api):
    """A customer with a machine and a case."""
    with api.client("desk_lead") as desk:
        desk.post("/v1/product-models", {"code": "M", "name": "M", "kind": "washer"})
        body = {"name": NAME, "contacts": [{"name": NAME, "phone": PHONE, "email": MAIL}], "sites": [{"name": SAID}]}
        customer = desk.post("/v1/customers", body)
        site_id = customer["sites"][0]["site_id"]
        installed = {"serial": "S-1", "model": "M", "installed_at": "2026-01-01T00:00:00Z", "site_id": site_id}
        desk.post("/v1/assets", installed)
        desk.post("/v1/tickets", {"kind": "repair", "serial": "S-1", "title": SAID, "evidence": {"said": SAID}})
        yield desk, customer["customer_id"]


def _tables(connection):
    """The columns of each table that refers to a customer, parents first."""
    tables = {}
    for column in connection.execute(COLUMNS).fetchall():
        tables.setdefault(column["table"], []).append(column)
    reached = ["customer"]
    for _ in tables:
        reached += [
            name for name, columns in tables.items()
            if name not in reached and any(column["refers"] in reached for column in columns)
        ]  # fmt: skip
    return {name: tables[name] for name in reached if name not in RECORDS}


def _fill(connection, name, columns, tables):
    """A row with the person in every column that can hold one."""
    row = {}
    for column in columns:
        if column["made"]:
            continue
        if column["refers"] in tables:
            row[column["name"]] = 1
        elif column["refers"]:
            row[column["name"]] = 1 if column["needed"] else None
        elif column["key"] and column["type"] == "text":
            row[column["name"]] = "code-1"
        elif column["listed"]:
            row[column["name"]] = connection.execute(LISTS, (name, column["name"])).fetchone()["first"]
        elif column["type"] == "jsonb":
            row[column["name"]] = f'{{"said": "{SAID}", "by": ["{NAME}", 5], "state": "open", "ticket_id": 1}}'
        elif column["type"] == "bytea":
            row[column["name"]] = b"x" * 32 if column["name"].endswith(("_hash", "sha256")) else SAID.encode()
        else:
            row[column["name"]] = VALUES[column["type"]]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier("service", name),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() for _ in row),
    )
    connection.execute(statement, list(row.values()))


def test_nothing_of_a_person_is_left_in_any_table(api, person, places_of) -> None:
    desk, customer_id = person
    filled = []
    with connect(api.database_url) as connection:
        tables = _tables(connection)
        assert len(tables) > 50
        assert {"ticket_event", "message", "quote", "visit_report", "file", "session", "shipment"} <= set(tables)
        for check in connection.execute(CHECKS, [list(tables)]).fetchall():
            drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
            connection.execute(drop.format(sql.Identifier("service", check["table"]), sql.Identifier(check["name"])))
        connection.execute("SET session_replication_role = replica")
        for name, columns in tables.items():
            there = connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier("service", name)))
            if name not in MADE and (there.fetchone() is None or name == "api_key"):
                _fill(connection, name, columns, tables)
                filled.append(f"service.{name}")
    stained = set(places_of(NAME, MAIL))
    assert len(stained) > 40, stained
    export = desk.get(f"/v1/customers/{customer_id}/export")
    assert set(export["tables"]) >= set(filled) - {"service.idempotency_key"}

    erasure = desk.post(f"/v1/customers/{customer_id}/erase", {"reason": "test", "force": "test"})
    left = places_of(NAME, "Marta", "Beispiel", MAIL, PHONE, "0151 / 234 567 89")
    assert left == {}, sorted(left)
    assert len(erasure["counts"]) > 40
