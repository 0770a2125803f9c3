"""What the edge agent puts on the wire fits the AsyncAPI document, and ingest reads out of it what was put in."""

import json
from datetime import UTC, datetime

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from careloop.contract.messages import AgentState, Event
from careloop.contract.senml import Reading, text_labels
from edge_agent.birth import birth
from edge_agent.config import EdgeConfig
from edge_agent.packing import Packer, merge
from ingest.decode import decode
from tests.contract.conftest import delivery_of
from tests.contract.test_asyncapi import DOCUMENT, schema

UNITS = {"pressure": "bar", "temperature": "Cel"}
metrics = st.sampled_from(["pressure", "temperature", "running_hours", "Schaltspiele/Ü 1", 'quoted "x"'])
values = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))
rows = st.lists(
    st.tuples(
        st.just("KW-1"),
        st.integers(1_600_000_000_000, 1_900_000_000_000).map(lambda time_ms: time_ms / 1000),
        st.dictionaries(metrics, values, min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=12,
)


@given(rows, st.integers(1, 10), st.integers(1, 100), st.sampled_from(["json", "cbor"]))
def test_readings_arrive_as_they_were_taken(
    given_rows: list, max_readings: int, merged_readings: int, wire_format: str
) -> None:
    packer = Packer(max_readings, lambda _: UNITS, wire_format)
    taken, refused = packer.add_rows(given_rows)
    messages = [message for _, message in merge(enumerate(packer.finish()), merged_readings, 100_000)]
    found: list[Reading] = []
    for message in messages:
        json_records = (
            json.loads(message.payload) if wire_format == "json" else text_labels(cbor2.loads(message.payload))
        )
        assert schema("senmlPack").is_valid(json_records)
        decoded = decode(delivery_of(message.topic, message.payload, message.content_type))
        assert (decoded.serial, decoded.bad, decoded.timed_on_arrival) == ("KW-1", [], False)
        found += decoded.readings
    wanted = [
        Reading(time_s, metric, float(value), UNITS.get(metric, ""))
        for _, time_s, row in given_rows
        for metric, value in row.items()
    ]
    assert (taken, refused) == (len(wanted), 0)
    # Times within a pack are relative, rounded to a microsecond.
    assert [reading[1:] for reading in found] == [reading[1:] for reading in wanted]
    assert all(abs(one.time_s - other.time_s) < 2e-6 for one, other in zip(found, wanted, strict=True))


@given(
    st.integers(946684800, 4102444800), st.text(max_size=20), st.dictionaries(st.text(max_size=9), values, max_size=3)
)
def test_events_arrive_as_they_were_taken(time_s: int, text: str, detail: dict) -> None:
    event = Event(datetime.fromtimestamp(time_s, UTC), "E04", "error", {"text": text.replace("\0", ""), **detail})
    packer = Packer(10, lambda _: {})
    packer.add_event("KW-1", event)
    (message,) = packer.finish()
    assert schema("event").is_valid(json.loads(message.payload))
    if not any("\0" in name for name in detail):
        decoded = decode(delivery_of(message.topic, message.payload, message.content_type))
        assert [(found.time, found.code, found.severity, dict(found.detail)) for found in decoded.events] == [
            (event.time, event.code, event.severity, dict(event.detail))
        ]


def test_the_document_names_what_an_agent_says_of_itself() -> None:
    config = EdgeConfig.model_validate({"sources": [{"kind": "simulator", "interval_s": 60.0}]})
    said = birth(config, datetime(2026, 6, 30, tzinfo=UTC))
    state = AgentState(True, "0.1.0", {**said, "clock_skew_s": None, "gateway": "gw-1"})
    assert schema("state").is_valid(state.to_json())
    named = DOCUMENT["components"]["schemas"]["state"]["properties"]["detail"]["properties"]
    assert said.keys() <= named.keys()
    assert said["capabilities"].keys() == named["capabilities"]["properties"].keys()
