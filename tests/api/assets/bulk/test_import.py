"""Machines by the sheet, over HTTP: judged line by line, all or nothing, and out again as they came in."""

import csv
import io

import pytest
from openpyxl import load_workbook

from careloop.database.engine import connect

HEADER = (
    "serial;model;installed_at;state;retired_at;batch;firmware;sold_on;channel;dealer;attributes;customer_name;"
    "customer_kind;customer_phone;customer_email;customer_language;site_name;site_street;site_country;site_latitude;"
    "site_longitude;site_time_zone"
)
LINES = [
    (
        'N-1;HD-5;2026-03-01;;;W7;2.4;27.02.2026;Online Shop;=HYPERLINK("x");"{""age"": 1.5}";Ann Meyer;;+49 7195 140;'
        "Ann@Example.com;de;Home;Seestraße 1;DE;48,8925;9,3978;Europe/Berlin"
    ),
    "N-2;HD-5;2026-03-01T08:30:00Z;retired;2026-08-01;;;;;;;ann meyer;;07195 140;;;Home;;DE;;;",
    "N-3;HD-5;2026-03-02;;;;;;;;;卡赫 Hotel;business;;;zh-CN;Bay 1;;CN;;;Asia/Shanghai",
    "N-4;HD-5;2026-03-02;;;;;;;;;卡赫 Hotel;business;;;;Bay 2;;CN;;;",
    "N-5;HD-5;2026-03-03;;;;;;;;;;;;;;;;;;;",
]
SHEET = "\n".join([HEADER, *LINES]).encode()


@pytest.fixture
def counted(api):
    """How many rows there are in the tables that an import writes."""

    def count():
        with connect(api.database_url) as connection:
            return {
                table: connection.execute(f"SELECT count(*) AS n FROM service.{table}").fetchone()["n"]
                for table in ("asset", "customer", "contact", "site", "asset_owner", "asset_firmware", "audit")
            }

    return count


@pytest.fixture
def forget_all(api):
    """Takes away all machines, customers and sites."""

    def forget():
        with connect(api.database_url) as connection:
            for table in ("asset_firmware", "asset_owner", "warranty_pending", "contact", "asset", "site", "customer"):
                connection.execute(f"DELETE FROM service.{table}")

    return forget


def test_a_sheet_goes_in_whole_comes_out_and_goes_in_elsewhere(desk, http, counted, forget_all, api) -> None:
    before = counted()
    tried = http("POST", "/v1/assets/import?dry_run=true", content=SHEET)
    assert tried.status_code == 200, tried.text
    # A trial tells what would be done, and has done nothing.
    assert {name: tried.json()[name] for name in ("created", "customers_created", "sites_created", "delimiter")} == {
        "created": 5, "customers_created": 2, "sites_created": 3, "delimiter": ";",
    }  # fmt: skip
    assert tried.json()["problems"] == []
    assert counted() == before
    done = http("POST", "/v1/assets/import", content=SHEET)
    assert done.status_code == 200, done.text
    assert done.json() == {**tried.json(), "dry_run": False}
    after = counted()
    assert {table: after[table] - before[table] for table in ("asset", "customer", "site", "asset_owner")} == {
        "asset": 5, "customer": 2, "site": 3, "asset_owner": 4,
    }  # fmt: skip
    # The audit knows who did it.
    with connect(api.database_url) as connection:
        actors = connection.execute(
            "SELECT DISTINCT actor FROM service.audit WHERE table_name = 'asset' AND at > '2026-08-01'"
        )
        assert [row["actor"] for row in actors] == ["test-agent"]
    asset = desk.get("/v1/assets/N-1")
    assert asset["dealer"] == '=HYPERLINK("x")'
    assert (asset["sold_on"], asset["channel"], asset["attributes"]) == (
        "2026-02-27",
        "online_shop",
        {"age": 1.5},
    )
    assert desk.get("/v1/assets/N-1/owners")[0]["customer_name"] == "Ann Meyer"
    assert desk.get("/v1/assets/N-3")["customer_id"] == desk.get("/v1/assets/N-4")["customer_id"]

    out = http("GET", "/v1/assets/export")
    assert out.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(out.content.decode("utf-8-sig"))))
    assert [row["serial"] for row in rows] == ["HD5-1", "N-1", "N-2", "N-3", "N-4", "N-5"]
    assert rows[1]["dealer"].startswith("'=")
    assert rows[1]["customer_phone"] == "'+497195140"
    retired = http("GET", "/v1/assets/export?state=retired").content.decode("utf-8-sig")
    assert [row["serial"] for row in csv.DictReader(io.StringIO(retired))] == ["N-2"]
    # What came out goes in again and changes nothing; as a workbook, too.
    book = http("GET", "/v1/assets/export?format=xlsx").content
    for raw, file_format in ((out.content, "csv"), (book, "xlsx")):
        again = http("POST", f"/v1/assets/import?mode=upsert&format={file_format}", content=raw)
        assert again.status_code == 200, again.text
        told = again.json()
        assert (told["created"], told["updated"], told["unchanged"], told["customers_created"]) == (0, 0, 6, 0)
    # Where nothing is known yet it goes in again, and comes out the same.
    for raw, file_format in ((out.content, "csv"), (book, "xlsx")):
        forget_all()
        assert http("POST", f"/v1/assets/import?format={file_format}", content=raw).json()["created"] == 6
        assert http("GET", "/v1/assets/export").content == out.content


