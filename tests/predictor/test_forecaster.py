"""Train, score, raise: over a real database and the real API."""

from datetime import timedelta

import pytest

from careloop.database.engine import connect
from careloop.errors import CareloopError
from careloop.stepping import parse_time
from predictor.forecaster import Forecaster
from predictor.settings import PredictorSettings

UNTIL = 40 * 24
LATER = UNTIL + 15 * 24


@pytest.fixture
def connection(api):
    with connect(api.database_url) as connection:
        yield connection


@pytest.fixture
def forecaster(api, connection, tmp_path):
    def make(**settings):
        settings = {"predictor_model_dir": tmp_path / "models", "predictor_grid_hours": 12, **settings}
        return Forecaster(PredictorSettings(**settings), lambda: connection, api.client())

    return make


@pytest.fixture
def pumps(park):
    pumps = park(assets=8, hours=LATER).with_failures(16)
    pumps.fail_seal(3, UNTIL + 100)
    return pumps


def tickets(api, **query):
    return list(api.client("admin").pages("/v1/tickets", **query))


def test_a_ticket_opens_before_the_failure_with_its_evidence_and_only_once(settle, forecaster, pumps, api, at):
    settle(pumps, UNTIL)
    predictor = forecaster()
    models, reasons = predictor.train(at(UNTIL))
    assert models == 1
    assert reasons == ["pump/valve: 0 failures on record, a model needs 5"]
    since = UNTIL
    opened = {}
    for until in range(UNTIL, UNTIL + 100, 6):
        settle(pumps, until, since)
        since = until
        assets, count = predictor.score(at(until))
        assert assets == 8
        if count:
            opened[until] = count
    own = [ticket for ticket in tickets(api) if ticket["serial"] == "PUMP-3"]
    assert len(own) == 1
    assert len(tickets(api)) == sum(opened.values()) <= 2
    ticket = own[0]
    assert (ticket["kind"], ticket["component"], ticket["cause"]) == ("preventive", "seal", "component:seal")
    opened_at = (UNTIL + 100) - (at(UNTIL + 100) - parse_time(ticket["opened_at"])) / timedelta(hours=1)
    assert UNTIL + 40 <= opened_at < UNTIL + 100
    evidence = ticket["evidence"]
    assert evidence["probability"] >= evidence["threshold"] >= 0.2
    assert evidence["horizon_hours"] == 48
    assert evidence["act_by"] == (parse_time(ticket["opened_at"]) + timedelta(hours=48)).isoformat()
    assert parse_time(ticket["due_by"]).isoformat() == evidence["act_by"]
    costs = dict(evidence["costs"])
    assert costs.pop("expected_failure_minor") == pytest.approx(evidence["probability"] * 50_000, abs=5)
    assert costs == {
        "failure_minor": 50_000,
        "planned_minor": 10_000,
        "break_even_probability": 0.2,
        "currency": "EUR",
    }
    assert evidence["model"]["sha256"]
    assert evidence["readings"][0]["source"] in {"metric:vibration_mm_s", "event:E7"}
    assert evidence["readings"][0]["probability_without"] < evidence["probability"]
    assert "What speaks for it" in ticket["description"]
    assert "500.00 EUR" in ticket["description"]


@pytest.fixture
def alarmed(settle, forecaster, pumps, at):
    """A predictor that has just raised the ticket of pump 3, twelve hours before its seal fails."""
    settle(pumps, UNTIL)
    forecaster().train(at(UNTIL))
    settle(pumps, UNTIL + 88, UNTIL)
    predictor = forecaster()
    assert predictor.score(at(UNTIL + 88))[1] >= 1
    return predictor


@pytest.fixture
def go_on(settle, pumps):
    """Lets the pumps run on after the alarm, until so many hours after the training."""
    return lambda hours: settle(pumps, UNTIL + hours, UNTIL + 88)


def own_tickets(api):
    return [ticket for ticket in tickets(api) if ticket["serial"] == "PUMP-3"]


def test_a_restarted_predictor_remembers_its_open_case(alarmed, forecaster, go_on, api, at):
    before = own_tickets(api)[0]
    go_on(91)
    assert forecaster().score(at(UNTIL + 91)) == (8, 0)
    assert len(own_tickets(api)) == 1
    events = list(api.client("admin").pages(f"/v1/tickets/{before['ticket_id']}/events"))
    assert [event["kind"] for event in events] == ["opened"], "an open case must not be told the same again and again"


