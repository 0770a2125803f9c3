"""Between the agent and the store in this benchmark: a wire that counts bytes; and a store that only confirms."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from careloop.contract.identity import identity_of
from careloop.contract.topics import subscription

CONNECTED_WITHIN_S = 20.0


class CountingWire:
    """Forwards TCP connections to a broker, and counts what goes through.

    Args:
        port: The broker's, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.size_bytes = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(ConnectionError), socket.create_connection(("127.0.0.1", self._target)) as far:
            for side in (near, far):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for side in select.select([near, far], [], [])[0]:
                    chunk = side.recv(65536)
                    if not chunk:
                        return
                    (far if side is near else near).sendall(chunk)
                    self.size_bytes += len(chunk)


class Store:
    """Counts messages, and confirms each as ingest does after its commit; it stores nothing.

    Args:
        port: The broker's, on 127.0.0.1.
        now: The store's clock, which its confirmations carry.
    """

    def __init__(self, port: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self.messages = 0
        self.payload_bytes = 0
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="careloop-bench-store", protocol=mqtt.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not self._subscribed.wait(CONNECTED_WITHIN_S):
            raise RuntimeError("the broker did not answer the store's subscription")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(subscription("telemetry"), 1), (subscription("event"), 1)])

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self.messages += 1
        self.payload_bytes += len(message.payload)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho leaves it without types
        properties.UserProperty = ("now", self._now().isoformat())
        identity = identity_of(message.topic, bytes(message.payload))
        client.publish(message.properties.ResponseTopic, identity, properties=properties)  # type: ignore[union-attr] # MQTT 5 has properties
