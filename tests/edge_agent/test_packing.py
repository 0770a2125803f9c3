import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careloop.contract.messages import Event
from careloop.contract.senml import CONTENT_TYPE_JSON, Reading, decode_pack, encode_pack
from careloop.contract.topics import TopicError
from edge_agent.packing import Packer, halve, merge
from edge_agent.sources.source import Row

UNITS = {"pressure": "bar", 'Δ"t\\': "degC"}


def packer(max_readings: int = 500) -> Packer:
    return Packer(max_readings, lambda _serial: UNITS)


@given(
    st.lists(
        st.tuples(
            st.floats(2**28, 4e9),
            st.dictionaries(
                st.sampled_from(["pressure", 'Δ"t\\', "plain"]), st.floats(allow_nan=False, allow_infinity=False)
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_message_is_the_contract_s_pack(rows):
    ours = packer()
    ours.add_rows([Row("KW-1", time_s, values) for time_s, values in rows])
    readings = [
        Reading(time_s, metric, value, UNITS.get(metric, ""))
        for time_s, values in rows
        for metric, value in values.items()
    ]
    messages = ours.finish()
    if not readings:
        assert messages == []
        return
    (message,) = messages
    assert (message.topic, message.content_type, message.readings) == (
        "careloop/v1/KW-1/telemetry",
        CONTENT_TYPE_JSON,
        len(readings),
    )
    records = json.loads(message.payload)
    base = rows[0][0]
    # The codec counts from the first reading, ours from the first row; they mean the same.
    decoded, bad = decode_pack(records, "KW-1", 0.0)
    expected, _ = decode_pack(encode_pack("KW-1", readings), "KW-1", 0.0)
    assert not bad
    assert records[0]["bt"] == base
    assert [(r.metric, r.value, r.unit) for r in decoded] == [(r.metric, r.value, r.unit) for r in expected]
    assert [r.time_s for r in decoded] == pytest.approx([r.time_s for r in expected], abs=2e-6)


def test_the_text_is_the_contract_s_to_the_byte():
    ours = packer()
    ours.add_rows([Row("KW-1", 1.7e9, {"pressure": 98.5, "plain": 1.0}), Row("KW-1", 1.7e9 + 60, {"pressure": 98.0})])
    assert ours.finish()[0].payload == (
        b'[{"bn":"KW-1/","bt":1700000000,"n":"pressure","u":"bar","v":98.5},{"n":"plain","v":1.0},'
        b'{"n":"pressure","u":"bar","t":60,"v":98.0}]'
    )


def test_each_asset_has_its_message_and_a_full_one_is_closed():
    ours = packer(max_readings=3)
    ours.add_rows([Row(serial, 1.7e9 + i, {"a": 1.0, "b": 2.0}) for i in range(3) for serial in ("X", "Y")])
    assert sorted((m.topic, m.readings) for m in ours.finish()) == [
        ("careloop/v1/X/telemetry", 2),
        ("careloop/v1/X/telemetry", 4),
        ("careloop/v1/Y/telemetry", 2),
        ("careloop/v1/Y/telemetry", 4),
    ]
    assert ours.finish() == []


def test_what_cannot_be_sent_is_refused_and_counted_and_the_rest_goes():
    ours = packer()
    odd = {"nan": math.nan, "inf": -math.inf, "text": "12", "none": None, "huge": 10**400, "": 1.0, "x" * 129: 1.0}
    taken, refused = ours.add_rows(
        [
            Row("KW-1", 1.7e9, odd | {"good": 1.0, "whole": 3, "truth": True}),
            Row("KW-1", 0.0, {"unset_clock": 1.0}),
            Row("KW-1", math.nan, {"no_clock": 1.0}),
            Row("no such/topic", 1.7e9, {"a": 1.0, "b": 2.0}),
        ]
    )
    assert (taken, refused) == (3, len(odd) + 4)
    assert {record["n"]: record["v"] for record in json.loads(ours.finish()[0].payload)} == {
        "good": 1.0,
        "whole": 3.0,
        "truth": 1.0,
    }


def test_an_event_is_a_message_of_its_own():
    ours = packer()
    event = Event(datetime(2026, 1, 1, tzinfo=UTC), "E04", "error", {"step": 3})
    ours.add_event("KW-1", event)
    (message,) = ours.finish()
    assert (message.kind, message.topic, message.readings) == ("event", "careloop/v1/KW-1/event", 0)
    assert Event.from_json(json.loads(message.payload)) == event


def test_an_event_that_no_topic_or_json_can_carry_is_an_error():
    with pytest.raises(TopicError, match="KW/1"):
        packer().add_event("KW/1", Event(datetime(2026, 1, 1, tzinfo=UTC), "E04"))
    with pytest.raises(ValueError, match="JSON"):
        packer().add_event("KW-1", Event(datetime(2026, 1, 1, tzinfo=UTC), "E04", detail={"x": math.nan}))


def test_halves_say_the_same_readings_down_to_single_ones_also_of_merged_messages():
    ours, packs = packer(), []
    for begin_s in (1.7e9, 1.71e9 + 0.5):
        ours.add_rows([Row("KW-1", begin_s + 60 * n, {"pressure": n + 0.1, "plain": -n}) for n in range(5)])
        packs += ours.finish()
    ((_, whole),) = merge([(1, packs[0]), (2, packs[1])], 500, 1 << 20)
    said = decode_pack(json.loads(whole.payload), "KW-1", 0.0)[0]
    assert len(said) == whole.readings == 20
    parts = [whole]
    while any(halve(part) for part in parts):
        parts = [half for part in parts for half in halve(part) or [part]]
        assert sum(part.readings for part in parts) == 20
    assert [part.readings for part in parts] == [1] * 20
    assert [reading for part in parts for reading in decode_pack(json.loads(part.payload), "KW-1", 0.0)[0]] == said


def test_what_is_no_json_telemetry_is_not_halved():
    ours = packer()
    ours.add_event("KW-1", Event(datetime(2026, 1, 1, tzinfo=UTC), "E1"))
    assert halve(ours.finish()[0]) == []
    cbor = Packer(500, lambda _serial: {}, wire_format="cbor")
    cbor.add_rows([Row("KW-1", 1.7e9, {"a": 1.0, "b": 2.0})])
    assert halve(cbor.finish()[0]) == []
