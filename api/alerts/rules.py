"""What an alert looks like outside, and when a failed delivery is tried again."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

Topic = Literal[
    "ticket.opened",
    "ticket.resolved",
    "ticket.message",
    "ticket.customer_message",
    "ticket.escalated",
    "sla.warning",
    "sla.breached",
    "job.dispatched",
    "job.waiting",
    "job.completed",
    "visit.proposed",
    "visit.confirmed",
    "visit.rescheduled",
    "visit.failed",
    "visit.reported",
    "visit.audit_rejected",
    "warranty.expiring",
    "warranty.denied",
    "warranty.overturned",
    "claim.due",
    "quote.sent",
    "quote.accepted",
    "quote.declined",
    "quote.expired",
    "quote.withdrawn",
    "repair.opened",
    "repair.moved",
    "repair.delayed",
    "repair.overdue",
    "repair.loaner",
    "transfer.overdue",
    "transfer.lost",
    "purchase.late",
    "purchase.cancelled",
    "stock.imbalance",
    "instrument.overdue",
    "instrument.calibration_due",
    "part.promised",
    "part.date_moved",
    "part.arrived",
    "part.refused",
    "old_part.overdue",
    "old_part.missing",
    "instrument.overdue",
    "instrument.calibration_due",
    "satisfaction.asked",
    "satisfaction.bad",
    "statement.issued",
    "statement.disputed",
    "*",
]
TOPICS: tuple[str, ...] = get_args(Topic)

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
SECRET_BYTES = 32


def new_secret() -> str:
    """A signing secret as Standard Webhooks writes it: `whsec_` and 256 random bits in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(alert_id: int) -> str:
    """The identity of an alert outside; the same at every attempt, so that a receiver can discard a second one."""
    return f"alert_{alert_id}"


def event_of(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The alert as a CloudEvent (CloudEvents 1.0, JSON format).

    Args:
        alert: Its row, with `serial`.
    """
    event = {
        "specversion": "1.0",
        "id": message_id(alert["alert_id"]),
        "source": "/careloop/v1/alerts",
        "type": f"careloop.{alert['topic']}",
        "time": alert["created_at"].isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "cause": alert["cause"],
            "serial": alert["serial"],
            "subject": alert["subject"],
            "body": alert["body"],
            "payload": alert["payload"],
        },
    }
    if alert["serial"] is not None:
        event["subject"] = alert["serial"]
    return event


def pause_s(attempts: int, chance: float) -> float:
    """How long to wait after a failure: doubling from 5 s to 1 h, spread so that failures do not return in step.

    Args:
        attempts: Attempts so far, 1 or more.
        chance: A random number in [0, 1).

    Returns:
        Seconds, between a half and the whole of the doubled pause ("equal jitter").
    """
    whole = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30))
    return whole * (0.5 + chance / 2)


def webhook_fault(url: str) -> str | None:
    """What is wrong with the address of a webhook, if anything."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        return "must be an http:// or https:// URL"
    if parts.username or parts.password:
        return "must not carry a login; receivers check the signature"
    return None
