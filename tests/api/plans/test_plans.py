"""Maintenance plans over HTTP."""

import httpx
import pytest

from careloop.client import ProblemError

CALENDAR = {"kind": "calendar", "every_days": 90}
METER = {"kind": "meter", "metric": "running_hours", "every": 250.5}
PLAN = {
    "name": "Yearly service",
    "model": "HD-5",
    "trigger": CALENDAR,
    "skill": "hydraulics",
    "labour_minutes": 90,
    "instructions": "Change the oil.",
    "parts": [{"sku": "OIL", "quantity": 2}, {"sku": "FILTER", "quantity": 1}],
}


@pytest.fixture
def planner(api):
    with api.client("service") as client:
        for sku in ("OIL", "FILTER"):
            client.post("/v1/parts", {"sku": sku, "name": sku})
        metrics = [{"name": "running_hours", "unit": "h"}]
        model = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "metrics": metrics}
        client.post("/v1/product-models", model)
        other = {"code": "RV-1", "name": "RV 1", "kind": "robot", "metrics": [{"name": "brush_rpm", "unit": "1/min"}]}
        client.post("/v1/product-models", other)
        yield client


def refusal(call, *given, **named) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


def test_a_plan_is_made_read_and_listed(planner) -> None:
    made = planner.post("/v1/plans", PLAN)
    assert {name: made[name] for name in PLAN if name != "parts"} == {n: v for n, v in PLAN.items() if n != "parts"}
    assert made["parts"] == [{"sku": "FILTER", "quantity": 1}, {"sku": "OIL", "quantity": 2}]
    assert (made["active"], made["version"]) == (True, 1)
    assert planner.get(f"/v1/plans/{made['plan_id']}") == made
    metered = planner.post("/v1/plans", {**PLAN, "name": "By hours", "trigger": METER, "active": False, "parts": []})
    assert (metered["trigger"], metered["parts"]) == (METER, [])
    assert list(planner.pages("/v1/plans")) == [made, metered]
    assert list(planner.plans()) == [made]


def test_a_plan_is_changed_by_whoever_saw_its_latest_version(api, planner) -> None:
    made = planner.post("/v1/plans", PLAN)
    path = f"/v1/plans/{made['plan_id']}"
    changed = planner.patch(path, {"active": False, "labour_minutes": 45}, version=1)
    assert changed == {**made, "active": False, "labour_minutes": 45, "version": 2}
    assert refusal(planner.patch, path, {"instructions": "x"}, version=1).status == 412
    headers = {"Authorization": f"Bearer {api.keys['service']}"}
    assert httpx.patch(api.url + path, json={}, headers=headers).status_code == 428
    assert httpx.get(api.url + path, headers=headers).headers["ETag"] == '"2"'
    assert refusal(planner.patch, "/v1/plans/99", {}, version=1).status == 404


def test_a_name_is_taken_once(planner) -> None:
    planner.post("/v1/plans", PLAN)
    assert refusal(planner.post, "/v1/plans", PLAN).type == "/problems/name-taken"


BAD_FIELDS = [
    ({"name": ""}, "body.name"),
    ({"model": "OTHER"}, "body.model"),
    ({"trigger": {"kind": "moon"}}, "body.trigger"),
    ({"trigger": {"kind": "calendar"}}, "body.trigger.calendar.every_days"),
    ({"trigger": {"kind": "calendar", "every_days": 0}}, "body.trigger.calendar.every_days"),
    ({"trigger": {"kind": "calendar", "every_days": 7, "every": 1}}, "body.trigger.calendar.every"),
    ({"trigger": {"kind": "meter", "metric": "running_hours", "every": 0}}, "body.trigger.meter.every"),
    ({"trigger": {"kind": "meter", "metric": "running_hours", "every": 1e13}}, "body.trigger.meter.every"),
    ({"trigger": {"kind": "meter", "every": 5}}, "body.trigger.meter.metric"),
    ({"trigger": {"kind": "meter", "metric": "brush_rpm", "every": 5}}, "body.trigger.meter.metric"),
    ({"trigger": {"kind": "meter", "metric": "unknown", "every": 5}}, "body.trigger.meter.metric"),
    ({"skill": ""}, "body.skill"),
    ({"labour_minutes": 0}, "body.labour_minutes"),
    ({"instructions": "\x00"}, "body.instructions"),
    ({"parts": [{"sku": "OTHER", "quantity": 1}]}, "body.parts.0.sku"),
    ({"parts": [{"sku": "OIL", "quantity": 0}]}, "body.parts.0.quantity"),
    ({"parts": [{"sku": "OIL", "quantity": 1}, {"sku": "OIL", "quantity": 1}]}, "body.parts"),
    ({"active": "perhaps"}, "body.active"),
    ({"owner": "me"}, "body.owner"),
]


def test_every_bad_field_is_named(planner) -> None:
    for change, field in BAD_FIELDS:
        refused = refusal(planner.post, "/v1/plans", {**PLAN, **change})
        assert (change, refused.status, refused.problem["errors"][0]["field"]) == (change, 422, field)
    # A refused plan leaves nothing behind, not even its name.
    planner.post("/v1/plans", PLAN)


def test_occurrences_are_the_latest_of_each_asset_page_by_page(planner) -> None:
    plan_id = planner.post("/v1/plans", {**PLAN, "parts": []})["plan_id"]
    other_id = planner.post("/v1/plans", {**PLAN, "name": "Other", "parts": []})["plan_id"]
    serials = [f"HD5-{number}" for number in range(1, 6)]
    for serial in serials:
        planner.post("/v1/assets", {"serial": serial, "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z"})
    for occurrence, serial in enumerate(serials[:4], start=1):
        for made in (1, occurrence):
            planner.create_job({"plan_id": plan_id, "serial": serial, "occurrence": made}, now=None)
    planner.create_job({"plan_id": other_id, "serial": "HD5-1", "occurrence": 9}, now=None)
    assert planner.plan_occurrences(plan_id) == {"HD5-1": 1, "HD5-2": 2, "HD5-3": 3, "HD5-4": 4}
    page = planner.get(f"/v1/plans/{plan_id}/occurrences", limit=3)
    rest = planner.get(f"/v1/plans/{plan_id}/occurrences", limit=3, after=page["next"])
    assert [item["serial"] for item in page["items"] + rest["items"]] == serials[:4]
    assert rest["next"] is None
    assert refusal(planner.get, "/v1/plans/99/occurrences").status == 404


def test_a_technician_reads_plans_and_makes_none(api, planner) -> None:
    with api.client("technician") as technician:
        assert technician.get("/v1/plans")["items"] == []
        assert refusal(technician.post, "/v1/plans", PLAN).status == 403
