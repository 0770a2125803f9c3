"""The answers to `/live` and `/ready`.

`/live`: the process's loops go round. An orchestrator restarts a process that says no. A database or broker that is
away is no reason: a restart would not bring it back.

`/ready`: what the process needs answers. Whoever sends it work, or watches it, waits while it says no.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from careloop.errors import CareloopError
from careloop.observability.watchdog import Watchdog

CHECK_WITHIN_S = 3.0
# A crowd that asks does not become a crowd at the database.
FRESH_FOR_S = 1.0

# Says in a few words how things are, or raises CareloopError with what is wrong.
Check = Callable[[], str]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer in JSON.

    Attributes:
        status: 200 or 503.
        document: The body.
    """

    status: int
    document: Mapping[str, Any]


@dataclass(frozen=True)
class _Result:
    is_good: bool
    detail: str


class Probes:
    """What a process says about itself.

    Args:
        process: Its name, e.g. `ingest`.
        watchdog: Watches its loops.
        checks: By name, what it needs; each runs in a thread of its own and may block.
        clock: Seconds of a clock that never jumps.
    """

    def __init__(
        self, process: str, watchdog: Watchdog, checks: Mapping[str, Check], clock: Callable[[], float]
    ) -> None:
        self.process = process
        self._watchdog = watchdog
        self._checks = dict(checks)
        self._clock = clock
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max(1, len(self._checks)), thread_name_prefix="ready")
        self._running: dict[str, Future[_Result]] = {}
        self._answered_at = float("-inf")
        self._answer = Answer(503, {})

    def live(self) -> Answer:
        """200 while every loop goes round, else 503 naming those that do not."""
        stalled = self._watchdog.stalled()
        status = "stalled" if stalled else "live"
        document = {"status": status, "process": self.process, "loops": self._watchdog.names, "stalled": stalled}
        return Answer(503 if stalled else 200, document)

    def ready(self) -> Answer:
        """200 while every check is good, else 503; each check with its detail either way."""
        with self._lock:
            if self._clock() - self._answered_at >= FRESH_FOR_S:
                self._answer = self._ask()
                self._answered_at = self._clock()
            return self._answer

    def _ask(self) -> Answer:
        for name, check in self._checks.items():
            # One that still hangs since last time is not asked a second time.
            if name not in self._running:
                self._running[name] = self._threads.submit(_run, name, check)
        done, _ = wait(self._running.values(), timeout=CHECK_WITHIN_S)
        results: dict[str, _Result] = {}
        for name, future in list(self._running.items()):
            if future in done:
                del self._running[name]
                results[name] = future.result()
            else:
                results[name] = _Result(is_good=False, detail=f"no answer within {CHECK_WITHIN_S:g} s")
        is_ready = all(result.is_good for result in results.values())
        document = {
            "status": "ready" if is_ready else "not ready",
            "process": self.process,
            "checks": {name: {"ok": result.is_good, "detail": result.detail} for name, result in results.items()},
        }
        return Answer(200 if is_ready else 503, document)


def _run(name: str, check: Check) -> _Result:
    try:
        return _Result(is_good=True, detail=check())
    except CareloopError as error:
        return _Result(is_good=False, detail=str(error).partition("\n")[0])
    except Exception as error:
        log.exception("the check %s has a defect", name)
        return _Result(is_good=False, detail=f"{type(error).__name__}: {error}")
