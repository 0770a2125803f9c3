-- name: insert_alerts
-- When an alert falls due is real time, also in a replay of the past: it may go out as soon as its cause commits.
INSERT INTO service.alert (target_id, topic, cause, asset_id, subject, body, payload, next_attempt_at, created_at)
SELECT target_id, %(topic)s, %(cause)s, %(asset_id)s, %(subject)s, %(body)s, %(payload)s, now(), %(now)s
FROM service.alert_target
WHERE active AND topics && ARRAY[%(topic)s::text, '*']
ON CONFLICT (cause, target_id) DO NOTHING

-- name: insert_target
INSERT INTO service.alert_target (name, kind, url, secret, topics, created_at)
VALUES (%(name)s, %(kind)s, %(url)s, %(secret)s, %(topics)s, %(now)s)
ON CONFLICT (name) DO NOTHING
RETURNING target_id, name, kind, url, topics, active, created_at, version

-- name: insert_first_target
INSERT INTO service.alert_target (name, kind, url, topics, created_at)
SELECT 'default', 'apprise', %(url)s, ARRAY['*'], now()
WHERE NOT EXISTS (SELECT 1 FROM service.alert_target)
ON CONFLICT (name) DO NOTHING

-- name: list_targets
SELECT target_id, name, kind, url, topics, active, created_at, version
FROM service.alert_target
WHERE target_id > %(after_id)s
ORDER BY target_id
LIMIT %(fetch)s

-- name: get_target
SELECT target_id, name, kind, url, topics, active, created_at, version
FROM service.alert_target
WHERE target_id = %(target_id)s

-- name: change_target
UPDATE service.alert_target
SET active = coalesce(%(active)s, active), topics = coalesce(%(topics)s, topics), version = version + 1
WHERE target_id = %(target_id)s AND version = %(version)s
RETURNING target_id, name, kind, url, topics, active, created_at, version

-- name: list_alerts
SELECT a.alert_id, a.target_id, t.name AS target, a.topic, a.cause, s.serial, a.subject, a.body, a.payload, a.state,
       a.attempts, a.next_attempt_at, a.last_error, a.created_at, a.sent_at
FROM service.alert a
JOIN service.alert_target t USING (target_id)
LEFT JOIN service.asset s USING (asset_id)
WHERE a.alert_id > %(after_id)s
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
  AND (%(topic)s::text IS NULL OR a.topic = %(topic)s)
  AND (%(serial)s::text IS NULL OR a.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s))
ORDER BY a.alert_id
LIMIT %(fetch)s

-- name: get_alert
SELECT a.alert_id, a.target_id, t.name AS target, a.topic, a.cause, s.serial, a.subject, a.body, a.payload, a.state,
       a.attempts, a.next_attempt_at, a.last_error, a.created_at, a.sent_at
FROM service.alert a
JOIN service.alert_target t USING (target_id)
LEFT JOIN service.asset s USING (asset_id)
WHERE a.alert_id = %(alert_id)s

-- name: resend_alert
-- Without its lease, a claim that still runs can no longer settle it.
UPDATE service.alert
SET state = 'pending', attempts = 0, next_attempt_at = now(), lease_until = NULL
WHERE alert_id = %(alert_id)s AND state IN ('dead', 'unconfirmed')
RETURNING alert_id

-- Delivery --------------------------------------------------------------------------------------

-- name: due_targets
SELECT t.target_id, t.kind, t.url, t.secret
FROM service.alert_target t
WHERE t.active AND t.target_id <> ALL (%(busy)s)
  AND EXISTS (SELECT 1 FROM service.alert a
              WHERE a.target_id = t.target_id AND a.state IN ('pending', 'sending') AND a.next_attempt_at <= now())
ORDER BY t.target_id

-- name: leave_unconfirmed
-- A deliverer died between sending and noting it. Apprise gives receivers nothing to discard a second one by.
UPDATE service.alert a
SET state = 'unconfirmed',
    last_error = 'the deliverer ended between sending and noting it; the target may have got it: look, then resend by hand'
FROM service.alert_target t
WHERE t.target_id = a.target_id AND t.kind = 'apprise' AND a.state = 'sending' AND a.next_attempt_at <= now()
RETURNING a.alert_id

-- name: claim_alerts
WITH due AS (
    SELECT alert_id
    FROM service.alert
    WHERE target_id = %(target_id)s AND state = ANY (%(states)s) AND state IN ('pending', 'sending')
      AND next_attempt_at <= now()
    ORDER BY next_attempt_at, alert_id
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE service.alert a
    SET state = 'sending', attempts = attempts + 1,
        lease_until = now() + %(lease_s)s * interval '1 second',
        next_attempt_at = now() + %(lease_s)s * interval '1 second'
    FROM due
    WHERE a.alert_id = due.alert_id
    RETURNING a.*
)
SELECT c.alert_id, c.topic, c.cause, s.serial, c.subject, c.body, c.payload, c.attempts, c.created_at, c.lease_until
FROM claimed c
LEFT JOIN service.asset s USING (asset_id)
ORDER BY c.alert_id

-- name: settle_sent
UPDATE service.alert
SET state = 'sent', sent_at = now(), lease_until = NULL, last_error = NULL
WHERE alert_id = ANY (%(alert_ids)s) AND lease_until = %(lease_until)s

-- name: settle_failed
UPDATE service.alert
SET state = CASE WHEN attempts >= %(attempts)s THEN 'dead' ELSE 'pending' END,
    next_attempt_at = now() + %(pause_s)s * interval '1 second',
    lease_until = NULL,
    last_error = %(error)s
WHERE alert_id = %(alert_id)s AND lease_until = %(lease_until)s
RETURNING state

-- name: settle_untried
UPDATE service.alert
SET state = 'pending', attempts = attempts - 1, next_attempt_at = now(), lease_until = NULL
WHERE alert_id = ANY (%(alert_ids)s) AND lease_until = %(lease_until)s
