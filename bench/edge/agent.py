"""The agent of this benchmark: the real process, with a configuration of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CONFIG = """
[agent]
id = "bench"
[broker]
reconnect_min_s = 0.1
reconnect_max_s = 0.2
[buffer]
file = "{buffer}"
max_bytes = 1073741824
"""
FILE_SOURCE = """
[[sources]]
kind = "file"
path = "{lines}"
format = "json"
serial = "BENCH"
interval_s = 1.0
"""
FEED_SOURCE = """
[[sources]]
kind = "feed"
"""
STOPPED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Used:
    """What a process has used so far, or uses.

    Attributes:
        cpu_s: Seconds of a core.
        resident_bytes: Memory that is resident.
    """

    cpu_s: float
    resident_bytes: int


class EdgeProcess:
    """`careloop edge run`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._observed = psutil.Process(process.pid)

    @property
    def used(self) -> Used:
        """As of now."""
        times = self._observed.cpu_times()
        return Used(times.user + times.system, self._observed.memory_info().rss)

    def step(self, line: str) -> Mapping[str, Any]:
        """Send one request of a stepped run, and wait for its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the agent was not started with pipes")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self.answer()
        if "error" in answer:
            raise RuntimeError(f"the agent says: {answer['error']}")
        return answer

    def answer(self) -> Mapping[str, Any]:
        """Wait for an answer."""
        text = self._process.stdout.readline() if self._process.stdout else ""
        if not text:
            raise RuntimeError(f"the agent ended with status {self._process.wait(STOPPED_WITHIN_S)}")
        answer: Mapping[str, Any] = json.loads(text)
        return answer


def write_config(directory: Path, *, reads: Path | None) -> Path:
    """A configuration with a file source, or without one for a stepped run; the buffer lies beside it."""
    config = directory / "edge.toml"
    source = FILE_SOURCE.format(lines=reads) if reads else FEED_SOURCE
    config.write_text(CONFIG.format(buffer=directory / "buffer.sqlite") + source)
    return config


@contextmanager
def edge(config: Path, port: int, *words: str, environment: Mapping[str, str] | None = None) -> Iterator[EdgeProcess]:
    """Run an agent against the broker on a port of 127.0.0.1; `words` are further arguments."""
    said: dict[str, str] = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CARELOOP_")},
        "CARELOOP_BROKER_URL": f"mqtt://127.0.0.1:{port}",
        "CARELOOP_LOG_LEVEL": "ERROR",
        **(environment or {}),
    }
    command: Sequence[str] = (sys.executable, "-m", "careloop", "edge", "run", "--config", str(config), *words)
    process = subprocess.Popen(command, env=said, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield EdgeProcess(process)
    finally:
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOPPED_WITHIN_S)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
