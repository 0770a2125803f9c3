"""Parts on their way between warehouses, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.fixture
def ways(api, stores):
    """Two warehouses of the house with a lane between them, a partner's, a quarantine; ten pumps in A."""
    with api.client("admin") as admin:
        partner = admin.post("/v1/providers", {"code": "P1", "name": "Partner"})["provider_id"]
    stores.part("PUMP", weight_grams=2500)
    stores.part("ACID", shipping_class="hazardous")
    stores.warehouse("A", pieces=10, territory="north")
    stores.warehouse("B", territory="south")
    stores.warehouse("P", kind="partner", provider_id=partner)
    stores.warehouse("Q", kind="quarantine")
    lane = {"from": "A", "to": "B", "transit_hours": 30, "freight_base_minor": 900, "freight_kg_minor": 100}
    stores.client.put("/v1/lanes", {"lanes": [lane, {**lane, "to": "P"}]})
    stores.partner = partner
    return stores


def plan(stores, quantity=2, to="B", sku="PUMP", **more):
    body = {"sku": sku, "quantity": quantity, "from": "A", "to": to, **more}
    return stores.client.post("/v1/transfers", body, now=NOW)


def ship(client, *numbers, now=NOW, **more):
    return client.post("/v1/transfers/shipments", {"transfer_ids": list(numbers), **more}, now=now)


def shelf(stores, warehouse, sku="PUMP"):
    found = list(stores.client.pages("/v1/parts/stock", sku=sku, warehouse=warehouse))
    return tuple(found[0][place] for place in ("on_hand", "reserved", "in_transit")) if found else (0, 0, 0)


def ledger_is_right(database_url) -> bool:
    with connect(database_url) as connection:
        return connection.execute("SELECT FROM service.stock_imbalance").fetchall() == []


def test_a_transfer_from_the_shelf_to_the_other_shelf(ways, database_url, refusal) -> None:
    client = ways.client
    client.put("/v1/warehouses/A/bin-contents", {"items": [{"sku": "PUMP", "bin": "C-7"}]})
    one, other = plan(ways, 3), plan(ways, 4, reason="for the season")
    assert (one["state"], one["from"], one["to"], one["expected_at"]) == ("planned", "A", "B", "2026-07-02T14:00:00Z")
    assert shelf(ways, "A") == (10, 7, 0)
    # What is kept for transfers nobody else can have.
    problem = refusal(plan, ways, 4)
    assert (problem.status, problem.type.rpartition("/")[2]) == (409, "stock-out-of-range")
    picks = list(client.pages("/v1/transfers/picking", warehouse="A"))
    assert [(pick["bin"], pick["sku"], pick["quantity"]) for pick in picks] == [("C-7", "PUMP", 3), ("C-7", "PUMP", 4)]

    sent = ship(
        client,
        one["transfer_id"],
        other["transfer_id"],
        carrier="SF",
        tracking_number="SF1",
        now=NOW + timedelta(hours=1),
    )
    # 900 once, 17.5 kg at 1 each.
    assert (sent["weight_grams"], sent["freight_minor"], sent["expected_at"]) == (17_500, 2_650, "2026-07-02T15:00:00Z")
    assert [transfer["tracking_number"] for transfer in sent["transfers"]] == ["SF1", "SF1"]
    assert (shelf(ways, "A"), shelf(ways, "B")) == ((3, 0, 0), (0, 0, 7))
    path = f"/v1/transfers/{one['transfer_id']}"
    for action, slug in (("cancel", "transfer-state"), ("receive", "too-many")):
        body = {"reason": "no"} if action == "cancel" else {"quantity": 4}
        problem = refusal(client.post, f"{path}/{action}", body)
        assert (problem.status, problem.type.rpartition("/")[2]) == (409, slug)

    # Two of three come, one of them broken; the third is lost.
    part = client.post(f"{path}/receive", {"quantity": 1, "damaged": 1})
    assert (part["state"], part["received"], part["damaged"]) == ("shipped", 1, 1)
    assert (shelf(ways, "B"), shelf(ways, "Q")) == ((1, 0, 5), (1, 0, 0))
    lost = client.post(f"{path}/lose", {"reason": "fell off the lorry"})
    assert (lost["state"], lost["missing"], lost["end_reason"]) == ("lost", 1, "fell off the lorry")
    done = client.post(f"/v1/transfers/{other['transfer_id']}/receive", {})
    assert (done["state"], done["received"], shelf(ways, "B")) == ("received", 4, (5, 0, 0))
    assert refusal(client.post, f"/v1/transfers/{other['transfer_id']}/receive", {}).status == 409
    causes = {m["cause"] for m in client.pages("/v1/parts/movements", sku="PUMP") if m["kind"] != "receipt"}
    assert causes == {f"transfer:{one['transfer_id']}", f"transfer:{other['transfer_id']}"}

    third = plan(ways, 1)
    assert client.post(f"/v1/transfers/{third['transfer_id']}/cancel", {"reason": "not needed"})["state"] == "cancelled"
    assert shelf(ways, "A") == (3, 0, 0)
    assert [t["transfer_id"] for t in client.pages("/v1/transfers", state="lost", to="B")] == [one["transfer_id"]]
    assert ledger_is_right(database_url)


