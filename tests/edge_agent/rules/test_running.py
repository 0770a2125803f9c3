import pytest

from edge_agent.rules import RuleMemory, judge, rule_book
from edge_agent.rules.running import Running
from edge_agent.sources.source import Row

START_S = 1.7e9
NOW_S = START_S + 1e6


def counted(rule: Running, *points: tuple[float, float], memory: RuleMemory | None = None) -> tuple[float, int]:
    """Hours since the start in minutes, and cycles, as sent last."""
    rows = [Row("A", START_S + 60 * minute, {rule.metric: value}) for minute, value in points]
    sent = judge(rule_book([rule]), memory or RuleMemory(), rows, NOW_S).rows
    last = [row.values for row in sent if rule.hours_metric in row.values][-1]
    return round(last[rule.hours_metric] * 60, 3), last[rule.cycles_metric]


def test_the_time_after_a_value_that_runs_counts_and_so_does_each_start():
    rule = Running(metric="amps", above=0.5, report_every_s=0)
    assert counted(rule, (0, 0.1), (1, 2.0), (2, 2.0), (3, 0.1), (4, 0.1), (5, 3.0), (6, 0.0)) == (3.0, 2)


def test_a_gap_longer_than_the_longest_counts_as_nothing():
    rule = Running(metric="on", max_gap_s=120, report_every_s=0)
    assert counted(rule, (0, True), (2, True), (10, True), (11, True)) == (3.0, 0)


def test_a_start_across_a_gap_is_a_start():
    rule = Running(metric="on", max_gap_s=120, report_every_s=0)
    assert counted(rule, (0, False), (60, True), (61, True)) == (1.0, 1)


def test_between_clear_and_above_it_goes_on_as_it_was():
    rule = Running(metric="amps", above=1, clear=0.5, report_every_s=0)
    assert counted(rule, (0, 0.8), (1, 1.2), (2, 0.8), (3, 1.1), (4, 0.6), (5, 0.5)) == (4.0, 1)


def test_late_values_were_counted_over_already():
    rule = Running(metric="on", report_every_s=0)
    assert counted(rule, (0, True), (3, True), (1, False), (2, True), (4, True), (4, True)) == (4.0, 0)


def test_a_clock_that_was_years_ahead_costs_only_its_own_gap():
    rule, memory = Running(metric="on", report_every_s=0), RuleMemory()
    judge(rule_book([rule]), memory, [Row("A", START_S + 1e8 + second, {"on": 1}) for second in (0, 60)], NOW_S + 1e8)
    assert counted(rule, (0, True), (1, True), memory=memory) == (2.0, 0)


def test_it_reports_at_the_first_value_at_starts_and_stops_and_now_and_then():
    rule = Running(metric="on", report_every_s=600)
    rows = [Row("A", START_S + 60 * minute, {"on": minute % 30 >= 10}) for minute in range(60)]
    sent = judge(rule_book([rule]), RuleMemory(), rows, NOW_S).rows
    assert [round((row.time_s - START_S) / 60) for row in sent if "cycles" in row.values] == [0, 10, 20, 30, 40, 50]


def test_a_machine_with_a_past_begins_there():
    rule = Running(metric="on", start_hours=1000, start_cycles=7, report_every_s=0)
    assert counted(rule, (0, False), (1, True), (2, True)) == (60001.0, 8)


@pytest.mark.parametrize(
    ("change", "minutes"),
    [
        ({}, 3.0),
        ({"above": 0.4, "max_gap_s": 500}, 3.0),
        ({"start_hours": 2}, 120.0),
        ({"start_note": "new controller"}, 0.0),
    ],
)
def test_it_goes_on_after_a_restart_and_begins_again_when_the_start_is_another(change, minutes):
    memory = RuleMemory()
    rule = Running(metric="on", report_every_s=0)
    assert counted(rule, (0, True), (2, True), memory=memory) == (2.0, 0)
    again = RuleMemory(memory.to_store().get)
    assert counted(rule.model_copy(update=change), (3, True), memory=again) == (minutes, 0)
