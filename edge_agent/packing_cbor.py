"""SenML as CBOR (RFC 8428 section 6): a third fewer bytes than JSON, for links that are paid by the byte.

Written here since a device should need no library for it: what a pack of readings needs of CBOR (RFC 8949) is small.
Numbers take the shortest form that says exactly the same: an integer, a decimal fraction, a float of four or eight
bytes. The array has no length in front, so that packs are joined without reading them.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

from careloop.contract.senml import CBOR_NUMBERS

_ARRAY_BEGINS, _ARRAY_ENDS = b"\x9f", b"\xff"
_UNSIGNED, _NEGATIVE, _TEXT, _MAP = 0, 1, 3, 5
_DECIMAL_FRACTION = b"\xc4\x82"
_LONGEST_MANTISSA = 2**32
# Integers below it are floats exactly.
_EXACT = 2**53


def to_cbor(records: Iterable[Mapping[str, str | float]]) -> bytes:
    """A pack of records with SenML's names, texts and numbers for values.

    >>> to_cbor([{"n": "a", "v": 20.5}]).hex()
    '9fa200616102fa41a40000ff'
    """
    return b"".join([_ARRAY_BEGINS, *map(_record, records), _ARRAY_ENDS])


def join_cbor(payloads: Sequence[bytes], base_name: str) -> bytes:
    """Packs of one base name as one; it stays in force, so that only the first needs to say it."""
    first, *others = payloads
    said = _integer(CBOR_NUMBERS["bn"]) + _text(base_name)
    parts = [first[:-1]]
    for payload in others:
        # After the array's mark and the head of the first map, whose low bits are its length.
        if payload.startswith(said, 2):
            parts.append(bytes([payload[1] - 1]) + payload[2 + len(said) : -1])
        else:
            parts.append(payload[1:-1])
    return b"".join(parts) + _ARRAY_ENDS


def _record(record: Mapping[str, str | float]) -> bytes:
    parts = [_head(_MAP, len(record))]
    for name, value in record.items():
        parts += (_integer(CBOR_NUMBERS[name]), _text(value) if isinstance(value, str) else _number(value))
    return b"".join(parts)


def _head(kind: int, argument: int) -> bytes:
    """RFC 8949 section 3: the kind in the high bits, the argument in the low ones or the bytes that follow."""
    high = kind << 5
    if argument < 24:
        return bytes([high | argument])
    for low, form, bound in ((24, ">BB", 2**8), (25, ">BH", 2**16), (26, ">BI", 2**32)):
        if argument < bound:
            return struct.pack(form, high | low, argument)
    return struct.pack(">BQ", high | 27, argument)


def _text(text: str) -> bytes:
    content = text.encode()
    return _head(_TEXT, len(content)) + content


def _integer(value: int) -> bytes:
    return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)


def _number(value: float) -> bytes:
    text = repr(value)
    if value == int(value) and abs(value) < _EXACT and text != "-0.0":
        return _integer(int(value))
    try:
        four = struct.pack(">Bf", 0xFA, value)
    except OverflowError:
        four = b""
    eight = struct.pack(">Bd", 0xFB, value)
    best = four if four and struct.unpack(">f", four[1:])[0] == value else eight
    whole, _, fraction = text.partition(".")
    # A decimal fraction has no negative zero.
    if "e" not in text and text != "-0.0" and abs(mantissa := int(whole + fraction)) < _LONGEST_MANTISSA:
        decimal = _DECIMAL_FRACTION + _integer(-len(fraction)) + _integer(mantissa)
        best = min(best, decimal, key=len)
    return best
