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
-- Of those given, only the ones never seen before come back: their identities, one after the other.
WITH added AS (
    INSERT INTO telemetry.message (message_id, received_at, asset_id, readings, events, first_time, last_time)
    SELECT message_id, received_at, asset_id, readings, events,
           to_timestamp(first_us / 1e6::double precision), to_timestamp(last_us / 1e6::double precision)
    FROM unnest(
        %(message_ids)s::uuid[], %(received_at)s::timestamptz[], %(asset_ids)s::integer[],
        %(readings)s::integer[], %(events)s::integer[], %(first_us)s::bigint[], %(last_us)s::bigint[])
        AS m (message_id, received_at, asset_id, readings, events, first_us, last_us)
    ON CONFLICT DO NOTHING
    RETURNING message_id
)
SELECT coalesce(string_agg(uuid_send(message_id), ''), '') AS added FROM added;

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

-- name: find_announcements
SELECT a.format, a.family, a.source, a.announced_at, a.body
FROM telemetry.announcement a
JOIN unnest(%(formats)s::text[], %(families)s::text[]) AS w (format, family) USING (format, family);

-- name: put_announcements
INSERT INTO telemetry.announcement AS a (format, source, family, announced_at, body)
SELECT * FROM unnest(
    %(formats)s::text[], %(sources)s::text[], %(families)s::text[], %(announced_at)s::timestamptz[], %(bodies)s::jsonb[])
ON CONFLICT (format, source) DO UPDATE
SET family = excluded.family, announced_at = excluded.announced_at, body = excluded.body
WHERE a.announced_at <= excluded.announced_at
  AND (a.family, a.body) IS DISTINCT FROM (excluded.family, excluded.body);

-- name: drop_announcements
-- A discovery message of a whole device announced its sensors under its own topic, each with a name behind a #.
DELETE FROM telemetry.announcement a
USING unnest(%(formats)s::text[], %(sources)s::text[]) AS w (format, source)
WHERE a.format = w.format AND (a.source = w.source OR starts_with(a.source, w.source || '#'));

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

-- name: count_rollups_due
SELECT count(DISTINCT bucket) AS hours FROM telemetry.rollup_due;

-- name: refresh_hourly
CALL telemetry.refresh_hourly(%(from_time)s, %(to_time)s);

-- name: forget_rollups_due
DELETE FROM telemetry.rollup_due WHERE rollup_due_id = ANY(%(ids)s);

-- name: find_replay_requests
SELECT q.replay_id, q.dead_letter_id, q.reason, q.serial
FROM telemetry.replay_request q
WHERE NOT EXISTS (SELECT FROM telemetry.replay_result r WHERE r.replay_id = q.replay_id)
ORDER BY q.replay_id;

-- name: add_replay_result
INSERT INTO telemetry.replay_result (replay_id, messages, settled, readings, events, finished_at)
VALUES (%(replay_id)s, %(messages)s, %(settled)s, %(readings)s, %(events)s, %(now)s)
ON CONFLICT (replay_id) DO NOTHING;

-- name: newest_dead_letter
SELECT coalesce(max(dead_letter_id), 0) AS newest FROM telemetry.dead_letter;

-- name: find_dead_letters
-- One letter for each message: its first that is meant.
SELECT DISTINCT ON (message_id) dead_letter_id, message_id, received_at, topic, content_type, payload, payload_bytes,
       max(dead_letter_id) OVER () AS last
FROM (
    SELECT * FROM telemetry.dead_letter
    WHERE dead_letter_id > %(after)s AND dead_letter_id <= %(newest)s
      AND (%(dead_letter_id)s::bigint IS NULL
           OR message_id = (SELECT message_id FROM telemetry.dead_letter WHERE dead_letter_id = %(dead_letter_id)s))
      AND (%(reason)s::text IS NULL OR reason = %(reason)s)
      AND (%(serial)s::text IS NULL OR starts_with(topic, 'careloop/v1/' || %(serial)s || '/'))
    ORDER BY dead_letter_id
    LIMIT %(fetch)s
) AS chosen
ORDER BY message_id, dead_letter_id;

-- name: lock_dead_letters
SELECT dead_letter_id FROM telemetry.dead_letter WHERE message_id = %(message_id)s ORDER BY dead_letter_id FOR UPDATE;

-- name: add_missing_readings
INSERT INTO telemetry.reading (time, asset_id, metric_id, value)
SELECT n.time, %(asset_id)s, n.metric_id, n.value
FROM unnest(%(times)s::timestamptz[], %(metric_ids)s::smallint[], %(values)s::double precision[])
    AS n (time, metric_id, value)
WHERE NOT EXISTS (
    SELECT FROM telemetry.reading r
    WHERE r.asset_id = %(asset_id)s AND r.metric_id = n.metric_id AND r.time = n.time);

-- name: add_missing_events
INSERT INTO telemetry.event (time, asset_id, code, severity, detail)
SELECT n.time, %(asset_id)s, n.code, n.severity, n.detail
FROM unnest(%(times)s::timestamptz[], %(codes)s::text[], %(severities)s::text[], %(details)s::jsonb[])
    AS n (time, code, severity, detail)
WHERE NOT EXISTS (
    SELECT FROM telemetry.event e WHERE e.asset_id = %(asset_id)s AND e.code = n.code AND e.time = n.time);

-- name: add_rollups_due
INSERT INTO telemetry.rollup_due (bucket) SELECT unnest(%(buckets)s::timestamptz[]);

-- name: drop_settled_letters
DELETE FROM telemetry.dead_letter
WHERE dead_letter_id = ANY(%(ids)s)
  AND (reason, detail) NOT IN (SELECT * FROM unnest(%(reasons)s::text[], %(details)s::text[]));

-- name: note_model_metrics
-- What the assets of each model sent in some hours.
INSERT INTO telemetry.model_metric AS m (model, metric_id, first_seen_at)
SELECT a.model, h.metric_id, min(h.bucket)
FROM telemetry.hourly h JOIN telemetry.asset a USING (asset_id)
WHERE h.bucket >= %(from_time)s AND h.bucket < %(to_time)s
GROUP BY a.model, h.metric_id
ON CONFLICT (model, metric_id) DO UPDATE SET first_seen_at = excluded.first_seen_at
WHERE excluded.first_seen_at < m.first_seen_at;
