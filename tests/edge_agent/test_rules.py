import math

from edge_agent.rules import DeadBand, MetricRules, RuleMemory, Threshold, judge
from edge_agent.sources.source import Row


def rows(*values: float, metric: str = "temperature", serial: str = "A", every_s: float = 60.0) -> list[Row]:
    return [Row(serial, 1.7e9 + index * every_s, {metric: value}) for index, value in enumerate(values)]


def kept(judged) -> list[float]:
    return [value for row in judged.rows for value in row.values.values()]


def test_a_dead_band_measures_from_the_value_sent_last_so_that_slow_drift_is_not_swallowed():
    book = {(None, "temperature"): MetricRules(DeadBand(1.0, 1e9))}
    judged = judge(book, RuleMemory(), rows(20.0, 20.4, 20.8, 21.1, 21.9, 20.1))
    assert kept(judged) == [20.0, 21.1, 20.1]
    assert judged.thinned == 3


def test_a_dead_band_is_broken_by_silence():
    book = {(None, "temperature"): MetricRules(DeadBand(1.0, 120.0))}
    assert len(kept(judge(book, RuleMemory(), rows(*[20.0] * 7)))) == 4


def test_what_one_asset_sent_does_not_silence_another():
    book = {(None, "temperature"): MetricRules(DeadBand(1.0, 1e9))}
    judged = judge(book, RuleMemory(), [*rows(20.0), *rows(20.0, serial="B"), *rows(20.0, serial="A")])
    assert [row.serial for row in judged.rows] == ["A", "B"]


def test_a_threshold_raises_one_event_until_it_cleared():
    book = {(None, "temperature"): MetricRules(thresholds=[Threshold(85.0, 80.0, "HOT", "error")])}
    judged = judge(book, RuleMemory(), rows(84.0, 86.0, 84.0, 87.0, 79.0, 90.0))
    assert [(event.code, event.severity, event.detail["value"]) for _, event in judged.events] == [
        ("HOT", "error", 86.0),
        ("HOT", "error", 90.0),
    ]
    assert len(judged.rows) == 6, "a threshold thins nothing"


def test_a_low_threshold_works_the_other_way_round():
    book = {(None, "temperature"): MetricRules(thresholds=[Threshold(5.0, 7.0, "COLD", is_low=True)])}
    judged = judge(book, RuleMemory(), rows(6.0, 4.0, 6.0, 4.0, 7.5, 4.5))
    assert [event.detail["value"] for _, event in judged.events] == [4.0, 4.5]


def test_a_limit_that_is_its_own_clear_is_an_alarm_above_it_only():
    book = {(None, "temperature"): MetricRules(thresholds=[Threshold(85.0, 85.0, "HOT")])}
    assert [event.detail["value"] for _, event in judge(book, RuleMemory(), rows(85.0, 85.1, 85.0, 86.0)).events] == [
        85.1,
        86.0,
    ]


def test_alarms_remembered_are_not_raised_again():
    book = {(None, "temperature"): MetricRules(thresholds=[Threshold(85.0, 80.0, "HOT")])}
    memory = RuleMemory(active={("A", "temperature", "HOT")})
    assert judge(book, memory, rows(90.0, 91.0)).events == []


def test_thinned_values_still_raise_alarms():
    book = {(None, "temperature"): MetricRules(DeadBand(100.0, 1e9), [Threshold(85.0, 80.0, "HOT")])}
    judged = judge(book, RuleMemory(), rows(84.0, 86.0))
    assert kept(judged) == [84.0]
    assert len(judged.events) == 1


def test_a_rule_of_one_asset_leaves_the_others_alone_and_wins_over_the_rule_for_all():
    book = {
        (None, "temperature"): MetricRules(DeadBand(10.0, 1e9)),
        ("B", "temperature"): MetricRules(DeadBand(1.0, 1e9)),
    }
    memory = RuleMemory()
    assert kept(judge(book, memory, rows(20.0, 22.0))) == [20.0]
    assert kept(judge(book, memory, rows(20.0, 22.0, serial="B"))) == [20.0, 22.0]


def test_what_is_no_number_passes_through_to_be_refused_where_it_is_counted():
    book = {(None, "temperature"): MetricRules(DeadBand(1.0, 1e9), [Threshold(85.0, 80.0, "HOT")])}
    odd = [math.nan, math.inf, None, "hot"]
    judged = judge(book, RuleMemory(), rows(*odd))
    assert len(judged.rows) == 4
    assert judged.events == []
