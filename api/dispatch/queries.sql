-- name: insert_technician
INSERT INTO service.technician (name, provider, provider_id, skills, territories, daily_capacity_minutes, active)
VALUES (%(name)s, %(provider)s, %(provider_id)s, %(skills)s, %(territories)s, %(daily_capacity_minutes)s, %(active)s)
ON CONFLICT (name) DO NOTHING
RETURNING technician_id, name, provider, provider_id, skills, territories, daily_capacity_minutes, active, version

-- name: list_technicians
SELECT technician_id, name, provider, provider_id, skills, territories, daily_capacity_minutes, active, version
FROM service.technician
WHERE technician_id > %(after_id)s AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY technician_id
LIMIT %(fetch)s

-- name: get_technician
SELECT technician_id, name, provider, provider_id, skills, territories, daily_capacity_minutes, active, version
FROM service.technician
WHERE technician_id = %(technician_id)s

-- name: lock_technician
-- Whoever books this technician comes one after the other.
SELECT technician_id, name, provider, provider_id, skills, territories, daily_capacity_minutes, active, version
FROM service.technician
WHERE technician_id = %(technician_id)s
FOR UPDATE

-- name: change_technician
UPDATE service.technician
SET provider = coalesce(%(provider)s, provider),
    provider_id = CASE WHEN %(moves)s::boolean THEN %(provider_id)s ELSE provider_id END,
    skills = coalesce(%(skills)s, skills),
    territories = coalesce(%(territories)s, territories),
    daily_capacity_minutes = coalesce(%(daily_capacity_minutes)s, daily_capacity_minutes),
    active = coalesce(%(active)s, active),
    version = version + 1
WHERE technician_id = %(technician_id)s AND version = %(version)s
RETURNING technician_id, name, provider, provider_id, skills, territories, daily_capacity_minutes, active, version

-- name: partners_of_visit
-- Whose technician comes, and whom the case was given to.
SELECT v.provider_id AS comes, t.provider_id AS given
FROM service.technician v, service.ticket t
WHERE v.technician_id = %(technician_id)s AND t.ticket_id = %(ticket_id)s

-- name: lock_ticket
SELECT t.ticket_id, t.kind, t.state, t.asset_id
FROM service.ticket t
WHERE t.ticket_id = %(ticket_id)s
FOR UPDATE

-- name: lock_ticket_of_job
SELECT t.ticket_id, t.kind, t.state
FROM service.ticket t
WHERE t.ticket_id = (SELECT ticket_id FROM service.job WHERE job_id = %(job_id)s)
FOR UPDATE

-- name: lock_job
SELECT job_id FROM service.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: open_job_of_ticket
SELECT job_id FROM service.job
WHERE ticket_id = %(ticket_id)s AND state NOT IN ('completed', 'cancelled')

-- name: insert_job_of_ticket
-- What the component needs stands in the model's bill of materials; a ticket without a component is looked into.
INSERT INTO service.job (asset_id, ticket_id, skill, labour_minutes, priority, instructions, due_by, created_at)
SELECT t.asset_id, t.ticket_id, coalesce(c.skill, 'general'), coalesce(c.labour_minutes, 60), t.priority,
       concat_ws(E'\n', t.title, nullif(t.description, '')), t.due_by, %(now)s
FROM service.ticket t
JOIN service.asset a USING (asset_id)
LEFT JOIN service.component c ON c.model_id = a.model_id AND c.name = t.component
WHERE t.ticket_id = %(ticket_id)s
RETURNING job_id

-- name: insert_parts_of_ticket
INSERT INTO service.job_part (job_id, part_id, quantity)
SELECT %(job_id)s, c.part_id, c.quantity
FROM service.ticket t
JOIN service.asset a USING (asset_id)
JOIN service.component c ON c.model_id = a.model_id AND c.name = t.component
WHERE t.ticket_id = %(ticket_id)s AND c.part_id IS NOT NULL

