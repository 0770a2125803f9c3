"""What of that which was told on site is as the procedure wants it, when it happened, and how far from the site."""

from datetime import UTC, datetime, timedelta

import pytest

from api.conventions.positions import Position
from api.dispatch.rules import OPEN_VISIT_STATES, VISIT_STATES
from api.visits import rules
from api.visits.rules import Entry, misfit_of_entry

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
VOLTAGE = {"code": "v", "text": "Mains", "unit": "V", "minimum": 207, "maximum": 253}
SPACE = {"code": "s", "text": "Space", "optional": True}
ROOF = {"code": "r", "text": "Roof", "photo": True}
TICK, PHOTO = {"code": "t", "text": "T", "kind": "tick"}, {"code": "p", "text": "P", "kind": "photo"}
VALUE = {"code": "b", "text": "B", "kind": "value", "unit": "bar", "minimum": 120, "maximum": None}
CHOICE = {"code": "c", "text": "C", "kind": "choice", "choices": ["kept", "changed"]}


@pytest.mark.parametrize(
    ("item", "entry", "misfit"),
    [
        (TICK, Entry("tip", "t"), None),
        (VOLTAGE, Entry("check", "v", "pass", 207), None),
        (VOLTAGE, Entry("check", "v", "pass", 253), None),
        (VOLTAGE, Entry("check", "v", "pass", 206.9), "206.9 V is below 207 V"),
        (VOLTAGE, Entry("check", "v", "pass", 253.1), "253.1 V is above 253 V"),
        (VOLTAGE, Entry("check", "v", "pass"), "has no value"),
        (VOLTAGE, Entry("check", "v", "fail", 230), "failed"),
        (VOLTAGE, Entry("check", "v", value=230), "has no result: pass, fail or not_applicable"),
        (VOLTAGE, Entry("check", "v", "not_applicable"), "must be checked, it always applies"),
        (SPACE, Entry("check", "s", "not_applicable"), None),
        (SPACE, Entry("check", "s", "pass"), None),
        (ROOF, Entry("check", "r", "pass"), "has no photo"),
        (ROOF, Entry("check", "r", "pass", has_photo=True), None),
        (TICK, Entry("step", "t"), None),
        (TICK, Entry("step", "t", "fail"), "failed"),
        (VALUE, Entry("step", "b", value=120), None),
        (VALUE, Entry("step", "b", value=119), "119 bar is below 120 bar"),
        (VALUE, Entry("step", "b"), "has no value"),
        (PHOTO, Entry("step", "p", has_photo=True), None),
        (PHOTO, Entry("step", "p"), "has no photo"),
        (CHOICE, Entry("step", "c", choice="kept"), None),
        (CHOICE, Entry("step", "c", choice="lost"), "must be one of: kept, changed"),
    ],
)
def test_an_entry_is_as_wanted_or_says_why_not(item, entry, misfit) -> None:
    assert misfit_of_entry(item, entry) == misfit


def test_what_is_open_of_a_procedure() -> None:
    may_be_left_out = {**PHOTO, "mandatory": False}
    entries = [
        {"kind": "step", "code": "t", "fit": True, "misfit": None},
        {"kind": "step", "code": "b", "fit": False, "misfit": "has no value"},
        {"kind": "check", "code": "c", "fit": True, "misfit": None},
    ]
    assert rules.open_items([TICK, VALUE, may_be_left_out, CHOICE], entries, "step") == [
        ("b", "B: has no value"),
        ("c", "C: is not done"),
    ]
    wrong = [{"kind": "step", "code": "p", "fit": False, "misfit": "has no photo"}]
    assert rules.open_items([may_be_left_out], wrong, "step") == [("p", "P: has no photo")]
    assert rules.open_tips([TICK, PHOTO], [{"kind": "tip", "code": "t"}, {"kind": "step", "code": "p"}]) == ["p"]


@pytest.mark.parametrize(
    ("device_minutes", "sent_minutes", "at_minutes", "ahead_s", "off"),
    [
        (0, None, 0, None, False),
        (-600, None, -600, None, False),
        (30, None, 0, None, False),  # tomorrow's news is of now
        (50, 60, -10, 3600, True),  # an hour fast: what it calls 50 was ten minutes ago
        (-70, -60, -10, -3600, True),
        (-2, -1, -1, -60, False),
        (-100 * 24 * 60, None, -60 * 24 * 60, None, False),
    ],
)
def test_a_device_that_is_wrong_about_the_time_is_put_right(
    device_minutes, sent_minutes, at_minutes, ahead_s, off
) -> None:
    sent_at = None if sent_minutes is None else NOW + timedelta(minutes=sent_minutes)
    moment = rules.moment_of(NOW + timedelta(minutes=device_minutes), sent_at, NOW)
    assert (moment.at, moment.clock_ahead_s) == (NOW + timedelta(minutes=at_minutes), ahead_s)
    assert rules.clock_is_off(moment) == off


def test_far_is_what_surely_is() -> None:
    site = Position(52.5, 13.4)
    assert rules.distance_m(site, Position(52.51, 13.4)) == pytest.approx(1112, abs=1)
    assert rules.distance_m(None, site) is None
    assert not rules.is_far(None, None)
    assert [rules.is_far(distance, accuracy) for distance, accuracy in ((300, None), (301, None), (1000, 700))] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("reason", "caused_by", "note", "field"),
    [
        ("customer_wish", "customer", "", None),
        ("customer_wish", "provider", "", "caused_by"),
        ("parts_missing", "maker", "", None),
        ("weather", "customer", "", "caused_by"),
        ("planning_error", "other", "", None),
        ("other", "customer", "", "note"),
        ("other", "customer", "holiday", None),
    ],
)
def test_a_reason_names_who_caused_it(reason, caused_by, note, field) -> None:
    misfit = rules.misfit_of_cause(reason, caused_by, note)
    assert (misfit and misfit[0]) == field


def test_jobs_and_visits_mean_the_same_states() -> None:
    """The jobs' room stands below and names the states itself."""
    assert (VISIT_STATES, OPEN_VISIT_STATES) == (rules.VISIT_STATES, rules.OPEN_STATES)
