"""The downlink's MQTT session: states and results come in, configurations and commands go out.

A session of its own, beside that of the worker's telemetry: neither waits for the other. What came in is acknowledged
when it is stored; until then, and while the worker is away, the broker keeps it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Condition, Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from careloop.contract.identity import identity_of
from careloop.contract.remote import CONTENT_TYPE
from careloop.contract.topics import TopicError, parse_topic, subscription
from ingest.settings import IngestSettings

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
# Most messages taken and not yet stored; a result may carry a log of 128 KiB.
RECEIVE_MAXIMUM = 200
NO_MATCHING_SUBSCRIBERS = 0x10


@dataclass(frozen=True)
class Incoming:
    """A state or a result as the broker handed it over.

    Attributes:
        topic: Its topic.
        payload: Its bytes.
        retained: Whether the broker had kept it from before.
        received_at: When it arrived, UTC.
        response_topic: Where its sender wants to hear that it is stored; empty when it does not.
        connection: Number of the broker connection it came on; an acknowledgement is good on that one only.
        mid: MQTT packet identifier.
        qos: 0 or 1.
    """

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime
    response_topic: str = ""
    connection: int = 0
    mid: int = 0
    qos: int = 0


@dataclass(frozen=True)
class Outgoing:
    """A message to an agent.

    Attributes:
        topic: Its topic.
        payload: Its bytes.
        retain: Whether the broker keeps it for an agent that comes later.
        expires_in_s: Not to be delivered after so many seconds; None for ever.
    """

    topic: str
    payload: bytes
    retain: bool = False
    expires_in_s: int | None = None


class Line:
    """Connects in the background; everything but paho's callbacks happens in the downlink's thread.

    Args:
        settings: Broker and worker name.
        now: The clock.
        wake: Called from paho's thread when something came in.
    """

    def __init__(self, settings: IngestSettings, now: Callable[[], datetime], wake: Callable[[], None]) -> None:
        self._settings = settings
        self._now = now
        self._wake = wake
        self._lock = Lock()
        self._connection = 0
        self._connected = False
        self._received: SimpleQueue[Incoming] = SimpleQueue()
        self._answered = Condition()
        self._answers: dict[int, int] = {}
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    def start(self) -> None:
        """Connect, and keep trying as long as it takes."""
        broker = urlsplit(self._settings.broker_url)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
        properties.SessionExpiryInterval = self._settings.ingest_session_days * 86400
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect_async(
            broker.hostname or "127.0.0.1",
            broker.port or (8883 if broker.scheme == "mqtts" else 1883),
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, most: int) -> list[Incoming]:
        """What came in, oldest first."""
        taken: list[Incoming] = []
        while len(taken) < most:
            try:
                taken.append(self._received.get_nowait())
            except Empty:
                break
        return taken

    def settle(self, stored: Sequence[Incoming]) -> None:
        """Acknowledge what is stored to the broker, and confirm it to the senders who asked for that."""
        with self._lock:
            for message in stored:
                if message.qos and message.connection == self._connection:
                    self._client.ack(message.mid, message.qos)
        for message in stored:
            # States are not confirmed: the latest is said again at every connection.
            if not message.topic.endswith("/state") and _is_for_confirmations(message.response_topic):
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho has no types there
                properties.ContentType = "application/octet-stream"
                properties.UserProperty = ("now", self._now().isoformat(timespec="microseconds"))
                identity = identity_of(message.topic, message.payload)
                self._client.publish(message.response_topic, identity, qos=0, properties=properties)

    def send(self, messages: Sequence[Outgoing], within_s: float) -> list[int | None]:
        """Publish at QoS 1.

        Args:
            messages: In the order they are to arrive.
            within_s: How long to wait for the broker.

        Returns:
            For each the broker's reason code, or None where it did not answer in time.
        """
        mids: list[int] = []
        for message in messages:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho has no types there
            properties.ContentType = CONTENT_TYPE
            if message.expires_in_s is not None:
                properties.MessageExpiryInterval = message.expires_in_s
            info = self._client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, properties=properties
            )
            mids.append(info.mid)
        with self._answered:
            self._answered.wait_for(lambda: all(mid in self._answers for mid in mids), within_s)
            answers = [self._answers.get(mid) for mid in mids]
            self._answers.clear()
        return answers

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._settings.ingest_worker}-downlink",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        broker = urlsplit(self._settings.broker_url)
        if broker.username:
            client.username_pw_set(unquote(broker.username), unquote(broker.password or ""))
        if broker.scheme == "mqtts":
            client.tls_set(ca_certs=self._settings.broker_ca_file)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # Called by paho in its own thread ----------------------------------------------------------

    def _on_connect(self, client: Client, _user: Any, _flags: ConnectFlags, reason: ReasonCode, _given: Any) -> None:
        if reason.is_failure:
            log.error("the broker refuses the downlink's connection: %s", reason)
            return
        # States at QoS 0: the broker keeps the latest anyway, and need not queue them for a worker that is away.
        client.subscribe([(subscription("command/result"), 1), (subscription("state"), 0)])
        self._connected = True
        log.info("downlink ready")
        self._wake()

    def _on_disconnect(
        self, _client: Client, _user: Any, _flags: DisconnectFlags, reason: ReasonCode, _given: Any
    ) -> None:
        with self._lock:
            self._connection += 1
            self._connected = False
        if reason.is_failure:
            log.warning("the downlink's connection to the broker is lost (%s); connecting again", reason)

    def _on_subscribe(
        self, _client: Client, _user: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.error(
                "the broker refuses the downlink a subscription (%s): results and acknowledgements do not arrive; "
                "let the account read careloop/v1/+/command/result and careloop/v1/+/state", refused[0],
            )  # fmt: skip

    def _on_message(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(a topic that is not UTF-8)"
        self._received.put(
            Incoming(
                topic=topic,
                payload=bytes(message.payload),
                retained=message.retain,
                received_at=self._now(),
                response_topic=getattr(message.properties, "ResponseTopic", ""),
                connection=self._connection,
                mid=message.mid,
                qos=message.qos,
            )
        )
        self._wake()

    def _on_publish(self, _client: Client, _user: Any, mid: int, reason: ReasonCode, _given: Any) -> None:
        with self._answered:
            self._answers[mid] = reason.value
            self._answered.notify()


def _is_for_confirmations(topic: str) -> bool:
    try:
        return parse_topic(topic)[1] == "stored"
    except TopicError:
        return False
