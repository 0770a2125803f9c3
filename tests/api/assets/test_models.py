"""Product models over HTTP: what they are made of, how they change, and their papers."""

PUMP = {"name": "pump", "sku": "PUMP", "skill": "hydraulics"}
BOM = [
    {
        "position": "1",
        "name": "Drive",
        "items": [
            {"position": "1.1", "name": "Pump, brass", "sku": "PUMP", "component": "pump", "until_batch": "B9"},
            {"position": "1.1", "name": "Pump, steel", "sku": "PUMP-2", "component": "pump", "from_batch": "B10"},
            {"position": "1.2", "name": "Screw", "sku": "SCREW", "quantity": 8},
        ],
    },
    {"position": "2", "name": "Lance", "from_date": "2026-01-01"},
]


def _names(items) -> list:
    return [item["name"] for top in items for item in (top, *top["items"])]


def test_a_model_from_its_parts_to_its_manual(desk, http) -> None:
    for sku in ("PUMP", "PUMP-2", "SCREW"):
        desk.post("/v1/parts", {"sku": sku, "name": sku.title()})
    # Changed with the version seen: components are added and changed, none goes.
    model = http("GET", "/v1/product-models/HD-5")
    assert model.headers["etag"] == '"1"'
    change = {"name": "HD 5/15 C", "components": [PUMP], "metrics": [{"name": "running_hours", "unit": "h"}]}
    assert http("PATCH", "/v1/product-models/HD-5", change).status_code == 428
    changed = http("PATCH", "/v1/product-models/HD-5", change, version=1, role="engineer").json()
    assert (changed["name"], changed["kind"], changed["version"]) == ("HD 5/15 C", "pressure_washer", 2)
    assert [metric["name"] for metric in changed["metrics"]] == ["pressure_bar", "running_hours"]
    assert http("PATCH", "/v1/product-models/HD-5", change, version=1).status_code == 412
    again = http("PATCH", "/v1/product-models/HD-5", {"components": [PUMP | {"labour_minutes": 90}]}, version=2).json()
    assert [(c["name"], c["labour_minutes"]) for c in again["components"]] == [("pump", 90)]
    assert again["name"] == "HD 5/15 C"

    # The bill of materials as a tree, and what of it is in a machine of a batch.
    path = "/v1/product-models/HD-5/bill-of-materials"
    put = http("PUT", path, {"items": BOM}, version=3)
    assert put.status_code == 200, put.text
    assert put.headers["etag"] == '"4"'
    assert _names(put.json()["items"]) == ["Drive", "Pump, brass", "Pump, steel", "Screw", "Lance"]
    assert _names(http("GET", f"{path}?batch=B10").json()["items"]) == ["Drive", "Pump, steel", "Screw", "Lance"]
    assert _names(http("GET", f"{path}?batch=B9&produced_on=2025-12-31").json()["items"]) == [
        "Drive", "Pump, brass", "Screw",
    ]  # fmt: skip
    desk.post("/v1/assets", {"serial": "B9-1", "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "batch": "B9"})
    of_asset = http("GET", "/v1/assets/B9-1/bill-of-materials").json()
    assert _names(of_asset["items"]) == ["Drive", "Pump, brass", "Screw", "Lance"]
    for items, field in (
        ([{"position": "1", "name": "X", "sku": "NONE"}], "body.items.0.sku"),
        ([{"position": "1", "name": "X", "items": [{"position": "1", "name": "Y", "component": "gear"}]}],
         "body.items.0.items.0.component"),
        ([{"position": "1", "name": "X"}, {"position": "1", "name": "Y"}], "body.items.1.position"),
    ):  # fmt: skip
        refused = http("PUT", path, {"items": items}, version=4)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    deep: dict = {"position": "1", "name": "bottom"}
    for _ in range(13):
        deep = {"position": "1", "name": "X", "items": [deep]}
    assert http("PUT", path, {"items": [deep]}, version=4).status_code == 422
    assert http("GET", path).json() == {**put.json(), "version": 4}
    assert http("PUT", path, {"items": []}, version=4).json()["items"] == []

    # Its manual.
    sent = http("POST", "/v1/files?name=manual.txt", content=b"Read this first.\n", role="engineer")
    manual = {"kind": "manual", "title": "Operating manual", "language": "en", "file_id": sent.json()["file_id"]}
    made = http("POST", "/v1/product-models/HD-5/documents", manual, role="engineer")
    assert made.status_code == 201, made.text
    listed = http("GET", "/v1/assets/HD5-1/documents?language=en").json()["items"]
    assert [(paper["title"], paper["of"]) for paper in listed] == [("Operating manual", "model")]
    assert http("GET", "/v1/assets/HD5-1/documents?language=de").json()["items"] == []
    document = f"/v1/product-models/HD-5/documents/{made.json()['document_id']}"
    assert [http("DELETE", document).status_code for _ in range(2)] == [204, 404]
