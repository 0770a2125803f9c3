from edge_agent.rules import RuleMemory, judge, rule_book
from edge_agent.rules.threshold import Threshold
from edge_agent.sources.source import Row

START_S = 1.7e9
NOW_S = START_S + 1e6


def raised(rule: Threshold, *values: float, memory: RuleMemory | None = None, times: list[float] | None = None):
    times = times or [60.0 * index for index in range(len(values))]
    rows = [Row("A", START_S + time_s, {"t": value}) for time_s, value in zip(times, values, strict=True)]
    judged = judge(rule_book([rule]), memory or RuleMemory(), rows, NOW_S)
    assert judged.rows == rows, "a threshold thins nothing"
    return [(event.code, event.detail["value"]) for _, event in judged.events]


def test_a_threshold_raises_one_event_until_it_cleared():
    rule = Threshold(metric="t", above=85, clear=80, code="HOT", severity="error")
    assert raised(rule, 84.0, 86.0, 84.0, 87.0, 79.0, 90.0) == [("HOT", 86.0), ("HOT", 90.0)]


def test_a_low_threshold_works_the_other_way_round():
    assert raised(Threshold(metric="t", below=5, clear=7, code="COLD"), 6.0, 4.0, 6.0, 4.0, 7.5, 4.5) == [
        ("COLD", 4.0),
        ("COLD", 4.5),
    ]


def test_a_limit_of_zero_is_a_limit():
    assert raised(Threshold(metric="t", below=0, code="FROST"), 1.0, 0.0, -1.0) == [("FROST", -1.0)]


def test_a_limit_that_is_its_own_clear_is_an_alarm_above_it_only():
    assert raised(Threshold(metric="t", above=85, code="HOT"), 85.0, 85.1, 85.0, 86.0) == [("HOT", 85.1), ("HOT", 86.0)]


def test_a_peak_shorter_than_the_minimum_raises_nothing():
    rule = Threshold(metric="t", above=85, clear=80, code="HOT", min_duration_s=120)
    assert raised(rule, 90.0, 91.0, 84.0, 90.0, 91.0, 92.0) == [("HOT", 92.0)]


def test_the_end_is_an_event_of_its_own_when_wanted():
    rule = Threshold(metric="t", above=85, clear=80, code="HOT", clear_code="COOL")
    assert raised(rule, 90.0, 82.0, 79.0, 70.0, 90.0) == [("HOT", 90.0), ("COOL", 79.0), ("HOT", 90.0)]


def test_the_end_says_how_long_it_lasted():
    rule = Threshold(metric="t", above=85, code="HOT", clear_code="COOL", min_duration_s=60)
    rows = [Row("A", START_S + 60 * index, {"t": value}) for index, value in enumerate([90.0, 90.0, 90.0, 70.0])]
    (_, hot), (_, cool) = judge(rule_book([rule]), RuleMemory(), rows, NOW_S).events
    assert (hot.severity, hot.detail["since"]) == ("warning", "2023-11-14T22:13:20+00:00")
    assert (cool.severity, cool.detail) == ("info", {"metric": "t", "value": 70.0, "ends": "HOT", "lasted_s": 180.0})


def test_a_late_value_neither_raises_nor_ends():
    rule = Threshold(metric="t", above=85, clear=80, code="HOT", clear_code="COOL")
    assert raised(rule, 90.0, 20.0, 90.0, 20.0, times=[60.0, 0.0, 70.0, 65.0]) == [("HOT", 90.0)]


def test_a_clock_that_was_years_ahead_does_not_silence_alarms():
    rule, memory = Threshold(metric="t", above=85, code="HOT"), RuleMemory()
    judge(rule_book([rule]), memory, [Row("A", START_S + 1e8, {"t": 20.0})], NOW_S + 1e8)
    assert raised(rule, 90.0, memory=memory) == [("HOT", 90.0)]


def test_a_wait_for_the_minimum_goes_on_across_a_restart():
    rule, memory = Threshold(metric="t", above=85, code="HOT", min_duration_s=60), RuleMemory()
    assert raised(rule, 90.0, memory=memory) == []
    again = RuleMemory(memory.to_store().get)
    assert raised(rule, 90.0, memory=again, times=[60.0]) == [("HOT", 90.0)]
    third = RuleMemory((memory.to_store() | again.to_store()).get)
    assert raised(rule, 91.0, memory=third, times=[120.0]) == []
