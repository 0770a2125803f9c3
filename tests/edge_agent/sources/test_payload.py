"""Records into rows and events."""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.packing import Packer
from edge_agent.sources.payload.config import LinesConfig
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.records import Record, line_parser, pointed

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Lines(LinesConfig):
    kind: str = "lines"


def harvest(*lines: str, parts=None, **table):
    config = Lines(**{"serial": "KW-1"} | table)
    parse = line_parser(config)
    return Mapper(config, "test").harvest((parse(line, parts or {}) for line in lines), NOW)


def values(*lines: str, **table):
    return [dict(row.values) for row in harvest(*lines, **table).rows]


def test_json_pointers_are_rfc_6901s():
    document = {"a": [{"b/c": 5, "m~n": 8, "": 0}], "": {"x": 1}, "0": 7}
    assert pointed(document, "") is document
    assert pointed(document, "/a/0/b~1c") == 5
    assert pointed(document, "/a/0/m~0n") == 8
    assert pointed(document, "/a/0/") == 0
    assert pointed(document, "//x") == 1
    assert pointed(document, "/0") == 7
    for nothing in ("/a/1", "/a/-1", "/a/x", "/z", "/0/1", "/a/²"):
        assert pointed(document, nothing) is None


def test_tasmota_says_its_local_time():
    (row,) = harvest(
        '{"Time": "2026-06-01T14:00:00", "ENERGY": {"Power": 12, "Total": 3.5}, "TempUnit": "C"}',
        time_at="Time",
        timezone="Europe/Berlin",
    ).rows
    assert row == ("KW-1", NOW.timestamp(), {"ENERGY.Power": 12.0, "ENERGY.Total": 3.5})


@pytest.mark.parametrize(
    ("form", "text", "zone"),
    [
        ("rfc3339", "2026-06-01T12:00:00Z", None),
        ("rfc3339", "2026-06-01T14:00:00+02:00", "UTC"),
        ("rfc3339", "2026-06-01 14:00:00", "Europe/Berlin"),
        ("unix", "1780315200", None),
        ("unix", "1780315200.0", None),
        ("unix_ms", "1780315200000", None),
        ("%d.%m.%Y %H:%M", "01.06.2026 14:00", "Europe/Berlin"),
        ("%Y%m%dT%H%M%S%z", "20260601T140000+0200", None),
    ],
)
def test_times_are_read_as_they_are_written(form, text, zone):
    (row,) = harvest(f"{text};5", format="csv", delimiter=";", columns=["t", "a"], time_at="t", time_format=form,
                     timezone=zone).rows  # fmt: skip
    assert row == ("KW-1", NOW.timestamp(), {"a": 5.0})


@pytest.mark.parametrize("text", ["", "noon", "2026-06-01T12:00:00", "2026-13-01T12:00:00Z"])
def test_a_line_whose_time_cannot_be_read_is_refused_not_stored_at_another(text, caplog):
    got = harvest(f"{text},5", format="csv", columns=["t", "a"], time_at="t")
    assert (list(got.rows), got.refused) == ([], 1)
    assert "the time at t" in caplog.text


def test_numbers_in_every_shape():
    assert values(
        '{"i": 5, "f": 2.5, "text": " 7.5 ", "yes": true, "on": "ON", "off": "off", "gone": null, "ha": "unavailable"}'
    ) == [{"i": 5.0, "f": 2.5, "text": 7.5, "yes": 1.0, "on": 1.0, "off": 0.0}]
    assert values("1.234,5;-7", format="csv", delimiter=";", columns=["a", "b"], decimal_comma=True) == [
        {"a": 1234.5, "b": -7.0}
    ]
    metrics = {"door": {"at": "door", "values": {"open": 1, "closed": 0}}, "t": {"at": "t", "scale": 0.5, "offset": 1}}
    assert values('{"door": "closed", "t": "4"}', '{"door": "open"}', metrics=metrics) == [
        {"door": 0, "t": 3.0}, {"door": 1}
    ]  # fmt: skip


def test_a_metric_that_is_asked_for_and_is_no_number_goes_on_to_be_refused_and_counted():
    assert values('{"a": "broken", "b": "1_000", "c": 1}', metrics={"a": "a", "b": "b", "c": "c"}) == [
        {"a": "broken", "b": "1_000", "c": 1.0}
    ]


def test_a_wrong_line_costs_only_itself(caplog):
    got = harvest('{"a": 1}', "{", '"text"', "[1]", '{"a": 2}', "NaN" * 100)
    assert [row.values for row in got.rows] == [{"a": 1.0}, {"a": 2.0}]
    assert got.refused == 2
    assert "(and 1 more)" in caplog.text


def test_lines_that_do_not_match_are_not_meant():
    got = harvest("boot", "P=5", format="regex", pattern=r"P=(?P<p>\d+)")
    assert [row.values for row in got.rows] == [{"p": 5.0}]
    assert got.refused == 0


def test_csv_with_quotes_and_wrong_columns():
    got = harvest('"a, b",5', "1", '"open,5', format="csv", columns=["name", "v"], metrics={"v": "v"})
    assert [row.values for row in got.rows] == [{"v": 5.0}]
    assert got.refused == 2


def test_devices_that_are_not_in_serials_are_left_out_and_said_once(caplog):
    caplog.set_level(logging.INFO)
    got = harvest(*['{"id": 7, "a": 1}'] * 3, '{"id": "A", "a": 2}', serial=None, serial_at="id", serials={"A": "KW-2"})
    assert [(row.serial, row.values) for row in got.rows] == [("KW-2", {"a": 2.0})]
    assert got.refused == 0
    assert caplog.text.count("the device '7' is not in serials") == 1


