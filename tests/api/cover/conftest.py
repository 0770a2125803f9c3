"""Two machines whose warranty ends on 2026-03-31, and the keys of the desk."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from careloop.client import CareloopClient

NOW = datetime(2026, 3, 20, 9, tzinfo=UTC)


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    with api.client("agent") as client:
        components = [{"name": "pump"}, {"name": "motor"}]
        for code in ("HD-5", "SE-4"):
            client.post("/v1/product-models", {"code": code, "name": code, "kind": "washer", "components": components})
        for serial in ("HD5-1", "HD5-2"):
            term = {"name": "maker", "starts_on": "2024-04-01", "ends_on": "2026-03-31"}
            asset = {"model": "HD-5", "installed_at": "2024-04-01T00:00:00Z", "warranty_terms": [term]}
            client.post("/v1/assets", {**asset, "serial": serial})
        yield client


@pytest.fixture
def lead(api) -> Iterator[CareloopClient]:
    with api.client("desk_lead") as client:
        yield client
