"""Turns scores into tickets through the API: one open case per asset and component, quiet after a false alarm."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.client import CareloopClient, ProblemError, Ticket
from careloop.database.queries import load_queries
from careloop.stepping import parse_time
from predictor.decide import Quiet, decide
from predictor.evidence import act_by, contributions, description, evidence
from predictor.scoring import Score
from predictor.timeline import to_hour

SQL = load_queries("predictor")

OVER = frozenset({"resolved", "closed", "cancelled"})
NOT_FOUND = 404
SURE = 0.8
"""From this probability on a ticket has high priority."""

log = logging.getLogger(__name__)

Case = tuple[int, str]
"""Number of the asset, name of the component."""


@dataclass(frozen=True)
class QuietRule:
    """How long to be quiet after a ticket that found no fault.

    Attributes:
        horizons: That many horizons from when it was closed.
        odds_ratio: How many times greater the odds of failure must have become to break it.
    """

    horizons: float
    odds_ratio: float


class TicketRaiser:
    """Remembers which case each component has, so that the API is only asked about those that would be raised again.

    Args:
        client: Of the REST API.
        quiet_rule: For cases that found no fault.
    """

    def __init__(self, client: CareloopClient, quiet_rule: QuietRule) -> None:
        self._client = client
        self._quiet_rule = quiet_rule
        self._tickets: dict[Case, int] | None = None
        self._quiet: dict[Case, Quiet] = {}

    def raise_for(self, connection: Connection[DictRow], scores: Sequence[Score], now: datetime) -> int:
        """Store the scores and raise what is to be raised.

        Returns:
            The number of tickets opened.
        """
        if self._tickets is None:
            rows = connection.execute(SQL["remembered_tickets"]).fetchall()
            self._tickets = {(row["asset_id"], row["component"]): row["ticket_id"] for row in rows}
        _put_scores(connection, scores, now)
        opened = 0
        for score in scores:
            if score.probability >= score.threshold and not score.is_down:
                opened += self._consider(connection, score, now)
        return opened

    def _consider(self, connection: Connection[DictRow], score: Score, now: datetime) -> bool:
        case = (score.asset_id, score.component)
        tickets = self._tickets or {}
        if case in tickets and self._is_open(case, tickets[case], score):
            return False
        verdict = decide(
            score.probability,
            score.threshold,
            hour=score.hour,
            quiet=self._quiet.get(case),
            odds_ratio_to_break=self._quiet_rule.odds_ratio,
        )
        if verdict != "raise":
            log.info(
                "%s %s: %.0f %%, quiet after no fault found", score.serial, score.component, score.probability * 100,
                extra={"serial": score.serial},
            )  # fmt: skip
            return False
        ticket = self._client.open_ticket(_new_ticket(score), now=now)
        tickets[case] = ticket["ticket_id"]
        self._quiet.pop(case, None)
        connection.execute(
            SQL["remember_ticket"],
            {"ticket_id": ticket["ticket_id"], "asset_id": score.asset_id, "component": score.component},
        )
        created = bool(ticket.get("created", True))
        log.info(
            "ticket %d %s for %s %s: %.0f %%", ticket["ticket_id"], "opened" if created else "goes on", score.serial,
            score.component, score.probability * 100, extra={"ticket": ticket["ticket_id"], "serial": score.serial},
        )  # fmt: skip
        return created

    def _is_open(self, case: Case, ticket_id: int, score: Score) -> bool:
        """Whether the case goes on; when it has ended, what is to be remembered of it is remembered."""
        if case in self._quiet:
            return False
        try:
            ticket: Ticket = self._client.get(f"/v1/tickets/{ticket_id}")
        except ProblemError as problem:
            if problem.status != NOT_FOUND:
                raise
            return False
        if ticket["state"] not in OVER:
            return True
        if ticket["outcome"] == "no_fault_found":
            self._quiet[case] = self._quiet_after(ticket, score)
        return False

    def _quiet_after(self, ticket: Ticket, score: Score) -> Quiet:
        closed_at = parse_time(ticket["closed_at"] or ticket["opened_at"])
        hours = round(self._quiet_rule.horizons * score.stored.model.horizon_hours)
        probability = ticket["evidence"].get("probability")
        return Quiet(
            until_hour=to_hour(closed_at) + hours,
            probability=float(probability) if isinstance(probability, int | float) else score.probability,
        )


def _put_scores(connection: Connection[DictRow], scores: Sequence[Score], now: datetime) -> None:
    if not scores:
        return
    connection.execute(
        SQL["put_scores"],
        {
            "as_of": now,
            "assets": [score.asset_id for score in scores],
            "components": [score.component for score in scores],
            "models": [score.stored.model_id for score in scores],
            "probabilities": [score.probability for score in scores],
        },
    )


def _new_ticket(score: Score) -> dict[str, Any]:
    told = contributions(score.stored.model, score.features)
    horizon_hours = score.stored.model.horizon_hours
    return {
        "kind": "preventive",
        "serial": score.serial,
        "component": score.component,
        "cause": f"component:{score.component}",
        "title": f"{score.component} is likely to fail within {horizon_hours} h ({score.probability:.0%})",
        "description": description(score, told),
        "priority": "high" if score.probability >= SURE else "normal",
        "due_by": act_by(score).isoformat(),
        "evidence": evidence(score, told),
    }
