-- name: active_ladders
SELECT ladder_id, kinds, priorities, queues, steps
FROM service.escalation_ladder
WHERE active
ORDER BY place, ladder_id

-- name: insert_ladder
INSERT INTO service.escalation_ladder (name, place, active, kinds, priorities, queues, steps)
VALUES (%(name)s, %(place)s, %(active)s, %(kinds)s, %(priorities)s, %(queues)s, %(steps)s)
ON CONFLICT (name) DO NOTHING
RETURNING ladder_id

-- name: list_ladders
SELECT ladder_id, name, place, active, kinds, priorities, queues, steps, version
FROM service.escalation_ladder
WHERE ladder_id > %(after_id)s
ORDER BY ladder_id
LIMIT %(fetch)s

-- name: get_ladder
SELECT ladder_id, name, place, active, kinds, priorities, queues, steps, version
FROM service.escalation_ladder
WHERE ladder_id = %(ladder_id)s

-- name: change_ladder
UPDATE service.escalation_ladder
SET name = %(name)s, place = %(place)s, active = %(active)s, kinds = %(kinds)s, priorities = %(priorities)s,
    queues = %(queues)s, steps = %(steps)s, version = version + 1
WHERE ladder_id = %(ladder_id)s AND version = %(version)s
RETURNING ladder_id

-- name: ladder_name_taken
SELECT ladder_id FROM service.escalation_ladder WHERE name = %(name)s AND ladder_id <> %(ladder_id)s

-- name: users_known
SELECT count(*) AS known FROM service.app_user WHERE user_id = ANY (%(user_ids)s) AND active

-- name: case_of
SELECT ticket_id, kind, priority, queue, title, state, asset_id, customer_id, provider_id, owner_user_id, version
FROM service.ticket
WHERE ticket_id = %(ticket_id)s

-- name: insert_escalation
INSERT INTO service.escalation (ticket_id, ladder_id, cause, clock_id, steps, next_at, opened_at)
VALUES (%(ticket_id)s, %(ladder_id)s, %(cause)s, %(clock_id)s, %(steps)s, %(next_at)s, %(now)s)
ON CONFLICT (ticket_id, cause) DO NOTHING
RETURNING escalation_id

-- name: open_by_hand
SELECT escalation_id, role
FROM service.escalation
WHERE ticket_id = %(ticket_id)s AND ladder_id IS NULL AND state = 'open'

-- name: insert_by_hand
INSERT INTO service.escalation (ticket_id, cause, steps, role, opened_at, opened_by, opened_because)
SELECT %(ticket_id)s, 'by_hand:' || 1 + count(*), '[]', %(role)s, %(now)s, %(opened_by)s, %(reason)s
FROM service.escalation
WHERE ticket_id = %(ticket_id)s AND ladder_id IS NULL
RETURNING escalation_id, cause

-- name: escalation_of_cause
SELECT escalation_id, state, steps, steps_gone, opened_at
FROM service.escalation
WHERE ticket_id = %(ticket_id)s AND cause = %(cause)s
FOR UPDATE

-- name: set_next
UPDATE service.escalation SET next_at = %(next_at)s WHERE escalation_id = %(escalation_id)s AND state = 'open'

-- name: returned_cases
-- One open escalation of a case's coming back is enough.
SELECT t.ticket_id, t.kind, t.priority, t.queue, t.reopened_count
FROM service.ticket t
WHERE t.reopened_count > 0 AND t.state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')
  AND t.ticket_id > %(after_id)s
  AND NOT EXISTS (SELECT FROM service.escalation e
                  WHERE e.ticket_id = t.ticket_id AND e.cause LIKE 'reopened:%%'
                    AND (e.state = 'open' OR e.cause = 'reopened:' || t.reopened_count))
ORDER BY t.ticket_id
LIMIT %(limit)s

-- name: claim_steps
-- The case is locked first, as everybody does; a clock that is paused keeps its steps waiting.
SELECT e.escalation_id, e.ticket_id, e.cause, e.steps, e.steps_gone, e.opened_at, e.role, e.user_id, e.next_at,
       c.warned_at, c.breached_at, c.calendar_id
FROM service.escalation e
JOIN service.ticket t USING (ticket_id)
LEFT JOIN service.ticket_clock c ON c.clock_id = e.clock_id
WHERE e.next_at <= %(now)s AND (c.clock_id IS NULL OR (c.paused_since IS NULL AND c.stopped_at IS NULL))
ORDER BY e.next_at, e.escalation_id
LIMIT %(limit)s
FOR UPDATE OF t, e SKIP LOCKED

-- name: insert_step
INSERT INTO service.escalation_step (escalation_id, step, at, done)
VALUES (%(escalation_id)s, %(step)s, %(now)s, %(done)s)
ON CONFLICT (escalation_id, step) DO NOTHING
RETURNING step

-- name: step_gone
UPDATE service.escalation
SET steps_gone = %(step)s, next_at = %(next_at)s, role = coalesce(%(role)s, role), user_id = coalesce(%(user_id)s, user_id),
    version = version + 1
WHERE escalation_id = %(escalation_id)s

-- name: end_escalation
UPDATE service.escalation
SET state = %(state)s, decision = %(decision)s, reason = %(text)s, decided_by = %(decided_by)s, ended_at = %(now)s,
    next_at = NULL, version = version + 1
WHERE escalation_id = %(escalation_id)s

-- name: lock_escalation
SELECT e.escalation_id, e.ticket_id, e.state, e.role, e.user_id, e.version
FROM service.ticket t
JOIN service.escalation e USING (ticket_id)
WHERE e.escalation_id = %(escalation_id)s
FOR UPDATE OF t, e

-- name: list_escalations
SELECT e.escalation_id, e.ticket_id, t.title, t.priority, t.state AS ticket_state, l.name AS ladder, e.cause, e.state,
       e.steps, e.steps_gone, e.next_at, e.role, e.user_id, e.opened_at, e.opened_by, e.opened_because, e.decision, e.reason AS text, e.decided_by,
       e.ended_at, e.version
FROM service.escalation e
JOIN service.ticket t USING (ticket_id)
LEFT JOIN service.escalation_ladder l USING (ladder_id)
WHERE e.escalation_id > %(after_id)s
  AND (%(state)s::text IS NULL OR e.state = %(state)s)
  AND (%(role)s::text IS NULL OR e.role = %(role)s)
  AND (%(ticket_id)s::bigint IS NULL OR e.ticket_id = %(ticket_id)s)
ORDER BY e.escalation_id
LIMIT %(fetch)s

-- name: get_escalation
SELECT e.escalation_id, e.ticket_id, t.title, t.priority, t.state AS ticket_state, l.name AS ladder, e.cause, e.state,
       e.steps, e.steps_gone, e.next_at, e.role, e.user_id, e.opened_at, e.opened_by, e.opened_because, e.decision, e.reason AS text, e.decided_by,
       e.ended_at, e.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('step', s.step, 'at', s.at, 'done', s.done) ORDER BY s.step)
                 FROM service.escalation_step s WHERE s.escalation_id = e.escalation_id), '[]') AS gone
FROM service.escalation e
JOIN service.ticket t USING (ticket_id)
LEFT JOIN service.escalation_ladder l USING (ladder_id)
WHERE e.escalation_id = %(escalation_id)s
