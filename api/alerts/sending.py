"""Sending one alert to one target: through Apprise, or as a signed webhook. Blocking; called from threads.

Apprise has no plugin that writes files, so two of our own are registered by its decorator: `careloop-file:///path`
appends one CloudEvent per line, `careloop-log://` writes to this process's log.

Targets are set by administrators only. A webhook goes to whatever address they name, also within the own network, and
a file target appends to any file that this process may write: give the role admin accordingly.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
from apprise import Apprise, AppriseAsset
from apprise.decorators import notify

from api.alerts.rules import event_of, message_id
from api.conventions.webhooks import ANSWER_WITHIN_S, CONNECT_WITHIN_S, LONGEST_ERROR, post_signed

# What one delivery may usually take at most; claims are not held for less.
SEND_WITHIN_S = CONNECT_WITHIN_S + ANSWER_WITHIN_S

_OWN_SCHEMES = {"careloop-file", "careloop-log"}

Row = Mapping[str, Any]
Send = Callable[[Row, datetime], str | None]

log = logging.getLogger(__name__)
apprise_log = logging.getLogger("apprise")


def _append_to_file(body: str, *_: object, meta: Mapping[str, Any], **__: object) -> bool:
    path = meta["qsd"]["path"]
    try:
        # One write of one line to a file opened for appending: lines of several processes do not mix.
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(file, body.encode() + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        apprise_log.warning("%s: %s", path, error.strerror)
        return False
    return True


def _write_to_log(body: str, *_: object, **__: object) -> bool:
    log.info("alert: %s", body)
    return True


notify(on="careloopfile", name="careloop file")(_append_to_file)  # type: ignore[no-untyped-call] # Apprise: partly typed
notify(on="carelooplog", name="careloop log")(_write_to_log)  # type: ignore[no-untyped-call] # Apprise: partly typed
# It would note every delivery.
apprise_log.setLevel(logging.WARNING)


def apprise_target(url: str) -> Apprise | None:
    """The target of an Apprise URL, or None when Apprise does not understand it."""
    # Not asynchronous: it sends in the thread that calls it instead of in threads of its own.
    target = Apprise(asset=AppriseAsset(async_mode=False))
    return target if target.add(_for_apprise(url)) else None


def shown(kind: str, url: str) -> str:
    """A target's URL as it may be shown: passwords and tokens of Apprise URLs are masked."""
    if kind == "webhook" or _own_scheme(url):
        return url
    target = apprise_target(url)
    if target is None:
        return url.partition("://")[0] + "://…"
    return str(target[0].url(privacy=True))  # type: ignore[no-untyped-call] # Apprise: partly typed


def sender_of(target: Row) -> Send:
    """What sends alerts to a target; keep it, it keeps connections.

    Args:
        target: Row with `kind`, `url` and `secret`.

    Returns:
        A function of an alert's row and the current time; it answers None when the target took the alert, else why
        not.
    """
    return _webhook(target["url"], target["secret"]) if target["kind"] == "webhook" else _apprise(target["url"])


def _apprise(url: str) -> Send:
    target = apprise_target(url)
    machine_readable = _own_scheme(url)

    def send(alert: Row, now: datetime) -> str | None:  # noqa: ARG001 - webhooks sign the time
        if target is None:
            return "Apprise does not understand the target's URL"
        text = json.dumps(event_of(alert)) if machine_readable else alert["body"] or alert["subject"]
        try:
            answer = target.notify(title=alert["subject"], body=text)
        except Exception as error:  # noqa: BLE001 - hundreds of foreign plugins; one's defect is a failed delivery
            return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        if answer:
            return None
        complaints = "; ".join(line.message for result in answer.results for line in result.logs())
        return (complaints or "the target refused the alert")[:LONGEST_ERROR]

    return send


def _webhook(url: str, secret: str) -> Send:
    session = requests.Session()

    def send(alert: Row, now: datetime) -> str | None:
        return post_signed(
            session, url, [secret], identity=message_id(alert["alert_id"]), event=event_of(alert), now=now
        )

    return send


def _own_scheme(url: str) -> bool:
    return url.partition("://")[0] in _OWN_SCHEMES


def _for_apprise(url: str) -> str:
    """Our own schemes without the hyphen, which Apprise forbids; the path so that none of it passes for a host."""
    if not _own_scheme(url):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme.replace('-', '')}://_/?path={quote(unquote(parts.path), safe='')}"
