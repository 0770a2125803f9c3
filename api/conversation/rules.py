"""Who may say what to whom, what a canned reply may hold, and what goes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import Template
from typing import Literal

Direction = Literal["in", "out", "note"]
Channel = Literal["portal", "email", "phone", "sms", "chat", "letter", "in_person", "internal"]
AuthorKind = Literal["user", "customer", "system"]

# For so long an author may correct what was written; after that it is what was said.
EDITABLE = timedelta(minutes=15)

# In these a customer has nothing more to say; a new case is the way.
ENDED = frozenset({"closed", "cancelled", "merged"})

# What a canned reply may name, and what it stands for.
PLACEHOLDERS: Mapping[str, str] = {
    "ticket_id": "the case's number",
    "title": "what the case is about",
    "customer": "the customer's name",
    "serial": "the machine's serial number",
    "model": "the machine's product model",
    "agent": "who writes",
}
NOTHING = "–"


def author_kind(role: str) -> AuthorKind:
    """What kind of author a role is; a service account speaks for the house, not as one of its people."""
    if role == "customer":
        return "customer"
    return "system" if role == "service" else "user"


def misfit_of_direction(role: str, direction: Direction) -> str | None:
    """Why somebody may not write in this direction, or None."""
    if role == "customer" and direction != "in":
        return "a customer writes in; leave it out"
    return None


def misfit_of_case(state: str, direction: Direction, merged_into: int | None) -> str | None:
    """Why nothing can be said in a case any more, or None; notes always can."""
    if direction == "note":
        return None
    if state == "merged":
        return f"the case was merged; go on in ticket {merged_into}"
    if state in ENDED and direction == "in":
        return f"the case is {state}; open a new one"
    return None


def answers_customer(direction: Direction, kind: AuthorKind, channel: Channel) -> bool:
    """Whether a message is an answer by one of the staff, as the first response and the customer's wait count it."""
    return direction == "out" and kind == "user" and channel != "internal"


def may_edit(author_key: str, principal_key: str, written_at: datetime, now: datetime) -> str | None:
    """Why somebody may not correct a message, or None."""
    if author_key != principal_key:
        return "only who wrote it may correct it"
    if now - written_at > EDITABLE:
        return f"it can be corrected for {EDITABLE // timedelta(minutes=1)} minutes; write another one"
    return None


def fault_of_template(body: str) -> str | None:
    """What is wrong with a canned reply, or None."""
    template = Template(body)
    if not template.is_valid():
        return "has a $ that begins no placeholder; write $$ for a dollar sign"
    unknown = sorted(set(template.get_identifiers()) - set(PLACEHOLDERS))
    if unknown:
        return f"does not know {', '.join(unknown)}; it may name: {', '.join(PLACEHOLDERS)}"
    return None


def filled(body: str, values: Mapping[str, object]) -> str:
    """A canned reply with its placeholders filled; what is not known is a dash."""
    shown = {name: NOTHING if values.get(name) in {None, ""} else str(values[name]) for name in PLACEHOLDERS}
    return Template(body).substitute(shown)


def languages_to_try(wanted: str | None, customers: str | None) -> list[str]:
    """Languages in which to look for a canned reply, best first: the one wanted, the customer's, English."""
    tried: list[str] = []
    for language in (wanted, customers, "en"):
        if language:
            tried += [language, language.partition("-")[0]]
    return list(dict.fromkeys(tried))


@dataclass(frozen=True)
class Mail:
    """One line and a text."""

    subject: str
    body: str


def outgoing(ticket_id: int, title: str, author_name: str, body: str) -> Mail:
    """What the customer gets of a message to them."""
    return Mail(f"Your case {ticket_id}: {title}", f"{body}\n\n{author_name}\nYour case number is {ticket_id}.")


def incoming(ticket_id: int, title: str, author_name: str, body: str) -> Mail:
    """What the desk gets of a message by the customer."""
    return Mail(f"Case {ticket_id}: {author_name} wrote", f"{title}\n\n{body}")
