"""Subscribes to a local broker, losing nothing and doubling nothing that comes at QoS 1.

A message is acknowledged in `confirm`, when it is in the agent's buffer on disk. Between that and the broker hearing of
it the connection or the power may go; then the broker sends the message again, marked as a repetition. So the messages
stored last are remembered, by packet id and hash, in the checkpoint that is stored in the same transaction as the
readings: a repetition of one of them is only acknowledged.
"""

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.sources.background import RETRY_FIRST_S, RETRY_LONGEST_S, STREAM_INTERVAL_S, HandOver, Parcel
from edge_agent.sources.mqtt.config import MqttConfig
from edge_agent.sources.mqtt.topics import filter_of, parts_in, pattern_of
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.records import Record, json_records, json_value, line_parser
from edge_agent.sources.secrets import secret_from
from edge_agent.sources.source import Clock, Harvest, Source, SourceError, remembered

KEEPALIVE_S = 30

log = logging.getLogger(__name__)

# Packet id and hash of topic and payload.
Key = tuple[int, str]


@dataclass
class _Taken:
    """A message that is to be acknowledged."""

    key: Key
    connection: int


class MqttSource(Source):
    """One local broker.

    Args:
        config: The broker, its topics and what payloads mean.
        clock: The clocks.
    """

    def __init__(self, config: MqttConfig, clock: Clock) -> None:
        self.name = config.name or config.kind
        # What came is fetched this often; it does not come any faster or slower by it.
        self.interval_s = STREAM_INTERVAL_S
        self._config = config
        self._clock = clock
        self._mapper = Mapper(config, self.name)
        self._parse = None if config.format in {"json", "value"} else line_parser(config)
        self._patterns = [
            pattern_of(topic, config.serials if config.serial_at is None else ()) for topic in config.topics
        ]
        self._hand_over = HandOver(self._wake_agent)
        # Guards what follows: paho's thread takes messages, the agent's thread confirms them.
        self._lock = threading.Lock()
        self._connection = 0
        self._waiting: dict[Key, _Taken] = {}
        self._stored: dict[Key, None] = {}
        self._client = self._make_client()

    @property
    def has_interval(self) -> bool:
        """The broker decides."""
        return False

    @property
    def has_news(self) -> bool:
        """Whether messages came."""
        return bool(self._hand_over)

    def open(self, checkpoint: str | None, since: datetime | None) -> None:  # noqa: ARG002 - what comes has its own time
        """Begin to connect."""
        if stored := remembered(checkpoint, "stored", "events"):
            self._stored = dict.fromkeys((mid, digest) for mid, digest in stored["stored"])
            if stored["events"]:
                self._hand_over.stored_memory = stored["events"]
                self._mapper.restore(stored["events"])
        parts = urlsplit(self._config.url)
        config = self._config
        if config.user is not None:
            try:
                self._client.username_pw_set(config.user, secret_from(config.secret_env, config.secret_file))
            except SourceError as error:
                # Said at every poll would be no help: without it nothing will ever come.
                self._hand_over.put(Parcel(error))
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho
        properties.SessionExpiryInterval = int(config.session_hours * 3600)
        properties.ReceiveMaximum = config.inflight
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client.connect_async(
            parts.hostname or "", port, keepalive=KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The configured units."""
        return self._mapper.units_of(serial)

    def serials(self) -> Sequence[str]:
        """Those in the configuration."""
        return self._mapper.serials

    def poll(self, now: datetime) -> Harvest:  # noqa: ARG002 - what came is what there is
        """What came since the last poll."""
        return self._hand_over.take()

    def checkpoint(self) -> str | None:
        """The messages stored last, those with this transaction among them; None when nothing is new."""
        if not self._hand_over.has_taken:
            return None
        taken = [token.key for token in self._hand_over.tokens() if isinstance(token, _Taken)]
        stored = list(dict.fromkeys([*self._stored, *taken]))[-self._config.inflight :]
        return json.dumps({"stored": stored, "events": self._hand_over.memory()}, separators=(",", ":"))

    def confirm(self) -> None:
        """Acknowledge what is on disk now."""
        for token in self._hand_over.confirm():
            if not isinstance(token, _Taken):
                continue
            with self._lock:
                self._waiting.pop(token.key, None)
                self._stored.pop(token.key, None)
                self._stored[token.key] = None
                while len(self._stored) > self._config.inflight:
                    del self._stored[next(iter(self._stored))]
                is_current = token.connection == self._connection
            if is_current:
                # Over another connection the broker sends it again, and is answered then.
                self._client.ack(token.key[0], 1)

    def close(self) -> None:
        """Disconnect; what was not confirmed comes again at the next start."""
        self._hand_over.close()
        self._client.disconnect()
        self._client.loop_stop()

    def _wake_agent(self) -> None:
        self.wake()

    def _make_client(self) -> mqtt.Client:
        name = self._config.client_id or f"careloop-{self.name}"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=True,
        )
        client.reconnect_delay_set(int(RETRY_FIRST_S), int(RETRY_LONGEST_S))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        if self._config.url.startswith("mqtts:"):
            client.tls_set(ca_certs=str(self._config.ca_file) if self._config.ca_file else None)
        return client

    # From here on: paho's thread.

    def _on_connect(
        self, client: mqtt.Client, _user: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._fail(f"{self._config.url} refused us: {reason}")
            return
        with self._lock:
            self._connection += 1
            if not flags.session_present:
                # The broker knows nothing of what it sent before; packet ids begin anew.
                self._stored.clear()
                self._waiting.clear()
        # 1: what it kept only when the subscription is new.
        options = SubscribeOptions(qos=self._config.qos, retainHandling=1)
        client.subscribe([(filter_of(topic), options) for topic in self._config.topics])

    def _on_connect_fail(self, _client: mqtt.Client, _user: Any) -> None:
        self._fail(f"{self._config.url} cannot be reached")

    def _on_disconnect(
        self, _client: mqtt.Client, _user: Any, _flags: mqtt.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._fail(f"the connection to {self._config.url} broke: {reason}")

    def _on_subscribe(
        self, _client: mqtt.Client, _user: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._fail(f"{self._config.url} does not let us subscribe: {refused[0]}")

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self._take(client, message)
        except Exception:  # paho's thread would end, and nothing would ever come again
            log.exception("source %s: defect, the message on %s is left out", self.name, message.topic)
            client.ack(message.mid, message.qos)

    def _take(self, client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        token: _Taken | None = None
        if message.qos:
            digest = blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=8).hexdigest()
            key = (message.mid, digest)
            with self._lock:
                if message.dup and key in self._waiting:
                    # It is under way to the disk; then it is acknowledged over the new connection.
                    self._waiting[key].connection = self._connection
                    return
                is_stored = message.dup and key in self._stored
                token = _Taken(key, self._connection)
                if not is_stored:
                    self._waiting[key] = token
            if is_stored:
                client.ack(message.mid, message.qos)
                return
        harvest = Harvest() if message.retain and not self._config.take_retained else self._harvest(message)
        memory = self._mapper.memory()
        self._hand_over.put(Parcel(harvest, token, memory))

    def _harvest(self, message: mqtt.MQTTMessage) -> Harvest:
        parts = parts_in(message.topic, self._patterns)
        if parts is None:
            return Harvest()
        return self._mapper.harvest([self._records(bytes(message.payload), parts)], self._clock.now())

    def _records(self, payload: bytes, parts: Mapping[str, str]) -> Iterator[Record]:
        if self._config.format == "value":
            item = {parts.get("metric", "value"): payload.decode(errors="replace").strip()}
            yield Record(item, item, parts)
        elif self._parse is None:
            yield from json_records(json_value(payload), self._config.each, parts)
        else:
            for line in payload.decode(errors="replace").splitlines():
                if line.strip():
                    yield from self._parse(line, parts)

    def _fail(self, text: str) -> None:
        self._hand_over.put(Parcel(SourceError(text)))


def mqtt_source(config: MqttConfig, clock: Clock) -> Source:
    """A local broker as a source."""
    return MqttSource(config, clock)
