"""Several ingest processes on one shared subscription: Python gives a process little more than one core."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

log = logging.getLogger(__name__)

USAGE_ERROR = 2
LOOK_EVERY_S = 0.2
STOP_WITHIN_S = 30.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A worker that ran so long was well; its next end is not the last one's doing.
WELL_AFTER_S = 60.0


@dataclass(slots=True)
class Worker:
    """One process, and when to start it again.

    Attributes:
        name: Its worker name.
        environment: What its environment says beside ours.
        process: None while it is to be started.
        started_s: When it was started last.
        pause_s: How long to wait before it is started again.
        start_at_s: When it is started again.
    """

    name: str
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    start_at_s: float = 0.0


class Workers:
    """Keeps workers running until told to stop.

    Args:
        names: Worker names, the same at every start: the broker keeps each one's messages while it is away.
        environment: What their environment says beside ours.
        metrics_port: Where the first shows its metrics, the others at the ports behind it; 0 shows none.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self, names: Sequence[str], environment: Mapping[str, str], metrics_port: int, monotonic: Callable[[], float]
    ) -> None:
        self._monotonic = monotonic
        self._stop = Event()
        self._workers = [
            Worker(
                name,
                {
                    **environment,
                    "CARELOOP_INGEST_WORKER": name,
                    "CARELOOP_INGEST_SHARED": "true",
                    "CARELOOP_METRICS_PORT": str(metrics_port + place if metrics_port else 0),
                },
            )
            for place, name in enumerate(names)
        ]

    def run(self) -> int:
        """Start them, start those again that end by themselves, and stop all on SIGTERM or Ctrl-C.

        Returns:
            0, or 2 when a worker ended because of something that only its user can mend, which it has told.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        result = 0
        try:
            for worker in self._workers:
                self._start(worker)
            while not result and not self._stop.wait(LOOK_EVERY_S):
                result = max(self._look_after(worker) for worker in self._workers)
        finally:
            self._stop_all()
        return result

    def _look_after(self, worker: Worker) -> int:
        """Start a worker that has ended, after a pause; returns 2 when that would not help."""
        if worker.process is None:
            if self._monotonic() >= worker.start_at_s:
                self._start(worker)
            return 0
        ended = worker.process.poll()
        if ended is None:
            return 0
        if ended == USAGE_ERROR:
            return USAGE_ERROR
        if self._monotonic() - worker.started_s > WELL_AFTER_S:
            worker.pause_s = FIRST_PAUSE_S
        log.error("worker %s ended (%d); starting it again in %.0f s", worker.name, ended, worker.pause_s)
        worker.process, worker.start_at_s = None, self._monotonic() + worker.pause_s
        worker.pause_s = min(2 * worker.pause_s, LONGEST_PAUSE_S)
        return 0

    def _start(self, worker: Worker) -> None:
        # A session of its own: Ctrl-C reaches it by way of us, and once.
        worker.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "careloop", "ingest", "--end-with", str(os.getpid())],
            env={**os.environ, **worker.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        worker.started_s = self._monotonic()
        log.info("worker %s is process %d", worker.name, worker.process.pid)

    def _stop_all(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
