"""Sources that block, in threads of their own: a device that hangs delays nobody else.

`Background` runs a `Reader` at its interval and hands what it brought to the agent's thread over a `HandOver` with a
bound: when the agent does not come to take it, the reader waits instead of filling the memory. A read that fails is
told to the agent as a `SourceError`, and tried again after 1, 2, 4 … seconds, at most the interval or a minute.
"""

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from careloop.contract.messages import Event
from edge_agent.sources.source import Clock, Harvest, Row, Source, SourceError

MAX_WAITING = 20_000
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 60.0
JITTER = 0.25
STREAM_INTERVAL_S = 1.0
STOP_S = 3.0

log = logging.getLogger(__name__)


class Retry:
    """Exponential pauses after failures, with jitter.

    Args:
        interval_s: The pause when all is well; failures in a row never wait longer than this or `RETRY_LONGEST_S`.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._failures = 0
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def succeeded(self) -> None:
        """The next failure is the first again."""
        self._failures = 0

    def pause_s(self) -> float:
        """How long to wait after one more failure."""
        first_s = min(RETRY_FIRST_S, self._interval_s or RETRY_FIRST_S)
        pause_s: float = min(first_s * 2 ** min(self._failures, 30), max(self._interval_s, RETRY_LONGEST_S))
        self._failures += 1
        return pause_s * self._jitter.uniform(1 - JITTER, 1 + JITTER)


class Reader(ABC):
    """Something that blocks while it reads; everything but `interrupt` is called from one thread of its own.

    Attributes:
        name: For logs.
        interval_s: Seconds between reads.
        is_stream: Whether `read` is called again at once, since it waits for what comes by itself.
    """

    name: str
    interval_s: float
    is_stream: bool = False

    def units_of(self, serial: str) -> Mapping[str, str]:  # noqa: ARG002 - a reader whose devices differ uses it
        """As `Source.units_of`; called from the agent's thread."""
        return {}

    def serials(self) -> Sequence[str]:
        """As `Source.serials`; called from the agent's thread."""
        return ()

    def restore(self, memory: str) -> None:  # noqa: B027 - a reader without memory needs none
        """Take back what `memory` said; called before the first read."""

    def memory(self) -> str | None:
        """What is to be stored with what was just read."""
        return None

    @abstractmethod
    def read(self) -> Iterator[Harvest | SourceError]:
        """Read once; a SourceError among what it brings is one device of several that did not answer.

        Raises:
            SourceError: Nothing could be read.
        """

    def interrupt(self) -> None:  # noqa: B027 - a read that ends by itself within seconds needs none
        """End a read under way; called from the agent's thread."""

    def close(self) -> None:  # noqa: B027 - only readers that hold something open need it
        """Let go of what is open; after a failed read, and at the end."""


@dataclass(frozen=True)
class Parcel:
    """What is handed over at once.

    Attributes:
        brought: Readings and events, or why there are none.
        token: What `HandOver.confirm` gives back.
        memory: What is to be stored with it.
    """

    brought: Harvest | SourceError
    token: object = None
    memory: str | None = None

    @property
    def weight(self) -> int:
        """How much of the bound it takes."""
        if isinstance(self.brought, SourceError):
            return 1
        return sum(len(row.values) for row in self.brought.rows) + len(self.brought.events) + 1


class HandOver:
    """From a source's thread to the agent's, with a bound.

    Args:
        wake: Called when it is half full.
        max_waiting: Most readings and events that wait.
    """

    def __init__(self, wake: Callable[[], None], max_waiting: int = MAX_WAITING) -> None:
        self._wake = wake
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._waiting: deque[Parcel] = deque()
        self._weight = 0
        self._taken: list[Parcel] = []
        # What the checkpoint on disk says already.
        self.stored_memory: str | None = None
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, parcel: Parcel) -> bool:
        """Hand over; waits while it is full. False when nobody will take it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._waiting or self._fits(parcel))
            if self._closed:
                return False
            self._waiting.append(parcel)
            self._weight += parcel.weight
            pressing = self._weight * 2 >= self._max_waiting
        if pressing:
            self._wake()
        return True

    def take(self) -> Harvest:
        """Everything that waits, up to the next failure.

        Raises:
            SourceError: A failure is next in line.
        """
        rows: list[Row] = []
        events: list[tuple[str, Event]] = []
        refused, before = 0, len(self._taken)
        with self._changed:
            while self._waiting:
                brought = self._waiting[0].brought
                if isinstance(brought, SourceError):
                    if len(self._taken) > before:
                        break
                    self._drop_first()
                    raise brought
                rows += brought.rows
                events += brought.events
                refused += brought.refused
                self._taken.append(self._drop_first())
        return Harvest(rows, events, refused)

    def memory(self) -> str | None:
        """What the last parcel wants to be stored with it, of those taken and those stored before."""
        taken = (parcel.memory for parcel in reversed(self._taken) if parcel.memory is not None)
        return next(taken, self.stored_memory)

    @property
    def has_taken(self) -> bool:
        """Whether anything was taken and is not yet confirmed."""
        return bool(self._taken)

    def tokens(self) -> list[object]:
        """The tokens of what was taken."""
        return [parcel.token for parcel in self._taken if parcel.token is not None]

    def confirm(self) -> list[object]:
        """What was taken is stored: the tokens of it."""
        tokens = self.tokens()
        self.stored_memory = self.memory()
        self._taken.clear()
        return tokens

    def close(self) -> None:
        """Nothing is handed over any more; whoever waits to do so goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, parcel: Parcel) -> bool:
        return self._weight + parcel.weight <= self._max_waiting

    def _drop_first(self) -> Parcel:
        parcel = self._waiting.popleft()
        self._weight -= parcel.weight
        self._changed.notify_all()
        return parcel


