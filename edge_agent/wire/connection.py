"""One connection to the broker, from the try until it breaks: paho's client, and what it has to say.

Paho's network thread only notes what happened in a queue and wakes the agent's loop; everything else happens in the
agent's thread. After a break a new client is made: what the old one still held is decided about by the agent, which
knows what is worth sending first, and how much a link that breaks can carry.
"""

import random
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from ssl import SSLContext
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.wire.link import Link

JITTER = 0.5
# The broker keeps what is sent to the agent for so long, and whether it does shows whether it lost its memory.
SESSION_S = 7 * 86400
# Paho bounds nothing, the agent does.
MOST_PACKETS = 65535


@dataclass(frozen=True, slots=True)
class Opened:
    """The broker accepted the connection.

    Attributes:
        remembered: Whether it still knows us from before.
        most_unacknowledged: Most messages it takes without acknowledging one.
        largest_bytes: Largest packet it takes; 0 when it says nothing.
    """

    remembered: bool
    most_unacknowledged: int
    largest_bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker does not let us in."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There is no way to the broker."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered a message."""

    packet_id: int
    reason: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered a subscription, one reason for each of its topics."""

    packet_id: int
    reasons: Sequence[int]


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection ended."""

    reason: str
    code: int
    failed: bool


Happening = Opened | Refused | Unreachable | Acknowledged | Subscribed | Broken | mqtt.MQTTMessage


class Backoff:
    """The pause before the next try: doubled after each failure, the lower half of it random.

    Args:
        least_s: First pause.
        most_s: Longest pause.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._dice = random.Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._failures = 0

    def failed(self) -> float:
        """Count a failure; the pause after it in seconds."""
        longest_s = min(self._most_s, self._least_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return longest_s * (1 - JITTER * self._dice.random())

    def succeeded(self) -> None:
        """Something got through: the next failure is the first again."""
        self._failures = 0


@dataclass(frozen=True)
class Will:
    """What the broker says for us when the connection ends without a word."""

    topic: str
    payload: bytes
    content_type: str


class Connection:
    """One connection; `happenings` tells in order what became of it.

    Args:
        link: How to reach the broker.
        client_id: MQTT client id.
        will: The last will.
        tls: TLS settings of an mqtts:// link.
        wake: Called from the network thread when there is a happening.
    """

    def __init__(
        self,
        link: Link,
        client_id: str,
        *,
        will: Will,
        tls: SSLContext | None,
        wake: Callable[[], None],
    ) -> None:
        self.tls = tls
        self._wake = wake
        self._happened: SimpleQueue[Happening] = SimpleQueue()
        self._most_unacknowledged = link.inflight
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        parts = urlsplit(link.url)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if tls:
            self._client.tls_set_context(tls)
        self._client.max_inflight_messages_set(MOST_PACKETS)
        # After a failure paho's thread ends at once, for whoever closes this waits for it; the pause is the agent's.
        self._client.reconnect_delay_set(0, 0)
        will_properties = wire_properties(will.content_type, kind=PacketTypes.WILLMESSAGE)
        self._client.will_set(will.topic, will.payload, qos=1, retain=True, properties=will_properties)
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it without types
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(
            parts.hostname or "",
            parts.port or (8883 if parts.scheme == "mqtts" else 1883),
            keepalive=link.keepalive_s,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def happenings(self) -> list[Happening]:
        """What happened since the last time."""
        found: list[Happening] = []
        with suppress(Empty):
            while True:
                found.append(self._happened.get_nowait())
        return found

    def publish(self, topic: str, payload: bytes, properties: Properties, *, retain: bool = False) -> int:
        """Send a message at QoS 1; its packet id."""
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            # Paho took nothing: the packet id is still in use by a message from before 65,535 others.
            raise RuntimeError(f"packet id {info.mid} is in use; the window was not kept")
        return info.mid

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> int:
        """Subscribe to topics, each with its QoS; the packet id."""
        packet_id = self._client.subscribe(list(topics))[1]
        return packet_id or 0

    def acknowledge(self, message: mqtt.MQTTMessage) -> None:
        """Tell the broker that a message was taken."""
        self._client.ack(message.mid, message.qos)

    def close(self, *, said: bool) -> None:
        """End it; `said` makes the broker forget the last will, without it the will is what says offline."""
        if said:
            self._client.disconnect()
        self._client.loop_stop()

    # In the network thread -------------------------------------------------------------------

    def _tell(self, happening: Happening) -> None:
        self._happened.put(happening)
        self._wake()

    def _on_connect(self, _client: mqtt.Client, _user: Any, flags: Any, reason: ReasonCode, given: Any) -> None:
        if reason.is_failure:
            self._tell(Refused(str(reason)))
            return
        most = getattr(given, "ReceiveMaximum", self._most_unacknowledged)
        self._tell(Opened(flags.session_present, most, getattr(given, "MaximumPacketSize", 0)))

    def _on_connect_fail(self, _client: mqtt.Client, _user: Any) -> None:
        self._tell(Unreachable())

    def _on_disconnect(self, _client: mqtt.Client, _user: Any, _flags: Any, reason: ReasonCode, _given: Any) -> None:
        self._tell(Broken(str(reason), reason.value, reason.is_failure))

    def _on_publish(self, client: mqtt.Client, _user: Any, packet_id: int, reason: ReasonCode, _given: Any) -> None:
        self._tell(Acknowledged(packet_id, reason.value))
        _acknowledge_at_once(client)

    def _on_subscribe(self, _client: mqtt.Client, _user: Any, packet_id: int, reasons: Any, _given: Any) -> None:
        self._tell(Subscribed(packet_id, [reason.value for reason in reasons]))

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self._tell(message)


def wire_properties(content_type: str, response_topic: str = "", *, kind: int = PacketTypes.PUBLISH) -> Properties:
    """MQTT 5 properties of a message."""
    properties = Properties(kind)  # type: ignore[no-untyped-call] # paho leaves it without types
    properties.ContentType = content_type
    if response_topic:
        properties.ResponseTopic = response_topic
    return properties


def _send_at_once(_client: mqtt.Client, _user: Any, connection: Any) -> None:
    """Without this a burst of small messages waits 40 ms for the other side's delayed acknowledgement (measured)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _acknowledge_at_once(client: mqtt.Client) -> None:
    """The same from the other end: a broker that sends PUBACKs without TCP_NODELAY waits 40 ms for ours (measured)."""
    quick = getattr(socket, "TCP_QUICKACK", None)
    connection: Any = client.socket()
    if quick is None or connection is None:
        return
    # A connection that is closing has nothing to hurry; paho finds out by itself.
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, quick, 1)
