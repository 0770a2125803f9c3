"""Procedures and the fault catalogue, and what of a visit who may see."""

import uuid

NEW = {"code": "SAFE", "title": "Safety", "job_kind": "repair"}
BAD_SOPS = [
    ({"model": "NONE"}, "body.model"),
    ({"checks": [{"code": "v", "text": "V", "minimum": 2, "maximum": 1}]}, "body.checks.0.maximum"),
    ({"steps": [{"code": "s", "text": "S", "kind": "choice"}]}, "body.steps.0"),
    ({"steps": [{"code": "s", "text": "S", "minimum": 1}]}, "body.steps.0"),
    ({"tips": [{"code": "t", "text": "T"}] * 2}, "body"),
    ({"job_kind": "party"}, "body.job_kind"),
]
KIND = "pressure_washer"
BAD_CODES = [
    ({"code": "X", "level": "symptom", "parent": "S1"}, "body.parent"),
    ({"code": "X", "level": "fault"}, "body.parent"),
    ({"code": "X", "level": "cause", "parent": "S1"}, "body.parent"),
    ({"code": "X", "level": "cause", "parent": "NONE"}, "body.parent"),
]
BAD_PARTS = [
    ({"warehouse": "VAN-1", "reservation_id": 1}, "body.warehouse"),
    ({}, "body.warehouse"),
    ({"warehouse": "NONE"}, "body.warehouse"),
    ({"warehouse": "VAN-1", "sku": "NONE"}, "body.sku"),
    ({"reservation_id": 99}, "body.reservation_id"),
    ({"warehouse": "VAN-1", "component": "lid"}, "body.component"),
    ({"kind": "returned", "warehouse": "VAN-1", "old_part": "scrap"}, "body.old_part"),
]
BAD_REPORTS = [
    ({"photos": [99]}, "body.photos.0"),
    ({"signature_file_id": 99}, "body.signature_file_id"),
    ({"diagnosis": {"symptom": "F1"}}, "body.diagnosis.symptom"),
    ({"replaced": [{"component": "lid", "reason": "failure"}]}, "body.replaced.0.component"),
    (
        {"replaced": [{"component": "pump", "reason": "failure", "failed_at": "2027-01-01T00:00:00Z"}]},
        "body.replaced.0.failed_at",
    ),
    ({"follow_up": {"sku": "NONE"}}, "body.follow_up.sku"),
    ({"findings": "\x00"}, "body.findings"),
    ({"fee_lines": [{"kind": "part"}]}, "body.fee_lines.0"),
]


def test_a_procedure_has_versions_and_the_nearest_is_taken(desk) -> None:
    for change, field in BAD_SOPS:
        refused = desk.refused("engineer", "POST", "/v1/sops", {**NEW, **change})
        assert (change, refused["status"], refused["errors"][0]["field"]) == (change, 422, field)
    assert desk.refused("agent", "POST", "/v1/sops", NEW)["status"] == 403
    general = desk.post("engineer", "/v1/sops", NEW)
    second = desk.post("engineer", "/v1/sops", {**NEW, "title": "Safety first"})
    assert (general["version"], second["version"]) == (1, 2)
    codes = [(sop["code"], sop["version"]) for sop in desk.get("technician", "/v1/sops")["items"]]
    assert codes == [("PUMP-CHANGE", 1), ("SAFE", 2)]
    old = desk.get("technician", "/v1/sops?code=SAFE&with_old=true")["items"]
    assert [(sop["version"], sop["superseded_at"] is None) for sop in old] == [(1, False), (2, True)]
    # Of the kind before any kind; of the model before its kind; what is withdrawn for none.
    assert desk.visit(24)["sop_id"] == 1
    model = desk.post("engineer", "/v1/sops", {"code": "HD-5-ANY", "title": "HD 5", "model": "HD-5"})
    assert desk.visit(26)["sop_id"] == model["sop_id"]
    desk.post("engineer", f"/v1/sops/{model['sop_id']}/withdraw")
    again = desk.refused("engineer", "POST", f"/v1/sops/{model['sop_id']}/withdraw")
    assert again["type"] == "/problems/sop-superseded"
    assert desk.visit(28)["sop_id"] == 1


def test_the_fault_catalogue_is_a_tree(desk) -> None:
    base = {"product_kind": KIND, "text": "Text"}
    for change, field in BAD_CODES:
        refused = desk.refused("engineer", "POST", "/v1/fault-codes", {**base, **change})
        assert (change, refused["status"], refused["errors"][0]["field"]) == (change, 422, field)
    taken = desk.refused("engineer", "POST", "/v1/fault-codes", {**base, "code": "S1", "level": "symptom"})
    assert taken["type"] == "/problems/code-taken"
    listed = desk.get("technician", f"/v1/fault-codes?product_kind={KIND}&level=cause")["items"]
    assert [(code["code"], code["parent"]) for code in listed] == [("C1", "F1")]
    path = f"/v1/fault-codes/{listed[0]['fault_code_id']}"
    changed = desk.call("engineer", "PATCH", path, {"active": False}, **{"If-Match": '"1"'})
    assert (changed["active"], changed["version"]) == (False, 2)
    assert desk.refused("engineer", "PATCH", path, {"text": "X"}, **{"If-Match": '"1"'})["status"] == 412
    assert desk.get("technician", f"/v1/fault-codes?product_kind={KIND}&level=cause")["items"] == []


def test_whatever_is_wrong_is_named(desk) -> None:
    visit = desk.visit(24)
    path = f"/v1/visits/{visit['visit_id']}"
    desk.on_site(visit)
    part = {"kind": "used", "sku": "PUMP", "entry_id": str(uuid.uuid4())}
    for change, field in BAD_PARTS:
        refused = desk.refused("technician", "POST", f"{path}/parts", {**part, **change})
        assert (change, refused["status"], refused["errors"][0]["field"]) == (change, 422, field)
    for change, field in BAD_REPORTS:
        refused = desk.refused("technician", "PUT", f"{path}/report", change)
        assert (change, refused["status"], refused["errors"][0]["field"]) == (change, 422, field)
    assert desk.refused("technician", "POST", f"{path}/confirm", {"slot_id": 99})["type"] == "/problems/visit-state"
    for path, method in (("/v1/visits/99", "GET"), ("/v1/visits/99/complete", "POST"), ("/v1/visits/99/pack", "GET")):
        assert desk.refused("technician", method, path)["status"] == 404
    assert desk.refused("agent", "GET", "/v1/visits?state=lost")["errors"][0]["field"] == "query.state"
    for day in ("0001-01-01", "9999-12-31"):
        assert desk.get("agent", f"/v1/visits?day={day}")["items"] == []
    (line,) = desk.get("customer", f"/v1/visits?ticket_id={visit['ticket_id']}")["items"]
    assert line["visit_id"] == visit["visit_id"]
    assert desk.get("agent", "/v1/visits?state=planned,confirmed")["items"] == []
