"""The shape of events and the pauses between attempts."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from api.alerts import rules

ALERT = {
    "alert_id": 7,
    "topic": "ticket.opened",
    "cause": "ticket:12:opened",
    "serial": "HD5-1",
    "subject": "Pump wears out",
    "body": "Soon.",
    "payload": {"ticket_id": 12},
    "created_at": datetime(2026, 3, 1, tzinfo=UTC),
}


def test_an_alert_is_a_cloud_event() -> None:
    event = rules.event_of(ALERT)
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "alert_7",
        "source": "/careloop/v1/alerts",
        "type": "careloop.ticket.opened",
        "subject": "HD5-1",
        "time": "2026-03-01T00:00:00+00:00",
    }
    assert event["data"]["payload"] == {"ticket_id": 12}
    assert "subject" not in rules.event_of({**ALERT, "serial": None})


def test_pauses_double_to_an_hour_and_are_spread() -> None:
    assert [rules.pause_s(attempts, 0.0) for attempts in (1, 2, 3, 20, 1000)] == [2.5, 5.0, 10.0, 1800.0, 1800.0]
    assert rules.pause_s(1, 0.999) == pytest.approx(5.0, abs=0.01)


def test_a_secret_is_one_of_standard_webhooks_and_new_each_time() -> None:
    secret = rules.new_secret()
    assert secret.startswith("whsec_")
    assert len(Webhook(secret)._whsecret) == 32
    assert rules.new_secret() != secret


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://example.com/hook", None),
        ("http://127.0.0.1:8000", None),
        ("ftp://example.com", "must be an http:// or https:// URL"),
        ("https://", "must be an http:// or https:// URL"),
        ("http://[::1", "is not a URL"),
        ("http://host:99999", "is not a URL"),
        ("https://user:secret@example.com", "must not carry a login; receivers check the signature"),
    ],
)
def test_the_address_of_a_webhook_is_judged(url, fault) -> None:
    assert rules.webhook_fault(url) == fault
