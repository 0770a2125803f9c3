"""Readings and events into finished messages.

A message's identity at ingest is the hash of its topic and payload, so a message that is sent again after a crash must
be the same to the byte, or its readings would be stored twice. Messages are therefore formed before they are buffered:
the buffer holds topic, payload and content type as they go on the wire, and nothing after it ever encodes anything.
Only messages that were never handed to the network are merged into larger ones (`merge`), inside one transaction of the
buffer that is on disk before the network sees them.

The payload is the SenML pack of `careloop.contract.senml.encode_pack`, written as text at once: a record costs one
formatted string instead of a dictionary and its encoding, which is three times as fast. A test holds the two together.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Literal, NamedTuple

from careloop.contract.messages import Event
from careloop.contract.senml import ABSOLUTE_FROM_S, CONTENT_TYPE_CBOR, CONTENT_TYPE_JSON
from careloop.contract.topics import TopicError, topic
from edge_agent.packing_cbor import join_cbor, to_cbor
from edge_agent.sources.source import Row

CONTENT_TYPE_EVENT = "application/json"

log = logging.getLogger(__name__)


WireFormat = Literal["json", "cbor"]


class Message(NamedTuple):
    """A message as it goes on the wire.

    Attributes:
        kind: Telemetry may be dropped from a full buffer; an event may not.
        topic: Its topic.
        content_type: MQTT 5 content type.
        payload: Its bytes.
        readings: How many readings it carries; 0 for an event.
    """

    kind: Literal["telemetry", "event"]
    topic: str
    content_type: str
    payload: bytes
    readings: int


class _Heads(dict[str, str]):
    """The start of a metric's record, `{"n":"…","u":"…",`, made when the metric is first seen."""

    def __init__(self, units: Mapping[str, str]) -> None:
        super().__init__()
        self._units = units

    def __missing__(self, metric: str) -> str:
        if not 1 <= len(metric) <= 128 or not metric.isprintable():
            raise ValueError("a metric's name must be 1-128 printable characters")
        unit = self._units.get(metric, "")
        head = f'{{"n":{json.dumps(metric)},' + (f'"u":{json.dumps(unit)},' if unit else "")
        self[metric] = head
        return head


class _Pack:
    """An open message of one asset."""

    __slots__ = ("base_s", "records")

    def __init__(self, base_s: float) -> None:
        self.base_s = base_s
        self.records: list[str] = []


class Packer:
    """Collects rows and events until `finish`, one message per asset and `max_readings`, one per event.

    Args:
        max_readings: Most readings in one message.
        units_of: Unit by metric of an asset; asked once for each asset.
        wire_format: How telemetry is written.
    """

    def __init__(
        self, max_readings: int, units_of: Callable[[str], Mapping[str, str]], wire_format: WireFormat = "json"
    ) -> None:
        self._wire_format = wire_format
        self._max_readings = max_readings
        self._units_of = units_of
        self._heads: dict[str, _Heads] = {}
        self._topics: dict[str, str] = {}
        self._open: dict[str, _Pack] = {}
        self._finished: list[Message] = []

    def add_rows(self, rows: Iterable[Row]) -> tuple[int, int]:
        """Take rows.

        Returns:
            Readings taken, and readings refused because no SenML number can carry them: NaN, infinities, texts, a time
            before July 1978 (a device whose clock was never set), a serial number that no topic can carry.
        """
        taken = refused = 0
        opened, heads_of, max_readings = self._open, self._heads, self._max_readings
        for serial, time_s, values in rows:
            heads = heads_of.get(serial)
            if heads is None:
                try:
                    heads = self._meet(serial)
                except TopicError as error:
                    refused += self._refuse(serial, len(values), str(error))
                    continue
            if not ABSOLUTE_FROM_S <= time_s < float("inf"):
                refused += self._refuse(serial, len(values), f"the time {time_s!r} is no Unix time after July 1978")
                continue
            pack = opened.get(serial)
            if pack is None:
                pack = opened[serial] = _Pack(time_s)
            records = pack.records
            tail = '"v":' if time_s == pack.base_s else f'"t":{_number(round(time_s - pack.base_s, 6))},"v":'
            before = len(records)
            for metric, value in values.items():
                try:
                    number = value if value.__class__ is float and isfinite(value) else _finite(value)
                    records.append(f"{heads[metric]}{tail}{number!r}}}")
                except ValueError as error:
                    refused += self._refuse(serial, 1, f"{metric}: {error}")
            taken += len(records) - before
            if len(records) >= max_readings:
                self._close(serial)
        return taken, refused

    def add_event(self, serial: str, event: Event) -> None:
        """Take one event.

        Raises:
            ValueError: No topic can carry the serial number, or the detail holds what JSON cannot.
        """
        payload = json.dumps(event.to_json(), separators=(",", ":"), allow_nan=False).encode()
        self._finished.append(Message("event", topic(serial, "event"), CONTENT_TYPE_EVENT, payload, 0))

    def finish(self) -> list[Message]:
        """The messages formed from everything taken since the last time; nothing stays open."""
        for serial in list(self._open):
            self._close(serial)
        finished, self._finished = self._finished, []
        return finished

    def _meet(self, serial: str) -> _Heads:
        self._topics[serial] = topic(serial, "telemetry")
        heads = self._heads[serial] = _Heads(self._units_of(serial))
        return heads

    def _refuse(self, serial: str, readings: int, reason: str) -> int:
        log.warning("%s: %d reading(s) refused: %s", serial, readings, reason)
        return readings

    def _close(self, serial: str) -> None:
        pack = self._open.pop(serial)
        if not pack.records:
            return
        base = f'[{{"bn":"{serial}/","bt":{_number(pack.base_s)},'
        payload, content_type = f"{base}{','.join(pack.records)[1:]}]".encode(), CONTENT_TYPE_JSON
        if self._wire_format == "cbor":
            # By way of JSON, whose writing is fast: who pays by the byte sends few of them.
            payload, content_type = to_cbor(json.loads(payload)), CONTENT_TYPE_CBOR
        self._finished.append(Message("telemetry", self._topics[serial], content_type, payload, len(pack.records)))


