"""A machine with two components, registered by the desk."""

from collections.abc import Iterator

import pytest

from careloop.client import CareloopClient

MODEL = {
    "code": "HD-5",
    "name": "HD 5/15",
    "kind": "pressure_washer",
    "components": [{"name": "pump"}, {"name": "seal"}],
}


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    with api.client("agent") as client:
        client.post("/v1/product-models", MODEL)
        client.post("/v1/product-models", {"code": "OTHER", "name": "Other", "kind": "robot", "components": []})
        site = client.post("/v1/sites", {"name": "Hotel Post", "time_zone": "Asia/Shanghai"})
        asset = {"model": "HD-5", "installed_at": "2025-01-01T00:00:00Z", "site_id": site["site_id"]}
        client.post("/v1/assets", {**asset, "serial": "HD5-1"})
        client.post("/v1/assets", {**asset, "serial": "HD5-2"})
        client.post("/v1/assets", {**asset, "serial": "BOT-1", "model": "OTHER"})
        yield client
