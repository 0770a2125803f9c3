"""What to keep, move and buy, from a forecast to what comes of it, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
FIRM = [0.05, 0.25, 0.4, 0.2, 0.1]


@pytest.fixture
def network(api, stores):
    """Three warehouses: A lacks pumps, B has too many; a partner's; filters nobody has."""
    stores.part("PUMP", cost_minor=12_000, weight_grams=2000, lead_time_days=14)
    stores.part("FILTER", cost_minor=500, lead_time_days=7)
    stores.part("YEN", cost_minor=500, currency="JPY")
    stores.warehouse("A", pieces=0, territory="north")
    stores.warehouse("B", pieces=9, territory="south")
    stores.warehouse("Q", kind="quarantine", pieces=5)
    stores.client.put(
        "/v1/lanes",
        {"lanes": [{"from": "B", "to": "A", "transit_hours": 30, "freight_base_minor": 900, "freight_kg_minor": 100}]},
    )
    with api.client("agent") as agent:
        stores.agent = agent
        yield stores


def line(sku, warehouse, chance=FIRM, days=44, **more):
    return {"sku": sku, "warehouse": warehouse, "covered_days": days, "chance": chance, **more}


def forecast(client, *lines, now=NOW, complete=True, **more):
    made = client.post("/v1/stocking/forecasts", {"method": "test", "review_days": 30, **more}, now=now)
    number = made["forecast_id"]
    client.post(f"/v1/stocking/forecasts/{number}/lines", {"lines": list(lines)}, now=now)
    return client.post(f"/v1/stocking/forecasts/{number}/complete", {}, now=now)["forecast_id"] if complete else number


def proposals(client, **wanted):
    return list(client.pages("/v1/stocking/proposals", **wanted))


def test_from_a_forecast_to_transfer_order_and_levels(network, refusal) -> None:
    client, agent = network.client, network.agent
    problem = refusal(client.post, "/v1/stocking/runs", {"budget_minor": 1000})
    assert (problem.status, problem.type.rpartition("/")[2]) == (409, "no-forecast")
    number = forecast(
        client,
        line("PUMP", "A", from_history=1.5, from_predictions=0.55),
        line("PUMP", "B", [0.8, 0.2]),
        line("FILTER", "A", [0.2, 0.5, 0.3]),
        line("YEN", "A", [0.5, 0.5]),
        line("PUMP", "Q"),
    )
    (pump,) = client.pages(f"/v1/stocking/forecasts/{number}/lines", sku="PUMP", warehouse="A")
    assert (pump["mean"], pump["enough_50"], pump["enough_95"]) == (pytest.approx(2.05), 2, 4)
    assert (pump["ends_at"], pump["used"]) == ("2026-08-14T08:00:00Z", None)

    run = client.post("/v1/stocking/runs", {"budget_minor": 10_000, "service_level": 0.98}, now=NOW)
    assert run["left_out"] == {"warehouse-not-stocked": 1, "not-bought-in-this-currency": 1}
    # Half a piece of 3.85 can't be had: it is sold for yen.
    assert run["service_after"] == pytest.approx(1 - 0.5 / 3.85)
    assert run["service_before"] == pytest.approx(0.2 / 3.85)
    assert run["short_after"] < run["short_before"]
    assert run["spent_minor"] <= 10_000
    curve = [(point["spent_minor"], point["service_level"]) for point in run["curve"]]
    assert curve == sorted(curve)
    assert curve[-1][0] >= run["spent_minor"]
    assert run["points_per_1000"] > 0
    found = {(one["kind"], one["sku"], one["warehouse"]): one for one in proposals(client, run_id=run["run_id"])}
    moved, bought = found["transfer", "PUMP", "A"], found["purchase", "FILTER", "A"]
    # B keeps what it needs itself; freight is 900 once and 200 a piece.
    assert (moved["from"], moved["quantity"], moved["cost_minor"]) == ("B", 4, 1700)
    assert (bought["quantity"], bought["cost_minor"]) == (2, 1000)
    assert "avoids" in moved["reason"]
    assert ("purchase", "PUMP", "A") not in found
    levels = found["levels", "FILTER", "A"]
    assert levels["min_quantity"] < levels["max_quantity"]

    path = f"/v1/stocking/proposals/{moved['proposal_id']}"
    done = agent.post(f"{path}/accept", {}, now=NOW)
    assert (done["state"], done["decided_at"]) == ("accepted", "2026-07-01T08:00:00Z")
    transfer = client.get(f"/v1/transfers/{done['transfer_id']}")
    assert (transfer["quantity"], transfer["from"], transfer["to"]) == (4, "B", "A")
    assert transfer["cause"] == f"stocking:{moved['proposal_id']}"
    assert network.balance("B") == (9, 4, 5)
    for action, body in (("accept", {}), ("reject", {"reason": "no"})):
        problem = refusal(agent.post, f"{path}/{action}", body)
        assert (problem.status, problem.type.rpartition("/")[2]) == (409, "stocking-proposal-state")
    assert agent.post(f"/v1/stocking/proposals/{bought['proposal_id']}/accept", {}, now=NOW)["purchase_line_id"]
    rest = agent.post(f"/v1/stocking/runs/{run['run_id']}/accept", {"kinds": ["levels"]}, now=NOW)
    assert (rest["refused"], rest["left"]) == ({}, False)
    assert levels["proposal_id"] in rest["accepted"]
    (stock,) = client.pages("/v1/parts/stock", sku="FILTER", warehouse="A")
    assert (stock["min_quantity"], stock["max_quantity"]) == (levels["min_quantity"], levels["max_quantity"])

    # On its way or ordered is not proposed again.
    again = client.post("/v1/stocking/runs", {"budget_minor": 10_000, "service_level": 0.98}, now=NOW)
    assert again["service_before"] == pytest.approx(1 - 0.5 / 3.85)
    assert [one["kind"] for one in proposals(client, run_id=again["run_id"]) if one["kind"] != "levels"] == []
    assert not proposals(client, run_id=run["run_id"], state="proposed")


