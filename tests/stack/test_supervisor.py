"""Crashed processes come back, with patience; stopping is quick and complete."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

from careloop.stack.embedded import EmbeddedStack
from careloop.stack.process import ServiceProcess
from careloop.stack.supervisor import STEADY_AFTER_S, Supervisor, restart_pause_s

SLEEPS = "import time; time.sleep(600)"


class Clock:
    """Goes forward when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _process(tmp_path: Path, name: str, script: str) -> ServiceProcess:
    return ServiceProcess(name, [sys.executable, "-c", script], {"PATH": os.environ["PATH"]}, tmp_path / f"{name}.log")


def _until(condition, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_the_pause_grows_to_half_a_minute() -> None:
    assert [restart_pause_s(crashes) for crashes in (1, 2, 3, 4, 5, 6, 50)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_killed_process_is_started_again_after_its_pause(tmp_path: Path) -> None:
    process, clock = _process(tmp_path, "ingest", SLEEPS), Clock()
    with Supervisor([process], clock) as supervisor:
        for expected_pause_s in (1.0, 2.0, 4.0):
            first = process.pid
            os.kill(first, signal.SIGKILL)
            _until(lambda: not process.is_running)
            supervisor._look_at(supervisor._watched[0])
            clock.now_s += expected_pause_s - 0.01
            supervisor._look_at(supervisor._watched[0])
            assert process.pid == first
            clock.now_s += 0.02
            supervisor._look_at(supervisor._watched[0])
            assert process.pid != first
            assert process.is_running
        clock.now_s += STEADY_AFTER_S
        os.kill(process.pid, signal.SIGKILL)
        _until(lambda: not process.is_running)
        supervisor._look_at(supervisor._watched[0])
        assert supervisor._watched[0].crashes == 1


def test_watching_restarts_and_ends_when_asked(tmp_path: Path) -> None:
    process = _process(tmp_path, "api", SLEEPS)
    stop = threading.Event()
    with Supervisor([process], time.monotonic) as supervisor:
        watcher = threading.Thread(target=supervisor.watch, args=[stop])
        watcher.start()
        first = process.pid
        os.kill(first, signal.SIGKILL)
        _until(lambda: process.pid != first)
        stop.set()
        watcher.join(5)
        assert not watcher.is_alive()
    assert not process.is_running


def test_all_stop_at_once_and_one_that_will_not_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); " + SLEEPS
    processes = [_process(tmp_path, f"slow{n}", SLEEPS) for n in range(3)] + [_process(tmp_path, "deaf", deaf)]
    with Supervisor(processes, time.monotonic):
        _until(lambda: "deaf" in processes[-1].last_log_lines())
        pids = [process.pid for process in processes]
        processes[-1].stop = lambda: ServiceProcess.stop(processes[-1], within_s=0.5)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert [process.exit_code for process in processes] == [-15, -15, -15, -9]


def test_dead_servers_are_started_again_on_their_ports(state_directory: Path) -> None:
    with EmbeddedStack(state_directory) as stack:
        assert stack.revive() == []
        ports = stack.postgres.port, stack.broker.port
        os.kill(stack.broker.pid, signal.SIGKILL)
        stack.postgres._process.kill()
        _until(lambda: not stack.broker.is_running and not stack.postgres.is_running)
        assert stack.revive() == ["PostgreSQL", "the MQTT broker"]
        assert (stack.postgres.port, stack.broker.port) == ports
