"""Least privilege: each service's login can do its own work and nothing of another's."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import Connection, sql

from careloop.cli import main
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.database.roles import create_service_login, create_service_roles

SERVICES = ("ingest", "predictor", "scheduler", "api")


@pytest.fixture
def logins(database_url: str) -> Iterator[dict[str, Connection]]:
    """A connection per service, logged in as a member of its group role."""
    tag = uuid.uuid4().hex[:8]
    connections: dict[str, Connection] = {}
    with connect(database_url) as owner:
        create_service_roles(owner)
        for service in SERVICES:
            login = f"{service}_{tag}"
            create_service_login(owner, service, login, "s3cret/?#")
            url = psycopg.conninfo.make_conninfo(database_url, user=login, password="s3cret/?#")
            connections[service] = connect(url)
    yield connections
    for connection in connections.values():
        connection.close()
    with connect(database_url) as owner:
        for service in SERVICES:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"{service}_{tag}")))


ALLOWED = [
    ("ingest", "SELECT * FROM telemetry.asset"),
    ("ingest", "SELECT * FROM telemetry.declared_metric"),
    ("ingest", "SELECT * FROM telemetry.desired_config, telemetry.issued_command"),
    ("ingest", "SELECT telemetry.ensure_reading_day('2015-07-01')"),
    ("ingest", "INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES ('m', true, now())"),
    ("ingest", "DELETE FROM telemetry.hourly"),
    ("ingest", "CALL telemetry.refresh_hourly('2015-07-01', '2015-07-02')"),
    ("ingest", "SELECT telemetry.drop_readings_before('2000-01-01')"),
    ("predictor", "SELECT * FROM telemetry.hourly, telemetry.reading, telemetry.event"),
    ("predictor", "DELETE FROM prediction.score"),
    (
        "predictor",
        (
            "INSERT INTO prediction.model (kind, component, trained_as_of, file_sha256, feature_names, training_rows, "
            "training_failures, metrics, code_version, created_at) "
            "VALUES ('pump', 'seal', now(), '', '{}', 1, 1, '{}', '1', now())"
        ),
    ),
    ("scheduler", "SELECT * FROM telemetry.reading"),
    ("scheduler", "INSERT INTO scheduling.duty (name, every, next_run_at) VALUES ('d', '1 hour', now())"),
    ("api", "INSERT INTO service.customer (name) VALUES ('Berta')"),
    ("api", "SELECT * FROM telemetry.reading, prediction.score"),
]

REFUSED = [
    ("ingest", "INSERT INTO service.customer (name) VALUES ('x')"),
    ("ingest", "SELECT * FROM service.customer"),
    ("ingest", "UPDATE telemetry.declared_metric SET unit = 'x'"),
    ("ingest", "UPDATE telemetry.desired_config SET settings = '{}'"),
    ("ingest", "DELETE FROM telemetry.issued_command"),
    ("api", "DELETE FROM telemetry.command_result"),
    ("ingest", "SELECT * FROM prediction.score"),
    ("ingest", "CREATE TABLE telemetry.mine (n int)"),
    ("predictor", "INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES ('m', true, now())"),
    ("predictor", "SELECT telemetry.drop_readings_before('2030-01-01')"),
    ("predictor", "SELECT * FROM service.customer"),
    ("scheduler", "DELETE FROM telemetry.event"),
    ("scheduler", "SELECT telemetry.ensure_reading_day('2015-07-01')"),
    ("scheduler", "UPDATE service.job SET state = 'completed'"),
    ("scheduler", "DELETE FROM prediction.score"),
    ("api", "DELETE FROM telemetry.reading"),
    ("api", "DELETE FROM prediction.score"),
    ("api", "DELETE FROM scheduling.duty"),
    ("api", "CREATE SCHEMA mine"),
]


def test_each_login_can_do_its_own_work(logins: dict[str, Connection]) -> None:
    for service, statement in ALLOWED:
        logins[service].execute(statement)
    for connection in logins.values():
        require_migrated(connection)


def test_no_login_can_do_anothers_work(logins: dict[str, Connection]) -> None:
    allowed = []
    for service, statement in REFUSED:
        try:
            logins[service].execute(statement)
            allowed.append((service, statement))
        except psycopg.errors.InsufficientPrivilege:
            continue
    assert allowed == []


def test_roles_are_made_once_however_many_make_them(database_url: str, empty_database_url: str) -> None:
    def grant(_: int) -> None:
        with connect(database_url) as connection:
            create_service_roles(connection)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(grant, range(8)))
    assert main(["migrate", "--database-url", empty_database_url, "--service-roles"]) == 0


def test_who_may_not_make_roles_is_told_what_to_do(
    database_url: str, logins: dict[str, Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    url = psycopg.conninfo.make_conninfo(
        database_url, user=logins["ingest"].info.user, password=logins["ingest"].info.password
    )
    with connect(url) as connection, pytest.raises(Exception, match="may not create the service roles"):
        create_service_roles(connection)
    assert capsys.readouterr().err == ""


def test_a_passwords_text_never_reaches_the_server(database_url: str, logins: dict[str, Connection]) -> None:
    with connect(database_url) as owner:
        row = owner.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [logins["api"].info.user]
        ).fetchone()
    assert row
    assert row["rolpassword"].startswith("SCRAM-SHA-256$")
