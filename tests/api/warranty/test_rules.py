"""Which days are covered."""

from datetime import date

import pytest

from api.warranty.rules import Term, judge

MAKER = Term(1, "maker", date(2025, 1, 1), date(2025, 12, 31))
EXTENSION = Term(2, "extension", date(2026, 2, 1), date(2027, 1, 31))
PUMP = Term(3, "pump", date(2025, 6, 1), date(2025, 6, 30))


@pytest.mark.parametrize(
    ("on", "covered", "term", "words"),
    [
        ("2024-12-31", False, MAKER, "only starts on 2025-01-01"),
        ("2025-01-01", True, MAKER, "up to and including 2025-12-31"),
        ("2025-06-15", True, MAKER, "maker"),
        ("2025-12-31", True, MAKER, "maker"),
        ("2026-01-01", False, MAKER, "ended on 2025-12-31"),
        ("2026-02-01", True, EXTENSION, "extension"),
        ("2027-02-01", False, EXTENSION, "ended on 2027-01-31"),
    ],
)
def test_each_edge_of_the_terms(on, covered, term, words) -> None:
    judgement = judge([PUMP, EXTENSION, MAKER], date.fromisoformat(on))
    assert (judgement.covered, judgement.term) == (covered, term)
    assert words in judgement.reason


def test_without_terms_nothing_is_covered() -> None:
    judgement = judge([], date(2025, 1, 1))
    assert (judgement.covered, judgement.term, judgement.reason) == (False, None, "the asset has no warranty terms")
