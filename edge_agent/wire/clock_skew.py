"""How far the device's clock is off, from what the store says the time is.

A confirmation carries the store's time. It was on its way for an unknown while, half a round trip at least; of the
latest ones the one that shows the least lag was on its way the shortest and says the most (Cristian's algorithm).
"""

import logging
from collections import deque
from datetime import datetime

REMEMBERED = 16
WORTH_A_WARNING_S = 2.0

log = logging.getLogger(__name__)


class ClockSkew:
    """The device's clock against the store's."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=REMEMBERED)
        self._round_trips_s: deque[float] = deque(maxlen=REMEMBERED)
        self._told = False

    @property
    def seconds(self) -> float | None:
        """How far the device is ahead; negative when behind, None when not known."""
        if not self._lags_s:
            return None
        return min(self._lags_s) - min(self._round_trips_s, default=0.0) / 2

    def heard(self, store_time: str, device_s: float) -> None:
        """A confirmation arrived.

        Args:
            store_time: What it says the time was, RFC 3339; anything else says nothing.
            device_s: The device's time at its arrival, Unix time.
        """
        try:
            self._lags_s.append(device_s - datetime.fromisoformat(store_time).timestamp())
        except ValueError:
            return
        skew_s = self.seconds or 0.0
        is_off = abs(skew_s) > WORTH_A_WARNING_S
        if is_off and not self._told:
            log.warning("the clock of this device is %.1f s off (positive: ahead); set it, e.g. by NTP", skew_s)
        self._told = is_off

    def round_trip(self, seconds: float) -> None:
        """A message was acknowledged by the broker after so long."""
        self._round_trips_s.append(seconds)

    def clock_was_set(self) -> None:
        """The device's clock jumped: what was measured before is about another clock."""
        self._lags_s.clear()
