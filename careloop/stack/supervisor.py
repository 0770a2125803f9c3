"""Keeps service processes alive: a crashed one is started again, after a pause that grows while it keeps crashing."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Self

from careloop.stack.process import ServiceProcess

POLL_S = 0.2
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0

log = logging.getLogger(__name__)


def restart_pause_s(crashes: int) -> float:
    """Seconds to wait before the start that follows so many crashes in a row: 1, 2, 4 … 30.

    >>> [restart_pause_s(n) for n in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 30.0]
    """
    return min(LONGEST_PAUSE_S, 2.0 ** (crashes - 1))


@dataclass
class _Watched:
    process: ServiceProcess
    started_at: float = 0.0
    crashes: int = 0
    start_at: float | None = None


class Supervisor:
    """Starts processes in order, watches them, stops them all at once.

    Args:
        processes: In the order to start.
        clock: Seconds that only go forward, e.g. `time.monotonic`.
        revive_servers: Called between looks; starts database and broker again when they died, and names which.
    """

    def __init__(
        self,
        processes: Sequence[ServiceProcess],
        clock: Callable[[], float],
        revive_servers: Callable[[], list[str]] = list,
    ) -> None:
        self._watched = [_Watched(process) for process in processes]
        self._clock = clock
        self._revive_servers = revive_servers

    def __enter__(self) -> Self:
        try:
            for watched in self._watched:
                self._start(watched)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, process: ServiceProcess) -> None:
        """Start one more process and watch it too."""
        watched = _Watched(process)
        self._watched.append(watched)
        self._start(watched)

    def watch_until(self, done: Callable[[], bool], stop: Event) -> None:
        """Restart what crashes, until something has come about or `stop` is set."""
        while not done() and not stop.wait(POLL_S):
            self._look()

    def watch(self, stop: Event) -> None:
        """Restart what crashes, until `stop` is set."""
        self.watch_until(lambda: False, stop)

    def _look(self) -> None:
        for name in self._revive_servers():
            log.warning("%s had died and was started again", name)
        for watched in self._watched:
            self._look_at(watched)

    def stop(self) -> None:
        """Stop all processes, at the same time: none waits for another."""
        with ThreadPoolExecutor(max(1, len(self._watched))) as pool:
            codes = list(pool.map(lambda watched: watched.process.stop(), self._watched))
        for watched, code in zip(self._watched, codes, strict=True):
            log.info("%s stopped with exit code %s", watched.process.name, code)

    def _look_at(self, watched: _Watched) -> None:
        now = self._clock()
        process = watched.process
        if watched.start_at is not None:
            if now >= watched.start_at:
                self._start(watched)
            return
        if process.is_running:
            return
        watched.crashes = 1 if now - watched.started_at >= STEADY_AFTER_S else watched.crashes + 1
        pause_s = restart_pause_s(watched.crashes)
        watched.start_at = now + pause_s
        log.error(
            "%s ended with exit code %s; starting it again in %g s; %s ends: %s",
            process.name,
            process.exit_code,
            pause_s,
            process.log_file,
            process.last_log_lines(1),
        )

    def _start(self, watched: _Watched) -> None:
        watched.started_at, watched.start_at = self._clock(), None
        watched.process.start()
        log.info("%s runs (pid %d)", watched.process.name, watched.process.pid)
