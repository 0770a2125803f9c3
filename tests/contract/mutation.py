"""Payloads that no device should send: captured ones mutated, and bombs, from a seed."""

import re
from collections.abc import Callable, Iterator
from random import Random

from ingest.decode import Delivery
from tests.contract.conftest import NOW, cases, payload_of

BIG = 2_000
TOPICS = (
    "careloop/v1/KW-1/telemetry", "careloop/v1/KW-1/event", "careloop/v1/KW-1/state", "careloop/v1/KW-1/config",
    "careloop/v1/a b/telemetry", "spBv1.0/G/NBIRTH/gw-7", "spBv1.0/G/NDATA/gw-7", "spBv1.0/G/NDEATH/gw-7",
    "spBv1.0/G/DBIRTH/gw-7/dev-1", "spBv1.0/G/DDATA/gw-7/dev-1", "spBv1.0/G/DDEATH/gw-7/dev-1", "spBv1.0/G/NCMD/n",
    "spBv1.0//NDATA/", "data/KW-1", "v1/gateway/telemetry", "homeassistant/sensor/KW-1/t/config",
    "homeassistant/binary_sensor/t/config", "homeassistant/device/KW-1/config", "homeassistant/sensor/KW-1/t/state",
    "homeassistant/config", "somewhere/else", "", "spBv1.0/G\0/NDATA/n", "data/\0", "some\u202ewhere", "a" * 60_000,
)  # fmt: skip
CONTENT_TYPES = ("", "", "", "application/senml+json", "application/senml+cbor", "text/plain; x", "cbor")
NUMBERS = (
    b"1e999", b"-1e999", b"NaN", b"Infinity", b"-0", b"1e-999", b"9" * 30, b"9" * 5000, b"0." + b"1" * 400, b"-1",
    b"1e308", b"268435455", b"268435456", b"253402300800", b"1e17", b"true", b"null", b'"1"', b"[]", b"{}",
)  # fmt: skip
TEXTS = (
    "\\u0000", "\\ud800", "\u202e", "a" * 200, "/" * 100, "K" * 70, "m/s" * 30, "°C", "%", "Cel*s", "value_json",
    "{{ value_json" + ".a" * 50 + " }}", "{{ value_json" + " " * 200, "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2023-08-20T11:09:47", "1e5", "inf",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TEXT = re.compile(rb'"[^"]*"')
# Bytes that mean much in CBOR and in protobuf: tags, lengths, indefinite containers, references.
SIGNS = bytes.fromhex("c2c3c4c5d81cd81dd823d824d9d9f79b9fbbbf5b5f7bfbf97ff97c00ff80ffffffffffffffffff010a12187a8a9a")


def corpus() -> list[Delivery]:
    """Every captured message."""
    return [
        _delivery(message["topic"], payload_of(message), message.get("content_type", ""))
        for _, case in cases()
        for message in case["messages"]
    ]


def mutations(seed: int) -> Iterator[Delivery]:
    """Deliveries without end, the same ones for the same seed."""
    random = Random(seed)
    originals = corpus()
    while True:
        original = random.choice(originals)
        payload = original.payload
        for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
            payload = random.choice(MUTATORS)(payload, random)
        payload = payload[:200_000]
        if random.random() < 0.05:
            payload = random.choice(BOMBS)(random)
        if random.random() < 0.05:
            payload = random.choice(originals).payload[: random.randrange(40)] + payload
        topic = random.choice(TOPICS) if random.random() < 0.25 else original.topic
        content_type = random.choice(CONTENT_TYPES) if random.random() < 0.2 else original.content_type
        yield _delivery(topic, payload, content_type)


def _delivery(topic: str, payload: bytes, content_type: str) -> Delivery:
    from ingest.decode import identity_of

    return Delivery(topic, payload, len(payload), content_type, NOW, identity_of(topic, payload))


def _flip(payload: bytes, random: Random) -> bytes:
    changed = bytearray(payload)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncate(payload: bytes, random: Random) -> bytes:
    return payload[: random.randrange(len(payload) + 1)]


def _insert(payload: bytes, random: Random) -> bytes:
    place = random.randrange(len(payload) + 1)
    return payload[:place] + random.randbytes(random.choice((1, 2, 4, 9, 64))) + payload[place:]


def _insert_sign(payload: bytes, random: Random) -> bytes:
    place, start = random.randrange(len(payload) + 1), random.randrange(len(SIGNS))
    return payload[:place] + SIGNS[start : start + random.choice((1, 2, 3, 9))] + payload[place:]


def _splice(payload: bytes, random: Random) -> bytes:
    other = random.choice(corpus_payloads())
    return payload[: random.randrange(len(payload) + 1)] + other[random.randrange(len(other) + 1) :]


def _repeat(payload: bytes, random: Random) -> bytes:
    start = random.randrange(len(payload) + 1)
    part = payload[start : start + random.randrange(1, 40)]
    return payload[:start] + part * random.choice((2, 3, 100)) + payload[start:]


def _cut_out(payload: bytes, random: Random) -> bytes:
    start = random.randrange(len(payload) + 1)
    return payload[:start] + payload[start + random.choice((1, 2, 10)) :]


def _replace_number(payload: bytes, random: Random) -> bytes:
    return _replace(_NUMBER, payload, random.choice(NUMBERS), random)


def _replace_text(payload: bytes, random: Random) -> bytes:
    return _replace(_TEXT, payload, b'"' + random.choice(TEXTS).encode() + b'"', random)


def _replace_with_nesting(payload: bytes, random: Random) -> bytes:
    depth = random.choice((2, 9, 40, BIG))
    nested = random.choice((b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
    return _replace(_NUMBER, payload, nested, random)


def _replace(pattern: re.Pattern[bytes], payload: bytes, new: bytes, random: Random) -> bytes:
    found = list(pattern.finditer(payload))
    if not found:
        return payload
    match = random.choice(found)
    return payload[: match.start()] + new + payload[match.end() :]


MUTATORS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _truncate, _insert, _insert_sign, _splice, _repeat, _cut_out, _replace_number, _replace_number,
    _replace_text, _replace_with_nesting,
)  # fmt: skip

_payloads: list[bytes] = []


def corpus_payloads() -> list[bytes]:
    if not _payloads:
        _payloads.extend(delivery.payload for delivery in corpus())
    return _payloads


def _random_bytes(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 2, 5, 20, 300)))


