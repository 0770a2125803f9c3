"""Parts, warehouses, stock and reservations over HTTP."""

from datetime import datetime, timedelta

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect
from tests.api.conftest import NOW

PART = {"sku": "PUMP", "name": "Pump", "cost_minor": 4990, "currency": "EUR", "lead_time_days": 21}


def refusal(call, *given, **named) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


def test_a_part_is_added_once_and_read(stores) -> None:
    made = stores.client.post("/v1/parts", PART)
    assert {name: made[name] for name in PART} == PART
    assert stores.client.get("/v1/parts/PUMP") == made
    assert list(stores.client.pages("/v1/parts")) == [made]
    assert refusal(stores.client.post, "/v1/parts", PART).type == "/problems/sku-taken"
    assert refusal(stores.client.get, "/v1/parts/OTHER").status == 404


def test_a_warehouse_is_added_once_and_listed(stores) -> None:
    stores.warehouse("VAN-1", kind="van", territory="north", latitude=52.5, longitude=13.4, transfer_days=0)
    (made,) = stores.client.pages("/v1/warehouses")
    assert (made["code"], made["kind"], made["territory"], made["transfer_days"]) == ("VAN-1", "van", "north", 0)
    body = {"code": "VAN-1", "name": "Van", "kind": "van"}
    assert refusal(stores.client.post, "/v1/warehouses", body).type == "/problems/code-taken"


BAD_FIELDS = [
    ("/v1/parts", {"sku": "with space"}, "body.sku"),
    ("/v1/parts", {"sku": "stock"}, "body.sku"),
    ("/v1/parts", {"name": ""}, "body.name"),
    ("/v1/parts", {"cost_minor": -1}, "body.cost_minor"),
    ("/v1/parts", {"cost_minor": 1.5}, "body.cost_minor"),
    ("/v1/parts", {"currency": "euro"}, "body.currency"),
    ("/v1/parts", {"lead_time_days": -1}, "body.lead_time_days"),
    ("/v1/parts", {"colour": "red"}, "body.colour"),
    ("/v1/warehouses", {"code": "a/b"}, "body.code"),
    ("/v1/warehouses", {"kind": "shed"}, "body.kind"),
    ("/v1/warehouses", {"latitude": 91, "longitude": 0}, "body.latitude"),
    ("/v1/warehouses", {"latitude": 1}, "body.longitude"),
    ("/v1/warehouses", {"longitude": 1}, "body.longitude"),
    ("/v1/warehouses", {"transfer_days": -1}, "body.transfer_days"),
    ("/v1/parts/movements", {"sku": "OTHER"}, "body.sku"),
    ("/v1/parts/movements", {"warehouse": "OTHER"}, "body.warehouse"),
    ("/v1/parts/movements", {"kind": "reserve"}, "body.kind"),
    ("/v1/parts/movements", {"quantity": 0}, "body.quantity"),
    ("/v1/parts/movements", {"quantity": -1}, "body.quantity"),
    ("/v1/parts/movements", {"kind": "adjust", "quantity": 0}, "body.quantity"),
    ("/v1/parts/movements", {"quantity": 10**6 + 1}, "body.quantity"),
    ("/v1/parts/movements", {"cause": ""}, "body.cause"),
    ("/v1/parts/reservations", {"job_id": 99}, "body.job_id"),
    ("/v1/parts/reservations", {"job_id": 2**63}, "body.job_id"),
    ("/v1/parts/reservations", {"sku": "OTHER"}, "body.sku"),
    ("/v1/parts/reservations", {"quantity": 0}, "body.quantity"),
    ("/v1/parts/reservations", {"warehouse": "HUB"}, "body.warehouse"),
]


def test_every_bad_field_is_named(stores) -> None:
    stores.part()
    stores.warehouse("HUB")
    good = {
        "/v1/parts": {**PART, "sku": "NEW"},
        "/v1/warehouses": {"code": "NEW", "name": "New", "kind": "central"},
        "/v1/parts/movements": {"sku": "PUMP", "warehouse": "HUB", "kind": "receipt", "quantity": 1, "cause": "x"},
        "/v1/parts/reservations": {"job_id": 1, "sku": "PUMP", "quantity": 1},
    }
    for path, change, field in BAD_FIELDS:
        refused = refusal(stores.client.post, path, {**good[path], **change})
        named = [error["field"] for error in refused.problem["errors"]]
        assert (path, change, refused.status, named) == (path, change, 422, [field])


def test_a_bad_filter_is_named(stores) -> None:
    for path, query in (
        ("reservations", {"state": "lost"}),
        ("stock", {"sku": "\x00"}),
        ("movements", {"warehouse": ""}),
    ):
        refused = refusal(stores.client.get, f"/v1/parts/{path}", **query)
        assert (refused.status, refused.problem["errors"][0]["field"]) == (422, f"query.{next(iter(query))}")


