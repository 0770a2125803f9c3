"""The desk of visits, with visits of partners that are completed, and what audits them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.completion_audit.facts import Facts
from tests.api.visits.conftest import Desk
from tests.api.visits.conftest import desk as desk  # noqa: PLC0414 - a fixture, for the tests of this folder

AUDIT = "/v1/completion-audit"


@pytest.fixture
def completed(desk: Desk) -> Callable[..., int]:
    """Completes a visit of the machine some hours after the beginning; the visit's number."""

    def complete(hours: float, *, parts: int = 2, minutes: int = 45, **changes: object) -> int:
        visit = desk.visit(hours)
        path = f"/v1/visits/{visit['visit_id']}"
        desk.on_site(visit)
        if parts:
            desk.use_pump(visit, parts)
        else:
            desk.use_pump(visit, kind="returned", old_part=None)
        desk.now += timedelta(minutes=minutes)
        desk.post("technician", f"{path}/check-out", {})
        desk.call("technician", "PUT", f"{path}/report", desk.report(**changes))
        desk.post("technician", f"{path}/complete")
        return int(visit["visit_id"])

    return complete


@pytest.fixture
def check_of(desk: Desk) -> Callable[..., dict[str, Any]]:
    """The check of a visit as somebody sees it, after what is due was done."""

    def find(visit_id: int, role: str = "agent") -> dict[str, Any]:
        desk.post("service", "/v1/duties/run")
        (one,) = desk.get(role, f"{AUDIT}/checks?visit_id={visit_id}")["items"]
        return desk.get(role, f"{AUDIT}/checks/{one['completion_check_id']}")

    return find


AT = datetime(2026, 7, 2, 8, tzinfo=UTC)


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """Facts of a visit with nothing wrong, but for the changes given: by dotted name."""

    def build(**changes: Any) -> Facts:
        made: dict[str, Any] = {
            "visit_id": 7, "job_id": 7, "ticket_id": 7, "job_kind": "repair", "component": "pump", "country": "DE",
            "model": "HD-5", "product_kind": "washer", "provider_id": 1, "provider_level": "gold", "technician_id": 1,
            "asset_id": 1, "serial": "HD5-1",
            "times": {
                "opened_at": AT - timedelta(days=1), "starts_at": AT, "ends_at": AT + timedelta(hours=1),
                "departed_at": AT - timedelta(minutes=30), "checked_in_at": AT,
                "work_began_at": AT + timedelta(minutes=5), "checked_out_at": AT + timedelta(minutes=50),
                "completed_at": AT + timedelta(minutes=55),
            },
            "devices": {"clock_off_s": 3.0, "told_late_s": 60.0, "after_the_end": 0, "check_in_km": 0.1},
            "levels_known": ["symptom", "fault", "cause", "remedy"],
            "report": {
                "serial_found": "HD5-1", "symptom": "S1", "fault": "F1", "cause": "C1", "remedy": "R1",
                "solved": True, "outcome": "confirmed", "in_warranty": True, "warranty_noted": False, "photos": 2,
                "signed": True, "unsigned_noted": False, "replaced": ["pump"], "travel_minutes": 30,
            },
            "warranty": {
                "covered": True, "parts": True, "labour": True, "travel": True, "bearer": "maker", "reason": "covered",
            },
            "bill": None,
            "charges": {"currency": None, "visit_minor": 0, "agreed_minor": 0, "other_minor": 0},
            "parts": [
                {"sku": "PUMP", "used": 2, "used_by_job": 2, "moved": 2, "fits": True, "serialised": False,
                 "serials": 0, "old_without_fate": 0},
            ],
            "located": True, "base": {"code": "WH-1", "km": 20.0}, "earlier": [], "installed_by": None, "reused": [],
        }  # fmt: skip
        for name, value in changes.items():
            *path, last = name.split("__")
            target = made
            for step in path:
                target = target[int(step)] if step.isdigit() else target[step]
            target[last] = value
        return Facts.model_validate(made)

    return build
