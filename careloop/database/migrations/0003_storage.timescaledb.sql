-- TimescaleDB: hypertable, columnstore compression, continuous aggregates. Policies are applied by `careloop migrate` from settings.
CREATE TABLE telemetry.reading (
    time       timestamptz NOT NULL,
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    value      double precision NOT NULL
);
SELECT create_hypertable('telemetry.reading', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
CREATE INDEX reading_asset_metric_time ON telemetry.reading (asset_id, metric_id, time DESC);
ALTER TABLE telemetry.reading SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_id, metric_id',
    timescaledb.compress_orderby = 'time DESC'
);

CREATE MATERIALIZED VIEW telemetry.hourly WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT time_bucket(interval '1 hour', time) AS bucket, asset_id, metric_id,
           count(*) AS readings, sum(value) AS value_sum, min(value) AS value_min, max(value) AS value_max
    FROM telemetry.reading
    GROUP BY 1, 2, 3
    WITH NO DATA;

CREATE MATERIALIZED VIEW telemetry.daily WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT time_bucket(interval '1 day', bucket) AS bucket, asset_id, metric_id,
           sum(readings) AS readings, sum(value_sum) AS value_sum, min(value_min) AS value_min, max(value_max) AS value_max
    FROM telemetry.hourly
    GROUP BY 1, 2, 3
    WITH NO DATA;

-- Chunks are made by the extension.
CREATE FUNCTION telemetry.ensure_reading_day(day date) RETURNS void LANGUAGE sql AS $$ SELECT $$;

CREATE FUNCTION telemetry.drop_readings_before(before timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT count(*)::integer FROM drop_chunks('telemetry.reading', older_than => before) $$;
