"""Captured messages, and ingest's decoding of them without a database."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import connect
from ingest.decode import Decoded, Decoder, Delivery, Formats, RefusalError, identity_of
from ingest.delivery import Announcement, Family, Request
from ingest.formats.patterns import parse_patterns
from ingest.store import Stored
from ingest.writer import Limits, Writer, read

CAPTURED = Path(__file__).parent / "captured"
NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
JSON_TOPICS = (
    "tele/{serial}/SENSOR, tele/{serial}/STATE, zigbee2mqtt/{serial}, data/{serial}, {serial}/events/rpc, "
    "v1/devices/{serial}/telemetry, v1/gateway/telemetry"
)


def cases(name: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every captured case with its format, the file it stands in."""
    for path in sorted(CAPTURED.glob(f"{name}.json")):
        for case in json.loads(path.read_text()):
            yield path.stem, case


def payload_of(message: Mapping[str, str]) -> bytes:
    return bytes.fromhex(message["hex"]) if "hex" in message else message["payload"].encode()


def delivery_of(topic: str, payload: bytes, content_type: str = "") -> Delivery:
    return Delivery(topic, payload, len(payload), content_type, NOW, identity_of(topic, payload))


def formats_of(kind: str, zone: str = "") -> Formats:
    """Everything on that the cases of a kind need; what Home Assistant's discovery names is no JSON topic there."""
    return Formats(
        sparkplug_groups=("+",),
        json_topics=() if kind == "home_assistant" else parse_patterns(JSON_TOPICS),
        json_zone=ZoneInfo(zone) if zone else None,
        home_assistant_prefix="homeassistant",
    )


@dataclass
class Reader:
    """Decodes messages one after the other, and keeps what they announce."""

    decoder: Decoder
    announced: dict[Family, dict[str, Announcement]] = field(default_factory=dict)
    states: dict[str, bool] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def read(self, delivery: Delivery) -> list[Decoded] | RefusalError:
        """What a message says of each asset, or why nothing."""
        try:
            decoded: Decoded | None = self.decoder.decode(delivery)
        except RefusalError as refusal:
            return refusal
        assert decoded is not None
        if decoded.unresolved is not None:
            said = decoded.unresolved.resolve(self.announced.get(decoded.unresolved.family, {}), delivery)
            for announcement in said.announcements:
                if announcement.body is not None:
                    # As the database gives it back.
                    body = json.loads(json.dumps(announcement.body))
                    kept = Announcement(announcement.family, announcement.source, announcement.announced_at, body)
                    self.announced.setdefault(announcement.family, {})[announcement.source] = kept
            self.states |= {agent_id: state.online for agent_id, state in said.states}
            self.requests += said.requests
            if said.refusal is not None:
                return said.refusal
            decoded = said.decoded
        return [] if decoded is None else [decoded, *decoded.also]


SERIALS = ("KW-1", "gw-7", "dev-1", "10e2073a01080063", "D744A8", "DeviceA", "DeviceB")


@dataclass
class Line:
    """Messages in, rows out: what ingest does between the broker and the database, in every format."""

    url: str
    connection: Connection[DictRow]
    decoder: Decoder
    now: datetime = NOW
    requests: list[Request] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = self.another("test")

    def another(self, name: str) -> Writer:
        """A worker with a memory of its own."""
        return Writer(
            connect=lambda: connect(self.url),
            worker=name,
            limits=Limits(timedelta(hours=24), None, 5000, 1000),
            now=lambda: self.now,
            pause=lambda _: True,
            heard=self._heard,
        )

    def _heard(self, requests: Sequence[Request], topics: Sequence[str]) -> None:
        self.requests += requests
        self.topics += topics

    def write(self, *deliveries: Delivery, writer: Writer | None = None) -> Stored:
        return (writer or self.writer).write([read(delivery, self.decoder.decode) for delivery in deliveries])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.connection.execute(sql).fetchall()]

    def readings(self) -> list[tuple[Any, ...]]:
        return self.rows(
            """
            SELECT a.serial, extract(epoch FROM r.time)::float8, m.name, r.value, m.unit
            FROM telemetry.reading r JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
            ORDER BY 1, 2, 3, 4
            """
        )

    def reasons(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT reason FROM telemetry.dead_letter ORDER BY reason")]


@pytest.fixture
def line(database_url: str) -> Iterator[Line]:
    with connect(database_url) as connection:
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'kind')")
        connection.execute("INSERT INTO service.metric (name, unit) VALUES ('battery', '/')")
        connection.execute(
            """
            INSERT INTO service.asset (serial, model_id, installed_at, created_at)
            SELECT unnest(%s::text[]), model_id, now(), now() FROM service.product_model
            """,
            (list(SERIALS),),
        )
        made = Line(database_url, connection, Decoder(formats_of("json_objects")))
        yield made
        made.writer.close()
