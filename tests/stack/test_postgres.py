"""The embedded PostgreSQL survives what happens to it."""

import tempfile
from pathlib import Path

import psutil
import pytest

from careloop.database.engine import connect
from careloop.errors import CareloopError
from careloop.stack.postgres import EmbeddedPostgres


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory(prefix="careloop-pg-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedPostgres(Path(name))
        yield server
        server.stop()


def test_survives_kill_dash_nine_with_nothing_committed_lost(server: EmbeddedPostgres) -> None:
    with connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    lock = server.data / "postmaster.pid"
    process = psutil.Process(int(lock.read_text().splitlines()[0]))
    process.kill()
    process.wait(10)
    with connect(EmbeddedPostgres(server.directory).start()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == {"n": 1}
    successor = EmbeddedPostgres(server.directory)
    successor.start()
    successor.stop()


def test_a_server_that_outlived_its_parent_is_adopted(server: EmbeddedPostgres) -> None:
    server.start()
    successor = EmbeddedPostgres(server.directory)
    assert successor.start() == server.url
    assert successor.is_running


def test_the_password_is_needed(server: EmbeddedPostgres) -> None:
    server.start()
    with pytest.raises(CareloopError, match="password authentication failed"):
        connect(f"postgresql://careloop:wrong@127.0.0.1:{server.port}/careloop")


def test_a_taken_port_is_named(server: EmbeddedPostgres) -> None:
    server.start()
    other = EmbeddedPostgres(server.directory.parent / f"{server.directory.name}-other")
    with pytest.raises(CareloopError, match=f"port {server.port} .* in use"):
        other.start(port=server.port)
