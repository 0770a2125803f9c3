"""Times, values and units that are accepted, and the reasons why others are not."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careloop.contract.messages import Event
from careloop.contract.senml import Reading
from ingest.maintenance import LONGEST_REFRESH, join_hours
from ingest.units import conversion
from ingest.validate import NAMED_IN_DETAIL, Metric, span_as_of, validate_events, validate_readings

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
SPAN = span_as_of(NOW, future=timedelta(hours=24), keep=None)
METRICS = {"pressure": Metric(1, "bar"), "temperature": Metric(2, "Cel"), "odd": Metric(3, "")}


def test_the_edges_of_the_span_are_inside() -> None:
    edges = [datetime(2000, 1, 1, tzinfo=UTC), NOW + timedelta(hours=24)]
    rows, problems = validate_readings(
        [Reading(edge.timestamp(), "pressure", 1.0, "bar") for edge in edges], METRICS, SPAN
    )
    assert [row[0] for row in rows] == [round(edge.timestamp() * 1e6) for edge in edges]
    assert problems == []
    step = timedelta(microseconds=1)
    outside = [edges[0] - step, edges[1] + step]
    rows, problems = validate_readings(
        [Reading(time.timestamp(), "pressure", 1.0, "") for time in outside], METRICS, SPAN
    )
    assert rows == []
    assert [problem.reason for problem in problems] == ["in_future", "too_old"]
    assert [len(validate_events([Event(time, "E")], SPAN)[0]) for time in edges + outside] == [1, 1, 0, 0]


def test_retention_moves_the_oldest_time_and_never_before_2000() -> None:
    span = span_as_of(NOW, future=timedelta(0), keep=timedelta(days=30))
    assert span.oldest == NOW - timedelta(days=30)
    assert span_as_of(NOW, future=timedelta(0), keep=timedelta(days=20000)).oldest.year == 2000


@given(
    st.lists(
        st.builds(
            Reading,
            st.floats(),
            st.sampled_from([*METRICS, "unheard"]),
            st.floats(),
            st.sampled_from(["", "bar", "kPa", "K", "x"]),
        )
    )
)
def test_every_reading_is_a_row_or_has_a_reason(readings: list[Reading]) -> None:
    rows, problems = validate_readings(readings, METRICS, SPAN)
    assert all(math.isfinite(value) and SPAN.oldest.timestamp() * 1e6 <= time_us for time_us, _, value in rows)
    assert len({problem.reason for problem in problems}) == len(problems)
    assert {problem.reason for problem in problems} <= {
        "too_old", "in_future", "not_finite", "wrong_unit", "too_many_metrics",
    }  # fmt: skip
    assert bool(problems) == (len(rows) < len(readings))


def test_a_reason_stands_once_and_names_a_few() -> None:
    at = NOW.timestamp()
    _, problems = validate_readings([Reading(at, "pressure", math.nan, "bar")] * 60, METRICS, SPAN)
    assert len(problems) == 1
    assert problems[0].detail.count("pressure is nan") == NAMED_IN_DETAIL
    assert problems[0].detail.endswith("; and 55 more")


@pytest.mark.parametrize(
    ("sent", "canonical", "value", "converted"),
    [
        ("bar", "bar", 3.0, 3.0), ("", "bar", 3.0, 3.0), ("odd stuff", "odd stuff", 3.0, 3.0), ("V", "", 3.0, 3.0),
        ("Cel", "K", 26.85, 300.0), ("K", "Cel", 300.0, 26.85), ("degF", "Cel", 212.0, 100.0),
        ("kPa", "bar", 250.0, 2.5),
        ("%RH", "%", 40.0, 40.0), ("/", "%", 0.4, 40.0), ("rpm", "Hz", 60.0, 1.0), ("1/min", "rpm", 60.0, 60.0),
        ("m3/s", "l/min", 1.0, 60000.0), ("kWh", "J", 1.0, 3.6e6), ("mV", "V", 1.0, 0.001), ("µS/cm", "S/m", 1e4, 1.0),
        ("N·m", "Nm", 2.0, 2.0), ("h", "s", 2.0, 7200.0),
    ],
)  # fmt: skip
def test_units_are_converted(sent: str, canonical: str, value: float, converted: float) -> None:
    how = conversion(sent, canonical)
    assert how is not None
    assert value * how.scale + how.offset == pytest.approx(converted, rel=1e-12)


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("V", "A"), ("Cel", "bar"), ("foo", "V"), ("V", "foo"), ("pH", "%"), ("dB", "%"), ("C", "Cel"),
        ("m**9**9**9**9", "m"), ("__import__('os')", "m"), ("1e9999999", "m"), ("m" * 5000, "m"),
        ("m/" * 3000 + "m", "m"),
    ],
)  # fmt: skip
def test_units_of_something_else_are_not(sent: str, canonical: str) -> None:
    assert conversion(sent, canonical) is None


@given(st.text(max_size=30), st.sampled_from(["bar", "Cel", "%", "V"]))
def test_any_unit_has_an_answer(sent: str, canonical: str) -> None:
    how = conversion(sent, canonical)
    assert how is None or math.isfinite(how.scale + how.offset)


@given(st.sets(st.integers(0, 600)))
def test_hours_are_joined_without_loss_or_overlap(hours: set[int]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    given_hours = [(start + timedelta(hours=hour), [hour]) for hour in sorted(hours)]
    dues = list(join_hours(given_hours))
    assert [number for due in dues for number in due.ids] == sorted(hours)
    for due in dues:
        assert due.to_time - due.from_time <= LONGEST_REFRESH
        assert start + timedelta(hours=due.ids[0]) == due.from_time
        assert due.to_time - due.from_time == timedelta(hours=len(due.ids))
