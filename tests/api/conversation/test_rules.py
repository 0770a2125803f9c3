"""Who may say what, and what a canned reply may hold."""

from datetime import UTC, datetime, timedelta

import pytest

from api.conversation.rules import (
    EDITABLE,
    answers_customer,
    author_kind,
    fault_of_template,
    filled,
    languages_to_try,
    may_edit,
    misfit_of_case,
    misfit_of_direction,
    outgoing,
)

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("direction", "role", "channel", "answers"),
    [
        ("out", "agent", "portal", True),
        ("out", "technician", "phone", True),
        # An automatic "we got it" is no answer.
        ("out", "service", "email", False),
        ("in", "agent", "phone", False),
        ("note", "agent", "internal", False),
    ],
)
def test_only_what_staff_says_to_the_customer_is_an_answer(direction, role, channel, answers) -> None:
    assert answers_customer(direction, author_kind(role), channel) is answers


def test_customers_write_in_and_only_while_the_case_lasts() -> None:
    assert misfit_of_direction("customer", "out") is not None
    assert misfit_of_direction("customer", "in") is None
    assert misfit_of_case("resolved", "in", None) is None
    assert "new one" in misfit_of_case("closed", "in", None)
    assert misfit_of_case("closed", "out", None) is None
    assert "ticket 7" in misfit_of_case("merged", "out", 7)
    assert misfit_of_case("merged", "note", 7) is None


def test_what_was_said_can_be_corrected_by_its_author_for_a_while() -> None:
    assert may_edit("user:1", "user:1", NOW, NOW + EDITABLE) is None
    assert "15 minutes" in may_edit("user:1", "user:1", NOW, NOW + EDITABLE + timedelta(seconds=1))
    assert "who wrote" in may_edit("user:1", "user:2", NOW, NOW)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("Dear ${customer}, case $ticket_id, $$5", None),
        ("Dear ${password}", "password"),
        ("100 $", "$$"),
        ("${customer.__class__}", "$$"),
        ("{{ 7*7 }} {customer} %(customer)s", None),
    ],
)
def test_a_canned_reply_holds_names_and_no_code(body, fault) -> None:
    found = fault_of_template(body)
    assert found is None if fault is None else fault in found


def test_a_canned_reply_is_filled() -> None:
    values = {"ticket_id": 7, "customer": "Café ${title} & Co", "title": None}
    assert filled("$customer: ${ticket_id} $title $$", values) == "Café ${title} & Co: 7 – $"


def test_languages_are_tried_best_first() -> None:
    assert languages_to_try("de-AT", "fr") == ["de-AT", "de", "fr", "en"]
    assert languages_to_try(None, None) == ["en"]


def test_the_customer_reads_which_case_it_is() -> None:
    mail = outgoing(12, "No pressure", "Ada", "Please send a photo.")
    assert mail.subject == "Your case 12: No pressure"
    assert "Please send a photo." in mail.body
    assert "12" in mail.body
