"""A workshop: machines in two territories, their parts in stock, and technicians."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from careloop.client import CareloopClient, Job
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
COMPONENTS = [
    {"name": "pump", "sku": "PUMP", "quantity": 2, "skill": "hydraulics", "labour_minutes": 90},
    {"name": "lid", "skill": "hydraulics", "labour_minutes": 15},
]


@dataclass
class Workshop:
    """A client with the role `service`, and what the tests do with it."""

    client: CareloopClient
    database_url: str
    technician_id: int
    plan_id: int

    def ticket(self, component: str | None = "pump", *, serial: str = "HD5-1", **fields: object) -> int:
        body = {"kind": "preventive", "serial": serial, "component": component, "title": "Wear", **fields}
        return self.client.open_ticket(body, now=NOW)["ticket_id"]

    def job(self, component: str | None = "lid", *, serial: str = "HD5-1", **fields: object) -> Job:
        """The job of a new ticket; the lid needs no part."""
        return self.client.create_job({"ticket_id": self.ticket(component, serial=serial, **fields)}, now=NOW)

    def post(self, job: Job, action: str, body: dict | None = None, *, now: datetime = NOW) -> Job:
        return self.client.post(f"/v1/jobs/{job['job_id']}/{action}", body or {}, now=now)

    def dispatch(self, job: Job, *, after_hours: float = 1, hours: float = 1, technician_id: int | None = None) -> Job:
        starts_at = NOW + timedelta(hours=after_hours)
        who = technician_id or self.technician_id
        return self.client.dispatch_job(job["job_id"], who, starts_at, starts_at + timedelta(hours=hours), now=NOW)

    def in_state(self, state: str) -> Job:
        """A new job, brought into a state the way people do it."""
        job = self.job()
        steps = {
            "open": [],
            "waiting": [("hold", {"reason": "rain"})],
            "dispatched": ["dispatch"],
            "in_progress": ["dispatch", ("start", {})],
            "completed": [("complete", {"outcome": "prevented"})],
            "cancelled": [("cancel", {"reason": "sold"})],
        }
        for step in steps[state]:
            job = self.dispatch(job) if step == "dispatch" else self.post(job, *step)
        assert job["state"] == state
        return job

    def alerts(self) -> list[tuple[str, str]]:
        """Topic and cause of all alerts about jobs, in order."""
        return [
            (row["topic"], row["cause"])
            for row in self.rows("SELECT topic, cause FROM service.alert WHERE topic LIKE 'job.%' ORDER BY alert_id")
        ]

    def rows(self, query: str) -> list[dict]:
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def stock(self) -> tuple[int, int]:
        (stock,) = self.client.pages("/v1/parts/stock", sku="PUMP")
        return stock["on_hand"], stock["reserved"]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def workshop(api) -> Iterator[Workshop]:
    with api.client("service") as client:
        client.post("/v1/parts", {"sku": "PUMP", "name": "Pump"})
        client.post("/v1/parts", {"sku": "OIL", "name": "Oil"})
        warehouse = {"code": "HUB", "name": "Hub", "kind": "central", "territory": "middle", "transfer_days": 2}
        client.post("/v1/warehouses", warehouse)
        body = {"sku": "PUMP", "warehouse": "HUB", "kind": "receipt", "quantity": 10, "cause": "delivery 1"}
        client.post("/v1/parts/movements", body, now=NOW)
        model = {"name": "Washer", "kind": "pressure_washer", "components": COMPONENTS}
        for code in ("HD-5", "HD-9"):
            client.post("/v1/product-models", {**model, "code": code})
        for serial, model_code, territory in (
            ("HD5-1", "HD-5", "north"),
            ("HD5-2", "HD-5", "south"),
            ("HD9-1", "HD-9", ""),
        ):
            asset = {"serial": serial, "model": model_code, "installed_at": "2026-01-01T00:00:00Z"}
            if territory:
                site = {"name": serial, "territory": territory, "time_zone": "Europe/Berlin"}
                asset["site_id"] = client.post("/v1/sites", site)["site_id"]
            client.post("/v1/assets", asset)
        technician = {"name": "Ada", "skills": ["hydraulics"], "territories": ["north"], "daily_capacity_minutes": 300}
        technician_id = client.post("/v1/technicians", technician)["technician_id"]
        plan = {
            "name": "Oil",
            "model": "HD-5",
            "trigger": {"kind": "calendar", "every_days": 90},
            "skill": "oiling",
            "labour_minutes": 30,
            "instructions": "Change the oil.",
            "parts": [{"sku": "OIL", "quantity": 3}],
        }
        plan_id = client.post("/v1/plans", plan)["plan_id"]
        with connect(api.database_url) as connection:
            connection.execute(
                "INSERT INTO service.alert_target (name, kind, url, topics, created_at) "
                "VALUES ('log', 'apprise', 'json://127.0.0.1:9', '{*}', '2026-01-01Z')"
            )
        yield Workshop(client, api.database_url, technician_id, plan_id)
