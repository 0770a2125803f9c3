"""The demo's service organisation, registered through the REST API: territories, parts, people, plans, machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

from careloop.client import CareloopClient

WARRANTY_DAYS = 730
# How far ahead a failure is worth knowing: a part from another city needs three days.
HORIZON_HOURS = 120


@dataclass(frozen=True)
class Territory:
    """A city with a service partner."""

    name: str
    latitude: float
    longitude: float
    customers: tuple[str, ...]


TERRITORIES = (
    Territory("shanghai", 31.23, 121.47, ("Bund Hotel", "Pudong Mall", "Family Chen")),
    Territory("beijing", 39.90, 116.40, ("Ring Road Garage", "Hutong Guesthouse", "Family Li")),
    Territory("guangzhou", 23.13, 113.26, ("Pearl Laundry", "Canton Fair Services", "Family Huang")),
)
TECHNICIANS_EACH = 3
CENTRAL_STOCK = 40
PARTNER_STOCK = 4


def register(
    client: CareloopClient,
    catalogue: Sequence[dict[str, Any]],
    fleet: Sequence[dict[str, Any]],
    now: datetime,
) -> None:
    """Register everything.

    Args:
        client: With the role admin.
        catalogue: What `careloop edge catalogue` printed.
        fleet: What `careloop edge fleet` printed.
        now: Simulated start.
    """
    _parts(client, catalogue, now)
    for model in catalogue:
        client.post("/v1/product-models", _model(model), now=now)
    skills = sorted({component["skill"] for model in catalogue for component in model["components"]} | {"general"})
    sites = [site for territory in TERRITORIES for site in _territory(client, territory, skills, now)]
    _plans(client, catalogue, now)
    for index, (machine, site_id) in enumerate(zip(fleet, cycle(sites), strict=False)):
        client.post("/v1/assets", _asset(machine, site_id, index, now), now=now)


def _parts(client: CareloopClient, catalogue: Sequence[dict[str, Any]], now: datetime) -> None:
    warehouses: list[dict[str, Any]] = [
        {"code": "central", "name": "Central warehouse", "kind": "central", "territory": "central", "transfer_days": 2}
    ]
    warehouses += [
        {
            "code": f"partner-{territory.name}",
            "name": f"Partner {territory.name.title()}",
            "kind": "partner",
            "territory": territory.name,
            "latitude": territory.latitude,
            "longitude": territory.longitude,
            "transfer_days": 3,
        }
        for territory in TERRITORIES
    ]
    for warehouse in warehouses:
        client.post("/v1/warehouses", warehouse, now=now)
    for component in [component for model in catalogue for component in model["components"]]:
        part = {
            "sku": component["sku"],
            "name": component["part_name"],
            "cost_minor": component["planned_cost_minor"] // 3,
        }
        client.post("/v1/parts", part, now=now)
        for warehouse in warehouses:
            quantity = CENTRAL_STOCK if warehouse["kind"] == "central" else PARTNER_STOCK
            receipt = {"sku": component["sku"], "warehouse": warehouse["code"], "kind": "receipt", "quantity": quantity}
            client.post("/v1/parts/movements", {**receipt, "cause": "opening stock"}, now=now)


def _model(model: dict[str, Any]) -> dict[str, Any]:
    components = [
        {name: value for name, value in component.items() if name != "part_name"} for component in model["components"]
    ]
    return {"horizon_hours": HORIZON_HOURS, **model, "components": components}


def _territory(client: CareloopClient, territory: Territory, skills: list[str], now: datetime) -> list[int]:
    for number in range(1, TECHNICIANS_EACH + 1):
        technician = {
            "name": f"{territory.name.title()} technician {number}",
            "provider": f"Partner {territory.name.title()}",
            "skills": skills,
            "territories": [territory.name],
        }
        client.post("/v1/technicians", technician, now=now)
    sites = []
    for name in territory.customers:
        customer = client.post("/v1/customers", {"name": name, "language": "zh"}, now=now)
        site = {
            "name": name,
            "customer_id": customer["customer_id"],
            "territory": territory.name,
            "latitude": territory.latitude,
            "longitude": territory.longitude,
            "time_zone": "Asia/Shanghai",
        }
        sites.append(client.post("/v1/sites", site, now=now)["site_id"])
    return sites


def _plans(client: CareloopClient, catalogue: Sequence[dict[str, Any]], now: datetime) -> None:
    for model in catalogue:
        calendar = {
            "name": f"{model['name']}: inspection every 60 days",
            "model": model["code"],
            "trigger": {"kind": "calendar", "every_days": 60},
            "labour_minutes": 45,
            "instructions": "Inspect, clean, check safety devices.",
        }
        meter = {
            "name": f"{model['name']}: service every 250 running hours",
            "model": model["code"],
            "trigger": {"kind": "meter", "metric": "running_hours", "every": 250},
            "labour_minutes": 90,
            "instructions": "Full service by the book.",
        }
        client.post("/v1/plans", calendar, now=now)
        client.post("/v1/plans", meter, now=now)


def _asset(machine: dict[str, Any], site_id: int, index: int, now: datetime) -> dict[str, Any]:
    # Every machine's two years of warranty end at another time, some within the demo.
    starts_on = (now - timedelta(days=WARRANTY_DAYS) + timedelta(days=11 * (index + 1))).date()
    ends_on = starts_on + timedelta(days=WARRANTY_DAYS - 1)
    return {
        "serial": machine["serial"],
        "model": machine["model"],
        "site_id": site_id,
        "installed_at": machine["installed_at"],
        "warranty_terms": [{"name": "standard", "starts_on": str(starts_on), "ends_on": str(ends_on)}],
    }
