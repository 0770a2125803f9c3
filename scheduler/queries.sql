-- name: ensure_duty
-- A changed interval takes effect at once: what was planned further ahead than that is planned anew.
INSERT INTO scheduling.duty (name, every, next_run_at) VALUES (%(name)s, %(every)s, %(now)s)
ON CONFLICT (name) DO UPDATE
    SET every = excluded.every, next_run_at = least(scheduling.duty.next_run_at, excluded.next_run_at + excluded.every)
    WHERE scheduling.duty.every <> excluded.every

-- name: move_daily_duty
UPDATE scheduling.duty SET next_run_at = %(first)s
WHERE name = %(name)s AND next_run_at > %(now)s
  AND (next_run_at AT TIME ZONE 'UTC')::time <> (%(first)s AT TIME ZONE 'UTC')::time

-- name: claim_duty
-- Due times are compared with the caller's now, leases with the server's clock: a lease says who is alive, and only one
-- clock may judge that. A due time more than two intervals ahead was written by a clock that has been put back since.
WITH due AS (
    SELECT name, least(next_run_at, %(now)s) AS due_at
    FROM scheduling.duty
    WHERE name = ANY(%(names)s)
      AND (next_run_at <= %(now)s OR next_run_at > %(now)s + 2 * every)
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY next_run_at, name
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE scheduling.duty d
SET owner = %(owner)s, lease_until = clock_timestamp() + %(lease)s, fence = d.fence + 1, next_run_at = due.due_at
FROM due WHERE d.name = due.name
RETURNING d.name, due.due_at, d.fence

-- name: start_run
-- A run that its owner never finished is taken over; one that was finished is never repeated.
INSERT INTO scheduling.duty_run (name, due_at, owner, started_at)
VALUES (%(name)s, %(due_at)s, %(owner)s, %(now)s)
ON CONFLICT (name, due_at) DO UPDATE SET owner = excluded.owner, started_at = excluded.started_at
    WHERE scheduling.duty_run.finished_at IS NULL
RETURNING true AS started

-- name: renew_lease
-- Only a lease that is held: a renewal that arrives just after the run was booked must not bring the lease back, or
-- the duty would stand still until it ran out.
UPDATE scheduling.duty SET lease_until = clock_timestamp() + %(lease)s
WHERE name = %(name)s AND fence = %(fence)s AND lease_until IS NOT NULL
RETURNING true AS held

-- name: finish_duty
-- Runs missed in the meantime coalesce: the next due time is the first one after now.
UPDATE scheduling.duty
SET next_run_at = next_run_at
        + every * (floor(extract(epoch FROM %(now)s - next_run_at) / extract(epoch FROM every)) + 1)::double precision,
    lease_until = NULL, owner = NULL
WHERE name = %(name)s AND fence = %(fence)s
RETURNING true AS held

-- name: finish_run
UPDATE scheduling.duty_run SET finished_at = %(now)s, error = %(error)s
WHERE name = %(name)s AND due_at = %(due_at)s

-- name: forget_old_runs
DELETE FROM scheduling.duty_run WHERE name = %(name)s AND due_at < %(before)s

-- name: try_lead
SELECT pg_try_advisory_lock(7266, 10) AS leads

-- name: metric_reported
SELECT EXISTS (SELECT FROM telemetry.metric WHERE name = %(metric)s) AS reported

-- name: latest_meters
-- Every active asset of a model; value is null where nothing was reported in the span.
SELECT a.serial, r.value
FROM telemetry.asset a
LEFT JOIN LATERAL (
    SELECT value FROM telemetry.reading
    WHERE asset_id = a.asset_id
      AND metric_id = (SELECT metric_id FROM telemetry.metric WHERE name = %(metric)s)
      AND time >= %(since)s AND time < %(now)s
    ORDER BY time DESC LIMIT 1
) r ON true
WHERE a.model = %(model)s AND a.state = 'active'
  AND (%(serials)s::text[] IS NULL OR a.serial = ANY(%(serials)s))

-- name: note_obstacle
INSERT INTO scheduling.plan_obstacle (plan_id, reason, noticed_at) VALUES (%(plan_id)s, %(reason)s, %(now)s)
ON CONFLICT (plan_id) DO UPDATE SET reason = excluded.reason, noticed_at = excluded.noticed_at
    WHERE scheduling.plan_obstacle.reason <> excluded.reason

-- name: keep_obstacles
DELETE FROM scheduling.plan_obstacle WHERE plan_id <> ALL(%(plan_ids)s)