def test_a_case_whose_number_was_lost_in_a_crash_is_found_again(alarmed, forecaster, api, at, connection):
    connection.execute("UPDATE prediction.score SET ticket_id = NULL")
    assert forecaster().score(at(UNTIL + 88))[1] == 0
    assert len(own_tickets(api)) == 1
    remembered = connection.execute("SELECT ticket_id FROM prediction.score WHERE ticket_id IS NOT NULL").fetchall()
    assert own_tickets(api)[0]["ticket_id"] in {row["ticket_id"] for row in remembered}


def test_after_no_fault_found_it_is_quiet_for_the_stated_time(alarmed, forecaster, go_on, api, at):
    number = own_tickets(api)[0]["ticket_id"]
    move = {"to": "resolved", "outcome": "no_fault_found"}
    api.client("agent").post(f"/v1/tickets/{number}/transitions", move, now=at(UNTIL + 89))
    go_on(91)
    stubborn = forecaster(predictor_quiet_odds_ratio=1e9)
    assert stubborn.score(at(UNTIL + 91))[1] == 0
    assert stubborn.score(at(UNTIL + 91))[1] == 0
    assert forecaster(predictor_quiet_horizons=0).score(at(UNTIL + 91))[1] == 1
    assert len(own_tickets(api)) == 2


def test_a_component_that_has_failed_is_not_foreseen(alarmed, forecaster, go_on, api, at):
    number = own_tickets(api)[0]["ticket_id"]
    api.client("agent").post(f"/v1/tickets/{number}/transitions", {"to": "cancelled"}, now=at(UNTIL + 89))
    go_on(101)
    assert forecaster().score(at(UNTIL + 101))[1] == 0
    assert len(own_tickets(api)) == 1


def test_scores_stand_in_the_database(alarmed, api, connection, at):
    rows = connection.execute("SELECT * FROM prediction.score ORDER BY asset_id").fetchall()
    assert len(rows) == 8
    assert {row["as_of"] for row in rows} == {at(UNTIL + 88)}
    assert {row["component"] for row in rows} == {"seal"}
    (own,) = [row for row in rows if row["ticket_id"] == own_tickets(api)[0]["ticket_id"]]
    assert own["probability"] == pytest.approx(own_tickets(api)[0]["evidence"]["probability"], abs=1e-4)


def test_without_models_nothing_is_scored(settle, forecaster, pumps, at):
    settle(pumps, 100)
    assert forecaster().score(at(100)) == (0, 0)
    assert forecaster().has_models(at(100)) is False


def test_without_the_api_nothing_is_half_done(forecaster, connection, tmp_path, at):
    from careloop.client import CareloopClient
    from careloop.stack.ports import free_port

    client = CareloopClient(f"http://127.0.0.1:{free_port()}", "none")
    lonely = Forecaster(PredictorSettings(predictor_model_dir=tmp_path), lambda: connection, client)
    with pytest.raises(CareloopError, match="does not answer"):
        lonely.train(at(0))
    assert connection.execute("SELECT count(*) AS rows FROM prediction.model").fetchone()["rows"] == 0


def test_a_warranty_is_announced_once_per_term(settle, forecaster, park, api, at):
    settle(park(assets=2, hours=24), 24)
    admin = api.client("admin")
    today = at(0).date()
    for serial, days in (("PUMP-0", 30), ("PUMP-0", 31), ("PUMP-1", 0), ("PUMP-1", -1)):
        term = {
            "name": f"basic {days}",
            "starts_on": (today - timedelta(days=365)).isoformat(),
            "ends_on": (today + timedelta(days=days)).isoformat(),
        }
        admin.post(f"/v1/assets/{serial}/warranty-terms", term, now=at(0))
    assert forecaster().sweep_warranties(at(1)) == 2
    assert forecaster().sweep_warranties(at(2)) == 0
    assert forecaster().sweep_warranties(at(25)) == 1
    found = tickets(api, kind="warranty_expiry")
    assert sorted(ticket["title"] for ticket in found) == [
        f"Warranty basic {days} ends on {today + timedelta(days=days)}" for days in (0, 30, 31)
    ]
    assert all(ticket["evidence"]["days_left"] in {0, 30} for ticket in found)
    assert forecaster(predictor_warranty_days_ahead=60).sweep_warranties(at(26)) == 0
