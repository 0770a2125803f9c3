"""What each warehouse will need: from the ledger, from scores and from plans, told to the API."""

import argparse
import json
from datetime import UTC, datetime, timedelta

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect
from predictor.command import PARTS_COMMAND
from predictor.network import Network

NOW = datetime(2026, 7, 10, 8, tzinfo=UTC)


@pytest.fixture
def client(api):
    """A machine in the north, which has a partner, and one in the south, which has none."""
    component = {"skill": "pump", "labour_minutes": 60, "failure_cost_minor": 1, "planned_cost_minor": 1}
    with api.client("service") as client, api.client("admin") as admin:
        partner = admin.post("/v1/providers", {"code": "P1", "name": "Partner"})["provider_id"]
        for sku in ("SEAL", "FILTER", "BELT"):
            client.post("/v1/parts", {"sku": sku, "name": sku, "lead_time_days": 10})
        client.post("/v1/warehouses", {"code": "N", "name": "N", "kind": "partner", "territory": "north",
                                       "provider_id": partner})  # fmt: skip
        client.post("/v1/warehouses", {"code": "C", "name": "C", "kind": "central", "territory": "middle"})
        seal = {**component, "name": "seal", "sku": "SEAL", "quantity": 2}
        model = {"code": "P", "name": "P", "kind": "pump", "horizon_hours": 48, "components": [seal]}
        client.post("/v1/product-models", model)
        for serial, territory in (("P-1", "north"), ("P-2", "south")):
            site = client.post("/v1/sites", {"name": serial, "territory": territory})["site_id"]
            asset = {"serial": serial, "model": "P", "site_id": site, "installed_at": "2026-06-01T00:00:00Z"}
            client.post("/v1/assets", asset)
        plan = {"name": "Filters", "model": "P", "trigger": {"kind": "calendar", "every_days": 30}}
        client.post("/v1/plans", {**plan, "parts": [{"sku": "FILTER", "quantity": 3}]})
        yield client


@pytest.fixture
def past(api, client):
    """Belts were used in the north in two of the last six months; the seal of P-2 has a score."""
    with connect(api.database_url) as connection:
        for month, pieces in (("2026-01", 2), ("2026-04", 1)):
            for source, target in ((("supplier", None), ("free", 1)), (("free", 1), ("used", None))):
                connection.execute(
                    "INSERT INTO service.stock_movement (part_id, quantity, kind, from_place, from_warehouse_id,"
                    " to_place, to_warehouse_id, cause_kind, cause_key, at) "
                    "SELECT part_id, %s, %s, %s, %s, %s, %s, 'note', 'x', %s FROM service.part WHERE sku = 'BELT'",
                    (pieces, "receipt" if target[1] else "consume", *source, *target, f"{month}-05T00:00:00Z"),
                )
        model = connection.execute(
            "INSERT INTO prediction.model (kind, component, trained_as_of, file_sha256, feature_names, training_rows,"
            " training_failures, metrics, code_version, created_at) "
            "VALUES ('pump', 'seal', %(now)s, '', '{}', 1, 1, '{}', '', %(now)s) RETURNING model_id",
            {"now": NOW},
        ).fetchone()
        for serial, as_of in (("P-2", NOW), ("P-1", NOW - timedelta(days=9))):
            connection.execute(
                "INSERT INTO prediction.score (asset_id, component, as_of, model_id, probability) "
                "SELECT asset_id, 'seal', %s, %s, 0.4 FROM service.asset WHERE serial = %s",
                (as_of, model["model_id"], serial),
            )
        yield connection


def test_history_scores_and_plans_come_together(api, client, past) -> None:
    told = Network(lambda: past, client).foresee(NOW, review_days=30)
    lines = {
        (line["warehouse"], line["sku"]): line
        for line in client.pages(f"/v1/stocking/forecasts/{told.forecast_id}/lines")
    }
    assert set(lines) == {("N", "BELT"), ("N", "FILTER"), ("C", "FILTER"), ("C", "SEAL")}
    assert {line["covered_days"] for line in lines.values()} == {40}
    # Half a piece a month, and more of late; the south has nobody of its own.
    belt, seal, filters = lines["N", "BELT"], lines["C", "SEAL"], lines["N", "FILTER"]
    assert 0.2 < belt["from_history"] < 1.5
    assert belt["mean"] == pytest.approx(belt["from_history"], rel=0.01)
    assert (seal["from_predictions"], seal["enough_90"]) == (0.8, 2)
    assert seal["chance"][0] == pytest.approx(0.6, abs=0.1)
    # The 1st of July and the 31st are behind and ahead of the 10th; the 30th of August is too far.
    assert (filters["from_plans"], filters["enough_50"]) == (3, 3)
    forecast = client.get(f"/v1/stocking/forecasts/{told.forecast_id}")
    assert (forecast["as_of"], forecast["lines"]) == ("2026-07-10T08:00:00Z", 4)
    assert forecast["completed_at"]
    assert told.pieces["from_predictions"] == pytest.approx(0.8)

    # What somebody is on his way for already is certain, and not foreseen a second time.
    ticket = {"kind": "preventive", "serial": "P-2", "component": "seal", "cause": "component:seal", "title": "seal"}
    number = client.open_ticket(ticket, now=NOW)["ticket_id"]
    client.create_job({"ticket_id": number}, now=NOW)
    again = Network(lambda: past, client).foresee(NOW + timedelta(hours=1), review_days=30)
    (seal,) = client.pages(f"/v1/stocking/forecasts/{again.forecast_id}/lines", sku="SEAL")
    assert (seal["from_predictions"], seal["from_plans"]) == (0, 2)


def test_the_command_tells_an_api_on_the_systems_clock(serve_api, monkeypatch, capsys, tmp_path) -> None:
    with serve_api(clock="system") as api:
        monkeypatch.setenv("CARELOOP_DATABASE_URL", api.database_url)
        monkeypatch.setenv("CARELOOP_API_URL", api.url)
        monkeypatch.setenv("CARELOOP_API_KEY", api.keys["service"])
        parser = argparse.ArgumentParser()
        PARTS_COMMAND.configure(parser)
        assert PARTS_COMMAND.run(parser.parse_args(["forecast", "--review-days", "7", "--json"])) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["lines"] == 0
        with CareloopClient(api.url, api.keys["service"]) as client:
            assert client.get(f"/v1/stocking/forecasts/{told['forecast_id']}")["review_days"] == 7
