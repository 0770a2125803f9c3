"""Which processes belong to a state directory, so that a successor finds what a killed predecessor left behind.

A pid alone is not enough: the system gives it to somebody else later. The pid and the start time together name one
process.
"""

import json
import logging
import os
from pathlib import Path
from threading import Lock

import psutil

STOP_WITHIN_S = 10.0
# Linux counts start times from the boot, whose own time moves when the clock is set.
SAME_START_WITHIN_S = 5.0

log = logging.getLogger(__name__)


class ProcessRegistry:
    """Names, pids and start times of the processes started over one state directory.

    Args:
        path: The file, a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # The supervisor stops its processes from several threads, and each writes the file anew.
        self._lock = Lock()

    def add(self, name: str, pid: int) -> None:
        """Note a process that was started just now."""
        entry = {"pid": pid, "started": psutil.Process(pid).create_time()}
        with self._lock:
            self._write({**self._read(), name: entry})

    def remove(self, name: str) -> None:
        """Forget a process that has ended."""
        with self._lock:
            kept = self._read()
            if kept.pop(name, None) is not None:
                self._write(kept)

    def orphans(self) -> dict[str, psutil.Process]:
        """Processes noted here that still live."""
        alive: dict[str, psutil.Process] = {}
        for name, entry in self._read().items():
            try:
                process = psutil.Process(int(entry["pid"]))
                is_same = abs(process.create_time() - entry["started"]) < SAME_START_WITHIN_S
                if is_same and process.status() != psutil.STATUS_ZOMBIE:
                    alive[name] = process
            except psutil.NoSuchProcess:
                continue
        return alive

    def stop_orphans(self) -> list[str]:
        """Stop what a killed predecessor left behind; returns the names of what was stopped."""
        orphans = self.orphans()
        for name, process in orphans.items():
            log.warning("stopping %s (pid %d), left behind by a predecessor", name, process.pid)
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        _, stubborn = psutil.wait_procs(list(orphans.values()), timeout=STOP_WITHIN_S)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, timeout=STOP_WITHIN_S)
        self._write({})
        return sorted(orphans)

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def _write(self, entries: dict[str, dict[str, float]]) -> None:
        draft = self.path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(entries, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
