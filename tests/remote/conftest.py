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
command = ["sh", "-c", "test -e {flag} && echo '{{\\"temperature\\": 21.5}}'"]
"""


def until(true: Callable[[], Any], what: str | Callable[[], str], within_s: float = WITHIN_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
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
class Circle:
    """One agent and all it takes to talk to it."""

    api: Any
    directory: Path
    broker_url: str
    agent_id: str = field(default_factory=lambda: f"gw-{uuid.uuid4().hex[:8]}")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    agent: subprocess.Popen[bytes] | None = None

    @property
    def flag(self) -> Path:
        """While it is there, the probe can be read."""
        return self.directory / "readable"

    @property
    def path(self) -> str:
        return f"/v1/agents/{self.agent_id}"

    @property
    def desk(self) -> CareloopClient:
        return self.api.client("desk")

    def start_ingest(self) -> None:
        self._start("ingest", "ingest", "--worker-name", f"{self.agent_id}-ingest")

    def start_agent(self, *, probation_s: float = 2.0, **environment: str) -> None:
        config = self.directory / "edge.toml"
        config.write_text(CONFIG.format(agent_id=self.agent_id, probation_s=probation_s, flag=self.flag))
        self.agent = self._start("agent", "edge", "run", "--config", str(config), **environment)

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(10)

    def stop_agent(self) -> None:
        assert self.agent is not None
        self.agent.terminate()
        assert self.agent.wait(20) == 0, self.log()

    def log(self, name: str = "agent") -> str:
        return (self.directory / f"{name}.log").read_text()

    def wait_until_there(self) -> dict[str, Any]:
        return until(
            lambda: next((a for a in self.desk.pages("/v1/agents") if a["online"]), None), "the agent is there"
        )

    def put(self, settings: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.api.keys['desk']}"}
        before = httpx.get(f"{self.api.url}{self.path}/config", headers=headers)
        if before.status_code == 200:
            headers["If-Match"] = before.headers["ETag"]
        done = httpx.put(f"{self.api.url}{self.path}/config", json={"settings": settings}, headers=headers)
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
        with connect(self.api.database_url) as connection:
            return [tuple(row.values()) for row in connection.execute(sql).fetchall()]

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

    def _start(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        given = {
            "CARELOOP_DATABASE_URL": self.api.database_url,
            "CARELOOP_BROKER_URL": self.broker_url,
            "CARELOOP_EDGE_BUFFER_FILE": str(self.directory / "buffer.sqlite"),
            "CARELOOP_INGEST_DOWNLINK_RETRY_S": "1",
            **environment,
        }
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                careloop_command(*words), env={**os.environ, **given}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process


@pytest.fixture
def circle(api, broker_port: int, tmp_path: Path) -> Iterator[Circle]:
    """API, database, broker and ingest run; the machines are registered; the agent is for the test to start."""
    circle = Circle(api, tmp_path, f"mqtt://127.0.0.1:{broker_port}")
    circle.flag.touch()
    with connect(api.database_url) as connection:
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'kind')")
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT unnest(%s::text[]), model_id, now(), now() FROM service.product_model",
            ([circle.agent_id, "RV-0001", f"{circle.agent_id}-probe"],),
        )
    circle.start_ingest()
    yield circle
    for process in circle.processes:
        if process.poll() is None:
            process.kill()
            process.wait(10)
