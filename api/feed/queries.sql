-- name: try_numbering
SELECT pg_try_advisory_xact_lock(7266, 24) AS mine

-- name: read_mark
SELECT settled_id, next_id, pg_snapshot_xmin(pg_current_snapshot()) >= next_xid AS over FROM service.feed_mark

-- name: give_positions
-- In the order of their numbers, which within a ticket is the order of what happened: whoever changes a ticket holds it.
INSERT INTO service.feed (change_id)
SELECT c.change_id
FROM service.change c
WHERE c.change_id > %(settled_id)s AND NOT EXISTS (SELECT FROM service.feed f WHERE f.change_id = c.change_id)
ORDER BY c.change_id
LIMIT %(batch)s
RETURNING position

-- name: set_mark
UPDATE service.feed_mark
SET settled_id = %(settled_id)s, next_id = (SELECT coalesce(max(c.change_id), 0) FROM service.change c),
    next_xid = pg_snapshot_xmax(pg_current_snapshot())

-- name: list_events
SELECT f.position, c.change_id, c.at, c.actor, c.thing, c.thing_key, c.ticket_id, a.serial, c.customer_id, c.provider_id,
       c.from_state, c.to_state
FROM service.feed f
JOIN service.change c USING (change_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE f.position > %(after_id)s
ORDER BY f.position
LIMIT %(fetch)s

-- name: insert_webhook
WITH made AS (
    INSERT INTO service.webhook (name, url, secret, types, created_at)
    VALUES (%(name)s, %(url)s, %(secret)s, %(types)s, %(now)s)
    ON CONFLICT (name) DO NOTHING
    RETURNING webhook_id
)
INSERT INTO service.webhook_progress (webhook_id, position, next_attempt_at)
SELECT webhook_id, coalesce(%(after_id)s::bigint, (SELECT coalesce(max(position), 0) FROM service.feed)), now()
FROM made
RETURNING webhook_id

-- name: list_webhooks
SELECT w.webhook_id, w.name, w.url, w.types, w.active, w.created_at, w.version, p.position, p.failures, p.last_error,
       p.delivered_at,
       (SELECT coalesce(max(f.position), 0) FROM service.feed f) - p.position AS behind,
       (SELECT count(*) FROM service.webhook_parked k WHERE k.webhook_id = w.webhook_id AND NOT k.dead) AS parked,
       (SELECT count(*) FROM service.webhook_parked k WHERE k.webhook_id = w.webhook_id AND k.dead) AS dead
FROM service.webhook w
JOIN service.webhook_progress p USING (webhook_id)
WHERE w.webhook_id > %(after_id)s AND (%(webhook_id)s::bigint IS NULL OR w.webhook_id = %(webhook_id)s)
ORDER BY w.webhook_id
LIMIT %(fetch)s

-- name: lock_webhook
SELECT webhook_id, name, url, secret, types, active, version
FROM service.webhook
WHERE webhook_id = %(webhook_id)s
FOR UPDATE

-- name: change_webhook
UPDATE service.webhook
SET url = %(url)s, types = %(types)s, active = %(active)s, version = version + 1
WHERE webhook_id = %(webhook_id)s

-- name: rotate_secret
UPDATE service.webhook
SET previous_secret = secret, previous_until = %(until)s, secret = %(secret)s, version = version + 1
WHERE webhook_id = %(webhook_id)s

-- name: delete_webhook
DELETE FROM service.webhook WHERE webhook_id = %(webhook_id)s RETURNING webhook_id

-- name: rewind
UPDATE service.webhook_progress
SET position = %(after_id)s, replays = replays + 1, failures = 0, next_attempt_at = now(), lease_until = NULL
WHERE webhook_id = %(webhook_id)s

-- name: drop_parked
DELETE FROM service.webhook_parked WHERE webhook_id = %(webhook_id)s

-- name: list_parked
SELECT k.position, k.lane, k.attempts, k.next_attempt_at, k.last_error, k.dead, c.change_id, c.thing, c.to_state
FROM service.webhook_parked k
JOIN service.feed f USING (position)
JOIN service.change c USING (change_id)
WHERE k.webhook_id = %(webhook_id)s AND k.position > %(after_id)s
ORDER BY k.position
LIMIT %(fetch)s

-- Delivery ----------------------------------------------------------------------------------------

-- name: claim_webhook
-- One deliverer each; a lease of somebody who died ends. Only where there is something to do.
UPDATE service.webhook_progress p
SET lease_until = now() + %(lease_s)s * interval '1 second'
FROM service.webhook w
WHERE w.webhook_id = p.webhook_id AND p.webhook_id = (
    SELECT q.webhook_id
    FROM service.webhook_progress q
    JOIN service.webhook v USING (webhook_id)
    WHERE v.active AND (q.lease_until IS NULL OR q.lease_until <= now()) AND q.next_attempt_at <= now()
      AND (EXISTS (SELECT FROM service.feed f WHERE f.position > q.position)
           OR EXISTS (SELECT FROM service.webhook_parked k
                      WHERE k.webhook_id = q.webhook_id AND NOT k.dead AND k.next_attempt_at <= now()))
    ORDER BY q.next_attempt_at, q.webhook_id
    LIMIT 1
    FOR UPDATE OF q SKIP LOCKED)
RETURNING p.webhook_id, p.position, p.replays, p.failures, p.lease_until, w.url, w.secret, w.types,
          CASE WHEN w.previous_until > now() THEN w.previous_secret END AS previous_secret

-- name: due_parked
-- The first of each lane, whose turn it is.
SELECT k.position, k.lane, k.attempts, c.change_id, c.at, c.actor, c.thing, c.thing_key, c.ticket_id, a.serial,
       c.customer_id, c.provider_id, c.from_state, c.to_state
FROM service.webhook_parked k
JOIN service.feed f USING (position)
JOIN service.change c USING (change_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE k.webhook_id = %(webhook_id)s AND NOT k.dead AND k.next_attempt_at <= now()
  AND NOT EXISTS (SELECT FROM service.webhook_parked e
                  WHERE e.webhook_id = k.webhook_id AND e.lane = k.lane AND e.position < k.position AND NOT e.dead)
ORDER BY k.next_attempt_at, k.position
LIMIT %(batch)s

-- name: parked_lanes
SELECT DISTINCT lane FROM service.webhook_parked WHERE webhook_id = %(webhook_id)s AND NOT dead

-- name: park
INSERT INTO service.webhook_parked (webhook_id, position, lane, attempts, next_attempt_at, last_error)
VALUES (%(webhook_id)s, %(position)s, %(lane)s, %(tries)s, now() + %(pause_s)s * interval '1 second', %(error)s)
ON CONFLICT (webhook_id, position) DO NOTHING

-- name: settle_parked
DELETE FROM service.webhook_parked WHERE webhook_id = %(webhook_id)s AND position = %(position)s

-- name: fail_parked
UPDATE service.webhook_parked
SET attempts = attempts + 1, last_error = %(error)s, dead = attempts + 1 >= %(most)s,
    next_attempt_at = now() + %(pause_s)s * interval '1 second'
WHERE webhook_id = %(webhook_id)s AND position = %(position)s
RETURNING dead

-- name: advance
-- Only by whoever holds the lease, and not over a replay.
UPDATE service.webhook_progress
SET position = greatest(position, %(position)s::bigint),
    delivered_at = CASE WHEN %(delivered)s THEN now() ELSE delivered_at END
WHERE webhook_id = %(webhook_id)s AND replays = %(replays)s AND lease_until = %(lease_until)s
RETURNING webhook_id

-- name: release
UPDATE service.webhook_progress
SET lease_until = NULL, failures = %(failures)s, last_error = coalesce(%(error)s::text, last_error),
    next_attempt_at = now() + %(pause_s)s * interval '1 second'
WHERE webhook_id = %(webhook_id)s AND lease_until = %(lease_until)s
