"""The MQTT side: a persistent MQTT 5 session whose messages are acknowledged only when we say so."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from threading import Lock
from threading import enumerate as enumerate_threads
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from careloop.contract.identity import IDENTITY_BYTES
from careloop.contract.topics import TopicError, parse_topic, subscription
from ingest.decode import Decoder, Delivery, identity_of
from ingest.delivery import Request
from ingest.inbox import Inbox
from ingest.session import Arrival, Session
from ingest.settings import IngestSettings

log = logging.getLogger(__name__)

GROUP = "careloop-ingest"
MOST_CONFIRMED = 1024
KEEPALIVE_S = 30
MOST_NAMED_TOPICS = 5000
# Not what the broker retained: an old value without a time of its own would pass for a new one.
_FRESH = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
SHORT_CONNECTION = timedelta(seconds=10)
SUSPICIOUS_CONNECTIONS = 3
_LOGIN_REFUSED = {"Bad user name or password", "Not authorized", "Banned", "Bad authentication method"}


def confirmations(deliveries: Iterable[Delivery]) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads that confirm messages to those who named a topic for it; pure.

    States are not confirmed, and nothing is published but to a channel `stored`.
    """
    identities: dict[str, bytearray] = {}
    for delivery in deliveries:
        if delivery.response_topic and not delivery.topic.endswith("/state"):
            identities.setdefault(delivery.response_topic, bytearray()).extend(delivery.identity.bytes)
    for topic, joined in identities.items():
        if not _is_for_confirmations(topic):
            continue
        for start in range(0, len(joined), MOST_CONFIRMED * IDENTITY_BYTES):
            yield topic, bytes(joined[start : start + MOST_CONFIRMED * IDENTITY_BYTES])


def _is_for_confirmations(topic: str) -> bool:
    try:
        return parse_topic(topic)[1] == "stored"
    except TopicError:
        return False


