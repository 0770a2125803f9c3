-- Statements of the ingest process, the only writer of schema telemetry.

-- name: find_assets
SELECT serial, asset_id FROM telemetry.asset WHERE serial = ANY(%(serials)s);

-- name: find_metrics
SELECT name, metric_id, unit FROM telemetry.metric;

-- name: lock_dictionary
-- Two workers may meet the same new metric at once; and a conflict would use up one of 32,767 metric numbers.
SELECT pg_advisory_xact_lock(7266, 4);

-- name: find_wanted_metrics
SELECT w.name, m.metric_id, m.unit, d.unit AS declared_unit
FROM unnest(%(names)s::text[]) AS w (name)
LEFT JOIN telemetry.metric m USING (name)
LEFT JOIN telemetry.declared_metric d USING (name);

-- name: count_learned_metrics
SELECT count(*) AS learned FROM telemetry.metric WHERE learned;

-- name: add_metric
INSERT INTO telemetry.metric (name, unit, learned, first_seen_at)
VALUES (%(name)s, %(unit)s, %(learned)s, %(now)s)
RETURNING metric_id, unit;

-- name: adopt_declared_metrics
-- A metric that was learned and is declared since. Its readings stay in the unit that they were stored in.
UPDATE telemetry.metric m
SET learned = false, unit = CASE WHEN m.unit = '' THEN d.unit ELSE m.unit END
FROM telemetry.declared_metric d
WHERE m.learned AND m.name = d.name
RETURNING m.name, m.unit, d.unit AS declared_unit;

-- name: ensure_reading_day
SELECT telemetry.ensure_reading_day(%(day)s);

-- name: add_messages
-- Of those given, only the ones never seen before come back.
INSERT INTO telemetry.message (message_id, received_at, asset_id, readings, events)
SELECT * FROM unnest(
    %(message_ids)s::uuid[], %(received_at)s::timestamptz[], %(asset_ids)s::integer[],
    %(readings)s::integer[], %(events)s::integer[])
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: copy_readings
COPY telemetry.reading (time, asset_id, metric_id, value) FROM STDIN (FORMAT binary);

-- name: copy_events
COPY telemetry.event (time, asset_id, code, severity, detail) FROM STDIN;

-- name: copy_rollup_due
COPY telemetry.rollup_due (bucket) FROM STDIN;

-- name: set_states
INSERT INTO telemetry.agent_state AS s (agent_id, online, agent_version, detail, changed_at)
SELECT * FROM unnest(
    %(agent_ids)s::text[], %(online)s::boolean[], %(agent_versions)s::text[], %(details)s::jsonb[],
    %(changed_at)s::timestamptz[])
ON CONFLICT (agent_id) DO UPDATE
SET online = excluded.online, agent_version = excluded.agent_version, detail = excluded.detail,
    changed_at = excluded.changed_at
WHERE s.changed_at <= excluded.changed_at
  AND (s.online, s.agent_version, s.detail) IS DISTINCT FROM (excluded.online, excluded.agent_version, excluded.detail);

-- name: add_dead_letters
INSERT INTO telemetry.dead_letter
    (message_id, received_at, topic, content_type, reason, detail, payload, payload_bytes)
SELECT * FROM unnest(
    %(message_ids)s::uuid[], %(received_at)s::timestamptz[], %(topics)s::text[], %(content_types)s::text[],
    %(reasons)s::text[], %(details)s::text[], %(payloads)s::bytea[], %(payload_bytes)s::bigint[])
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: count_progress
INSERT INTO telemetry.ingest_progress AS p
    (worker, messages, duplicates, readings, events, dead_letters, updated_at)
VALUES (%(worker)s, %(messages)s, %(duplicates)s, %(readings)s, %(events)s, %(dead_letters)s, %(now)s)
ON CONFLICT (worker) DO UPDATE
SET messages = p.messages + excluded.messages, duplicates = p.duplicates + excluded.duplicates,
    readings = p.readings + excluded.readings, events = p.events + excluded.events,
    dead_letters = p.dead_letters + excluded.dead_letters, updated_at = excluded.updated_at;

-- name: lead_maintenance
SELECT pg_try_advisory_lock(7266, 3) AS leads;

-- name: release_maintenance
SELECT pg_advisory_unlock(7266, 3);

-- name: find_rollups_due
SELECT bucket, array_agg(rollup_due_id) AS ids FROM telemetry.rollup_due GROUP BY bucket ORDER BY bucket;

-- name: refresh_rollups
CALL telemetry.refresh_rollups(%(from_time)s, %(to_time)s);

-- name: forget_rollups_due
DELETE FROM telemetry.rollup_due WHERE rollup_due_id = ANY(%(ids)s);

-- name: set_storage_policies
CALL telemetry.set_storage_policies(%(compress_after)s, %(keep_readings)s);

-- name: drop_readings_before
SELECT telemetry.drop_readings_before(%(before)s) AS dropped;
