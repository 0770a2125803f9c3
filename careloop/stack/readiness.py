"""Asks the service processes whether they are ready, and logs when that changes."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from threading import Event, Thread

ASK_EVERY_S = 1.0
# A process that takes longer over its own checks says so itself, after three seconds.
ANSWER_WITHIN_S = 5.0

log = logging.getLogger(__name__)


def fault_of(port: int) -> str | None:
    """What keeps a process from being ready, in a line; None when it is.

    Args:
        port: Its metrics port on 127.0.0.1.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=ANSWER_WITHIN_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return _faults(error.read())
    except OSError as error:
        return f"does not answer ({getattr(error, 'reason', error)})"


def _faults(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "answers what is no readiness document"


class ReadinessWatch:
    """Logs each process's readiness when it changes; what is not ready right after the start is not yet a fault.

    Args:
        ports: Metrics port by process.
        stop: Ends it.
    """

    def __init__(self, ports: Mapping[str, int], stop: Event) -> None:
        self._ports = dict(ports)
        self._stop = stop
        self._faults: dict[str, str | None] = {}
        self._thread = Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def add(self, name: str, port: int) -> None:
        """Ask one more process."""
        self._ports[name] = port

    def _run(self) -> None:
        while not self._stop.wait(ASK_EVERY_S):
            for name, port in list(self._ports.items()):
                self.note(name, fault_of(port))

    def note(self, name: str, fault: str | None) -> None:
        """Log a process's readiness if it is another than before."""
        known = name in self._faults
        if known and self._faults[name] == fault:
            return
        if fault is None:
            log.info("%s is ready", name)
        elif known:
            log.warning("%s is not ready: %s", name, fault)
        else:
            return
        self._faults[name] = fault
