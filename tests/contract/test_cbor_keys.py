"""Maps whose keys collide are refused before they are made; all others pass."""

import contextlib
import time

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode import RefusalError
from ingest.formats.cbor_keys import require_plain_keys
from ingest.formats.parsing import parse_cbor

scalars = st.one_of(
    st.integers(-(2**64), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=40),
    st.binary(max_size=40),
)
keys = st.one_of(st.integers(-30, 2**40), st.text(max_size=30))
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)

# CPython's hash of a pair of small integers (Objects/tupleobject.c), to make pairs of one hash.
_1, _2, _5, _MASK = 11400714785074694791, 14029467366897019727, 2870177450012600261, 2**64 - 1


def colliding(count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    first = 1
    wanted = (0x1234567890ABCDEF - (2 ^ (_5 ^ 3527539))) & _MASK
    while len(found) < count:
        mixed = (_5 + first * _2) & _MASK
        mixed = ((mixed << 31) | (mixed >> 33)) * _1 & _MASK
        turned = wanted * pow(_1, -1, 2**64) & _MASK
        second = (((turned >> 31) | (turned << 33)) - mixed) * pow(_2, -1, 2**64) & _MASK
        if second < 2**61 - 1:
            found.append((first, second))
        first += 1
    return found


@given(plain)
@settings(max_examples=300)
def test_plain_keys_pass(value: object) -> None:
    require_plain_keys(cbor2.dumps(value))


@given(plain, plain, st.sampled_from([(1, 2), (), ((1,), 2)]))
def test_other_keys_are_found_wherever_they_are(before: object, after: object, key: tuple) -> None:
    hidden = cbor2.dumps([before, {"a": {1: before, key: after}}, after])
    with pytest.raises(ValueError, match="a key of a map"):
        require_plain_keys(hidden)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_looked_through(payload: bytes) -> None:
    # ValueError is its only answer but for silence.
    with contextlib.suppress(ValueError):
        require_plain_keys(payload)


@pytest.mark.parametrize(
    "around", [b"%s", b"\x82\x01%s", b"\xa1\x61a%s", b"\xbf\x61a\xd9\xd9\xf7%s\xff", b"\x9f\x5f\x41a\xff%s\xff"]
)
def test_keys_made_to_collide_cost_nothing(around: bytes) -> None:
    pairs = colliding(5000)
    assert len({hash(pair) for pair in pairs}) == 1, "CPython hashes pairs in another way now: craft others"
    bomb = b"\xba" + len(pairs).to_bytes(4, "big") + b"".join(cbor2.dumps(list(pair)) + b"\x00" for pair in pairs)
    started = time.thread_time()
    with pytest.raises(RefusalError, match="a key of a map"):
        parse_cbor(around % bomb)
    assert time.thread_time() - started < 0.1
