"""What a change looks like outside, and whom it concerns."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

TYPE_FILTER = r"^(\*|[a-z_]{1,63}\.(\*|[a-z_]{1,63}))$"

# Failures in so many lanes one after another are the receiver's, not the events'.
RECEIVER_IS_DOWN_AFTER = 3


def type_of(change: Mapping[str, Any]) -> str:
    """What happened, e.g. `ticket.resolved`."""
    return f"{change['thing']}.{change['to_state']}"


def lane_of(change: Mapping[str, Any]) -> str:
    """What keeps its order: a ticket with all around it, or the thing itself where there is no ticket."""
    ticket_id = change["ticket_id"]
    return f"ticket:{ticket_id}" if ticket_id is not None else f"{change['thing']}:{change['thing_key']}"


def message_id(change: Mapping[str, Any]) -> str:
    """The identity of a change outside, by which a receiver discards a second one; also after a replay."""
    return f"change_{change['change_id']}"


def event_of(change: Mapping[str, Any]) -> dict[str, Any]:
    """A change as a CloudEvent (CloudEvents 1.0, JSON format; with the extensions `sequence` and `partitionkey`).

    Args:
        change: Its row with `position` and `serial`.
    """
    return {
        "specversion": "1.0",
        "id": message_id(change),
        "source": "/careloop/v1/events",
        "type": f"careloop.{type_of(change)}",
        "subject": f"{change['thing']}/{change['thing_key']}",
        "time": change["at"].isoformat(),
        "datacontenttype": "application/json",
        "sequence": f"{change['position']:020d}",
        "partitionkey": lane_of(change),
        "data": {
            "thing": change["thing"],
            "key": change["thing_key"],
            "from": change["from_state"],
            "to": change["to_state"],
            "actor": change["actor"],
            "ticket_id": change["ticket_id"],
            "serial": change["serial"],
            "customer_id": change["customer_id"],
            "provider_id": change["provider_id"],
        },
    }


def wanted(type_name: str, filters: Iterable[str]) -> bool:
    """Whether a type passes one of the filters `*`, `ticket.*`, `ticket.resolved`.

    >>> wanted("ticket.resolved", ["visit.*", "ticket.*"]), wanted("ticket.resolved", ["ticket.closed"])
    (True, False)
    """
    thing = type_name.partition(".")[0]
    return any(given in {"*", type_name, f"{thing}.*"} for given in filters)


def misfit_of_filter(given: str) -> str | None:
    """What is wrong with a filter, or None."""
    if re.fullmatch(TYPE_FILTER, given):
        return None
    return "must be *, a thing with all its states (ticket.*), or one state of it (ticket.resolved)"
