"""Buffered messages to the broker: MQTT 5, QoS 1, a bounded amount on the wire, kept until the store confirms them.

Everything here happens in the agent's thread, which calls `collect`, `announce` and `send`; a `Connection` tells what
the network did. What was on the wire when a connection broke comes back by `collect`, to be sent again to the byte the
same.

A message counts as delivered when ingest has named it on `careloop/v1/{agent_id}/stored`; with `confirm="broker"`, or
where the broker does not let us hear that, by a PUBACK that says so. One that says that nobody is subscribed (0x10)
means that the message would be lost without anyone knowing, so it is kept and sent again later, like one refused for
want of rights or quota. Too large telemetry is halved; what else the broker can never take is given up.
"""

import logging
import random
from collections.abc import Callable

import paho.mqtt.client as mqtt

from careloop.contract.identity import identity_of
from careloop.contract.messages import AgentState
from careloop.contract.topics import Channel, TopicError, parse_topic, topic
from edge_agent.buffer_lanes import Room, Stored
from edge_agent.wire.awaiting import Awaiting
from edge_agent.wire.clock_skew import ClockSkew
from edge_agent.wire.connection import (
    Acknowledged,
    Backoff,
    Broken,
    Connection,
    Opened,
    Refused,
    Subscribed,
    Unreachable,
    Will,
    wire_properties,
)
from edge_agent.wire.inbound import Inbound
from edge_agent.wire.link import Link, tls_context
from edge_agent.wire.outcomes import Outcomes
from edge_agent.wire.states import States
from edge_agent.wire.underway import Sent, Underway, leave

NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_TAKEN_OVER = 0x8E
FAILURE = 0x80
PACKET_TOO_LARGE = 0x95
NEVER_TAKEN = frozenset({0x90, PACKET_TOO_LARGE, 0x99})  # topic name, size, payload format
CONFIRMED_CHANNELS = ("/telemetry", "/event", "/command/result")
STATE_CONTENT_TYPE = "application/json"
# Topic, properties and head of a message, of what the broker takes.
ENVELOPE_BYTES = 256
# The backlog leaves this share of everything to what is measured now.
LIVE_SHARE = 4
LOOK_AGAIN_S = 1.0

log = logging.getLogger(__name__)