def test_what_is_kept_travels_with_its_reservation(ways, database_url, refusal) -> None:
    client = ways.client
    kept = ways.reserve(ways.job(), 4)
    number = kept["reservation_id"]
    assert refusal(plan, ways, 3, reservation_id=number).status == 422
    one = plan(ways, 4, reservation_id=number)
    problem = refusal(plan, ways, 4, reservation_id=number)
    assert (problem.status, problem.type.rpartition("/")[2]) == (409, "transfer-open")
    assert shelf(ways, "A") == (10, 4, 0)
    ship(client, one["transfer_id"])
    kept = client.get(f"/v1/parts/reservations/{number}")
    assert (kept["warehouse"], kept["place"], kept["available_at"]) == ("B", "transit", "2026-07-02T14:00:00Z")
    # One comes, one is broken, two come later.
    path = f"/v1/transfers/{one['transfer_id']}/receive"
    part = client.post(path, {"quantity": 1, "damaged": 1}, now=NOW)
    kept = client.get(f"/v1/parts/reservations/{number}")
    assert (kept["place"], kept["quantity"], part["reservation_id"] != number) == ("reserved", 1, True)
    assert shelf(ways, "B") == (1, 1, 2)
    assert client.post(path, {}, now=NOW)["state"] == "received"
    later = client.get(f"/v1/parts/reservations/{part['reservation_id']}")
    assert (later["place"], later["quantity"], later["job_id"]) == ("reserved", 2, kept["job_id"])
    assert (shelf(ways, "B"), shelf(ways, "Q")) == ((3, 3, 0), (1, 0, 0))

    # Released on its way, it arrives for anybody; released before, its transfer is cancelled by the duty.
    numbers = [ways.reserve(ways.job(), 2)["reservation_id"] for _ in range(3)]
    moves = [plan(ways, 2, reservation_id=reservation)["transfer_id"] for reservation in numbers]
    ship(client, moves[0])
    ship(client, moves[1])
    for reservation in (numbers[0], numbers[2]):
        client.post(f"/v1/parts/reservations/{reservation}/release", {})
    assert client.post(f"/v1/transfers/{moves[0]}/receive", {})["state"] == "received"
    assert shelf(ways, "B") == (5, 3, 2)
    assert client.post(f"/v1/transfers/{moves[1]}/lose", {"reason": "gone"})["state"] == "lost"
    assert client.get(f"/v1/parts/reservations/{numbers[1]}")["state"] == "released"
    assert refusal(ship, client, moves[2]).status == 409
    client.post("/v1/duties/run", {}, now=NOW)
    ended = client.get(f"/v1/transfers/{moves[2]}")
    assert (ended["state"], ended["end_reason"]) == ("cancelled", "its reservation has ended")
    assert ledger_is_right(database_url)


def test_what_a_lane_refuses_and_what_is_late(api, ways, refusal) -> None:
    client = ways.client
    ways.receive("A", 2, "ACID")
    problem = refusal(plan, ways, 1, sku="ACID")
    assert (problem.status, problem.type.rpartition("/")[2]) == (409, "lane-refuses-class")
    assert "PUT /v1/lanes" in str(problem)
    assert refusal(plan, ways, 1, "Q", "ACID").status == 409
    lane = {"from": "A", "to": "B", "transit_hours": 48, "shipping_classes": ["normal", "hazardous"]}
    client.put("/v1/lanes", {"lanes": [lane]})
    acid = plan(ways, 1, sku="ACID")
    pump, away = plan(ways, 1), plan(ways, 1, "P")
    assert refusal(ship, client, pump["transfer_id"], away["transfer_id"]).status == 422
    assert refusal(ship, client, 999).status == 404
    assert refusal(plan, ways, 1, "A").status == 422
    assert refusal(plan, ways, 1, ticket_id=77).status == 422
    ship(client, acid["transfer_id"])

    with api.client("admin") as admin:
        target = {
            "name": "desk",
            "kind": "webhook",
            "url": "http://127.0.0.1:9/hook",
            "topics": ["transfer.overdue"],
        }
        admin.post("/v1/alert-targets", target)
        late = NOW + timedelta(hours=49)
        admin.post("/v1/duties/run", {}, now=late)
        admin.post("/v1/duties/run", {}, now=late + timedelta(hours=1))
        subjects = sorted(alert["subject"] for alert in admin.pages("/v1/alerts", topic="transfer.overdue"))
    assert subjects == [f"Overdue: 1 {sku} from A to {to}" for sku, to in (("ACID", "B"), ("PUMP", "B"), ("PUMP", "P"))]
    assert len(list(client.pages("/v1/transfers/overdue"))) == 3
    # Whoever sends it then gives it a new date.
    ship(client, pump["transfer_id"], now=late)
    assert len(list(client.pages("/v1/transfers/overdue"))) == 2


