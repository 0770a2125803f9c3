"""Whether a day is covered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Term:
    """A span of days, both included."""

    term_id: int
    name: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True)
class Judgement:
    """Whether a day is covered, why, and the term that decides; none when there are no terms."""

    covered: bool
    reason: str
    term: Term | None


def judge(terms: Sequence[Term], on: date) -> Judgement:
    """Whether a day is covered by any of an asset's terms.

    Of several terms that cover the day, the one that lasts longest decides; of those that do not, the one ended last,
    else the one that starts first.
    """
    covering = [term for term in terms if term.starts_on <= on <= term.ends_on]
    if covering:
        term = max(covering, key=lambda term: (term.ends_on, term.term_id))
        return Judgement(True, f"the warranty {term.name} covers it up to and including {term.ends_on}", term)
    ended = [term for term in terms if term.ends_on < on]
    if ended:
        term = max(ended, key=lambda term: (term.ends_on, term.term_id))
        return Judgement(False, f"the warranty {term.name} ended on {term.ends_on}", term)
    if terms:
        term = min(terms, key=lambda term: (term.starts_on, term.term_id))
        return Judgement(False, f"the warranty {term.name} only starts on {term.starts_on}", term)
    return Judgement(False, "the asset has no warranty terms", None)
