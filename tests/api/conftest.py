"""What tests of several capabilities share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from threading import Barrier

import pytest

from careloop.client import CareloopClient, ProblemError


def refusal(call, *given, **named) -> ProblemError:
    """The problem that a call ends with."""
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


@pytest.fixture(name="refusal")
def _refusal():
    return refusal


@pytest.fixture
def at_once(api):
    """Does a piece of work for each argument in a thread of its own, all let go at the same moment.

    Returns the answers in order; a refusal stands among them as its ProblemError.
    """

    def run_all(work, arguments):
        gate = Barrier(len(arguments))

        def run(argument):
            gate.wait(30)
            try:
                return work(client, argument)
            except ProblemError as problem:
                return problem

        # One client for all: it gives each thread a connection of its own.
        with api.client("service") as client, ThreadPoolExecutor(len(arguments)) as threads:
            return list(threads.map(run, arguments))

    return run_all


# Stores of parts ----------------------------------------------------------------------------------

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
BERLIN = {"latitude": 52.52, "longitude": 13.405}


@dataclass
class Stores:
    """A client with the role `service`, and what the tests set up with it."""

    client: CareloopClient
    plan_id: int
    occurrences: Iterator[int] = field(default_factory=lambda: count(1))

    def job(self, serial: str = "HD5-1") -> int:
        """A new job on the machine; the plan's own parts are none."""
        body = {"plan_id": self.plan_id, "serial": serial, "occurrence": next(self.occurrences)}
        return self.client.create_job(body, now=NOW)["job_id"]

    def part(self, sku: str = "PUMP", **fields: object) -> None:
        self.client.post("/v1/parts", {"sku": sku, "name": sku.title(), **fields})

    def warehouse(self, code: str, *, kind: str = "central", pieces: int = 0, sku: str = "PUMP", **fields) -> None:
        self.client.post("/v1/warehouses", {"code": code, "name": code, "kind": kind, **fields})
        if pieces:
            self.receive(code, pieces, sku)

    def receive(self, warehouse: str, quantity: int, sku: str = "PUMP") -> None:
        body = {"sku": sku, "warehouse": warehouse, "kind": "receipt", "quantity": quantity, "cause": "delivery 1"}
        self.client.post("/v1/parts/movements", body, now=NOW)

    def reserve(self, job_id: int, quantity: int = 1, sku: str = "PUMP"):
        return self.client.reserve(job_id, sku, quantity, now=NOW)

    def balance(self, warehouse: str, sku: str = "PUMP") -> tuple[int, int, int]:
        (stock,) = self.client.pages("/v1/parts/stock", sku=sku, warehouse=warehouse)
        return stock["on_hand"], stock["reserved"], stock["available"]


@pytest.fixture
def stores(api) -> Iterator[Stores]:
    with api.client("service") as client:
        client.post("/v1/product-models", {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer"})
        for serial, site in (("HD5-1", {"territory": "north", **BERLIN}), ("HD5-2", {"territory": "south"})):
            made = client.post("/v1/sites", {"name": f"Site of {serial}", **site})
            asset = {"model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "site_id": made["site_id"]}
            client.post("/v1/assets", {**asset, "serial": serial})
        plan = {"name": "Yearly", "model": "HD-5", "trigger": {"kind": "calendar", "every_days": 365}}
        yield Stores(client, client.post("/v1/plans", plan)["plan_id"])
