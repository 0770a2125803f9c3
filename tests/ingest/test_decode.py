"""From bytes to readings; whatever the bytes are, there is an answer."""

from datetime import UTC, datetime

import cbor2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careloop.contract.senml import (
    CONTENT_TYPE_CBOR,
    CONTENT_TYPE_JSON,
    Reading,
    SenmlError,
    cbor_labels,
    decode_pack,
    encode_pack,
)
from ingest.decode import Decoded, Delivery, RefusalError, decode, identity_of

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)


def delivery(channel: str, payload: bytes, content_type: str = "", payload_bytes: int | None = None) -> Delivery:
    topic = f"careloop/v1/KW-1/{channel}"
    size = len(payload) if payload_bytes is None else payload_bytes
    return Delivery(topic, payload, size, content_type, NOW, identity_of(topic, payload))


def answer(given_delivery: Delivery) -> str:
    try:
        decode(given_delivery)
    except RefusalError as refusal:
        return refusal.reason if refusal.detail else "no detail"
    return "decoded"


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
sent = st.lists(
    st.builds(
        Reading,
        st.integers(10**9, 2 * 10**9).map(float),
        names,
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["", "bar", "Cel"]),
    ),
    min_size=1,
    max_size=20,
)


@given(sent)
def test_what_the_codec_encodes_comes_back_in_json_and_in_cbor(readings: list[Reading]) -> None:
    pack = encode_pack("KW-1", readings)
    for payload, content_type in (
        (orjson.dumps(pack), CONTENT_TYPE_JSON),
        (cbor2.dumps(cbor_labels(pack)), CONTENT_TYPE_CBOR),
        (orjson.dumps(pack), ""),
        (cbor2.dumps(cbor_labels(pack)), ""),
    ):
        decoded = decode(delivery("telemetry", payload, content_type))
        assert decoded == Decoded("KW-1", readings=readings)


field_values = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text(max_size=5), st.binary(max_size=5)
)
records = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["n", "u", "v", "t", "vb", "vs", "bn", "bt", "bu", "bv", "bver", "s", "ut", "unknown", "must_"]
        ),
        st.one_of(field_values, st.sampled_from(["a", 1, 1.5, 1.7e9])),
        max_size=6,
    ),
    max_size=6,
)


@given(records)
@settings(max_examples=400)
def test_the_fast_path_answers_as_the_general_one(pack: list[dict]) -> None:
    """A field that means nothing sends every record down the general path."""

    def outcome(given_pack):
        try:
            # Compared as text, where NaN equals NaN.
            return repr(decode_pack(given_pack, "KW-1", 1.6e9))
        except SenmlError as error:
            return str(error)

    # Twice, since the fast path serves only metrics that it has seen.
    assert outcome(pack + pack) == outcome([{**record, "meaningless": 0} for record in pack + pack])


@given(
    st.sampled_from(["telemetry", "event", "state"]), st.binary(max_size=60), st.sampled_from(["", "application/cbor"])
)
@settings(max_examples=600)
def test_any_bytes_have_an_answer(channel: str, payload: bytes, content_type: str) -> None:
    assert answer(delivery(channel, payload, content_type)) in {"decoded", "malformed"}


json_values = st.recursive(
    field_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner), max_leaves=8
)


@given(st.sampled_from(["telemetry", "event", "state"]), st.one_of(json_values, records))
@settings(max_examples=400)
def test_any_cbor_has_an_answer(channel: str, value: object) -> None:
    assert answer(delivery(channel, cbor2.dumps(value))) in {"decoded", "malformed"}


def test_numbers_that_json_does_not_have_cost_only_their_own_reading() -> None:
    payload = b'\xef\xbb\xbf[{"bt":1.7e9,"n":"a","v":NaN},{"n":"b","v":-Infinity},{"n":"c","v":1e999},{"n":"d","v":4}]'
    decoded = decode(delivery("telemetry", payload))
    assert [reading.metric for reading in decoded.readings] == ["a", "b", "c", "d"]


def test_readings_without_a_time_are_timed_on_arrival_and_are_no_duplicates() -> None:
    decoded = decode(delivery("telemetry", b'[{"n":"a","v":1},{"n":"a","v":2,"t":-30}]'))
    assert [reading.time_s for reading in decoded.readings] == [NOW.timestamp(), NOW.timestamp() - 30]
    assert decoded.timed_on_arrival
    assert not decode(delivery("telemetry", b'[{"n":"a","v":1,"t":1.7e9}]')).timed_on_arrival
    assert identity_of("t", b"p") == identity_of("t", b"p")
    assert (
        len({identity_of("t", b"p"), identity_of("t", b"p", NOW), identity_of("tp", b""), identity_of("", b"tp")}) == 4
    )


def test_one_wrong_event_of_several_does_not_cost_the_others() -> None:
    payload = orjson.dumps(
        [{"time": 1.7e9, "code": "E1"}, {"time": 1.7e9}, {"time": "2026-06-30T12:00:00Z", "code": "E2"}]
    )
    decoded = decode(delivery("event", payload))
    assert [event.code for event in decoded.events] == ["E1", "E2"]
    assert [bad.place for bad in decoded.bad] == [1]


@pytest.mark.parametrize(
    ("channel", "payload", "told"),
    [
        ("event", b'{"time":1.7e9,"code":"E1","detail":{"a":"x\\u0000"}}', "U+0000"),
        ("state", b'{"online":true,"agent_version":"1\\u0000"}', "agent_version"),
        ("state", b'{"online":1}', "online"),
        ("telemetry", b'{"n":"a","v":1}', "array of records"),
        ("telemetry", b'[{"bn":7}]', "bn must be a text"),
    ],
)
def test_what_is_wrong_is_told(channel: str, payload: bytes, told: str) -> None:
    with pytest.raises(RefusalError, match="malformed") as caught:
        decode(delivery(channel, payload))
    assert told in caught.value.detail


def test_a_backslash_before_u0000_is_text() -> None:
    payload = b'{"time":1.7e9,"code":"E1","detail":{"a":"\\\\u0000"}}'
    assert decode(delivery("event", payload)).events[0].detail == {"a": "\\u0000"}


def test_too_large_and_foreign_topics_are_refused_with_their_reasons() -> None:
    with pytest.raises(RefusalError) as caught:
        decode(delivery("telemetry", b"[" * 10, payload_bytes=9_999_999))
    assert (caught.value.reason, caught.value.detail) == ("too_large", "9999999 bytes; the first 10 are kept")
    for topic in ("careloop/v1/a b/telemetry", "careloop/v1/KW-1/command", "x"):
        with pytest.raises(RefusalError) as caught:
            decode(Delivery(topic, b"[]", 2, "", NOW, identity_of(topic, b"[]")))
        assert caught.value.reason == "bad_topic"
