"""`careloop up`, with the real services: starts, restarts, is killed, is succeeded, stops."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from careloop.stack.ports import free_port, port_is_free
from careloop.stack.process import careloop_command
from careloop.stack.registry import ProcessRegistry

UP_WITHIN_S = 90.0


class Up:
    """`careloop up` over one state directory, on ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registry = ProcessRegistry(directory / "processes.json")
        self.ports = {name: free_port() for name in ("api", "broker", "postgres")}
        self.process: subprocess.Popen[str] | None = None
        self.said = directory.parent / "said"

    def command(self, *words: str) -> list[str]:
        ports = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        return careloop_command("up", "--state-dir", str(self.directory), *ports, *words)

    def start(self, *words: str) -> None:
        self.said.write_text("")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(self.command(*words), stdout=said, stderr=said, start_new_session=True)
        self.wait(lambda: "careloop is up" in self.said.read_text())

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + UP_WITHIN_S
        while not condition():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.05)

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.registry.orphans().items()}

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def refused(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture
def up(state_directory: Path) -> Iterator[Up]:
    up = Up(state_directory)
    yield up
    if up.process and up.process.poll() is None:
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(60)


def test_it_restarts_is_succeeded_and_stops_whole(up: Up) -> None:
    up.start()
    first = up.pids()
    assert set(first) >= {"api", "ingest", "scheduler", "broker"}

    assert "already runs over" in up.refused()

    os.kill(first["api"], signal.SIGKILL)
    up.wait(lambda: up.pids().get("api", first["api"]) != first["api"])

    # Its successor stops what a killed one left behind, and takes over the database as it is.
    before = up.pids()
    postgres = int((up.directory / "postgres/pgdata/postmaster.pid").read_text().splitlines()[0])
    up.process.kill()
    up.process.wait()
    assert psutil.pid_exists(before["ingest"])
    up.start()
    after = up.pids()
    assert not {before["ingest"], before["api"], before["broker"]} & set(after.values())
    assert not any(psutil.pid_exists(before[name]) for name in ("ingest", "api", "scheduler"))
    assert int((up.directory / "postgres/pgdata/postmaster.pid").read_text().splitlines()[0]) == postgres

    children = up.children()
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0, up.said.read_text()
    assert time.monotonic() - began < 30
    assert up.said.read_text().splitlines()[-1] == "stopped"
    assert not [child for child in children if child.is_running()]
    assert not psutil.pid_exists(postgres)
    assert all(port_is_free(port) for port in up.ports.values())
    assert json.loads(up.registry.path.read_text()) == {}


def test_a_taken_port_is_one_clear_line(up: Up, embedded_broker) -> None:
    up.ports["broker"] = embedded_broker.port
    assert f"port {embedded_broker.port} for the MQTT broker is in use" in up.refused()
    up.ports["api"] = embedded_broker.port
    assert f"port {embedded_broker.port} for the REST API is in use" in up.refused()


def test_a_state_directory_that_cannot_be_is_one_clear_line(up: Up) -> None:
    up.directory.write_text("a file")
    assert "cannot be used" in up.refused()


def test_a_setting_that_is_wrong_is_one_clear_line(up: Up) -> None:
    up.ports["api"] = 70000
    assert "CARELOOP_API_PORT" in up.refused()
