"""When a customer is asked, what they read, and how long an answer may be changed."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from api.conventions.limits import Limiter
from api.conventions.states import StateMachine

State = Literal["asked", "not_asked", "answered"]

MACHINE = StateMachine(
    name="satisfaction",
    initial="due",
    moves={
        "due": {"ask": "asked", "pass_over": "not_asked"},
        "asked": {"answer": "answered"},
        "answered": {"change": "answered"},
        "not_asked": {},
    },
    notes="A case that ended lately is `due`; it has no row yet. Whoever allows no channel is passed over.",
)

# A case is asked about soon after its end or not at all: not all of the past when the platform starts.
ASKED_WITHIN = timedelta(days=3)
LINK_FOR = timedelta(days=30)
CHANGED_FOR = timedelta(days=7)
# Of these nobody has done anything for the customer.
UNASKED_KINDS = ("warranty_expiry",)
UNASKED_OUTCOMES = ("superseded", "reminded")

PATH = "/v1/satisfaction/by-token/"


@dataclass(frozen=True)
class Survey:
    """What an operator may set.

    Attributes:
        bad_score: Answers up to it open a follow-up.
        tries: How often an address may use links.
    """

    bad_score: int = 2
    tries: Limiter = field(default_factory=lambda: Limiter(60))


@dataclass(frozen=True)
class Question:
    """One line and a text for the customer."""

    subject: str
    body: str


def new_token() -> tuple[str, bytes]:
    """A link's token of 256 random bits, and what is kept of it."""
    token = secrets.token_urlsafe(32)
    return token, token_hash(token)


def token_hash(token: str) -> bytes:
    """What is kept of a token; it is random, so no salt or stretching is needed."""
    return hashlib.sha256(token.encode()).digest()


def question(*, ticket_id: int, title: str, machine: str | None, link: str, until: datetime) -> Question:
    """What the customer reads when asked."""
    lines = [
        "How satisfied are you with what we did for you?",
        "",
        f"Case {ticket_id}: {title}",
        *([f"Machine: {machine}"] if machine else []),
        "",
        f"Answer with 1 (not at all) to 5 (very) until {until:%Y-%m-%d}: {link}",
    ]
    return Question(f"Case {ticket_id}: how satisfied are you?", "\n".join(lines))


def bad_news(*, ticket_id: int, score: int, comment: str, follow_up_id: int) -> Question:
    """What the desk reads about a bad answer."""
    lines = [
        f"The customer of case {ticket_id} gave it {score} of 5.",
        f"They said: {comment}" if comment else "They said nothing more.",
        "",
        f"The follow-up is case {follow_up_id}.",
    ]
    return Question(f"Case {ticket_id}: the customer is not satisfied ({score} of 5)", "\n".join(lines))


def follow_up_title(ticket_id: int, score: int) -> str:
    """The title of the case that a bad answer opens."""
    return f"Not satisfied with case {ticket_id}: {score} of 5"


def changeable_until(answered_at: datetime | None) -> datetime | None:
    """Until when an answer may be changed; None before there is one."""
    return None if answered_at is None else answered_at + CHANGED_FOR


def misfit_of_answer(now: datetime, answered_at: datetime | None, expires_at: datetime) -> tuple[str, str] | None:
    """The problem's name and words when an answer comes too late; None when it may be given."""
    if answered_at is None and now >= expires_at:
        return "link-expired", f"the question could be answered until {expires_at.isoformat()}; call the service desk"
    until = changeable_until(answered_at)
    if until is not None and now >= until:
        return "answer-final", f"the answer could be changed until {until.isoformat()}"
    return None
