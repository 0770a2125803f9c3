"""The store's contract, on every engine that can be had here: each test gets a migrated database of its own."""

import functools
import os
import select
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
import orjson
import psycopg
import pytest
from docker.errors import DockerException
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.contract.senml import Reading, encode_pack
from careloop.database.engine import connect, detect_engine
from careloop.database.migrations import migrate
from ingest.decode import Delivery, identity_of
from ingest.maintenance import Maintenance
from ingest.storage.policy import StoragePolicy
from ingest.store import Stored
from ingest.writer import Limits, Writer, read

LANE = Path(__file__).resolve().parents[1] / "timescale"
INSTALL = "cd tests/timescale && npm install --legacy-peer-deps --no-package-lock"
IMAGE = "timescale/timescaledb:2.24.0-pg17"
URL_VARIABLE = "CARELOOP_TEST_TIMESCALEDB_URL"
WASM_READY_WITHIN_S = 120

NOW = datetime(2026, 6, 30, 12, 34, 56, tzinfo=UTC)


@functools.cache
def docker_answers() -> bool:
    """Whether a Docker engine answers within two seconds; never raises, never pulls."""
    try:
        client = docker.from_env(timeout=2)
        client.ping()
        client.close()
    except (DockerException, OSError):
        return False
    return True


@functools.cache
def engines() -> list[str]:
    there = ["postgresql", "timescaledb-wasm"]
    if docker_answers():
        there.append("timescaledb-image")
    if os.environ.get(URL_VARIABLE):
        there.append("timescaledb-url")
    return there


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A header hook would not be called from here when the whole suite is run."""
    terminalreporter.write_line(
        f"store engines: {', '.join(engines())}; {IMAGE} "
        + ("runs" if docker_answers() else "does not, as no Docker answers")
        + ("" if os.environ.get(URL_VARIABLE) else f"; {URL_VARIABLE} would add a server")
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        names = engines()
        if getattr(metafunc.module, "TIMESCALEDB_ONLY", False):
            names = [name for name in names if name != "postgresql"]
        metafunc.parametrize("engine", names, scope="session")


# Servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def wasm_url() -> Iterator[str]:
    """The real extension in WebAssembly; one backend session, so whoever uses it resets it."""
    node = shutil.which("node")
    missing = "" if node else "node is not installed"
    if not (LANE / "node_modules" / "@unni-craftsman" / "pglite").is_dir():
        missing = f"TimescaleDB in WebAssembly is not installed; run: {INSTALL}"
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = subprocess.Popen(
        [str(node), LANE / "server.mjs", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        ready, _, _ = select.select([server.stdout], [], [], WASM_READY_WITHIN_S)
        words = server.stdout.readline().split() if ready else []
        if words[:1] != ["READY"]:
            pytest.fail(f"{LANE / 'server.mjs'} did not come up within {WASM_READY_WITHIN_S} s")
        yield f"postgresql://postgres@127.0.0.1:{words[1]}/postgres?sslmode=disable"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def image_url() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(IMAGE, driver=None) as container:
        yield container.get_connection_url()


def _wipe(url: str) -> None:
    with connect(url) as connection:
        for schema in ("telemetry", "prediction", "scheduling", "service"):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute("DROP TABLE IF EXISTS public.careloop_migration")


def _of_its_own(server_url: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(server_url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
    with connect(server_url) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_store_url(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the engine with nothing in it."""
    if engine == "postgresql":
        yield request.getfixturevalue("empty_database_url")
    elif engine == "timescaledb-wasm":
        url = request.getfixturevalue("wasm_url")
        _wipe(url)
        yield url
    elif engine == "timescaledb-image":
        yield from _of_its_own(request.getfixturevalue("image_url"))
    else:
        yield from _of_its_own(os.environ[URL_VARIABLE])


@pytest.fixture
def store_url(empty_store_url: str) -> str:
    """A migrated database of the engine."""
    with connect(empty_store_url) as connection:
        migrate(connection)
    return empty_store_url


# Ingest without a broker ----------------------------------------------------------------------


@dataclass
class Line:
    """Messages in, rows out: what ingest does between the broker and the database."""

    url: str
    connection: Connection[DictRow]
    writer: Writer
    now: datetime = NOW

    def telemetry(self, serial: str, readings: Sequence[Reading]) -> Delivery:
        return self.delivery(f"careloop/v1/{serial}/telemetry", orjson.dumps(encode_pack(serial, readings)))

    def delivery(self, topic: str, payload: bytes, content_type: str = "") -> Delivery:
        return Delivery(topic, payload, len(payload), content_type, self.now, identity_of(topic, payload))

    def write(self, *deliveries: Delivery) -> Stored:
        return self.writer.write([read(delivery) for delivery in deliveries])

    def maintenance(self, *, compress_after_days: int = 0, keep_days: int = 0, **keep: timedelta) -> Maintenance:
        policy = StoragePolicy(
            compress_after=timedelta(days=compress_after_days), keep_readings=timedelta(days=keep_days), **keep
        )
        return Maintenance(self.connection, detect_engine(self.connection), policy)

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in self.connection.execute(sql).fetchall()]


@pytest.fixture
def line(store_url: str) -> Iterator[Line]:
    """Ingest's writer over a database with the assets A1 to A4 and two declared metrics."""
    with connect(store_url) as connection:
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'kind')")
        connection.execute("INSERT INTO service.metric (name, unit) VALUES ('temperature', 'Cel'), ('pressure', 'bar')")
        connection.execute(
            """
            INSERT INTO service.asset (serial, model_id, installed_at, created_at)
            SELECT 'A' || n, model_id, now(), now() FROM service.product_model, generate_series(1, 4) AS n
            """
        )
        line = Line(
            store_url,
            connection,
            Writer(
                connect=lambda: connect(store_url),
                worker="w1",
                limits=Limits(timedelta(hours=24), None, learned_metrics=20, learned_metrics_per_asset=5),
                now=lambda: line.now,
                pause=lambda seconds: time.sleep(seconds) or False,
            ),
        )
        yield line
        line.writer.close()
