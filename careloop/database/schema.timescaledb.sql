-- What is made on this engine only, after schema.sql. Written by python -m careloop.database.schema; nothing runs it but a test.

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

-- How much is stored, and in which shape; the same calls on both engines. Settled readings are those in compressed chunks.
CREATE FUNCTION telemetry.reading_storage() RETURNS TABLE (
    readings bigint, bytes bigint, index_bytes bigint, settled_readings bigint, settled_bytes bigint,
    settled_bytes_before bigint, settled_days bigint, days bigint)
LANGUAGE sql STABLE AS $$
    -- Those that came late into compressed chunks are not counted until they are compressed too.
    SELECT (coalesce(settled.readings, 0) + new.readings)::bigint AS readings, size.total_bytes AS bytes,
           size.index_bytes, coalesce(settled.readings, 0)::bigint AS settled_readings,
           coalesce(stats.after_compression_total_bytes, 0)::bigint AS settled_bytes,
           coalesce(stats.before_compression_total_bytes, 0)::bigint AS settled_bytes_before,
           coalesce(stats.number_compressed_chunks, 0)::bigint AS settled_days,
           (SELECT count(*) FROM timescaledb_information.chunks
            WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'reading') AS days
    FROM hypertable_detailed_size('telemetry.reading') AS size
    CROSS JOIN (
        SELECT sum(p.numrows_pre_compression) AS readings
        FROM _timescaledb_catalog.compression_chunk_size p
        JOIN _timescaledb_catalog.chunk c ON c.id = p.chunk_id
        JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
        WHERE h.schema_name = 'telemetry' AND h.table_name = 'reading'
    ) AS settled
    CROSS JOIN (
        SELECT coalesce(sum(greatest(r.reltuples, 0)), 0) AS readings
        FROM timescaledb_information.chunks c
        JOIN pg_class r ON r.oid = (quote_ident(c.chunk_schema) || '.' || quote_ident(c.chunk_name))::regclass
        WHERE c.hypertable_schema = 'telemetry' AND c.hypertable_name = 'reading' AND NOT c.is_compressed
    ) AS new
    LEFT JOIN hypertable_compression_stats('telemetry.reading') AS stats ON true
$$;

CREATE FUNCTION telemetry.rollup_storage() RETURNS TABLE (name text, rows bigint, bytes bigint, index_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT a.view_name::text, approximate_row_count(a.hypertable), size.total_bytes, size.index_bytes
    FROM (
        SELECT view_name, (quote_ident(materialization_hypertable_schema) || '.'
                           || quote_ident(materialization_hypertable_name))::regclass AS hypertable
        FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'telemetry'
    ) AS a
    CROSS JOIN LATERAL hypertable_detailed_size(a.hypertable) AS size
    ORDER BY a.view_name DESC
$$;

-- What the extension's scheduler runs, and how that went; ages are of compression, of retention, of the refresh's start.
CREATE FUNCTION telemetry.storage_jobs() RETURNS TABLE (job_id integer, proc_name text, relation text, age interval, last_run_status text, error text)
LANGUAGE sql STABLE AS $$
    SELECT j.job_id, j.proc_name::text, coalesce(a.view_name, j.hypertable_name)::text,
           (coalesce(j.config ->> 'compress_after', j.config ->> 'drop_after', j.config ->> 'start_offset'))::interval,
           s.last_run_status::text,
           CASE WHEN s.last_run_status = 'Failed' THEN (
               SELECT e.err_message FROM timescaledb_information.job_errors e
               WHERE e.job_id = j.job_id ORDER BY e.finish_time DESC LIMIT 1) END
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.job_stats s USING (job_id)
    LEFT JOIN timescaledb_information.continuous_aggregates a
        ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
    WHERE (j.hypertable_schema = 'telemetry' AND j.hypertable_name = 'reading') OR a.view_schema = 'telemetry'
$$;

-- Runs one of them here and now.
CREATE PROCEDURE telemetry.run_storage_job(job_id integer)
LANGUAGE plpgsql AS $$ BEGIN CALL public.run_job(job_id); END $$;

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
