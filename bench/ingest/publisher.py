"""A publishing process: floods as fast as the rest keeps up, or publishes at a given rate and takes the time."""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from bench.ingest.load import Load, Messages
from bench.ingest.wire import Wire, length_of, text, varint
from careloop.contract.senml import CONTENT_TYPE_JSON
from careloop.contract.topics import topic
from careloop.errors import CareloopError

CHUNK = 32
MOST_UNSENT_BYTES = 1 << 18
TICK_S = 0.002
SILENCE_S = 60.0
_NO_SUBSCRIBERS = 0x10
_PUBACK, _PUBLISH = 0x40, 0x30


@dataclass(frozen=True, slots=True)
class Flood:
    """Publish as fast as the receiving side keeps up.

    Attributes:
        seconds: For how long.
        window: Most messages published and not yet accounted for: confirmed by ingest, or counted by the bare
            subscriber. A device's buffer has such a window too, and without one the broker would drop what queues up.
        counted_by_subscriber: Whose count is meant.
    """

    seconds: float
    window: int
    counted_by_subscriber: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Publish so many messages a second, and take the time from when each is due to its confirmation."""

    seconds: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Restart:
    """Begin again with the first message; what was published so far went to nobody who keeps it."""


@dataclass(slots=True)
class Published:
    """What became of an order.

    Attributes:
        messages: Published since the last restart.
        unacknowledged: Sequence numbers of those without a PUBACK.
        unconfirmed: How many of them ingest did not confirm.
        latencies_ms: Of the paced ones.
    """

    messages: int
    unacknowledged: list[int]
    unconfirmed: int
    latencies_ms: "array[float]" = field(default_factory=lambda: array("d"))


Order = Flood | Pace | Restart | None


@dataclass(frozen=True, slots=True)
class Role:
    """What a publisher is.

    Attributes:
        broker_url: Where it publishes.
        name: Its client id, and the agent on whose channel it hears confirmations.
        load: Its messages.
        publishers: How many there are in all.
    """

    broker_url: str
    name: str
    load: Load
    publishers: int


def publisher_process(orders: Connection, role: Role, subscriber_count: "Synchronized[int]") -> None:
    """Say ready, then follow orders until None comes."""
    try:
        publisher = Publisher(role, subscriber_count)
        orders.send("ready")
        while (order := orders.recv()) is not None:
            orders.send(publisher.follow(order))
        publisher.close()
    except EOFError:
        # Whoever gave orders is gone.
        return
    except (CareloopError, OSError) as error:
        orders.send(f"publisher {role.name}: {error}")


class Publisher:
    """One connection that publishes a load."""

    def __init__(self, role: Role, subscriber_count: "Synchronized[int]") -> None:
        stored = topic(role.name, "stored")
        self._wire = Wire(role.broker_url, role.name)
        self._wire.subscribe(stored)
        self._messages = Messages(role.load)
        self._publishers = role.publishers
        self._subscriber_count = subscriber_count
        properties = b"\x03" + text(CONTENT_TYPE_JSON) + b"\x08" + text(stored)
        self._after_id = length_of(len(properties)) + properties
        self._topics = [text(name) for name in self._messages.topics]
        # The broker's receive maximum bounds what is unacknowledged; packet identifiers are 16-bit.
        self._most_in_flight = min(self._wire.receive_maximum, 2000)
        self._restart()

    def close(self) -> None:
        """Leave the broker."""
        self._wire.close()

    def follow(self, order: Flood | Pace | Restart) -> Published:
        """Do what is ordered, then wait until all of it is accounted for."""
        self._latencies_ms = array("d")
        if isinstance(order, Restart):
            self._restart()
        elif isinstance(order, Flood):
            self._flood(order)
        else:
            self._pace(order)
        if not isinstance(order, Flood) or not order.counted_by_subscriber:
            self._wait(lambda: not self._outstanding and self._confirmed >= self._sent)
        else:
            self._wait(lambda: not self._outstanding)
        return Published(
            self._sent, sorted(self._outstanding.values()), max(0, self._sent - self._confirmed), self._latencies_ms
        )

    def _restart(self) -> None:
        self._sent = 0
        self._confirmed = 0
        # Sequence number by packet identifier.
        self._outstanding: dict[int, int] = {}
        self._due_at: dict[bytes, float] = {}
        self._latencies_ms = array("d")

    def _flood(self, order: Flood) -> None:
        deadline = time.perf_counter() + order.seconds
        before = self._subscriber_count.value
        while time.perf_counter() < deadline:
            accounted = self._confirmed
            if order.counted_by_subscriber:
                accounted = (self._subscriber_count.value - before) // self._publishers
            room = min(order.window - (self._sent - accounted), self._most_in_flight - len(self._outstanding), CHUNK)
            if room > 0 and self._wire.backlog < MOST_UNSENT_BYTES:
                self._publish(room)
                self._receive(0.0)
            else:
                self._receive(TICK_S)

    def _pace(self, order: Pace) -> None:
        start, first = time.perf_counter(), self._sent
        while (elapsed := time.perf_counter() - start) < order.seconds:
            due = first + int(elapsed * order.per_second) + 1 - self._sent
            room = min(due, self._most_in_flight - len(self._outstanding))
            for sequence in range(self._sent, self._sent + max(0, room)):
                self._due_at[self._messages.identity(sequence)] = start + (sequence - first) / order.per_second
            self._publish(room)
            self._receive(TICK_S)

    def _publish(self, count: int) -> None:
        packets = bytearray()
        topics, after_id = self._topics, self._after_id
        for sequence in range(self._sent, self._sent + max(0, count)):
            payload = self._messages.payload(sequence)
            name = topics[sequence % len(topics)]
            mid = sequence % 65535 + 1
            self._outstanding[mid] = sequence
            packets += b"\x32"
            packets += length_of(len(name) + 2 + len(after_id) + len(payload))
            packets += name
            packets += mid.to_bytes(2)
            packets += after_id
            packets += payload
        self._sent += max(0, count)
        if packets:
            self._wire.send(packets)

    def _receive(self, wait_s: float) -> None:
        for kind, body in self._wire.receive(wait_s):
            if kind == _PUBACK:
                reason = body[2] if len(body) > 2 else 0
                if reason == _NO_SUBSCRIBERS:
                    raise CareloopError("nobody is subscribed to what is published")
                if reason < 0x80:
                    self._outstanding.pop(int.from_bytes(body[:2]), None)
            elif kind == _PUBLISH:
                self._confirm(body)

    def _confirm(self, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2])
        size, at = varint(body, at)
        identities = body[at + size :]
        self._confirmed += len(identities) // 16
        if not self._due_at:
            return
        now = time.perf_counter()
        for place in range(0, len(identities), 16):
            due_at = self._due_at.pop(identities[place : place + 16], None)
            if due_at is not None:
                self._latencies_ms.append((now - due_at) * 1000)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Receive until all is accounted for, or nothing has moved for long."""
        moved_at, before = time.perf_counter(), (0, 0)
        while not done() and time.perf_counter() - moved_at < SILENCE_S:
            self._receive(0.05)
            state = (len(self._outstanding), self._confirmed)
            if state != before:
                moved_at, before = time.perf_counter(), state
