"""One service process of the stack: started, asked in steps, stopped."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from careloop.errors import CareloopError
from careloop.stack.registry import ProcessRegistry

STOP_WITHIN_S = 15.0
STEP_WITHIN_S = 600.0
READY_WITHIN_S = 60.0
LOG_KEPT_BYTES = 10_000_000
_CHUNK = 1 << 16


class ServiceProcess:
    """A `careloop …` command as a process of its own session, so that Ctrl-C reaches only the one who started it.

    Its standard error (and standard output, unless in steps) goes to a log file. In steps (`steps=True`) it is driven
    through simulated time by `careloop.stepping`:

        process = stack.service("scheduler", "scheduler", "run", "--step", steps=True)
        process.start()                                   # returns when it says it is ready
        answer = process.step("advance", now)             # {"do": "advance", "jobs_created": 3, …}
        process.send("advance", now); …; process.answer() # the same in two halves, to let several work at once
        process.stop()                                    # or leave its `with` block

    Args:
        name: For messages, the log file and the registry, e.g. `scheduler`.
        command: The whole command line.
        environment: The whole environment.
        log_file: Appended to; the previous one is kept as `….1` when it has grown large.
        steps: Whether it is driven by `step`.
        registry: Where its pid is noted while it lives.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        *,
        steps: bool = False,
        registry: ProcessRegistry | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log_file = log_file
        self._steps = steps
        self._registry = registry
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    def __enter__(self) -> "ServiceProcess":
        if self._process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it lives or before the start."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it; in steps, wait until it is ready.

        Raises:
            CareloopError: It ended at once; the line has the end of its log.
        """
        self._rotate_log()
        pipe = subprocess.PIPE if self._steps else None
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                start_new_session=True,
                bufsize=0,
            )
        if self._registry:
            self._registry.add(self.name, self._process.pid)
        self._received = b""
        if self._steps:
            for end in (self._process.stdin, self._process.stdout):
                if end is not None:
                    os.set_blocking(end.fileno(), False)
            self._expect("ready", READY_WITHIN_S)

    def stop(self, within_s: float = STOP_WITHIN_S) -> int | None:
        """End its input, ask it to stop (SIGTERM), kill it when it does not. Safe to call twice.

        Returns:
            Its exit code; None when it was never started.
        """
        process = self._process
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        if process.poll() is None:
            if not self._steps or not _ended(process, within_s / 3):
                process.send_signal(signal.SIGTERM)
            if not _ended(process, within_s):
                process.kill()
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if self._registry:
            self._registry.remove(self.name)
        return code

    # Steps ------------------------------------------------------------------------------------

    def step(self, do: str, now: datetime, *, within_s: float = STEP_WITHIN_S, **fields: object) -> dict[str, Any]:
        """Have it do what is due as of `now`, and return its answer.

        Args:
            do: Name of the step, e.g. `advance`.
            now: Simulated time, with an offset.
            within_s: How long it may take, in seconds of real time.
            **fields: Further fields of the request; datetimes are written as RFC 3339.

        Raises:
            CareloopError: It answered with an error, died, or did not answer in time.
        """
        self.send(do, now, within_s=within_s, **fields)
        return self.answer(do, within_s=within_s)

    def send(self, do: str, now: datetime, *, within_s: float = STEP_WITHIN_S, **fields: object) -> None:
        """First half of `step`: hand over the request and go on."""
        request = {"do": do, "now": _rfc3339(now), **fields}
        rest = memoryview(json.dumps(request, default=_plain, separators=(",", ":")).encode() + b"\n")
        pipe = self._pipes()[0]
        deadline = time.monotonic() + within_s
        while rest:
            if not select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))[1]:
                raise self._failure(f"did not take the request {do!r} within {within_s:g} s")
            try:
                rest = rest[os.write(pipe, rest) :]
            except BrokenPipeError as error:
                raise self._death() from error

    def answer(self, do: str, *, within_s: float = STEP_WITHIN_S) -> dict[str, Any]:
        """Second half of `step`: wait for the answer."""
        return self._expect(do, within_s)

    def _expect(self, do: str, within_s: float) -> dict[str, Any]:
        line = self._line(do, within_s)
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise self._failure(f"wrote {line[:80]!r} to standard output instead of an answer to {do!r}") from error
        if not isinstance(answer, dict) or answer.get("do") != do:
            raise self._failure(f"answered {line[:80]!r} to {do!r}")
        if "error" in answer:
            raise self._failure(f"step {do!r} failed: {answer['error']}")
        return answer

    def _line(self, do: str, within_s: float) -> bytes:
        pipe = self._pipes()[1]
        deadline = time.monotonic() + within_s
        chunks = [self._received]
        while b"\n" not in chunks[-1]:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._failure(f"did not answer {do!r} within {within_s:g} s")
            chunk = os.read(pipe, _CHUNK)
            if not chunk:
                raise self._death()
            chunks.append(chunk)
        line, _, self._received = b"".join(chunks).partition(b"\n")
        return line

    def _pipes(self) -> tuple[int, int]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None or process.stdin.closed:
            raise RuntimeError(f"{self.name} is not running in steps")
        return process.stdin.fileno(), process.stdout.fileno()

    def _death(self) -> CareloopError:
        process = self._process
        if process is not None:
            _ended(process, 5.0)
        return self._failure(f"died with exit code {self.exit_code}")

    def _failure(self, what: str) -> CareloopError:
        return CareloopError(f"{self.name} {what}; {self.log_file} ends: {self.last_log_lines()}")

    # Log --------------------------------------------------------------------------------------

    def last_log_lines(self, count: int = 3) -> str:
        """The end of its log, on one line."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, self.log_file.stat().st_size - _CHUNK))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return " | ".join(line.strip() for line in lines[-count:] if line.strip()) or "(empty)"

    def _rotate_log(self) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_KEPT_BYTES:
            self.log_file.replace(self.log_file.with_name(self.log_file.name + ".1"))


def careloop_command(*words: str) -> list[str]:
    """The command line of `careloop WORDS…` under this interpreter; -P keeps the working directory off its path."""
    return [sys.executable, "-P", "-m", "careloop", *words]


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _rfc3339(time_: datetime) -> str:
    if time_.tzinfo is None:
        raise ValueError(f"{time_} has no time zone")
    return time_.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return _rfc3339(value)
    raise TypeError(f"{type(value).__name__} cannot be sent in a step")
