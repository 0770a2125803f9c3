"""Sending one signed message to an HTTP receiver, as Standard Webhooks says; blocking, called from threads."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import requests
from standardwebhooks import Webhook

# Connecting, and waiting for each piece of the answer.
CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 10.0

LONGEST_ERROR = 500


def post_signed(
    session: requests.Session,
    url: str,
    secrets: Sequence[str],
    *,
    identity: str,
    event: Mapping[str, Any],
    now: datetime,
) -> str | None:
    """Post a CloudEvent (JSON, structured mode), signed with each secret.

    Args:
        session: Kept between calls, for its connections.
        url: Of the receiver; redirects are not followed: a receiver that moved is for an administrator to follow.
        secrets: `whsec_…`; several while one replaces another.
        identity: The message's, the same at every attempt, so that a receiver can discard a second one.
        event: The CloudEvent.
        now: Signed too, against replays of old messages.

    Returns:
        None when the receiver took it (2xx), else why not.
    """
    body = json.dumps(event)
    headers = {
        "Content-Type": "application/cloudevents+json",
        "User-Agent": "careloop",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(identity, now, body) for secret in secrets),
    }
    try:
        with session.post(
            url,
            data=body.encode(),
            headers=headers,
            timeout=(CONNECT_WITHIN_S, ANSWER_WITHIN_S),
            allow_redirects=False,
            stream=True,
        ) as answer:
            return None if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code} {answer.reason}"
    except requests.RequestException as error:
        return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
