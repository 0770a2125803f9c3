"""What is done with alerts and their targets; delivery stands in delivery.py."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from api.conventions.call import Call
from careloop.database.queries import load_queries

SQL = load_queries("api.alerts")


async def announce(
    call: Call,
    *,
    topic: str,
    cause: str,
    asset_id: int | None,
    subject: str,
    body: str,
    payload: Mapping[str, Any],
) -> None:
    """Put an alert into the outbox for every active target of its topic, in the call's transaction.

    Args:
        call: Whose transaction also holds what the alert tells of.
        topic: What kind of thing happened, e.g. `ticket.opened`.
        cause: The one thing that happened, e.g. `ticket:12:opened`; a target hears of each cause once, ever.
        asset_id: The asset concerned, if any.
        subject: One line for people.
        body: Text for people.
        payload: JSON for machines; what `json` cannot write (times, decimals) is written as text.
    """
    values = {
        "topic": topic,
        "cause": cause,
        "asset_id": asset_id,
        "subject": subject,
        "body": body,
        "payload": Jsonb(payload, dumps=_dumps),
        "now": call.now,
    }
    await call.connection.execute(SQL["insert_alerts"], values)


def _dumps(payload: object) -> str:
    return json.dumps(payload, default=_plain)


def _plain(thing: object) -> str:
    return thing.isoformat() if isinstance(thing, date | datetime) else str(thing)
