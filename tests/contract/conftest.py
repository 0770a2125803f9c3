"""Captured messages, and ingest's decoding of them without a database."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ingest.decode import Decoded, Decoder, Delivery, Formats, RefusalError, identity_of
from ingest.delivery import Announcement, Family, Request
from ingest.formats.patterns import parse_patterns

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
