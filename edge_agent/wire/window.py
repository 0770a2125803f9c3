"""How much may be on the wire at a time: few bytes after a break, more as they get through.

A link that is cut again and again after fewer bytes than are underway never gets an answer to any of them. So after a
break a window of a few bytes opens, one message at least; it doubles with every round trip, and beyond half of what was
underway at the break it grows slowly (as TCP does it, RFC 5681). It shrinks
when acknowledgements take longer than `SLOW_S`: a slow link then holds no more than that, and what is measured now need
not wait behind what was measured before.
"""

LEAST_BYTES = 2 * 1024
FIRST_BYTES = 64 * 1024
MOST_BYTES = 4 * 1024 * 1024
SLOW_S = 1.0
SHRUNK = 0.7


class Window:
    """Bytes that may be sent and not yet acknowledged by the broker."""

    def __init__(self) -> None:
        self._size_bytes = float(FIRST_BYTES)
        self._slow_from_bytes = float(MOST_BYTES)
        self._shrunk_at_s = 0.0

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return int(self._size_bytes)

    def acknowledged(self, size_bytes: int, sent_at_s: float, now_s: float) -> None:
        """A message got through.

        Args:
            size_bytes: Its size.
            sent_at_s: When it was sent, monotonic.
            now_s: Now.
        """
        if now_s - sent_at_s > SLOW_S:
            # Once for all that was underway together.
            if sent_at_s >= self._shrunk_at_s:
                self._size_bytes = max(LEAST_BYTES, self._size_bytes * SHRUNK)
                self._slow_from_bytes = self._size_bytes
                self._shrunk_at_s = now_s
            return
        if self._size_bytes < self._slow_from_bytes:
            self._size_bytes += size_bytes
        else:
            self._size_bytes += LEAST_BYTES * size_bytes / self._size_bytes
        self._size_bytes = min(self._size_bytes, MOST_BYTES)

    def broke(self, underway_bytes: int) -> None:
        """The connection broke while so many bytes were underway."""
        self._slow_from_bytes = max(LEAST_BYTES, underway_bytes / 2) if underway_bytes else MOST_BYTES
        self._size_bytes = LEAST_BYTES
