-- name: metric_numbers
SELECT metric_id, name FROM telemetry.metric

-- name: copy_readings
COPY (
    SELECT asset_id, metric_id, time, value
    FROM telemetry.reading
    WHERE time >= %(from_time)s AND time < %(to_time)s
      AND asset_id = ANY(%(assets)s) AND metric_id = ANY(%(metrics)s)
) TO STDOUT (FORMAT BINARY)

-- name: copy_readings_as_received
COPY (
    SELECT asset_id, metric_id, time, value
    FROM telemetry.reading_as_received(%(received_by)s, %(from_time)s, %(to_time)s)
    WHERE asset_id = ANY(%(assets)s) AND metric_id = ANY(%(metrics)s)
) TO STDOUT (FORMAT BINARY)

-- name: first_readings
SELECT wanted.asset_id, earliest.time
FROM unnest(%(assets)s::integer[]) AS wanted (asset_id)
CROSS JOIN LATERAL (
    SELECT time FROM telemetry.reading
    WHERE asset_id = wanted.asset_id AND metric_id = ANY(%(metrics)s) AND time < %(to_time)s
    ORDER BY time
    LIMIT 1
) AS earliest

-- name: events
SELECT asset_id, code, time
FROM telemetry.event
WHERE time >= %(from_time)s AND time < %(to_time)s

-- name: events_as_received
SELECT asset_id, code, time
FROM telemetry.event_as_received(%(received_by)s, %(from_time)s, %(to_time)s)

-- name: add_model
INSERT INTO prediction.model
    (kind, component, trained_as_of, file_sha256, feature_names, training_rows, training_failures, metrics,
     code_version, created_at)
VALUES
    (%(kind)s, %(component)s, %(trained_as_of)s, %(file_sha256)s, %(feature_names)s, %(training_rows)s,
     %(training_failures)s, %(metrics)s, %(code_version)s, %(created_at)s)
RETURNING model_id

-- name: latest_models
SELECT DISTINCT ON (kind, component) model_id, kind, component, file_sha256
FROM prediction.model
WHERE trained_as_of <= %(now)s
ORDER BY kind, component, model_id DESC

-- name: put_scores
INSERT INTO prediction.score (asset_id, component, as_of, model_id, probability)
SELECT scored.asset_id, scored.component, %(as_of)s, scored.model_id, scored.probability
FROM unnest(%(assets)s::integer[], %(components)s::text[], %(models)s::bigint[], %(probabilities)s::float8[])
    AS scored (asset_id, component, model_id, probability)
ON CONFLICT (asset_id, component) DO UPDATE
    SET as_of = excluded.as_of, model_id = excluded.model_id, probability = excluded.probability

-- name: remembered_tickets
SELECT asset_id, component, ticket_id FROM prediction.score WHERE ticket_id IS NOT NULL

-- name: remember_ticket
UPDATE prediction.score SET ticket_id = %(ticket_id)s WHERE asset_id = %(asset_id)s AND component = %(component)s

-- name: scores_in_force
SELECT asset_id, component, probability FROM prediction.score
WHERE as_of <= %(now)s AND as_of > %(since)s
ORDER BY asset_id, component
