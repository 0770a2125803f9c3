"""The quick ways for what nearly all messages are say the same as the general ones."""

import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careloop.contract.senml import Columns, Reading, SenmlError, _columns, _one_by_one, decode_pack
from careloop.database.engine import connect
from ingest.arrays import BigintArray, IntegerArray, TimestampArray, UuidArray, register
from ingest.rows import Rows, Sorter
from ingest.validate import Metric, span_as_of, validate_readings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPAN = span_as_of(NOW, future=timedelta(days=1), keep=None)
METRICS = {"temperature": Metric(3, "Cel"), "pressure": Metric(4, "bar"), "level": Metric(5, "")}

odd = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text(max_size=3), st.just("a" * 200),
    st.just({}), st.lists(st.integers(), max_size=1),
)  # fmt: skip
times = st.one_of(st.sampled_from([0, 0.5, 60, -3.25]), st.floats(-1e6, 1e6))
plain = st.fixed_dictionaries(
    {"n": st.sampled_from(["temperature", "pressure", "x y"]), "v": st.one_of(st.floats(-1e9, 1e9), st.integers())},
    optional={
        "t": times,
        "u": st.sampled_from(["Cel", "bar", ""]),
        "bt": st.sampled_from([1.6e9, 1_650_000_000.25, 1.7e9, 5, -1.7e9, None]),
    },
)
heads = st.fixed_dictionaries(
    {"bn": st.sampled_from(["KW-1/", "KW-1/", "KW-1/", "KW-2/", "urn:dev:KW-1:", ""]), "n": st.just("temperature"),
     "v": st.floats(0, 1), "bt": st.sampled_from([1.7e9, 1_700_000_000, 1.7e9, 0, float("nan")])},
    optional={"t": times, "u": st.just("Cel")},
)  # fmt: skip


@st.composite
def packs(draw: st.DrawFn) -> list:
    """Plain packs, and such with a flaw or two."""
    pack = [draw(heads), *draw(st.lists(plain, max_size=6))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        record = draw(st.sampled_from(pack))
        field = draw(st.sampled_from(["n", "v", "t", "u", "bn", "bt", "bu", "bv", "bs", "s", "vb", "must_", "x"]))
        if draw(st.booleans()):
            record[field] = draw(odd)
        else:
            record.pop(field, None)
    return pack


@given(packs())
@settings(max_examples=600, deadline=None)
def test_columns_say_what_the_general_decoder_says(pack: list) -> None:
    columns = _columns(pack, "KW-1")
    try:
        _one_by_one(pack, "KW-1", 12345.0)
    except SenmlError:
        assert columns is None
    if columns is not None:
        readings, bad = _one_by_one(pack, "KW-1", 12345.0)
        # As text, where NaN equals NaN; adding zero makes one of the two zeros.
        assert (repr([reading._replace(value=reading.value + 0.0) for reading in columns]), []) == (repr(readings), bad)


def test_what_agents_send_becomes_columns() -> None:
    pack = [{"bn": "KW-1/", "bt": 1.7e9, "n": "a", "u": "bar", "v": 1}, {"n": "b", "t": 1, "v": 2.5}]
    readings, bad = decode_pack(pack, "KW-1", 0.0)
    assert isinstance(readings, Columns)
    assert readings == [Reading(1.7e9, "a", 1.0, "bar"), Reading(1.7e9 + 1, "b", 2.5, "")]
    assert (readings[1], readings[-1:], len(readings), bad) == (readings[-1], [readings[1]], 2, [])
    assert not isinstance(decode_pack(pack, "KW-2", 0.0)[0], Columns)
    # Packs joined while catching up: the base name stays in force, each has its base time.
    readings, _ = decode_pack([*pack, {"bt": 1.8e9, "n": "a", "v": 3}, {"n": "a", "t": 2, "v": 4}], "KW-1", 0.0)
    assert isinstance(readings, Columns)
    assert [reading.time_s for reading in readings] == [1.7e9, 1.7e9 + 1, 1.8e9, 1.8e9 + 2]
    for no_pack in ([], {}, "nv", ["nv"], [["n", "v"]], [pack[0], "nv"]):
        with pytest.raises(SenmlError):
            decode_pack(no_pack, "KW-1", 0.0)


readings_strategy = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([1.7e9, 1.7e9 + 0.123456]), st.floats(2.7e8, 3e9)),
        st.sampled_from(["temperature", "pressure", "level", "unknown"]),
        st.floats(),
        st.sampled_from(["", "K", "Cel", "bar", "kPa", "a\0b", "u" * 70]),
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(readings_strategy, min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
def test_sorting_at_once_says_what_sorting_one_by_one_says(packs: list) -> None:
    sorter = Sorter(METRICS)
    for pack in packs:
        readings = [Reading(*each) for each in pack]
        columns = Columns(*(list(column) for column in zip(*((t, n, v, u) for t, n, v, u in pack), strict=True)))
        rows, problems = sorter.sort(columns, SPAN)
        expected, expected_problems = validate_readings(readings, METRICS, SPAN)
        assert [*zip(rows.times_us, rows.metric_ids, rows.values, strict=True)] == expected
        assert problems == expected_problems
        times_us = [time_us for time_us, _, _ in expected]
        assert rows.span_us == ((min(times_us), max(times_us)) if times_us else None)


@pytest.mark.parametrize("count", [1, 2, 256, 257, 1000])
def test_rows_are_packed_as_binary_copy_wants_them(count: int) -> None:
    one_by_one = [(1_700_000_000_000_000 + i, i % 7, i / 4) for i in range(count)]
    packed = Rows.of(one_by_one).packed(42)
    assert [*struct.iter_unpack(">hiqiiihid", packed.rows)] == [
        (4, 8, time_us - 946_684_800_000_000, 4, 42, 2, metric_id, 8, value) for time_us, metric_id, value in one_by_one
    ]


def test_arrays_arrive_as_they_were_sent(empty_database_url: str) -> None:
    identities = [bytes(range(i, i + 16)) for i in range(3)]
    moments = [NOW, NOW, NOW + timedelta(microseconds=1)]
    with connect(empty_database_url) as connection:
        register(connection)
        row = connection.execute(
            "SELECT %(ids)s::uuid[] AS ids, %(small)s::integer[] AS small, %(big)s::bigint[] AS big, "
            "%(full)s::bigint[] AS full, %(times)s::timestamptz[] AS times, %(none)s::uuid[] AS none",
            {
                "ids": UuidArray(identities), "small": IntegerArray([1, -2]), "big": BigintArray([2**40, None, -1]),
                "full": BigintArray([2**62]), "times": TimestampArray(moments), "none": UuidArray([]),
            },
        ).fetchone()  # fmt: skip
    assert [identity.bytes for identity in row["ids"]] == identities
    assert (row["small"], row["big"], row["full"], row["none"]) == ([1, -2], [2**40, None, -1], [2**62], [])
    assert row["times"] == moments
