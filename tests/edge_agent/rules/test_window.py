import random

import pytest

from edge_agent.rules import RuleMemory, judge, rule_book
from edge_agent.rules.window import Window
from edge_agent.sources.source import Row

HOUR_S = 1.7e9 - 1.7e9 % 3600
NOW_S = HOUR_S + 1e6


def row(time_s: float, value: float) -> Row:
    return Row("A", HOUR_S + time_s, {"t": value})


def windows(rule: Window, rows: list[Row], memory: RuleMemory | None = None, now_s: float = NOW_S) -> list[Row]:
    return judge(rule_book([rule]), memory or RuleMemory(), rows, now_s).rows


def test_windows_begin_with_the_clock_and_not_with_the_first_value():
    sent = windows(Window(metric="t", every_s=300), [row(290, 1.0), row(299.9, 3.0), row(300, 5.0), row(650, 7.0)])
    assert sent == [
        Row("A", HOUR_S + 299.9, {"t.min": 1.0, "t.max": 3.0, "t.mean": 2.0}),
        Row("A", HOUR_S + 300, {"t.min": 5.0, "t.max": 5.0, "t.mean": 5.0}),
    ]


def test_the_values_can_go_beside():
    rule = Window(metric="t", every_s=60, keep_raw=True, emit=["count", "mean"])
    sent = windows(rule, [row(0, 1.0), row(60, 3.0)])
    assert sent == [row(0, 1.0), Row("A", HOUR_S, {"t.count": 1, "t.mean": 1.0}), row(60, 3.0)]


def test_a_value_for_a_window_that_has_closed_goes_on_as_it_is():
    sent = windows(Window(metric="t", every_s=60), [row(0, 1.0), row(60, 3.0), row(59, 9.0), row(120, 4.0)])
    assert [line.values for line in sent] == [
        {"t.min": 1.0, "t.max": 1.0, "t.mean": 1.0},
        {"t": 9.0},
        {"t.min": 3.0, "t.max": 3.0, "t.mean": 3.0},
    ]


def test_values_out_of_order_within_the_lateness_find_their_windows():
    values = [row(second, float(second)) for second in range(600)]
    shuffled = sorted(values, key=lambda line: line.time_s + random.Random(line.time_s).uniform(0, 30))
    rule, memory = Window(metric="t", every_s=60, lateness_s=30, emit=["min", "max", "count"]), RuleMemory()
    sent = windows(rule, shuffled, memory)
    assert [line.values for line in sent] == [
        {"t.min": 60.0 * minute, "t.max": 60.0 * minute + 59, "t.count": 60} for minute in range(9)
    ]
    assert len(memory.of("A").waiting["window|t|60"]._open) == 1


def test_no_more_windows_are_open_than_fit_into_the_lateness():
    rule, memory = Window(metric="t", every_s=60, lateness_s=300), RuleMemory()
    windows(rule, [row(60.0 * minute, 1.0) for minute in range(500)], memory)
    assert len(memory.of("A").waiting["window|t|60"]._open) <= 6


def test_the_window_of_an_asset_that_fell_silent_closes_by_the_clock():
    rule, memory = Window(metric="t", every_s=60), RuleMemory()
    assert windows(rule, [row(0, 1.0), row(50, 2.0)], memory, HOUR_S + 51) == []
    assert windows(rule, [], memory, HOUR_S + 110) == [], "ended, but a value may be on its way"
    (sent,) = windows(rule, [], memory, HOUR_S + 112)
    assert sent == Row("A", HOUR_S + 50, {"t.min": 1.0, "t.max": 2.0, "t.mean": 1.5})
    assert windows(rule, [row(55, 3.0)], memory, HOUR_S + 113) == [row(55, 3.0)]


def test_an_old_file_read_in_pieces_is_not_cut_into_pieces_of_windows():
    """Its values are years before the clock, so the clock alone must not close their windows."""
    rule, memory = Window(metric="t", every_s=3600, emit=["count"]), RuleMemory()
    sent = []
    for piece in range(72):
        rows = [row(piece * 100 + second, 1.0) for second in range(0, 100, 10)]
        sent += windows(rule, rows, memory, HOUR_S + 1e8 + 5 * piece)
    assert [line.values for line in sent] == [{"t.count": 360}]


def test_open_windows_survive_a_restart_and_close_even_if_the_asset_never_comes_back():
    rule, memory = Window(metric="t", every_s=60), RuleMemory()
    windows(rule, [row(0, 1.0), row(10, 5.0)], memory, HOUR_S + 11)
    again = RuleMemory(memory.to_store().get)
    sent = [windows(rule, [], again, HOUR_S + second) for second in (20, 79, 200)]
    assert sent == [[], [], [Row("A", HOUR_S + 10, {"t.min": 1.0, "t.max": 5.0, "t.mean": 3.0})]]


def test_a_clock_that_was_years_ahead_does_not_make_everything_late():
    rule, memory = Window(metric="t", every_s=60), RuleMemory()
    windows(rule, [row(1e8, 1.0), row(1e8 + 60, 2.0)], memory, NOW_S + 1e8)
    sent = windows(rule, [row(0, 1.0), row(60, 3.0)], memory)
    assert [line.values["t.mean"] for line in sent] == [2.0, 1.0]


@pytest.mark.parametrize("every_s", [7, 86400])
def test_any_width_counts_from_1970(every_s):
    rule = Window(metric="t", every_s=every_s, emit=["count"])
    sent = windows(rule, [row(1800.0 * step, 1.0) for step in range(200)])
    assert all(line.time_s // every_s < (HOUR_S + 1800 * 199) // every_s for line in sent)
    assert len({line.time_s // every_s for line in sent}) == len(sent)
