"""Two pressure washers, one technician, and pumps in stock."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from careloop.client import CareloopClient

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)
SKILL = {"skill": "mechanics", "labour_minutes": 60}


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    """An administrator, who may also dispatch."""
    with api.client("admin") as client:
        for sku in ("PUMP", "SEAL"):
            client.post("/v1/parts", {"sku": sku, "name": sku.title()})
        components = [{"name": "pump", "sku": "PUMP", **SKILL}, {"name": "seal", "sku": "SEAL", **SKILL}]
        model = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "horizon_hours": 24}
        client.post("/v1/product-models", {**model, "components": components})
        client.post("/v1/warehouses", {"code": "C", "name": "Central", "kind": "central"})
        receipt = {"sku": "PUMP", "warehouse": "C", "kind": "receipt", "quantity": 10, "cause": "opening"}
        client.post("/v1/parts/movements", receipt, now=NOW)
        client.post("/v1/technicians", {"name": "Li", "skills": ["mechanics"], "territories": ["default"]})
        for serial in ("HD5-1", "HD5-2"):
            client.post("/v1/assets", {"serial": serial, "model": "HD-5", "installed_at": "2025-01-01T00:00:00Z"})
        yield client


@pytest.fixture
def open_case(desk) -> Callable[..., Any]:
    """Opens a preventive ticket for the pump of HD5-1."""

    def open_case(**change: Any) -> Any:
        ticket = {"kind": "preventive", "serial": "HD5-1", "component": "pump", "title": "The pump wears out"}
        ticket |= change
        if ticket["kind"] == "preventive":
            ticket = {"cause": f"component:{ticket['component']}", **ticket}
        return desk.open_ticket(ticket, now=NOW)

    return open_case


@pytest.fixture
def dispatched(desk) -> Callable[..., Any]:
    """Gives a ticket a job with its part reserved and an appointment in `hours` hours."""

    def dispatched(ticket: Any, hours: int = 26) -> Any:
        job = desk.create_job({"ticket_id": ticket["ticket_id"]}, now=NOW)
        for part in job["parts"]:
            desk.reserve(job["job_id"], part["sku"], part["quantity"], now=NOW)
        [technician] = desk.technicians()
        starts_at = NOW + timedelta(hours=hours)
        span = (starts_at, starts_at + timedelta(hours=1))
        return desk.dispatch_job(job["job_id"], technician["technician_id"], *span, now=NOW)

    return dispatched
