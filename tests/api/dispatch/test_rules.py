"""The state machine of jobs pair by pair, and who can do a visit."""

from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from api.dispatch import rules
from api.dispatch.rules import ACTIONS, JOB_STATES, MACHINE, TICKET_FOLLOWS
from api.tickets import rules as ticket_rules

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")

# Written out a second time on purpose: a slip in the table must not pass because the test reads the table.
ALLOWED = {
    ("open", "hold"): "waiting",
    ("open", "dispatch"): "dispatched",
    ("open", "admit"): "in_progress",
    ("waiting", "admit"): "in_progress",
    ("open", "complete"): "completed",
    ("open", "cancel"): "cancelled",
    ("waiting", "hold"): "waiting",
    ("waiting", "dispatch"): "dispatched",
    ("waiting", "complete"): "completed",
    ("waiting", "cancel"): "cancelled",
    ("dispatched", "start"): "in_progress",
    ("dispatched", "recall"): "waiting",
    ("dispatched", "complete"): "completed",
    ("dispatched", "cancel"): "cancelled",
    ("in_progress", "recall"): "waiting",
    ("in_progress", "complete"): "completed",
    ("in_progress", "cancel"): "cancelled",
}


@pytest.mark.parametrize(("state", "action"), list(product(JOB_STATES, ACTIONS)))
def test_each_pair_leads_where_it_should(state, action) -> None:
    assert MACHINE.next_state(state, action) == ALLOWED.get((state, action))
    assert (action in MACHINE.actions_of(state)) == ((state, action) in ALLOWED)


def test_the_ticket_only_makes_moves_of_its_own_table() -> None:
    for to, from_states in TICKET_FOLLOWS.values():
        for from_state in from_states:
            assert ticket_rules.may_move(from_state, to), (from_state, to)
    assert ticket_rules.OVER == rules.ENDED_TICKET_STATES


def test_where_no_fault_was_found_no_part_was_used() -> None:
    assert rules.uses_parts("confirmed", parts_used=True)
    assert not rules.uses_parts("confirmed", parts_used=False)
    assert not rules.uses_parts("no_fault_found", parts_used=True)


@pytest.mark.parametrize(
    ("starts", "ends", "field"),
    [
        (0, 60, None),
        (-15, 60, None),
        (-16, 60, "starts_at"),
        (60, 60, "ends_at"),
        (60, 30, "ends_at"),
        (0, 24 * 60, None),
        (0, 24 * 60 + 1, "ends_at"),
        (4 * 366 * 24 * 60, 4 * 366 * 24 * 60 + 60, "starts_at"),
    ],
)
def test_an_impossible_interval_is_named(starts, ends, field) -> None:
    misfit = rules.misfit_of_interval(NOW + timedelta(minutes=starts), NOW + timedelta(minutes=ends), NOW)
    assert (misfit and misfit[0]) == field


def test_what_a_technician_lacks_is_said() -> None:
    technician = {"active": False, "skills": ["gas"], "territories": ["south"]}
    assert rules.unfit(technician, "hydraulics", "north") == [
        "is not active",
        "does not have the skill hydraulics",
        "does not serve the territory north",
    ]
    assert rules.unfit({"active": True, "skills": ["gas"], "territories": ["south"]}, "gas", "south") == []


def kept(quantity: int, *, state: str = "reserved", hours: float = 0, sku: str = "PUMP") -> dict:
    return {"sku": sku, "quantity": quantity, "state": state, "available_at": NOW + timedelta(hours=hours)}


@pytest.mark.parametrize(
    ("reservations", "reason"),
    [
        ([], "2 needed, 0 reserved"),
        ([kept(1)], "2 needed, 1 reserved"),
        ([kept(2, sku="SEAL")], "2 needed, 0 reserved"),
        ([kept(2, hours=1)], "on site only from 2026-07-01T09:00:00+00:00"),
        ([kept(2)], None),
        # Used already at an earlier visit of the job: it is where it belongs.
        ([kept(2, state="consumed", hours=1)], None),
    ],
)
def test_parts_are_on_site_when_the_visit_starts(reservations, reason) -> None:
    missing = rules.missing_parts([{"sku": "PUMP", "quantity": 2}], reservations, NOW)
    assert [part["reason"] for part in missing] == ([reason] if reason else [])


def span(begins: float, ends: float, day: int = 1) -> tuple[datetime, datetime]:
    midnight = datetime(2026, 7, day, tzinfo=UTC)
    return midnight + timedelta(hours=begins), midnight + timedelta(hours=ends)


@pytest.mark.parametrize(
    ("promised", "why"),
    [
        ([], None),
        ([span(8, 9)], None),
        ([span(10, 11)], None),
        ([span(8, 9.5)], "has a visit from"),
        ([span(9.25, 9.5)], "has a visit from"),
        ([span(8, 11)], "has a visit from"),
        ([span(11, 14)], None),
        ([span(11, 14.5)], "would work 270 minutes on 2026-07-01, more than 240 a day"),
        ([span(11, 14.5, day=2)], None),
    ],
)
def test_a_technician_is_at_one_place_and_no_longer_than_a_day_allows(promised, why) -> None:
    found = rules.why_busy(span(9, 10), promised, timedelta(hours=4), UTC_ZONE)
    assert (found is None) == (why is None)
    assert why is None or found.startswith(why)


def test_a_day_is_one_of_the_sites_zone() -> None:
    # 22:00 UTC is midnight in Berlin: these two are of different days there, and of one day in UTC.
    evening, night = span(20, 21.5), span(22.5, 23.5)
    assert rules.why_busy(night, [evening], timedelta(hours=2), BERLIN) is None
    assert "would work" in rules.why_busy(night, [evening], timedelta(hours=2), UTC_ZONE)


def test_a_visit_over_midnight_counts_for_both_days() -> None:
    over = span(23, 25)
    assert rules.days_touched(over, UTC_ZONE) == [date(2026, 7, 1), date(2026, 7, 2)]
    assert rules.days_touched(span(23, 24), UTC_ZONE) == [date(2026, 7, 1)]
    why = rules.why_busy(over, [span(1, 4.5, day=2)], timedelta(hours=4), UTC_ZONE)
    assert why == "would work 270 minutes on 2026-07-02, more than 240 a day"


def test_days_are_shorter_and_longer_when_clocks_change() -> None:
    lengths = [rules.day_span(day, BERLIN) for day in (date(2026, 3, 29), date(2026, 10, 25))]
    assert [ends - begins for begins, ends in lengths] == [timedelta(hours=23), timedelta(hours=25)]


def test_an_appointment_is_told_in_the_time_of_the_site() -> None:
    assert rules.appointment_words(span(6, 7.5), BERLIN) == "Wed 1 Jul 2026, 08:00–09:30 (Europe/Berlin)"
    assert rules.appointment_words(span(21, 23), BERLIN) == "Wed 1 Jul 2026, 23:00–Thu 2 Jul 01:00 (Europe/Berlin)"
