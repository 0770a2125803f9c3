"""Just enough MQTT 5 to publish at QoS 1 at little cost.

The publishers stand for devices, which in reality run elsewhere. With paho each would take as much of this machine as
what is measured; here many PUBLISH packets go into one system call, and acknowledgements are read by the thousand.
"""

import select
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from careloop.errors import CareloopError

KEEPALIVE_S = 600
_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 0x20, 0x30, 0x40, 0x90
_DISCONNECT = 0xE0
_RECEIVE_MAXIMUM = 0x21
# Lengths of the properties that a CONNACK may have before or after the one we look for; -1: text, -2: pair of texts.
_PROPERTY_LENGTH = {
    0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
    0x12: -1, 0x15: -1, 0x16: -1, 0x1A: -1, 0x1C: -1, 0x1F: -1, 0x26: -2,
}  # fmt: skip


class Wire:
    """One connection to a broker.

    Args:
        url: `mqtt://user:password@host:port` or `mqtts://…`.
        client_id: Its session, which ends with the connection.

    Attributes:
        receive_maximum: Most QoS 1 messages that the broker lets be unacknowledged.
    """

    def __init__(self, url: str, client_id: str) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        plain = socket.create_connection((parts.hostname or "", parts.port or (8883 if secure else 1883)), 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
        )
        self._read = bytearray()
        self._unsent = bytearray()
        self.receive_maximum = 65535
        self._login(client_id, parts.username, parts.password)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Say goodbye and close."""
        self._socket.setblocking(True)
        self._socket.sendall(bytes([_DISCONNECT, 0]))
        self._socket.close()

    def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 0 and wait for the broker's answer."""
        self.send(packet(0x82, (1).to_bytes(2) + b"\0" + text(topic) + b"\0"))
        self.flush()
        for kind, body in self.receive(10.0):
            if kind == _SUBACK:
                if body[-1] >= 0x80:
                    raise CareloopError(f"the broker refuses the subscription to {topic}")
                return
        raise CareloopError(f"the broker does not answer the subscription to {topic}")

    def send(self, packets: bytes | bytearray) -> None:
        """Put packets into the queue, and as much of it as goes into the socket."""
        self._unsent += packets
        self._write()

    def flush(self) -> None:
        """Wait until the queue is empty."""
        while self._unsent:
            select.select([], [self._socket], [], 1.0)
            self._write()

    @property
    def backlog(self) -> int:
        """Bytes that the socket did not take yet."""
        return len(self._unsent)

    def receive(self, wait_s: float) -> Iterator[tuple[int, bytes]]:
        """Packets that are there, type and body; waits for the first."""
        if self._unsent:
            self._write()
        readable, _, _ = select.select([self._socket], [self._socket] if self._unsent else [], [], wait_s)
        if not readable:
            return
        try:
            read = self._socket.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        if not read:
            raise CareloopError("the broker closed a publisher's connection")
        self._read += read
        yield from self._packets()

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        buffer, at = bytes(self._read), 0
        while (found := split(buffer, at)) is not None:
            kind, start, end = found
            at = end
            if kind & 0xF0 == _DISCONNECT:
                raise CareloopError(f"the broker disconnects a publisher: {buffer[start:end].hex()}")
            yield kind & 0xF0, buffer[start:end]
        del self._read[:at]

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return
        del self._unsent[:sent]

    def _login(self, client_id: str, user: str | None, password: str | None) -> None:
        flags = 0x02 | (0xC0 if user else 0)
        login = text(unquote(user)) + text(unquote(password or "")) if user else b""
        variable = text("MQTT") + bytes([5, flags]) + KEEPALIVE_S.to_bytes(2) + b"\0"
        self._socket.sendall(packet(0x10, variable + text(client_id) + login))
        found = None
        while found is None:
            read = self._socket.recv(4096)
            if not read:
                raise CareloopError("the broker refuses a publisher's connection")
            self._read += read
            found = split(bytes(self._read), 0)
        kind, start, end = found
        body = bytes(self._read[start:end])
        del self._read[:end]
        if kind != _CONNACK or body[1] != 0:
            raise CareloopError(f"the broker refuses a publisher's login (reason {body[1]:#x})")
        self.receive_maximum = receive_maximum(body)


def receive_maximum(connack: bytes) -> int:
    """The receive maximum that a CONNACK names, or 65,535."""
    length, at = varint(connack, 2)
    end = at + length
    while at < end:
        name, at = connack[at], at + 1
        if name == _RECEIVE_MAXIMUM:
            return int.from_bytes(connack[at : at + 2])
        size = _PROPERTY_LENGTH.get(name, 0)
        for _ in range(max(1, -size)):
            at += size if size >= 0 else 2 + int.from_bytes(connack[at : at + 2])
    return 65535


def text(value: str) -> bytes:
    """A text with its length before it."""
    encoded = value.encode()
    return len(encoded).to_bytes(2) + encoded


def packet(kind: int, body: bytes) -> bytes:
    """A packet: type and flags, remaining length, body."""
    return bytes([kind]) + length_of(len(body)) + body


def length_of(value: int) -> bytes:
    """A variable byte integer."""
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint(buffer: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer, and where it ends."""
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def split(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """First byte, start and end of the body of the packet that begins at a place; None when it is not all there."""
    size, shift, place = 0, 0, at + 1
    while True:
        if place >= len(buffer):
            return None
        byte = buffer[place]
        place += 1
        size |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return (buffer[at], place, place + size) if place + size <= len(buffer) else None
