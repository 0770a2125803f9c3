"""From a message's bytes to readings, events or a state: which format a topic speaks; pure but for sequence numbers.

What each refusal means stands in docs/mqtt-contract.md.
"""

from dataclasses import dataclass
from datetime import tzinfo

from careloop.contract.topics import ROOT
from ingest.delivery import Decoded, Delivery, RefusalError, identity_of, identity_of_part
from ingest.formats.contract import decode_contract
from ingest.formats.home_assistant import COMPONENTS, StateMessage, decode_discovery
from ingest.formats.json_objects import decode_json_message
from ingest.formats.patterns import TopicPattern, is_serial
from ingest.formats.sparkplug import NAMESPACE, SequenceFollower, decode_sparkplug

__all__ = ["Decoded", "Decoder", "Delivery", "Formats", "RefusalError", "decode", "identity_of", "identity_of_part"]

_CONTRACT = f"{ROOT}/"
_SPARKPLUG = f"{NAMESPACE}/"


@dataclass(frozen=True, slots=True)
class Formats:
    """Which formats are read beside careloop's own.

    Attributes:
        sparkplug_groups: Sparkplug group ids; `+` is all of them.
        sparkplug_serial: How a Sparkplug source becomes a serial number.
        json_topics: Topics of plain JSON objects.
        json_zone: How to read times without an offset; None takes the arrival instead.
        home_assistant_prefix: Discovery prefix of Home Assistant, or an empty string.
        follow_sequences: Whether this worker sees every message, and so can tell that some are missing.
    """

    sparkplug_groups: tuple[str, ...] = ()
    sparkplug_serial: str = "{source}"
    json_topics: tuple[TopicPattern, ...] = ()
    json_zone: tzinfo | None = None
    home_assistant_prefix: str = ""
    follow_sequences: bool = True


class Decoder:
    """Reads messages of all formats that are switched on.

    Args:
        formats: Which ones.

    Attributes:
        streams: Topic filters of readings, which workers may share.
        announcements: Topic filters of what every worker must hear.
    """

    def __init__(self, formats: Formats | None = None) -> None:
        self._formats = formats or Formats()
        self._follower = SequenceFollower() if self._formats.follow_sequences else None
        prefix = self._formats.home_assistant_prefix
        self._plain = (
            [TopicPattern.parse(f"{prefix}/{name}/{{serial}}/{{metric}}/state") for name in COMPONENTS]
            if prefix
            else []
        )
        groups = self._formats.sparkplug_groups
        self.streams = [
            *(f"{NAMESPACE}/{group}/{rest}" for group in groups for rest in ("NDATA/+", "DDATA/+/+")),
            *(pattern.subscription for pattern in (*self._formats.json_topics, *self._plain)),
        ]
        births = ("NBIRTH/+", "NDEATH/+", "DBIRTH/+/+", "DDEATH/+/+")
        self.announcements = [f"{NAMESPACE}/{group}/{rest}" for group in groups for rest in births]
        if prefix:
            self.announcements += [
                f"{prefix}/{name}/{rest}" for name in COMPONENTS for rest in ("+/config", "+/+/config")
            ]
            self.announcements.append(f"{prefix}/device/+/config")

    def hears(self, topic: str) -> bool:
        """Whether a topic is subscribed to already by a pattern; a second subscription would deliver it twice."""
        return any(pattern.match(topic) for pattern in (*self._formats.json_topics, *self._plain))

    def decode(self, delivery: Delivery) -> Decoded:
        """Read a message.

        Raises:
            RefusalError: `bad_topic`, `too_large` or `malformed`.
        """
        if delivery.payload_bytes > len(delivery.payload):
            kept = len(delivery.payload)
            raise RefusalError("too_large", f"{delivery.payload_bytes} bytes; the first {kept} are kept")
        topic = delivery.topic
        if topic.startswith(_CONTRACT) or self._formats == _NONE:
            return decode_contract(delivery)
        if "\0" in topic:
            # MQTT forbids it, but not every broker does, and no database can look it up.
            raise RefusalError("bad_topic", f"topic {topic[:200]!r} has the character U+0000")
        if topic.startswith(_SPARKPLUG) and self._formats.sparkplug_groups:
            return decode_sparkplug(delivery, self._formats.sparkplug_serial, self._follower)
        prefix = self._formats.home_assistant_prefix
        if prefix and topic.startswith(f"{prefix}/") and topic.endswith("/config"):
            return decode_discovery(delivery, prefix)
        for pattern in self._formats.json_topics:
            named = pattern.match(topic)
            if named is not None:
                return decode_json_message(delivery, *named, self._formats.json_zone)
        if prefix:
            return Decoded("", unresolved=StateMessage(topic, self._plainly_named(topic), self._formats.json_zone))
        raise RefusalError("bad_topic", f"no format is set up for the topic {topic[:200]!r}")

    def _plainly_named(self, topic: str) -> tuple[str, str] | None:
        for pattern in self._plain:
            serial, metric = pattern.match(topic) or (None, None)
            if metric is not None and is_serial(serial):
                return str(serial), metric
        return None


def decode(delivery: Delivery) -> Decoded:
    """Read a message on one of careloop's own channels.

    Raises:
        RefusalError: `bad_topic`, `too_large` or `malformed`.
    """
    return _CONTRACT_ONLY.decode(delivery)


_NONE = Formats()
_CONTRACT_ONLY = Decoder()