def test_a_proposal_that_can_not_be_done_any_more_stays(network, refusal) -> None:
    client, agent = network.client, network.agent
    forecast(client, line("PUMP", "A"), line("FILTER", "A", [0.0, 1.0]))
    run = client.post("/v1/stocking/runs", {"budget_minor": 3000, "warehouse": "A", "service_level": 0.999}, now=NOW)
    (moved,) = proposals(client, run_id=run["run_id"], kind="transfer")
    (bought,) = proposals(client, run_id=run["run_id"], kind="purchase")
    body = {"sku": "PUMP", "warehouse": "B", "kind": "adjust", "quantity": -8, "cause": "count"}
    client.post("/v1/parts/movements", body, now=NOW)
    result = agent.post(f"/v1/stocking/runs/{run['run_id']}/accept", {"kinds": ["transfer", "purchase"]}, now=NOW)
    assert result["accepted"] == [bought["proposal_id"]]
    assert "B has of PUMP 1 free" in result["refused"][str(moved["proposal_id"])]
    assert client.get(f"/v1/stocking/proposals/{moved['proposal_id']}")["state"] == "proposed"
    rejected = agent.post(f"/v1/stocking/proposals/{moved['proposal_id']}/reject", {"reason": "gone"}, now=NOW)
    assert (rejected["state"], rejected["decision"]) == ("rejected", "gone")
    # A new run supersedes what was left of the one before.
    client.post("/v1/stocking/runs", {"budget_minor": 0}, now=NOW)
    states = {one["state"] for one in proposals(client, run_id=run["run_id"])}
    assert states == {"accepted", "rejected", "superseded"}
    assert refusal(client.post, f"/v1/stocking/runs/{10**6}/accept", {}).status == 403
    assert refusal(agent.post, f"/v1/stocking/runs/{10**6}/accept", {}).status == 404


