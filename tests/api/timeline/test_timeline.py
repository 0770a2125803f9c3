"""Everything that happened to a machine in one call: in order, page by page, and only to whom it belongs."""

import pytest

from api.timeline.rules import KINDS
from careloop.database.engine import connect
from tests.api.access.strangers import make_world

NOW = "2026-09-01T12:00:00Z"
# What there is to see of a machine, beside what the world of two customers has already.
HAPPENED = """
UPDATE service.asset SET produced_on = '2026-05-01', sold_on = '2026-06-20', firmware = '1.0' WHERE serial = 'OURS-1';
INSERT INTO service.asset_owner (asset_id, customer_id, from_at, reason, recorded_by, recorded_at)
    SELECT asset_id, customer_id, '2026-07-01Z', 'registered', 'us', now() FROM service.asset;
INSERT INTO service.asset_firmware (asset_id, module, version, at, source, recorded_by)
    SELECT asset_id, 'machine', '1.0', '2026-07-02Z', 'hand', 'us' FROM service.asset;
INSERT INTO service.ticket_event (ticket_id, at, actor, kind, detail)
    SELECT ticket_id, '2026-07-03Z', 'us', 'state', '{"from": "open", "to": "scheduled"}' FROM service.ticket;
INSERT INTO telemetry.metric (name, unit, learned, first_seen_at)
    VALUES ('running_hours', 'h', false, '2026-06-01Z'), ('pressure_bar', 'bar', false, '2026-06-01Z');
INSERT INTO telemetry.latest SELECT asset_id, metric_id, '2026-08-30Z', 1 FROM service.asset, telemetry.metric;
-- Half an hour an hour from 10 June on, silent from 1 to 10 July.
INSERT INTO telemetry.daily (bucket, asset_id, metric_id, readings, value_sum, value_min, value_max)
    SELECT day, asset_id, metric_id, 24, 1, 1, extract(epoch FROM day - '2026-06-10Z') / 7200
    FROM service.asset, telemetry.metric, generate_series('2026-06-10Z'::timestamptz, '2026-08-30Z', '1 day') AS day
    WHERE day < '2026-07-01Z' OR day >= '2026-07-10Z';
INSERT INTO telemetry.hourly (bucket, asset_id, metric_id, readings, value_sum, value_min, value_max)
    SELECT '2026-06-10T07:00Z', asset_id, metric_id, 1, 1, 1, 1 FROM service.asset, telemetry.metric;
INSERT INTO telemetry.event (time, asset_id, code)
    SELECT '2026-07-04Z', asset_id, 'E' || n FROM service.asset, generate_series(1, 5) AS n;
INSERT INTO telemetry.agent_state (agent_id, online, changed_at) SELECT serial, false, '2026-08-31Z' FROM service.asset
    ON CONFLICT (agent_id) DO UPDATE SET online = false, changed_at = excluded.changed_at;
"""


@pytest.fixture
def world(api):
    with connect(api.database_url) as connection:
        made = make_world(connection)
        connection.execute(HAPPENED)
    return made


def _all(client_get, **query) -> list:
    entries, after = [], None
    while True:
        page = client_get("/v1/assets/OURS-1/timeline", **query, after=after)
        entries += page["items"]
        after = page["next"]
        if after is None:
            return entries


def test_a_machine_s_story(api, world) -> None:
    with api.client("agent") as agent:

        def get(path, **query):
            return agent.get(path, now=_now(), **query)

        whole = _all(get)
        times = [entry["at"] for entry in whole]
        assert times == sorted(times, reverse=True)
        titles = [(entry["at"][:10], entry["kind"], entry["title"]) for entry in whole]
        for told in (
            ("2026-05-01", "asset", "produced"),
            ("2026-06-10", "milestone", "first reading"),
            ("2026-07-01", "offline", "silent for 9 days"),
            ("2026-07-01", "ticket", "ours case"),
            ("2026-07-01", "failure", "pump failed"),
            ("2026-07-01", "visit", "visit planned"),
            ("2026-07-02", "firmware", "machine runs 1.0"),
            ("2026-07-03", "ticket", "ours case: scheduled"),
            ("2026-07-04", "event", "E3"),
            ("2026-07-22", "milestone", "500 running hours"),
            ("2026-08-31", "offline", "agent offline since then"),
        ):
            assert told in titles, titles
        assert whole[titles.index(("2026-06-10", "milestone", "first reading"))]["at"] == "2026-06-10T07:00:00Z"
        # Page by page the same, whatever happened at one instant; kind by kind the same, put together.
        for limit in (1, 3):
            assert _all(get, limit=limit) == whole
        by_kind = [entry for kind in KINDS for entry in _all(get, kinds=kind)]
        assert sorted(map(str, by_kind)) == sorted(map(str, whole))
        assert len({str(entry) for entry in whole}) == len(whole)
        # A span, its end left out; and what is to come, when asked for.
        july = _all(get, **{"from": "2026-07-02T00:00:00Z", "to": "2026-07-04T00:00:00Z"})
        assert [entry["title"] for entry in july] == ["ours case: scheduled", "machine runs 1.0"]
        assert "warranty" in {e["kind"] for e in _all(get, to="9999-12-31T23:59:59Z", **{"from": NOW})}
        for query, field in (({"kinds": "ticket,nonsense"}, "query.kinds"), ({"after": "bm9uc2Vuc2U"}, "query.after")):
            with pytest.raises(Exception, match=field):
                get("/v1/assets/OURS-1/timeline", **query)


def _now():
    from datetime import datetime

    return datetime.fromisoformat(NOW)


@pytest.mark.parametrize("role", ["customer", "partner_manager", "technician"])
def test_who_sees_a_part_only_sees_their_own(api, world, role) -> None:
    from careloop.client import CareloopClient, ProblemError

    with CareloopClient(api.url, world.keys[role]) as client:
        mine = _all(lambda path, **query: client.get(path, now=_now(), **query))
        kinds = {entry["kind"] for entry in mine}
        assert {"ticket", "failure", "event", "job"} <= kinds
        # What the machine said before it was theirs is none of a customer's business.
        assert ("milestone", "first reading") in {(e["kind"], e["title"]) for e in mine} or role == "customer"
        assert "claim" not in kinds
        with pytest.raises(ProblemError) as refused:
            client.get("/v1/assets/STRANGER-1/timeline", now=_now())
        assert refused.value.status == 404
