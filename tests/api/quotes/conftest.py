"""A desk with a price list, a customer with a machine out of warranty, and a case."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
PRICES = {
    "name": "Germany",
    "country": "DE",
    "currency": "EUR",
    "valid_from": "2026-01-01",
    "labour_hour_minor": 8_000,
    "travel_km_minor": 100,
    "part_factor_bp": 15_000,
    "minimum_charge_minor": 3_000,
    "tax_rate_bp": 1_900,
    "items": [
        {"kind": "operation", "code": "descale", "price_minor": 5_000},
        {"kind": "fee", "code": "express", "price_minor": 1_000},
    ],
}


@dataclass
class Till:
    """Clients of each side, and what the tests do with them."""

    agent: CareloopClient
    customer: CareloopClient
    lead: CareloopClient
    service: CareloopClient
    database_url: str
    customer_id: int

    def ticket(self, serial: str = "HD5-1") -> int:
        body = {"kind": "repair", "serial": serial, "title": "Does not start"}
        return self.agent.post("/v1/tickets", body, now=NOW)["ticket_id"]

    def draft(self, ticket_id: int, *lines: dict, **fields: object) -> dict:
        wanted = list(lines) or [{"kind": "fee", "code": "work", "amount_minor": 10_000}]
        return self.agent.post(f"/v1/tickets/{ticket_id}/quotes", {"lines": wanted, **fields}, now=NOW)

    def sent(self, ticket_id: int, *lines: dict, **fields: object) -> dict:
        return self.act(self.draft(ticket_id, *lines, **fields), "send")

    def act(self, quote: dict, action: str, body: dict | None = None, *, client=None, now: datetime = NOW) -> dict:
        return (client or self.agent).post(f"/v1/quotes/{quote['quote_id']}/{action}", body or {}, now=now)

    def accepted(self, ticket_id: int, *lines: dict) -> dict:
        quote = self.sent(ticket_id, *lines)
        return self.act(quote, "accept", {"text_sha256": quote["text_sha256"], "given_by": "Ann"}, client=self.customer)

    def charge(self, ticket_id: int, amount_minor: int, **fields: object) -> dict:
        body = {"amount_minor": amount_minor, "currency": "EUR", **fields}
        return self.agent.post(f"/v1/tickets/{ticket_id}/charges", body, now=NOW)

    def balance(self, ticket_id: int) -> dict:
        return self.customer.get(f"/v1/tickets/{ticket_id}/balance", now=NOW)

    def rows(self, query: str) -> list[dict]:
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def till(api) -> Iterator[Till]:
    with api.client("agent") as agent, api.client("desk_lead") as lead, api.client("service") as service:
        customer = agent.post("/v1/customers", {"name": "Ann", "kind": "consumer", "country": "DE"})
        agent.post("/v1/parts", {"sku": "PUMP", "name": "Pump", "cost_minor": 6_000})
        agent.post("/v1/product-models", {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer"})
        for serial in ("HD5-1", "HD5-2"):
            asset = {"serial": serial, "model": "HD-5", "installed_at": "2020-01-01T00:00:00Z"}
            agent.post("/v1/assets", {**asset, "customer_id": customer["customer_id"]})
        term = {"name": "promise", "starts_on": "2026-01-01", "ends_on": "2026-12-31"}
        agent.post("/v1/assets/HD5-2/warranty-terms", term)
        lead.post("/v1/price-lists", PRICES, now=NOW)
        with connect(api.database_url) as connection:
            connection.execute(
                "INSERT INTO service.alert_target (name, kind, url, topics, created_at) "
                "VALUES ('log', 'apprise', 'json://127.0.0.1:9', '{*}', '2026-01-01Z')"
            )
        with api.scoped_client("customer", customer_id=customer["customer_id"]) as client:
            yield Till(agent, client, lead, service, api.database_url, customer["customer_id"])