def test_a_forecast_is_whole_before_it_is_used_and_measured_after(network, refusal) -> None:
    client = network.client
    number = forecast(client, line("PUMP", "B", [0.5, 0.5], days=10), complete=False)
    path = f"/v1/stocking/forecasts/{number}"
    twice = client.post(f"{path}/lines", {"lines": [line("PUMP", "B"), line("FILTER", "B", days=400)]}, now=NOW)
    assert twice == {"taken": 1, "there_already": 1}
    assert refusal(client.post, "/v1/stocking/runs", {"budget_minor": 0, "forecast_id": number}).status == 422
    for wrong, field in (
        ([line("PUMP", "B", [0.5, 0.4])], "body.lines.0"),
        ([line("NONE", "B")], "body.lines.0.sku"),
        ([line("PUMP", "B"), line("PUMP", "NONE")], "body.lines.1.warehouse"),
    ):
        problem = refusal(client.post, f"{path}/lines", {"lines": wrong})
        assert problem.status == 422
        assert field in str(problem.problem)
    late = (NOW + timedelta(days=1)).isoformat()
    assert refusal(client.post, "/v1/stocking/forecasts", {"method": "x", "as_of": late}, now=NOW).status == 422
    done = client.post(f"{path}/complete", {}, now=NOW)
    assert (done["lines"], done["completed_at"]) == (2, "2026-07-01T08:00:00Z")
    assert refusal(client.post, f"{path}/lines", {"lines": [line("PUMP", "A")]}).status == 409

    job = network.job()
    reservation = network.reserve(job, 3)
    used_at = NOW + timedelta(days=3)
    client.post(f"/v1/parts/reservations/{reservation['reservation_id']}/consume", {}, now=used_at)
    client.post("/v1/duties/run", {}, now=NOW + timedelta(days=11))
    pump, rest = client.pages(f"{path}/lines")
    assert (pump["used"], rest["used"]) == (3, None)
    (accuracy,) = client.pages("/v1/stocking/accuracy")
    assert (accuracy["lines"], accuracy["used"], accuracy["absolute_error"]) == (1, 3, 2.5)
    assert accuracy["pinball_95"] == pytest.approx(0.95 * 2)
    assert accuracy["covered_95"] == 0
    assert client.get(path)["scored_at"] is None
    client.post("/v1/duties/run", {}, now=NOW + timedelta(days=401))
    assert client.get(path)["scored_at"]


def test_stock_that_nobody_uses(network, refusal) -> None:
    client = network.client
    network.receive("A", 8, "FILTER")
    assert list(client.pages("/v1/stocking/idle", now=NOW)) == []
    later = NOW + timedelta(days=366)
    reservation = client.reserve(network.job(), "FILTER", 1, now=later - timedelta(days=9))
    client.post(f"/v1/parts/reservations/{reservation['reservation_id']}/consume", {}, now=later - timedelta(days=8))
    idle = {(one["warehouse"], one["sku"]): one for one in client.pages("/v1/stocking/idle", now=later)}
    assert {key: one["kind"] for key, one in idle.items()} == {
        ("B", "PUMP"): "dead", ("Q", "PUMP"): "dead", ("A", "FILTER"): "slow",
    }  # fmt: skip
    dead, slow = idle["B", "PUMP"], idle["A", "FILTER"]
    assert (dead["age_days"], dead["last_used_at"], dead["value_minor"]) == (366, None, 9 * 12_000)
    assert (slow["cover_months"], slow["used_last_year"], slow["on_hand"]) == (84, 1, 7)
    assert list(client.pages("/v1/stocking/idle", now=later, kind="slow", warehouse="B")) == []
    assert refusal(client.get, "/v1/stocking/idle", kind="dead").status == 422
    (summed,) = client.get("/v1/stocking/idle/summary", warehouse="B", now=later)
    assert (summed["kind"], summed["pieces"], summed["value_minor"]) == ("dead", 9, 9 * 12_000)
