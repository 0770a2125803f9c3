-- Rollups are compressed too: a row an hour is as much as sixty compressed readings, or five times less than before.
ALTER MATERIALIZED VIEW telemetry.hourly SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_id, metric_id',
    timescaledb.compress_orderby = 'bucket DESC'
);
ALTER MATERIALIZED VIEW telemetry.daily SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_id, metric_id',
    timescaledb.compress_orderby = 'bucket DESC'
);

-- Age at which a table's chunks are compressed by TimescaleDB's own job; zero never. A policy that is already so is left
-- alone.
CREATE PROCEDURE telemetry.set_compression_policy(relation regclass, age interval)
LANGUAGE plpgsql AS $$
DECLARE
    never constant interval := interval '0';
    in_force interval;
BEGIN
    SELECT (j.config ->> 'compress_after')::interval INTO in_force
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.continuous_aggregates a
        ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
    WHERE j.proc_name = 'policy_compression'
      AND coalesce(a.view_schema, j.hypertable_schema) || '.' || coalesce(a.view_name, j.hypertable_name)
          = (SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = relation);
    IF age IS DISTINCT FROM coalesce(in_force, never) THEN
        CALL public.remove_columnstore_policy(relation, if_exists => true);
        IF age > never THEN
            CALL public.add_columnstore_policy(relation, after => age, schedule_interval => interval '1 hour');
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE PROCEDURE telemetry.set_storage_policies(
    compress_after interval, keep_readings interval, keep_hourly interval, keep_daily interval)
LANGUAGE plpgsql AS $$
DECLARE
    never constant interval := interval '0';
    -- Rollups outlive what they are made of: a refresh must never reach back to where that was dropped.
    refresh_from constant interval := nullif(keep_readings, never) - interval '2 days';
    -- When hardly anything comes late to them any more.
    rollups_compress_after constant interval := CASE WHEN compress_after > never
        THEN greatest(compress_after, interval '40 days') ELSE never END;
    rollup record;
BEGIN
    CALL telemetry.set_compression_policy('telemetry.reading', compress_after);
    CALL telemetry.set_retention_policy('telemetry.reading', keep_readings);
    CALL telemetry.set_retention_policy('telemetry.hourly', keep_hourly);
    CALL telemetry.set_retention_policy('telemetry.daily', keep_daily);
    -- Ingest refreshes what it touched; this is the net beneath it.
    FOR rollup IN
        SELECT a.view_name, j.job_id, (j.config ->> 'start_offset')::interval AS start_offset
        FROM timescaledb_information.continuous_aggregates a
        LEFT JOIN timescaledb_information.jobs j
            ON j.proc_name = 'policy_refresh_continuous_aggregate'
            AND j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
        WHERE a.view_schema = 'telemetry'
        ORDER BY a.view_name DESC
    LOOP
        IF rollup.job_id IS NULL OR rollup.start_offset IS DISTINCT FROM refresh_from THEN
            PERFORM public.remove_continuous_aggregate_policy(
                format('telemetry.%I', rollup.view_name)::regclass, if_exists => true);
            PERFORM public.add_continuous_aggregate_policy(
                format('telemetry.%I', rollup.view_name)::regclass, start_offset => refresh_from,
                end_offset => interval '1 hour', schedule_interval => interval '1 hour');
        END IF;
    END LOOP;
    -- The extension wants these after those.
    CALL telemetry.set_compression_policy('telemetry.hourly', rollups_compress_after);
    CALL telemetry.set_compression_policy('telemetry.daily', rollups_compress_after);
END
$$;
