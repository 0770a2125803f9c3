"""The words of a question, as the database keeps those of tickets: pure.

The same rules as `service.words_of` (careloop/database/migrations/0020_tickets.sql); a test compares the two.
"""

import re
import unicodedata
from collections.abc import Mapping

from api.conventions.roles import Role

# Chinese, Japanese and Korean write without spaces: each character is a word, and each pair of neighbours.
_TOGETHER = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_BETWEEN = re.compile(
    "[\u0000-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u20a0-\u2bff\u3000-\u3004\u3008-\u303f]+"
)
LONGEST_WORD = 64
MOST_WORDS = 16

# Which words a role may look for (weights, see service.ticket_search): B is the customer's name, D are internal notes.
_WEIGHTS: Mapping[Role, str] = {
    "admin": "ABCD", "desk_lead": "ABCD", "agent": "ABCD", "dispatcher": "ABCD", "engineer": "ACD", "service": "AC",
    "technician": "ABC", "partner_manager": "ABC", "customer": "AC",
}  # fmt: skip


def words_of(question: str) -> list[str]:
    """The words that a ticket must have to answer a question.

    >>> words_of("Pumpe, HD5-1! 水泵漏")
    ['水泵', '泵漏', 'pumpe', 'hd5', '1']
    >>> words_of("泵")
    ['泵']
    """
    plain = unicodedata.normalize("NFKC", question).lower()
    words: list[str] = []
    for run in _TOGETHER.findall(plain):
        # A pair says more than its characters; a single one is a word of its own.
        words += [run[place : place + 2] for place in range(len(run) - 1)] or [run]
    words += [word[:LONGEST_WORD] for word in _BETWEEN.split(_TOGETHER.sub(" ", plain)) if word]
    return list(dict.fromkeys(words))


def asked_for(question: str, role: Role) -> str | None:
    """A question as text of PostgreSQL's type tsquery; None when it has no word.

    >>> asked_for("pump 5", "engineer")
    "'pump':ACD & '5':ACD"
    """
    words = words_of(question)[:MOST_WORDS]
    return " & ".join(f"'{word}':{_WEIGHTS[role]}" for word in words) or None
