"""What is published: the same messages and rows every time, each a pure function of publisher and sequence number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from struct import Struct

import orjson

from careloop.contract.identity import identity_of
from careloop.contract.senml import Reading, encode_pack
from careloop.contract.topics import topic

# As a cleaner or an appliance has them; a message of 60 readings is six moments of these ten.
METRICS: Sequence[tuple[str, str]] = (
    ("pressure_bar", "bar"), ("flow_l_per_min", "l/min"), ("temperature", "Cel"), ("current", "A"), ("voltage", "V"),
    ("speed", "rpm"), ("vibration", "m/s2"), ("power", "W"), ("level", "%"), ("running_hours", "h"),
)  # fmt: skip
_VARIANTS = 4
# A placeholder for the base time, as long as a Unix time in seconds.
_BASE_TIME = 1_111_111_111
_POSTGRESQL_EPOCH_S = 946_684_800


@dataclass(frozen=True, slots=True)
class Load:
    """One publisher's messages, dealt over its assets in turn.

    Attributes:
        serials: Its assets.
        readings: Readings in a message.
        start_s: Unix time, whole seconds, of every asset's first reading.
    """

    serials: Sequence[str]
    readings: int
    start_s: int

    @property
    def moments(self) -> int:
        """Seconds of readings in one message, and so how far an asset's next message lies ahead."""
        return -(-self.readings // len(METRICS))

    def base_s(self, sequence: int) -> int:
        """Unix time of the first reading of a message."""
        return self.start_s + sequence // len(self.serials) * self.moments

    def pack(self, serial: str, variant: int) -> list[Reading]:
        """Readings of one message, timed from the placeholder on."""
        draw = Random(f"{serial} {variant}")  # noqa: S311 - spreads values, guards nothing
        return [
            Reading(float(_BASE_TIME + i // len(METRICS)), name, round(draw.uniform(0, 1000), 2), unit)
            for i in range(self.readings)
            for name, unit in (METRICS[i % len(METRICS)],)
        ]


class Messages:
    """A load as messages on the wire, put together from templates: publishing must cost little beside ingest."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.topics = [topic(serial, "telemetry") for serial in load.serials]
        self._templates = [[self._template(serial, variant) for variant in range(_VARIANTS)] for serial in load.serials]

    def _template(self, serial: str, variant: int) -> tuple[bytes, bytes]:
        payload = orjson.dumps(encode_pack(serial, self._load.pack(serial, variant)))
        head, tail = payload.split(b"%d.0" % _BASE_TIME)
        return head, tail

    def payload(self, sequence: int) -> bytes:
        """The payload of a message."""
        n, i = divmod(sequence, len(self.topics))
        head, tail = self._templates[i][n % _VARIANTS]
        return b"%s%d.0%s" % (head, self._load.start_s + n * self._load.moments, tail)

    def identity(self, sequence: int) -> bytes:
        """The identity of a message."""
        return identity_of(self.topics[sequence % len(self.topics)], self.payload(sequence))


class Rows:
    """A load as rows of binary COPY, in the order of its messages.

    Args:
        load: What is published.
        asset_ids: Number of each serial number.
        metric_ids: Number of each metric.
    """

    def __init__(self, load: Load, asset_ids: dict[str, int], metric_ids: dict[str, int]) -> None:
        self._load = load
        self._packer = Struct(">" + "hiqiiihid" * load.readings)
        # For each asset and variant, all fields of all rows but the times.
        self._fields = [
            [self._fields_of(load.pack(serial, variant), asset_ids[serial], metric_ids) for variant in range(_VARIANTS)]
            for serial in load.serials
        ]
        offsets = [i // len(METRICS) for i in range(load.readings)]
        self._offsets_us = [offset * 1_000_000 for offset in offsets]

    @staticmethod
    def _fields_of(pack: list[Reading], asset_id: int, metric_ids: dict[str, int]) -> list[float]:
        fields: list[float] = []
        for reading in pack:
            fields += [4, 8, 0, 4, asset_id, 2, metric_ids[reading.metric], 8, reading.value]
        return fields

    def packed(self, sequence: int) -> bytes:
        """The rows of one message."""
        n, i = divmod(sequence, len(self._load.serials))
        fields = self._fields[i][n % _VARIANTS]
        base_us = (self._load.base_s(sequence) - _POSTGRESQL_EPOCH_S) * 1_000_000
        fields[2::9] = [base_us + offset for offset in self._offsets_us]
        return self._packer.pack(*fields)


def loads(publishers: int, assets: int, readings: int, start_s: int) -> list[Load]:
    """Assets dealt to publishers."""
    bounds = [assets * i // publishers for i in range(publishers + 1)]
    return [Load([f"BENCH-{i:04}" for i in range(low, high)], readings, start_s) for low, high in pairwise(bounds)]


def in_turn(count: int, publishers: int) -> Iterator[tuple[int, int]]:
    """Publisher and sequence number of so many messages, as if all published at the same rate."""
    for i in range(count):
        yield i % publishers, i // publishers
