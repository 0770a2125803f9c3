"""When an answer may be given, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from api.satisfaction import rules

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answered_ago", "expires_in", "problem"),
    [(None, 1, None), (None, 0, "link-expired"), (1, -5, None), (6.99, -5, None), (7, 5, "answer-final")],
)
def test_an_answer_comes_in_time_or_too_late(answered_ago, expires_in, problem) -> None:
    answered_at = None if answered_ago is None else NOW - timedelta(days=answered_ago)
    late = rules.misfit_of_answer(NOW, answered_at, NOW + timedelta(days=expires_in))
    assert (late and late[0]) == problem


def test_the_question_says_what_about_and_where_to_answer() -> None:
    question = rules.question(ticket_id=7, title="leaks", machine="HD 5 (serial number 1)", link="/x", until=NOW)
    assert question.subject == "Case 7: how satisfied are you?"
    assert "Machine: HD 5 (serial number 1)" in question.body
    assert question.body.endswith("until 2026-06-01: /x")
    assert "Machine" not in rules.question(ticket_id=7, title="x", machine=None, link="/x", until=NOW).body