def test_a_partner_pays_for_what_it_gets_and_no_more(api, ways, database_url, refusal) -> None:
    client, partner = ways.client, ways.partner
    kept = ways.reserve(ways.job(), 1)["reservation_id"]
    first = plan(ways, 3, "P")["transfer_id"]
    problem = refusal(ship, client, first)
    assert (problem.status, problem.type.rpartition("/")[2]) == (409, "no-price")
    with api.client("desk_lead") as lead:
        price = {"kind": "partner", "price_minor": 4000, "currency": "EUR", "valid_from": "2026-01-01"}
        lead.post("/v1/parts/PUMP/prices", price)
        account = lead.post("/v1/partner-accounts", {"provider_id": partner, "currency": "EUR", "limit_minor": 20_000})
        balance = lambda: lead.get(f"/v1/partner-accounts/{account['partner_account_id']}")["balance_minor"]  # noqa: E731
        (sent,) = ship(client, first)["transfers"]
        assert (sent["charged_minor"], sent["charged_currency"], balance()) == (12_000, "EUR", 12_000)
        second = plan(ways, 3, "P")["transfer_id"]
        problem = refusal(ship, client, second)
        assert (problem.status, problem.type.rpartition("/")[2]) == (409, "credit-limit")
        assert client.get(f"/v1/transfers/{second}")["state"] == "planned"
        with api.scoped_client("partner_manager", provider_id=partner) as manager:
            assert [t["transfer_id"] for t in manager.pages("/v1/transfers")] == [first, second]
            # It buys by planning transfers to itself, and to nobody else.
            wish = {"sku": "PUMP", "quantity": 1, "from": "A", "to": "P"}
            bought = manager.post("/v1/transfers", wish, now=NOW)
            assert refusal(manager.post, "/v1/transfers", {**wish, "to": "B"}).status == 403
            others = {**wish, "reservation_id": kept}
            assert refusal(manager.post, "/v1/transfers", others).status == 422
            cancelled = manager.post(f"/v1/transfers/{bought['transfer_id']}/cancel", {"reason": "no"})
            assert cancelled["state"] == "cancelled"
            # Out of the house's warehouse only the house sends.
            problem = refusal(ship, manager, second)
            assert (problem.status, problem.type.rpartition("/")[2]) == (403, "not-yours")
            manager.post(f"/v1/transfers/{first}/receive", {"quantity": 1, "damaged": 1})
        assert balance() == 8_000
        client.post(f"/v1/transfers/{first}/lose", {"reason": "never came"})
        assert (balance(), shelf(ways, "P"), shelf(ways, "Q")) == (4_000, (1, 0, 0), (1, 0, 0))
        # It sends one back, and is credited when that has arrived.
        client.put("/v1/lanes", {"lanes": [{"from": "P", "to": "A", "transit_hours": 5}]})
        back = client.post("/v1/transfers", {"sku": "PUMP", "quantity": 1, "from": "P", "to": "A"}, now=NOW)
        with api.scoped_client("partner_manager", provider_id=partner) as manager:
            ship(manager, back["transfer_id"])
            assert refusal(manager.post, f"/v1/transfers/{back['transfer_id']}/receive", {}).status == 403
        assert balance() == 4_000
        client.post(f"/v1/transfers/{back['transfer_id']}/receive", {})
        assert balance() == 0
    with api.client("admin") as admin:
        other = admin.post("/v1/providers", {"code": "P2", "name": "Other"})["provider_id"]
    with api.scoped_client("partner_manager", provider_id=other) as stranger:
        assert list(stranger.pages("/v1/transfers")) == []
        assert refusal(stranger.get, f"/v1/transfers/{first}").status == 404
        assert refusal(stranger.post, f"/v1/transfers/{second}/receive", {}).status == 404
    assert ledger_is_right(database_url)


def test_two_hands_at_once_move_it_once(ways, at_once, database_url) -> None:
    number = plan(ways, 5)["transfer_id"]

    def status(answer):
        return getattr(answer, "status", 200)

    sent = at_once(lambda client, _: ship(client, number), range(6))
    assert sorted(map(status, sent)) == [200] + [409] * 5
    came = at_once(lambda client, _: client.post(f"/v1/transfers/{number}/receive", {"quantity": 2}), range(6))
    # Two and two; the fifth is not enough for another two.
    assert sorted(map(status, came)) == [200] * 2 + [409] * 4
    assert shelf(ways, "B") == (4, 0, 1)
    assert ledger_is_right(database_url)