def test_the_ledger_moves_with_the_balance(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=5)
    counted = {"sku": "PUMP", "warehouse": "HUB", "kind": "adjust", "quantity": -2, "cause": "stocktaking"}
    stores.client.post("/v1/parts/movements", counted)
    reservation = stores.reserve(stores.job())
    stores.client.post(f"/v1/parts/reservations/{reservation['reservation_id']}/consume", {})
    lines = list(stores.client.pages("/v1/parts/movements", sku="PUMP", warehouse="HUB"))
    moved = [(line["kind"], line["on_hand_change"], line["reserved_change"]) for line in lines]
    assert moved == [("receipt", 5, 0), ("count", -2, 0), ("reserve", 0, 1), ("consume", -1, -1)]
    assert stores.balance("HUB") == (2, 0, 2)
    assert list(stores.client.pages("/v1/parts/movements", warehouse="OTHER")) == []


def test_a_count_cannot_take_what_is_reserved(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=3)
    stores.reserve(stores.job(), quantity=2)
    counted = {"sku": "PUMP", "warehouse": "HUB", "kind": "adjust", "quantity": -2, "cause": "stocktaking"}
    refused = refusal(stores.client.post, "/v1/parts/movements", counted)
    assert (refused.status, refused.type) == (409, "/problems/stock-out-of-range")
    assert (refused.problem["on_hand"], refused.problem["reserved"]) == (3, 2)
    assert stores.balance("HUB") == (3, 2, 1)


def test_stock_is_listed_page_by_page(stores) -> None:
    for sku in ("PUMP", "SEAL"):
        stores.part(sku)
    for code in ("A", "B", "C"):
        stores.warehouse(code, pieces=1)
        stores.receive(code, 2, "SEAL")
    seen, after = [], None
    while True:
        page = stores.client.get("/v1/parts/stock", limit=2, after=after)
        seen += [(item["warehouse"], item["sku"], item["on_hand"]) for item in page["items"]]
        if (after := page["next"]) is None:
            break
    assert seen == [(code, sku, pieces) for code in "ABC" for sku, pieces in (("PUMP", 1), ("SEAL", 2))]


def test_a_part_is_reserved_at_the_best_warehouse(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=9, territory="middle", transfer_days=4)
    far = stores.reserve(stores.job())
    assert (far["warehouse"], far["state"]) == ("HUB", "reserved")
    assert datetime.fromisoformat(far["available_at"]) == datetime.fromisoformat("2026-07-05T08:00:00Z")
    stores.warehouse("VAN", kind="van", pieces=1, territory="north")
    near = stores.reserve(stores.job())
    assert near["warehouse"] == "VAN"
    assert datetime.fromisoformat(far["available_at"]) - datetime.fromisoformat(near["available_at"]) == timedelta(4)
    # The van is empty now, and HD5-2 is in the south.
    assert stores.reserve(stores.job())["warehouse"] == "HUB"
    assert stores.reserve(stores.job("HD5-2"))["warehouse"] == "HUB"


def test_a_second_call_gets_the_reservation_of_the_first(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=9)
    job_id = stores.job()
    first = stores.reserve(job_id, quantity=2)
    assert stores.reserve(job_id, quantity=2) == first
    assert stores.balance("HUB") == (9, 2, 7)
    refused = refusal(stores.reserve, job_id, quantity=3)
    assert (refused.type, refused.problem["reservation_id"]) == (
        "/problems/reservation-differs",
        first["reservation_id"],
    )


def test_without_stock_every_warehouse_says_why(stores) -> None:
    stores.part(lead_time_days=21)
    stores.warehouse("EMPTY")
    stores.warehouse("FULL", pieces=3)
    stores.warehouse("TAKEN", pieces=1, territory="north")
    stores.reserve(stores.job())
    refused = refusal(stores.reserve, stores.job(), quantity=4)
    assert (refused.status, refused.type) == (409, "/problems/no-stock")
    assert refused.problem["lead_time_days"] == 21
    assert refused.problem["warehouses"] == [
        {"warehouse": "FULL", "available": 3, "reason": "4 needed at once, 3 available (3 on hand, 0 reserved)"},
        {"warehouse": "EMPTY", "available": 0, "reason": "none on hand"},
        {"warehouse": "TAKEN", "available": 0, "reason": "all 1 on hand are reserved for other jobs"},
    ]
    assert list(stores.client.pages("/v1/parts/reservations", job_id=2)) == []


def test_a_released_part_is_available_again(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=1)
    job_id = stores.job()
    path = f"/v1/parts/reservations/{stores.reserve(job_id)['reservation_id']}"
    released = stores.client.post(f"{path}/release", {})
    assert (released["state"], released["version"]) == ("released", 2)
    assert stores.client.post(f"{path}/release", {}) == released
    assert stores.balance("HUB") == (1, 0, 1)
    refused = refusal(stores.client.post, f"{path}/consume", {})
    assert (refused.status, refused.type) == (409, "/problems/reservation-ended")
    assert stores.reserve(job_id)["reservation_id"] != released["reservation_id"]
    assert refusal(stores.client.post, "/v1/parts/reservations/99/release", {}).status == 404


