-- name: find_series
-- Through service.asset, here as below: its policies know who sees a machine; telemetry has none.
SELECT a.asset_id, m.metric_id, m.name AS metric, m.unit
FROM service.asset a LEFT JOIN telemetry.metric m ON m.name = %(metric)s
WHERE a.serial = %(serial)s

-- name: find_asset
SELECT asset_id FROM service.asset WHERE serial = %(serial)s

-- name: chart_raw
SELECT date_bin(%(width)s::interval, time, %(origin)s::timestamptz) AS time, count(*) AS readings,
       avg(value) AS mean, min(value) AS min, max(value) AS max
FROM telemetry.reading
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND time >= %(from_time)s AND time < %(to_time)s
GROUP BY 1 ORDER BY 1

-- name: chart_hourly
SELECT date_bin(%(width)s::interval, bucket, %(origin)s::timestamptz) AS time, sum(readings)::bigint AS readings,
       sum(value_sum) / sum(readings) AS mean, min(value_min) AS min, max(value_max) AS max
FROM telemetry.hourly
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(origin)s AND bucket < %(to_time)s
GROUP BY 1 ORDER BY 1

-- name: chart_daily
SELECT date_bin(%(width)s::interval, bucket, %(origin)s::timestamptz) AS time, sum(readings)::bigint AS readings,
       sum(value_sum) / sum(readings) AS mean, min(value_min) AS min, max(value_max) AS max
FROM telemetry.daily
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(origin)s AND bucket < %(to_time)s
GROUP BY 1 ORDER BY 1

-- name: count_hourly
SELECT coalesce(sum(readings), 0)::bigint AS readings FROM telemetry.hourly
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(from_time)s AND bucket < %(to_time)s

-- name: count_daily
SELECT coalesce(sum(readings), 0)::bigint AS readings FROM telemetry.daily
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(from_time)s AND bucket < %(to_time)s

-- name: list_events
SELECT time, code, severity, detail
FROM telemetry.event
WHERE asset_id = %(asset_id)s AND time >= %(from_time)s AND time <= %(until)s AND time < %(to_time)s
  AND (%(code)s::text IS NULL OR code = %(code)s)
ORDER BY time DESC, code, severity
OFFSET %(skip)s LIMIT %(fetch)s

-- name: list_fleet
SELECT a.asset_id, a.serial, m.code AS model, s.online, s.changed_at AS online_since
FROM service.asset a JOIN service.product_model m USING (model_id)
LEFT JOIN telemetry.agent_state s ON s.agent_id = a.serial
WHERE a.asset_id > %(after_id)s AND a.state = 'active' AND (%(model)s::text IS NULL OR m.code = %(model)s)
ORDER BY a.asset_id
LIMIT %(fetch)s

-- name: list_metrics
SELECT metric_id, name, unit FROM telemetry.metric

-- name: known_since
-- Everything before this hour is in telemetry.latest; null when all is.
SELECT min(bucket) AS since FROM telemetry.rollup_due

-- name: list_latest
SELECT asset_id, metric_id, time, value FROM telemetry.latest WHERE asset_id = ANY(%(assets)s::integer[])

-- name: list_live
-- The last reading of each series since an instant: from series to series by the index, one probe each.
WITH RECURSIVE live AS (
    SELECT first.* FROM unnest(%(assets)s::integer[]) AS wanted (asset_id)
    CROSS JOIN LATERAL (
        SELECT r.asset_id, r.metric_id, r.time, r.value FROM telemetry.reading r
        WHERE r.asset_id = wanted.asset_id AND r.time >= %(since)s
        ORDER BY r.metric_id, r.time DESC LIMIT 1
    ) AS first
    UNION ALL
    SELECT following.* FROM live
    CROSS JOIN LATERAL (
        SELECT r.asset_id, r.metric_id, r.time, r.value FROM telemetry.reading r
        WHERE r.asset_id = live.asset_id AND r.metric_id > live.metric_id AND r.time >= %(since)s
        ORDER BY r.metric_id, r.time DESC LIMIT 1
    ) AS following
)
SELECT asset_id, metric_id, time, value FROM live
