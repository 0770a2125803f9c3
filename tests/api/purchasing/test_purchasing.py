"""What is bought, over HTTP: ordered, sent, confirmed, delivered, promised and kept."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DESK = {"name": "desk", "kind": "webhook", "url": "http://127.0.0.1:9/h", "topics": ["*"]}


@pytest.fixture
def shop(api, stores):
    """A central warehouse, a quarantine, and two suppliers of pumps; the imported motor has none."""
    stores.part("PUMP", lead_time_days=20)
    stores.part("SEAL", lead_time_days=7)
    stores.part("MOTOR", lead_time_days=60, imported=True)
    stores.warehouse("C")
    stores.warehouse("Q", kind="quarantine")
    with api.client("desk_lead") as lead:
        for code in ("NEAR", "FAR"):
            lead.post("/v1/suppliers", {"code": code, "name": code})
    pump = {"sku": "PUMP", "price_minor": 3000, "currency": "EUR"}
    near = {**pump, "minimum_quantity": 5, "pack_size": 2, "over_delivery_percent": 20, "supplier_sku": "P-1"}
    terms = "/v1/suppliers/NEAR/parts"
    seal = {**pump, "sku": "SEAL", "price_minor": 50}
    assert stores.client.put(terms, {"items": [near, seal]}) == {"added": 2, "changed": 0, "unchanged": 0}
    far = {**pump, "price_minor": 2000, "lead_time_days": 45, "place": 200}
    stores.client.put("/v1/suppliers/FAR/parts", {"items": [far]})
    return stores


def case(shop, serial="HD5-1"):
    body = {"kind": "repair", "serial": serial, "title": "leaks"}
    return shop.client.post("/v1/tickets", body, now=NOW)["ticket_id"]


def order(shop, quantity=1, sku="PUMP", now=NOW, **more):
    return shop.client.post("/v1/purchase-lines", {"sku": sku, "quantity": quantity, "warehouse": "C", **more}, now=now)


def act(shop, line, action, body=None, now=NOW):
    return shop.client.post(f"/v1/purchase-orders/{line['purchase_order_id']}/{action}", body or {}, now=now)


def came(shop, line, quantity, note, damaged=0):
    lines = [{"purchase_line_id": line["purchase_line_id"], "quantity": quantity, "damaged": damaged}]
    return act(shop, line, "receive", {"delivery_note": note, "lines": lines})


def slug_of(problem):
    return problem.status, problem.type.rpartition("/")[2]


def events_of(shop, ticket_id):
    found = shop.client.pages(f"/v1/tickets/{ticket_id}/events")
    return [event["detail"]["what"] for event in found if event["kind"] == "purchase"]


def test_what_is_wanted_gathers_in_a_draft(api, shop, refusal) -> None:
    client = shop.client
    first = order(shop, 3)
    assert (first["supplier"], first["quantity"], first["wanted"], first["price_minor"]) == ("NEAR", 6, 3, 3000)
    # 20 days of the part itself, for this supplier gave none; in by the end of that day.
    assert (first["lead_time_days"], first["expected_at"], first["state"]) == (20, "2026-07-22T00:00:00Z", "draft")
    more = order(shop, 4)
    assert (more["purchase_line_id"], more["quantity"]) == (first["purchase_line_id"], 8)
    seal = order(shop, 10, "SEAL")
    assert (seal["purchase_order_id"], seal["expected_at"]) == (first["purchase_order_id"], "2026-07-09T00:00:00Z")
    other = order(shop, 1, supplier="FAR")
    assert (other["purchase_order_id"] != first["purchase_order_id"], other["lead_time_days"]) == (True, 45)
    path = f"/v1/purchase-orders/{first['purchase_order_id']}"
    assert client.get(path)["total_minor"] == 8 * 3000 + 10 * 50
    changed = client.put(f"/v1/purchase-lines/{seal['purchase_line_id']}", {"quantity": 12, "price_minor": 45})
    assert (changed["quantity"], changed["price_minor"]) == (12, 45)
    # A draft that lies around counts from today, each day anew; sent, from the day of sending.
    with api.client("admin") as admin:
        admin.post("/v1/duties/run", {}, now=NOW + timedelta(days=2))
    assert client.get(path)["lines"][0]["expected_at"] == "2026-07-24T00:00:00Z"
    assert slug_of(refusal(came, shop, first, 1, "D-1")) == (409, "purchase-order-state")
    sent = act(shop, first, "send", now=NOW + timedelta(days=3))
    assert (sent["state"], sent["lines"][0]["expected_at"]) == ("sent", "2026-07-25T00:00:00Z")
    problem = refusal(client.put, f"/v1/purchase-lines/{seal['purchase_line_id']}", {"quantity": 1})
    assert slug_of(problem) == (409, "order-not-draft")


def test_from_the_supplier_to_the_shelf(api, shop, database_url, refusal) -> None:
    client = shop.client
    first, seal = order(shop, 7), order(shop, 12, "SEAL")
    path = f"/v1/purchase-orders/{first['purchase_order_id']}"
    act(shop, first, "send")
    own = {"purchase_line_id": seal["purchase_line_id"], "confirmed_on": "2026-07-10", "price_minor": 40}
    confirmed = act(shop, first, "confirm", {"reference": "AB-9", "confirmed_on": "2026-07-30", "lines": [own]})
    assert [line["expected_at"][:10] for line in confirmed["lines"]] == ["2026-07-31", "2026-07-11"]
    shown = (confirmed["state"], confirmed["reference"], confirmed["total_minor"])
    assert shown == ("confirmed", "AB-9", 8 * 3000 + 12 * 40)
    # The seals are late; told once, and not again before another date has passed.
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", DESK)
        for hours in (1, 2):
            admin.post("/v1/duties/run", {}, now=datetime(2026, 7, 11, hours, tzinfo=UTC))
        (alert,) = admin.pages("/v1/alerts", topic="purchase.late")
    assert alert["subject"] == "Late: 12 SEAL from NEAR to C"
    assert [line["sku"] for line in client.pages("/v1/purchase-lines/late")] == ["SEAL"]

    part = came(shop, first, 5, "D-1", damaged=2)
    assert (part["state"], [line["received"] for line in part["lines"]]) == ("partly_received", [5, 0])
    assert slug_of(refusal(came, shop, first, 1, "D-1")) == (409, "note-taken")
    # 20 % more than 8 is 9.
    problem = refusal(came, shop, first, 5, "D-2")
    assert (slug_of(problem), problem.problem["accepted"]) == ((409, "over-delivery"), 4)
    came(shop, first, 4, "D-2")
    closed = act(shop, first, "close", {"reason": "the seals are sold out"})
    assert (closed["state"], closed["end_reason"]) == ("received", "the seals are sold out")
    assert shop.balance("C") == (9, 0, 9)
    assert shop.balance("Q") == (2, 0, 2)
    receipts = [(one["delivery_note"], one["quantity"], one["damaged"]) for one in client.pages(f"{path}/receipts")]
    assert receipts == [("D-1", 5, 2), ("D-2", 4, 0)]
    moved = {(m["kind"], m["from_place"], m["cause"]) for m in client.pages("/v1/parts/movements", sku="PUMP")}
    assert moved == {("receipt", "supplier", f"purchase:{first['purchase_order_id']}")}
    bodies = {
        "send": {},
        "cancel": {"reason": "x"},
        "close": {"reason": "x"},
        "confirm": {"confirmed_on": "2026-08-01"},
    }
    for action, body in bodies.items():
        assert slug_of(refusal(act, shop, first, action, body)) == (409, "purchase-order-state")
    with connect(database_url) as connection:
        assert connection.execute("SELECT FROM service.stock_imbalance").fetchall() == []


def test_an_imported_part_and_the_case_that_waits_for_it(api, shop, refusal) -> None:
    client = shop.client
    one, other = case(shop), case(shop, "HD5-2")
    line = order(shop, 2, "MOTOR", ticket_id=one)
    # Nobody is known to deliver it: the part's own 60 days, and a draft that waits for a supplier.
    assert (line["supplier"], line["expected_at"], line["promised"]) == (None, "2026-08-31T00:00:00Z", 2)
    assert slug_of(refusal(act, shop, line, "send")) == (409, "no-supplier")
    path = f"/v1/purchase-orders/{line['purchase_order_id']}"
    client.put(
        "/v1/suppliers/FAR/parts",
        {
            "items": [
                {"sku": "MOTOR", "price_minor": 9000, "currency": "EUR", "lead_time_days": 75, "minimum_quantity": 4}
            ]
        },
    )
    version = client.get(path)["version"]
    assert refusal(client.patch, path, {"supplier": "NONE"}, version=version).status == 422
    order_known = client.patch(path, {"supplier": "FAR", "note": "by sea"}, version=version, now=NOW)
    motor = order_known["lines"][0]
    assert (motor["quantity"], motor["expected_at"], motor["unpromised"]) == (4, "2026-09-15T00:00:00Z", 2)
    assert refusal(client.patch, path, {"note": ""}, version=version).status == 412
    # Two more are promised from the same draft, which wants no more than the minimum.
    again = order(shop, 1, "MOTOR", ticket_id=other, supplier="FAR")
    assert (again["purchase_line_id"], again["quantity"], again["promised"]) == (motor["purchase_line_id"], 4, 3)
    assert slug_of(refusal(client.put, f"/v1/purchase-lines/{motor['purchase_line_id']}", {"quantity": 2})) == (
        409,
        "pieces-promised",
    )
    act(shop, line, "send")
    act(shop, line, "confirm", {"confirmed_on": "2026-10-08"})
    promises = list(client.pages("/v1/purchase-promises", ticket_id=one))
    assert [(promise["quantity"], promise["state"], promise["expected_at"][:10]) for promise in promises] == [
        (2, "open", "2026-10-09")
    ]
    # One of the first case's two comes, then the other three.
    came(shop, line, 1, "D-1")
    assert shop.balance("C", "MOTOR") == (1, 1, 0)
    promises = list(client.pages("/v1/purchase-promises", ticket_id=one))
    assert sorted((promise["state"], promise["quantity"]) for promise in promises) == [("kept", 1), ("open", 1)]
    done = came(shop, line, 3, "D-2")
    assert (done["state"], shop.balance("C", "MOTOR")) == ("received", (4, 3, 1))
    numbers = [promise["reservation_id"] for promise in client.pages("/v1/purchase-promises")]
    kept = [client.get(f"/v1/parts/reservations/{number}") for number in numbers]
    assert sorted((each["ticket_id"], each["quantity"]) for each in kept) == [(one, 1), (one, 1), (other, 1)]
    assert events_of(shop, one) == ["promised", "dated", "dated", "came", "came"]


def test_what_was_promised_and_will_not_come(api, shop, refusal) -> None:
    client = shop.client
    one, other = case(shop), case(shop, "HD5-2")
    line = order(shop, 1, ticket_id=one)
    order(shop, 7, ticket_id=other)
    first, second = client.pages("/v1/purchase-promises", purchase_line_id=line["purchase_line_id"])
    withdraw = lambda promise: client.post(  # noqa: E731
        f"/v1/purchase-promises/{promise['purchase_promise_id']}/withdraw", {"reason": "found one"}
    )
    # Out of a draft goes what was ordered for it; doing it again changes nothing.
    withdraw(second)
    withdraw(second)
    (shown,) = client.pages("/v1/purchase-lines", sku="PUMP")
    assert (shown["wanted"], shown["quantity"], shown["promised"]) == (1, 6, 1)
    withdraw(first)
    (shown,) = client.pages("/v1/purchase-lines", sku="PUMP")
    assert (shown["wanted"], shown["quantity"], shown["closed"]) == (0, 0, True)
    assert slug_of(refusal(act, shop, line, "send")) == (409, "nothing-to-send")
    assert refusal(client.post, "/v1/purchase-promises/999/withdraw", {"reason": "x"}).status == 404
    # The line comes to life again.
    line = order(shop, 2, ticket_id=one)
    assert (line["quantity"], line["closed"], line["promised"]) == (6, False, 2)
    act(shop, line, "send")
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", DESK)
        assert act(shop, line, "cancel", {"reason": "insolvent"})["state"] == "cancelled"
        (alert,) = admin.pages("/v1/alerts", topic="purchase.cancelled")
    assert alert["payload"]["ticket_ids"] == [one]
    assert events_of(shop, one) == ["promised", "withdrawn", "promised", "withdrawn"]
    # A case that is over leaves its pieces to the shelf.
    line = order(shop, 2, ticket_id=other)
    act(shop, line, "send")
    with api.client("agent") as agent:
        agent.post(f"/v1/tickets/{other}/cancel", {"reason": "sold"})
    came(shop, line, 6, "D-7")
    assert shop.balance("C") == (6, 0, 6)
    body = {"sku": "PUMP", "quantity": 1, "warehouse": "C"}
    for wrong in ({"sku": "NO"}, {"warehouse": "NO"}, {"supplier": "NO"}, {"ticket_id": 999}, {"quantity": 0}):
        assert refusal(client.post, "/v1/purchase-lines", {**body, **wrong}).status == 422
    with api.client("desk_lead") as lead:
        lead.patch("/v1/suppliers/NEAR", {"active": False}, version=1)
    assert order(shop)["supplier"] == "FAR"
    assert refusal(order, shop, supplier="NEAR").status == 422
    terms = {"items": [{"sku": "PUMP", "price_minor": 1, "currency": "EUR"}]}
    assert refusal(client.put, "/v1/suppliers/NO/parts", terms).status == 404


def test_many_want_the_same_part_at_once(shop, at_once) -> None:
    body = {"sku": "PUMP", "quantity": 1, "warehouse": "C"}
    lines = at_once(lambda client, _: client.post("/v1/purchase-lines", body), range(8))
    assert len({line["purchase_line_id"] for line in lines}) == 1
    (line,) = shop.client.pages("/v1/purchase-lines", sku="PUMP")
    assert (line["wanted"], line["quantity"]) == (8, 8)
    act(shop, line, "send")
    note = {"delivery_note": "D-1", "lines": [{"purchase_line_id": line["purchase_line_id"], "quantity": 3}]}
    path = f"/v1/purchase-orders/{line['purchase_order_id']}/receive"
    answers = at_once(lambda client, number: client.post(path, {**note, "delivery_note": f"D-{number}"}), range(5))
    # 8 and a fifth: three times three.
    assert sorted(getattr(answer, "status", 200) for answer in answers) == [200, 200, 200, 409, 409]
    assert shop.balance("C") == (9, 0, 9)
