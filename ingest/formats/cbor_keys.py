"""Whether the maps of a CBOR payload have plain keys, found without making any object of it.

Arrays as keys become tuples, and tuples can be made to collide in Python's hash: then a map takes the square of its
length, a hundred seconds for a megabyte. Texts cannot, since their hash has a secret; of numbers too few can.
"""

from collections.abc import Sequence

_ARRAY, _MAP, _TAG, _SIMPLE = 4, 5, 6, 7
_BREAK = 0xFF
_ENDLESS = 2**62
_LONG_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_TO_THE_BREAK = 31


def _steps() -> Sequence[int]:
    """How long an item is that begins with a byte; 0 when that byte alone does not say."""
    steps = [0] * 256
    for head in range(256):
        major, low = head >> 5, head & 31
        if major in (0, 1, _SIMPLE):
            steps[head] = 1 if low < 24 else 1 + _LONG_LENGTHS[low] if low in _LONG_LENGTHS else 0
        elif major in (2, 3) and low < 24:
            steps[head] = 1 + low
    return steps


_STEPS = _steps()


def require_plain_keys(payload: bytes) -> None:
    """Check the keys. What is malformed in other ways is left to the decoder.

    Raises:
        ValueError: A key is an array, a map or has a tag.
    """
    # Items that each open container still lacks, and whether it is a map; a map's key is due when they are even.
    lacking, is_map = [1], [False]
    place, size = 0, len(payload)
    while place < size and lacking:
        head = payload[place]
        step = _STEPS[head]
        if step:
            place += step
        elif head == _BREAK:
            place += 1
            lacking.pop()
            is_map.pop()
        else:
            major = head >> 5
            if major >= _ARRAY and is_map[-1] and lacking[-1] % 2 == 0:
                raise ValueError("a key of a map is neither a text nor a number")
            place, length = _length(payload, place)
            if major == _TAG:
                continue
            if major in (_ARRAY, _MAP) or length == _ENDLESS:
                lacking.append(length * 2 if major == _MAP and length != _ENDLESS else length)
                is_map.append(major == _MAP)
                _close_full(lacking, is_map)
                continue
            place += length
        if lacking:
            lacking[-1] -= 1
            _close_full(lacking, is_map)


def _length(payload: bytes, place: int) -> tuple[int, int]:
    """Where the content of an item begins, and the length that its head tells."""
    low = payload[place] & 31
    width = _LONG_LENGTHS.get(low, 0)
    begins = place + 1 + width
    if low == _TO_THE_BREAK:
        return begins, _ENDLESS
    return begins, int.from_bytes(payload[place + 1 : begins], "big") if width else low


def _close_full(lacking: list[int], is_map: list[bool]) -> None:
    while lacking and not lacking[-1]:
        lacking.pop()
        is_map.pop()
        if lacking:
            lacking[-1] -= 1