class Background(Source):
    """A reader in a thread of its own, as a source.

    Args:
        reader: What reads.
        clock: The clocks.
        max_waiting: Most readings and events that wait to be taken.
    """

    def __init__(self, reader: Reader, clock: Clock, max_waiting: int = MAX_WAITING) -> None:
        self.name = reader.name
        self.interval_s = STREAM_INTERVAL_S if reader.is_stream else reader.interval_s
        self._reader = reader
        self._clock = clock
        self._hand_over = HandOver(self._wake_agent, max_waiting)
        self._stopping = threading.Event()
        # Set when a pause is to end before its time: to stop, or because the interval is another now.
        self._roused = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source {self.name}", daemon=True)

    def read_now(self) -> bool:
        """Read now; what comes of it is there some time later."""
        self._roused.set()
        return not self._reader.is_stream

    @property
    def has_interval(self) -> bool:
        """Not when the reader waits for what comes by itself."""
        return not self._reader.is_stream

    def set_interval(self, interval_s: float) -> None:
        """Read now, and from then on so often."""
        self.interval_s = interval_s
        self._roused.set()

    @property
    def has_news(self) -> bool:
        """Whether something was handed over."""
        return bool(self._hand_over)

    def open(self, checkpoint: str | None, since: datetime | None) -> None:  # noqa: ARG002 - it reads in its own time
        """Begin to read."""
        if checkpoint is not None:
            self._hand_over.stored_memory = checkpoint
            self._reader.restore(checkpoint)
        self._thread.start()

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The reader's."""
        return self._reader.units_of(serial)

    def serials(self) -> Sequence[str]:
        """The reader's."""
        return self._reader.serials()

    def poll(self, now: datetime) -> Harvest:  # noqa: ARG002 - what was read is what there is
        """What was read since the last poll."""
        return self._hand_over.take()

    def checkpoint(self) -> str | None:
        """What the reader wants to be stored with what was polled; None when it is stored already."""
        memory = self._hand_over.memory()
        return None if memory == self._hand_over.stored_memory else memory

    def confirm(self) -> None:
        """Forget what was polled."""
        self._hand_over.confirm()

    def close(self) -> None:
        """End the read under way, and the thread; a device that does not let go is left to the process's end."""
        self._stopping.set()
        self._roused.set()
        self._hand_over.close()
        self._reader.interrupt()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _wake_agent(self) -> None:
        self.wake()

    def _run(self) -> None:
        retry = Retry(0.0 if self._reader.is_stream else self.interval_s)
        due_s = self._clock.monotonic()
        while not self._stopping.is_set():
            if self._read():
                retry.succeeded()
                due_s = self._pause(due_s)
            else:
                self._reader.close()
                self._stopping.wait(retry.pause_s())
                due_s = self._clock.monotonic()
        self._reader.close()

    def _pause(self, read_s: float) -> float:
        """Wait for the next read; when it was due."""
        if self._reader.is_stream:
            return read_s
        now_s = self._clock.monotonic()
        # From now, not from when it was due: after a long halt nothing is read many times over.
        due_s = max(read_s + self.interval_s, now_s)
        if self._roused.wait(due_s - now_s):
            self._roused.clear()
            return self._clock.monotonic()
        return due_s

    def _read(self) -> bool:
        """Read once; whether anything answered."""
        answered = True
        try:
            for brought in self._reader.read():
                self._hand_over.put(Parcel(brought, memory=self._reader.memory()))
        except SourceError as error:
            answered = False
            if not self._stopping.is_set():
                self._hand_over.put(Parcel(error))
        except Exception as error:  # a defect in one source must not stop the others; it is logged and counted
            log.exception("source %s: defect", self.name)
            answered = False
            self._hand_over.put(Parcel(SourceError(f"defect: {error!r}")))
        return answered
