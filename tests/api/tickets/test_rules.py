"""The state machine, pair by pair, and the words to the customer."""

from datetime import UTC, date, datetime
from itertools import product

import pytest

from api.tickets.rules import (
    ACTIVE,
    MACHINE,
    OVER,
    STATES,
    Machine,
    Wish,
    may_move,
    misfit_of_new,
    misfit_of_outcome,
    opening_message,
    resolved_message,
    targets_of,
)

# Written out a second time on purpose: a slip in the table must not pass because the test reads the table.
ALLOWED = {
    "open": {"waiting_customer", "scheduled", "in_progress", "resolved", "cancelled", "merged"},
    "waiting_customer": {"open", "scheduled", "in_progress", "resolved", "cancelled", "merged"},
    "scheduled": {"open", "waiting_customer", "in_progress", "resolved", "cancelled", "merged"},
    "in_progress": {"open", "waiting_customer", "scheduled", "resolved", "merged"},
    "resolved": {"open", "closed"},
    "closed": set(),
    "cancelled": set(),
    "merged": set(),
}
HOTEL = Machine("HD5-1", "HD 5/15", "Hotel Post")


def test_each_pair_of_states() -> None:
    assert set(STATES) == set(MACHINE.states) == set(ALLOWED)
    for before, after in product(STATES, STATES):
        assert may_move(before, after) == (after in ALLOWED[before]), (before, after)
    assert not may_move("unheard-of", "open")
    assert targets_of("resolved") == ["open", "closed"]
    assert set(ACTIVE) | OVER == set(STATES)


def test_the_database_knows_the_same_states_as_over(database_url) -> None:
    """The unique index of open cases and the rules must agree on when a case is over."""
    from careloop.database.engine import connect

    with connect(database_url) as connection:
        definition = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ticket_one_open_case'"
        ).fetchone()["indexdef"]
    assert {state for state in STATES if f"'{state}'" in definition} == OVER


@pytest.mark.parametrize(
    ("kind", "to", "outcome", "fits"),
    [
        ("preventive", "resolved", "confirmed", True),
        ("preventive", "resolved", None, True),
        ("preventive", "resolved", "reminded", False),
        ("preventive", "closed", "confirmed", False),
        ("warranty_expiry", "resolved", "reminded", True),
        ("warranty_expiry", "resolved", "prevented", False),
    ],
)
def test_outcomes_fit_or_not(kind, to, outcome, fits) -> None:
    assert (misfit_of_outcome(kind, to, outcome) is None) == fits


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish("preventive", serial="A", component="pump", cause="component:pump"), None),
        (Wish("repair", serial="A"), None),
        (Wish("repair", serial="A", cause="event:E01"), None),
        (Wish("warranty_expiry", serial="A", term_id=7), None),
        (Wish("warranty_expiry", serial="A", cause="warranty:7", term_id=7), None),
        (Wish("warranty_expiry", serial="A", cause="warranty:8", term_id=7), "cause"),
        (Wish("warranty_expiry", serial="A"), "term_id"),
        (Wish("repair", serial="A", term_id=7), "term_id"),
        (Wish("repair", serial="A", cause="warranty:7"), "cause"),
        (Wish("preventive", serial="A", component="seal", cause="component:pump"), "cause"),
        (Wish("preventive", serial="A", cause="component:pump"), "cause"),
        (Wish("consultation", customer_id=3), None),
        (Wish("consultation"), "serial"),
        (Wish("preventive", customer_id=3), "serial"),
        (Wish("repair", customer_id=3, cause="event:E01"), "serial"),
        (Wish("repair", customer_id=3, component="pump"), "component"),
        (Wish("repair", "mail_in", serial="A"), None),
        (Wish("installation", "mail_in", serial="A"), "service_mode"),
        (Wish("complaint", "remote", serial="A"), "service_mode"),
        (Wish("repair", serial="A", by_customer=True), None),
        (Wish("recall", serial="A", by_customer=True), "kind"),
        (Wish("repair", serial="A", cause="event:E01", by_customer=True), "cause"),
        (Wish("repair", serial="A", by_customer=True, with_evidence=True), "evidence"),
    ],
)
def test_fields_that_contradict_one_another_are_named(wish, field) -> None:
    misfit = misfit_of_new(wish)
    assert (misfit and misfit[0]) == field


def test_the_opening_tells_machine_fault_and_next_step() -> None:
    message = opening_message(
        "preventive",
        HOTEL,
        ticket_id=12,
        title="The pump wears out",
        description="Pressure falls",
        component="pump",
        due_by=datetime(2026, 3, 1, 12, tzinfo=UTC),
        warranty_ends_on=None,
    )
    assert message.subject == "HD 5/15 HD5-1: maintenance needed soon"
    for words in ("serial number HD5-1", "Hotel Post", "pump wears out", "Pressure falls", "2026-03-01 12:00 UTC"):
        assert words in message.body
    assert "appointment" in message.body
    assert "case number is 12" in message.body


def test_a_warranty_message_tells_the_last_day() -> None:
    message = opening_message(
        "warranty_expiry",
        HOTEL,
        ticket_id=1,
        title="Warranty ends",
        description="",
        component=None,
        due_by=None,
        warranty_ends_on=date(2026, 5, 31),
    )
    assert "2026-05-31" in message.subject
    assert "Last day covered: 2026-05-31" in message.body


def test_a_resolved_message_tells_the_result() -> None:
    assert "before it failed" in resolved_message(HOTEL, ticket_id=1, title="x", outcome="prevented").body
    assert "The work is done" in resolved_message(HOTEL, ticket_id=1, title="x", outcome=None).body


def test_a_case_about_no_machine_is_told_without_one() -> None:
    given = {"ticket_id": 5, "title": "Invoice", "description": "", "component": None, "due_by": None}
    message = opening_message("consultation", None, **given, warranty_ends_on=None)
    assert message.subject == "Invoice"
    assert "Machine" not in message.body
    assert resolved_message(None, ticket_id=5, title="Invoice", outcome=None).subject == "case 5 is resolved"
    mailed = opening_message("repair", HOTEL, **given, warranty_ends_on=None, service_mode="mail_in")
    assert "label" in mailed.body
