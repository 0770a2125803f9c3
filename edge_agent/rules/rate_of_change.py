"""`rate_of_change`: send a value only when it changes fast, with the value before, so that a chart shows the bend."""

from typing import Literal

from pydantic import Field

from edge_agent.rules.rule import Findings, Rule, Thinner, held_row, is_late


class RateOfChange(Rule):
    """`[[rules]]` with `kind = "rate_of_change"`."""

    kind: Literal["rate_of_change"] = "rate_of_change"
    per_s: float = Field(gt=0, description="slowest change that is sent, in the metric's unit per second")
    max_silence_s: float = Field(3600.0, gt=0, description="sent at least this often")

    @property
    def key(self) -> str:
        """Nothing of it survives a restart."""
        return f"rate_of_change|{self.metric}"

    def describe(self) -> str:
        """What it does, in a line."""
        return f"sent when it changes by {self.per_s:g}/s or faster, and every {self.max_silence_s:g} s"

    def begin(self) -> "RateOfChangeState":
        """For one metric of one asset."""
        return RateOfChangeState(self)


class RateOfChangeState(Thinner):
    """The value before, and when one was sent. Not stored: after a restart the first value is sent.

    >>> state, found = RateOfChange(metric="t", per_s=1.0).begin(), Findings(0.0)
    >>> [state.keeps(float(second), value, found) for second, value in enumerate([20.0, 20.5, 20.9, 22.0, 22.1])]
    [True, False, False, True, False]
    >>> found.rows  # where the bend was
    [Row(serial='', time_s=2.0, values={'t': 20.9})]
    """

    __slots__ = ("_before", "_max_silence_s", "_metric", "_per_s", "_sent_s")

    def __init__(self, rule: RateOfChange) -> None:
        self._metric = rule.metric
        self._per_s = rule.per_s
        self._max_silence_s = rule.max_silence_s
        self._before: tuple[float, float] | None = None
        self._sent_s = 0.0

    def keeps(self, time_s: float, value: float, found: Findings) -> bool:
        """Whether it changed fast since the value before; a late value is sent and changes nothing."""
        if self._before is None:
            self._before, self._sent_s = (time_s, value), time_s
            return True
        before_s, before = self._before
        if time_s < before_s:
            if not is_late(time_s, before_s, found.now_s):
                self._before, self._sent_s = (time_s, value), time_s
            return True
        is_fast = abs(value - before) >= self._per_s * (time_s - before_s) and value != before
        self._before = (time_s, value)
        if not is_fast and time_s - self._sent_s < self._max_silence_s:
            found.thinned += 1
            return False
        if is_fast and before_s > self._sent_s:
            held_row(found, self._metric, before_s, before)
            found.thinned -= 1
        self._sent_s = time_s
        return True
