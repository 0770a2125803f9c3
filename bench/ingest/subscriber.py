"""The bare subscriber: paho as it comes, which acknowledges what it receives and does nothing else."""

from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from careloop.contract.topics import subscription

RECEIVE_MAXIMUM = 2000


def subscriber_process(orders: Connection, broker_url: str, name: str, count: "Synchronized[int]") -> None:
    """Subscribe, say ready, and count until an order comes."""
    url = urlsplit(broker_url)
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    if url.username:
        client.username_pw_set(unquote(url.username), unquote(url.password or ""))
    if url.scheme == "mqtts":
        client.tls_set()

    def on_connect(client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            orders.send(f"the broker refuses the bare subscriber: {reason}")
        client.subscribe(subscription("telemetry"), qos=1)

    def on_message(_client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        # Without its lock: this process is the only one that writes.
        raw.value += 1

    raw = count.get_obj()
    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: orders.send("ready")
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    client.connect(url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883), properties=properties)
    client.loop_start()
    with suppress(EOFError):
        orders.recv()
    client.disconnect()
    client.loop_stop()
