"""A job whose part is not at hand: it is sent, or ordered, and the job waits for just that; through the real API."""

from datetime import datetime, timedelta
from typing import Any

from scheduler.assignment import WorkingRules
from scheduler.dispatch import Dispatching, Tally
from scheduler.instant import Instant

DAY = timedelta(days=1)


def open_ticket(client: Any, serial: str, now: datetime) -> int:
    ticket = {
        "kind": "preventive",
        "serial": serial,
        "component": "pump",
        "cause": "component:pump",
        "title": "pump will fail",
        "description": "",
        "priority": "high",
        "due_by": (now + 5 * DAY).isoformat(),
        "evidence": {},
    }
    return client.open_ticket(ticket, now=now)["ticket_id"]


def receive(client: Any, warehouse: str, now: datetime) -> None:
    body = {"sku": "P1", "warehouse": warehouse, "kind": "receipt", "quantity": 1, "cause": "note 1"}
    client.post("/v1/parts/movements", body, now=now)


def test_a_part_comes_from_elsewhere_or_is_ordered_and_the_job_goes_when_it_is_there(
    api: Any, shop: Any, now: datetime
) -> None:
    with api.client("service") as client:
        dispatching = Dispatching(client, WorkingRules(), timedelta(minutes=1))

        def run(at: datetime) -> Tally:
            return dispatching.run(Instant(at, simulated=True), lambda: False)

        shop.part("P1", 0)
        shop.component("pump", "P1")
        shop.technician("Ada")
        shop.asset("A")
        shop.asset("B")
        client.post("/v1/warehouses", {"code": "far", "name": "Far", "kind": "central", "territory": "south"})
        lane = {"from": "far", "to": "central", "transit_hours": 48, "freight_base_minor": 900, "freight_kg_minor": 0}
        client.put("/v1/lanes", {"lanes": [lane]})
        receive(client, "far", now)

        # Two days away: the appointment is after it has come.
        open_ticket(client, "A", now)
        assert run(now) == Tally(jobs_created=1, parts_reserved=1, jobs_dispatched=1)
        [visit] = shop.visits()
        assert visit["starts_at"] >= now + 2 * DAY
        [transfer] = client.pages("/v1/transfers")
        assert (transfer["from"], transfer["to"], transfer["state"]) == ("far", "central", "planned")

        # None anywhere: it is ordered, and the job waits for the day that is promised.
        open_ticket(client, "B", now)
        assert run(now) == Tally(jobs_created=1, jobs_waiting=1)
        [demand] = client.pages("/v1/allocation/demands", state="allocated", sku="P1", job_id=shop.jobs()[1]["job_id"])
        assert (demand["kind"], demand["warehouse"]) == ("purchase", "central")
        day = demand["promised_at"][:10]
        reason = shop.jobs()[1]["waiting_reason"]
        assert reason.startswith(f"P1 is ordered and can be at the site by {day}; no warehouse has 1 of P1 available")
        assert run(now + DAY) == Tally(jobs_waiting=1)

        # It comes: kept for the job that it was promised to, which goes at once.
        order = next(iter(client.pages("/v1/purchase-orders")))
        supplier = {"code": "maker", "name": "Maker"}
        with api.client("admin") as admin:
            admin.post("/v1/suppliers", supplier)
        number = order["purchase_order_id"]
        version = client.get(f"/v1/purchase-orders/{number}")["version"]
        client.patch(f"/v1/purchase-orders/{number}", {"supplier": "maker"}, version=version, now=now + DAY)
        client.post(f"/v1/purchase-orders/{number}/send", {}, now=now + DAY)
        delivery = {"delivery_note": "L1", "lines": [{"purchase_line_id": demand["purchase_line_id"], "quantity": 1}]}
        client.post(f"/v1/purchase-orders/{number}/receive", delivery, now=now + 3 * DAY)
        client.post("/v1/duties/run", {}, now=now + 3 * DAY)
        assert run(now + 3 * DAY) == Tally(jobs_dispatched=1)
        after = client.get(f"/v1/allocation/demands/{demand['part_demand_id']}")
        assert (after["state"], after["arrived_at"] is not None) == ("allocated", True)
