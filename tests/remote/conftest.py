"""The whole circle: API, database, ingest, broker and agent, each the real one in a process of its own."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect
from careloop.stack.ports import free_port, port_is_free
from careloop.stack.process import careloop_command

WITHIN_S = 40.0

MOSQUITTO_CONF = """
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_packet_size 6000
"""

CONFIG = """
[agent]
id = "{agent_id}"
[broker]
reconnect_min_s = 0.1
reconnect_max_s = 0.5
[batching]
interval_s = 0.2
[remote]
probation_s = {probation_s}
[[sources]]
kind = "simulator"
name = "line"
interval_s = 0.2
seed = 5
[sources.fleet]
robot_vacuum = 1
[[sources]]
kind = "exec"
name = "probe"
interval_s = 30
serial = "{agent_id}-probe"
command = ["sh", "{flag}.sh"]
"""

# What the source `probe` runs.
PROBE = """
while test -e {flag}-slow; do sleep 0.1; done
test -e {flag} && echo '{{"temperature": 21.5}}'
"""


def until(true: Callable[[], Any], what: str | Callable[[], str], within_s: float = WITHIN_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A mosquitto that takes no message over 6 kB."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is missing; apt-get install mosquitto")
        pytest.skip("mosquitto is missing; apt-get install mosquitto")
    port, file = free_port(), tmp_path_factory.mktemp("broker") / "mosquitto.conf"
    file.write_text(MOSQUITTO_CONF.format(port=port))
    process = subprocess.Popen([program, "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: not port_is_free(port), "mosquitto listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Platform:
    """API and ingest as processes over a database of their own.

    Attributes:
        url: Of the API.
        key: Of the desk.
        database_url: Where it is.
        broker_url: Of the broker.
    """

    url: str
    key: str
    database_url: str
    broker_url: str


def started(log: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            careloop_command(*words), env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=stream,
        )  # fmt: skip


@pytest.fixture(scope="session")
def platform(postgres, broker_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    from api.conventions.authentication import hash_key

    directory, name, port = tmp_path_factory.mktemp("platform"), f"remote_{uuid.uuid4().hex[:12]}", free_port()
    with connect(postgres.url_of("postgres")) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE careloop STRATEGY file_copy")
    platform = Platform(
        f"http://127.0.0.1:{port}", f"ck_{uuid.uuid4().hex}", postgres.url_of(name), f"mqtt://127.0.0.1:{broker_port}"
    )
    with connect(platform.database_url) as connection:
        connection.execute(
            "INSERT INTO service.api_key (name, role, key_hash, created_at) VALUES ('agent', 'agent', %s, now())",
            (hash_key(platform.key),),
        )
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'kind')")
    environment = {
        "CARELOOP_DATABASE_URL": platform.database_url,
        "CARELOOP_BROKER_URL": platform.broker_url,
        "CARELOOP_INGEST_DOWNLINK_RETRY_S": "1",
        "CARELOOP_API_PORT": str(port),
    }
    processes = [
        started(directory / "api.log", "api", **environment),
        started(directory / "ingest.log", "ingest", "--worker-name", name, **environment),
    ]
    try:
        until(lambda: not port_is_free(port), (directory / "api.log").read_text)
        until(lambda: "downlink ready" in (directory / "ingest.log").read_text(), "ingest is ready")
        yield platform
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
        with connect(postgres.url_of("postgres")) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Circle:
    """One agent, and the platform that it talks to."""

    platform: Platform
    directory: Path
    agent_id: str = field(default_factory=lambda: f"gw-{uuid.uuid4().hex[:8]}")
    agent: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.flag.touch()
        self.flag.with_suffix(".sh").write_text(PROBE.format(flag=self.flag))
        with connect(self.platform.database_url) as connection:
            connection.execute(
                "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
                "SELECT unnest(%s::text[]), model_id, now(), now() FROM service.product_model ON CONFLICT DO NOTHING",
                ([self.agent_id, "RV-0001", f"{self.agent_id}-probe"],),
            )

    @property
    def flag(self) -> Path:
        """While it is there, the probe can be read."""
        return self.directory / "readable"

    @property
    def path(self) -> str:
        return f"/v1/agents/{self.agent_id}"

    @property
    def desk(self) -> CareloopClient:
        return CareloopClient(self.platform.url, self.platform.key)

    def start_agent(self, *, probation_s: float = 2.0, **environment: str) -> None:
        config = self.directory / "edge.toml"
        config.write_text(CONFIG.format(agent_id=self.agent_id, probation_s=probation_s, flag=self.flag))
        given = {
            "CARELOOP_BROKER_URL": self.platform.broker_url,
            "CARELOOP_EDGE_BUFFER_FILE": str(self.directory / "buffer.sqlite"),
            **environment,
        }
        self.agent = started(self.directory / "agent.log", "edge", "run", "--config", str(config), **given)

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(10)

    def stop_agent(self) -> None:
        assert self.agent is not None
        self.agent.terminate()
        assert self.agent.wait(20) == 0, self.log()

    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    def wait_until_there(self) -> dict[str, Any]:
        return until(
            lambda: next((a for a in self.desk.pages("/v1/agents") if a["online"]), None), "the agent is there"
        )

    def put(self, settings: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.platform.key}"}
        before = httpx.get(f"{self.platform.url}{self.path}/config", headers=headers)
        if before.status_code == 200:
            headers["If-Match"] = before.headers["ETag"]
        done = httpx.put(f"{self.platform.url}{self.path}/config", json={"settings": settings}, headers=headers)
        assert done.status_code == 200, done.text
        return done.json()

    def config(self) -> dict[str, Any]:
        return self.desk.get(f"{self.path}/config")

    def wait_for_config(self, state: str, *, proved: bool | None = None) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            config = self.config()
            right = config["state"] == state and (proved is None or config["reported"]["proved"] == proved)
            return config if right else None

        return until(there, lambda: f"the configuration is {state}: {self.config()}; {self.log()[-3000:]}")

    def tell(self, kind: str, expires_in_s: float = 60, **arguments: object) -> str:
        body = {"kind": kind, "arguments": arguments, "expires_in_s": expires_in_s}
        return self.desk.post(f"{self.path}/commands", body)["command_id"]

    def command(self, command_id: str) -> dict[str, Any]:
        return self.desk.get(f"{self.path}/commands/{command_id}")

    def wait_for_command_any(self, command_id: str) -> dict[str, Any]:
        return until(
            lambda: (said := self.command(command_id))["state"] not in {"queued", "sent"} and said,
            lambda: f"the command ends: {self.log()[-3000:]}",
        )

    def wait_for_command(self, command_id: str, state: str) -> dict[str, Any]:
        ended = self.wait_for_command_any(command_id)
        assert ended["state"] == state, ended
        return ended

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.platform.database_url) as connection:
            return [tuple(row.values()) for row in connection.execute(sql).fetchall()]

    def results(self) -> int:
        return self.rows(f"SELECT count(*) FROM telemetry.command_result WHERE agent_id = '{self.agent_id}'")[0][0]

    def wait_for_rate(self, least: float, most: float) -> None:
        """Wait until so many of the simulator's moments a second arrive."""
        sql = "SELECT count(DISTINCT time) FROM telemetry.reading WHERE asset_id IN "
        sql += "(SELECT asset_id FROM telemetry.asset WHERE serial = 'RV-0001')"
        rates: list[float] = []

        def fits() -> bool:
            before, since = self.rows(sql)[0][0], time.monotonic()
            time.sleep(2.0)
            rates.append((self.rows(sql)[0][0] - before) / (time.monotonic() - since))
            return least <= rates[-1] <= most

        until(fits, lambda: f"{least:g} to {most:g} a second: {rates}; {self.log()[-3000:]}")


@pytest.fixture
def circle(platform: Platform, tmp_path: Path) -> Iterator[Circle]:
    """The agent is for the test to start."""
    circle = Circle(platform, tmp_path)
    yield circle
    if circle.agent is not None and circle.agent.poll() is None:
        circle.kill_agent()
