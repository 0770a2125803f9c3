"""What readers and writers of telemetry may rely on, whichever engine is underneath."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from careloop.contract.senml import Reading
from careloop.database.engine import connect

# The fixture's `line.now`.
NOW = datetime(2026, 6, 30, 12, 34, 56, tzinfo=UTC)
DAY = timedelta(days=1)
RECOMPUTED = """
    SELECT date_trunc('{bucket}', time, 'UTC') AS bucket, asset_id, metric_id,
           count(*) AS readings, sum(value) AS value_sum, min(value) AS value_min, max(value) AS value_max
    FROM telemetry.reading GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
KEPT = """
    SELECT bucket, asset_id, metric_id, readings, value_sum, value_min, value_max
    FROM telemetry.{rollup} ORDER BY 1, 2, 3
"""


def series(start: datetime, hours: int, every_minutes: int = 20, metric: str = "temperature", unit: str = "Cel"):
    """Readings from `start`; values are quarters, so that their sums are exact in whatever order they are added."""
    count = hours * 60 // every_minutes
    first = start.timestamp()
    return [Reading(first + i * every_minutes * 60, metric, (i * 7 % 40) / 4, unit) for i in range(count)]


def assert_rollups_are_right(line) -> None:
    for rollup, bucket in (("hourly", "hour"), ("daily", "day")):
        assert line.rows(KEPT.format(rollup=rollup)) == line.rows(RECOMPUTED.format(bucket=bucket)), rollup
    # TimescaleDB's rollups show an hour that is not over as it is; it waits.
    assert line.rows("SELECT bucket FROM telemetry.rollup_due WHERE bucket < '2026-06-30 12:00Z'") == []


def test_every_reading_is_stored_as_it_was_sent(line) -> None:
    sent = {
        serial: series(datetime(2015, 3, 1, tzinfo=UTC), 72, metric=metric, unit=unit)
        for serial, metric, unit in (("A1", "temperature", "Cel"), ("A2", "pressure", "bar"), ("A3", "unheard", "W"))
    }
    stored = line.write(
        *(
            line.telemetry(serial, readings[at : at + 60])
            for serial, readings in sent.items()
            for at in range(0, 216, 60)
        )
    )
    assert (stored.messages, stored.readings, stored.dead_letters) == (12, 648, 0)
    found = line.rows(
        """
        SELECT a.serial, m.name, extract(epoch FROM r.time)::float8, r.value
        FROM telemetry.reading r JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
        """
    )
    wanted = [(serial, r.metric, r.time_s, r.value) for serial, readings in sent.items() for r in readings]
    assert Counter(found) == Counter(wanted)
    assert line.rows("SELECT name, unit, learned FROM telemetry.metric ORDER BY name") == [
        ("pressure", "bar", False), ("temperature", "Cel", False), ("unheard", "W", True),
    ]  # fmt: skip


def test_a_message_counts_once_however_often_it_comes(line) -> None:
    one = line.telemetry("A1", series(NOW - DAY, 10))
    two = line.telemetry("A2", series(NOW - DAY, 10))
    first = line.write(one, two, one)
    assert (first.messages, first.duplicates, first.readings) == (2, 1, 60)
    again = line.write(two, one, line.telemetry("A1", series(NOW - 2 * DAY, 10)))
    assert (again.messages, again.duplicates, again.readings) == (1, 2, 30)
    assert line.rows(
        "SELECT count(*), count(DISTINCT (time, asset_id)) AS distinct_readings FROM telemetry.reading"
    ) == [(90, 90)]
    assert line.rows("SELECT worker, messages, duplicates, readings, dead_letters FROM telemetry.ingest_progress") == [
        ("w1", 3, 3, 90, 0)
    ]
    assert line.rows("SELECT readings FROM telemetry.message") == [(30,)] * 3


