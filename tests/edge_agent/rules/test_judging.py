"""Rows through rules: what is sent, what is raised, in which order, and what another book takes over."""

import json
import math

import pytest

from edge_agent.rules import RuleBook, RuleMemory, derived_units, judge, rule_book
from edge_agent.rules.book import RuleClashError
from edge_agent.rules.dead_band import DeadBand
from edge_agent.rules.running import Running
from edge_agent.rules.swinging_door import SwingingDoor
from edge_agent.rules.threshold import Threshold
from edge_agent.rules.window import Window
from edge_agent.sources.source import Row

START_S = 1.7e9 - 1.7e9 % 3600
NOW_S = START_S + 1e6


def rows(*values: float, metric: str = "t", serial: str = "A", every_s: float = 60.0) -> list[Row]:
    return [Row(serial, START_S + index * every_s, {metric: value}) for index, value in enumerate(values)]


def kept(judged) -> list[float]:
    return [value for row in judged.rows for value in row.values.values()]


def after_restart(memory: RuleMemory) -> RuleMemory:
    """What a process that was killed right after a commit finds."""
    texts = json.loads(json.dumps(memory.to_store()))
    return RuleMemory(texts.get)


class Disk:
    """Keeps what memories say, as the buffer does."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def store(self, memory: RuleMemory) -> None:
        self.texts |= memory.to_store()
        memory.stored()


def test_what_one_asset_sent_does_not_silence_another():
    book = rule_book([DeadBand(metric="t", band=1, max_silence_s=1e9)])
    judged = judge(book, RuleMemory(), [*rows(20.0), *rows(20.0, serial="B"), *rows(20.0)], NOW_S)
    assert [row.serial for row in judged.rows] == ["A", "B"]


def test_thinned_and_windowed_values_still_raise_alarms_and_count():
    book = rule_book(
        [
            SwingingDoor(metric="t", band=100),
            Threshold(metric="t", above=85, code="HOT"),
            Running(metric="t", above=10, report_every_s=0),
        ]
    )
    judged = judge(book, RuleMemory(), rows(84.0, 86.0, 87.0), NOW_S)
    assert [row.values.get("t") for row in judged.rows] == [84.0, None, None]
    assert [row.values["running_hours"] for row in judged.rows] == [0.0, round(1 / 60, 6), round(2 / 60, 6)]
    assert [event.detail["value"] for _, event in judged.events] == [86.0]
    assert judged.thinned == 2


def test_a_value_that_went_into_a_window_is_not_thinned_as_well():
    book = rule_book([DeadBand(metric="t", band=1), Window(metric="t", every_s=60)])
    judged = judge(book, RuleMemory(), rows(1.0, 2.0, 3.0), NOW_S)
    assert (judged.windowed, judged.thinned) == (3, 0)


def test_a_rule_of_one_asset_leaves_the_others_alone_and_wins_over_the_rule_for_all():
    book = rule_book(
        [
            DeadBand(metric="t", band=10, max_silence_s=1e9),
            DeadBand(metric="t", serial="B", band=1, max_silence_s=1e9),
        ]
    )
    memory = RuleMemory()
    assert kept(judge(book, memory, rows(20.0, 22.0), NOW_S)) == [20.0]
    assert kept(judge(book, memory, rows(20.0, 22.0, serial="B"), NOW_S)) == [20.0, 22.0]


@pytest.mark.parametrize("odd", [math.nan, math.inf, None, "hot", 10**400, [1]])
def test_what_is_no_number_passes_through_to_be_refused_where_it_is_counted(odd):
    book = rule_book([DeadBand(metric="t", band=1), Threshold(metric="t", above=85, code="HOT"), Running(metric="t")])
    judged = judge(book, RuleMemory(), rows(odd, odd), NOW_S)
    assert len(judged.rows) == 2
    assert [list(row.values) for row in judged.rows] == [["t"], ["t"]]
    assert judged.events == []


@pytest.mark.parametrize("time_s", [0.0, -math.inf, math.inf, math.nan, 1e300, NOW_S + 2 * 86400])
def test_a_time_that_cannot_be_passes_through_and_upsets_nothing(time_s):
    book = rule_book(
        [
            Threshold(metric="t", above=85, code="HOT"),
            Running(metric="t", report_every_s=0),
            Window(metric="t", every_s=60),
        ]
    )
    memory = RuleMemory()
    wrong = Row("A", time_s, {"t": 90.0})
    judged = judge(book, memory, [*rows(80.0), wrong, *rows(90.0)], NOW_S)
    assert [row for row in judged.rows if row.time_s is time_s] == [wrong]
    assert len(judged.events) == 1
    assert memory.of("A").to_json()["running|t|running_hours|cycles"][1] == 0.0


def test_a_truth_value_and_a_whole_number_are_numbers():
    book = rule_book([Running(metric="on", report_every_s=0), DeadBand(metric="n", band=2)])
    judged = judge(book, RuleMemory(), [*rows(True, False, metric="on"), *rows(1, 2, 3, metric="n")], NOW_S)
    assert judged.rows[1].values == {"on": False, "running_hours": round(1 / 60, 6), "cycles": 0}
    assert judged.thinned == 1


def test_metrics_without_rules_go_on_beside_those_with():
    book = rule_book([DeadBand(metric="t", band=1)])
    judged = judge(
        book,
        RuleMemory(),
        [Row("A", START_S, {"t": 1.0, "u": 2.0}), Row("A", START_S + 1, {"t": 1.0, "u": 2.0})],
        NOW_S,
    )
    assert [row.values for row in judged.rows] == [{"t": 1.0, "u": 2.0}, {"u": 2.0}]


EVERY_KIND = rule_book(
    [
        Running(metric="t", above=10, report_every_s=0),
        Threshold(metric="t", above=85, clear=20, code="HOT"),
        Window(metric="t", every_s=600, keep_raw=True),
        SwingingDoor(metric="t", band=1),
    ]
)


def test_a_restart_after_any_row_changes_nothing_of_what_is_sent():
    values = [5.0, 12.0, 12.5, 90.0, 88.0, 30.0, 95.0, 19.0, 5.0, 5.1, 5.2, 40.0, 90.0] * 3
    whole = judge(EVERY_KIND, RuleMemory(), rows(*values), NOW_S)
    disk, sent, events = Disk(), [], []
    for row in rows(*values):
        memory = RuleMemory(disk.texts.get)
        judged = judge(EVERY_KIND, memory, [row], NOW_S)
        disk.store(memory)
        sent += judged.rows
        events += judged.events
    assert sent == whole.rows
    assert events == whole.events


def test_what_was_not_stored_is_offered_again_and_what_did_not_change_is_not():
    memory = RuleMemory()
    judge(EVERY_KIND, memory, rows(50.0), NOW_S)
    once = memory.to_store()
    assert set(once) == {"rule_assets", "rules.A"}
    assert memory.to_store() == once, "the transaction failed"
    memory.stored()
    assert memory.to_store() == {}
    judge(EVERY_KIND, memory, rows(60.0), NOW_S)
    assert set(memory.to_store()) == {"rules.A"}


def test_dead_bands_cost_no_disk():
    memory = RuleMemory()
    judge(rule_book([DeadBand(metric="t", band=1)]), memory, rows(1.0, 5.0), NOW_S)
    assert memory.to_store() == {}


def test_another_book_takes_over_counters_alarms_and_windows():
    disk, memory = Disk(), RuleMemory()
    judge(EVERY_KIND, memory, rows(50.0, 90.0), NOW_S)
    disk.store(memory)
    other = rule_book(
        [
            Running(metric="t", above=20, report_every_s=0),
            Threshold(metric="t", above=70, code="HOT"),
            Window(metric="t", every_s=600, emit=["count"]),
        ]
    )
    judged = judge(other, memory, [Row("A", START_S + 120, {"t": 95.0}), Row("A", START_S + 600, {"t": 95.0})], NOW_S)
    assert judged.events == []
    said = {name: value for row in judged.rows for name, value in row.values.items()}
    assert said["t.count"] == 3
    assert said["running_hours"] == pytest.approx(2 / 60, abs=1e-6), "the gap of 480 s counts as nothing"


def test_rules_that_go_send_what_they_held_back_and_a_counter_that_comes_back_goes_on():
    memory = RuleMemory()
    judge(EVERY_KIND, memory, rows(50.0, 50.0), NOW_S)
    judged = judge({}, memory, [], NOW_S)
    assert [row.values for row in judged.rows] == [
        {"t.min": 50.0, "t.max": 50.0, "t.mean": 50.0},
        {"t": 50.0},
    ]
    memory = after_restart(memory)
    judge({}, memory, [], NOW_S)
    judged = judge(EVERY_KIND, memory, [Row("A", START_S + 120, {"t": 50.0})], NOW_S)
    assert judged.rows[0].values["running_hours"] == round(2 / 60, 6)


def test_rules_taken_out_of_the_file_between_two_runs_lose_nothing_that_they_held_back():
    memory = RuleMemory()
    judge(EVERY_KIND, memory, rows(50.0, 52.0), NOW_S)
    again = after_restart(memory)
    judged = judge(rule_book([Threshold(metric="t", above=85, clear=20, code="HOT")]), again, [], NOW_S)
    assert [row.values for row in judged.rows] == [{"t.min": 50.0, "t.max": 52.0, "t.mean": 51.0}, {"t": 52.0}]
    third = RuleMemory((memory.to_store() | again.to_store()).get)
    assert judge({}, third, [], NOW_S).rows == [], "once"


def test_what_rules_make_has_the_unit_of_what_it_is_made_from():
    book = rule_book([Window(metric="p", every_s=60, emit=["max", "count"]), Running(metric="on", serial="A")])
    assert derived_units(book, "A", {"p": "bar", "on": ""}) == {"p.max": "bar", "running_hours": "h"}
    assert derived_units(book, "B", {}) == {}


def test_two_rules_may_make_different_metrics_from_one():
    book: RuleBook = rule_book([Window(metric="t", every_s=60), Window(metric="t", every_s=3600, name="t_hour")])
    judged = judge(book, RuleMemory(), rows(*range(61)), NOW_S)
    assert judged.windowed == 61
    assert [row.values["t_hour.mean"] for row in judged.rows if "t_hour.mean" in row.values] == [29.5]


def test_a_rule_for_one_asset_may_make_what_another_makes_for_the_rest():
    rule_book([Running(metric="on"), Running(metric="on", serial="A", start_hours=5)])
    with pytest.raises(RuleClashError, match="running_hours"):
        rule_book([Running(metric="on"), Running(metric="power", serial="A")])