class Publisher:
    """One connection at a time, for an agent and all its assets.

    Args:
        link: How to reach the broker.
        agent_id: The agent's own id; its state carries the last will.
        state: Gives the agent's own state when it is announced.
        wake: Called from the network thread when there is something to collect.
        monotonic: Seconds of a clock that never jumps.
        wall: The device's clock, Unix time; only compared with the store's.
    """

    def __init__(
        self,
        link: Link,
        agent_id: str,
        *,
        state: Callable[[bool], AgentState],
        wake: Callable[[], None],
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent_id = agent_id
        self._wake = wake
        self._monotonic = monotonic
        self._wall = wall
        self._tls = tls_context(link) if link.url.startswith("mqtts:") else None
        self._backoff = Backoff(link.reconnect_min_s, link.reconnect_max_s)
        self._connection: Connection | None = None
        self._connect_at_s = float("inf")
        self._connected = False
        self._underway = Underway(link.inflight)
        self._largest_bytes = 0
        self._states = States(agent_id, state)
        self._confirming = link.confirm == "stored"
        self._stored_subscription = 0
        dice = random.Random()  # noqa: S311 - spreads what is sent again, guards nothing
        self._awaiting = Awaiting(link.confirm_within_s, link.confirm_within_max_s, dice.random)
        self.skew = ClockSkew()
        self._too_large: list[int] = []
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._takers: dict[Channel, Callable[[Inbound], None]] = {}

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    @property
    def states_are_announced(self) -> bool:
        """Whether the broker has acknowledged every state."""
        return self._connected and not self._states.has_unannounced and not self._underway.states

    @property
    def largest_bytes(self) -> int:
        """The largest message that the broker takes; 0 when it did not say."""
        return self._largest_bytes

    @property
    def awaiting_messages(self) -> int:
        """How many messages were sent and are not confirmed yet."""
        return self._awaiting.messages if self._confirming else len(self._underway)

    @property
    def window_bytes(self) -> int:
        """What the link is trusted to carry at a time, in one message that the broker takes."""
        trusted = self._underway.window.size_bytes
        return min(trusted, self._largest_bytes - ENVELOPE_BYTES) if self._largest_bytes else trusted

    @property
    def due_at_s(self) -> float:
        """When `collect` wants to be called without being woken, monotonic."""
        if not self._connected:
            return self._connect_at_s
        return self._monotonic() + LOOK_AGAIN_S if self._awaiting.messages else float("inf")

    def room(self, *, backlog: bool = False) -> Room:
        """How much may be sent now; the backlog leaves a share to what is measured now."""
        if not self._connected or self._monotonic() < self._paused_until_s:
            return Room(0, 0)
        share = LIVE_SHARE if backlog else 0
        messages, size_bytes = self._underway.free(share)
        if self._confirming:
            messages = min(messages, leave(self._link.unconfirmed, share) - self._awaiting.messages)
            unconfirmed_bytes = leave(self._link.unconfirmed_bytes, share) - self._awaiting.size_bytes
            if unconfirmed_bytes <= 0:
                return Room(0, 0)
            size_bytes = min(size_bytes, unconfirmed_bytes)
        return Room(max(messages, 0), max(size_bytes, 0), first_may_be_larger=not self._underway)

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
        self._connect()

    def stop(self, wait: Callable[[], bool]) -> Outcomes:
        """Say offline for every asset and disconnect.

        Args:
            wait: Waits a little for an acknowledgement; false when the time is up.

        Returns:
            What became known of messages meanwhile.
        """
        outcomes = Outcomes()
        if self._connected:
            self._states.go_offline()
            while self._connected and (self._states.has_unannounced or self._underway.states):
                self.send_states()
                if not wait():
                    break
                self._collect(outcomes)
        self._connect_at_s = float("inf")
        if self._connection:
            self._connection.close(said=True)
            self._collect(outcomes)
            self._connection, self._connected = None, False
        return outcomes

    def renew_certificate(self) -> None:
        """Connect anew with the certificate that the link's file holds now; what was on the wire is sent again.

        Raises:
            CareloopError: The file cannot be read.
        """
        self._tls = tls_context(self._link) if self._tls else None
        self._leave_if_outdated()

    def _leave_if_outdated(self) -> None:
        """Say goodbye to a connection that was opened with another certificate; one being opened is looked at then."""
        if self._connected and self._connection and self._connection.tls is not self._tls:
            self._connection.close(said=True)

    def announce(self, serial: str) -> None:
        """Keep the retained state of an asset online, now and after every reconnect."""
        self._states.meet(serial)

    def renew_own_state(self) -> None:
        """Announce the agent's own state again, for what it counts may have changed."""
        self._states.renew_own()

    def send_states(self) -> None:
        """Send the states not announced yet, so far as they leave room for messages."""
        most = max(1, self._underway.slots // LIVE_SHARE)
        while self._underway.states < most and self.room().messages and (found := self._states.take_next()):
            serial, state_topic, payload = found
            self._hand_over(Stored(0, state_topic, STATE_CONTENT_TYPE, payload, 0), state_of=serial)

    def send(self, stored: Stored) -> None:
        """Send one message; its outcome comes by `collect`."""
        if 0 < self._largest_bytes < stored.size_bytes:
            log.error(
                "%s: %d bytes are more than the broker takes (%d)", stored.topic, stored.size_bytes, self._largest_bytes
            )
            self._too_large.append(stored.seq)
            self._wake()
            return
        response_topic = ""
        if self._confirming and stored.topic.endswith(CONFIRMED_CHANNELS):
            response_topic = topic(self._agent_id, "stored")
            self._awaiting.sent(stored.seq, identity_of(stored.topic, stored.payload), stored.size_bytes)
        self._hand_over(stored, response_topic)

    def collect(self) -> Outcomes:
        """What the broker and the store said since the last time; also connects again when it is time to."""
        outcomes = Outcomes(too_large=self._too_large)
        self._too_large = []
        self._collect(outcomes)
        now_s = self._monotonic()
        if now_s >= self._connect_at_s:
            self._connect()
        if self._connected and self._confirming and (overdue := self._awaiting.overdue(now_s)):
            outcomes.returned += overdue
            if self._awaiting.is_silent:
                log.warning(
                    "the broker takes messages, but the store confirms none; everything is kept. Does ingest run, with "
                    "its database, and may this account read %s?",
                    topic(self._agent_id, "stored"),
                )
        return outcomes

    def _collect(self, outcomes: Outcomes) -> None:
        for happening in self._connection.happenings() if self._connection else ():
            match happening:
                case Acknowledged():
                    self._acknowledged(happening, outcomes)
                case mqtt.MQTTMessage():
                    self._received(happening, outcomes)
                case Opened():
                    self._opened(happening, outcomes)
                case Subscribed():
                    self._subscribed(happening, outcomes)
                case Refused():
                    log.warning("the broker refused the connection: %s; check CARELOOP_BROKER_URL", happening.reason)
                case Unreachable():
                    pause_s = self._end_connection()
                    log.warning(
                        "the broker cannot be reached; next try in %.1f s, everything is kept meanwhile", pause_s
                    )
                case Broken():
                    self._broke(happening, outcomes)

    def _hand_over(self, stored: Stored, response_topic: str = "", state_of: str = "") -> None:
        if self._connection is None:
            raise RuntimeError("there is no connection; nothing may be sent")
        properties = wire_properties(stored.content_type, response_topic)
        packet_id = self._connection.publish(stored.topic, stored.payload, properties, retain=bool(state_of))
        seq = None if state_of else stored.seq
        sent = Sent(seq, state_of, stored.size_bytes, self._monotonic(), bool(response_topic))
        self._underway.sent(packet_id, sent)

    def _connect(self) -> None:
        self._connect_at_s = float("inf")
        will = Will(*self._states.will(), STATE_CONTENT_TYPE)
        self._connection = Connection(
            self._link, f"careloop-edge-{self._agent_id}",
            will=will, tls=self._tls, wake=self._wake,
        )  # fmt: skip

    def _opened(self, opened: Opened, outcomes: Outcomes) -> None:
        log.info("connected to the broker as %s", self._agent_id)
        self._connected = outcomes.opened = True
        self._underway.slots = max(1, min(self._link.inflight, opened.most_unacknowledged))
        self._largest_bytes = opened.largest_bytes
        self._states.again(self._agent_id)
        self._confirming = self._link.confirm == "stored"
        if not opened.remembered:
            # It lost its memory: its retained messages with it, and what it took from us and had not handed on.
            self._states.all_again()
            outcomes.returned += self._awaiting.drop_all()
        self._awaiting.connected_again(self._monotonic())
        topics = [(topic(self._agent_id, channel), 1) for channel in self._takers]
        if self._connection and topics:
            self._connection.subscribe(topics)
        if self._connection and self._confirming:
            self._stored_subscription = self._connection.subscribe([(topic(self._agent_id, "stored"), 0)])
        self._leave_if_outdated()

    def _subscribed(self, subscribed: Subscribed, outcomes: Outcomes) -> None:
        if max(subscribed.reasons) < FAILURE:
            return
        if subscribed.packet_id != self._stored_subscription:
            log.error("the broker does not let %s hear its config and commands; let it read them", self._agent_id)
            return
        log.warning(
            "the broker does not let this account read %s, so nobody can confirm what is stored; from now on the "
            "broker's word is taken for it, and what the broker loses is lost. Let the account read it, or set "
            'confirm = "broker"',
            topic(self._agent_id, "stored"),
        )
        self._confirming = False
        underway = self._underway.places
        outcomes.delivered += [seq for seq in self._awaiting.drop_all() if seq not in underway]

    def _acknowledged(self, acknowledged: Acknowledged, outcomes: Outcomes) -> None:
        now_s, reason = self._monotonic(), acknowledged.reason
        message = self._underway.acknowledged(acknowledged.packet_id, now_s)
        if message is None:
            return
        self._backoff.succeeded()
        seq = message.seq
        self.skew.round_trip(now_s - message.sent_at_s)
        if seq is None:
            return
        if reason in NEVER_TAKEN:
            self._awaiting.forget(seq)
            (outcomes.too_large if reason == PACKET_TOO_LARGE else outcomes.refused).append(seq)
            log.error("the broker will never take message %d as it is (reason 0x%02X)", seq, reason)
        elif reason >= FAILURE or (reason == NO_MATCHING_SUBSCRIBERS and self._link.wait_for_subscriber):
            self._awaiting.forget(seq)
            outcomes.returned.append(seq)
            self._pause(reason)
        elif message.confirmed_by_store and self._confirming:
            self._pause_s = 0.0
            outcomes.taken.append(seq)
            self._awaiting.taken_by_broker(seq, now_s)
        else:
            self._pause_s = 0.0
            outcomes.taken.append(seq)
            outcomes.delivered.append(seq)

    def _received(self, message: mqtt.MQTTMessage, outcomes: Outcomes) -> None:
        """Something that was sent to the agent: a confirmation, or for whoever asked for it."""
        try:
            channel = parse_topic(message.topic)[1]
        except (TopicError, UnicodeDecodeError):
            return
        properties = dict(getattr(message.properties, "UserProperty", ()))
        if channel == "stored":
            outcomes.delivered += self._awaiting.confirmed(bytes(message.payload), self._monotonic())
            if not message.retain:
                self.skew.heard(properties.get("now", ""), self._wall())
        elif take := self._takers.get(channel):
            take(Inbound(channel, bytes(message.payload), message.retain, properties))
        if message.qos and self._connection:
            self._connection.acknowledge(message)

    def _broke(self, broken: Broken, outcomes: Outcomes) -> None:
        was_connected, self._connected = self._connected, False
        pause_s = self._end_connection()
        if broken.code == SESSION_TAKEN_OVER:
            log.error("another agent with the id %s connected; give each its own [agent] id", self._agent_id)
        elif was_connected and broken.failed:
            log.warning("the connection broke (%s); next try in %.1f s", broken.reason, pause_s)
        for message in self._underway.broke() if was_connected else ():
            if message.seq is None:
                self._states.again(message.serial)
            else:
                self._awaiting.forget(message.seq)
                outcomes.returned.append(message.seq)

    def _end_connection(self) -> float:
        """Make way for the next connection; in how many seconds it is tried."""
        if self._connection:
            self._connection.close(said=False)
            self._connection = None
        pause_s = self._backoff.failed()
        self._connect_at_s = self._monotonic() + pause_s
        return pause_s

    def _pause(self, reason: int) -> None:
        """Wait before sending again, longer each time; several answers to one window are one reason to wait."""
        now_s = self._monotonic()
        if now_s < self._paused_until_s:
            return
        self._pause_s = min(self._link.reconnect_max_s, max(2 * self._pause_s, self._link.reconnect_min_s))
        self._paused_until_s = now_s + self._pause_s
        why = "nobody is subscribed" if reason == NO_MATCHING_SUBSCRIBERS else f"the broker refused (0x{reason:02X})"
        log.warning("%s; what was sent is kept and sent again in %.1f s", why, self._pause_s)
