"""Migrations reproduce schema.sql: a database made by either has the same catalogue."""

import pytest

from careloop.database.engine import connect, detect_engine
from careloop.database.migrations import migrate
from careloop.database.schema import schema_for

# Each row is a text, so that a difference reads as what it is.
CATALOGUE = {
    "columns": """
        SELECT format('%I.%I.%I %s%s default %s identity %s generated %s', n.nspname, c.relname, a.attname,
                      format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END,
                      pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated) AS line
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE n.nspname = ANY(%(schemas)s) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')
    """,
    "constraints": """
        SELECT format('%s: %I %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid)) AS line
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname = ANY(%(schemas)s)
    """,
    "indexes": "SELECT indexdef AS line FROM pg_indexes WHERE schemaname = ANY(%(schemas)s)",
    "views": """
        SELECT format('%I.%I %s', schemaname, viewname, definition) AS line FROM pg_views
        WHERE schemaname = ANY(%(schemas)s)
    """,
    "routines": """
        SELECT pg_get_functiondef(p.oid) AS line FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ANY(%(schemas)s)
    """,
    "triggers": """
        SELECT pg_get_triggerdef(t.oid) AS line FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%(schemas)s) AND NOT t.tgisinternal
    """,
    "sequences": "SELECT format('%I.%I %s', schemaname, sequencename, data_type) AS line FROM pg_sequences "
    "WHERE schemaname = ANY(%(schemas)s)",
    "partitions": """
        SELECT format('%s %s', partrelid::regclass, pg_get_partkeydef(partrelid)) AS line FROM pg_partitioned_table t
        JOIN pg_class c ON c.oid = t.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(%(schemas)s)
    """,
}
TIMESCALEDB = {
    "hypertables": """
        SELECT format('%I.%I %s dimensions, compression %s', hypertable_schema, hypertable_name, num_dimensions,
                      compression_enabled) AS line
        FROM timescaledb_information.hypertables WHERE hypertable_schema = ANY(%(schemas)s)
    """,
    "dimensions": """
        SELECT format('%I %I %s', hypertable_name, column_name, time_interval) AS line
        FROM timescaledb_information.dimensions WHERE hypertable_schema = ANY(%(schemas)s)
    """,
    "compression": """
        SELECT format('%I %I %s %s %s', hypertable_name, attname, segmentby_column_index, orderby_column_index,
                      orderby_asc) AS line
        FROM timescaledb_information.compression_settings WHERE hypertable_schema = ANY(%(schemas)s)
    """,
    "continuous aggregates": """
        SELECT format('%I %s %s', view_name, materialized_only, view_definition) AS line
        FROM timescaledb_information.continuous_aggregates WHERE view_schema = ANY(%(schemas)s)
    """,
}
SCHEMAS = ["service", "telemetry", "prediction", "scheduling"]


def catalogue(url: str) -> dict[str, list[str]]:
    with connect(url) as connection:
        queries = CATALOGUE | (TIMESCALEDB if detect_engine(connection).name == "timescaledb" else {})
        return {
            name: sorted(row["line"] for row in connection.execute(sql.replace("%I", "%%I").replace("%s", "%%s"),
                                                                   {"schemas": SCHEMAS}).fetchall())
            for name, sql in queries.items()
        }  # fmt: skip


@pytest.fixture
def without_numbers():
    """TimescaleDB names its internal tables by a running number, which a second making of the schema goes on from."""
    import re

    return lambda lines: [
        re.sub(r"(_hypertable_|cagg_watermark\(|invalidation_trigger\(')\d+", r"\1N", line) for line in lines
    ]


def test_migrations_reproduce_the_schema_files(empty_store_url: str, without_numbers) -> None:
    with connect(empty_store_url) as connection:
        engine = detect_engine(connection)
        if engine.name == "timescaledb":
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        with connection.transaction():
            connection.execute(schema_for(engine.name))
    written = catalogue(empty_store_url)
    with connect(empty_store_url) as connection:
        for schema in reversed(SCHEMAS):
            connection.execute(f"DROP SCHEMA {schema} CASCADE")
        migrate(connection)
    migrated = catalogue(empty_store_url)
    assert {name: without_numbers(lines) for name, lines in written.items()} == {
        name: without_numbers(lines) for name, lines in migrated.items()
    }, "migrations and schema files differ; run: python -m careloop.database.schema"
    assert len(migrated["columns"]) > 100
    assert len(migrated["routines"]) >= 4
    with connect(empty_store_url) as connection:
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|_?timescaledb|toolkit|information_schema|public)'"
        ).fetchall()
    assert sorted(row["nspname"] for row in found) == sorted(SCHEMAS), "a schema that this test does not compare"
