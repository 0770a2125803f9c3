"""What every kind of rule is."""

from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from careloop.contract.messages import Event
from careloop.contract.topics import SERIAL
from edge_agent.sources.source import Row

# So far ahead of the agent's clock a value is not judged; ingest does not take it either.
FUTURE_S = 86_400.0

Serial = Annotated[str, Field(pattern=f"^{SERIAL.pattern}$", description="1-64 letters, digits, dots, hyphens or _")]


class Findings:
    """What the rules made of some rows, and of the row they are at.

    Attributes:
        rows: What is to be sent.
        events: Serial number and event: what thresholds raised.
        thinned: Values left out for adding little.
        windowed: Values that went into a window instead.
        serial: The asset of the row at hand.
        values: What is left of the row at hand, and what was worked out from it.
        now_s: The agent's clock in Unix seconds.
        changed: Whether something changed that must survive a restart.
    """

    __slots__ = ("changed", "events", "now_s", "rows", "serial", "thinned", "values", "windowed")

    def __init__(self, now_s: float) -> None:
        self.rows: list[Row] = []
        self.events: list[tuple[str, Event]] = []
        self.thinned = 0
        self.windowed = 0
        self.serial = ""
        self.values: dict[str, float] = {}
        self.now_s = now_s
        self.changed = False


class Rule(BaseModel):
    """Fields that every `[[rules]]` table has; a kind adds its own and a literal `kind`."""

    # Deferred: only the whole file's validator is ever built, which saves half a megabyte on the device.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    metric: str = Field(min_length=1, max_length=128)
    serial: Serial | None = Field(None, description="one asset; every asset when left out")

    @property
    def key(self) -> str:
        """Under which name its state is kept; the same state goes on while this stays the same."""
        raise NotImplementedError

    def describe(self) -> str:
        """One line for `careloop edge check`, without the metric's name."""
        raise NotImplementedError


class State:
    """What a rule remembers of one metric of one asset: a few numbers, however long it runs."""

    __slots__ = ()

    def to_json(self) -> Any:
        """What must survive a restart, as JSON can say it; None for nothing."""
        return None


class Observer(State, ABC):
    """Looks at every value, as it was measured."""

    __slots__ = ()

    @abstractmethod
    def see(self, time_s: float, value: float, found: Findings) -> None:
        """Take note of a value; a late one (before the value seen last) may be ignored."""


class Thinner(State, ABC):
    """Leaves out what adds little."""

    __slots__ = ()

    @abstractmethod
    def keeps(self, time_s: float, value: float, found: Findings) -> bool:
        """Whether the value is sent now; one that was held back may be added to `found.rows`."""


def is_late(time_s: float, latest_s: float, now_s: float) -> bool:
    """Whether a value comes after a later one.

    A latest value of the future was timed by a clock that has been put right since; going by it, nothing would ever
    count again.

    >>> [is_late(60.0, 120.0, now_s=180.0), is_late(60.0, 4e9, now_s=180.0)]
    [True, False]
    """
    return time_s < latest_s <= now_s + FUTURE_S


def held_row(found: Findings, metric: str, time_s: float, value: float) -> None:
    """Send a value that was held back until now."""
    found.rows.append(Row(found.serial, time_s, {metric: value}))