-- name: plan_and_asset
SELECT l.plan_id, l.active, l.model_id AS plan_model_id, m.code AS plan_model,
       a.asset_id, a.model_id AS asset_model_id, a.state AS asset_state
FROM service.plan l
JOIN service.product_model m USING (model_id)
LEFT JOIN service.asset a ON a.serial = %(serial)s
WHERE l.plan_id = %(plan_id)s

-- name: job_of_occurrence
SELECT job_id FROM service.job
WHERE plan_id = %(plan_id)s AND asset_id = %(asset_id)s AND occurrence = %(occurrence)s

-- name: insert_job_of_plan
INSERT INTO service.job (asset_id, plan_id, occurrence, skill, labour_minutes, instructions, created_at)
SELECT %(asset_id)s, l.plan_id, %(occurrence)s, l.skill, l.labour_minutes, l.instructions, %(now)s
FROM service.plan l
WHERE l.plan_id = %(plan_id)s
ON CONFLICT (plan_id, asset_id, occurrence) DO NOTHING
RETURNING job_id

-- name: insert_parts_of_plan
INSERT INTO service.job_part (job_id, part_id, quantity)
SELECT %(job_id)s, part_id, quantity FROM service.plan_part WHERE plan_id = %(plan_id)s

-- name: pick_job
WITH picked AS (SELECT * FROM service.job WHERE job_id = %(job_id)s)

-- name: pick_jobs_by_state
-- A branch per state that walks its own stretch of the index (state, job_id) and stops at the page's end. Written as
-- a range, because with `state = …` the planner, who cannot know how rare the state is, walks all jobs by their number.
WITH picked AS (
    SELECT j.*
    FROM unnest(%(states)s::text[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT * FROM service.job
        WHERE (state, job_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
        ORDER BY state, job_id
        LIMIT %(fetch)s
    ) j
    ORDER BY j.job_id
    LIMIT %(fetch)s
)

-- name: pick_jobs_by_ticket
WITH picked AS (
    SELECT j.*
    FROM service.job j
    WHERE j.ticket_id = %(ticket_id)s AND j.state = ANY (%(states)s) AND j.job_id > %(after_id)s
      AND (%(serial)s::text IS NULL OR j.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s))
    ORDER BY j.job_id
    LIMIT %(fetch)s
)

-- name: pick_jobs_by_asset
WITH picked AS (
    SELECT j.*
    FROM service.job j
    WHERE j.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s)
      AND j.state = ANY (%(states)s) AND j.job_id > %(after_id)s
    ORDER BY j.job_id
    LIMIT %(fetch)s
)

-- name: job_rows
SELECT j.job_id, j.asset_id, a.serial, coalesce(s.territory, 'default') AS territory,
       coalesce(s.time_zone, 'UTC') AS time_zone, j.ticket_id, j.plan_id, j.occurrence, t.component, j.state,
       j.waiting_reason, j.cancel_reason, j.skill, j.labour_minutes, j.priority, j.instructions, j.due_by,
       j.created_at, j.completed_at, j.outcome, j.version,
       -- Where another part was allocated instead, the job needs that one.
       coalesce((SELECT jsonb_agg(jsonb_build_object('sku', p.sku, 'quantity', jp.quantity) ORDER BY p.sku)
                 FROM service.job_part jp
                 JOIN service.part p ON p.part_id = coalesce(
                     (SELECT d.given_part_id FROM service.part_demand d
                      WHERE d.job_id = jp.job_id AND d.part_id = jp.part_id AND d.state IN ('allocated', 'fulfilled')
                      ORDER BY d.part_demand_id DESC
                      LIMIT 1), jp.part_id)
                 WHERE jp.job_id = j.job_id), '[]') AS parts,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                        'reservation_id', r.reservation_id, 'job_id', r.job_id, 'sku', p.sku,
                        'warehouse', service.warehouse_code(r.warehouse_id), 'ticket_id', r.ticket_id,
                        'demand_id', r.demand_id, 'place', r.place,
                        'quantity', r.quantity, 'state', r.state, 'available_at', r.available_at,
                        'created_at', r.created_at, 'version', r.version) ORDER BY r.reservation_id)
                 FROM service.reservation r
                 JOIN service.part p USING (part_id)
                 WHERE r.job_id = j.job_id AND r.state <> 'released'), '[]') AS reservations,
       (SELECT jsonb_build_object('visit_id', v.visit_id, 'job_id', v.job_id, 'technician_id', v.technician_id,
                                  'starts_at', v.starts_at, 'ends_at', v.ends_at, 'state', v.state)
        FROM service.visit v
        WHERE v.job_id = j.job_id AND v.state <> 'cancelled'
        ORDER BY v.visit_id DESC
        LIMIT 1) AS visit
