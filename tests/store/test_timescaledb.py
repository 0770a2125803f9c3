"""TimescaleDB's own features are in use, as its information views say."""

from datetime import UTC, datetime, timedelta

from careloop.contract.senml import Reading

TIMESCALEDB_ONLY = True
# The fixture's `line.now`.
NOW = datetime(2026, 6, 30, 12, 34, 56, tzinfo=UTC)
DAY = timedelta(days=1)
START = datetime(2026, 6, 1, tzinfo=UTC)


def days(line, count: int, start: datetime = START, serial: str = "A1") -> None:
    for day in range(count):
        first = (start + day * DAY).timestamp()
        line.write(line.telemetry(serial, [Reading(first + i * 240, "temperature", i / 8, "Cel") for i in range(360)]))


def policies(line) -> list[tuple]:
    return line.rows(
        """
        SELECT proc_name, hypertable_name, coalesce(config ->> 'compress_after', config ->> 'drop_after',
               config ->> 'start_offset', '') FROM timescaledb_information.jobs
        WHERE proc_name IN ('policy_compression', 'policy_retention', 'policy_refresh_continuous_aggregate')
        ORDER BY 1, 2
        """
    )


def test_readings_are_a_hypertable_of_days(line) -> None:
    days(line, 3)
    assert line.rows(
        "SELECT num_dimensions, compression_enabled, num_chunks FROM timescaledb_information.hypertables "
        "WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'reading'"
    ) == [(1, True, 3)]
    assert line.rows(
        "SELECT column_name, time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = 'reading'"
    ) == [("time", DAY)]


def test_compression_is_by_asset_and_metric(line) -> None:
    assert line.rows(
        """
        SELECT attname, segmentby_column_index, orderby_column_index, orderby_asc
        FROM timescaledb_information.compression_settings WHERE hypertable_name = 'reading' ORDER BY attname
        """
    ) == [("asset_id", 1, None, None), ("metric_id", 2, None, None), ("time", None, 1, False)]


def test_a_compressed_chunk_reads_the_same_and_takes_late_readings(line) -> None:
    days(line, 2)
    readings = "SELECT time, value FROM telemetry.reading ORDER BY time"
    before = line.rows(readings)
    line.rows("SELECT compress_chunk(c) FROM show_chunks('telemetry.reading') AS c")
    assert line.rows("SELECT is_compressed FROM timescaledb_information.chunks WHERE hypertable_name = 'reading'") == [
        (True,), (True,),
    ]  # fmt: skip
    size = line.rows(
        "SELECT before_compression_total_bytes > after_compression_total_bytes "
        "FROM hypertable_compression_stats('telemetry.reading')"
    )
    assert size == [(True,)]
    assert line.rows(readings) == before
    late = Reading((START + timedelta(hours=5, minutes=1)).timestamp(), "temperature", 77.0, "Cel")
    assert line.write(line.telemetry("A1", [late])).readings == 1
    assert len(line.rows(readings)) == len(before) + 1
    assert line.rows("SELECT count(*) FROM telemetry.reading WHERE value = 77") == [(1,)]
    line.maintenance().run(NOW)
    assert line.rows("SELECT value_max FROM telemetry.hourly WHERE bucket = '2026-06-01 05:00Z'") == [(77.0,)]


def test_rollups_are_continuous_aggregates_that_see_what_is_not_rolled_up_yet(line) -> None:
    assert line.rows(
        """
        SELECT view_name, hypertable_schema || '.' || hypertable_name = 'telemetry.reading', materialized_only
        FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'telemetry' ORDER BY view_name DESC
        """
    ) == [("hourly", True, False), ("daily", False, False)]
    days(line, 1)
    assert line.rows("SELECT sum(readings)::bigint FROM telemetry.hourly") == [(360,)]
    materialized = line.rows(
        "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
        "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'hourly'"
    )[0][0]
    assert line.rows(f"SELECT count(*) FROM {materialized}") == [(0,)]
    line.maintenance().run(NOW)
    assert line.rows(f"SELECT count(*) FROM {materialized}") == [(24,)]


def test_policies_follow_the_settings(line) -> None:
    refreshes = ("policy_refresh_continuous_aggregate",)
    line.maintenance(compress_after_days=30).run(NOW)
    assert [row[0] for row in policies(line)] == [*["policy_compression"] * 3, *refreshes * 2]
    assert sorted(row[2] for row in policies(line)[:3]) == ["30 days", "40 days", "40 days"]
    numbers = line.rows("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1")
    line.maintenance(compress_after_days=30).run(NOW)
    assert line.rows("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1") == numbers, "set anew for nothing"
    line.maintenance(compress_after_days=10, keep_days=90).run(NOW)
    assert [(row[0], row[2]) for row in policies(line)] == [
        *[("policy_compression", f"{days} days") for days in (40, 40, 10)],
        *[(refreshes[0], "88 days")] * 2,
        ("policy_retention", "90 days"),
    ]  # fmt: skip
    line.maintenance().run(NOW)
    assert [row[0] for row in policies(line)] == [*refreshes * 2]


def test_the_retention_policy_drops_old_chunks_when_it_runs(line) -> None:
    now = datetime.now(UTC)
    line.now = now
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days(line, 3, start=today - 40 * DAY)
    days(line, 2, start=today - 3 * DAY)
    line.maintenance(keep_days=10).retention.set_policies()
    job = line.rows("SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'")[0][0]
    line.connection.execute(f"CALL run_job({job})")
    assert line.rows("SELECT count(*), min(time) FROM telemetry.reading") == [(720, today - 3 * DAY)]


def test_the_compression_policy_compresses_old_chunks_when_it_runs(line) -> None:
    now = datetime.now(UTC)
    line.now = now
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days(line, 2, start=today - 20 * DAY)
    days(line, 1, start=today - 2 * DAY)
    line.maintenance(compress_after_days=7).retention.set_policies()
    job = line.rows(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression' "
        "AND hypertable_name = 'reading'"
    )[0][0]
    line.connection.execute(f"CALL run_job({job})")
    assert line.rows(
        "SELECT is_compressed FROM timescaledb_information.chunks WHERE hypertable_name = 'reading' "
        "ORDER BY range_start"
    ) == [(True,), (True,), (False,)]
    assert line.rows("SELECT count(*) FROM telemetry.reading") == [(1080,)]
