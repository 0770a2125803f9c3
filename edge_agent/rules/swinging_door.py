"""`swinging_door`: send only the ends of straight stretches; a line through them passes every value within the band.

A value is held back until the next one. As long as one line from the value sent last passes all values since then
within the band, the held one is dropped; when none does any more, it is sent and the next stretch starts from it.
"""

from typing import Any, Literal

from pydantic import Field

from edge_agent.rules.rule import Findings, Rule, Thinner, held_row, is_late


class SwingingDoor(Rule):
    """`[[rules]]` with `kind = "swinging_door"`."""

    kind: Literal["swinging_door"] = "swinging_door"
    band: float = Field(gt=0, description="how far a line through what is sent may pass a value, in the metric's unit")
    max_silence_s: float = Field(3600.0, gt=0, description="sent at least this often")

    @property
    def key(self) -> str:
        """The held value survives a restart."""
        return f"swinging_door|{self.metric}"

    def describe(self) -> str:
        """What it does, in a line."""
        return f"the ends of straight stretches within {self.band:g}, and every {self.max_silence_s:g} s"

    def begin(self, remembered: Any = None) -> "SwingingDoorState":
        """For one metric of one asset; `remembered` is what `to_json` said."""
        return SwingingDoorState(self, remembered)


class SwingingDoorState(Thinner):
    """The value sent last, the one held back, and between which slopes the line from the first may run.

    >>> state, found = SwingingDoor(metric="t", band=0.5).begin(), Findings(0.0)
    >>> [state.keeps(float(second), value, found) for second, value in enumerate([0.0, 1.1, 1.9, 3.0, 3.0, 3.0])]
    [True, False, False, False, False, False]
    >>> found.rows  # the end of the rise
    [Row(serial='', time_s=3.0, values={'t': 3.0})]
    """

    __slots__ = ("_band", "_held", "_high", "_low", "_max_silence_s", "_metric", "_sent", "_touched_s")

    def __init__(self, rule: SwingingDoor, remembered: Any) -> None:
        self._metric = rule.metric
        self._band = rule.band
        self._max_silence_s = rule.max_silence_s
        self._sent: tuple[float, float] | None = None
        self._held: tuple[float, float] | None = None
        self._low, self._high = float("-inf"), float("inf")
        self._touched_s = float("-inf")
        if remembered is not None:
            sent, held, low, high = remembered
            self._sent, self._held = tuple(sent), tuple(held) if held else None
            self._low = float("-inf") if low is None else low
            self._high = float("inf") if high is None else high

    def to_json(self) -> Any:
        """What was sent and is held, and the slopes."""
        if self._sent is None:
            return None
        slopes = (self._low, self._high) if self._high < float("inf") else (None, None)
        return [self._sent, self._held, *slopes]

    def keeps(self, time_s: float, value: float, found: Findings) -> bool:
        """Hold the value back; what it takes to draw the line is sent. A late value is sent and changes nothing."""
        found.changed = True
        self._touched_s = found.now_s
        if self._sent is None:
            self._restart(time_s, value)
            return True
        sent_s, sent = self._sent
        latest_s = self._held[0] if self._held else sent_s
        if time_s <= latest_s:
            if time_s < latest_s and not is_late(time_s, latest_s, found.now_s):
                self.let_go(found)
                self._restart(time_s, value)
            return True
        if time_s - sent_s >= self._max_silence_s:
            if self._held and self._misses(time_s, value):
                held_row(found, self._metric, *self._held)
                found.thinned -= 1
            self._restart(time_s, value)
            return True
        if self._held and self._misses(time_s, value):
            held_row(found, self._metric, *self._held)
            found.thinned -= 1
            self._restart(*self._held)
            sent_s, sent = self._sent
        after_s = time_s - sent_s
        self._low = max(self._low, (value - self._band - sent) / after_s)
        self._high = min(self._high, (value + self._band - sent) / after_s)
        self._held = (time_s, value)
        # Held back for now; taken off again when it is sent after all.
        found.thinned += 1
        return False

    def expire(self, found: Findings) -> None:
        """Send what is held when nothing more came for as long as the rule may be silent."""
        if self._touched_s == float("-inf"):
            self._touched_s = found.now_s
        if self._held and found.now_s - max(self._touched_s, self._held[0]) >= self._max_silence_s:
            self.let_go(found)

    def let_go(self, found: Findings) -> None:
        """Send what is held, if anything is."""
        if self._held:
            held_row(found, self._metric, *self._held)
            found.thinned -= 1
            found.changed = True
            self._restart(*self._held)

    def _misses(self, time_s: float, value: float) -> bool:
        """Whether the line to this value would pass an earlier one too far off."""
        sent_s, sent = self._sent or (0.0, 0.0)
        return not self._low <= (value - sent) / (time_s - sent_s) <= self._high

    def _restart(self, time_s: float, value: float) -> None:
        self._sent, self._held = (time_s, value), None
        self._low, self._high = float("-inf"), float("inf")
