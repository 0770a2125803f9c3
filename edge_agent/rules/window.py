"""`window`: min, max, mean and count of a metric over stretches of time that begin with the clock (at :00, :05 …).

A window is sent as one row under the time of its latest value, so that it lies in the hour and day that it tells of and
nothing is known before its time. It closes when a value comes that is `lateness_s` past its end, or, when the asset has
fallen silent, after its end by the agent's clock and a whole width without any value. A value for a window that has
closed goes on as it is: nothing is lost for coming late.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from edge_agent.rules.rule import Findings, Rule, State, is_late
from edge_agent.sources.source import Row

Statistic = Literal["min", "max", "mean", "count"]


class Window(Rule):
    """`[[rules]]` with `kind = "window"`."""

    kind: Literal["window"] = "window"
    every_s: float = Field(ge=1, le=86400, description="width; windows begin at multiples of it since 1970, UTC")
    emit: Annotated[Sequence[Statistic], Field(min_length=1)] = ("min", "max", "mean")
    name: str = Field("", max_length=120, description="sent as name.min and so on; the metric's own name when empty")
    keep_raw: bool = Field(False, description="send the values themselves as well")
    lateness_s: float = Field(0.0, ge=0, le=3600, description="how long a window waits for values out of order")

    @property
    def key(self) -> str:
        """Windows of one width go on where they were."""
        return f"window|{self.metric}|{self.every_s:g}"

    @property
    def names(self) -> dict[Statistic, str]:
        """The metrics that it makes."""
        return {statistic: f"{self.name or self.metric}.{statistic}" for statistic in self.emit}

    def describe(self) -> str:
        """What it does, in a line.

        >>> Window(metric="t", every_s=300).describe()
        't.min, t.max, t.mean of every 300 s instead of the values'
        """
        instead = "beside" if self.keep_raw else "instead of"
        return f"{', '.join(self.names.values())} of every {self.every_s:g} s {instead} the values"

    def begin(self, remembered: Any = None) -> "WindowState":
        """For one metric of one asset; `remembered` is what `to_json` said."""
        return WindowState(self, remembered)


class WindowState(State):
    """The open windows: no more than fit into the lateness, and one.

    >>> state, found = Window(metric="t", every_s=60).begin(), Findings(0.0)
    >>> [state.take(second, value, found) for second, value in [(0.0, 1.0), (30.0, 3.0), (60.0, 5.0), (59.0, 9.0)]]
    [True, True, True, False]
    >>> found.rows
    [Row(serial='', time_s=30.0, values={'t.min': 1.0, 't.max': 3.0, 't.mean': 2.0})]
    """

    __slots__ = ("_closed_before_s", "_every_s", "_lateness_s", "_names", "_open", "_touched_s", "replaces")

    def __init__(self, rule: Window, remembered: Any) -> None:
        self.replaces = not rule.keep_raw
        self._every_s = rule.every_s
        self._lateness_s = rule.lateness_s
        self._names = [(name, statistic) for statistic, name in rule.names.items()]
        # By the window's start: count, sum, smallest, largest, time of the latest.
        self._open: dict[float, list[float]] = {}
        # Where windows that have closed end; what belongs before is late.
        self._closed_before_s = float("-inf")
        self._touched_s = float("-inf")
        if remembered is not None:
            closed_before_s, still_open = remembered
            self._closed_before_s = float("-inf") if closed_before_s is None else closed_before_s
            self._open = {start_s: parts for start_s, *parts in still_open}

    def to_json(self) -> Any:
        """Until when windows have closed, and what is in the open ones."""
        closed_before_s = None if self._closed_before_s == float("-inf") else self._closed_before_s
        if closed_before_s is None and not self._open:
            return None
        return [closed_before_s, [[start_s, *parts] for start_s, parts in self._open.items()]]

    def take(self, time_s: float, value: float, found: Findings) -> bool:
        """Add a value to its window; False when that one has closed."""
        start_s = time_s - time_s % self._every_s
        if start_s < self._closed_before_s:
            if is_late(start_s, self._closed_before_s, found.now_s):
                return False
            self.let_go(found)
            self._closed_before_s = float("-inf")
        found.changed = True
        self._touched_s = found.now_s
        parts = self._open.get(start_s)
        if parts is None:
            self._close(time_s - self._lateness_s, found)
            self._open[start_s] = [1, value, value, value, time_s]
            return True
        parts[0] += 1
        parts[1] += value
        parts[2] = min(parts[2], value)
        parts[3] = max(parts[3], value)
        parts[4] = max(parts[4], time_s)
        if len(self._open) > 1:
            self._close(time_s - self._lateness_s, found)
        return True

    def expire(self, found: Findings) -> None:
        """Close what has ended when the asset has fallen silent."""
        if self._touched_s == float("-inf"):
            self._touched_s = found.now_s
        if self._open and found.now_s - self._touched_s >= self._every_s:
            self._close(found.now_s - self._lateness_s, found)

    def let_go(self, found: Findings) -> None:
        """Close all, whether ended or not."""
        self._close(float("inf"), found)

    def _close(self, until_s: float, found: Findings) -> None:
        """Send the windows that ended by then."""
        for start_s in sorted(start_s for start_s in self._open if start_s + self._every_s <= until_s):
            count, total, smallest, largest, latest_s = self._open.pop(start_s)
            said = {"min": smallest, "max": largest, "mean": total / count, "count": count}
            found.rows.append(Row(found.serial, latest_s, {name: said[statistic] for name, statistic in self._names}))
            self._closed_before_s = max(self._closed_before_s, start_s + self._every_s)
            found.changed = True
