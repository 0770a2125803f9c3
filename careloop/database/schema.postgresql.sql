-- What is made on this engine only, after schema.sql. Written by python -m careloop.database.schema; nothing runs it but a test.

-- PostgreSQL without TimescaleDB: native daily partitions, and rollup tables kept by ingest's rollup job.
CREATE TABLE telemetry.reading (
    time       timestamptz NOT NULL,
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    value      double precision NOT NULL
) PARTITION BY RANGE (time);
CREATE INDEX reading_asset_metric_time ON telemetry.reading (asset_id, metric_id, time DESC);

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
    EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.reading INCLUDING INDEXES)', partition_name);
    EXECUTE format(
        'ALTER TABLE telemetry.reading ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
        partition_name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
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

-- The same call on both engines: brings both rollups up to date for [from_time, to_time).
CREATE PROCEDURE telemetry.refresh_rollups(from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    from_day timestamptz := date_trunc('day', from_time, 'UTC');
    to_day timestamptz := date_trunc('day', to_time - interval '1 microsecond', 'UTC') + interval '1 day';
BEGIN
    DELETE FROM telemetry.hourly WHERE bucket >= date_trunc('hour', from_time, 'UTC') AND bucket < to_time;
    INSERT INTO telemetry.hourly
        SELECT date_trunc('hour', time, 'UTC'), asset_id, metric_id, count(*), sum(value), min(value), max(value)
        FROM telemetry.reading
        WHERE time >= date_trunc('hour', from_time, 'UTC')
          AND time < date_trunc('hour', to_time - interval '1 microsecond', 'UTC') + interval '1 hour'
        GROUP BY 1, 2, 3;
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

-- The same call on both engines. Here ingest's maintenance does by itself what TimescaleDB's policies do there.
CREATE PROCEDURE telemetry.set_storage_policies(compress_after interval, keep_readings interval)
LANGUAGE plpgsql AS $$ BEGIN END $$;
