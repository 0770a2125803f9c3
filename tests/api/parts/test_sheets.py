"""Parts by the thousand: a sheet goes in whole or not at all."""

import io

import httpx
import pytest
from openpyxl import load_workbook

NOW = "2026-07-01T08:00:00Z"
HEADER = "sku;name;cost_minor;imported;superseded_by;superseded_on;customer_price_minor;prices_from\n"


@pytest.fixture
def load(api):
    def load(text: str, **query) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {api.keys['agent']}", "Careloop-Now": NOW}
        url = f"{api.url}/v1/parts/import"
        answer = httpx.post(url, params=query, content=text.encode(), headers=headers, timeout=120)
        return answer.status_code, answer.json()

    return load


def test_a_sheet_makes_changes_links_and_prices_parts(api, load) -> None:
    sheet = HEADER + (
        "A;Pump;1000;no;B;2026-01-01;2500;2026-01-01\nB;Pump II;1100;yes;C;2026-08-01;;\nC;Pump III;1200;;;;3000;\n"
    )
    status, tried = load(sheet, dry_run=True)
    assert (status, tried["created"], tried["priced"], tried["superseded"], tried["problems"]) == (200, 3, 2, 2, [])
    status, report = load(sheet)
    assert (status, report) == (200, {**tried, "dry_run": False})
    with api.client("agent") as desk:
        parts = {part["sku"]: part for part in desk.pages("/v1/parts")}
        assert [part["state"] for part in parts.values()] == ["superseded", "active", "active"]
        assert (parts["B"]["imported"], parts["C"]["lead_time_days"]) == (True, 14)
        assert len(desk.get("/v1/parts/A/chain")["links"]) == 2
        status, again = load(sheet, mode="upsert")
        assert (status, again["unchanged"], again["priced"], again["superseded"]) == (200, 3, 0, 0)
        status, changed = load("sku,cost_minor,customer_price_minor\nA,1050,2600\nD,1,\n", mode="upsert")
        assert (status, changed["errors"][0]["field"]) == (422, "line.3.name")
        status, changed = load("sku,cost_minor,customer_price_minor\nA,1050,2600\n", mode="update")
        assert (changed["updated"], changed["priced"]) == (1, 1)
        price = desk.get("/v1/parts/A/price", kind="customer", on="2026-07-01")["price_minor"]
        assert (price, desk.get("/v1/parts/A")["cost_minor"]) == (2600, 1050)
        status, twice = load("sku,customer_price_minor\nA,2700\n", mode="update")
        assert (status, twice["type"]) == (409, "/problems/price-taken")
        columns = [column["name"] for column in desk.get("/v1/parts/import/columns")]
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}
    template = httpx.get(f"{api.url}/v1/parts/import/template", headers=headers)
    assert [cell.value for cell in load_workbook(io.BytesIO(template.content)).active[1]] == columns


def test_each_wrong_cell_is_named_and_nothing_goes_in(api, load) -> None:
    with api.client("agent") as desk:
        for sku in ("OLD", "NEW", "GONE"):
            desk.post("/v1/parts", {"sku": sku, "name": sku, "rotable": sku == "NEW"})
        desk.post("/v1/parts/OLD/successor", {"successor": "NEW", "effective_on": "2026-02-01"})
        desk.post("/v1/parts/GONE/discontinue", {})
        rows = [
            "sku,name,superseded_by,superseded_on,serialised,weight_grams,two_way,shipping_class",
            "NEW,New,OLD,2026-03-01,no,,,",
            "X,X,NIX,,,,,",
            "Y,Y,,,maybe,1.5,yes,flying",
            "Z,,X,,,,,",
            "X,X,GONE,,,,,",
            "stock,S,,,,,,",
            "OLD,Old,X,,,,,",
            "sp ace,S,,,,,,",
        ]
        status, report = load("\n".join(rows), dry_run=True, mode="upsert")
        wrong = sorted((problem["line"], problem["column"]) for problem in report["problems"])
        assert (status, report["created"], wrong) == (
            200,
            0,
            [
                (2, "serialised"),
                (2, "superseded_by"),
                (3, "superseded_by"),
                (4, "serialised"),
                (4, "shipping_class"),
                (4, "two_way"),
                (4, "weight_grams"),
                (5, "name"),
                (6, "sku"),
                (6, "superseded_by"),
                (7, "sku"),
                (8, "superseded_by"),
                (9, "sku"),
            ],
        )
        status, refused = load("\n".join(rows), mode="upsert")
        assert (status, refused["type"], refused["problem_count"]) == (422, "/problems/import-refused", 13)
        assert load("colour\nred")[1]["problem_count"] > 1
        assert load("")[0] == 422
        assert [part["sku"] for part in desk.pages("/v1/parts")] == ["OLD", "NEW", "GONE"]


def test_thousands_of_parts_go_in_at_once(api, load) -> None:
    rows = "\n".join(f"S-{number},Seal {number},{number}" for number in range(3000))
    status, report = load(f"sku,name,customer_price_minor\n{rows}\n")
    assert (status, report["created"], report["priced"]) == (200, 3000, 3000)
