"""A consumer sends a machine in that is out of warranty, and declines the quote: over HTTP only."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from careloop.client import CareloopClient

MONDAY = datetime(2026, 7, 6, 8, tzinfo=UTC)
DAY = timedelta(days=1)
FEE = {
    "kind": "diagnosis",
    "amount_minor": 2_380,
    "tax_rate_bp": 1_900,
    "currency": "EUR",
    "text": "If I decline the quote I pay 23.80 EUR for the diagnosis.",
    "given_by": "Ann",
    "channel": "phone",
    "how_obtained": "read to her in the call of 10:02, she said yes",
}


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    """An agent of a house with prices, and with somewhere for alerts to go."""
    prices = {
        "name": "Consumers in Germany",
        "country": "DE",
        "customer_kind": "consumer",
        "currency": "EUR",
        "valid_from": "2026-01-01",
        "labour_hour_minor": 6_000,
        "part_factor_bp": 16_000,
        "tax_rate_bp": 1_900,
    }
    with api.client("admin") as admin, api.client("agent") as agent:
        admin.post("/v1/price-lists", prices, now=MONDAY)
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})
        agent.post("/v1/parts", {"sku": "MOTOR", "name": "Motor", "cost_minor": 9_000})
        model = {"code": "K5", "name": "K 5", "kind": "pressure_washer", "components": [{"name": "motor"}]}
        agent.post("/v1/product-models", model)
        yield agent


def _booked(desk: CareloopClient) -> tuple[int, dict]:
    """Ann calls: her washer, bought six years ago, does not run any more; the customer's number and the repair."""
    ann = desk.post("/v1/customers", {"name": "Ann", "kind": "consumer", "country": "DE"})["customer_id"]
    machine = {"serial": "K5-0001", "model": "K5", "installed_at": "2020-05-01T00:00:00Z", "customer_id": ann}
    desk.post("/v1/assets", machine)
    case = {"kind": "repair", "serial": "K5-0001", "title": "Does not run", "service_mode": "mail_in"}
    ticket_id = desk.post("/v1/tickets", {**case, "component": "motor"}, now=MONDAY)["ticket_id"]
    desk.post(f"/v1/tickets/{ticket_id}/agreed-fees", FEE, now=MONDAY)
    return ann, desk.post("/v1/repairs", {"ticket_id": ticket_id}, now=MONDAY)


def _ahead(repair: dict) -> dict[str, str]:
    return {node["node"]: node["expected_on"] for node in repair["nodes"] if node["done_at"] is None}


def test_a_consumer_sends_a_machine_in_and_declines_the_quote(api, desk) -> None:
    ann, repair = _booked(desk)
    path, ticket = f"/v1/repairs/{repair['repair_id']}", f"/v1/tickets/{repair['ticket_id']}"
    # Out of warranty, so that a quote lies ahead; five business days until it is here.
    assert list(_ahead(repair))[:5] == ["received", "diagnosed", "quoted", "accepted", "repaired"]
    assert _ahead(repair)["received"] == "2026-07-13"
    assert desk.get(ticket)["state"] == "waiting_customer"
    with api.scoped_client("customer", customer_id=ann) as customer, api.client("technician") as workshop:
        label_id = repair["shipments"][0]["label_file_id"]
        assert customer.get_text(f"/v1/files/{label_id}/content").startswith("%PDF")
        assert [seen["next_node"] for seen in customer.pages("/v1/repairs")] == ["received"]

        # The parcel comes early: what was promised is not moved to an earlier day for that.
        accessories = [{"name": "hose"}, {"name": "lance", "quantity": 2}]
        parcel = {"serial": "K5-0001", "condition": "dirty", "accessories": accessories, "freight_minor": 650}
        repair = workshop.post(f"{path}/receive", parcel, now=MONDAY + 2 * DAY)
        assert _ahead(repair)["diagnosed"] == "2026-07-15"
        diagnosis = {"diagnosis": "Motor burnt out", "fault_code": "M-01", "component": "motor"}
        repair = workshop.post(f"{path}/diagnose", diagnosis, now=MONDAY + 3 * DAY)
        assert (repair["bearer"], repair["warranty"]["covered"]) == ("customer", False)
        lines = [{"kind": "labour", "quantity": 60}, {"kind": "part", "code": "MOTOR"}]
        repair = workshop.post(f"{path}/quote", {"lines": lines}, now=MONDAY + 3 * DAY)
        assert (repair["state"], repair["next_node"]) == ("quoted", "accepted")
        quote = customer.get(f"/v1/quotes/{repair['quote_id']}", now=MONDAY + 3 * DAY)
        assert quote["gross_minor"] == round((6_000 + 14_400) * 1.19)

        # She declines; the machine goes back as it is, with all that came with it.
        no = {"reason": "A new one costs less", "given_by": "Ann"}
        declined = customer.post(f"/v1/quotes/{quote['quote_id']}/decline", no, now=MONDAY + 4 * DAY)
        assert (declined["state"], declined["consent"]["channel"]) == ("declined", "portal")
        repair = customer.get(path)
        assert (repair["state"], repair["next_node"]) == ("declined", "returned_unrepaired")
        back = {"carrier": "Post", "tracking_number": "P-77", "reason": "quote declined", "freight_minor": 700}
        repair = workshop.post(f"{path}/return", back, now=MONDAY + 7 * DAY)
        sent = [(item["kind"], item["code"], item["quantity"]) for item in repair["shipments"][-1]["contents"]]
        assert sent == [("machine", "K5-0001", 1), ("accessory", "hose", 1), ("accessory", "lance", 2)]
        repair = workshop.post(f"{path}/close", {}, now=MONDAY + 9 * DAY)
        assert (repair["state"], _ahead(repair)) == ("closed", {})
        _paid(desk, customer, ticket)
    costs = {cost["kind"]: cost["amount_minor"] for cost in desk.get(f"{path}/costs")["items"]}
    assert costs == {"freight_in": 650, "freight_out": 700}
    _told(desk)


def _paid(desk: CareloopClient, customer: CareloopClient, ticket: str) -> None:
    """She pays what she agreed to, and nothing else."""
    assert customer.get(ticket)["state"] == "closed"
    balance = customer.get(f"{ticket}/balance")
    assert (balance["fees_minor"], balance["charged_minor"], balance["accepted_minor"]) == (2_380, 0, 0)
    paid = {"provider": "till", "external_reference": "t-1", "amount_minor": 2_380, "currency": "EUR"}
    desk.post(f"{ticket}/payments", {**paid, "state": "captured"}, now=MONDAY + 9 * DAY)
    receipt = customer.get(f"{ticket}/receipt")
    assert (receipt["gross_minor"], receipt["tax_minor"], receipt["balance"]["balance_minor"]) == (2_380, 380, 0)


def _told(desk: CareloopClient) -> None:
    """She was told of every step: where it is, when what is expected, and what comes next."""
    told = [alert for alert in desk.pages("/v1/alerts") if alert["topic"].startswith(("repair.", "quote."))]
    steps = "repair.opened repair.moved repair.moved quote.sent repair.moved repair.moved quote.declined repair.moved"
    assert [alert["topic"] for alert in told] == [*steps.split(), "repair.moved"]
    assert "hand it to the carrier" in told[0]["body"]
    assert "- Your machine arrives at our workshop: Mon 13 Jul 2026 (next)" in told[0]["body"]
    assert "Parcel: Post, number P-77." in told[7]["body"]