def test_an_ended_job_gets_no_part(stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=1)
    job_id = stores.job()
    stores.client.post(f"/v1/jobs/{job_id}/cancel", {"reason": "sold"})
    assert refusal(stores.reserve, job_id).type == "/problems/job-ended"


def test_reservations_are_listed_by_job_and_state(stores) -> None:
    for sku in ("PUMP", "SEAL"):
        stores.part(sku)
    stores.warehouse("HUB", pieces=9)
    stores.receive("HUB", 9, "SEAL")
    one, two = stores.job(), stores.job()
    made = [stores.reserve(one), stores.reserve(one, sku="SEAL"), stores.reserve(two)]
    stores.client.post(f"/v1/parts/reservations/{made[0]['reservation_id']}/consume", {})

    def numbers(**wanted):
        return [item["reservation_id"] for item in stores.client.pages("/v1/parts/reservations", **wanted)]

    assert numbers() == [1, 2, 3]
    assert numbers(job_id=one) == [1, 2]
    assert numbers(state="reserved") == [2, 3]
    assert numbers(job_id=one, state="consumed") == [1]
    page = stores.client.get("/v1/parts/reservations", limit=2)
    assert [
        item["reservation_id"] for item in stores.client.get("/v1/parts/reservations", after=page["next"])["items"]
    ] == [3]


def test_a_technician_reads_the_catalogue_and_does_not_change_it(api, stores) -> None:
    with api.client("technician") as technician:
        for path, body in (("/v1/parts", PART), ("/v1/warehouses", {"code": "A", "name": "A", "kind": "van"})):
            assert technician.get(path)["items"] == []
            assert refusal(technician.post, path, body).status == 403


def test_what_is_kept_travels_and_is_handed_out_and_stays_kept(api, stores) -> None:
    """The transfer itself is another room's; here what it asks of a reservation."""
    stores.part()
    stores.warehouse("HUB", pieces=3)
    path = f"/v1/parts/reservations/{stores.reserve(stores.job(), quantity=2)['reservation_id']}"
    issued = stores.client.post(f"{path}/issue", {})
    assert (issued["place"], issued["state"]) == ("issued", "reserved")
    assert stores.client.post(f"{path}/issue", {}) == issued
    (stock,) = stores.client.pages("/v1/parts/stock")
    assert (stock["on_hand"], stock["reserved"], stock["issued"]) == (1, 0, 2)
    assert stores.client.post(f"{path}/release", {})["state"] == "released"
    assert stores.balance("HUB") == (3, 0, 3)
    assert refusal(stores.client.post, f"{path}/issue", {}).type == "/problems/reservation-ended"
    again = f"/v1/parts/reservations/{stores.reserve(stores.job())['reservation_id']}"
    stores.client.post(f"{again}/issue", {})
    assert stores.client.post(f"{again}/consume", {})["state"] == "consumed"
    moved = [
        (line["kind"], line["from_place"], line["to_place"]) for line in stores.client.pages("/v1/parts/movements")
    ]
    assert moved[1:] == [
        ("reserve", "free", "reserved"), ("issue", "reserved", "issued"), ("return", "issued", "free"),
        ("reserve", "free", "reserved"), ("issue", "reserved", "issued"), ("consume", "issued", "used"),
    ]  # fmt: skip
    assert stores.client.get("/v1/stock/proof")["balanced"]


def test_what_is_kept_for_a_case_hangs_on_its_job_as_soon_as_there_is_one(api, stores) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=3)
    opened = {"kind": "repair", "serial": "HD5-1", "title": "Drips"}
    ticket_id = stores.client.post("/v1/tickets", opened, now=NOW)["ticket_id"]
    with connect(api.database_url) as connection, connection.transaction():
        connection.execute(
            "INSERT INTO service.reservation (ticket_id, part_id, warehouse_id, quantity, available_at, created_at) "
            "VALUES (%s, 1, 1, 2, now(), now())",
            (ticket_id,),
        )
        connection.execute(
            "INSERT INTO service.stock_movement (part_id, quantity, kind, from_place, from_warehouse_id, to_place, "
            "to_warehouse_id, cause_kind, cause_key, at) "
            "VALUES (1, 2, 'reserve', 'free', 1, 'reserved', 1, 'reservation', '1', now())"
        )
    (kept,) = stores.client.pages("/v1/parts/reservations", ticket_id=ticket_id)
    assert (kept["job_id"], kept["warehouse"], kept["place"]) == (None, "HUB", "reserved")
    job_id = stores.client.create_job({"ticket_id": ticket_id}, now=NOW)["job_id"]
    (kept,) = stores.client.pages("/v1/parts/reservations", job_id=job_id)
    assert (kept["ticket_id"], kept["quantity"]) == (ticket_id, 2)
    assert stores.reserve(job_id, quantity=2)["reservation_id"] == kept["reservation_id"]
    stores.client.post(f"/v1/jobs/{job_id}/cancel", {"reason": "mended itself"}, now=NOW)
    assert stores.balance("HUB") == (3, 0, 3)
