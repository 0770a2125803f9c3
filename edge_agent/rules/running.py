"""`running`: running hours and starts of a machine that does not count them itself, from a value or a truth value.

The time between two values counts as running when the first of them says that the machine runs and the second comes
within `max_gap_s`; of a longer gap nothing is known and nothing counts. A start is seen when a value says running
after one that did not, across a gap as well; one that ran before and after a gap has not started, for all one can know.

The counts are stored with the values that they came from, so a kill at any instant repeats and skips nothing. For a
machine that had hours before, or one that was given a new controller, `start_hours` and `start_cycles` say where to
begin; the counter begins there again whenever one of the three start fields is changed.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from edge_agent.rules.rule import Findings, Observer, Rule, is_late


class Running(Rule):
    """`[[rules]]` with `kind = "running"`."""

    kind: Literal["running"] = "running"
    above: float = Field(0.0, description="runs above it; a truth value and a 0/1 metric need none")
    clear: float | None = Field(None, description="stands still only at or below it; `above` itself when left out")
    max_gap_s: float = Field(300.0, gt=0, description="a longer gap between two values counts as nothing")
    report_every_s: float = Field(300.0, ge=0, description="the counts are sent so often, and at each start and stop")
    hours_metric: str = Field("running_hours", min_length=1, max_length=128)
    cycles_metric: str = Field("cycles", min_length=1, max_length=128)
    start_hours: float = Field(0.0, ge=0)
    start_cycles: int = Field(0, ge=0)
    start_note: str = Field("", max_length=200, description="any text, such as the controller's number")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.clear is not None and self.clear > self.above:
            raise ValueError("clear must not lie above `above`")
        if len({self.metric, self.hours_metric, self.cycles_metric}) < 3:
            raise ValueError("metric, hours_metric and cycles_metric must be three different names")
        return self

    @property
    def key(self) -> str:
        """The counter goes on under its names, also when limits or intervals change."""
        return f"running|{self.metric}|{self.hours_metric}|{self.cycles_metric}"

    @property
    def start(self) -> list[Any]:
        """What the counter began with; when it is another, it begins again."""
        return [self.start_hours, self.start_cycles, self.start_note]

    def describe(self) -> str:
        """What it does, in a line.

        >>> Running(metric="power", above=5, start_hours=1200).describe()
        'running_hours and cycles while above 5, from 1200 h and 0 starts'
        """
        start = f", from {self.start_hours:g} h and {self.start_cycles} starts" if any(self.start) else ""
        return f"{self.hours_metric} and {self.cycles_metric} while above {self.above:g}{start}"

    def begin(self, remembered: Any = None) -> "RunningState":
        """For one metric of one asset; `remembered` is what `to_json` said."""
        return RunningState(self, remembered)


class RunningState(Observer):
    """Seconds run, starts, and what the latest value said.

    >>> state, found = Running(metric="on", start_hours=10, report_every_s=0).begin(), Findings(0.0)
    >>> for minute, on in enumerate([True, True, False, True, True]):
    ...     state.see(60.0 * minute, on, found)
    >>> found.values  # 10 h, two minutes before the stop, one after the start
    {'running_hours': 10.05, 'cycles': 1}
    """

    __slots__ = ("_clear", "_cycles", "_latest_s", "_reported_s", "_rule", "_runs", "_seconds")

    def __init__(self, rule: Running, remembered: Any) -> None:
        self._rule = rule
        self._clear = rule.above if rule.clear is None else rule.clear
        self._seconds = 0.0
        self._cycles = 0
        self._latest_s: float | None = None
        self._reported_s: float | None = None
        self._runs = False
        if remembered is not None and remembered[0] == rule.start:
            _, self._seconds, self._cycles, self._latest_s, self._reported_s, self._runs = remembered

    def to_json(self) -> Any:
        """All of it."""
        if self._latest_s is None:
            return None
        return [self._rule.start, self._seconds, self._cycles, self._latest_s, self._reported_s, self._runs]

    def see(self, time_s: float, value: float, found: Findings) -> None:
        """Count up to this value; a late one was counted over already."""
        latest_s = self._latest_s
        runs = value > (self._clear if self._runs else self._rule.above)
        turned = runs != self._runs
        if latest_s is not None:
            passed_s = time_s - latest_s
            if is_late(time_s, latest_s, found.now_s):
                return
            if self._runs and 0 < passed_s <= self._rule.max_gap_s:
                self._seconds += passed_s
            if runs and turned:
                self._cycles += 1
        self._latest_s, self._runs = time_s, runs
        found.changed = True
        if turned or self._reported_s is None or abs(time_s - self._reported_s) >= self._rule.report_every_s:
            self._reported_s = time_s
            found.values[self._rule.hours_metric] = round(self._rule.start_hours + self._seconds / 3600, 6)
            found.values[self._rule.cycles_metric] = self._rule.start_cycles + self._cycles
