"""Announces the end of warranties, once per term."""

from datetime import date, datetime, timedelta
from typing import Any

from careloop.client import CareloopClient, WarrantyTerm


def sweep(client: CareloopClient, now: datetime, days_ahead: int) -> int:
    """Raise a ticket for every term that ends within `days_ahead` days and has none yet.

    The API keeps one ticket per term, ever; so a sweep that was cut short is simply run again.

    Args:
        client: Of the REST API.
        now: Today is its day in UTC.
        days_ahead: How long before its last day a warranty's end is announced.

    Returns:
        The number of tickets opened.
    """
    today = now.date()
    terms = list(client.unticketed_warranty_terms(ends_from=today, ends_before=today + timedelta(days=days_ahead + 1)))
    return sum(bool(client.open_ticket(_new_ticket(term, today), now=now).get("created", True)) for term in terms)


def _new_ticket(term: WarrantyTerm, today: date) -> dict[str, Any]:
    ends_on = date.fromisoformat(term["ends_on"])
    days = (ends_on - today).days
    return {
        "kind": "warranty_expiry",
        "serial": term["serial"],
        "cause": f"warranty:{term['term_id']}",
        "term_id": term["term_id"],
        "title": f"Warranty {term['name']} ends on {ends_on}",
        "description": f"The last day covered is {ends_on}, {days} days from today.",
        "priority": "low",
        "due_by": f"{ends_on.isoformat()}T23:59:59Z",
        "evidence": {"term_id": term["term_id"], "name": term["name"], "ends_on": term["ends_on"], "days_left": days},
    }
