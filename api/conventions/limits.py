"""How often somebody may try: a bucket that fills slowly and is emptied by trying. Kept in memory, per process."""

from collections import OrderedDict
from datetime import datetime

MOST_ADDRESSES = 10_000


class Limiter:
    """Tries by address.

    Args:
        per_minute: How many tries come back in a minute; as many may be made at once.
    """

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._per_s = per_minute / 60.0
        self._left: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def wait_s(self, address: str, now: datetime) -> float:
        """How many seconds until the address may try again; 0 when it may now."""
        left = self._left_of(address, now)
        return 0.0 if left >= 1.0 else (1.0 - left) / self._per_s

    def count(self, address: str, now: datetime) -> None:
        """Note a try."""
        self._left[address] = (self._left_of(address, now) - 1.0, now)
        self._left.move_to_end(address)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)

    def give_back(self, address: str, now: datetime) -> None:
        """Take a try back that turned out to be none."""
        self._left[address] = (min(self._most, self._left_of(address, now) + 1.0), now)

    def _left_of(self, address: str, now: datetime) -> float:
        left, since = self._left.get(address, (self._most, now))
        # A clock that was set back gives nothing and takes nothing.
        return min(self._most, left + max(0.0, (now - since).total_seconds()) * self._per_s)
