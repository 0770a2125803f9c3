from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.wire.clock_skew import REMEMBERED, ClockSkew

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def hear(skew: ClockSkew, ahead_s: float, way_s: float) -> None:
    skew.heard(NOON.isoformat(), (NOON + timedelta(seconds=ahead_s + way_s)).timestamp())


def test_what_was_underway_the_shortest_counts():
    skew = ClockSkew()
    assert skew.seconds is None
    skew.round_trip(0.4)
    for way_s in (3.0, 0.2, 1.0):
        hear(skew, -7.0, way_s)
    assert skew.seconds == pytest.approx(-7.0)


def test_a_clock_that_was_set_is_measured_anew():
    skew = ClockSkew()
    hear(skew, 100.0, 0.0)
    skew.clock_was_set()
    assert skew.seconds is None
    hear(skew, 0.5, 0.0)
    assert skew.seconds == pytest.approx(0.5)


def test_what_is_long_ago_is_forgotten():
    skew = ClockSkew()
    hear(skew, -5.0, 0.0)
    for _ in range(REMEMBERED):
        hear(skew, 0.0, 0.0)
    assert skew.seconds == pytest.approx(0.0)


def test_more_than_two_seconds_are_told_once(caplog):
    skew = ClockSkew()
    for _ in range(3):
        hear(skew, 60.0, 0.0)
    assert caplog.text.count("60.0 s off") == 1
    for _ in range(REMEMBERED):
        hear(skew, 1.9, 0.0)
    hear(skew, -60.0, 0.0)
    assert caplog.text.count("off") == 2


def test_a_time_that_is_none_says_nothing():
    skew = ClockSkew()
    skew.heard("", 1.0)
    skew.heard("noon", 1.0)
    assert skew.seconds is None