class Consumer:
    """Receives messages into an inbox and acknowledges them when they are stored.

    Args:
        settings: Broker, worker name and bounds.
        inbox: Where messages go.
        now: The clock.
        decoder: Knows which topics of other formats to listen to.

    Attributes:
        failure: Why it gave up for good, in one line, or None.
        connected: Whether there is a connection to the broker.
        connections: Connections made so far.
        confirmed: Messages confirmed to their senders so far.
    """

    def __init__(
        self, settings: IngestSettings, inbox: Inbox, now: Callable[[], datetime], decoder: Decoder | None = None
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._now = now
        self._decoder = decoder or Decoder()
        self._shared_prefix = f"$share/{GROUP}/" if settings.ingest_shared else ""
        # Topics that devices named as those of their readings.
        self._named_topics: set[str] = set()
        self._lock = Lock()
        # Counts connections: packet identifiers mean something on the connection they came over only.
        self._connection = 0
        self._connected_at: datetime | None = None
        self._short_connections = 0
        self.failure: str | None = None
        self.connected = False
        self.connections = 0
        self.confirmed = 0
        self._broker = urlsplit(settings.broker_url)
        self._client = self._make_client()

    def start(self) -> None:
        """Connect in the background, and keep trying as long as it takes."""
        default_port = 8883 if self._broker.scheme == "mqtts" else 1883
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
        properties.SessionExpiryInterval = self._settings.ingest_session_days * 86400
        properties.ReceiveMaximum = self._settings.ingest_in_flight
        self._client.connect_async(
            self._broker.hostname or "127.0.0.1",
            self._broker.port or default_port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Send the acknowledgements that are on their way, and disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that messages are stored; those of a lost connection come again and are recognised."""
        with self._lock:
            now_on = self._connection
            self._client.acknowledge(
                delivery.mid for delivery in deliveries if delivery.qos and delivery.connection == now_on
            )

    def send(self, requests: Iterable[Request]) -> None:
        """Ask devices to announce themselves again; what gets lost is asked for again with their next message."""
        for request in requests:
            self._client.publish(request.topic, request.payload, qos=0)

    def listen_to(self, topics: Iterable[str]) -> None:
        """Subscribe to topics that devices named, now and with every new session."""
        for topic in topics:
            if topic not in self._named_topics and not self._decoder.hears(topic):
                if len(self._named_topics) >= MOST_NAMED_TOPICS:
                    log.warning("%s is not listened to: %d topics are enough", topic, MOST_NAMED_TOPICS)
                    continue
                self._named_topics.add(topic)
                self._client.subscribe([(self._shared_prefix + topic, _FRESH)])

    def confirm(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the senders who asked for it that their messages are accounted for; call it after the commit.

        A confirmation that gets lost does no harm: the sender sends its message again, and it is recognised.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho has no types there
        properties.ContentType = "application/octet-stream"
        properties.UserProperty = ("now", self._now().isoformat(timespec="microseconds"))
        for topic, payload in confirmations(deliveries):
            self._client.publish(topic, payload, qos=0, properties=properties)
            self.confirmed += len(payload) // IDENTITY_BYTES

    @property
    def listens(self) -> bool:
        """Whether paho's thread lives; one that ended by a defect would never be missed otherwise."""
        return any(
            thread.name.startswith(f"paho-mqtt-client-{self._settings.ingest_worker}") for thread in enumerate_threads()
        )

    @property
    def broker_name(self) -> str:
        """The broker's host and port, without the login."""
        return f"{self._broker.hostname}:{self._broker.port or (8883 if self._broker.scheme == 'mqtts' else 1883)}"

    def _make_client(self) -> Session:
        client = Session(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.ingest_worker,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            on_arrivals=self._on_arrivals,
        )
        if self._broker.username:
            client.username_pw_set(unquote(self._broker.username), unquote(self._broker.password or ""))
        if self._broker.scheme == "mqtts":
            client.tls_set(ca_certs=self._settings.broker_ca_file)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    # Called by paho in its own thread ----------------------------------------------------------

    def _on_connect(
        self, client: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refused(reason)
            return
        self._connected_at = self._now()
        self.connected = True
        self.connections += 1
        shared = f"$share/{GROUP}/"
        wanted, other = (shared, "") if self._settings.ingest_shared else ("", shared)
        streams = [subscription("telemetry"), subscription("event")]
        foreign = [*self._decoder.streams, *sorted(self._named_topics)]
        if flags.session_present:
            # The session may have been made with the other setting; both at once would deliver everything twice.
            client.unsubscribe([other + stream for stream in (*streams, *foreign)])
        # States are for every worker: a shared subscription would not get the retained ones.
        client.subscribe([(wanted + stream, 1) for stream in streams] + [(subscription("state"), 1)])
        if foreign:
            client.subscribe([(wanted + stream, _FRESH) for stream in foreign])
        if self._decoder.announcements:
            # For every worker too: what comes later can be read with them only.
            client.subscribe([(topic, 1) for topic in self._decoder.announcements])
        log.info(
            "connected to %s:%s as %s, %s session", self._broker.hostname, self._broker.port,
            self._settings.ingest_worker, "resumed the" if flags.session_present else "new",
        )  # fmt: skip

    def _refused(self, reason: ReasonCode) -> None:
        if str(reason) in _LOGIN_REFUSED and self._connected_at is None:
            self.failure = (
                f"the broker {self._broker.hostname}:{self._broker.port} refuses the login ({reason}); "
                "put user and password into CARELOOP_BROKER_URL"
            )
        log.error("the broker refuses the connection: %s", reason)

    def _on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        log.warning("no broker at %s:%s yet; trying on", self._broker.hostname, self._broker.port)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        # Under the lock, and before paho can connect again: no acknowledgement slips over to the next connection,
        # where its packet identifier may mean another message.
        self.connected = False
        with self._lock:
            self._connection += 1
        if str(reason) == "Session taken over":
            self.failure = (
                f"another process connected as {self._settings.ingest_worker}; "
                "give each worker its own CARELOOP_INGEST_WORKER"
            )
        if reason.is_failure:
            log.warning("connection to the broker lost (%s); connecting again", reason)
            self._suspect_a_twin()
        self._inbox.forget_connections_before(self._connection)

    def _suspect_a_twin(self) -> None:
        """Two processes of one name throw each other out, and not every broker says so; nothing is lost, only time."""
        short = self._connected_at is not None and self._now() - self._connected_at < SHORT_CONNECTION
        self._short_connections = self._short_connections + 1 if short else 0
        if self._short_connections >= SUSPICIOUS_CONNECTIONS:
            log.error(
                "%d connections in a row did not last; does another process run as %s? "
                "Give each worker its own CARELOOP_INGEST_WORKER",
                self._short_connections, self._settings.ingest_worker,
            )  # fmt: skip

    def _on_subscribe(
        self, _client: Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self.failure = f"the broker refuses a subscription ({refused[0]}); let the account read careloop/v1/#"
            return
        log.info("subscribed")

    def _on_arrivals(self, arrivals: list[Arrival]) -> None:
        now, connection = self._now(), self._connection
        self._inbox.put([self._delivery(arrival, now, connection) for arrival in arrivals])

    def _delivery(self, arrival: Arrival, now: datetime, connection: int) -> Delivery:
        payload = kept = arrival.payload
        if len(payload) > self._settings.ingest_max_message_bytes:
            kept = payload[: self._settings.ingest_dead_letter_bytes]
        topic = arrival.topic.decode("utf-8", "replace")
        return Delivery(
            topic,
            kept,
            len(payload),
            arrival.told.content_type,
            now,
            identity_of(topic, payload),
            connection,
            arrival.mid,
            arrival.qos,
            arrival.told.response_topic,
        )