def merge(stored: Iterable[tuple[int, Message]], max_readings: int, max_bytes: int) -> list[tuple[list[int], Message]]:
    """Telemetry of the same asset as fewer, larger messages; anything else as it is.

    A pack's records are appended to those of the one before: base fields stay in force until a record sets them anew
    (RFC 8428 section 4.1), and the second pack's first record sets the base time.

    Args:
        stored: Messages by their place, in order.
        max_readings: Most readings in one message.
        max_bytes: Largest payload that is made by merging.

    Returns:
        For each message the places of those it is made of; it takes the first one's.
    """
    merged: list[tuple[list[int], list[Message]]] = []
    open_packs: dict[tuple[str, str], tuple[int, int, int]] = {}
    for seq, message in stored:
        if message.kind != "telemetry" or message.content_type not in {CONTENT_TYPE_JSON, CONTENT_TYPE_CBOR}:
            merged.append(([seq], [message]))
            continue
        place, readings, size = open_packs.get((message.topic, message.content_type), (-1, 0, 0))
        readings += message.readings
        size += len(message.payload)
        if place >= 0 and readings <= max_readings and size <= max_bytes:
            merged[place][0].append(seq)
            merged[place][1].append(message)
        else:
            place, readings, size = len(merged), message.readings, len(message.payload)
            merged.append(([seq], [message]))
        open_packs[message.topic, message.content_type] = (place, readings, size)
    return [(seqs, messages[0] if len(messages) == 1 else _joined(messages)) for seqs, messages in merged]


def halve(message: Message) -> list[Message]:
    """Telemetry as two messages of half the readings each; empty when it cannot be parted.

    CBOR cannot: the agent writes it, but cannot read it.
    """
    if message.kind != "telemetry" or message.content_type != CONTENT_TYPE_JSON or message.readings < 2:
        return []
    records = json.loads(message.payload)
    middle = len(records) // 2
    in_force: dict[str, Any] = {}
    for record in records[:middle]:
        in_force |= {name: record[name] for name in ("bn", "bt") if name in record}
    halves = (records[:middle], [in_force | records[middle], *records[middle + 1 :]])
    return [
        message._replace(payload=json.dumps(half, separators=(",", ":")).encode(), readings=len(half))
        for half in halves
    ]


def _joined(messages: Sequence[Message]) -> Message:
    first, *others = messages
    # Every pack of ours begins `[{"bn":"SERIAL/",`; the base name stays in force.
    serial = first.topic.split("/")[2]
    readings = sum(message.readings for message in messages)
    if first.content_type == CONTENT_TYPE_CBOR:
        payload = join_cbor([message.payload for message in messages], f"{serial}/")
        return first._replace(payload=payload, readings=readings)
    opening = f'[{{"bn":"{serial}/",'.encode()
    parts = [first.payload[:-1]]
    for message in others:
        payload = message.payload
        parts.append(b"{" + payload[len(opening) : -1] if payload.startswith(opening) else payload[1:-1])
    return first._replace(payload=b",".join(parts) + b"]", readings=readings)


def _finite(value: object) -> float:
    """A whole number or a truth value as a float; nothing else can be a reading."""
    try:
        if isinstance(value, int | float) and isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise ValueError(f"{str(value)[:40]!r} is not a finite number")


def _number(value: float) -> str:
    """The shortest JSON text of a time."""
    return str(int(value)) if value == int(value) else repr(value)
