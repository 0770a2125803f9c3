"""Denials over HTTP, with what the machine said of its use frozen beside them."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from api.denials.rules import DENIAL_MACHINE, WORDS, Ground, misfit_of_span
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def desk(api):
    with api.client("agent") as client:
        model = {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": [{"name": "pump"}, {"name": "motor"}]}
        client.post("/v1/product-models", model)
        term = {"name": "maker", "starts_on": "2026-01-01", "ends_on": "2027-12-31"}
        asset = {"model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "warranty_terms": [term]}
        for serial in ("HD5-1", "HD5-2"):
            client.post("/v1/assets", {**asset, "serial": serial})
        yield client


@pytest.fixture
def pressed(api, desk) -> None:
    """Pressure once a minute for six hours of June 20th, beyond 150 bar in the last hour; by the hour since May."""
    with connect(api.database_url) as connection:
        connection.execute("SELECT telemetry.ensure_reading_day('2026-06-20')")
        connection.execute(
            "INSERT INTO telemetry.metric (name, unit, learned, first_seen_at) VALUES ('pressure', 'bar', true, now())"
        )
        connection.execute(
            "INSERT INTO telemetry.reading SELECT '2026-06-20Z'::timestamptz + n * interval '1 minute', a.asset_id,"
            " m.metric_id, CASE WHEN n >= 300 THEN 180 ELSE 120 END"
            " FROM generate_series(0, 359) n, telemetry.asset a, telemetry.metric m WHERE a.serial = 'HD5-1'"
        )
        connection.execute(
            "INSERT INTO telemetry.hourly SELECT '2026-05-01Z'::timestamptz + n * interval '1 hour', a.asset_id,"
            " m.metric_id, 60, 60 * 120, 20, CASE WHEN n % 100 = 0 THEN 190 ELSE 130 END"
            " FROM generate_series(0, 1199) n, telemetry.asset a, telemetry.metric m WHERE a.serial = 'HD5-1'"
        )
        connection.execute(
            "INSERT INTO telemetry.event SELECT '2026-06-20 05:30Z'::timestamptz, asset_id, 'OVERPRESSURE', 'error',"
            " '{\"bar\": 180}' FROM telemetry.asset WHERE serial = 'HD5-1'"
        )


def refused(call):
    with pytest.raises(ProblemError) as problem:
        call()
    return problem.value


DAY = {"metric": "pressure", "from": "2026-06-20T00:00:00Z", "to": "2026-06-20T06:00:00Z", "threshold": 150.0}
PATH = "/v1/assets/HD5-1/warranty/denials"


def test_a_denial_freezes_what_the_machine_said_until_a_lead_overturns_it(api, desk, pressed) -> None:
    ticket = desk.open_ticket({"kind": "repair", "serial": "HD5-1", "component": "pump", "title": "Leaks"}, now=NOW)
    ask = lambda **query: desk.get("/v1/assets/HD5-1/warranty", now=NOW, **query)  # noqa: E731 - said often
    assert ask(ticket_id=ticket["ticket_id"])["covered"] is True
    wish = {"ticket_id": ticket["ticket_id"], "reasons": ["misuse"], "explanation": "The relief valve was blocked.",
            "note": "third time", **DAY}  # fmt: skip
    denial = desk.post(PATH, wish, now=NOW)
    evidence = denial["evidence"]["telemetry"]
    assert {name: evidence[name] for name in ("counted", "total", "beyond", "extreme", "unit", "resolution")} == {
        "counted": "readings", "total": 360, "beyond": 60, "extreme": 180.0, "unit": "bar", "resolution": "raw",
    }  # fmt: skip
    assert (evidence["first_at"], evidence["last_at"]) == ("2026-06-20T05:00:00+00:00", "2026-06-20T05:59:00+00:00")
    assert 300 <= len(evidence["points"]) <= 500
    assert [event["code"] for event in evidence["events"]] == ["OVERPRESSURE"]
    text = denial["customer_text"]
    for part in ("manual rules out", "relief valve", "pressure above 150 bar in 60 of 360 readings", "180 bar"):
        assert part in text
    assert "third time" not in text

    # What was frozen stays, whatever becomes of the readings.
    with connect(api.database_url) as connection:
        connection.execute("DELETE FROM telemetry.reading")
    path = f"/v1/warranty-denials/{denial['denial_id']}"
    assert desk.get(path) == denial
    answer = ask(ticket_id=ticket["ticket_id"])
    assert (answer["covered"], answer["bearer"], answer["reasons"][0]["code"]) == (False, "customer", "denied")
    assert (answer["evidence"]["denial_id"], ask(component="pump")["covered"]) == (denial["denial_id"], True)
    again = {name: value for name, value in wish.items() if name not in DAY}
    assert refused(lambda: desk.post(PATH, again, now=NOW)).type == "/problems/denial-stands"

    owner_id = desk.post("/v1/customers", {"name": "Ann"})["customer_id"]
    other_id = desk.post("/v1/customers", {"name": "Bob"})["customer_id"]
    with connect(api.database_url) as connection:
        connection.execute("UPDATE service.asset SET customer_id = %s WHERE serial = 'HD5-1'", (owner_id,))
        connection.execute("UPDATE service.ticket SET customer_id = %s", (owner_id,))
    with api.scoped_client("customer", customer_id=owner_id) as owner:
        seen = owner.get(path)
        assert (seen["note"], seen["customer_text"], seen["evidence"]) == ("", text, denial["evidence"])
        assert [one["note"] for one in owner.pages(PATH)] == [""]
        assert refused(lambda: owner.post(f"{path}/overturn", {"reason": "please"})).status == 403
    with api.scoped_client("customer", customer_id=other_id) as other:
        assert refused(lambda: other.get(path)).status == 404
        assert refused(lambda: other.get(PATH)).status == 404

    with api.client("desk_lead") as lead:
        assert refused(lambda: desk.post(f"{path}/overturn", {"reason": "kind"})).status == 403
        overturned = lead.post(f"{path}/overturn", {"reason": "valve was ours"}, now=NOW)
        assert (overturned["state"], overturned["evidence"]) == ("overturned", denial["evidence"])
        again = refused(lambda: lead.post(f"{path}/overturn", {"reason": "again"}, now=NOW))
        assert (again.status, again.type) == (409, "/problems/warranty-denial-state")
    assert ask(ticket_id=ticket["ticket_id"])["covered"] is True
    kinds = [one["kind"] for one in desk.pages(f"/v1/tickets/{ticket['ticket_id']}/events")]
    assert [kind for kind in kinds if "den" in kind] == ["warranty_denied", "denial_overturned"]
    assert [one["denial_id"] for one in desk.pages("/v1/warranty-denials", state="overturned")] == [denial["denial_id"]]


def test_long_spans_are_counted_by_the_hour_and_bad_fields_are_named(desk, pressed) -> None:
    long = {**DAY, "from": "2026-05-01T00:00:00Z", "to": "2026-06-20T00:00:00Z"}
    denial = desk.post(PATH, {"reasons": ["misuse", "wear"], "component": "motor", **long}, now=NOW)
    evidence = denial["evidence"]["telemetry"]
    assert (evidence["counted"], evidence["total"], evidence["beyond"]) == ("hours", 1200, 12)
    assert (evidence["resolution"], evidence["readings"], evidence["extreme"]) == ("hourly", 72_000, 190.0)
    assert len(evidence["points"]) <= 500
    # Without a case it stands for the component, whoever asks.
    ask = lambda **query: desk.get("/v1/assets/HD5-1/warranty", now=NOW, **query)["covered"]  # noqa: E731
    assert (ask(component="motor"), ask(component="pump"), ask()) == (False, True, True)
    below = desk.post(PATH, {"reasons": ["other"], **long, "threshold": 25.0, "direction": "below"}, now=NOW)
    assert (below["evidence"]["telemetry"]["extreme"], below["evidence"]["telemetry"]["beyond"]) == (20.0, 1200)
    bare = desk.post(PATH, {"reasons": ["unauthorised_repair"]}, now=NOW)
    assert bare["evidence"] == {"telemetry": None, "file_ids": [], "sha256": None}

    stranger = desk.open_ticket({"kind": "repair", "serial": "HD5-2", "title": "Other"}, now=NOW)
    for field, change in {
        "body.reasons": {"reasons": []},
        "body.reasons.0": {"reasons": ["mood"]},
        "body.component": {"component": "wing"},
        "body.ticket_id": {"ticket_id": stranger["ticket_id"]},
        "body.metric": {"metric": "mood"},
        "body.to": {"to": "2026-07-01T00:00:00Z"},
        "body.from": {"from": "2026-06-20T06:00:00Z"},
        "body.threshold": {"threshold": 180.0},
        "body.file_ids.0": {"file_ids": [99]},
        "body": {"threshold": None},
    }.items():
        problem = refused(lambda change=change: desk.post(PATH, {"reasons": ["misuse"], **DAY, **change}, now=NOW))
        assert (problem.status, problem.problem["errors"][0]["field"]) == (422, field)
    silent = refused(lambda: desk.post(PATH.replace("HD5-1", "HD5-2"), {"reasons": ["misuse"], **DAY}, now=NOW))
    assert "sent no pressure" in silent.problem["detail"]


def test_rules() -> None:
    assert set(WORDS) == set(get_args(Ground))
    assert DENIAL_MACHINE.final == {"overturned"}
    assert misfit_of_span(NOW - HOUR, NOW, NOW) is None
    assert misfit_of_span(NOW - HOUR, NOW + HOUR, NOW)[0] == "to"
    assert misfit_of_span(NOW, NOW, NOW)[0] == "from"
    assert misfit_of_span(NOW - timedelta(days=3661), NOW, NOW)[0] == "from"
