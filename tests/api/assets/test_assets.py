"""Product models and assets over HTTP."""

import httpx
import pytest

from careloop.client import ProblemError

ASSET = {"serial": "HD5-1", "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z"}


def test_an_asset_is_registered_read_and_changed(desk) -> None:
    asset = desk.get("/v1/assets/HD5-1")
    assert (asset["model"], asset["kind"], asset["territory"]) == ("HD-5", "pressure_washer", "default")
    changed = desk.patch("/v1/assets/HD5-1", {"attributes": {"firmware": "2.1"}}, version=asset["version"])
    assert changed["attributes"] == {"firmware": "2.1"}
    with pytest.raises(ProblemError) as refused:
        desk.patch("/v1/assets/HD5-1", {"state": "retired"}, version=asset["version"])
    assert refused.value.status == 412


def test_a_change_needs_if_match(api, desk) -> None:
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}
    answer = httpx.patch(f"{api.url}/v1/assets/HD5-1", json={}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (428, "/problems/if-match-missing")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"serial": "with space"}, "body.serial"),
        ({"model": "unknown"}, "body.model"),
        ({"installed_at": "2026-01-01T00:00:00"}, "body.installed_at"),
        ({"site_id": 99}, "body.site_id"),
        ({"colour": "yellow"}, "body.colour"),
        ({"warranty_terms": [{"starts_on": "2026-02-01", "ends_on": "2026-01-01"}]}, "body.warranty_terms.0.ends_on"),
    ],
)
def test_a_bad_field_is_named(desk, change, field) -> None:
    with pytest.raises(ProblemError) as refused:
        desk.post("/v1/assets", {**ASSET, "serial": "NEW", **change})
    assert refused.value.status == 422
    assert refused.value.problem["errors"][0]["field"] == field


def test_a_serial_number_is_registered_once(desk) -> None:
    with pytest.raises(ProblemError) as refused:
        desk.post("/v1/assets", ASSET)
    assert refused.value.type == "/problems/serial-taken"


def test_an_idempotency_key_makes_a_call_once(desk) -> None:
    first = desk.post("/v1/customers", {"name": "Hotel"}, key="once")
    assert desk.post("/v1/customers", {"name": "Hotel"}, key="once") == first
    with pytest.raises(ProblemError) as refused:
        desk.post("/v1/customers", {"name": "Other"}, key="once")
    assert refused.value.type == "/problems/idempotency-key-reused"
    assert len(list(desk.pages("/v1/customers"))) == 1


def test_pages_follow_one_another(desk) -> None:
    for number in range(5):
        desk.post("/v1/assets", {**ASSET, "serial": f"P-{number}"})
    page = desk.get("/v1/assets", limit=4)
    rest = desk.get("/v1/assets", limit=4, after=page["next"])
    assert [asset["serial"] for asset in page["items"] + rest["items"]] == ["HD5-1", *(f"P-{n}" for n in range(5))]
    assert rest["next"] is None


def test_without_a_key_or_with_a_wrong_role_nothing_is_done(api, desk) -> None:
    assert httpx.get(f"{api.url}/v1/assets").json()["type"] == "/problems/api-key-missing"
    with api.client("technician") as technician, pytest.raises(ProblemError) as refused:
        technician.post("/v1/assets", {**ASSET, "serial": "T"})
    assert refused.value.status == 403
