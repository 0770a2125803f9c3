"""Database and broker of a benchmark: given by address, or started for it in a temporary directory."""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from careloop.database.engine import Engine, connect
from careloop.database.migrations import migrate
from careloop.errors import CareloopError
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port, listens
from careloop.stack.postgres import EmbeddedPostgres

READY_WITHIN_S = 20.0
# Messages on their way to one subscriber; see docs/mqtt-contract.md.
IN_FLIGHT = 2000
# Durable as in production; only room to work in.
SERVER_SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB"}

# What deploy/mosquitto/mosquitto.conf says of queues, without TLS and accounts.
_MOSQUITTO_CONF = """
allow_anonymous true
persistence true
persistence_location {directory}/
autosave_interval 300
set_tcp_nodelay true
max_queued_messages 100000
max_queued_bytes 1073741824
max_inflight_messages {in_flight}
message_size_limit 33554432
user {user}
listener {port} 127.0.0.1
"""


@dataclass(frozen=True)
class Servers:
    """Where to publish and where to store.

    Attributes:
        database_url: A migrated database of this benchmark's own.
        broker_url: With the right to publish and to read everything.
        engine: What the database is.
        broker: What the broker is, in words.
    """

    database_url: str
    broker_url: str
    engine: Engine
    broker: str


@contextmanager
def servers(database_url: str | None, broker_url: str | None) -> Iterator[Servers]:
    """Servers for the length of a benchmark; what was started or made for it is gone afterwards.

    Args:
        database_url: A server on which this login may make a database, or None.
        broker_url: A broker that nobody else uses meanwhile, or None.
    """
    with ExitStack() as stack:
        # Not under a directory that only root may enter, since PostgreSQL then runs as nobody.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="careloop-bench-")))
        directory.chmod(0o711)
        if database_url is None:
            server = EmbeddedPostgres(directory / "postgres")
            stack.callback(server.stop)
            server.start(settings=SERVER_SETTINGS)
            database_url = server.url
        own = stack.enter_context(_database(database_url))
        with connect(own) as connection:
            engine, _ = migrate(connection)
        broker = "given"
        if broker_url is None:
            broker, broker_url = stack.enter_context(_broker(directory))
        yield Servers(own, broker_url, engine, broker)


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = f"careloop_bench_{secrets.token_hex(4)}"
    with connect(server_url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        parts = urlsplit(server_url)
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        with connect(server_url) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _broker(directory: Path) -> Iterator[tuple[str, str]]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        embedded = EmbeddedBroker(directory / "broker", {"bench": "bench"})
        embedded.start()
        try:
            yield "embedded (rumqttd)", embedded.url_of("bench")
        finally:
            embedded.stop()
        return
    home = directory / "mosquitto"
    home.mkdir()
    port = free_port()
    config = home / "mosquitto.conf"
    config.write_text(_MOSQUITTO_CONF.format(directory=home, port=port, in_flight=IN_FLIGHT, user="root"))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise CareloopError(f"mosquitto did not come up: {(home / 'log').read_text()[-500:]}")
            time.sleep(0.02)
        yield f"mosquitto ({_version(program)})", f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(READY_WITHIN_S)


def _version(program: str) -> str:
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.split()
    return told[2] if len(told) > 2 else "version unknown"
