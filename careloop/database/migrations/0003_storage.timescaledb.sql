-- TimescaleDB: hypertable, columnstore compression, continuous aggregates. Policies are set by ingest
-- from its settings.

-- Sensors repeat themselves: a thousand values of one have some dozens of different ones. Of a domain the extension
-- compresses such values by a dictionary, of the bare type by XOR with the value before (Gorilla), which decimal
-- fractions defeat: measured 1.7 bytes a reading against 4.9, and the chart of a week is faster too.
CREATE DOMAIN telemetry.measured AS double precision;

CREATE TABLE telemetry.reading (
    time       timestamptz NOT NULL,
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    value      telemetry.measured NOT NULL
);
SELECT create_hypertable('telemetry.reading', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
CREATE INDEX reading_asset_metric_time ON telemetry.reading (asset_id, metric_id, time DESC);
ALTER TABLE telemetry.reading SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_id, metric_id',
    timescaledb.compress_orderby = 'time DESC'
);

CREATE MATERIALIZED VIEW telemetry.hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
    SELECT time_bucket(interval '1 hour', time) AS bucket, asset_id, metric_id,
           count(*) AS readings, sum(value) AS value_sum, min(value) AS value_min, max(value) AS value_max
    FROM telemetry.reading
    GROUP BY 1, 2, 3
    WITH NO DATA;

CREATE MATERIALIZED VIEW telemetry.daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
    SELECT time_bucket(interval '1 day', bucket) AS bucket, asset_id, metric_id,
           -- sum(bigint) is numeric; readers get the same type on both engines.
           sum(readings)::bigint AS readings, sum(value_sum) AS value_sum,
           min(value_min) AS value_min, max(value_max) AS value_max
    FROM telemetry.hourly
    GROUP BY 1, 2, 3
    WITH NO DATA;

-- Instead of an index for each column grouped by: readers name asset and metric.
CREATE INDEX hourly_asset_metric_bucket ON telemetry.hourly (asset_id, metric_id, bucket DESC);
CREATE INDEX daily_asset_metric_bucket ON telemetry.daily (asset_id, metric_id, bucket DESC);

-- The same calls on both engines: bring a rollup up to date for the hours or days that [from_time, to_time) touches.
-- They commit on their own, so they cannot stand in a transaction.
CREATE PROCEDURE telemetry.refresh_hourly(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    CALL public.refresh_continuous_aggregate('telemetry.hourly', date_trunc('hour', from_time, 'UTC'),
        date_trunc('hour', to_time - interval '1 microsecond', 'UTC') + interval '1 hour');
END
$$;

-- From hourly, which must be up to date for the same span.
CREATE PROCEDURE telemetry.refresh_daily(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    CALL public.refresh_continuous_aggregate('telemetry.daily', date_trunc('day', from_time, 'UTC'),
        date_trunc('day', to_time - interval '1 microsecond', 'UTC') + interval '1 day');
END
$$;

-- Chunks are made by the extension.
CREATE FUNCTION telemetry.ensure_reading_day(day date) RETURNS void LANGUAGE sql AS $$ SELECT $$;

CREATE FUNCTION telemetry.drop_readings_before(before timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT count(*)::integer FROM drop_chunks('telemetry.reading', older_than => before) $$;

-- Compressed chunks are in order already.
CREATE FUNCTION telemetry.settle_readings_before(before timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT 0 $$;

-- Age at which a table's chunks are dropped by TimescaleDB's own job; zero never. A policy that is already so is left
-- alone, because setting it anew would run it at once.
CREATE PROCEDURE telemetry.set_retention_policy(relation regclass, keep interval)
LANGUAGE plpgsql AS $$
DECLARE
    never constant interval := interval '0';
    in_force interval;
BEGIN
    SELECT (j.config ->> 'drop_after')::interval INTO in_force
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.continuous_aggregates a
        ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
    WHERE j.proc_name = 'policy_retention'
      AND coalesce(a.view_schema, j.hypertable_schema) || '.' || coalesce(a.view_name, j.hypertable_name)
          = (SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = relation);
    IF keep IS DISTINCT FROM coalesce(in_force, never) THEN
        PERFORM public.remove_retention_policy(relation, if_exists => true);
        IF keep > never THEN
            PERFORM public.add_retention_policy(relation, drop_after => keep);
        END IF;
    END IF;
END
$$;

-- Compression, rollup refresh and retention by TimescaleDB's own jobs; an interval of 0 switches a policy off.
CREATE PROCEDURE telemetry.set_storage_policies(
    compress_after interval, keep_readings interval, keep_hourly interval, keep_daily interval)
LANGUAGE plpgsql AS $$
DECLARE
    never constant interval := interval '0';
    -- Rollups outlive what they are made of: a refresh must never reach back to where that was dropped.
    refresh_from constant interval := nullif(keep_readings, never) - interval '2 days';
    rollup record;
BEGIN
    IF compress_after IS DISTINCT FROM (
        SELECT coalesce(max((config ->> 'compress_after')::interval), never) FROM timescaledb_information.jobs
        WHERE proc_name = 'policy_compression' AND hypertable_schema = 'telemetry' AND hypertable_name = 'reading'
    ) THEN
        CALL public.remove_columnstore_policy('telemetry.reading', if_exists => true);
        IF compress_after > never THEN
            CALL public.add_columnstore_policy(
                'telemetry.reading', after => compress_after, schedule_interval => interval '1 hour');
        END IF;
    END IF;
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
END
$$;
