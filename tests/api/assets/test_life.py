"""A machine from its registration to its retirement, over HTTP, and what of it its owners may see."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.conventions.authentication import hash_key
from careloop.database.engine import connect

SOLD = {
    "serial": "HD5-7", "model": "HD-5", "installed_at": "2026-03-01T08:00:00Z", "installed_by": "Service Nord",
    "batch": "2026W07", "produced_on": "2026-02-11", "firmware": "2.4.0", "sold_on": "2026-02-27",
    "channel": "retailer", "dealer": "Baumarkt", "attributes": {"colour": "yellow"},
}  # fmt: skip


@pytest.fixture
def customer_key(api):
    """Makes the API key of a customer."""

    def make(customer_id):
        key = f"ck_{uuid.uuid4().hex}"
        with connect(api.database_url) as connection:
            connection.execute(
                "INSERT INTO service.api_key (name, role, key_hash, created_at, customer_id) "
                "VALUES (%s, 'customer', %s, '2000-01-01Z', %s)",
                (f"customer-{customer_id}", hash_key(key), customer_id),
            )
        return key

    return make


def test_a_machine_changes_hands(desk, http, customer_key) -> None:
    ann, bob = (desk.post("/v1/customers", {"name": name})["customer_id"] for name in ("Ann", "Bob"))
    of_ann, of_bob = (
        desk.post("/v1/sites", {"name": f"Home {number}", "customer_id": number})["site_id"] for number in (ann, bob)
    )
    made = http("POST", "/v1/assets", {**SOLD, "site_id": of_ann})
    assert made.status_code == 201, made.text
    asset = made.json()
    # The site's customer is the owner, from the installation on.
    assert asset["customer_id"] == ann
    assert {name: asset[name] for name in SOLD} == SOLD
    (owner,) = http("GET", "/v1/assets/HD5-7/owners").json()
    assert (owner["customer_name"], owner["from_at"], owner["until_at"]) == ("Ann", "2026-03-01T08:00:00Z", None)
    # To put it at somebody else's place by hand is refused: that is a transfer.
    moved = http("PATCH", "/v1/assets/HD5-7", {"site_id": of_bob}, version=1)
    assert (moved.status_code, moved.json()["type"]) == (409, "/problems/site-of-another")

    # The proof of purchase, by the owner; a case; then Bob buys it.
    ann_key, bob_key = customer_key(ann), customer_key(bob)
    sent = http("POST", "/v1/files?name=receipt.txt", content=b"Paid, Ann.\n", key=ann_key).json()["file_id"]
    proof = {"kind": "proof_of_purchase", "title": "Receipt of Ann", "file_id": sent}
    assert http("POST", "/v1/assets/HD5-7/documents", proof, key=ann_key).status_code == 201
    ticket = desk.post("/v1/tickets", {"kind": "repair", "serial": "HD5-7", "title": "Leaks"})
    assert http("GET", "/v1/assets/HD5-7", key=bob_key).status_code == 404
    sold = {"customer_id": bob, "site_id": of_bob, "at": "2026-08-01T00:00:00Z", "note": "bought at a fair"}
    for change, status, field in (
        ({"customer_id": 99_999}, 422, "body.customer_id"),
        ({"site_id": 99_999}, 422, "body.site_id"),
        ({"at": "2027-01-01T00:00:00Z"}, 422, "body.at"),
        ({"at": "2026-03-01T08:00:00Z"}, 422, "body.at"),
        ({"proof_file_id": 99_999}, 422, "body.proof_file_id"),
        ({"site_id": of_ann}, 409, None),
        ({"customer_id": ann, "site_id": None}, 409, None),
    ):
        refused = http("POST", "/v1/assets/HD5-7/transfer", {**sold, **change}, version=1)
        assert refused.status_code == status, refused.text
        assert field is None or refused.json()["errors"][0]["field"] == field
    assert http("POST", "/v1/assets/HD5-7/transfer", sold).status_code == 428
    transfer = http("POST", "/v1/assets/HD5-7/transfer", sold, version=1)
    assert transfer.status_code == 200, transfer.text
    assert [case["ticket_id"] for case in transfer.json()["open_tickets"]] == [ticket["ticket_id"]]
    assert (transfer.json()["asset"]["customer_id"], transfer.json()["asset"]["site_id"]) == (bob, of_bob)
    assert http("POST", "/v1/assets/HD5-7/transfer", {**sold, "customer_id": ann}, version=1).status_code == 412
    owners = http("GET", "/v1/assets/HD5-7/owners").json()
    assert [(row["customer_id"], row["until_at"]) for row in owners] == [(bob, None), (ann, "2026-08-01T00:00:00Z")]

    # Bob sees the machine and his own time with it; not how Ann bought it. Ann sees it no more.
    assert http("GET", "/v1/assets/HD5-7", key=ann_key).status_code == 404
    assert [row["customer_id"] for row in http("GET", "/v1/assets/HD5-7/owners", key=bob_key).json()] == [bob]
    assert http("GET", "/v1/assets/HD5-7/documents", key=bob_key).json()["items"] == []
    assert http("GET", f"/v1/files/{sent}/content", key=bob_key).status_code == 404
    assert len(http("GET", "/v1/assets/HD5-7/documents").json()["items"]) == 1
    kinds = {entry["kind"] for entry in http("GET", "/v1/assets/HD5-7/timeline", key=bob_key).json()["items"]}
    assert "owner" in kinds
    assert not {"ticket", "document"} & kinds

    # Wrongly written down: corrected, without a transfer.
    corrected = http("PATCH", "/v1/assets/HD5-7", {"customer_id": ann, "site_id": None}, version=2)
    assert corrected.status_code == 200, corrected.text
    assert http("GET", "/v1/assets/HD5-7/owners").json()[0]["reason"] == "corrected"


def test_of_two_transfers_at_once_one_is_done(desk, http) -> None:
    buyers = [desk.post("/v1/customers", {"name": name})["customer_id"] for name in ("Ann", "Bob")]
    with ThreadPoolExecutor(2) as threads:
        answers = threads.map(
            lambda buyer: http("POST", "/v1/assets/HD5-1/transfer", {"customer_id": buyer}, version=1), buyers
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert len(desk.get("/v1/assets/HD5-1/owners")) == 1


def test_a_machine_goes_out_of_service_and_back(desk, http, api) -> None:
    retire = {"reason": "scrapped", "at": "2026-08-20T00:00:00Z"}
    retired = http("POST", "/v1/assets/HD5-1/retire", retire, version=1).json()
    assert (retired["state"], retired["retired_at"], retired["retired_reason"]) == ("retired", retire["at"], "scrapped")
    assert http("POST", "/v1/assets/HD5-1/retire", retire, version=2).json()["type"] == "/problems/asset-state"
    back = http("POST", "/v1/assets/HD5-1/return-to-service", {}, version=2).json()
    assert (back["state"], back["retired_at"], back["version"]) == ("active", None, 3)
    with connect(api.database_url) as connection:
        moves = connection.execute(
            "SELECT from_state, to_state FROM service.change WHERE thing = 'asset' ORDER BY 1, 2"
        )
        assert ("retired", "active") in {(row["from_state"], row["to_state"]) for row in moves}


def test_firmware_by_hand_and_by_the_agent(desk, http, api) -> None:
    told = {"version": "2.4.0", "at": "2026-05-01T00:00:00Z"}
    assert http("POST", "/v1/assets/HD5-1/firmware", told, role="technician").status_code == 201
    assert http("POST", "/v1/assets/HD5-1/firmware", told).json()["type"] == "/problems/firmware-told"
    # An earlier one that becomes known later does not undo the later one; a board's is not the machine's.
    http("POST", "/v1/assets/HD5-1/firmware", {"version": "2.3.0", "at": "2026-02-01T00:00:00Z"})
    http("POST", "/v1/assets/HD5-1/firmware", {"version": "9.9", "module": "display"})
    assert http("GET", "/v1/assets/HD5-1").json()["firmware"] == "2.4.0"

    state = (
        "INSERT INTO telemetry.agent_state AS s (agent_id, online, agent_version, detail, changed_at) "
        "VALUES (%s, true, %s, %s, %s) ON CONFLICT (agent_id) DO UPDATE SET agent_version = excluded.agent_version, "
        "detail = excluded.detail, changed_at = excluded.changed_at"
    )
    with connect(api.database_url) as connection:
        connection.execute(state, ("HD5-1", "0.3", '{"firmware": "2.5.0"}', "2026-06-01T00:00:00Z"))
        connection.execute(state, ("HD5-1", "0.3", '{"firmware": "2.5.0"}', "2026-06-02T00:00:00Z"))
        connection.execute(state, ("a-gateway", "0.3", "{}", "2026-06-02T00:00:00Z"))
        connection.execute(state, ("HD5-1", "0.4", '{"firmware": "2.6.0"}', "2026-06-03T00:00:00Z"))
    done = [http("POST", "/v1/duties/run", role="service").json()["reported-firmware"] for _ in range(2)]
    assert done == [4, 0]
    history = http("GET", "/v1/assets/HD5-1/firmware").json()
    assert [(row["module"], row["version"], row["source"]) for row in history if row["source"] == "agent"] == [
        ("machine", "2.6.0", "agent"), ("agent", "0.4", "agent"), ("machine", "2.5.0", "agent"),
        ("agent", "0.3", "agent"),
    ]  # fmt: skip
    assert [asset["serial"] for asset in desk.pages("/v1/assets", firmware="2.6.0")] == ["HD5-1"]
    assert list(desk.pages("/v1/assets", firmware="2.4.0")) == []


def test_each_filter_finds_and_each_has_its_index(desk, http, api) -> None:
    ann = desk.post("/v1/customers", {"name": "Ann"})["customer_id"]
    site = desk.post("/v1/sites", {"name": "Home", "customer_id": ann})["site_id"]
    desk.post("/v1/assets", {**SOLD, "site_id": site})
    filters = {
        "model": "HD-5", "customer_id": ann, "site_id": site, "batch": "2026W07", "firmware": "2.4.0",
        "serial": "HD5-7",
    }  # fmt: skip
    for name, value in filters.items():
        found = [asset["serial"] for asset in desk.pages("/v1/assets", **{name: value})]
        assert found == (["HD5-1", "HD5-7"] if name == "model" else ["HD5-7"]), name
    assert list(desk.pages("/v1/assets", state="retired")) == []
    assert list(desk.pages("/v1/assets", serial="HD5_7")) == []
    from api.assets.service import SQL

    names = ("model", "state", "customer_id", "site_id", "batch", "firmware", "serial_prefix")
    with connect(api.database_url) as connection:
        # Large enough that reading all of it costs more than any index; the triggers are not what is asked about.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at, batch, firmware, customer_id, "
            "state) SELECT 'S' || n, 1, now(), now(), 'B' || n, 'F' || n, %s, 'active' "
            "FROM generate_series(1, 20000) AS n",
            (ann,),
        )
        connection.execute("UPDATE service.asset SET state = 'retired', customer_id = NULL WHERE serial LIKE 'S1%'")
        connection.execute("ANALYZE service.asset")
        for name, value in zip(names, ("HD-5", "retired", ann, site, "B7", "F7", "S777%"), strict=True):
            wanted = {**dict.fromkeys(names), name: value, "after_id": 0, "fetch": 101}
            plan = connection.execute("EXPLAIN " + SQL["list_assets"], wanted).fetchall()
            text = "\n".join(row["QUERY PLAN"] for row in plan)
            assert "Seq Scan on asset" not in text, text
