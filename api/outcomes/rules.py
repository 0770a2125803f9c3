"""What a fact about a component says about a case of that component."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from api.tickets.rules import Outcome

Reason = Literal["failure", "preventive", "scheduled"]

_OF_PREVENTIVE: dict[Reason, Outcome] = {
    "failure": "confirmed",
    "preventive": "prevented",
    "scheduled": "superseded",
}


@dataclass(frozen=True)
class Fact:
    """What happened to a component.

    Attributes:
        kind: What it was.
        at: When.
        reason: Why it was replaced; of a failure, `failure`.
    """

    kind: Literal["failure", "replacement"]
    at: datetime
    reason: Reason


def outcome_of(fact: Fact, ticket_kind: str, opened_at: datetime, horizon: timedelta) -> Outcome | None:
    """How a fact ends an open case of the same asset and component, or None when it does not.

    A failure tells whether a preventive case was right, but mends nothing: a repair case ends only with the
    replacement. A case opened after the fact, but within the model's horizon, foretold what had happened already and
    is superseded, not confirmed: it must neither count as a catch nor stand in the way of the next case. Older facts,
    e.g. of an import, say nothing about today's cases.

    Args:
        fact: What happened.
        ticket_kind: Kind of the open case.
        opened_at: When it was opened.
        horizon: How far ahead the asset's model is predicted.
    """
    if ticket_kind == "repair":
        return "confirmed" if fact.kind == "replacement" and fact.reason == "failure" and fact.at >= opened_at else None
    if ticket_kind != "preventive" or fact.at < opened_at - horizon:
        return None
    return _OF_PREVENTIVE[fact.reason] if fact.at >= opened_at else "superseded"
