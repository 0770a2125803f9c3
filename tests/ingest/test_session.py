"""Packets taken apart, wherever the network cuts them; what paho itself would make of them is the measure."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.session import MalformedError, Session, properties_of

SUCCESS, PROTOCOL = MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_PROTOCOL
MQTT5 = {"protocol": MQTTProtocolVersion.MQTTv5, "manual_ack": True}


class Fed(Session):
    """A session whose network is a list of chunks."""

    def __init__(self) -> None:
        self.arrived = []
        self.handed_over = []
        self.chunks = []
        super().__init__(CallbackAPIVersion.VERSION2, on_arrivals=self.arrived.extend, **MQTT5)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.chunks:
            raise BlockingIOError
        return self.chunks.pop(0)

    def _packet_handle(self) -> MQTTErrorCode:
        self.handed_over.append((self._in_packet["command"], bytes(self._in_packet["packet"]), len(self.arrived)))
        return SUCCESS

    def feed(self, chunks: list[bytes]) -> MQTTErrorCode:
        self.chunks = [chunk for chunk in chunks if chunk]
        result = SUCCESS
        while self.chunks and result == SUCCESS:
            result = self._packet_read()
        return result


class Sending(Client):
    """paho as a source of packets."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.packets = []

    def _packet_queue(self, command, packet, mid, qos, info=None) -> MQTTErrorCode:
        self.packets.append(bytes(packet))
        return SUCCESS

    def packet_of(self, message) -> bytes:
        topic, payload, qos, told = message
        properties = Properties(PacketTypes.PUBLISH)
        for name, value in told.items():
            setattr(properties, name, value)
        self._sock = object()  # it must seem to be connected
        self._send_publish(7 if qos else 0, topic.encode(), payload, qos, False, False, None, properties)
        self._sock = None
        return self.packets.pop()


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
told = st.fixed_dictionaries(
    {},
    optional={
        "ContentType": words,
        "ResponseTopic": words,
        "CorrelationData": st.binary(max_size=20),
        "UserProperty": st.lists(st.tuples(words, words), min_size=1, max_size=2),
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "SubscriptionIdentifier": st.lists(st.integers(1, 2**28 - 1), min_size=1, max_size=1),
    },
)
messages = st.tuples(words.filter(bool), st.binary(max_size=400), st.integers(0, 1), told)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, min_size=1, max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_messages_arrive_whole_however_they_are_cut(sent, places) -> None:
    source, session = Sending(), Fed()
    stream = b"".join(source.packet_of(message) for message in sent)
    assert session.feed(cut(stream, places)) == SUCCESS
    assert [
        (arrival.topic.decode(), arrival.payload, arrival.qos, arrival.mid, arrival.told) for arrival in session.arrived
    ] == [
        (topic, payload, qos, 7 if qos else 0, (told.get("ContentType", ""), told.get("ResponseTopic", "")))
        for topic, payload, qos, told in sent
    ]


def test_a_large_message_in_small_pieces() -> None:
    session, payload = Fed(), bytes(3_000_000)
    stream = Sending().packet_of(("t", payload, 1, {}))
    assert session.feed([stream[at : at + 1400] for at in range(0, len(stream), 1400)]) == SUCCESS
    assert [arrival.payload for arrival in session.arrived] == [payload]


def test_other_packets_are_pahos_and_keep_their_place() -> None:
    session = Fed()
    publish = Sending().packet_of(("t", b"p", 0, {}))
    pingresp, suback, qos_2 = b"\xd0\x00", b"\x90\x04\x00\x01\x00\x01", b"\x34\x07\x00\x01t\x00\x05\x00p"
    assert session.feed([publish + pingresp + publish + suback[:3], suback[3:] + qos_2]) == SUCCESS
    assert session.handed_over == [(0xD0, b"", 1), (0x90, suback[2:], 2), (0x34, qos_2[2:], 2)]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\x05\x00\x01t\x09\x01",  # properties longer than the packet
        b"\x30\x06\x00\x01t\x02\x7f\x00",  # no such property
        b"\x30\x07\x00\x01t\x03\x03\x00\x05",  # a text longer than the properties
        b"\x30\x02\x00\x09",  # a topic longer than the packet
    ],
)
def test_what_is_not_mqtt_ends_the_connection(packet: bytes) -> None:
    assert Fed().feed([packet]) == PROTOCOL


@given(st.binary(max_size=60))
def test_any_bytes_are_properties_or_malformed(encoded: bytes) -> None:
    with suppress(MalformedError, IndexError, UnicodeDecodeError):
        properties_of(encoded)


def test_acknowledgements_are_one_piece() -> None:
    sent = []
    session = Fed()
    session._packet_queue = lambda command, packet, mid, qos: sent.append((command, packet))
    session.acknowledge([1, 2, 0x1234])
    session.acknowledge([])
    assert sent == [(0x40, b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x12\x34")]


def test_paho_still_has_what_is_replaced() -> None:
    for name in ("_packet_read", "_packet_handle", "_packet_queue", "_sock_recv", "reconnect"):
        assert callable(getattr(Client, name))