def test_records_of_an_object_are_told_apart_by_their_key():
    got = harvest('{"t": 1780315200, "units": {"a": {"p": 1}, "b": {"p": 2}}}', serial=None, serial_at="@key",
                  each="/units", time_at="$/t", time_format="unix")  # fmt: skip
    assert [(row.serial, row.time_s, row.values) for row in got.rows] == [
        ("a", NOW.timestamp(), {"p": 1.0}), ("b", NOW.timestamp(), {"p": 2.0})
    ]  # fmt: skip


def test_a_document_that_is_a_list_holds_its_records():
    got = harvest('[{"id": "a", "p": 1}, {"id": "b", "p": 2}, 5]', '{"id": "c"}', serial=None, serial_at="id", each="")
    assert [(row.serial, row.values) for row in got.rows] == [("a", {"p": 1.0}), ("b", {"p": 2.0})]
    assert got.refused == 2


def test_an_event_comes_when_the_field_changes_and_again_after_it_was_well():
    config = Lines(serial="KW-1", events=[{"at": "error", "code": "F{value}", "detail": {"stage": "stage"}}])
    mapper = Mapper(config, "test")

    def codes(mapper, *errors):
        records = [[Record({"error": error, "stage": 3}, None)] for error in errors]
        return [event.code for _, event in mapper.harvest(records, NOW).events]

    assert codes(mapper, 0, 7, 7, 7.0, 8, "OK", 8, None, 8) == ["F7", "F8", "F8"]
    again = Mapper(config, "test")
    again.restore(mapper.memory())
    assert codes(again, 8, 9) == ["F9"]


def test_an_event_for_every_record():
    got = harvest(
        "2026-06-01T12:00:00Z E04 pump", "2026-06-01T12:00:00Z E04 pump", "quiet", format="regex",
        pattern=r"^(?P<t>\S+) (?P<code>E\d+) (?P<what>.*)", time_at="t",
        events=[{"at": "code", "when": "every", "severity": "error", "detail": {"what": "what"}}],
        metrics={},
    )  # fmt: skip
    assert [(serial, event.time, event.code, event.detail) for serial, event in got.events] == [
        ("KW-1", NOW, "E04", {"what": "pump"})
    ] * 2


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"format": "regex"}, "pattern and format"),
        ({"pattern": "(?P<a>.)"}, "pattern and format"),
        ({"format": "regex", "pattern": "("}, "is no regular expression"),
        ({"format": "regex", "pattern": "(a)"}, "no named group"),
        ({"format": "regex", "pattern": "(?P<a>.)", "time_at": "b"}, "'b' is none of a"),
        ({"format": "csv", "columns": ["a"], "metrics": {"x": "b"}}, "'b' is none of a"),
        ({"timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"timezone": "../etc/passwd"}, "no time zone"),
        ({"time_format": "iso"}, "must be rfc3339"),
        ({"each": "devices"}, "must be a JSON pointer"),
        ({"serial_at": "id"}, "both name the asset"),
        ({"serial": None}, "which asset is it"),
        ({"metrics": {"a": {"at": "a", "skale": 1}}}, "skale"),
    ],
)
def test_what_cannot_be_right_is_refused(table, text):
    with pytest.raises(ValidationError, match=text):
        Lines(**{"serial": "KW-1"} | table)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abdtz/~0"), inner, max_size=5),
    max_leaves=12,
)
FIELDS = {
    "metrics": {"m": "/a/0", "n": {"at": "b", "scale": 2.0, "values": {"x": 1}}, "o": "$/d/z"},
    "events": [{"at": "/d"}, {"at": "z", "code": "E{value}", "when": "every", "detail": {"b": "/b"}}],
}


@given(document=JSON, form=st.sampled_from(["unix", "unix_ms", "rfc3339", "%H:%M"]), each=st.sampled_from([None, "/a"]))
@settings(max_examples=300, deadline=None)
def test_no_document_breaks_the_mapping(document, form, each):
    for table in (FIELDS, {}, FIELDS | {"serial": None, "serial_at": "t"}):
        config = Lines(
            **{"serial": "KW-1", "time_at": "t", "time_format": form, "timezone": "UTC", "each": each} | table
        )
        mapper, parse = Mapper(config, "test"), line_parser(config)
        got = mapper.harvest([parse(json.dumps(document), {})], NOW)
        # A defect is caught and counted, so that it stops nobody; here it must not come to that.
        assert not mapper.defects
        packer = Packer(10, mapper.units_of)
        packer.add_rows(got.rows)
        for serial, event in got.events:
            with suppress(ValueError):  # a serial number or a number that no event can carry: refused and counted
                packer.add_event(serial, event)
        assert mapper.memory() is None or json.loads(mapper.memory()) is not None


@given(line=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode(errors="replace")))
@settings(max_examples=300, deadline=None)
def test_no_line_breaks_the_parsers(line):
    for table in (
        {"format": "json"},
        {"format": "csv", "columns": ["a", "b"], "decimal_comma": True},
        {"format": "regex", "pattern": r"(?P<a>[\d.]+)(?P<b>\w)?"},
    ):
        config = Lines(**{"serial": "KW-1"} | table)
        mapper = Mapper(config, "test")
        mapper.harvest([line_parser(config)(line, {})], NOW)
        assert not mapper.defects
