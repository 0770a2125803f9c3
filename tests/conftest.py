"""Servers shared by all tests; each test gets its own database, topics and API."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.postgres import EmbeddedPostgres

FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Not under pytest's own temporary directory, which only root may enter while PostgreSQL runs as nobody."""
    with tempfile.TemporaryDirectory(prefix="careloop-tests-") as name:
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
