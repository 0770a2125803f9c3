"""The state machine, pair by pair, and the words to the customer."""

from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import pytest

from api.tickets.rules import (
    MOVES,
    OVER,
    STATES,
    Machine,
    may_move,
    misfit_of_new,
    misfit_of_outcome,
    opening_message,
    resolved_message,
    states_diagram,
    targets_of,
)

# Written out a second time on purpose: a slip in the table must not pass because the test reads the table.
ALLOWED = {
    ("open", "scheduled"),
    ("open", "in_progress"),
    ("open", "resolved"),
    ("open", "cancelled"),
    ("scheduled", "open"),
    ("scheduled", "in_progress"),
    ("scheduled", "resolved"),
    ("scheduled", "cancelled"),
    ("in_progress", "open"),
    ("in_progress", "scheduled"),
    ("in_progress", "resolved"),
    ("resolved", "open"),
    ("resolved", "closed"),
}
MACHINE = Machine("HD5-1", "HD 5/15", "Hotel Post")


@pytest.mark.parametrize(("from_state", "to_state"), list(product(STATES, STATES)))
def test_each_pair_of_states(from_state, to_state) -> None:
    assert may_move(from_state, to_state) == ((from_state, to_state) in ALLOWED)


def test_the_table_is_whole() -> None:
    assert set(MOVES) == set(STATES)
    assert {state for state in STATES if not targets_of(state)} == {"closed", "cancelled"}
    assert not may_move("unheard-of", "open")


def test_every_state_leads_to_an_end() -> None:
    ends = {"closed", "cancelled"}
    for start in STATES:
        seen, todo = set(), [start]
        while todo:
            state = todo.pop()
            if state not in seen:
                seen.add(state)
                todo += targets_of(state)
        assert seen & ends, start


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
    ("kind", "component", "cause", "term_id", "field"),
    [
        ("preventive", "pump", "component:pump", None, None),
        ("repair", None, "", None, None),
        ("repair", None, "event:E01", None, None),
        ("warranty_expiry", None, "", 7, None),
        ("warranty_expiry", None, "warranty:7", 7, None),
        ("warranty_expiry", None, "warranty:8", 7, "cause"),
        ("warranty_expiry", None, "", None, "term_id"),
        ("repair", None, "", 7, "term_id"),
        ("repair", None, "warranty:7", None, "cause"),
        ("preventive", "seal", "component:pump", None, "cause"),
        ("preventive", None, "component:pump", None, "cause"),
    ],
)
def test_fields_that_contradict_one_another_are_named(kind, component, cause, term_id, field) -> None:
    misfit = misfit_of_new(kind, component, cause, term_id)
    assert (misfit and misfit[0]) == field


def test_the_opening_tells_machine_fault_and_next_step() -> None:
    message = opening_message(
        "preventive",
        MACHINE,
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
        MACHINE,
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
    assert "before it failed" in resolved_message(MACHINE, ticket_id=1, title="x", outcome="prevented").body
    assert "The work is done" in resolved_message(MACHINE, ticket_id=1, title="x", outcome=None).body


def test_the_documented_diagram_is_the_table() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "states.md"
    assert f"```mermaid\n{states_diagram()}\n```" in page.read_text(encoding="utf-8"), (
        "docs/states.md shows another state machine than api/tickets/rules.py; paste states_diagram() there"
    )