FROM picked j
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.ticket t ON t.ticket_id = j.ticket_id
ORDER BY j.job_id

-- name: move_job
UPDATE service.job
SET state = %(to)s,
    waiting_reason = %(waiting_reason)s,
    cancel_reason = %(cancel_reason)s,
    outcome = %(outcome)s,
    completed_at = CASE WHEN %(to)s = 'completed' THEN %(now)s::timestamptz END,
    version = version + 1
WHERE job_id = %(job_id)s AND state = %(from)s
RETURNING job_id

-- name: visits_within
SELECT starts_at, ends_at
FROM service.visit
WHERE technician_id = %(technician_id)s AND state <> 'cancelled'
  AND state IN ('planned', 'confirmed', 'travelling', 'started') AND visit_id <> %(except_visit_id)s
  -- A visit is no longer than 24 hours: bounds the stretch of the index.
  AND starts_at < %(until)s AND starts_at > %(since)s::timestamptz - interval '24 hours' - interval '1 second'
  AND ends_at > %(since)s
ORDER BY starts_at

-- name: insert_visit
-- The procedure is the one of this day: what is written of it later is for later visits.
INSERT INTO service.visit (job_id, ticket_id, technician_id, starts_at, ends_at, dispatched_at, sop_id)
SELECT job_id, ticket_id, %(technician_id)s, %(starts_at)s, %(ends_at)s, %(now)s, service.sop_of_job(job_id)
FROM service.job
WHERE job_id = %(job_id)s
RETURNING visit_id

-- name: start_visit
UPDATE service.visit SET state = 'started', version = version + 1
WHERE job_id = %(job_id)s AND state IN ('planned', 'confirmed', 'travelling')

-- name: complete_visit
UPDATE service.visit SET state = 'completed', ended_at = %(now)s, version = version + 1
WHERE job_id = %(job_id)s AND state IN ('planned', 'confirmed', 'travelling', 'started')

-- name: visit_with_check_in
SELECT visit_id FROM service.visit WHERE job_id = %(job_id)s AND state = 'started' AND checked_in_at IS NOT NULL

-- name: call_off_visit
-- A visit that was begun did take place, even if the work has to go on another day.
UPDATE service.visit
SET state = CASE state WHEN 'started' THEN 'completed' ELSE 'cancelled' END, ended_at = %(now)s, version = version + 1
WHERE job_id = %(job_id)s AND state IN ('planned', 'confirmed', 'travelling', 'started')

-- name: list_visits
-- A range per state, as in pick_jobs_by_state.
SELECT v.visit_id, v.job_id, v.ticket_id, v.technician_id, a.serial, s.name AS site,
       coalesce(s.time_zone, 'UTC') AS time_zone, v.starts_at, v.ends_at, v.state, v.version
FROM unnest(%(states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM service.visit
    WHERE (state, visit_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
      AND (%(technician_id)s::bigint IS NULL OR technician_id = %(technician_id)s)
      AND (%(ends_after)s::timestamptz IS NULL OR ends_at > %(ends_after)s)
      AND (%(starts_before)s::timestamptz IS NULL OR starts_at < %(starts_before)s)
    ORDER BY state, visit_id
    LIMIT %(fetch)s
) v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
ORDER BY v.visit_id
LIMIT %(fetch)s
