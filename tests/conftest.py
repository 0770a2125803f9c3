"""Servers shared by all tests; each test gets its own database, topics and API."""

import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from careloop.client import CareloopClient
from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.database.roles import create_service_login, create_service_roles, login_of
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port
from careloop.stack.postgres import EmbeddedPostgres

FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
# An example that takes long on a busy machine is no defect. On CI the same examples each time: new ones are looked for
# where somebody looks at what they find.
settings.register_profile(
    "careloop",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("careloop")
API_PASSWORD = "of-the-api"
IN_MEMORY_BYTES = 4 * 2**30
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A process's main, called in here, sends logs to a standard error that is this test's alone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Not under pytest's own temporary directory, which only root may enter while PostgreSQL runs as nobody.

    In memory where there is room: each test has a database of its own, which is 1,200 files to make and to drop.
    """
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > IN_MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="careloop-tests-", dir=memory if in_memory else None) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def postgres(servers_directory: Path) -> Iterator[EmbeddedPostgres]:
    """One embedded PostgreSQL for the whole run, with a migrated template database."""
    server = EmbeddedPostgres(servers_directory / "postgres")
    server.start(settings=FAST_AND_FORGETFUL)
    try:
        with connect(server.url) as connection:
            migrate(connection)
            create_service_roles(connection)
            create_service_login(connection, "api", login_of("api"), API_PASSWORD)
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database of this test's own, copied from the template."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(postgres.url_of("postgres")) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE careloop STRATEGY file_copy")
    yield postgres.url_of(name)
    with connect(postgres.url_of("postgres")) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(postgres.url_of("postgres")) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres.url_of(name)
    with connect(postgres.url_of("postgres")) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def embedded_broker(servers_directory: Path) -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole run, with the accounts `device` and `platform`; tests keep apart by serial."""
    broker = EmbeddedBroker(servers_directory / "broker", {"device": "device-pw", "platform": "platform-pw"})
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real input beside the project; where it is missing on CI that is a failure, elsewhere the test is skipped."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED_DATA} is missing")
        pytest.skip(f"{SHARED_DATA} is missing")
    return SHARED_DATA


@dataclass(frozen=True)
class RunningApi:
    """A real API server on a free port, over this test's own database, with a key per role.

    It has the rights that the API's own login has in production, and no more; `database_url` is the owner's.
    Its clock is `request`: pass `now` to the client's calls, or leave it out for the real time.
    """

    url: str
    database_url: str
    keys: Mapping[str, str]

    def client(self, role: str = "service") -> CareloopClient:
        """A client with the key of a role; close it or leave it to the garbage collector."""
        return CareloopClient(self.url, self.keys[role])

    def scoped_key(
        self,
        role: str,
        *,
        customer_id: int | None = None,
        provider_id: int | None = None,
        technician_id: int | None = None,
    ) -> str:
        """A new key of somebody who sees a part only: a customer, a partner's manager or technician."""
        from api.conventions.authentication import hash_key

        key = f"ck_test_{role}_{uuid.uuid4().hex}"
        with connect(self.database_url) as connection:
            connection.execute(
                "INSERT INTO service.api_key"
                " (name, role, key_hash, created_at, customer_id, provider_id, technician_id)"
                " VALUES (%s, %s, %s, '2000-01-01Z', %s, %s, %s)",
                (f"test-{role}", role, hash_key(key), customer_id, provider_id, technician_id),
            )
        return key

    def scoped_client(self, role: str, **bound: int) -> CareloopClient:
        """A client with such a key: `customer_id`, `provider_id`, `technician_id`."""
        return CareloopClient(self.url, self.scoped_key(role, **bound))


# Those that see everything, with a key each; for the others see RunningApi.scoped_key.
ROLES = ("admin", "desk_lead", "agent", "dispatcher", "technician", "engineer", "service")


@contextmanager
def _served(database_url: str, **options: Any) -> Iterator[RunningApi]:
    from api.application import create_app
    from api.conventions.authentication import hash_key

    keys = {role: f"ck_test_{role}_{uuid.uuid4().hex}" for role in ROLES}
    with connect(database_url) as connection:
        for role, key in keys.items():
            connection.execute(
                "INSERT INTO service.api_key (name, role, key_hash, created_at) VALUES (%s, %s, %s, '2000-01-01Z')",
                (f"test-{role}", role, hash_key(key)),
            )
    url = make_conninfo(database_url, user=login_of("api"), password=API_PASSWORD)
    app = create_app(url, now=lambda: datetime.now(UTC), **{"clock": "request", **options})
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the API did not start"
            assert time.monotonic() < deadline, "the API did not start within 30 s"
            time.sleep(0.01)
        yield RunningApi(f"http://127.0.0.1:{port}", database_url, keys)
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def serve_api(database_url: str) -> Callable[..., AbstractContextManager[RunningApi]]:
    """Serves the API, by uvicorn in a thread of this process, with options of `create_app`."""
    return partial(_served, database_url)


@pytest.fixture
def api(serve_api: Callable[..., AbstractContextManager[RunningApi]]) -> Iterator[RunningApi]:
    """The API as it is without options."""
    with serve_api() as running:
        yield running


@pytest.fixture
def places_of(database_url: str) -> Callable[..., dict[str, list[str]]]:
    """Every table of every schema in which any of some texts stands, in any column, bytes and search words included."""

    def find(*texts: str) -> dict[str, list[str]]:
        signs = [f"%{text}%" for text in texts] + [f"%{text.encode().hex()}%" for text in texts]
        found: dict[str, list[str]] = {}
        with connect(database_url) as connection:
            tables = connection.execute(
                "SELECT schemaname AS schema_name, tablename AS name FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            assert len(tables) > 100, "these are not all tables"
            for table in tables:
                statement = sql.SQL("SELECT t::text AS row FROM {} t WHERE t::text ILIKE ANY (%s)").format(
                    sql.Identifier(table["schema_name"], table["name"])
                )
                rows = connection.execute(statement, [signs]).fetchall()
                if rows:
                    found[f"{table['schema_name']}.{table['name']}"] = [row["row"][:400] for row in rows]
        return found

    return find
