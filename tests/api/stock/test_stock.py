"""The ledger over HTTP: movements by hand, balances of the past, value, demand and proof."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect
from tests.api.conftest import NOW, refusal

DAY = timedelta(days=1)
HAND = "/v1/parts/movements"
ERP = {"name": "erp", "kind": "webhook", "url": "https://erp.example.com/hook"}


@pytest.fixture
def hub(stores):
    """Ten pumps in the hub, and none in the van."""
    stores.part(cost_minor=5000)
    stores.warehouse("HUB", pieces=10)
    stores.warehouse("VAN", kind="van")
    return stores


def by_hand(stores, kind, quantity=1, *, now=NOW, warehouse="HUB", **fields):
    body = {"sku": "PUMP", "warehouse": warehouse, "kind": kind, "quantity": quantity, "cause": "note 7", **fields}
    return stores.client.post(HAND, body, now=now)


def test_every_kind_of_movement_by_hand_and_what_it_leaves(hub) -> None:
    assert by_hand(hub, "issue", 4)["to_place"] == "issued"
    by_hand(hub, "consume", 1, place="issued")
    by_hand(hub, "return", 1, place="issued")
    by_hand(hub, "scrap", 1, place="issued")
    by_hand(hub, "consume", 2)
    by_hand(hub, "return", 1)
    by_hand(hub, "scrap", 1)
    by_hand(hub, "adjust", 3)
    made = by_hand(hub, "adjust", -2, note="two are cracked")
    assert (made["from_place"], made["to_place"], made["quantity"], made["note"]) == (
        "free", "variance", 2, "two are cracked",
    )  # fmt: skip
    (stock,) = hub.client.pages("/v1/parts/stock", warehouse="HUB")
    # 10 - 4 issued + 1 back - 2 used + 1 back - 1 scrapped + 3 - 2; of the 4 issued 3 are gone.
    assert (stock["on_hand"], stock["available"], stock["issued"], stock["in_transit"]) == (6, 6, 1, 0)
    proof = hub.client.get("/v1/stock/proof")
    assert (proof["balanced"], proof["faults"], proof["movements"], proof["kept_at"]) == (True, 0, 10, None)


def test_a_movement_by_hand_says_what_is_wrong_with_it(hub) -> None:
    for fields, field in (
        ({"kind": "issue", "place": "free"}, "body.place"),
        ({"kind": "return", "place": "free"}, "body.place"),
        ({"kind": "consume", "quantity": -1}, "body.quantity"),
        ({"kind": "consume", "cause_kind": "ticket"}, "body.cause_kind"),
        ({"kind": "consume", "cause_kind": "job", "cause": "99"}, "body.cause"),
    ):
        body = {"sku": "PUMP", "warehouse": "HUB", "quantity": 1, "cause": "7a", **fields}
        refused = refusal(hub.client.post, HAND, body)
        assert (fields, refused.status, refused.problem["errors"][0]["field"]) == (fields, 422, field)
    refused = refusal(by_hand, hub, "consume", 11)
    assert (refused.status, refused.type) == (409, "/problems/stock-out-of-range")
    named = {"warehouse": "HUB", "sku": "PUMP", "place": "free", "on_hand": 10, "available": 10}
    assert {name: refused.problem[name] for name in named} == named


def test_a_movement_by_hand_may_be_for_a_job(hub) -> None:
    job_id = hub.job()
    made = by_hand(hub, "consume", 1, cause_kind="job", cause=str(job_id))
    assert (made["cause"], made["cause_kind"], made["cause_key"]) == (f"job:{job_id}", "job", str(job_id))
    assert [line["movement_id"] for line in hub.client.pages(HAND, cause=f"job:{job_id}")] == [made["movement_id"]]
    assert [line["kind"] for line in hub.client.pages(HAND, warehouse="HUB")] == ["receipt", "consume"]
    assert list(hub.client.pages(HAND, warehouse="VAN")) == []


def test_balances_and_values_of_any_day(api, hub) -> None:
    hub.part("SEAL", cost_minor=7, currency="CNY")
    hub.receive("HUB", 3, "SEAL")
    by_hand(hub, "consume", 4, now=NOW + DAY)
    by_hand(hub, "issue", 2, now=NOW + 2 * DAY)

    def at(moment):
        items = hub.client.pages("/v1/stock/balances", at=moment.isoformat(), warehouse="HUB")
        return {item["sku"]: (item["on_hand"], item["issued"], item["value_minor"]) for item in items}

    before, second = NOW - timedelta(seconds=1), timedelta(seconds=1)
    assert at(before) == {"PUMP": (0, 0, 0), "SEAL": (0, 0, 0)}
    assert at(NOW) == at(NOW + DAY - second) == {"PUMP": (10, 0, 50000), "SEAL": (3, 0, 21)}
    assert at(NOW + DAY)["PUMP"] == (6, 0, 30000)
    assert at(NOW + 3 * DAY)["PUMP"] == (4, 2, 20000)
    worth = list(hub.client.pages("/v1/stock/value", at=NOW.isoformat(), limit=1))
    assert [(line["warehouse"], line["currency"], line["pieces"], line["value_minor"]) for line in worth] == [
        ("HUB", "CNY", 3, 21), ("HUB", "EUR", 10, 50000), ("VAN", None, 0, 0),
    ]  # fmt: skip
    pages = hub.client.get("/v1/stock/balances", limit=1)
    assert len(pages["items"]) == 1
    assert pages["next"]
    price = {"kind": "internal", "currency": "EUR", "price_minor": 6000, "valid_from": str((NOW + 2 * DAY).date())}
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.part_price (part_id, kind, currency, price_minor, valid_from, "
            "recorded_by, recorded_at) "
            "VALUES (1, %(kind)s, %(currency)s, %(price_minor)s, %(valid_from)s, 'us', now())",
            price,
        )
    assert at(NOW + DAY)["PUMP"] == (6, 0, 30000)
    assert at(NOW + 2 * DAY)["PUMP"] == (4, 2, 24000)


def test_worth_beyond_eighteen_digits_is_told(hub) -> None:
    hub.part("GOLD", cost_minor=10**12)
    for _ in range(10):
        hub.receive("HUB", 10**6, "GOLD")
    (gold,) = hub.client.pages("/v1/stock/balances", sku="GOLD")
    (worth,) = hub.client.pages("/v1/stock/value", warehouse="HUB")
    assert (gold["value_minor"], worth["value_minor"]) == (10**19, 10**19 + 50000)
    earliest = list(hub.client.pages("/v1/stock/balances", at="0001-01-01T00:00:00Z"))
    assert {line["on_hand"] for line in earliest} == {0}


def test_demand_is_told_by_month(hub) -> None:
    hub.receive("VAN", 9)
    hub.part("SEAL")
    hub.receive("HUB", 9, "SEAL")
    january = datetime(2027, 1, 31, 23, 59, tzinfo=UTC)
    for months_later, pieces in ((timedelta(), 2), (timedelta(minutes=2), 3), (40 * DAY, 1)):
        by_hand(hub, "consume", pieces, now=january + months_later)
    by_hand(hub, "return", 1, now=january + timedelta(minutes=3))
    by_hand(hub, "consume", 4, now=january, warehouse="VAN")
    by_hand(hub, "consume", 5, now=january, sku="SEAL")
    by_hand(hub, "scrap", 1, now=january)
    items = list(hub.client.pages("/v1/stock/demand", limit=2))
    assert [tuple(item.values()) for item in items] == [
        ("HUB", "PUMP", "2027-01-01", 2, 0), ("HUB", "PUMP", "2027-02-01", 3, 1), ("HUB", "PUMP", "2027-03-01", 1, 0),
        ("HUB", "SEAL", "2027-01-01", 5, 0), ("VAN", "PUMP", "2027-01-01", 4, 0),
    ]  # fmt: skip
    some = list(
        hub.client.pages("/v1/stock/demand", sku="PUMP", warehouse="HUB", since="2027-02-17", until="2027-03-01")
    )
    assert [item["month"] for item in some] == ["2027-02-01"]
    assert refusal(hub.client.get, "/v1/stock/demand", after="MTI").status == 422


def test_a_balance_that_somebody_else_wrote_is_found_and_told(api, hub) -> None:
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", {**ERP, "topics": ["stock.imbalance"]})
    for hours in (0, 12):
        hub.client.post("/v1/duties/run", {}, now=NOW + hours * timedelta(hours=1))
        by_hand(hub, "issue", 1, now=NOW + DAY)
        proof = hub.client.get("/v1/stock/proof")
        assert (proof["balanced"], datetime.fromisoformat(proof["kept_at"])) == (True, NOW)
    with connect(api.database_url) as connection:
        connection.execute("UPDATE service.stock SET on_hand = 99 WHERE on_hand > 0")
    hub.client.post("/v1/duties/run", {}, now=NOW + 2 * DAY)
    proof = hub.client.get("/v1/stock/proof")
    assert (proof["balanced"], proof["faults"]) == (False, 1)
    (fault,) = proof["examples"]
    assert (fault["warehouse"], fault["sku"], fault["balance"]["on_hand"], fault["reckoned"]["on_hand"]) == (
        "HUB", "PUMP", 99, 8,
    )  # fmt: skip
    with connect(api.database_url) as connection:
        told = connection.execute("SELECT topic FROM service.alert").fetchall()
    assert [row["topic"] for row in told] == ["stock.imbalance"]


def test_nobody_but_the_ledger_writes_a_balance(api, hub) -> None:
    from psycopg.conninfo import make_conninfo
    from psycopg.errors import InsufficientPrivilege

    from careloop.database.roles import login_of
    from tests.conftest import API_PASSWORD

    url = make_conninfo(api.database_url, user=login_of("api"), password=API_PASSWORD)
    with connect(url) as connection:
        for statement in (
            "UPDATE service.stock SET on_hand = 99",
            "INSERT INTO service.stock (warehouse_id, part_id, on_hand) VALUES (2, 1, 5)",
            "DELETE FROM service.stock",
            "UPDATE service.stock_movement SET quantity = 1",
            "DELETE FROM service.stock_movement",
        ):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)
        connection.execute("UPDATE service.stock SET min_quantity = 1, max_quantity = 2")


def test_a_partner_sees_its_own_and_the_house_and_a_customer_nothing(api, hub) -> None:
    ours = hub.client.post("/v1/providers", {"code": "OURS", "name": "Ours"})["provider_id"]
    theirs = hub.client.post("/v1/providers", {"code": "THEIRS", "name": "Theirs"})["provider_id"]
    hub.warehouse("A", kind="partner", pieces=2, provider_id=ours)
    hub.warehouse("B", kind="partner", pieces=2, provider_id=theirs)
    with api.scoped_client("partner_manager", provider_id=ours) as partner:
        for path in ("/v1/parts/stock", "/v1/stock/balances"):
            assert {item["warehouse"] for item in partner.pages(path)} == {"HUB", "A"}
        assert {item["to_warehouse"] for item in partner.pages(HAND)} == {"HUB", "A"}
        assert [item["value_minor"] for item in partner.pages("/v1/stock/balances")] == [None, None]
        assert refusal(partner.get, "/v1/stock/value").status == 403
    customer_id = hub.client.post("/v1/customers", {"name": "C", "kind": "business"})["customer_id"]
    with api.scoped_client("customer", customer_id=customer_id) as customer:
        with pytest.raises(ProblemError) as refused:
            customer.get("/v1/parts/stock")
        assert refused.value.status == 403
