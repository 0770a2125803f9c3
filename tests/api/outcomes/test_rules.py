"""What each fact says about each case."""

from datetime import UTC, datetime, timedelta

import pytest

from api.outcomes.rules import Fact, outcome_of

OPENED = datetime(2026, 1, 10, 6, tzinfo=UTC)
HORIZON = timedelta(hours=24)


@pytest.mark.parametrize(
    ("fact_kind", "reason", "ticket_kind", "outcome"),
    [
        ("failure", "failure", "preventive", "confirmed"),
        ("replacement", "failure", "preventive", "confirmed"),
        ("replacement", "preventive", "preventive", "prevented"),
        ("replacement", "scheduled", "preventive", "superseded"),
        ("failure", "failure", "repair", None),
        ("replacement", "failure", "repair", "confirmed"),
        ("replacement", "preventive", "repair", None),
        ("replacement", "scheduled", "repair", None),
        ("failure", "failure", "complaint", None),
        ("replacement", "failure", "warranty_expiry", None),
    ],
)
def test_each_fact_and_each_kind_of_case(fact_kind, reason, ticket_kind, outcome) -> None:
    fact = Fact(fact_kind, OPENED + timedelta(hours=5), reason)
    assert outcome_of(fact, ticket_kind, OPENED, HORIZON) == outcome


@pytest.mark.parametrize(
    ("hours", "outcome"),
    [(1000, "confirmed"), (0, "confirmed"), (-0.001, "superseded"), (-24, "superseded"), (-24.001, None)],
)
def test_a_case_opened_after_the_failure_is_no_catch(hours, outcome) -> None:
    fact = Fact("failure", OPENED + timedelta(hours=hours), "failure")
    assert outcome_of(fact, "preventive", OPENED, HORIZON) == outcome


def test_a_repair_asked_for_after_the_replacement_stays_open() -> None:
    assert outcome_of(Fact("replacement", OPENED - timedelta(hours=1), "failure"), "repair", OPENED, HORIZON) is None
