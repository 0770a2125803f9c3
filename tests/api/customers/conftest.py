"""Customers with machines and cases, made over HTTP."""

import httpx
import pytest

MODEL = {
    "code": "HD-5",
    "name": "HD 5/15",
    "kind": "pressure_washer",
    "components": [{"name": "pump"}],
}


@pytest.fixture
def agent(api):
    with api.client("agent") as client:
        yield client


@pytest.fixture
def machine(agent):
    """Registers a machine of a customer."""
    agent.post("/v1/product-models", MODEL)

    def register(serial, customer):
        site = agent.post("/v1/sites", {"name": f"site of {serial}", "customer_id": customer["customer_id"]})
        body = {"serial": serial, "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "site_id": site["site_id"]}
        return agent.post("/v1/assets", body)

    return register


@pytest.fixture
def send(api):
    """Posts with If-Match, as the client does not."""

    def post(path, body=None, version=None, role="agent"):
        headers = {"Authorization": f"Bearer {api.keys[role]}"}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return httpx.post(f"{api.url}{path}", json=body, headers=headers, timeout=60)

    return post
