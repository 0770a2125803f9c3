"""What every source of readings is.

The agent's loop calls, always from the same thread: `open` once; `poll` at the source's interval; `checkpoint` after
each poll, whose text is stored in the same transaction as what was polled; `confirm` once that transaction is on disk;
`close` at the end. So a source that can tell where it was (a file's offset, a counter, a simulator's state) neither
repeats nor skips anything across a kill, and one that must acknowledge upstream (a local broker) does so in `confirm`.
A source that is pushed to (subscription, serial line) or that may block (a bus, a request, a program) works in a thread
of its own and hands over in `poll` (`sources.background`). It says in `has_news` that something waits, so that the loop
need not wait for the interval, and calls `wake` only when much waits.

While a transaction fails (a full disk) no source is polled: the batch is kept and tried again.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from careloop.contract.messages import Event

log = logging.getLogger(__name__)


class Clock(NamedTuple):
    """The clocks that `main` passes in.

    Attributes:
        now: The time of day, UTC.
        monotonic: Seconds of a clock that never jumps.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]


class Row(NamedTuple):
    """Values of one asset at one time.

    Attributes:
        serial: The asset.
        time_s: Unix time in seconds.
        values: Value by metric, in the source's unit for it.
    """

    serial: str
    time_s: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Harvest:
    """What one poll brought.

    Attributes:
        rows: Readings, in the order of their time for each asset.
        events: Serial number and event.
        refused: How many lines or payloads said nothing that could be understood; the source has logged them.
    """

    rows: Sequence[Row] = ()
    events: Sequence[tuple[str, Event]] = field(default=())
    refused: int = 0


def remembered(checkpoint: str | None, *names: str) -> Mapping[str, Any] | None:
    """A checkpoint that is a JSON object with these names; None without one, or if another kind of source wrote it."""
    if checkpoint is None:
        return None
    try:
        found = json.loads(checkpoint)
    except ValueError:
        found = None
    if isinstance(found, dict) and all(name in found for name in names):
        return found
    log.warning("a checkpoint of another kind of source is left out; give a new source a new name")
    return None


class SourceError(Exception):
    """The source could not be read this time; the agent logs it, counts it and asks again at the next interval."""


class SourceConfig(BaseModel):
    """Fields that every `[[sources]]` table has; a source adds its own and a literal `kind`."""

    # Deferred: only the whole file's validator is ever built, which saves half a megabyte on the device.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    kind: str
    name: str = Field("", max_length=64, description="for logs and checkpoints; the kind when empty")
    interval_s: float = Field(60.0, gt=0, le=86400, description="seconds between polls")

    @property
    def comes_by_itself(self) -> bool:
        """Whether `interval_s` decides nothing."""
        return False

    def stated_units(self) -> Mapping[str | None, Mapping[str, str]]:
        """Unit by metric, by serial number; under None of every asset that may turn up."""
        return {}


def _nobody() -> None:
    """Nobody to wake."""


class Source(ABC):
    """One place that readings come from.

    Attributes:
        name: For logs and checkpoints.
        interval_s: Seconds between polls.
        wake: Called from any thread when so much waits that it should be polled soon; set before `open`.
    """

    name: str
    interval_s: float
    wake: Callable[[], None] = staticmethod(_nobody)

    def read_now(self) -> bool:
        """Begin a read before the interval is up; False where a poll itself reads, or what comes comes by itself."""
        return False

    @property
    def has_interval(self) -> bool:
        """Whether `interval_s` decides how often it is read; of a source that is pushed to it does not."""
        return True

    def set_interval(self, interval_s: float) -> None:
        """Be read so often from now on; the caller polls accordingly."""
        self.interval_s = interval_s

    @property
    def has_news(self) -> bool:
        """Whether a poll would bring something before the interval is up; asked often, so it must cost nothing."""
        return False

    def open(self, checkpoint: str | None, since: datetime | None) -> None:  # noqa: B027 - a source without state needs none
        """Get ready.

        Args:
            checkpoint: What `checkpoint` said last time, or None at the first start.
            since: The time at start; None when the time is driven by steps.

        Raises:
            CareloopError: It cannot work as configured.
        """

    def units_of(self, serial: str) -> Mapping[str, str]:  # noqa: ARG002 - a source whose devices differ uses it
        """Unit by metric for one asset; a metric left out has no stated unit."""
        return {}

    def serials(self) -> Sequence[str]:
        """The assets known before anything is read; others may turn up."""
        return ()

    @abstractmethod
    def poll(self, now: datetime) -> Harvest:
        """What came up since the last poll, with times before `now`.

        Raises:
            SourceError: It could not be read this time.
        """

    def checkpoint(self) -> str | None:
        """Where the source is, to be stored with what was polled; None when it has nothing to remember."""
        return None

    def confirm(self) -> None:  # noqa: B027 - only sources that acknowledge upstream need it
        """What was polled is on disk now."""

    def close(self) -> None:  # noqa: B027 - only sources that hold something open need it
        """Let go of files, ports and threads."""
