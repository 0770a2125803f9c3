-- name: list_dead_letters
SELECT dead_letter_id, message_id::text, received_at, topic, content_type, reason, detail, payload_bytes
FROM telemetry.dead_letter
WHERE dead_letter_id > %(after_id)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(serial)s::text IS NULL OR starts_with(topic, 'careloop/v1/' || %(serial)s || '/'))
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
ORDER BY dead_letter_id
LIMIT %(fetch)s

-- name: get_dead_letter
SELECT dead_letter_id, message_id::text, received_at, topic, content_type, reason, detail, payload_bytes, payload
FROM telemetry.dead_letter
WHERE dead_letter_id = %(dead_letter_id)s

-- name: count_reasons
SELECT reason, count(*) AS dead_letters, min(received_at) AS oldest, max(received_at) AS newest
FROM telemetry.dead_letter
GROUP BY reason
ORDER BY dead_letters DESC, reason

-- name: insert_replay
INSERT INTO service.dead_letter_replay (dead_letter_id, reason, serial, requested_by, requested_at)
VALUES (%(dead_letter_id)s, %(reason)s, %(serial)s, %(requested_by)s, %(now)s)
RETURNING replay_id

-- name: list_replays
SELECT q.replay_id, q.dead_letter_id, q.reason, q.serial, q.requested_by, q.requested_at,
       r.finished_at, r.messages, r.settled, r.readings, r.events
FROM service.dead_letter_replay q
LEFT JOIN telemetry.replay_result r USING (replay_id)
WHERE q.replay_id > %(after_id)s
  AND (%(replay_id)s::bigint IS NULL OR q.replay_id = %(replay_id)s)
ORDER BY q.replay_id
LIMIT %(fetch)s
