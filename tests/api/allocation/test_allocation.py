"""Where parts come from, over HTTP."""

from datetime import UTC, datetime, timedelta

from careloop.client import ProblemError

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def slug(problem: ProblemError) -> str:
    return problem.type.rpartition("/")[2]


def test_the_best_of_three_warehouses_sends_the_part_and_it_is_used(network) -> None:
    client, ticket = network.client, network.ticket()
    made = network.ask(ticket)
    assert (made["state"], made["kind"], made["warehouse"]) == ("allocated", "transfer", "near")
    assert at(made["promised_at"]) == NOW + DAY
    assert network.ask(ticket)["part_demand_id"] == made["part_demand_id"]

    decision = network.see(made)["decision"]
    options = {option["warehouse"] + ":" + option["kind"]: option for option in decision["options"]}
    assert list(options) == ["near:transfer", "far:transfer", "late:transfer", "partner:purchase"]
    assert decision["chosen"] == 0
    assert options["near:transfer"]["total_minor"] == 900
    assert options["late:transfer"]["lateness_minor"] == 6 * 8000
    assert options["partner:purchase"]["extra_minor"] == 1500
    assert decision["refusals"] == [{"warehouse": "partner", "sku": "PUMP", "reason": "none on hand"}]
    for option in decision["options"]:
        costs = ("freight_minor", "lateness_minor", "risk_minor", "extra_minor")
        assert option["total_minor"] == sum(option[cost] for cost in costs) - option["age_credit_minor"]
    [line] = network.history(ticket, "part_allocated")
    assert line["detail"]["warehouse"] == "near"
    assert network.told() == ["part.promised"]

    client.post("/v1/transfers/shipments", {"transfer_ids": [made["transfer_id"]]}, now=NOW)
    client.post(f"/v1/transfers/{made['transfer_id']}/receive", {"quantity": 1}, now=NOW + DAY)
    assert network.duty(NOW + DAY) == 1
    assert at(network.see(made)["arrived_at"]) == NOW + DAY
    assert network.told() == ["part.promised", "part.arrived"]
    job = client.create_job({"ticket_id": ticket}, now=NOW + DAY)["job_id"]
    [kept] = client.get(f"/v1/jobs/{job}")["reservations"]
    assert (kept["warehouse"], kept["demand_id"]) == ("partner", made["part_demand_id"])
    assert network.see(made)["job_id"] == job
    client.post(f"/v1/parts/reservations/{kept['reservation_id']}/consume", {}, now=NOW + DAY)
    assert network.duty(NOW + DAY) == 1
    assert network.see(made)["state"] == "fulfilled"
    assert network.duty(NOW + DAY) == 0
    assert network.ledger_is_right()


def test_kits_alternatives_and_what_the_next_best_is(network, refusal) -> None:
    client, stores = network.client, network.stores
    stores.part("KIT", cost_minor=15_000)
    network.kit("KIT", PUMP=2)
    stores.receive("partner", 1, "KIT")
    first = network.ask(network.ticket())
    assert (first["kind"], first["given_sku"], first["warehouse"]) == ("transfer", "PUMP", "near")
    # One piece was near; the next best is two days away, and worth less than opening the kit.
    second = network.ask(network.ticket())
    assert (second["kind"], second["warehouse"]) == ("kit", "partner")
    assert "1 × KIT taken apart, with 2 in each" in second["reason"]
    assert stores.balance("partner") == (2, 1, 1)
    third = network.ask(network.ticket())
    assert (third["kind"], third["warehouse"]) == ("on_hand", "partner")

    stores.part("PUMP-2", cost_minor=10_500)
    client.post("/v1/parts/PUMP/alternatives", {"alternative": "PUMP-2"})
    stores.receive("partner", 1, "PUMP-2")
    ticket = network.ticket(due=timedelta(hours=1), priority="urgent")
    other = network.ask(ticket)
    assert (other["kind"], other["sku"], other["given_sku"]) == ("alternative", "PUMP", "PUMP-2")
    [line] = network.history(ticket, "part_allocated")
    assert line["detail"]["given_sku"] == "PUMP-2"
    job = client.create_job({"ticket_id": ticket}, now=NOW)
    assert [kept["sku"] for kept in job["reservations"]] == ["PUMP-2"]

    gone = client.post(f"/v1/allocation/demands/{third['part_demand_id']}/cancel", {"reason": "not needed"}, now=NOW)
    assert (gone["state"], stores.balance("partner")) == ("cancelled", (2, 1, 1))
    again = refusal(client.post, f"/v1/allocation/demands/{third['part_demand_id']}/allocate", {}, now=NOW)
    assert slug(again) == "part-demand-state"
    # A piece has come free at the site: better than the kit's transfer, so the first one is decided anew.
    better = client.post(f"/v1/allocation/demands/{first['part_demand_id']}/allocate", {}, now=NOW)
    assert (better["kind"], better["warehouse"], better["transfer_id"]) == ("on_hand", "partner", None)
    assert stores.balance("near") == (1, 0, 1)
    decisions = list(client.pages(f"/v1/allocation/demands/{first['part_demand_id']}/decisions"))
    assert [decision["made_by"] for decision in decisions] == ["single", "single"]
    assert network.ledger_is_right()


def test_a_refusal_names_every_warehouse_and_an_honest_date_and_ends_when_stock_comes(network) -> None:
    client, stores = network.client, network.stores
    ticket = network.ticket(due=timedelta(hours=12))
    refused = network.ask(ticket, strict=True)
    assert (refused["state"], refused["kind"]) == ("refused", None)
    assert at(refused["promised_at"]) == NOW + DAY
    places = {entry["warehouse"]: entry["reason"] for entry in refused["decision"]["refusals"]}
    assert set(places) == {"partner", "near", "far", "late"}
    assert "at the site only on 2026-07-02, needed by 2026-07-01" in places["near"]
    assert "1 of PUMP cannot be there by 2026-07-01; at the earliest on 2026-07-02" in refused["reason"]
    assert network.duty() == 0
    stores.receive("partner", 1)
    assert network.duty() == 1
    after = network.see(refused)
    assert (after["state"], after["kind"], after["decision"]["made_by"]) == ("allocated", "on_hand", "event")
    assert network.told() == ["part.refused", "part.arrived"]
    assert [event["kind"] for event in network.history(ticket, "part_refused", "part_allocated")] == [
        "part_refused",
        "part_allocated",
    ]
    # The case ends: nobody needs it any more.
    client.post(f"/v1/tickets/{ticket}/transitions", {"to": "cancelled", "reason": "sold"}, now=NOW)
    network.duty()
    assert network.see(refused)["state"] == "cancelled"
    assert stores.balance("partner") == (1, 0, 1)


def test_of_many_who_want_the_last_piece_one_gets_it_and_the_others_the_next_best(network, at_once) -> None:
    tickets = [network.ticket() for _ in range(64)]
    answers = at_once(
        lambda client, ticket: client.post("/v1/allocation/demands", {"ticket_id": ticket, "sku": "PUMP"}, now=NOW),
        tickets,
    )
    assert not [answer for answer in answers if isinstance(answer, ProblemError)]
    counted = sorted((answer["kind"], answer["warehouse"]) for answer in answers)
    assert counted.count(("transfer", "near")) == 1
    assert counted.count(("transfer", "far")) == 4
    assert counted.count(("transfer", "late")) == 2
    assert counted.count(("purchase", "partner")) == 57
    assert network.ledger_is_right()