def test_what_cannot_be_stored_is_a_dead_letter_and_the_rest_of_the_pack_is_stored(line) -> None:
    at = NOW.timestamp() - 60
    mixed = line.telemetry(
        "A1",
        [
            Reading(at, "temperature", 300.0, "K"),
            Reading(at, "pressure", 1.0, "V"),
            Reading(946684799.0, "pressure", 1.0, "bar"),
            Reading(at + 3 * 86400, "pressure", 1.0, "bar"),
            Reading(at, "pressure", 2.0, "bar"),
        ],
    )
    unknown = line.telemetry("B9", [Reading(at, "pressure", 1.0, "bar")])
    broken = line.delivery("careloop/v1/A1/telemetry", b"{]")
    stored = line.write(mixed, unknown, broken)
    assert (stored.messages, stored.duplicates, stored.readings, stored.dead_letters) == (3, 0, 2, 5)
    assert line.rows("SELECT round(value::numeric, 6)::float8 FROM telemetry.reading ORDER BY 1") == [(2.0,), (26.85,)]
    assert line.rows("SELECT reason, payload, payload_bytes FROM telemetry.dead_letter ORDER BY reason") == [
        ("in_future", mixed.payload, len(mixed.payload)),
        ("malformed", b"{]", 2),
        ("too_old", mixed.payload, len(mixed.payload)),
        ("unknown_asset", unknown.payload, len(unknown.payload)),
        ("wrong_unit", mixed.payload, len(mixed.payload)),
    ]
    # Delivered again, nothing is kept twice.
    again = line.write(mixed, unknown, broken)
    assert (again.messages, again.duplicates, again.dead_letters) == (0, 3, 0)
    # Once the asset is registered, the same message is taken at once.
    line.connection.execute(
        "INSERT INTO service.asset (serial, model_id, installed_at, created_at) SELECT 'B9', model_id, now(), now() "
        "FROM service.product_model"
    )
    assert line.write(unknown).readings == 1


def test_a_message_that_the_database_refuses_stops_no_other(line) -> None:
    line.connection.execute("ALTER TABLE telemetry.event ADD CONSTRAINT no_poison CHECK (code <> 'poison')")
    events = [
        line.delivery(
            "careloop/v1/A1/event",
            orjson.dumps({"time": (NOW - i * DAY).isoformat(), "code": "poison" if i == 5 else "E"}),
        )
        for i in range(12)
    ]
    stored = line.write(*events)
    assert (stored.messages, stored.duplicates, stored.events, stored.dead_letters) == (12, 0, 11, 1)
    assert line.rows("SELECT reason, payload FROM telemetry.dead_letter") == [
        ("refused_by_database", events[5].payload)
    ]
    again = line.write(*events)
    assert (again.messages, again.duplicates, again.events) == (0, 12, 0)


def test_the_latest_state_counts(line) -> None:
    def state(online: bool, version: str):
        payload = orjson.dumps({"online": online, "agent_version": version, "detail": {"n": 1}})
        return line.delivery("careloop/v1/A2/state", payload)

    line.write(state(True, "1"), state(False, "1"))
    assert line.rows("SELECT online, agent_version FROM telemetry.agent_state") == [(False, "1")]
    early, line.now = state(True, "0"), NOW + timedelta(minutes=1)
    # The same bytes as before are a change again, and so no duplicate.
    line.write(state(True, "1"))
    line.write(early)
    assert line.rows("SELECT online, agent_version, detail, changed_at FROM telemetry.agent_state") == [
        (True, "1", {"n": 1}, line.now)
    ]
    assert line.rows("SELECT * FROM telemetry.ingest_progress") == []


def test_a_gateway_has_a_state_without_being_an_asset(line) -> None:
    stored = line.write(line.delivery("careloop/v1/gateway-7/state", orjson.dumps({"online": True})))
    assert stored.dead_letters == 0
    assert line.rows("SELECT agent_id, online FROM telemetry.agent_state") == [("gateway-7", True)]


def test_rollups_equal_recomputation_also_after_late_readings(line) -> None:
    start = datetime(2026, 6, 20, 5, 10, tzinfo=UTC)
    line.write(
        *(line.telemetry(serial, series(start, 50, metric=metric, unit="")) for serial in ("A1", "A2")
          for metric in ("temperature", "pressure")),
        line.telemetry("A3", series(NOW - timedelta(hours=3), 3)),
    )  # fmt: skip
    assert line.rows("SELECT count(DISTINCT bucket) > 50 FROM telemetry.rollup_due") == [(True,)]
    line.maintenance().run(NOW)
    assert_rollups_are_right(line)
    # Late: into hours already rolled up, into a day before all others, and into the hour that is not over.
    line.write(
        line.telemetry("A1", series(start + timedelta(minutes=3), 7)),
        line.telemetry("A4", series(start - 12 * DAY, 30)),
        line.telemetry("A3", [Reading((NOW - timedelta(seconds=5)).timestamp(), "temperature", 99.5, "Cel")]),
    )
    line.maintenance().run(NOW)
    assert_rollups_are_right(line)


def test_the_last_day_of_a_stretch_is_rolled_up_even_when_later_days_came_first(line) -> None:
    later = datetime(2026, 6, 10, 8, tzinfo=UTC)
    line.write(line.telemetry("A1", series(later, 5)))
    line.maintenance().run(NOW)
    line.write(line.telemetry("A1", series(later - 3 * DAY, 5)))
    line.maintenance().run(NOW)
    assert_rollups_are_right(line)


