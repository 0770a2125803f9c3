"""The night's plan through the API: what it changes, what it leaves, and that it says why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect
from scheduler.allocation.nightly import NightlyPlan
from scheduler.instant import Instant

NOW = datetime(2026, 7, 1, 2, tzinfo=UTC)
INSTANT = Instant(NOW, simulated=True)


@pytest.fixture
def demands(api) -> Any:
    """Two cases in the north want a pump: the near warehouse has one, the far one many; each way has a base freight."""
    with api.client("admin") as client:
        client.post("/v1/parts", {"sku": "PUMP", "name": "Pump", "lead_time_days": 90})
        for code, territory, pieces in (("home", "north", 0), ("near", "middle", 1), ("far", "south", 9)):
            place = {"code": code, "name": code, "kind": "central", "territory": territory}
            client.post("/v1/warehouses", place)
            if pieces:
                receipt = {"sku": "PUMP", "warehouse": code, "kind": "receipt", "quantity": pieces, "cause": "first"}
                client.post("/v1/parts/movements", receipt)
        ways = [("near", 900), ("far", 1200)]
        lanes = [{"from": code, "to": "home", "transit_hours": 24, "freight_base_minor": base} for code, base in ways]
        client.put("/v1/lanes", {"lanes": lanes})
        client.post("/v1/product-models", {"code": "HD", "name": "HD", "kind": "washer", "components": []})
        site = client.post("/v1/sites", {"name": "Home", "territory": "north"})["site_id"]
        made = []
        for number in (1, 2):
            machine = {"serial": f"HD-{number}", "model": "HD", "site_id": site, "installed_at": NOW.isoformat()}
            client.post("/v1/assets", machine)
            due = (NOW + timedelta(days=3)).isoformat()
            case = {"kind": "repair", "serial": f"HD-{number}", "title": "No pressure", "due_by": due}
            ticket = client.open_ticket(case, now=NOW)["ticket_id"]
            wish = {"ticket_id": ticket, "sku": "PUMP", "at_once": False}
            made.append(client.post("/v1/allocation/demands", wish, now=NOW))
        yield client, made


def seen(client: CareloopClient, demand: Any) -> Any:
    return client.get(f"/v1/allocation/demands/{demand['part_demand_id']}")


def test_a_night_ships_together_what_single_answers_would_ship_apart_and_says_why(demands, database_url) -> None:
    client, made = demands
    assert [demand["state"] for demand in made] == ["open", "open"]
    nightly = NightlyPlan(client, time_limit_s=20, gap=0)

    planned = nightly.run(INSTANT)

    assert (planned.demands, planned.applied, planned.refused) == (2, 2, 0)
    # Apart: 900 from the near one for the first and 1,200 from the far one for the second. Together: 1,200 once.
    assert planned.saved_minor == 900
    after = [seen(client, demand) for demand in made]
    assert {(one["state"], one["kind"], one["warehouse"]) for one in after} == {("allocated", "transfer", "far")}
    assert any("all demands together cost less this way" in one["reason"] for one in after), after
    assert {one["decision"]["made_by"] for one in after} == {"plan"}

    # Another night changes nothing, and what was promised stays.
    again = nightly.run(INSTANT)
    assert (again.applied, again.refused) == (0, 0)
    assert [seen(client, demand)["version"] for demand in made] == [one["version"] for one in after]
    with connect(database_url) as connection:
        assert connection.execute("SELECT FROM service.stock_imbalance").fetchall() == []


def test_without_demand_there_is_nothing_to_plan(api) -> None:
    with api.client("service") as client:
        assert NightlyPlan(client, time_limit_s=1, gap=0).run(INSTANT).demands == 0
