"""Sparkplug B: births name metrics and give them aliases, data messages may then send the alias alone.

What a birth says is an announcement, kept in the database, so that any worker can read the data that follows, also
after a restart. Where it is missing, the edge node is asked to send its births again (`Node Control/Rebirth`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from careloop.contract.messages import AgentState
from careloop.contract.senml import BadRecord, Reading
from ingest.delivery import Announcement, Decoded, Delivery, Family, RefusalError, Request, Resolved
from ingest.formats import sparkplug_wire as wire
from ingest.formats.json_objects import LONGEST_METRIC, LONGEST_UNIT
from ingest.formats.patterns import is_serial

NAMESPACE: Final = "spBv1.0"
FORMAT: Final = "sparkplug"
MOST_METRICS = 20_000
MOST_NODES_FOLLOWED = 10_000

Kind = Literal["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Not for storing: how a node is commanded, and the number that pairs a death with its birth.
_CONTROL = ("Node Control/", "Device Control/")
_BD_SEQ = "bdSeq"
_INTEGERS = ("int", "long")
_SEQUENCE = 256


class Source(NamedTuple):
    """Where a message is from.

    Attributes:
        kind: What it is.
        group: Group id.
        node: Edge node id.
        device: Device id, or an empty string when it is from the edge node itself.
    """

    kind: Kind
    group: str
    node: str
    device: str


class Definition(NamedTuple):
    """What a birth says of a metric."""

    name: str
    datatype: int
    unit: str


def parse_sparkplug_topic(topic: str) -> Source:
    """The parts of a topic `spBv1.0/{group}/{kind}/{node}[/{device}]`.

    Raises:
        RefusalError: `bad_topic`.
    """
    parts = topic.split("/")
    for kind in KINDS:
        if len(parts) >= 4 and parts[2] == kind and len(parts) == (4 if kind[0] == "N" else 5) and all(parts):
            return Source(kind, parts[1], parts[3], parts[4] if kind[0] == "D" else "")
    raise RefusalError("bad_topic", f"topic {topic[:200]!r} is not {NAMESPACE}/GROUP/({'|'.join(KINDS)})/NODE[/DEVICE]")


class SequenceFollower:
    """Notices missing messages: an edge node counts all it sends from 0 to 255 and around.

    Only of use to a worker that sees every message: not in a shared subscription. Fed in the order of arrival.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], int] = OrderedDict()

    def follow(self, source: Source, seq: int | None) -> bool:
        """Whether messages of the node are missing before this one."""
        if seq is None or source.kind == "NDEATH":
            return False
        node = source.group, source.node
        before = self._last.pop(node, None)
        self._last[node] = seq
        if len(self._last) > MOST_NODES_FOLLOWED:
            self._last.popitem(last=False)
        # The same number again is the same message again, or a lap lost, which nobody can tell.
        return source.kind != "NBIRTH" and before is not None and seq not in (before, (before + 1) % _SEQUENCE)


