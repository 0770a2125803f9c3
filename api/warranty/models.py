"""Answers about warranty."""

from datetime import date

from api.conventions.models import Answer


class WarrantyTerm(Answer):
    """A warranty of an asset; `ends_on` is the last day covered, `ticket_id` the case that announced its end."""

    term_id: int
    serial: str
    name: str
    starts_on: date
    ends_on: date
    ticket_id: int | None


class Coverage(Answer):
    """Whether an asset is covered on a day, and why."""

    serial: str
    on: date
    covered: bool
    reason: str
    term: WarrantyTerm | None
