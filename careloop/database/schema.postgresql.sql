-- What is made on this engine only, after schema.sql. Written by python -m careloop.database.schema; nothing runs it but a test.

-- PostgreSQL without TimescaleDB: native daily partitions, and rollup tables kept by ingest's rollup job.
CREATE TABLE telemetry.reading (
    time       timestamptz NOT NULL,
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    value      double precision NOT NULL
) PARTITION BY RANGE (time);

-- Runs as the schema's owner, so that ingest needs no right to create tables elsewhere.
CREATE FUNCTION telemetry.ensure_reading_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_name text := 'reading_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass('telemetry.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two workers may meet the same new day at once.
    PERFORM pg_advisory_xact_lock(7266, 2);
    IF to_regclass('telemetry.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made apart and then attached: CREATE TABLE … PARTITION OF would wait for every reader of any day.
    EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.reading)', partition_name);
    -- An index of its own and not the parent's: settling the day will change it.
    EXECUTE format('CREATE INDEX %I ON telemetry.%I (asset_id, metric_id, time DESC)',
        partition_name || '_asset_metric_time', partition_name);
    EXECUTE format(
        'ALTER TABLE telemetry.reading ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
        partition_name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
END
$$;

-- Puts days in order that few readings come to any more: rows sorted by asset, metric and time, so that a series lies
-- in few pages, and then an index of ranges of pages, a thousandth of the size. While that is done, only that day waits.
CREATE FUNCTION telemetry.settle_readings_before(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_name text;
BEGIN
    SELECT c.relname INTO partition_name
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'telemetry.reading'::regclass
      AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (before AT TIME ZONE 'UTC')::date
      AND to_regclass(format('telemetry.%I', c.relname || '_asset_metric_time')) IS NOT NULL
    ORDER BY c.relname LIMIT 1;
    IF partition_name IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('CLUSTER telemetry.%I USING %I', partition_name, partition_name || '_asset_metric_time');
    EXECUTE format('CREATE INDEX %I ON telemetry.%I USING brin (asset_id, metric_id, time) '
        'WITH (pages_per_range = 8, autosummarize = on)', partition_name || '_ranges', partition_name);
    EXECUTE format('DROP INDEX telemetry.%I', partition_name || '_asset_metric_time');
    EXECUTE format('ANALYZE telemetry.%I', partition_name);
    RETURN 1;
END
$$;

CREATE TABLE telemetry.hourly (
    bucket     timestamptz NOT NULL,
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    readings   bigint NOT NULL,
    value_sum  double precision NOT NULL,
    value_min  double precision NOT NULL,
    value_max  double precision NOT NULL,
    PRIMARY KEY (asset_id, metric_id, bucket)
);
CREATE INDEX hourly_bucket ON telemetry.hourly (bucket);

CREATE TABLE telemetry.daily (LIKE telemetry.hourly);
ALTER TABLE telemetry.daily ADD PRIMARY KEY (asset_id, metric_id, bucket);
CREATE INDEX daily_bucket ON telemetry.daily (bucket);

-- The same calls on both engines: bring a rollup up to date for the hours or days that [from_time, to_time) touches.
CREATE PROCEDURE telemetry.refresh_hourly(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    from_hour timestamptz := date_trunc('hour', from_time, 'UTC');
    to_hour timestamptz := date_trunc('hour', to_time - interval '1 microsecond', 'UTC') + interval '1 hour';
BEGIN
    DELETE FROM telemetry.hourly WHERE bucket >= from_hour AND bucket < to_hour;
    INSERT INTO telemetry.hourly
        SELECT date_trunc('hour', time, 'UTC'), asset_id, metric_id, count(*), sum(value), min(value), max(value)
        FROM telemetry.reading
        WHERE time >= from_hour AND time < to_hour
        GROUP BY 1, 2, 3;
END
$$;

-- From hourly, which must be up to date for the same span.
CREATE PROCEDURE telemetry.refresh_daily(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    from_day timestamptz := date_trunc('day', from_time, 'UTC');
    to_day timestamptz := date_trunc('day', to_time - interval '1 microsecond', 'UTC') + interval '1 day';
BEGIN
    DELETE FROM telemetry.daily WHERE bucket >= from_day AND bucket < to_day;
    INSERT INTO telemetry.daily
        SELECT date_trunc('day', bucket, 'UTC'), asset_id, metric_id,
               sum(readings), sum(value_sum), min(value_min), max(value_max)
        FROM telemetry.hourly
        WHERE bucket >= from_day AND bucket < to_day
        GROUP BY 1, 2, 3;
END
$$;

CREATE FUNCTION telemetry.drop_readings_before(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition_name text;
    dropped integer := 0;
BEGIN
    FOR partition_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.reading'::regclass
          AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (before AT TIME ZONE 'UTC')::date
    LOOP
        EXECUTE format('DROP TABLE telemetry.%I', partition_name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- The same calls on both engines. Here ingest's maintenance does by itself what TimescaleDB's policies do there.
CREATE PROCEDURE telemetry.set_retention_policy(relation regclass, keep interval)
LANGUAGE plpgsql AS $$ BEGIN END $$;

CREATE PROCEDURE telemetry.set_storage_policies(
    compress_after interval, keep_readings interval, keep_hourly interval, keep_daily interval)
LANGUAGE plpgsql AS $$ BEGIN END $$;

-- How much is stored, and in which shape; the same calls on both engines. Settled readings are those of days put in order.
CREATE FUNCTION telemetry.reading_storage() RETURNS TABLE (
    readings bigint, bytes bigint, index_bytes bigint, settled_readings bigint, settled_bytes bigint,
    settled_bytes_before bigint, settled_days bigint, days bigint)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(readings), 0)::bigint AS readings, coalesce(sum(bytes), 0)::bigint AS bytes,
           coalesce(sum(index_bytes), 0)::bigint AS index_bytes,
           coalesce(sum(readings) FILTER (WHERE settled), 0)::bigint AS settled_readings,
           coalesce(sum(bytes) FILTER (WHERE settled), 0)::bigint AS settled_bytes, 0::bigint AS settled_bytes_before,
           count(*) FILTER (WHERE settled) AS settled_days, count(*) AS days
    FROM (
        SELECT greatest(c.reltuples, 0)::bigint AS readings, pg_total_relation_size(c.oid) AS bytes,
               pg_indexes_size(c.oid) AS index_bytes,
               to_regclass('telemetry.' || quote_ident(c.relname || '_ranges')) IS NOT NULL AS settled
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.reading'::regclass
    ) AS partition
$$;

CREATE FUNCTION telemetry.rollup_storage() RETURNS TABLE (name text, rows bigint, bytes bigint, index_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid), pg_indexes_size(c.oid)
    FROM pg_class c WHERE c.oid IN ('telemetry.hourly'::regclass, 'telemetry.daily'::regclass)
$$;

-- Ingest's maintenance does it all here.
CREATE FUNCTION telemetry.storage_jobs() RETURNS TABLE (job_id integer, proc_name text, relation text, age interval, last_run_status text, error text)
LANGUAGE sql STABLE AS $$
    SELECT 0, '', '', interval '0', '', '' WHERE false
$$;

CREATE PROCEDURE telemetry.run_storage_job(job_id integer)
LANGUAGE plpgsql AS $$ BEGIN END $$;

-- TimescaleDB compresses rollups; here they stay as they are.
CREATE PROCEDURE telemetry.set_compression_policy(relation regclass, age interval)
LANGUAGE plpgsql AS $$ BEGIN END $$;

-- Somebody may be reading the day for long; whoever comes after would wait behind the one who waits to put it in order.
ALTER FUNCTION telemetry.settle_readings_before(timestamptz) SET lock_timeout = '2s';
