"""The people of a journey: each with a key of their own, made over HTTP, all at one time that the journey moves on."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx


@dataclass
class World:
    """The API as people reach it, and what time it is.

    Args:
        url: Of the API, whose clock is the request's.
        admin_key: The one key that was made at the installation.
        now: When the journey begins.
    """

    url: str
    admin_key: str
    now: datetime
    people: dict[str, "Person"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.people["admin"] = Person(self, self.admin_key)

    def __getattr__(self, name: str) -> "Person":
        """The person of a name, or of a role: whoever sees everything gets a key when first spoken of."""
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self.people:
            self.meet(name, name)
        return self.people[name]

    def meet(self, name: str, role: str, **bound: int) -> "Person":
        """Somebody new; a customer, or a partner's people, with whose they are."""
        made = self.people["admin"].post("/v1/api-keys", {"name": name, "role": role, **bound})
        self.people[name] = Person(self, made["key"])
        return self.people[name]

    def later(self, **span: float) -> datetime:
        """Let time pass, and let the platform do what falls due."""
        self.now += timedelta(**span)
        self.people["admin"].post("/v1/duties/run")
        return self.now


@dataclass
class Person:
    """Somebody with a key, or without one."""

    world: World
    key: str | None

    def ask(self, method: str, path: str, body: object = None, *, version: int | None = None) -> httpx.Response:
        """Any request."""
        headers = {"Careloop-Now": self.world.now.isoformat()}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.request(method, self.world.url + path, headers=headers, timeout=30, **content)

    def get(self, path: str) -> Any:
        return _taken(self.ask("GET", path))

    def post(self, path: str, body: object = None, *, version: int | None = None) -> Any:
        return _taken(self.ask("POST", path, {} if body is None else body, version=version))

    def patch(self, path: str, body: object, *, version: int) -> Any:
        return _taken(self.ask("PATCH", path, body, version=version))

    def refused(self, method: str, path: str, body: object = None, *, version: int | None = None) -> tuple[int, str]:
        """Status and type of a request that must fail."""
        answer = self.ask(method, path, body, version=version)
        assert answer.is_error, answer.text
        return answer.status_code, answer.json()["type"]


def _taken(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def furnish(world: World, *, customer: dict[str, Any] | None = None) -> dict[str, Any]:
    """A model with a pump, a part of it in a van, a partner with a technician, a customer with a machine."""
    service = world.service
    service.post("/v1/parts", {"sku": "PUMP", "name": "Pump", "cost_minor": 5000})
    service.post("/v1/warehouses", {"code": "VAN-1", "name": "Van", "kind": "van", "territory": "north"})
    receipt = {"sku": "PUMP", "warehouse": "VAN-1", "kind": "receipt", "quantity": 5, "cause": "delivery 1"}
    service.post("/v1/parts/movements", receipt)
    pump = {"name": "pump", "sku": "PUMP", "skill": "hydraulics", "labour_minutes": 60}
    model = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "components": [pump]}
    service.post("/v1/product-models", model)
    partner = world.admin.post("/v1/providers", {"code": "NORTH", "name": "Service North", "territories": ["north"]})
    technician = service.post(
        "/v1/technicians",
        {"name": "Ada", "skills": ["hydraulics"], "territories": ["north"], "provider_id": partner["provider_id"]},
    )
    given = customer or {"name": "Hotel Berlin", "kind": "business"}
    owner = service.post("/v1/customers", given)
    site = {
        "name": "Main house",
        "customer_id": owner["customer_id"],
        "territory": "north",
        "time_zone": "Europe/Berlin",
    }
    site_id = service.post("/v1/sites", {**site, "latitude": 52.5, "longitude": 13.4})["site_id"]
    service.post(
        "/v1/assets",
        {
            "serial": "HD5-1",
            "model": "HD-5",
            "site_id": site_id,
            "installed_at": "2025-07-01T00:00:00Z",
            "warranty_terms": [{"starts_on": "2025-07-01", "ends_on": "2027-06-30"}],
        },
    )
    return {
        "customer_id": owner["customer_id"],
        "site_id": site_id,
        "provider_id": partner["provider_id"],
        "technician_id": technician["technician_id"],
    }
