"""Late readings, compressed or settled days, what is kept how long, and what `careloop storage` says of it."""

from datetime import UTC, datetime, timedelta

import orjson

from careloop.contract.senml import Reading
from careloop.database.engine import connect, detect_engine
from ingest.report.forecast import forecast
from ingest.report.measure import measure
from ingest.report.text import report
from ingest.storage.policy import StoragePolicy
from ingest.storage.retention import Retention

# The fixture's `line.now`.
NOW = datetime(2026, 6, 30, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2026, 5, 28, tzinfo=UTC)
ROLLED_UP = (
    "SELECT bucket, asset_id, metric_id, readings, value_sum, value_min, value_max FROM telemetry.{} ORDER BY 1, 2, 3"
)
RECOMPUTED = """
    SELECT date_trunc('{}', time, 'UTC'), asset_id, metric_id, count(*), sum(value), min(value), max(value)
    FROM telemetry.reading GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def readings_of(start: datetime, hours: int, value: float = 1.0) -> list[Reading]:
    return [Reading(start.timestamp() + i * 600, "temperature", value + i % 7 / 4, "Cel") for i in range(hours * 6)]


def compress(line) -> None:
    """Put every day but the last two into the shape of old days."""
    if detect_engine(line.connection).name == "timescaledb":
        line.rows("SELECT compress_chunk(c) FROM show_chunks('telemetry.reading', older_than => '2026-06-28Z') AS c")
    else:
        retention = line.maintenance(compress_after_days=2).retention
        while retention.settle(NOW):
            pass


def assert_rolled_up(line) -> None:
    assert line.rows(ROLLED_UP.format("hourly")) == line.rows(RECOMPUTED.format("hour"))
    assert line.rows(ROLLED_UP.format("daily")) == line.rows(RECOMPUTED.format("day"))
    assert line.rows("SELECT day FROM telemetry.daily_due WHERE day < '2026-06-30Z'") == []


def test_readings_thirty_days_late_land_in_old_days_and_in_the_rollups(line) -> None:
    line.write(
        *(line.telemetry(serial, readings_of(START + day * DAY, 24)) for serial in ("A1", "A2") for day in range(33))
    )
    line.maintenance().run(NOW)
    before = line.rows("SELECT count(*), sum(value) FROM telemetry.reading")
    compress(line)
    assert line.rows("SELECT count(*), sum(value) FROM telemetry.reading") == before
    assert_rolled_up(line)
    # A gateway was away for thirty days, and is older than anything that is not compressed.
    late = NOW - 30 * DAY
    stored = line.write(
        line.telemetry("A1", readings_of(late, 30, value=40.0)), line.telemetry("A3", readings_of(late - 2 * DAY, 1))
    )
    assert stored.readings == 186
    line.maintenance().run(NOW)
    assert_rolled_up(line)
    assert line.rows("SELECT value_max FROM telemetry.daily WHERE bucket = '2026-06-01' AND asset_id = 1") == [(41.5,)]
    # And once more, after old days were put into shape again.
    compress(line)
    line.write(line.telemetry("A4", readings_of(late, 1)))
    line.maintenance().run(NOW)
    assert_rolled_up(line)


def test_late_readings_from_before_the_retention_are_refused_and_undo_no_rollup(line) -> None:
    line.write(*(line.telemetry("A1", readings_of(START + day * DAY, 24)) for day in range(33)))
    # Without policies, whose jobs would go by the real clock.
    line.maintenance().roll_up(NOW)
    before = line.rows(ROLLED_UP.format("hourly")), line.rows(ROLLED_UP.format("daily"))
    line.connection.execute("SELECT telemetry.drop_readings_before('2026-06-20Z')")
    # Within what is kept when it was sent, and taken by retention before it was rolled up.
    line.connection.execute("SELECT telemetry.ensure_reading_day('2026-06-12')")
    line.connection.execute("INSERT INTO telemetry.reading VALUES ('2026-06-12 10:00Z', 1, 1, 500)")
    line.connection.execute("INSERT INTO telemetry.rollup_due (bucket) VALUES ('2026-06-12 10:00Z')")
    line.maintenance(keep_days=11).roll_up(NOW)
    assert (line.rows(ROLLED_UP.format("hourly")), line.rows(ROLLED_UP.format("daily"))) == before


def test_an_hour_and_a_day_that_are_not_over_are_in_the_rollups(line) -> None:
    line.write(line.telemetry("A1", readings_of(NOW - 3 * HOUR, 3)))
    line.maintenance().run(NOW)
    line.write(line.telemetry("A1", [Reading((NOW - timedelta(seconds=4)).timestamp(), "temperature", 70.0, "Cel")]))
    if detect_engine(line.connection).name == "postgresql":
        line.maintenance().run(NOW)
    assert_rolled_up(line)
    # The queue keeps one word of an hour that waits, however often it is touched.
    for second in range(5):
        at = (NOW - timedelta(seconds=100 + second)).timestamp()
        line.write(line.telemetry("A1", [Reading(at, "temperature", 1.0, "Cel")]))
    line.maintenance().run(NOW)
    assert line.rows("SELECT count(*) <= 1 FROM telemetry.rollup_due") == [(True,)]
    line.maintenance().run(NOW + 13 * HOUR)
    assert line.rows("SELECT count(*) FROM telemetry.rollup_due") == [(0,)]
    assert line.rows("SELECT count(*) FROM telemetry.daily_due") == [(0,)]
    assert_rolled_up(line)


def test_identities_are_kept_as_long_as_a_message_may_come_again(line) -> None:
    sent = [line.telemetry("A1", readings_of(START + i * HOUR, 1)) for i in range(2)]
    line.write(*sent)
    line.now = NOW + 50 * DAY
    sent += [line.telemetry("A1", readings_of(START + i * HOUR, 1)) for i in range(2, 4)]
    line.write(*sent[2:])
    keep = {"keep_identities": 60 * DAY}
    line.maintenance(**keep).run(NOW + 59 * DAY)
    assert line.write(*sent).duplicates == 4
    line.maintenance(**keep).run(NOW + 61 * DAY)
    assert line.rows("SELECT count(*) FROM telemetry.message") == [(2,)]
    assert line.write(*sent[2:]).duplicates == 2
    assert line.rows("SELECT count(*) FROM telemetry.reading") == [(24,)]


def test_many_rows_leave_in_batches_and_what_is_left_goes_on_at_once(line, monkeypatch) -> None:
    monkeypatch.setattr("ingest.storage.retention.MOST_ROWS", 7)
    monkeypatch.setattr("ingest.storage.retention.MOST_BATCHES", 3)
    line.connection.execute(
        "INSERT INTO telemetry.message (message_id, received_at, asset_id, readings, events) "
        "SELECT gen_random_uuid(), '2026-01-01Z', 1, 0, 0 FROM generate_series(1, 40)"
    )
    policy = StoragePolicy(keep_identities=60 * DAY)
    retention = Retention(line.connection, detect_engine(line.connection), policy)
    left = []
    for _ in range(3):
        retention.run(NOW)
        left += line.rows("SELECT count(*)::integer FROM telemetry.message")
    assert left == [(19,), (0,), (0,)]


def test_events_dead_letters_and_results_leave_by_their_age(line) -> None:
    for days in (1, 100, 400):
        time = NOW - days * DAY
        line.now = time
        line.write(
            line.delivery("careloop/v1/A1/event", orjson.dumps({"time": time.isoformat(), "code": f"E{days}"})),
            line.delivery("careloop/v1/A1/telemetry", b"no message %d" % days),
        )
        line.connection.execute(
            "INSERT INTO telemetry.command_result "
            "(command_id, agent_id, status, reason, output, finished_at, received_at) "
            "VALUES (gen_random_uuid(), 'A1', 'done', '', '{}', %(time)s, %(time)s)",
            {"time": time},
        )
    keep = {"keep_events": 200 * DAY, "keep_dead_letters": 90 * DAY, "keep_command_results": 365 * DAY}
    line.maintenance(**keep).run(NOW)
    assert line.rows("SELECT code FROM telemetry.event ORDER BY code") == [("E1",), ("E100",)]
    assert line.rows("SELECT count(*) FROM telemetry.dead_letter") == [(1,)]
    assert line.rows("SELECT count(*) FROM telemetry.command_result") == [(2,)]
    line.maintenance().run(NOW + 4000 * DAY)
    assert line.rows("SELECT count(*) FROM telemetry.event") == [(2,)]


def test_rollups_have_an_age_of_their_own(line) -> None:
    line.write(*(line.telemetry("A1", readings_of(START + day * DAY, 24)) for day in range(33)))
    line.maintenance().run(NOW)
    keep = {"keep_hourly": 20 * DAY, "keep_daily": 30 * DAY}
    line.maintenance(keep_days=10, **keep).run(NOW)
    if detect_engine(line.connection).name == "timescaledb":
        assert line.rows(
            "SELECT relation, age FROM telemetry.storage_jobs() WHERE proc_name = 'policy_retention' ORDER BY 1"
        ) == [("daily", 30 * DAY), ("hourly", 20 * DAY), ("reading", 10 * DAY)]
        line.maintenance(keep_days=10).run(NOW)
        assert line.rows(
            "SELECT relation, age FROM telemetry.storage_jobs() WHERE proc_name = 'policy_retention' ORDER BY 1"
        ) == [("reading", 10 * DAY)]
    else:
        oldest = [line.rows(f"SELECT min({what}) FROM telemetry.{table}")[0][0]
                  for what, table in (("time", "reading"), ("bucket", "hourly"), ("bucket", "daily"))]  # fmt: skip
        assert oldest == [datetime(2026, 6, day, tzinfo=UTC) for day in (20, 10)] + [datetime(2026, 5, 31, tzinfo=UTC)]


def test_the_last_reading_of_each_series_is_known_after_its_hour(line) -> None:
    line.write(line.telemetry("A1", readings_of(START, 30)), line.telemetry("A2", readings_of(START, 2)))
    line.maintenance().run(NOW)
    line.write(line.telemetry("A1", [Reading(START.timestamp() + 3 * 3600 + 1, "temperature", 99.0, "Cel")]))
    line.maintenance().run(NOW)
    line.write(line.telemetry("A2", [Reading(START.timestamp() + 2 * 3600, "temperature", 55.0, "Cel")]))
    line.maintenance().run(NOW)
    assert line.rows("SELECT asset_id, time, value FROM telemetry.latest ORDER BY 1") == line.rows(
        "SELECT DISTINCT ON (asset_id) asset_id, time, value FROM telemetry.reading ORDER BY asset_id, time DESC"
    )


def test_the_report_tells_what_is_there(line) -> None:
    def told(policy: StoragePolicy, limit_bytes: float | None) -> str:
        line.connection.execute("ANALYZE")
        storage = measure(line.connection, detect_engine(line.connection), NOW)
        return report(storage, policy, forecast(storage, policy, limit_bytes), limit_bytes)

    policy = StoragePolicy(compress_after=2 * DAY)
    assert "No readings are stored yet" in told(policy, None)
    line.write(
        *(line.telemetry(serial, readings_of(START + day * DAY, 24)) for serial in ("A1", "A2") for day in range(33))
    )
    waiting = told(policy, 1e9)
    assert "Rollups of 792 hours and 0 days are out of date, the oldest of 2026-05-28 00:00 UTC" in waiting
    line.maintenance().run(NOW)
    compress(line)
    line.connection.execute("VACUUM ANALYZE")
    storage = measure(line.connection, detect_engine(line.connection), NOW)
    assert storage.reading.readings == 33 * 288
    assert (storage.reading.settled_days, storage.reading.days) == (31, 33)
    assert storage.reading.settled_readings == 31 * 288
    assert storage.readings_by_day == [(datetime(2026, 6, day, tzinfo=UTC), 288) for day in range(23, 30)]
    text = told(policy, 1e9)
    assert "Readings of 31 of 33 days are" in text
    assert "2026-06-29" in text
    assert "At 288 readings a day the database grows by" in text
    assert "It reaches 1.0 GB in" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "Retention lets it grow to about" in told(StoragePolicy(keep_readings=90 * DAY), 1e12)
    assert "It stays below 1.0 TB." in told(StoragePolicy(keep_readings=90 * DAY), 1e12)


def test_a_day_that_somebody_reads_is_put_in_order_later(line) -> None:
    if detect_engine(line.connection).name == "timescaledb":
        return
    line.write(*(line.telemetry("A1", readings_of(START + day * DAY, 24)) for day in range(3)))
    retention = line.maintenance(compress_after_days=2).retention
    with connect(line.url) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM telemetry.reading_20260528")
        assert retention.settle(NOW) == 0
    assert retention.settle(NOW) == 2
    assert line.rows("SELECT count(*) FROM telemetry.reading") == [(432,)]
