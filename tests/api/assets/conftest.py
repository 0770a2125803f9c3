"""A desk with a product model, and requests with the headers that the tests are about."""

import httpx
import pytest

MODEL = {
    "code": "HD-5",
    "name": "HD 5/15",
    "kind": "pressure_washer",
    "metrics": [{"name": "pressure_bar", "unit": "bar"}],
}
ASSET = {"serial": "HD5-1", "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z"}
NOW = "2026-09-01T12:00:00Z"


@pytest.fixture
def desk(api):
    with api.client("agent") as client:
        client.post("/v1/product-models", MODEL)
        client.post("/v1/assets", ASSET)
        yield client


@pytest.fixture
def http(api):
    """Sends a request as a role and returns the response, whatever it is."""

    def send(method, path, body=None, *, role="agent", version=None, now=NOW, key=None, **options):
        headers = {"Authorization": f"Bearer {key or api.keys[role]}", "Careloop-Now": now}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return httpx.request(method, api.url + path, json=body, headers=headers, timeout=60, **options)

    return send