def _many_references(random: Random) -> bytes:
    """A CBOR event that unfolds to ten to the power of its levels."""
    levels = [b"\xd8\x1c\x82\x01\x01"]
    levels += [b"\xd8\x1c\x8a" + (b"\xd8\x1d" + bytes([level])) * 10 for level in range(random.randrange(1, 20))]
    unfolding = bytes([0x80 + len(levels)]) + b"".join(levels)
    return b"\xa3\x64time\x1a\x65\x53\xf1\x00\x64code\x61E\x66detail\xa1\x61x" + unfolding


def _huge_integer(random: Random) -> bytes:
    length = random.choice((9, 300, 9000))
    number = random.choice((b"\xc2", b"\xc3")) + b"\x59" + length.to_bytes(2, "big") + b"\xff" * length
    return (
        random.choice((b"\xa2\x64code\x61E\x64time", b"\x81\xa2\x00\x61a\x02", b"\x81\xa3\x00\x61a\x02\x01\x20"))
        + number
    )


def _expression(random: Random) -> bytes:
    return b"\x81\xa2\x00\x61a\x02\xd8\x23" + b"\x78\x1e" + (b"(a+)+" * 6)[:30]


def _deep(random: Random) -> bytes:
    depth = random.choice((33, 1000, 60_000))
    return random.choice((b"[", b'{"a":', b"\x81", b"\xa1\x61a", b"\xd9\xd9\xf7", b"\x9f", b"\x12\x02")) * depth


def _many_keys(random: Random) -> bytes:
    return b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(random.choice((10, 3000)))) + b"}"


def _many_units(random: Random) -> bytes:
    """Each of them has to be looked up; and a shape of its own."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    units = [random.choice(letters) + "/" + "".join(random.choices(letters, k=3)) for _ in range(4000)]
    records = ['{"bn":"KW-1/","bt":1.7e9,"n":"a","u":"bar","v":1}']
    records += [f'{{"n":"a","u":"{unit}","v":1}}' for unit in units]
    return ("[" + ",".join(records) + "]").encode()


def _protobuf_lengths(random: Random) -> bytes:
    return (
        bytes([0x12])
        + random.choice((b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x80" * 12, b"\x7f"))
        + b"\x0a\x01a"
    )


def _numbers_of_protobuf(random: Random) -> bytes:
    varint = random.choice((b"\xff" * 9 + b"\x01", b"\x00", b"\x80\x80\x01"))
    metric = b"\x0a\x05bdSeq" + bytes([random.choice((0x10, 0x18, 0x20, 0x50, 0x58))]) + varint
    metric += random.choice((b"", b"\x69\x00\x00\x00\x00\x00\x00\xf8\x7f", b"\x65\x00\x00\x80\x7f"))
    return b"\x08" + varint + b"\x12" + bytes([len(metric)]) + metric + b"\x18" + varint


BOMBS: tuple[Callable[[Random], bytes], ...] = (
    _random_bytes, _random_bytes, _many_references, _huge_integer, _expression, _deep, _many_keys, _many_units,
    _protobuf_lengths, _numbers_of_protobuf,
)  # fmt: skip