@dataclass(frozen=True, slots=True)
class SparkplugMessage:
    """A parsed message, to be read in the light of its node's births.

    Attributes:
        source: Where it is from.
        serial: Serial number of the asset.
        payload: Its payload.
        gap: Messages are missing before it.
        serial_template: How a source becomes a serial number; see `serial_of`.
    """

    source: Source
    serial: str
    payload: wire.Payload
    gap: bool
    serial_template: str

    @property
    def family(self) -> Family:
        """The edge node with its devices."""
        return Family(FORMAT, f"{self.source.group}/{self.source.node}")

    def resolve(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:
        """Read it; pure. See `ingest.delivery.Unresolved`."""
        if self.source.kind.endswith("BIRTH"):
            return self._birth(delivery)
        if self.source.kind.endswith("DEATH"):
            return self._death(announced, delivery)
        return self._values(announced, delivery)

    def _birth(self, delivery: Delivery) -> Resolved:
        metrics = self.payload.metrics
        if len(metrics) > MOST_METRICS:
            refusal = RefusalError("malformed", f"a birth of {len(metrics)} metrics; at most {MOST_METRICS} are taken")
            return Resolved(refusal=refusal)
        body = {
            "bd_seq": self._bd_seq(),
            "online": True,
            "metrics": [
                [metric.name, metric.alias, metric.datatype, metric.unit]
                for metric in metrics
                if metric.name and "\0" not in metric.name + metric.unit
            ],
        }
        decoded = Decoded(self.serial)
        self._read(metrics, {}, decoded, delivery)
        resolved = Resolved(_or_none(decoded), announcements=[self._announcement(body, delivery)])
        resolved.states.append((self.serial, self._state(online=True)))
        return resolved

    def _death(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:
        born = announced.get(self._name)
        body = {} if born is None or born.body is None else born.body
        died = self._bd_seq()
        if died is not None and body.get("bd_seq") not in (None, died):
            return Resolved()  # The will of an earlier connection; the node has been born again since.
        resolved = Resolved(states=[(self.serial, self._state(online=False))])
        dead = [born] if self.source.device else list(announced.values())
        for announcement in dead:
            if announcement is None or announcement.body is None:
                continue
            resolved.announcements.append(
                Announcement(
                    self.family, announcement.source, delivery.received_at, {**announcement.body, "online": False}
                )
            )
            device = announcement.source.removeprefix(self.family.name).removeprefix("/")
            if device != self.source.device:
                serial = serial_of(self.source._replace(device=device), self.serial_template)
                if is_serial(serial):
                    resolved.states.append((serial, self._state(online=False)))
        return resolved

    def _values(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:
        born = announced.get(self._name)
        node_born = announced.get(self.family.name)
        decoded = Decoded(self.serial)
        definitions = _definitions(born)
        unknown = self._read(self.payload.metrics, definitions, decoded, delivery)
        resolved = Resolved()
        why = (
            f"messages are missing before seq {self.payload.seq}" if self.gap
            else f"{unknown} metrics are not in the birth" if unknown
            else "there is no birth" if not (_is_online(born) and _is_online(node_born))
            else ""
        )  # fmt: skip
        if why:
            resolved.requests.append(self._rebirth_request(delivery, why))
        if unknown and not definitions:
            # Kept whole, so that it can be replayed once the birth is there.
            resolved.refusal = RefusalError(
                "unknown_alias", f"{unknown} metrics of {self._name} need its birth, which has not been seen"
            )
        else:
            resolved.decoded = _or_none(decoded)
        return resolved

    def _read(
        self,
        metrics: list[wire.Metric],
        definitions: Mapping[int | str, Definition],
        decoded: Decoded,
        delivery: Delivery,
    ) -> int:
        """Add readings and what is wrong to `decoded`; returns how many metrics cannot be read without a birth."""
        arrived_s = delivery.received_at.timestamp()
        unknown = 0
        for place, metric in enumerate(metrics):
            known = definitions.get(metric.name or (-1 if metric.alias is None else metric.alias))
            name = metric.name or (known.name if known else "")
            datatype = metric.datatype or (known.datatype if known else 0)
            if not name or (not datatype and metric.kind in _INTEGERS):
                unknown += 1
                called = repr(name[:80]) if name else f"alias {metric.alias}"
                decoded.bad.append(BadRecord(place, f"{called} is not in the birth of {self._name}"))
                continue
            if metric.is_null or metric.kind == "" or name == _BD_SEQ or name.startswith(_CONTROL):
                continue
            value = None if datatype and datatype not in wire.NUMERIC else wire.value_of(metric, datatype)
            unit = metric.unit or (known.unit if known else "")
            timestamp_ms = self.payload.timestamp_ms if metric.timestamp_ms is None else metric.timestamp_ms
            if value is None:
                kind = wire.DATATYPES.get(datatype, f"datatype {datatype}")
                decoded.bad.append(BadRecord(place, f"{name[:80]} is a {kind}, no number"))
            elif len(name) > LONGEST_METRIC or not name.isprintable() or len(unit) > LONGEST_UNIT:
                decoded.bad.append(BadRecord(place, "the metric's name or unit is too long or not printable"))
            else:
                decoded.timed_on_arrival |= timestamp_ms is None
                time_s = arrived_s if timestamp_ms is None else timestamp_ms / 1000
                decoded.add(Reading(time_s, name, value, unit))
        return unknown

    @property
    def _name(self) -> str:
        return f"{self.family.name}/{self.source.device}" if self.source.device else self.family.name

    def _bd_seq(self) -> int | None:
        numbers = (metric for metric in self.payload.metrics if metric.name == _BD_SEQ and metric.kind in _INTEGERS)
        return next((int(metric.value) for metric in numbers), None)

    def _announcement(self, body: Mapping[str, Any], delivery: Delivery) -> Announcement:
        return Announcement(self.family, self._name, delivery.received_at, body)

    def _state(self, *, online: bool) -> AgentState:
        detail = {"protocol": FORMAT, "group": self.source.group, "node": self.source.node}
        return AgentState(online=online, detail=detail)

    def _rebirth_request(self, delivery: Delivery, why: str) -> Request:
        topic = f"{NAMESPACE}/{self.source.group}/NCMD/{self.source.node}"
        return Request(topic, wire.rebirth_request(int(delivery.received_at.timestamp() * 1000)), why)


def decode_sparkplug(delivery: Delivery, serial_template: str, follower: SequenceFollower | None) -> Decoded:
    """Read the bytes of a message; what they mean is resolved when its births are at hand.

    Args:
        delivery: The message.
        serial_template: How its source becomes a serial number.
        follower: Notices missing messages; None when others get part of them.

    Raises:
        RefusalError: `bad_topic` or `malformed`.
    """
    source = parse_sparkplug_topic(delivery.topic)
    serial = serial_of(source, serial_template)
    if not is_serial(serial):
        raise RefusalError(
            "bad_topic",
            f"{serial[:80]!r} is not a serial number (1-64 letters, digits, . _ -); "
            "CARELOOP_INGEST_SPARKPLUG_SERIAL says how one is made of group, node and device",
        )
    payload = wire.parse_payload(delivery.payload)
    gap = follower is not None and follower.follow(source, payload.seq)
    return Decoded(serial, unresolved=SparkplugMessage(source, serial, payload, gap, serial_template))


def serial_of(source: Source, template: str) -> str:
    """The serial number of a source.

    Args:
        source: Where a message is from.
        template: Text with `{group}`, `{node}`, `{device}` and `{source}`, which is the device id if there is one and
            the edge node's otherwise.

    >>> serial_of(Source("DDATA", "Plant1", "gw-7", "pump-3"), "{source}")
    'pump-3'
    >>> serial_of(Source("NDATA", "Plant1", "gw-7", ""), "{group}.{source}")
    'Plant1.gw-7'
    """
    text = template.replace("{source}", source.device or source.node)
    return text.replace("{group}", source.group).replace("{node}", source.node).replace("{device}", source.device)


def _definitions(born: Announcement | None) -> Mapping[int | str, Definition]:
    """What a birth says, by alias and by name; made once and kept with it."""
    if born is None or born.body is None:
        return {}
    definitions: dict[int | str, Definition] = born.derived
    if definitions:
        return definitions
    for name, alias, datatype, unit in born.body["metrics"]:
        definition = Definition(name, datatype, unit)
        definitions[name] = definition
        if alias is not None:
            definitions[alias] = definition
    return definitions


def _is_online(born: Announcement | None) -> bool:
    return born is not None and born.body is not None and bool(born.body.get("online"))


def _or_none(decoded: Decoded) -> Decoded | None:
    return decoded if decoded.readings or decoded.bad else None
