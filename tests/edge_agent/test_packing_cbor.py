import json
from decimal import Decimal
from typing import Any

import cbor2
from hypothesis import example, given
from hypothesis import strategies as st

from careloop.contract.senml import CBOR_LABELS, CONTENT_TYPE_CBOR, Reading, decode_pack
from edge_agent.packing import Message, Packer, merge
from edge_agent.packing_cbor import to_cbor
from edge_agent.sources.source import Row
from ingest.formats.parsing import parse_cbor

UNITS = {"pressure": "bar", "Δt": "K"}


def plain(number: Any) -> float:
    assert isinstance(number, int | float | Decimal)
    return float(number)


def records_of(payload: bytes) -> list[dict[str, Any]]:
    """By the reference library, and by what reads it in the end, which agree."""
    by_library = [{CBOR_LABELS[label]: value for label, value in record.items()} for record in cbor2.loads(payload)]
    by_ingest = [{CBOR_LABELS[label]: value for label, value in record.items()} for record in parse_cbor(payload)]
    for record, same in zip(by_library, by_ingest, strict=True):
        assert record.keys() == same.keys()
        for name, value in record.items():
            if isinstance(value, str):
                assert same[name] == value
            else:
                record[name] = plain(value)
                assert plain(same[name]) == record[name]
    return by_library


def readings_of(message: Message) -> list[Reading]:
    readings, bad = decode_pack(records_of(message.payload), message.topic.split("/")[2], 0.0)
    assert not bad
    return readings


@example(-0.0)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60).map(float))
def test_a_number_is_the_same_to_the_last_bit(value: float):
    (record,) = records_of(to_cbor([{"n": "a", "v": value}]))
    assert (record["v"], str(record["v"])) == (value, str(value))


def test_numbers_take_the_shortest_form():
    sizes = {
        value: len(to_cbor([{"v": value}])) - 4 for value in (0.0, 23.0, -200.0, 0.5, 20.07, 1 / 3, 1e300, 2.0**-20)
    }
    assert sizes == {0.0: 1, 23.0: 1, -200.0: 2, 0.5: 4, 20.07: 6, 1 / 3: 9, 1e300: 9, 2.0**-20: 5}


@given(
    st.lists(
        st.tuples(
            st.integers(1_700_000_000_000, 1_700_000_100_000).map(lambda milliseconds: milliseconds / 1000),
            st.dictionaries(st.sampled_from(["pressure", "Δt", "plain"]), st.floats(-1e6, 1e6), min_size=1),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 4),
)
def test_the_same_readings_as_in_json_also_when_merged(rows: list[tuple[float, dict[str, float]]], most: int):
    said: dict[str, list[Reading]] = {}
    for wire_format in ("json", "cbor"):
        packer = Packer(most, lambda _serial: UNITS, wire_format)
        packer.add_rows([Row("KW-1", time_s, values) for time_s, values in rows])
        (merged,) = [message for _, message in merge(list(enumerate(packer.finish())), 1000, 1 << 20)]
        if wire_format == "json":
            said["json"], _ = decode_pack(json.loads(merged.payload), "KW-1", 0.0)
            size_bytes = len(merged.payload)
        else:
            assert merged.content_type == CONTENT_TYPE_CBOR
            said["cbor"] = readings_of(merged)
            assert len(merged.payload) < size_bytes
    assert said["cbor"] == said["json"]


def test_telemetry_of_both_formats_is_not_mixed():
    messages = []
    for wire_format in ("json", "cbor"):
        packer = Packer(10, lambda _serial: {}, wire_format)
        packer.add_rows([Row("KW-1", 1.7e9, {"a": 1.0})])
        messages += packer.finish()
    assert [message for _, message in merge(list(enumerate(messages)), 10, 1000)] == messages


def test_a_third_fewer_bytes_for_what_sensors_say():
    sizes = []
    for wire_format in ("json", "cbor"):
        packer = Packer(500, lambda _serial: {}, wire_format)
        rows = [
            Row("KW-1", 1.7e9 + s, {f"metric_{m:02d}": round(20 + m + s / 100, 2) for m in range(20)})
            for s in range(25)
        ]
        packer.add_rows(rows)
        sizes.append(len(packer.finish()[0].payload))
    assert sizes[1] < 0.67 * sizes[0]
