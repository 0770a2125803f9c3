"""Buffered messages to the broker: MQTT 5, QoS 1, a bounded number in flight.

Threads: paho's network thread only notes what happened (an acknowledgement, a connection) in queues and wakes the
agent's loop; everything else happens in the agent's thread, which calls `collect`, `announce` and `send`. While the
connection is down paho keeps what was in flight and sends it again, to the byte the same, when it is back.

A message counts as delivered only by a PUBACK that says so. One that says that nobody is subscribed (0x10) would be
lost without anyone knowing, so it is kept and sent again later, like one refused for want of rights or quota. A message
that the broker can never take (malformed, too large) is given up, counted and logged.
"""

import json
import logging
import random
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from careloop.contract.messages import AgentState
from careloop.contract.topics import Channel, TopicError, parse_topic, topic
from careloop.errors import CareloopError
from edge_agent.buffer import Stored

NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_TAKEN_OVER = 0x8E
# Topic name invalid, packet too large, payload format invalid: the same bytes will never be taken.
NEVER_TAKEN = frozenset({0x90, 0x95, 0x99})
FIXED_OVERHEAD_BYTES = 64
JITTER = 0.5
SESSION_S = 7 * 86400
STATE_CONTENT_TYPE = "application/json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    """How to reach the broker.

    Attributes:
        url: `mqtt://user:password@host:port` or `mqtts://…`.
        ca_file: CA certificate for an mqtts:// broker; the system's when None.
        cert_file: Client certificate, for mutual TLS.
        key_file: Its private key.
        keepalive_s: Seconds of silence after which the link is tested.
        inflight: Most messages sent and not yet acknowledged; the broker may lower it.
        reconnect_min_s: First pause before connecting again; doubled each time, with jitter.
        reconnect_max_s: Longest pause.
        wait_for_subscriber: Whether a message that nobody is subscribed to is kept and sent again.
    """

    url: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    inflight: int = 50
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    wait_for_subscriber: bool = True


@dataclass(frozen=True)
class Inbound:
    """A message to the agent.

    Attributes:
        channel: Which of the agent's channels it came on.
        payload: Its bytes.
        retained: Whether the broker had kept it from before.
        properties: MQTT 5 user properties.
    """

    channel: Channel
    payload: bytes
    retained: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcomes:
    """What became of messages since the last `collect`, by their place in the buffer.

    Attributes:
        delivered: Acknowledged.
        returned: To be sent again later.
        refused: Never to be taken.
    """

    delivered: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class Publisher:
    """One connection, for an agent and all its assets.

    Args:
        link: How to reach the broker.
        agent_id: The agent's own id; its state carries the last will.
        state: Gives the agent's own state when it is announced.
        wake: Called from the network thread when there is something to collect.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        link: Link,
        agent_id: str,
        *,
        state: Callable[[bool], AgentState],
        wake: Callable[[], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent_id = agent_id
        self._state = state
        self._wake = wake
        self._monotonic = monotonic
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._failures = 0
        self._connected = False
        self._window = link.inflight
        self._largest_bytes = 0
        self._acknowledged: SimpleQueue[tuple[int, int]] = SimpleQueue()
        # Place in the buffer by packet id; None is a state message.
        self._in_flight: dict[int, int | None] = {}
        self._refused_here: list[int] = []
        self._paused_until = 0.0
        self._pause_s = 0.0
        self._states: dict[str, AgentState] = {}
        self._unannounced: set[str] = set()
        self._must_greet = False
        self._takers: dict[Channel, Callable[[Inbound], None]] = {}
        self._received: SimpleQueue[mqtt.MQTTMessage] = SimpleQueue()
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    @property
    def free_slots(self) -> int:
        """How many more messages may be sent now."""
        if not self._connected or self._monotonic() < self._paused_until:
            return 0
        return max(0, self._window - len(self._in_flight))

    def subscribe(self, channel: Channel, take: Callable[[Inbound], None]) -> None:
        """Hear what is sent to the agent on `careloop/v1/{agent_id}/{channel}`, at QoS 1; say so before `start`.

        Args:
            channel: E.g. `config` or `command`.
            take: Called in the agent's thread, from `collect`. Only when it has returned is the message acknowledged to
                the broker, which keeps it until then, also while the agent is away: what it must not forget it stores
                (`Buffer.add` with memory) before it returns. After a crash the same message comes again.
        """
        self._takers[channel] = take

    def start(self) -> None:
        """Begin to connect, and go on trying; a broker that cannot be reached is no error."""
        self.announce(self._agent_id)
        parts = urlsplit(self._link.url)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        # The broker keeps what is sent to the agent while it is away.
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it without types
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(
            parts.hostname or "", port, keepalive=self._link.keepalive_s, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def stop(self, wait: Callable[[], bool]) -> None:
        """Say offline for every asset and disconnect.

        Args:
            wait: Waits a little for an acknowledgement; false when the time is up.
        """
        if self._connected:
            for serial in self._states:
                self._states[serial] = self._state_of(serial, online=False)
                self._unannounced.add(serial)
            while self._connected and (self._unannounced or None in self._in_flight.values()):
                self.send_states()
                if not wait():
                    break
                self.collect()
        # A disconnect that is said makes the broker forget the last will; after an unclean end it is what says offline.
        self._client.disconnect()
        self._client.loop_stop()

    def announce(self, serial: str) -> None:
        """Keep the retained state of an asset online, now and after every reconnect."""
        if serial not in self._states:
            self._states[serial] = self._state_of(serial, online=True)
            self._unannounced.add(serial)

    def renew_own_state(self) -> None:
        """Announce the agent's own state again, for what it counts may have changed."""
        self._states[self._agent_id] = self._state_of(self._agent_id, online=True)
        self._unannounced.add(self._agent_id)

    def send_states(self) -> None:
        """Send the states not announced yet, as far as slots are free."""
        if self._must_greet:
            # The last will spoke, or the broker lost its retained messages: everything is said again.
            self._must_greet = False
            self._unannounced.update(self._states)
        while self._unannounced and self.free_slots:
            serial = self._unannounced.pop()
            payload = _json(self._states[serial])
            info = self._client.publish(
                topic(serial, "state"), payload, qos=1, retain=True, properties=_properties(STATE_CONTENT_TYPE)
            )
            self._in_flight[info.mid] = None

    def send(self, stored: Stored) -> None:
        """Send one message; its outcome comes by `collect`."""
        size = len(stored.payload) + len(stored.topic) + FIXED_OVERHEAD_BYTES
        if 0 < self._largest_bytes < size:
            log.error("%s: %d bytes are more than the broker takes (%d)", stored.topic, size, self._largest_bytes)
            self._refused_here.append(stored.seq)
            self._wake()
            return
        info = self._client.publish(stored.topic, stored.payload, qos=1, properties=_properties(stored.content_type))
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            # Paho took nothing: the packet id is still in use by a message from before 65,535 others.
            raise RuntimeError(f"packet id {info.mid} is in use; the window of {self._window} was not kept")
        self._in_flight[info.mid] = stored.seq

    def collect(self) -> Outcomes:
        """What the broker said since the last time."""
        self._hand_over()
        outcomes = Outcomes(refused=self._refused_here)
        self._refused_here = []
        while True:
            try:
                packet_id, reason = self._acknowledged.get_nowait()
            except Empty:
                break
            seq = self._in_flight.pop(packet_id, None)
            if seq is None:
                continue
            if reason in NEVER_TAKEN:
                outcomes.refused.append(seq)
                log.error("the broker will never take message %d (reason 0x%02X); given up", seq, reason)
            elif reason >= 0x80 or (reason == NO_MATCHING_SUBSCRIBERS and self._link.wait_for_subscriber):
                outcomes.returned.append(seq)
                self._pause(reason)
            else:
                outcomes.delivered.append(seq)
        if outcomes.delivered and not outcomes.returned:
            self._pause_s = 0.0
        return outcomes

    def _hand_over(self) -> None:
        """What was sent to the agent, to those who asked for it."""
        while True:
            try:
                message = self._received.get_nowait()
            except Empty:
                return
            try:
                channel = parse_topic(message.topic)[1]
            except (TopicError, UnicodeDecodeError):
                continue
            said = dict(getattr(message.properties, "UserProperty", ()))
            if take := self._takers.get(channel):
                take(Inbound(channel, bytes(message.payload), message.retain, said))
            self._client.ack(message.mid, message.qos)

    def _pause(self, reason: int) -> None:
        """Wait before sending again, longer each time; several answers to one window are one reason to wait."""
        now = self._monotonic()
        if now < self._paused_until:
            return
        self._pause_s = min(self._link.reconnect_max_s, max(2 * self._pause_s, self._link.reconnect_min_s))
        self._paused_until = now + self._pause_s
        why = "nobody is subscribed" if reason == NO_MATCHING_SUBSCRIBERS else f"the broker refused (0x{reason:02X})"
        log.warning("%s; what was sent is kept and sent again in %.1f s", why, self._pause_s)

    def _state_of(self, serial: str, *, online: bool) -> AgentState:
        own = self._state(online)
        if serial == self._agent_id:
            return own
        return AgentState(online, own.agent_version, {"gateway": self._agent_id})

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"careloop-edge-{self._agent_id}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        parts = urlsplit(self._link.url)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set_context(_tls_context(self._link))
        client.max_inflight_messages_set(self._link.inflight)
        client.will_set(
            topic(self._agent_id, "state"),
            _json(AgentState(online=False, agent_version=self._state(False).agent_version, detail={"will": True})),
            qos=1,
            retain=True,
            properties=_properties(STATE_CONTENT_TYPE, PacketTypes.WILLMESSAGE),
        )
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        self._back_off(client)
        return client

    # In the network thread -------------------------------------------------------------------

    def _on_connect(self, _client: mqtt.Client, _user: Any, _flags: Any, reason: ReasonCode, given: Any) -> None:
        if reason.is_failure:
            log.warning("the broker refused the connection: %s; check CARELOOP_BROKER_URL", reason)
            return
        log.info("connected to the broker as %s", self._agent_id)
        self._window = min(self._link.inflight, getattr(given, "ReceiveMaximum", self._link.inflight))
        self._largest_bytes = getattr(given, "MaximumPacketSize", 0)
        if self._takers:
            self._client.subscribe([(topic(self._agent_id, channel), 1) for channel in self._takers])
        self._must_greet = True
        self._connected = True
        self._wake()

    def _on_connect_fail(self, client: mqtt.Client, _user: Any) -> None:
        self._failures += 1
        delay_s = self._back_off(client)
        log.warning("the broker cannot be reached; next try in %.1f s, everything is kept meanwhile", delay_s)

    def _on_disconnect(self, client: mqtt.Client, _user: Any, _flags: Any, reason: ReasonCode, _given: Any) -> None:
        was_connected, self._connected = self._connected, False
        self._failures += 1
        delay_s = self._back_off(client)
        if reason.value == SESSION_TAKEN_OVER:
            log.error("another agent with the id %s connected; give each its own [agent] id", self._agent_id)
        elif was_connected and reason.is_failure:
            log.warning("the connection broke (%s); next try in %.1f s", reason, delay_s)
        self._wake()

    def _on_publish(self, client: mqtt.Client, _user: Any, packet_id: int, reason: ReasonCode, _given: Any) -> None:
        self._failures = 0
        self._acknowledged.put((packet_id, reason.value))
        _acknowledge_at_once(client)
        self._wake()

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self._received.put(message)
        self._wake()

    def _back_off(self, client: mqtt.Client) -> float:
        """Set the pause before the next try, in seconds: doubled after each failure, the lower half of it random."""
        longest_s = min(self._link.reconnect_max_s, self._link.reconnect_min_s * 2.0 ** min(self._failures, 30))
        delay_s = longest_s * (1 - JITTER * self._jitter.random())
        # Equal bounds, for paho's own doubling knows no jitter; it takes fractions, its annotation does not say so.
        client.reconnect_delay_set(delay_s, delay_s)  # type: ignore[arg-type] # see the line above
        return delay_s


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


def _tls_context(link: Link) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(link.ca_file) if link.ca_file else None)
        if link.cert_file:
            context.load_cert_chain(link.cert_file, link.key_file)
    except (OSError, ssl.SSLError) as error:
        raise CareloopError(
            f"the TLS files of the broker cannot be read: {error}; check ca_file, cert_file, key_file"
        ) from error
    return context


def _properties(content_type: str, kind: int = PacketTypes.PUBLISH) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call] # paho leaves it without types
    properties.ContentType = content_type
    return properties


def _json(state: AgentState) -> bytes:
    return json.dumps(state.to_json(), separators=(",", ":")).encode()
