"""The end of the agent's log, in memory, for whoever asks for it from afar."""

import logging
from collections import deque

KEPT_BYTES = 256 * 1024
LONGEST_LINE = 4096


class RecentLog(logging.Handler):
    """Keeps the last lines; since the start of the process, and no more than a bound."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__()
        self._kept_bytes = kept_bytes
        self._lines: deque[bytes] = deque()
        self._size = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            line = self.format(record)[:LONGEST_LINE].replace("\0", "�").encode("utf-8", "replace")
        except Exception:  # noqa: BLE001 - logging's own rule: a line that cannot be formatted must not stop its writer
            self.handleError(record)
            return
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._kept_bytes:
            self._size -= len(self._lines.popleft()) + 1

    def last(self, most_bytes: int) -> tuple[str, bool]:
        """The last whole lines of at most so many bytes, and whether there were more."""
        self.acquire()
        try:
            lines = list(self._lines)
        finally:
            self.release()
        size, first = 0, len(lines)
        while first and size + len(lines[first - 1]) + 1 <= most_bytes:
            first -= 1
            size += len(lines[first]) + 1
        return "".join(f"{line.decode()}\n" for line in lines[first:]), first > 0


def keep_log(recent_log: RecentLog) -> None:
    """Let it hear all that is logged, in the same words as the log."""
    root = logging.getLogger()
    if root.handlers:
        recent_log.setFormatter(root.handlers[0].formatter)
    root.addHandler(recent_log)
