"""paho's client with a wider mouth: it reads by the quarter megabyte, and acknowledges by the hundred.

paho receives every message by three system calls, each of which gives up Python's lock, and sends every acknowledgement
by one more. That took more than decoding and storing together (docs/decisions/0012-reading-packets.md). Here a PUBLISH
is taken apart where it stands in what was read; everything else - connecting, TLS, keeping alive, subscribing, and
whatever packet is not a PUBLISH of QoS 0 or 1 - is paho's as before.
"""

import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from logging import getLogger
from typing import Any, NamedTuple

from paho.mqtt.client import Client, time_func
from paho.mqtt.enums import MQTTErrorCode

log = getLogger(__name__)

READ_BYTES = 256 * 1024
LONGEST_REMEMBERED = 256
PUBLISH = 0x30
PUBACK = 0x40
_TYPE = 0xF0
_QOS = 0x06
_QOS_1 = 0x02
# Lengths of the properties of a PUBLISH; None where the length is in the property.
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION, _USER, _SUBSCRIPTION = 0x03, 0x08, 0x09, 0x26, 0x0B


class Told(NamedTuple):
    """What the properties of a PUBLISH say, as far as it is wanted here."""

    content_type: str
    response_topic: str


class Arrival(NamedTuple):
    """A PUBLISH of QoS 0 or 1.

    Attributes:
        topic: Its topic's bytes.
        payload: Its payload.
        told: From its properties.
        mid: Its packet identifier; 0 at QoS 0.
        qos: 0 or 1.
    """

    topic: bytes
    payload: bytes
    told: Told
    mid: int
    qos: int


class MalformedError(ValueError):
    """The broker sent something that is not MQTT 5."""


class Session(Client):
    """A client whose `on_arrivals` is called with all messages of one read.

    Args:
        on_arrivals: Takes them, in paho's thread.
        given: As paho's Client.
    """

    def __init__(self, *given: Any, on_arrivals: Callable[[list[Arrival]], None], **named: Any) -> None:
        super().__init__(*given, **named)
        self._on_arrivals = on_arrivals
        # The start of a packet whose end has not come yet, and the length from which on it can be looked at again.
        self._rest = bytearray()
        self._wanted = 0
        self.on_socket_open = _send_at_once

    def acknowledge(self, mids: Iterable[int]) -> None:
        """Acknowledge messages of QoS 1, by as few system calls as possible."""
        packets = b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])
        if packets:
            self._packet_queue(PUBACK, packets, 0, 1)

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; what came of a broken-off packet is forgotten."""
        self._rest, self._wanted = bytearray(), 0
        return super().reconnect()

    # In the place of paho's, which calls it when there is something to read --------------------

    def _packet_read(self) -> MQTTErrorCode:
        try:
            read = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError as error:
            log.debug("receiving failed: %s", error)
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not read:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        with self._msgtime_mutex:
            self._last_bytes_received = time_func()
        if self._rest:
            self._rest += read
            if len(self._rest) < self._wanted:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            read = bytes(self._rest)
        try:
            return self._take_apart(read)
        except (MalformedError, IndexError, UnicodeDecodeError) as error:
            log.warning("the broker sent a malformed packet: %s", error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _take_apart(self, read: bytes) -> MQTTErrorCode:
        """Hand over all messages that are whole, and keep the rest."""
        arrivals: list[Arrival] = []
        at, end = 0, len(read)
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while at < end and not result:
            start, stop = bounds(read, at)
            if stop > end or not start:
                break
            first = read[at]
            if first & _TYPE == PUBLISH and first & _QOS <= _QOS_1:
                arrivals.append(arrival(read, first, start, stop))
            else:
                if arrivals:
                    self._on_arrivals(arrivals)
                    arrivals = []
                result = self._hand_to_paho(first, read[start:stop])
            at = stop
        self._rest = bytearray(read[at:])
        self._wanted = bounds(read, at)[1] - at if self._rest else 0
        if arrivals:
            self._on_arrivals(arrivals)
        return result

    def _hand_to_paho(self, first: int, body: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()


def _send_at_once(_client: Client, _userdata: Any, opened: Any) -> None:
    """Or a confirmation would wait until the broker's machine says that it has the acknowledgement before it: 40 ms."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def bounds(read: bytes, at: int) -> tuple[int, int]:
    """Where the body of the packet at a place starts and stops; (0, …) when not even its length is all there."""
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(read))):
        byte = read[place]
        length |= (byte & 127) << shift
        if byte < 128:
            return place + 1, place + 1 + length
        shift += 7
    if len(read) >= at + 5:
        raise MalformedError("a length of more than four bytes")
    return 0, len(read) + 1


def arrival(read: bytes, first: int, start: int, stop: int) -> Arrival:
    """A PUBLISH whose body stands from start to stop."""
    at = start + 2
    topic_end = at + (read[start] << 8) + read[start + 1]
    topic, at = read[at:topic_end], topic_end
    qos = first & _QOS
    mid = 0
    if qos:
        mid = (read[at] << 8) + read[at + 1]
        at += 2
        qos = 1
    if read[at] < 128:
        properties, payload = at + 1, at + 1 + read[at]
    else:
        # Their length is written as the packet's, which stands after one byte.
        properties, payload = bounds(read, at - 1)
    if payload > stop:
        raise MalformedError("a PUBLISH that ends in its properties")
    told = properties_of(read[properties:payload]) if payload > properties else _NOTHING
    return Arrival(topic, read[payload:stop], told, mid, qos)


_NOTHING = Told("", "")


def properties_of(encoded: bytes) -> Told:
    """What the properties of a PUBLISH say; devices say the same every time, and what is long is not remembered."""
    return _remembered(encoded) if len(encoded) <= LONGEST_REMEMBERED else _properties_of(encoded)


@lru_cache(maxsize=65536)
def _remembered(encoded: bytes) -> Told:
    return _properties_of(encoded)


def _properties_of(encoded: bytes) -> Told:
    content_type = response_topic = ""
    at = 0
    while at < len(encoded):
        name, at = encoded[at], at + 1
        if name in _FIXED:
            at += _FIXED[name]
        elif name == _SUBSCRIPTION:
            while encoded[at] >= 128:
                at += 1
            at += 1
        elif name in {_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION, _USER}:
            for _ in range(2 if name == _USER else 1):
                size, at = (encoded[at] << 8) + encoded[at + 1], at + 2
                value, at = encoded[at : at + size], at + size
            if name == _CONTENT_TYPE:
                # Not every broker sees to it that it is UTF-8; a packet given up for it would come again for ever.
                content_type = value.decode("utf-8", "replace")
            elif name == _RESPONSE_TOPIC:
                response_topic = value.decode("utf-8", "replace")
        else:
            raise MalformedError(f"a PUBLISH with the property {name:#x}")
    if at > len(encoded):
        raise MalformedError("a property that ends beyond its packet")
    return Told(content_type, response_topic)
