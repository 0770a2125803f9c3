"""The live predictor goes by its own clock, and the API by another."""

from datetime import UTC, datetime

import pytest

from careloop.client import CareloopClient, ProblemError


def test_who_tells_no_time_opens_tickets_at_an_api_on_its_own_clock(serve_api) -> None:
    """As the live predictor does: it knows its own time, and the API goes by another clock."""
    with serve_api(clock="system") as running:
        with running.client("admin") as admin:
            admin.post(
                "/v1/product-models", {"code": "M", "name": "M", "kind": "washer", "components": [{"name": "pump"}]}
            )
            admin.post("/v1/assets", {"serial": "M-1", "model": "M", "installed_at": "2026-01-01T00:00:00Z"})
        ticket = {
            "kind": "preventive",
            "serial": "M-1",
            "component": "pump",
            "title": "wears out",
            "cause": "component:pump",
        }
        key, now = running.keys["service"], datetime(2026, 7, 1, tzinfo=UTC)
        with CareloopClient(running.url, key, tells_time=False) as silent:
            assert silent.open_ticket(ticket, now=now)["created"] is True
        with CareloopClient(running.url, key) as telling, pytest.raises(ProblemError) as refused:
            telling.open_ticket(ticket, now=now)
        assert refused.value.status == 400