def test_retention_takes_whole_days_of_readings_and_leaves_rollups(line) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    line.write(*(line.telemetry("A1", series(start + day * DAY, 24)) for day in range(10)))
    # Without policies, whose jobs would go by the real clock.
    line.maintenance().roll_up(NOW)
    before = line.rows(KEPT.format(rollup="hourly")), line.rows(KEPT.format(rollup="daily"))
    dropped = line.rows("SELECT telemetry.drop_readings_before('2026-06-05 13:00Z')")
    assert dropped == [(4,)]
    assert line.rows("SELECT min(time), count(*) FROM telemetry.reading") == [(start + 4 * DAY, 6 * 72)]
    assert (line.rows(KEPT.format(rollup="hourly")), line.rows(KEPT.format(rollup="daily"))) == before
    # The days can be filled again: the store remembers a partition that is gone by now.
    line.write(line.telemetry("A2", series(start, 24)))
    assert line.rows("SELECT count(*) FROM telemetry.reading WHERE time < '2026-06-05'") == [(72,)]


def test_maintenance_never_rolls_up_what_retention_took(line) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    line.write(*(line.telemetry("A1", series(start + day * DAY, 24)) for day in range(29)))
    # Without policies, whose jobs would go by the real clock.
    line.maintenance().roll_up(NOW)
    before = line.rows(KEPT.format(rollup="hourly")), line.rows(KEPT.format(rollup="daily"))
    line.connection.execute("SELECT telemetry.drop_readings_before('2026-06-11')")
    # Something says that hours of the dropped days, and of one on the edge, had changed.
    line.connection.execute(
        "INSERT INTO telemetry.rollup_due (bucket) "
        "SELECT generate_series('2026-06-01'::timestamptz, '2026-06-15', '1 hour')"
    )
    line.maintenance(keep_days=20).roll_up(NOW)
    assert (line.rows(KEPT.format(rollup="hourly")), line.rows(KEPT.format(rollup="daily"))) == before
    assert line.rows("SELECT * FROM telemetry.rollup_due") == []


def test_readers_cannot_tell_the_engine(line, database_url: str) -> None:
    catalogue = """
        SELECT table_name, column_name, ordinal_position, data_type, udt_name
        FROM information_schema.columns
        WHERE table_schema = 'telemetry' AND table_name !~ '^reading_[0-9]{8}$'
        ORDER BY table_name, ordinal_position
    """
    routines = """
        SELECT routine_name, routine_type, pg_get_function_arguments(p.oid) FROM information_schema.routines r
        JOIN pg_proc p ON r.specific_name = p.proname || '_' || p.oid
        WHERE routine_schema = 'telemetry' ORDER BY routine_name
    """
    with connect(database_url) as reference:
        wanted = [[tuple(row.values()) for row in reference.execute(sql).fetchall()] for sql in (catalogue, routines)]
    assert [line.rows(catalogue), line.rows(routines)] == wanted
    assert len(wanted[0]) > 40


@pytest.mark.parametrize("bound", ["asset", "fleet"])
def test_a_machine_that_invents_names_does_not_fill_the_dictionary(line, bound: str) -> None:
    at = NOW.timestamp() - 60
    # 5 names an asset may teach, 20 the fleet: see the fixture.
    serials = ["A1"] if bound == "asset" else ["A1", "A2", "A3", "A4"]
    for serial in serials:
        readings = [Reading(at, f"name-{serial}-{i}", 1.0, "") for i in range(8)]
        stored = line.write(line.telemetry(serial, [*readings, Reading(at, "pressure", 1.0, "")]))
        assert (stored.readings, stored.dead_letters) == (6, 1)
    assert line.rows("SELECT count(*) FROM telemetry.metric WHERE learned") == [(5 * len(serials),)]
    assert line.rows("SELECT DISTINCT reason FROM telemetry.dead_letter") == [("too_many_metrics",)]
    if bound == "fleet":
        line.connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT 'A5', model_id, now(), now() FROM service.product_model"
        )
        assert line.write(line.telemetry("A5", [Reading(at, "one-more", 1.0, "")])).readings == 0
    # A declared name is always taken, and refused attempts used no numbers up.
    line.connection.execute("INSERT INTO service.metric (name, unit) VALUES ('declared-later', 'V')")
    assert line.write(line.telemetry("A1", [Reading(at, "declared-later", 1.0, "mV")])).readings == 1
    assert line.rows("SELECT max(metric_id) < 40 FROM telemetry.metric") == [(True,)]
    assert line.rows("SELECT value FROM telemetry.reading ORDER BY value LIMIT 1") == [(0.001,)]
