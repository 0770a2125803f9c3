"""Foreign bytes to Python values, in bounded time and memory, or one error that says what is wrong."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import cbor2
import orjson

from ingest.delivery import RefusalError
from ingest.formats.cbor_keys import require_plain_keys

# A pack of records is two deep, an event's detail a little more.
_DEEPEST_CBOR = 32
_LONGEST_DETAIL = 300
# Below it, keys made to collide cost less than half a second, and looking for them would cost every message.
_LARGE_CBOR = 50_000
# Beyond it, no 64-bit float follows from any mantissa that fits 64 bits.
_LARGEST_EXPONENT = 400


def parse_json(payload: bytes) -> Any:
    """A JSON value; also what real devices send beyond JSON: a byte order mark, NaN and Infinity.

    Raises:
        RefusalError: `malformed`.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        refusal = error
    if not payload:
        raise RefusalError("malformed", "the payload is empty")
    try:
        # Python's own parser takes NaN and Infinity: the other readings are kept.
        return json.loads(payload.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # orjson's words tell more of what a sender meant to be JSON.
        raise RefusalError("malformed", f"not JSON: {refusal}"[:_LONGEST_DETAIL]) from refusal


def parse_cbor(payload: bytes) -> Any:
    """A CBOR value without the tags that make bombs: references, regular expressions, huge integers and more.

    Raises:
        RefusalError: `malformed`.
    """
    if not payload:
        raise RefusalError("malformed", "the payload is empty")
    try:
        if len(payload) > _LARGE_CBOR:
            require_plain_keys(payload)
        return cbor2.loads(payload, semantic_decoders=_DECODERS, max_depth=_DEEPEST_CBOR)
    # Foreign bytes can make a decoder fail in ways its documentation does not list. Whatever it is, it is the
    # sender's, and must not stop the stream.
    except Exception as error:
        why = str(error.__cause__ or error) or type(error).__name__
        raise RefusalError("malformed", f"not CBOR: {why}"[:_LONGEST_DETAIL]) from error


def _refused(tag: int) -> Callable[[Any, bool], Any]:
    def refuse(_value: Any, _immutable: bool) -> Any:
        raise ValueError(f"tag {tag} is not taken from machines")

    return refuse


def _decimal_fraction(value: Any, _immutable: bool) -> float:
    """Tag 4, with which SenML may write its numbers (RFC 8428 section 6): mantissa × 10 ** exponent."""
    exponent, mantissa = value
    if type(exponent) is not int or type(mantissa) is not int or abs(exponent) > _LARGEST_EXPONENT:
        raise ValueError("tag 4 is not a decimal fraction that fits a 64-bit float")
    # By way of text, which rounds once and correctly.
    return float(f"{mantissa}e{exponent}")


# Every tag that cbor2 would decode by itself, but for the mark of CBOR (55799). 2, 3 and 5 can make integers of a
# million digits, 28 and 29 make a kilobyte expand to more than the universe holds, 35 compiles regular expressions.
_TAGS = (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000)
_DECODERS: Mapping[int, Callable[[Any, bool], Any]] = {4: _decimal_fraction, **{tag: _refused(tag) for tag in _TAGS}}
