"""A workshop: a customer's machines, one of them in warranty, parts in stock, prices, and an alert target."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import httpx
import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect

# A Monday.
NOW = datetime(2026, 7, 6, 8, tzinfo=UTC)
LINES = {"lines": [{"kind": "labour", "quantity": 60}]}

# What each action needs to be told.
BODIES = {
    "receive": {"condition": "dirty"},
    "diagnose": {"diagnosis": "motor burnt out"},
    "quote": LINES,
    "parts": {"parts": [{"sku": "MOTOR"}]},
    "start": {},
    "finish": {"labour_minutes": 60},
    "exchange": {"reason": "no part to be had"},
    "ship": {"carrier": "Post"},
    "hand-over": {},
    "deliver": {},
    "close": {},
    "cancel": {"reason": "sold"},
    "return": {"reason": "not worth it", "carrier": "Post"},
    "scrap": {"reason": "beyond repair, told by mail", "agreed_by": "Ann"},
}
NUMBERED = {"ship", "return"}


@dataclass
class Bench:
    """Clients, and what the tests do with repairs."""

    agent: CareloopClient
    customer: CareloopClient
    service: CareloopClient
    lead: CareloopClient
    database_url: str
    customer_id: int
    numbers: Iterator[int] = field(default_factory=count)

    def repair(self, serial: str = "K5-OLD", *, mode: str = "mail_in", **fields: object) -> dict:
        ticket = {"kind": "repair", "serial": serial, "title": "Does not run", "service_mode": mode}
        ticket_id = self.agent.post("/v1/tickets", ticket, now=NOW)["ticket_id"]
        return self.agent.post("/v1/repairs", {"ticket_id": ticket_id, **fields}, now=NOW)

    def machine(self) -> str:
        """Another machine of the customer, out of warranty; its serial number."""
        serial = f"K5-{next(self.numbers)}"
        asset = {"serial": serial, "model": "K5", "installed_at": "2020-05-01T00:00:00Z"}
        self.agent.post("/v1/assets", {**asset, "customer_id": self.customer_id})
        return serial

    def act(self, repair: dict, action: str, *, now: datetime = NOW, **fields: object) -> dict:
        body = {**BODIES[action], **fields}
        if action == "receive":
            body = {"serial": repair["serial"], **body}
        if action == "exchange":
            body = {"serial": f"K5-NEW-{next(self.numbers)}", **body}
        if action in NUMBERED:
            body = {"tracking_number": f"P-{next(self.numbers)}", **body}
        return self.agent.post(f"/v1/repairs/{repair['repair_id']}/{action}", body, now=now)

    def test(self, repair: dict, *, passed: bool, now: datetime = NOW) -> dict:
        return self.agent.post(f"/v1/repairs/{repair['repair_id']}/test", {"passed": passed}, now=now)

    def decide(self, repair: dict, decision: str) -> dict:
        quote = self.customer.get(f"/v1/quotes/{repair['quote_id']}")
        body = {"given_by": "Ann"}
        body |= {"text_sha256": quote["text_sha256"]} if decision == "accept" else {"reason": "too dear"}
        self.customer.post(f"/v1/quotes/{quote['quote_id']}/{decision}", body, now=NOW)
        return self.get(repair)

    def get(self, repair: dict) -> dict:
        return self.agent.get(f"/v1/repairs/{repair['repair_id']}")

    def run(self, now: datetime) -> dict[str, int]:
        return self.service.post("/v1/duties/run", {}, now=now)

    def alerts(self, topic: str) -> list[dict]:
        return [alert for alert in self.agent.pages("/v1/alerts") if alert["topic"] == topic]

    def rows(self, query: str) -> list[dict]:
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def bench(api) -> Iterator[Bench]:
    with (
        api.client("agent") as agent,
        api.client("service") as service,
        api.client("desk_lead") as lead,
        api.client("admin") as admin,
    ):
        ann = agent.post("/v1/customers", {"name": "Ann", "kind": "consumer", "country": "DE"})["customer_id"]
        agent.post("/v1/parts", {"sku": "MOTOR", "name": "Motor", "cost_minor": 9_000, "lead_time_days": 20})
        agent.post("/v1/parts", {"sku": "SEAL", "name": "Seal", "cost_minor": 150})
        agent.post("/v1/warehouses", {"code": "HUB", "name": "Hub", "kind": "central"})
        for sku, pieces in (("MOTOR", 60), ("SEAL", 60)):
            body = {"sku": sku, "warehouse": "HUB", "kind": "receipt", "quantity": pieces, "cause": "delivery"}
            service.post("/v1/parts/movements", body, now=NOW)
        model = {"code": "K5", "name": "K 5", "kind": "pressure_washer", "components": [{"name": "motor"}]}
        agent.post("/v1/product-models", model)
        asset = {"model": "K5", "installed_at": "2020-05-01T00:00:00Z", "customer_id": ann}
        term = {"name": "promise", "starts_on": "2026-01-01", "ends_on": "2026-12-31"}
        agent.post("/v1/assets", {**asset, "serial": "K5-OLD"})
        agent.post("/v1/assets", {**asset, "serial": "K5-NEW", "warranty_terms": [term]})
        prices = {"name": "All", "currency": "EUR", "valid_from": "2026-01-01", "labour_hour_minor": 6_000}
        lead.post("/v1/price-lists", {**prices, "tax_rate_bp": 1_900}, now=NOW)
        standard = {"business_days": {"received": 3}, "labour_hour_minor": 4_200, "currency": "EUR"}
        httpx.put(
            f"{api.url}/v1/repair-standards",
            json=standard,
            headers={"Authorization": f"Bearer {api.keys['desk_lead']}"},
        ).raise_for_status()
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})
        with api.scoped_client("customer", customer_id=ann) as customer:
            yield Bench(agent, customer, service, lead, api.database_url, ann)
