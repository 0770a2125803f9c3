"""A site in the north with a partner's empty warehouse, and three warehouses elsewhere; cases that need parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Network:
    """A client with the role `service`, and what the tests set up with it."""

    stores: Any
    database_url: str
    causes: Iterator[int]

    @property
    def client(self) -> CareloopClient:
        return self.stores.client

    def ticket(self, *, serial: str = "HD5-1", due: timedelta = 3 * DAY, priority: str = "high") -> int:
        body = {
            "kind": "repair",
            "serial": serial,
            "cause": f"reported:{next(self.causes)}",
            "title": "pump is worn",
            "priority": priority,
            "due_by": (NOW + due).isoformat(),
        }
        return self.client.open_ticket(body, now=NOW)["ticket_id"]

    def ask(self, ticket_id: int, sku: str = "PUMP", quantity: int = 1, *, now: datetime = NOW, **more: Any) -> Any:
        body = {"ticket_id": ticket_id, "sku": sku, "quantity": quantity, **more}
        return self.client.post("/v1/allocation/demands", body, now=now)

    def see(self, demand: Any) -> Any:
        return self.client.get(f"/v1/allocation/demands/{demand['part_demand_id']}")

    def duty(self, now: datetime = NOW) -> int:
        return self.client.post("/v1/duties/run", {}, now=now)["part-demands"]

    def history(self, ticket_id: int, *kinds: str) -> list[Any]:
        return [event for event in self.client.pages(f"/v1/tickets/{ticket_id}/events") if event["kind"] in kinds]

    def told(self) -> list[str]:
        with connect(self.database_url) as connection:
            rows = connection.execute("SELECT topic FROM service.alert WHERE topic LIKE 'part.%' ORDER BY alert_id")
            return [row["topic"] for row in rows]

    def lane(self, origin: str, to: str, hours: int, base: int = 500, kilogram: int = 0) -> None:
        lane = {"from": origin, "to": to, "transit_hours": hours}
        lane |= {"freight_base_minor": base, "freight_kg_minor": kilogram}
        self.client.put("/v1/lanes", {"lanes": [lane]})

    def kit(self, sku: str, **items: int) -> None:
        version = self.client.get(f"/v1/parts/{sku}")["version"]
        body = {"items": [{"sku": item, "quantity": quantity} for item, quantity in items.items()]}
        self.client.put(f"/v1/parts/{sku}/kit", body, version=version)

    def ledger_is_right(self) -> bool:
        with connect(self.database_url) as connection:
            return connection.execute("SELECT FROM service.stock_imbalance").fetchall() == []


@pytest.fixture
def network(api, stores, database_url) -> Network:
    target = {"name": "crm", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]}
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", target)
    stores.part("PUMP", cost_minor=10_000, weight_grams=2000, lead_time_days=30)
    stores.warehouse("partner", kind="partner", territory="north")
    stores.warehouse("near", territory="middle", pieces=1)
    stores.warehouse("far", territory="south", pieces=4)
    stores.warehouse("late", territory="west", pieces=2)
    made = Network(stores, database_url, count(1))
    made.lane("near", "partner", 24, 900)
    made.lane("far", "partner", 48, 1200)
    made.lane("late", "partner", 24 * 9, 100)
    return made
