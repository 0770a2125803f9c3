"""What demands rely on changes: dates move, orders are cancelled, transfers lost, jobs help themselves; over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def imported(network, api):
    """A part that no warehouse has, from a maker far away."""
    network.stores.part("VALVE", cost_minor=4000, lead_time_days=60, imported=True)
    with api.client("admin") as admin:
        admin.post("/v1/suppliers", {"code": "maker", "name": "Maker"})
    terms = {"sku": "VALVE", "price_minor": 3900, "currency": "EUR", "lead_time_days": 45}
    network.client.put("/v1/suppliers/maker/parts", {"items": [terms]})
    return network


def test_an_imported_part_has_an_honest_date_and_the_customer_is_told_whenever_it_moves(imported) -> None:
    network, client = imported, imported.client
    ticket = network.ticket(due=10 * DAY)
    made = network.ask(ticket, "VALVE")
    assert (made["kind"], made["warehouse"]) == ("purchase", "partner")
    promised = datetime.fromisoformat(made["promised_at"])
    assert promised.date() in {(NOW + 45 * DAY).date(), (NOW + 46 * DAY).date()}
    [option] = made["decision"]["options"]
    assert option["lateness_minor"] == pytest.approx(35.7 * 8000, rel=0.01)
    assert "ordered from Maker, by partner on 2026-08-1" in option["reason"]
    assert option["available_at"] == made["promised_at"]
    assert network.told() == ["part.promised"]

    line = made["purchase_line_id"]
    [order] = client.pages("/v1/purchase-orders")
    number = order["purchase_order_id"]
    client.post(f"/v1/purchase-orders/{number}/send", {}, now=NOW)
    later = {"confirmed_on": "2026-09-20"}
    client.post(f"/v1/purchase-orders/{number}/confirm", later, now=NOW + DAY)
    network.duty(NOW + DAY)
    moved = network.see(made)
    assert moved["promised_at"][:10] in {"2026-09-20", "2026-09-21"}
    assert network.told() == ["part.promised", "part.date_moved"]
    assert len(network.history(ticket, "part_date_moved")) == 1
    assert network.duty(NOW + DAY) == 0

    # What is ordered is nobody's to plan, and can be decided anew only by cancelling.
    assert client.get("/v1/allocation/snapshot")["demands"] == []
    delivery = {"delivery_note": "L1", "lines": [{"purchase_line_id": line, "quantity": 1}]}
    client.post(f"/v1/purchase-orders/{number}/receive", delivery, now=NOW + 60 * DAY)
    network.duty(NOW + 60 * DAY)
    there = network.see(made)
    assert there["reservation_id"] is not None
    assert datetime.fromisoformat(there["arrived_at"]) == NOW + 60 * DAY
    assert network.told() == ["part.promised", "part.date_moved", "part.arrived"]
    assert network.stores.balance("partner", "VALVE") == (1, 1, 0)


def test_what_fails_is_decided_anew_and_what_is_kept_elsewhere_is_taken_over(imported) -> None:
    network, client = imported, imported.client
    # Its transfer is lost: the next best warehouse sends another.
    made = network.ask(network.ticket())
    client.post("/v1/transfers/shipments", {"transfer_ids": [made["transfer_id"]]}, now=NOW)
    client.post(f"/v1/transfers/{made['transfer_id']}/lose", {"reason": "stolen"}, now=NOW + DAY)
    network.duty(NOW + DAY)
    after = network.see(made)
    assert (after["kind"], after["warehouse"], after["decision"]["made_by"]) == ("transfer", "far", "event")
    assert network.told() == ["part.promised", "part.date_moved"]

    # Its order is cancelled: it is ordered anew.
    bought = network.ask(network.ticket(), "VALVE")
    [order] = client.pages("/v1/purchase-orders")
    client.post(f"/v1/purchase-orders/{order['purchase_order_id']}/cancel", {"reason": "sold out"}, now=NOW + DAY)
    network.duty(NOW + DAY)
    again = network.see(bought)
    assert (again["kind"], again["purchase_line_id"] != bought["purchase_line_id"]) == ("purchase", True)

    # A piece comes back from somewhere: sooner and cheaper than the order.
    network.stores.receive("partner", 1, "VALVE")
    network.duty(NOW + DAY)
    better = network.see(bought)
    assert (better["kind"], better["purchase_line_id"]) == ("on_hand", None)

    # A job keeps the part by itself before its demand's order comes.
    job = network.stores.job()
    body = {"job_id": job, "sku": "VALVE", "needed_by": (NOW + DAY).isoformat()}
    wanted = client.post("/v1/allocation/demands", body, now=NOW + DAY)
    assert wanted["kind"] == "purchase"
    network.stores.receive("partner", 1, "VALVE")
    kept = client.reserve(job, "VALVE", 1, now=NOW + DAY)
    network.duty(NOW + DAY)
    taken = network.see(wanted)
    assert (taken["kind"], taken["reservation_id"]) == ("on_hand", kept["reservation_id"])
    assert [promise["state"] for promise in client.pages("/v1/purchase-promises")] == ["withdrawn"] * 3
    assert network.ledger_is_right()


def test_a_far_reservation_becomes_a_transfer_and_partners_see_the_answer_only(network, api, refusal) -> None:
    client = network.client
    job = network.stores.job()
    kept = client.reserve(job, "PUMP", 1, now=NOW)
    assert (kept["warehouse"], kept["demand_id"]) != ("partner", 1)
    demand = client.allocate(job, "PUMP", 1, needed_by=None, now=NOW)
    assert (demand["kind"], demand["job_id"]) == ("transfer", job)
    [now_kept] = client.get(f"/v1/jobs/{job}")["reservations"]
    assert now_kept["demand_id"] == demand["part_demand_id"]
    assert [part["sku"] for part in client.get(f"/v1/jobs/{job}")["parts"]] == []
    again = client.post("/v1/allocation/demands", {"job_id": job, "sku": "PUMP"}, now=NOW)
    assert again["part_demand_id"] == demand["part_demand_id"]
    differs = refusal(client.post, "/v1/allocation/demands", {"job_id": job, "sku": "PUMP", "quantity": 2}, now=NOW)
    assert differs.type.endswith("demand-differs")
    unknown = refusal(client.post, "/v1/allocation/demands", {"sku": "PUMP"}, now=NOW)
    assert "give ticket_id or job_id" in str(unknown)

    with api.client("dispatcher") as dispatcher:
        policy = dispatcher.get("/v1/allocation/policy")
        changed = dispatcher.patch("/v1/allocation/policy", {"late_high_minor": 1}, version=policy["version"])
        assert (changed["late_high_minor"], changed["version"]) == (1, policy["version"] + 1)
        stale = refusal(dispatcher.patch, "/v1/allocation/policy", {"late_high_minor": 2}, version=policy["version"])
        assert stale.status == 412
    listed = [one["part_demand_id"] for one in client.pages("/v1/allocation/demands", job_id=job)]
    assert listed == [one["part_demand_id"] for one in client.pages("/v1/allocation/demands", sku="PUMP")]
    client.post(f"/v1/jobs/{job}/cancel", {"reason": "sold"}, now=NOW)
    network.duty()
    assert network.see(demand)["state"] == "cancelled"
    assert network.ledger_is_right()
