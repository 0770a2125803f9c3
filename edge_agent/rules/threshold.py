"""`threshold`: an event when a value crosses a limit, and again only after it came back past `clear`."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from careloop.contract.messages import Event, Severity
from edge_agent.rules.rule import Findings, Observer, Rule, is_late


class Threshold(Rule):
    """`[[rules]]` with `kind = "threshold"`."""

    kind: Literal["threshold"] = "threshold"
    above: float | None = None
    below: float | None = None
    clear: float | None = Field(None, description="where the alarm ends; the limit itself when left out")
    code: str = Field(min_length=1, max_length=128)
    severity: Severity = "warning"
    min_duration_s: float = Field(0.0, ge=0, description="raised only after it lasted so long, without a value between")
    clear_code: str | None = Field(
        None, min_length=1, max_length=128, description="code of an event of severity info when it ends; none without"
    )

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a threshold has either above or below")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above) or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError("clear must lie on the healthy side of the limit")
        return self

    @property
    def key(self) -> str:
        """One alarm a code: the same code with another limit goes on where it was."""
        return f"threshold|{self.metric}|{self.code}"

    @property
    def limit(self) -> float:
        """The limit, in the metric's unit."""
        return self.above if self.above is not None else self.below or 0.0

    def describe(self) -> str:
        """What it does, in a line.

        >>> Threshold(metric="t", above=85, clear=80, code="HOT", min_duration_s=30).describe()
        'event HOT (warning) above 85 for 30 s, until 80'
        """
        side = "below" if self.above is None else "above"
        lasting = f" for {self.min_duration_s:g} s" if self.min_duration_s else ""
        until = f", until {self.clear:g}" if self.clear is not None else ""
        ended = f", then event {self.clear_code}" if self.clear_code else ""
        return f"event {self.code} ({self.severity}) {side} {self.limit:g}{lasting}{until}{ended}"

    def begin(self, remembered: Any = None) -> "ThresholdState":
        """For one metric of one asset; `remembered` is what `to_json` said."""
        return ThresholdState(self, remembered)


class ThresholdState(Observer):
    """Whether the alarm stands, and since when the value is beyond the limit.

    Stored when it changes, so that a restart raises none twice.

    >>> state, found = Threshold(metric="t", above=85, clear=80, code="HOT").begin(), Findings(0.0)
    >>> for second, value in enumerate([84.0, 86.0, 82.0, 87.0, 80.0, 86.0]):
    ...     state.see(float(second), value, found)
    >>> [event.detail["value"] for _, event in found.events]
    [86.0, 86.0]
    """

    __slots__ = ("_active", "_clear", "_is_low", "_latest_s", "_limit", "_rule", "_since_s")

    def __init__(self, rule: Threshold, remembered: Any) -> None:
        self._rule = rule
        self._limit = rule.limit
        self._clear = rule.limit if rule.clear is None else rule.clear
        self._is_low = rule.above is None
        self._latest_s = float("-inf")
        self._active: bool = False
        self._since_s: float | None = None
        if remembered is not None:
            self._active, self._since_s = remembered

    def to_json(self) -> Any:
        """Whether it stands, and since when; nothing while all is well."""
        return None if self._since_s is None else [self._active, self._since_s]

    def see(self, time_s: float, value: float, found: Findings) -> None:
        """Raise or end the alarm; a late value does neither."""
        if time_s < self._latest_s and is_late(time_s, self._latest_s, found.now_s):
            return
        self._latest_s = time_s
        edge = self._clear if self._active else self._limit
        if not (value < edge if self._is_low else value > edge):
            if self._since_s is not None:
                self._end(time_s, value, found)
            return
        if self._since_s is None:
            self._since_s = time_s
            found.changed = True
        if not self._active and time_s - self._since_s >= self._rule.min_duration_s:
            self._active = found.changed = True
            detail = {"metric": self._rule.metric, "value": value, "limit": self._limit}
            if self._rule.min_duration_s:
                detail["since"] = _moment(self._since_s).isoformat()
            event = Event(_moment(time_s), self._rule.code, self._rule.severity, detail)
            found.events.append((found.serial, event))

    def _end(self, time_s: float, value: float, found: Findings) -> None:
        if self._active and self._rule.clear_code is not None:
            lasted_s = round(time_s - (self._since_s or time_s), 3)
            detail = {"metric": self._rule.metric, "value": value, "ends": self._rule.code, "lasted_s": lasted_s}
            found.events.append((found.serial, Event(_moment(time_s), self._rule.clear_code, "info", detail)))
        self._active, self._since_s = False, None
        found.changed = True


def _moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