def test_each_wrong_cell_is_told_and_nothing_goes_in(desk, http, counted) -> None:
    sheet = "\n".join(
        [
            (
                "serial,model,installed_at,state,retired_at,sold_on,customer_name,customer_phone,customer_email,"
                "site_name,site_latitude,site_longitude,attributes"
            ),
            "G-1,HD-5,2026-03-01,,,,,,,,,,",
            "G-1,HD-5,2026-03-01,,,,,,,,,,",
            "with space,HD-5,2026-03-01,,,,,,,,,,",
            ",HD-5,2026-03-01,,,,,,,,,,",
            "B-1,HD-9,2026-03-01,,,,,,,,,,",
            "B-2,HD-5,soon,,,,,,,,,,",
            "B-3,HD-5,,,,,,,,,,,",
            "B-4,HD-5,2026-03-01,broken,,,,,,,,,",
            "B-5,HD-5,2026-03-01,,2026-04-01,,,,,,,,",
            "B-6,HD-5,2026-03-01,retired,2026-02-01,,,,,,,,",
            "B-7,HD-5,2026-03-01,,,,Ann,12,no mail,,,,",
            "B-8,HD-5,2026-03-01,,,,,+49 7195 140,,,,,",
            "B-9,HD-5,2026-03-01,,,,,,,Home,91,9,",
            "B-10,HD-5,2026-03-01,,,,,,,Home,48,,",
            "B-11,HD-5,2026-03-01,,,,,,,,,,[1]",
            "HD5-1,HD-5,2026-03-01,,,,,,,,,,",
            "export,HD-5,2026-03-01,,,,,,,,,,",
        ]
    ).encode()
    before = counted()
    refused = http("POST", "/v1/assets/import", content=sheet)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/import-refused")
    assert counted() == before
    found = [(problem["line"], problem["column"]) for problem in refused.json()["problems"]]
    assert found == [
        (3, "serial"), (4, "serial"), (5, "serial"), (6, "model"), (7, "installed_at"), (8, "installed_at"),
        (9, "state"), (10, "retired_at"), (11, "retired_at"), (12, "customer_email"), (12, "customer_phone"),
        (13, "customer_phone"), (14, "site_latitude"), (14, "site_longitude"), (15, "site_latitude"),
        (16, "attributes"), (17, "serial"), (18, "serial"),
    ]  # fmt: skip
    assert refused.json()["errors"][0]["field"] == "line.3.serial"
    assert all(problem["remedy"] for problem in refused.json()["problems"])
    # The same as a sheet to be handed on, as CSV and as a workbook.
    as_csv = http("POST", "/v1/assets/import?dry_run=true&report=csv", content=sheet)
    lines = list(csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig"))))
    assert [(int(line["line"]), line["column"]) for line in lines] == found
    as_book = http("POST", "/v1/assets/import?dry_run=true&report=xlsx", content=sheet)
    assert load_workbook(io.BytesIO(as_book.content)).active.max_row == len(found) + 1
    # A file that is no sheet, and one that is too large.
    assert http("POST", "/v1/assets/import?format=xlsx", content=sheet).json()["problems"][0]["line"] == 0
    assert http("POST", "/v1/assets/import", content=bytes(48 * 2**20 + 1)).status_code == 413
    assert http("POST", "/v1/assets/import", content=sheet, role="technician").status_code == 403


def test_known_machines_change_only_when_asked_to(desk, http) -> None:
    first = b"serial,model,installed_at,firmware,customer_name,customer_kind\nU-1,HD-5,2026-03-01,1.0,Hotel,business\n"
    assert http("POST", "/v1/assets/import", content=first).status_code == 200
    change = b"serial,firmware,customer_name,dealer\nU-1,1.1,,Baumarkt\nU-2,2.0,,\n"
    refused = http("POST", "/v1/assets/import?mode=update", content=change).json()
    assert [(problem["line"], problem["column"]) for problem in refused["problems"]] == [(3, "serial")]
    refused = http("POST", "/v1/assets/import?mode=upsert", content=change).json()
    assert [(p["line"], p["column"]) for p in refused["problems"]] == [(3, "installed_at"), (3, "model")]
    other = b"serial,model\nU-1,HD-6\n"
    desk.post("/v1/product-models", {"code": "HD-6", "name": "HD 6", "kind": "washer"})
    assert http("POST", "/v1/assets/import?mode=update", content=other).json()["problems"][0]["column"] == "model"
    only = change.split(b"U-2")[0]
    done = http("POST", "/v1/assets/import?mode=update", content=only, now="2026-09-02T00:00:00Z").json()
    assert (done["updated"], done["unchanged"]) == (1, 0)
    asset = desk.get("/v1/assets/U-1")
    # An empty cell and a missing column leave what is there.
    assert (asset["firmware"], asset["dealer"], asset["installed_at"]) == ("1.1", "Baumarkt", "2026-03-01T00:00:00Z")
    history = desk.get("/v1/assets/U-1/firmware")
    assert [(row["version"], row["at"]) for row in history] == [
        ("1.1", "2026-09-02T00:00:00Z"), ("1.0", "2026-03-01T00:00:00Z"),
    ]  # fmt: skip
    # Another owner: the history says so, and the business is found by its name.
    moved = b"serial,customer_name,customer_email\nU-1,Bob,bob@example.com\n"
    assert http("POST", "/v1/assets/import?mode=update", content=moved).json()["customers_created"] == 1
    assert [row["customer_name"] for row in desk.get("/v1/assets/U-1/owners")] == ["Bob", "Hotel"]
    back = b"serial,customer_name,customer_kind\nU-1,hotel,business\n"
    assert http("POST", "/v1/assets/import?mode=update", content=back).json()["customers_created"] == 0
    owners = desk.get("/v1/assets/U-1/owners")
    assert [row["customer_name"] for row in owners] == ["Hotel", "Bob", "Hotel"]
    assert len([row for row in owners if row["until_at"] is None]) == 1


def test_the_template_has_the_columns_that_are_documented(desk, http) -> None:
    names = [column["name"] for column in http("GET", "/v1/assets/import/columns").json()]
    as_csv = http("GET", "/v1/assets/import/template?format=csv").content.decode("utf-8-sig")
    assert as_csv.strip().split(",") == names
    book = load_workbook(io.BytesIO(http("GET", "/v1/assets/import/template").content))
    assert [cell.value for cell in book["assets"][1]] == names
    assert [row[0].value for row in book["columns"].iter_rows(min_row=2)] == names
    # An example of each column can be imported.
    examples = {column["name"]: column["example"] for column in http("GET", "/v1/assets/import/columns").json()}
    text = io.StringIO()
    csv.writer(text).writerows([list(examples), list(examples.values())])
    assert http("POST", "/v1/assets/import?dry_run=true", content=text.getvalue().encode()).json()["problems"] == []
