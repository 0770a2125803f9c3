"""What the API shows of itself over HTTP."""

import asyncio
import json
import logging
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from careloop.logs import JsonFormatter


def metrics_of(api, role: str = "service") -> dict[str, list]:
    answer = httpx.get(f"{api.url}/metrics", headers={"Authorization": f"Bearer {api.keys[role]}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family.samples for family in text_string_to_metric_families(answer.text)}


def count(samples, **labels: str) -> float:
    return sum(
        sample.value for sample in samples if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )


def test_live_and_ready_need_no_key_and_say_what_they_looked_at(api):
    live = httpx.get(f"{api.url}/live")
    assert (live.status_code, live.json()["loops"]) == (200, ["event loop"])
    ready = httpx.get(f"{api.url}/ready")
    assert ready.status_code == 200
    assert "migrations current" in ready.json()["checks"]["database"]["detail"]
    assert ready.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("service", 200), ("agent", 403), ("technician", 403), (None, 401)]
)
def test_metrics_are_for_services_and_admins(api, role, status):
    headers = {"Authorization": f"Bearer {api.keys[role]}"} if role else {}
    assert httpx.get(f"{api.url}/metrics", headers=headers).status_code == status


def test_requests_are_counted_by_route_and_status_and_not_by_what_people_type(api):
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}
    for path in ("/v1/assets/NONE-1", "/v1/assets/NONE-2", f"/nothing/{uuid.uuid4()}"):
        assert httpx.get(api.url + path, headers=headers).status_code == 404
    httpx.request("PROPFIND", api.url + "/v1/assets", headers=headers)
    found = metrics_of(api)
    requests = found["careloop_api_requests"]
    assert count(requests, method="GET", route="/v1/assets/{serial}", status="404") == 2
    assert count(requests, route="(none)", status="404") == 1
    assert count(requests, method="other") == 1
    assert not [sample for sample in requests if "NONE" in str(sample.labels)]
    seconds = [sample for sample in found["careloop_api_request_seconds"] if sample.name.endswith("_count")]
    assert {sample.labels["route"]: sample.value for sample in seconds}["/v1/assets/{serial}"] == 2
    assert found["careloop_api_requests_in_progress"][0].value == 1, "the scrape itself"
    assert {sample.labels["state"] for sample in found["careloop_api_pool_connections"]} == {"idle", "busy"}
    assert {sample.labels["state"] for sample in found["careloop_api_outbox_alerts"]} == {
        "pending", "sending", "unconfirmed", "dead",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept"), [("order-7", True), ("a" * 64, True), ("a" * 65, False), ("two words", False), ("", False)]
)
def test_a_request_id_is_taken_or_made_and_given_back_also_in_problems(api, given, kept):
    answer = httpx.get(f"{api.url}/v1/assets/NONE", headers={"X-Request-ID": given})
    request_id = answer.headers["x-request-id"]
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert (request_id == given) is kept
    assert request_id
    assert answer.status_code == 401
    assert answer.json()["request_id"] == request_id
    assert httpx.get(f"{api.url}/live", headers={"X-Request-ID": "x1"}).headers["x-request-id"] == "x1"


def test_one_log_line_a_request_with_its_id_and_none_for_probes_that_are_well(api, caplog):
    caplog.set_level(logging.DEBUG, "api.observation.tracing")
    formatted = []
    handler = logging.Handler()
    handler.emit = lambda record: formatted.append(json.loads(JsonFormatter({}).format(record)))
    log = logging.getLogger("api.observation.tracing")
    log.addHandler(handler)
    try:
        httpx.get(f"{api.url}/v1/assets/NONE", headers={"X-Request-ID": "line-1"})
        httpx.get(f"{api.url}/live")
    finally:
        log.removeHandler(handler)
    assets, probe = formatted
    assert (assets["level"], assets["request_id"], assets["status"]) == ("INFO", "line-1", 401)
    assert (assets["route"], assets["path"]) == ("/v1/assets/{serial}", "/v1/assets/NONE")
    assert probe["level"] == "DEBUG"


def test_a_defect_carries_the_request_id_too(database_url):
    from api.application import create_app

    app = create_app(database_url, clock="request", now=lambda: None)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("on purpose")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/broken", headers={"X-Request-ID": "bad-1"})

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "bad-1"
    assert answer.headers["x-request-id"] == "bad-1"
