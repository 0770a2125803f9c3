"""`dead_band`: send a value only when it moved away from the one sent last, so that slow drift is not swallowed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from edge_agent.rules.rule import Findings, Rule, Thinner, is_late


class DeadBand(Rule):
    """`[[rules]]` with `kind = "dead_band"`."""

    kind: Literal["dead_band"] = "dead_band"
    band: float | None = Field(None, gt=0, description="smallest change that is sent, in the metric's unit")
    band_percent: float | None = Field(None, gt=0, le=1000, description="or in percent of the value sent last")
    max_silence_s: float = Field(3600.0, gt=0, description="sent at least this often")

    @model_validator(mode="after")
    def _has_one_band(self) -> Self:
        if (self.band is None) == (self.band_percent is None):
            raise ValueError("a dead band has either band or band_percent")
        return self

    @property
    def key(self) -> str:
        """Nothing of it survives a restart."""
        return f"dead_band|{self.metric}"

    def describe(self) -> str:
        """What it does, in a line.

        >>> DeadBand(metric="t", band_percent=2).describe()
        'sent when it moved by 2 %, and every 3600 s'
        """
        band = f"{self.band:g}" if self.band is not None else f"{self.band_percent:g} %"
        return f"sent when it moved by {band}, and every {self.max_silence_s:g} s"

    def begin(self) -> "DeadBandState":
        """For one metric of one asset."""
        return DeadBandState(self)


class DeadBandState(Thinner):
    """The value sent last. Not stored: after a restart the first value is sent.

    >>> state, found = DeadBand(metric="t", band=0.5).begin(), Findings(0.0)
    >>> [state.keeps(60.0 * minute, value, found) for minute, value in enumerate([20.0, 20.4, 20.5, 20.1])]
    [True, False, True, False]
    """

    __slots__ = ("_band", "_latest_s", "_max_silence_s", "_share", "_time_s", "_value")

    def __init__(self, rule: DeadBand) -> None:
        self._band = rule.band or 0.0
        self._share = (rule.band_percent or 0.0) / 100
        self._max_silence_s = rule.max_silence_s
        self._time_s: float | None = None
        self._value = 0.0
        self._latest_s = float("-inf")

    def keeps(self, time_s: float, value: float, found: Findings) -> bool:
        """Whether it moved, or nothing was sent for long; a late value is sent and changes nothing."""
        if self._time_s is None:
            self._time_s, self._value, self._latest_s = time_s, value, time_s
            return True
        if time_s < self._latest_s:
            if not is_late(time_s, self._latest_s, found.now_s):
                self._time_s, self._value, self._latest_s = time_s, value, time_s
            return True
        self._latest_s = time_s
        silence_s = time_s - self._time_s
        change = abs(value - self._value)
        band = self._band or self._share * abs(self._value)
        if silence_s < self._max_silence_s and (change < band or change == 0):
            found.thinned += 1
            return False
        self._time_s, self._value = time_s, value
        return True
