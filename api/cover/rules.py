"""Codes, spans and rights of bought and granted cover; pure but for the code's randomness."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from api.conventions.states import StateMachine

Starts = Literal["after_warranty", "activation"]

CONTRACT_MACHINE = StateMachine(
    name="cover contract",
    initial="sold",
    moves={
        "sold": {"activate": "active", "cancel": "cancelled", "lapse": "lapsed"},
        "active": {"cancel": "cancelled", "end": "ended"},
        "ended": {},
        "cancelled": {},
        "lapsed": {},
    },
    notes="A sold card lapses when nobody activates it in time; an active one ends after its last day.",
)
EXTENSION_MACHINE = StateMachine(
    name="warranty extension",
    initial="requested",
    moves={
        "requested": {"grant": "granted", "refuse": "refused"},
        "granted": {"withdraw": "withdrawn"},
        "refused": {},
        "withdrawn": {},
    },
    notes="Within an agent's right and budget it is granted at once; else a desk lead decides.",
)

# Crockford's base 32: no letter that looks like a digit.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE = str.maketrans("OIL", "011")
CODE_LENGTH = 25
_GROUP = 5


def new_code() -> str:
    """An activation code of 125 random bits, as it is printed: five groups of five."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))
    return "-".join(letters[start : start + _GROUP] for start in range(0, CODE_LENGTH, _GROUP))


def hash_code(code: str) -> bytes:
    """What is stored of a code, however somebody typed it: small letters, spaces, O for 0."""
    letters = "".join(letter for letter in code.upper().translate(_ALIKE) if letter.isalnum())
    return hashlib.sha256(letters.encode()).digest()


def first_day(starts: Starts, today: date, covered_until: date | None) -> date:
    """When a contract starts that is activated today: at once, or after what covers the machine already."""
    if starts == "activation" or covered_until is None:
        return today
    return max(today, covered_until + timedelta(days=1))


@dataclass(frozen=True)
class Right:
    """What a role may grant by itself.

    Attributes:
        days_around_expiry: So many days before and after the last day covered.
        longest_days: All extensions of one machine together.
        monthly_count: So many a month.
        monthly_minor: And for so much, minor units.
        day_minor: What a day is reckoned to cost, minor units.
    """

    days_around_expiry: int
    longest_days: int
    monthly_count: int
    monthly_minor: int
    day_minor: int

    def cost_minor(self, days: int) -> int:
        """What an extension is reckoned to cost."""
        return days * self.day_minor


@dataclass(frozen=True)
class Refusal:
    """Why an extension is not within a right."""

    code: Literal["too-early", "too-late", "too-long", "too-short"]
    text: str


def refusal_of(right: Right, *, covered_until: date, today: date, days: int, granted_days: int) -> Refusal | None:
    """Why an extension is not within a right, budget apart; None when it is.

    Args:
        right: Of whoever grants it.
        covered_until: The last day covered.
        today: Where the machine stands.
        days: Asked for.
        granted_days: Granted to this machine before.
    """
    apart = (today - covered_until).days
    around = right.days_around_expiry
    if apart > around:
        return Refusal("too-late", f"the cover ended {apart} days ago; within this right it is at most {around}")
    if -apart > around:
        return Refusal("too-early", f"the cover lasts {-apart} days more; within this right it is at most {around}")
    if granted_days + days > right.longest_days:
        left = max(0, right.longest_days - granted_days)
        return Refusal("too-long", f"within this right the machine may get {left} days more, not {days}")
    if days < apart:
        return Refusal("too-short", f"the cover ended {apart} days ago; {days} days would be over already")
    return None
