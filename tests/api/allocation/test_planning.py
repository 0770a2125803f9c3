"""The snapshot of all demand and what is done with a plan of it, over HTTP."""

from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from careloop.allocation.exchange import Choice, PlanOfAll, Snapshot
from careloop.allocation.greedy import greedy_plan
from careloop.allocation.model import OptionKind, plan_cost_minor, shelves_by_key

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
SNAPSHOT = TypeAdapter(Snapshot)
PLAN = TypeAdapter(PlanOfAll)


def snapshot_of(network) -> Snapshot:
    return SNAPSHOT.validate_python(network.client.get("/v1/allocation/snapshot", now=NOW))


def choices_of(snapshot, plan):
    for demand in snapshot.demands:
        place = plan[demand.demand_id]
        if place is None:
            yield Choice(demand.demand_id, None, None, None, "nothing for it")
        else:
            option = demand.options[place]
            reason = f"planned: {option.reason}"
            yield Choice(demand.demand_id, option.kind, option.part_id, option.warehouse_id, reason)


def post(network, *choices):
    plan = PlanOfAll(NOW, "test", 0, 0, 0, choices)
    return network.client.post("/v1/allocation/plans", PLAN.dump_python(plan, mode="json"), now=NOW)


def test_a_plan_of_all_demands_moves_what_single_answers_took(network) -> None:
    slow = network.ask(network.ticket(due=10 * DAY, priority="low"))
    assert (slow["kind"], slow["warehouse"]) == ("transfer", "late")
    first = network.ask(network.ticket(due=timedelta(days=1), priority="normal"))
    assert first["warehouse"] == "near"
    urgent = network.ask(network.ticket(due=timedelta(days=1), priority="urgent"), at_once=False)
    assert (urgent["state"], urgent["kind"], urgent["decision"]) == ("open", None, None)

    snapshot = snapshot_of(network)
    assert [demand.demand_id for demand in snapshot.demands] == [
        urgent["part_demand_id"],
        first["part_demand_id"],
        slow["part_demand_id"],
    ]
    assert snapshot.currency == "EUR"
    # What is kept for them counts as free: the plan decides about it anew.
    assert sorted(shelf.available for shelf in snapshot.shelves) == [1, 2, 4]
    shelves = shelves_by_key(snapshot.shelves)
    plan = greedy_plan(snapshot.demands, shelves)
    # The slow one goes along with the first one: the shipment is paid already.
    assert plan_cost_minor(snapshot.demands, shelves, plan) == 900 + (1200 + 2000)
    # The urgent one wants the piece that the first one has, so the first one has to let go before.
    answer = post(network, *choices_of(snapshot, plan))
    assert (answer["applied"], answer["kept"], answer["refused"]) == (3, 0, 0)
    assert network.see(slow)["warehouse"] == "far"
    assert network.see(urgent)["warehouse"] == "near"
    after = network.see(first)
    assert (after["warehouse"], after["decision"]["made_by"]) == ("far", "plan")
    assert after["reason"].startswith("planned: sent from far")
    assert network.stores.balance("near") == (1, 1, 0)
    assert sorted(network.told()) == ["part.date_moved"] * 2 + ["part.promised"] * 3

    # Two that want each other's pieces are moved together.
    swap = [
        Choice(one["part_demand_id"], OptionKind.TRANSFER, snapshot.shelves[0].key.part_id, warehouse, "swapped")
        for one, warehouse in ((urgent, warehouse_id(snapshot, "far")), (first, warehouse_id(snapshot, "near")))
    ]
    network.stores.client.post(
        "/v1/parts/movements",
        {"sku": "PUMP", "warehouse": "far", "kind": "adjust", "quantity": -2, "cause": "counted"},
        now=NOW,
    )
    answer = post(network, *swap)
    assert (answer["applied"], answer["refused"]) == (2, 0), answer
    assert (network.see(urgent)["warehouse"], network.see(first)["warehouse"]) == ("far", "near")
    assert network.ledger_is_right()


def warehouse_id(snapshot, code):
    for demand in snapshot.demands:
        for option in demand.options:
            if option.kind is OptionKind.TRANSFER and f"sent from {code} " in option.reason:
                return option.warehouse_id
    raise LookupError(code)


def test_choices_that_the_world_has_overtaken_are_refused_one_by_one(network) -> None:
    one, other = (network.ask(network.ticket(), at_once=False) for _ in range(2))
    snapshot = snapshot_of(network)
    part_id = snapshot.shelves[0].key.part_id
    near = Choice(one["part_demand_id"], OptionKind.TRANSFER, part_id, warehouse_id(snapshot, "near"), "first")
    taken = Choice(other["part_demand_id"], OptionKind.TRANSFER, part_id, warehouse_id(snapshot, "near"), "second")
    unknown = Choice(999, OptionKind.TRANSFER, part_id, 1, "nobody")
    answer = post(network, near, taken, unknown)
    assert (answer["applied"], answer["kept"], answer["refused"]) == (1, 0, 2)
    details = {result["demand_id"]: result["detail"] for result in answer["results"]}
    assert details[one["part_demand_id"]] == "first"
    assert "transfer is not possible any more (near: all 1 on hand are reserved" in details[other["part_demand_id"]]
    assert details[999] == "there is no part demand 999"
    assert network.see(other)["state"] == "open"
    # What is on its way is nobody's to plan.
    shipped = network.see(one)["transfer_id"]
    network.client.post("/v1/transfers/shipments", {"transfer_ids": [shipped]}, now=NOW)
    assert [demand.demand_id for demand in snapshot_of(network).demands] == [other["part_demand_id"]]
    answer = post(network, near, Choice(other["part_demand_id"], None, None, None, "better wait"))
    assert (answer["applied"], answer["refused"]) == (1, 1)
    assert "its pieces are on their way" in {result["detail"] for result in answer["results"]}
    refused = network.see(other)
    assert (refused["state"], refused["reason"]) == ("refused", "better wait")
