"""A business with a machine, a partner with two technicians, a part in stock, a procedure and a fault catalogue."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from PIL import Image

from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
SOP = {
    "code": "PUMP-CHANGE",
    "title": "Change the pump",
    "product_kind": "pressure_washer",
    "tips": [{"code": "power", "text": "Unplug the machine."}],
    "checks": [
        {"code": "voltage", "text": "Mains voltage", "unit": "V", "minimum": 207, "maximum": 253},
        {"code": "space", "text": "Space around the machine", "optional": True},
    ],
    "steps": [
        {"code": "drain", "text": "Drain the water"},
        {"code": "pressure", "text": "Pressure after", "kind": "value", "unit": "bar", "minimum": 120, "maximum": 160},
        {"code": "plate", "text": "Photo of the plate", "kind": "photo", "mandatory": False},
        {"code": "hose", "text": "Hose", "kind": "choice", "choices": ["kept", "changed"]},
    ],
}
CODES = [
    ("S1", "symptom", None, "No pressure"),
    ("F1", "fault", "S1", "Pump worn"),
    ("C1", "cause", "F1", "Ran dry"),
    ("R1", "remedy", "C1", "Pump changed"),
]


@dataclass
class Desk:
    """The API as its people use it: a role's key each, all at one time that a test moves on."""

    http: httpx.Client
    database_url: str
    keys: dict[str, str]
    now: datetime
    customer_id: int
    technician_id: int
    other_technician_id: int

    def send(self, role: str, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """A request of a role's."""
        given = {"Careloop-Now": self.now.isoformat(), **headers}
        if role in self.keys:
            given["Authorization"] = f"Bearer {self.keys[role]}"
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.request(method, path, headers=given, **content)

    def call(self, role: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        """A request that must succeed; its answer."""
        answer = self.send(role, method, path, body, **headers)
        if answer.is_error:
            raise ProblemError(answer.status_code, answer.json())
        return answer.json()

    def post(self, role: str, path: str, body: object = None, **headers: str) -> Any:
        return self.call(role, "POST", path, {} if body is None else body, **headers)

    def get(self, role: str, path: str) -> Any:
        return self.call(role, "GET", path)

    def refused(self, role: str, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """The problem of a request that must fail."""
        answer = self.send(role, method, path, {} if body is None and method != "GET" else body, **headers)
        assert answer.is_error, answer.text
        return answer.json()

    def photo(self, role: str = "technician", colour: str = "red") -> int:
        target = io.BytesIO()
        Image.new("RGB", (64, 48), colour).save(target, "PNG")
        return self.call(role, "POST", f"/v1/files?name={colour}.png", target.getvalue())["file_id"]

    def ticket(self, **fields: object) -> int:
        body = {"kind": "repair", "serial": "HD5-1", "component": "pump", "title": "No pressure", **fields}
        ticket_id = self.post("agent", "/v1/tickets", body)["ticket_id"]
        with connect(self.database_url) as connection:
            connection.execute(
                "UPDATE service.ticket SET customer_id = %s, provider_id = 1 WHERE ticket_id = %s",
                (self.customer_id, ticket_id),
            )
        return ticket_id

    def job(self, *, reserve: bool = True, **fields: object) -> int:
        job_id = self.post("agent", "/v1/jobs", {"ticket_id": self.ticket(**fields)})["job_id"]
        if reserve:
            self.post("dispatcher", "/v1/parts/reservations", {"job_id": job_id, "sku": "PUMP", "quantity": 2})
        return job_id

    def slot(self, hours: float, technician_id: int | None = None) -> dict[str, Any]:
        starts_at = NOW + timedelta(hours=hours)
        return {
            "technician_id": technician_id or self.technician_id,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + timedelta(hours=1)).isoformat(),
        }

    def visit(self, *hours: float, job_id: int | None = None) -> dict[str, Any]:
        slots = [self.slot(hour) for hour in hours or (24,)]
        return self.post("agent", "/v1/visits", {"job_id": job_id or self.job(), "slots": slots})

    def on_site(self, visit: dict[str, Any]) -> dict[str, Any]:
        """The technician is there, has read and checked everything, and begins."""
        path = f"/v1/visits/{visit['visit_id']}"
        self.now = datetime.fromisoformat(visit["starts_at"])
        self.post("technician", f"{path}/check-in", {"latitude": 52.5, "longitude": 13.4, "accuracy_m": 20})
        self.post("technician", f"{path}/entries", self.entries())
        return self.post("technician", f"{path}/begin-work")

    def entries(self, **changes: object) -> dict[str, Any]:
        """A batch with everything in order."""
        given = {
            "tips": [self.entry("power")],
            "checks": [self.entry("voltage", result="pass", value=230), self.entry("space", result="not_applicable")],
            "steps": [
                self.entry("drain"),
                self.entry("pressure", value=140),
                self.entry("hose", choice="kept"),
            ],
        }
        return {**given, **changes}

    def entry(self, code: str, **told: object) -> dict[str, Any]:
        return {"entry_id": str(uuid.uuid4()), "code": code, "device_at": self.now.isoformat(), **told}

    def use_pump(self, visit: dict[str, Any], quantity: int = 2, **fields: object) -> dict[str, Any]:
        """Build in what is kept for the job."""
        job = self.get("dispatcher", f"/v1/jobs/{visit['job_id']}")
        body = {
            "entry_id": str(uuid.uuid4()),
            "kind": "used",
            "sku": "PUMP",
            "quantity": quantity,
            "reservation_id": job["reservations"][0]["reservation_id"],
            "old_part": "scrap",
            **fields,
        }
        return self.post("technician", f"/v1/visits/{visit['visit_id']}/parts", body)

    def report(self, **changes: object) -> dict[str, Any]:
        """A whole report of a repair in warranty."""
        given = {
            "serial_found": "HD5-1",
            "diagnosis": {"symptom": "S1", "fault": "F1", "cause": "C1", "remedy": "R1"},
            "findings": "The pump ran dry.",
            "work_done": "Pump changed, tested at 140 bar.",
            "in_warranty": True,
            "replaced": [{"component": "pump", "reason": "failure"}],
            "signed_by_name": "Wang Wei",
            "signature_file_id": self.photo(colour="blue"),
            "solved": True,
            "outcome": "confirmed",
        }
        return {**given, **changes}

    def rows(self, query: str) -> list[dict[str, Any]]:
        with connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def stock(self, warehouse: str = "VAN-1") -> tuple[int, int]:
        (stock,) = self.get("service", f"/v1/parts/stock?sku=PUMP&warehouse={warehouse}")["items"]
        return stock["on_hand"], stock["reserved"]


@pytest.fixture
def desk(api) -> Iterator[Desk]:
    with httpx.Client(base_url=api.url, timeout=30) as http:
        yield _furnished(api, http)


def _furnished(api, http: httpx.Client) -> Desk:
    made = Desk(http, api.database_url, dict(api.keys), NOW, 0, 0, 0)
    service = "service"
    made.post(service, "/v1/parts", {"sku": "PUMP", "name": "Pump", "cost_minor": 5000})
    made.post(service, "/v1/warehouses", {"code": "VAN-1", "name": "Van", "kind": "van", "territory": "north"})
    receipt = {"sku": "PUMP", "warehouse": "VAN-1", "kind": "receipt", "quantity": 10, "cause": "delivery 1"}
    made.post(service, "/v1/parts/movements", receipt)
    components = [{"name": "pump", "sku": "PUMP", "quantity": 2, "skill": "hydraulics", "labour_minutes": 60}]
    model = {"code": "HD-5", "name": "Washer", "kind": "pressure_washer", "components": components}
    made.post(service, "/v1/product-models", model)
    customer = {"name": "Hotel Berlin", "kind": "business"}
    made.customer_id = made.post(service, "/v1/customers", customer)["customer_id"]
    site = {"name": "Main house", "territory": "north", "time_zone": "Europe/Berlin", "customer_id": made.customer_id}
    site_id = made.post(service, "/v1/sites", {**site, "latitude": 52.5, "longitude": 13.4})["site_id"]
    asset = {"serial": "HD5-1", "model": "HD-5", "site_id": site_id, "installed_at": "2026-01-01T00:00:00Z"}
    term = {"starts_on": "2026-01-01", "ends_on": "2027-12-31"}
    made.post(service, "/v1/assets", {**asset, "warranty_terms": [term]})
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.provider (code, name, created_at) VALUES ('P1', 'Partner', '2026-01-01Z')"
        )
    for name in ("Ada", "Bob"):
        technician = {"name": name, "skills": ["hydraulics"], "territories": ["north"]}
        made.post(service, "/v1/technicians", technician)
    with connect(api.database_url) as connection:
        connection.execute("UPDATE service.technician SET provider_id = 1")
        names = connection.execute("SELECT technician_id FROM service.technician ORDER BY 1").fetchall()
    made.technician_id, made.other_technician_id = (row["technician_id"] for row in names)
    made.keys["technician"] = api.scoped_key("technician", provider_id=1, technician_id=made.technician_id)
    made.keys["colleague"] = api.scoped_key("technician", provider_id=1, technician_id=made.other_technician_id)
    made.keys["partner_manager"] = api.scoped_key("partner_manager", provider_id=1)
    made.keys["customer"] = api.scoped_key("customer", customer_id=made.customer_id)
    made.post("engineer", "/v1/sops", SOP)
    for code, level, parent, text in CODES:
        body = {"product_kind": "pressure_washer", "code": code, "level": level, "parent": parent, "text": text}
        made.post("engineer", "/v1/fault-codes", body)
    return made
