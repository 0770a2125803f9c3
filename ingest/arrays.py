"""Arrays of a batch as PostgreSQL takes them in binary: psycopg turns a list into one text by text.

A value of these classes is passed to a statement like any other; `register` teaches a connection how.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

# Number of dimensions, whether there are nulls, type of the elements, length, lower bound; then for each element its
# length and its bytes, big-endian. A null has the length -1.
_HEAD = Struct(">iiIii")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"


class _Array:
    """An array's bytes."""

    element_oid: int

    def __init__(self, length: int, packed: bytes, *, nulls: bool = False) -> None:
        head = _HEAD.pack(1, nulls, self.element_oid, length, 1) if length else _HEAD.pack(0, 0, self.element_oid, 0, 0)
        self.packed = head[:12] if not length else head + packed


class UuidArray(_Array):
    """Of identities of 16 bytes each."""

    element_oid, oid = 2950, 2951

    def __init__(self, identities: Sequence[bytes]) -> None:
        super().__init__(len(identities), b"".join([b"\0\0\0\x10" + identity for identity in identities]))


class IntegerArray(_Array):
    """Of 32-bit integers."""

    element_oid, oid = 23, 1007

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(len(numbers), _fixed("ii", 4, numbers))


class BigintArray(_Array):
    """Of 64-bit integers or nulls."""

    element_oid, oid = 20, 1016

    def __init__(self, numbers: Sequence[int | None]) -> None:
        known = [number for number in numbers if number is not None]
        if len(known) == len(numbers):
            super().__init__(len(known), _fixed("iq", 8, known))
        else:
            each = (_NULL if number is None else _fixed("iq", 8, [number]) for number in numbers)
            super().__init__(len(numbers), b"".join(each), nulls=True)


class TimestampArray(_Array):
    """Of times; those that came at once are one object, which is converted once."""

    element_oid, oid = 1184, 1185

    def __init__(self, times: Sequence[datetime]) -> None:
        counts: list[int] = []
        previous, count = None, 0
        for time in times:
            if time is not previous:
                previous, count = time, (time - _EPOCH) // _MICROSECOND
            counts.append(count)
        super().__init__(len(counts), _fixed("iq", 8, counts))


def _fixed(code: str, size: int, numbers: Sequence[int]) -> bytes:
    fields: list[int] = [size] * (2 * len(numbers))
    fields[1::2] = numbers
    return Struct(">" + code * len(numbers)).pack(*fields)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, array: _Array) -> bytes:
        return array.packed


class _UuidDumper(_ArrayDumper):
    oid = UuidArray.oid


class _IntegerDumper(_ArrayDumper):
    oid = IntegerArray.oid


class _BigintDumper(_ArrayDumper):
    oid = BigintArray.oid


class _TimestampDumper(_ArrayDumper):
    oid = TimestampArray.oid


def register(connection: Connection[Any]) -> None:
    """Let a connection take these arrays."""
    connection.adapters.register_dumper(UuidArray, _UuidDumper)
    connection.adapters.register_dumper(IntegerArray, _IntegerDumper)
    connection.adapters.register_dumper(BigintArray, _BigintDumper)
    connection.adapters.register_dumper(TimestampArray, _TimestampDumper)
