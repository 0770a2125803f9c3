"""Dead bands, rates of change and swinging doors."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.rules import RuleMemory, judge, rule_book
from edge_agent.rules.dead_band import DeadBand
from edge_agent.rules.rate_of_change import RateOfChange
from edge_agent.rules.swinging_door import SwingingDoor
from edge_agent.sources.source import Row

START_S = 1.7e9
NOW_S = START_S + 1e6


def sent(rule, points, now_s: float = NOW_S, memory: RuleMemory | None = None) -> list[tuple[float, float]]:
    rows = [Row("A", START_S + time_s, {"t": value}) for time_s, value in points]
    judged = judge(rule_book([rule]), memory or RuleMemory(), rows, now_s)
    assert judged.thinned == len(rows) - len(judged.rows)
    return [(row.time_s - START_S, row.values["t"]) for row in judged.rows]


def each_minute(*values: float) -> list[tuple[float, float]]:
    return [(60.0 * index, value) for index, value in enumerate(values)]


def values_sent(rule, *values: float) -> list[float]:
    return [value for _, value in sent(rule, each_minute(*values))]


def test_a_dead_band_measures_from_the_value_sent_last_so_that_slow_drift_is_not_swallowed():
    rule = DeadBand(metric="t", band=1, max_silence_s=1e9)
    assert values_sent(rule, 20.0, 20.4, 20.8, 21.1, 21.9, 20.1) == [20.0, 21.1, 20.1]


def test_a_dead_band_in_percent_is_as_wide_as_the_value_sent_last_says():
    rule = DeadBand(metric="t", band_percent=10, max_silence_s=1e9)
    assert values_sent(rule, 100.0, 105.0, 110.0, 120.0, 121.0, -121.0, -130.0) == [100.0, 110.0, 121.0, -121.0]
    assert values_sent(rule, 0.0, 0.0, 0.001, 0.001) == [0.0, 0.001], "of nothing any change is much"


@pytest.mark.parametrize(
    "rule",
    [
        DeadBand(metric="t", band=1, max_silence_s=120),
        RateOfChange(metric="t", per_s=1, max_silence_s=120),
        SwingingDoor(metric="t", band=1, max_silence_s=120),
    ],
)
def test_thinning_is_broken_by_silence(rule):
    assert sent(rule, each_minute(*[20.0] * 7)) == [(0.0, 20.0), (120.0, 20.0), (240.0, 20.0), (360.0, 20.0)]


@pytest.mark.parametrize(
    "rule",
    [
        DeadBand(metric="t", band=1),
        RateOfChange(metric="t", per_s=1),
        SwingingDoor(metric="t", band=1),
    ],
)
def test_a_late_value_is_sent_and_changes_nothing(rule):
    assert sent(rule, [(0.0, 20.0), (600.0, 20.1), (60.0, 99.0), (660.0, 20.1)]) == [(0.0, 20.0), (60.0, 99.0)]


@pytest.mark.parametrize(
    "rule",
    [DeadBand(metric="t", band=1), RateOfChange(metric="t", per_s=1), SwingingDoor(metric="t", band=1)],
)
def test_a_clock_that_was_far_ahead_and_is_put_right_is_not_waited_for(rule):
    memory, years_s = RuleMemory(), 1e8
    sent(rule, [(years_s, 20.0)], NOW_S + years_s, memory)
    assert sent(rule, each_minute(20.0, 20.0, 20.0), NOW_S, memory) == [(0.0, 20.0)]


def test_a_rate_of_change_sends_the_bend_as_well():
    rule = RateOfChange(metric="t", per_s=0.1, max_silence_s=1e9)
    assert sent(rule, each_minute(20.0, 21.0, 22.0, 30.0, 40.0, 41.0)) == [
        (0.0, 20.0),
        (120.0, 22.0),
        (180.0, 30.0),
        (240.0, 40.0),
    ]


def test_what_a_swinging_door_holds_back_is_sent_when_the_asset_falls_silent():
    rule, memory = SwingingDoor(metric="t", band=1, max_silence_s=300), RuleMemory()
    assert sent(rule, each_minute(20.0, 21.0, 22.0), START_S + 120, memory) == [(0.0, 20.0)]
    assert judge(rule_book([rule]), memory, [], START_S + 419).rows == []


def test_a_silent_asset_s_last_value_comes_once():
    book, memory = rule_book([SwingingDoor(metric="t", band=1, max_silence_s=300)]), RuleMemory()
    rows = [Row("A", START_S, {"t": 20.0}), Row("A", START_S + 60, {"t": 20.5})]
    assert len(judge(book, memory, rows, START_S + 61).rows) == 1
    late = [judge(book, memory, [], START_S + second).rows for second in (300, 362, 363, 900)]
    assert late == [[], [rows[1]], [], []]


@given(
    st.lists(st.tuples(st.floats(0.1, 500), st.floats(-100, 100, allow_nan=False)), min_size=1, max_size=80),
    st.floats(0.01, 50),
)
def test_a_line_through_what_a_swinging_door_sends_passes_every_value_within_the_band(steps, band):
    points, time_s = [], 0.0
    for after_s, value in steps:
        time_s += after_s
        points.append((time_s, value))
    memory, rule = RuleMemory(), SwingingDoor(metric="t", band=band, max_silence_s=1000)
    line = sent(rule, points, NOW_S, memory)
    line += [(row.time_s - START_S, row.values["t"]) for row in judge({}, memory, [], NOW_S).rows]
    assert line == sorted(line)
    assert {value for _, value in line} <= {value for _, value in points}
    times = [time_s for time_s, _ in line]
    for time_s, value in points:
        right = bisect_left(times, time_s - 1e-6)
        (late_s, late), (early_s, early) = line[right], line[max(right - 1, 0)]
        share = 1.0 if late_s == early_s else (time_s - early_s) / (late_s - early_s)
        # Times near 1.7e9 are good to a quarter of a microsecond.
        assert abs(early + share * (late - early) - value) <= band + 0.01
