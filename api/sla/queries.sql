-- name: revision
SELECT revision FROM service.sla_revision

-- name: all_calendars
SELECT calendar_id, time_zone, week, version FROM service.calendar

-- name: all_days
-- One's own day holds against the library's.
SELECT DISTINCT ON (calendar_id, day) calendar_id, day, spans
FROM service.calendar_day
ORDER BY calendar_id, day, source DESC

-- name: active_policies
SELECT policy_id, calendar_id, kinds, priorities, queues, customer_kinds, customer_ids, first_response_minutes,
       appointment_minutes, solution_minutes, warn_percent
FROM service.sla_policy
WHERE active
ORDER BY place, policy_id

-- name: insert_clocks
-- Only if they were reckoned by the policies and calendars as they are.
WITH known AS (SELECT revision FROM service.sla_revision), made AS (
    INSERT INTO service.ticket_clock (ticket_id, kind, policy_id, calendar_id, calendar_version, target_minutes,
                                      warn_percent, started_at, due_at, warn_at, next_at)
    SELECT %(ticket_id)s, c.kind, c.policy_id, c.calendar_id, c.calendar_version, c.target_minutes, c.warn_percent,
           %(started_at)s, c.due_at, c.warn_at, c.next_at
    FROM unnest(%(kinds)s::text[], %(policy_ids)s::bigint[], %(calendar_ids)s::bigint[], %(calendar_versions)s::integer[],
                %(target_minutes)s::integer[], %(warn_percents)s::integer[], %(due_ats)s::timestamptz[],
                %(warn_ats)s::timestamptz[], %(next_ats)s::timestamptz[])
        AS c (kind, policy_id, calendar_id, calendar_version, target_minutes, warn_percent, due_at, warn_at, next_at)
    WHERE (SELECT revision FROM known) = %(revision)s
    ON CONFLICT (ticket_id, kind) DO NOTHING
)
SELECT revision FROM known

-- name: customer_kind
SELECT kind FROM service.customer WHERE customer_id = %(customer_id)s

-- name: lock_clocks
-- The case first, as everybody does.
SELECT clock_id, ticket_id, ticket_clock.kind, policy_id, calendar_id, calendar_version, target_minutes, warn_percent, started_at,
       pauses, paused_since, stopped_at, due_at, warn_at, next_at, warned_at, breached_at
FROM service.ticket
JOIN service.ticket_clock USING (ticket_id)
WHERE ticket_id = %(ticket_id)s
ORDER BY clock_id
FOR UPDATE OF ticket, ticket_clock

-- name: update_clock
UPDATE service.ticket_clock
SET policy_id = %(policy_id)s, calendar_id = %(calendar_id)s, calendar_version = %(calendar_version)s,
    target_minutes = %(target_minutes)s, warn_percent = %(warn_percent)s, pauses = %(pauses)s,
    paused_since = %(paused_since)s, stopped_at = %(stopped_at)s, due_at = %(due_at)s, warn_at = %(warn_at)s,
    next_at = %(next_at)s, warned_at = %(warned_at)s, breached_at = %(breached_at)s
WHERE clock_id = %(clock_id)s

-- name: delete_clock
DELETE FROM service.ticket_clock WHERE clock_id = %(clock_id)s

-- name: ticket_exists
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: list_clocks
SELECT c.clock_id, c.ticket_id, c.kind, p.name AS policy, k.code AS calendar, c.target_minutes, c.started_at, c.pauses,
       c.paused_since, c.stopped_at, c.due_at, c.warned_at, c.breached_at
FROM service.ticket_clock c
LEFT JOIN service.sla_policy p USING (policy_id)
JOIN service.calendar k ON k.calendar_id = c.calendar_id
WHERE c.ticket_id = %(ticket_id)s
ORDER BY c.clock_id

-- name: list_due
SELECT c.clock_id, c.ticket_id, c.kind, c.due_at, c.warned_at, c.breached_at, t.title, t.priority, t.state, t.queue,
       t.owner_user_id
FROM service.ticket_clock c
JOIN service.ticket t USING (ticket_id)
WHERE c.stopped_at IS NULL AND c.due_at IS NOT NULL
  AND (c.due_at, c.clock_id) > (%(after_due_at)s, %(after_id)s::bigint)
  AND (%(due_before)s::timestamptz IS NULL OR c.due_at < %(due_before)s)
  AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
ORDER BY c.due_at, c.clock_id
LIMIT %(fetch)s

-- name: outdated_clocks
-- Running clocks that were reckoned by a calendar as it was before; the order keeps to the index.
SELECT c.clock_id, c.ticket_id, c.kind, c.policy_id, c.calendar_id, c.calendar_version, c.target_minutes, c.warn_percent,
       c.started_at, c.pauses, c.paused_since, c.stopped_at, c.due_at, c.warn_at, c.next_at, c.warned_at, c.breached_at
FROM service.calendar k
CROSS JOIN LATERAL (
    SELECT * FROM service.ticket_clock o
    WHERE o.calendar_id = k.calendar_id AND o.calendar_version < k.version AND o.stopped_at IS NULL
    ORDER BY o.calendar_version
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) c

-- name: claim_tripping
-- The cases are locked before their clocks, as everybody does who moves a case.
SELECT c.clock_id
FROM service.ticket_clock c
JOIN service.ticket t USING (ticket_id)
WHERE c.next_at <= %(now)s
ORDER BY c.next_at, c.clock_id
LIMIT %(limit)s
FOR UPDATE OF t SKIP LOCKED

-- name: lock_tripping
SELECT clock_id, ticket_id, kind, policy_id, calendar_id, calendar_version, target_minutes, warn_percent, started_at,
       pauses, paused_since, stopped_at, due_at, warn_at, next_at, warned_at, breached_at
FROM service.ticket_clock
WHERE clock_id = ANY (%(clock_ids)s) AND next_at <= %(now)s
ORDER BY next_at, clock_id
FOR UPDATE

-- name: insert_calendar
INSERT INTO service.calendar (code, name, time_zone, week, country, subdivision, created_at)
VALUES (%(code)s, %(name)s, %(time_zone)s, %(week)s, %(country)s, %(subdivision)s, %(now)s)
ON CONFLICT (code) DO NOTHING
RETURNING calendar_id

-- name: list_calendars
SELECT calendar_id, code, name, time_zone, week, country, subdivision, holidays_version, holidays_until, version
FROM service.calendar
WHERE calendar_id > %(after_id)s
ORDER BY calendar_id
LIMIT %(fetch)s

-- name: get_calendar
SELECT calendar_id, code, name, time_zone, week, country, subdivision, holidays_version, holidays_until, version
FROM service.calendar
WHERE code = %(code)s

-- name: lock_calendar
SELECT calendar_id, code, name, time_zone, week, country, subdivision, holidays_version, holidays_until, version
FROM service.calendar
WHERE code = %(code)s
FOR UPDATE

-- name: change_calendar
UPDATE service.calendar
SET name = %(name)s, week = %(week)s, version = version + 1
WHERE calendar_id = %(calendar_id)s

-- name: touch_calendar
UPDATE service.calendar
SET holidays_version = coalesce(%(holidays_version)s, holidays_version),
    holidays_until = greatest(holidays_until, %(holidays_until)s), version = version + 1
WHERE calendar_id = %(calendar_id)s

-- name: delete_library_days
DELETE FROM service.calendar_day
WHERE calendar_id = %(calendar_id)s AND source = 'library' AND day >= %(first)s AND day <= %(last)s

-- name: insert_library_days
INSERT INTO service.calendar_day (calendar_id, day, source, name, spans)
SELECT %(calendar_id)s, d.day, 'library', d.name, d.spans
FROM unnest(%(days)s::date[], %(names)s::text[], %(spans)s::jsonb[]) AS d (day, name, spans)

-- name: list_days
SELECT day, source, name, spans
FROM service.calendar_day d
WHERE d.calendar_id = %(calendar_id)s AND d.day >= %(first)s AND d.day <= %(last)s
ORDER BY d.day, d.source DESC
LIMIT 1000

-- name: put_own_day
INSERT INTO service.calendar_day (calendar_id, day, source, name, spans)
VALUES (%(calendar_id)s, %(day)s, 'own', %(name)s, %(spans)s)
ON CONFLICT (calendar_id, day, source) DO UPDATE SET name = excluded.name, spans = excluded.spans

-- name: delete_own_day
DELETE FROM service.calendar_day
WHERE calendar_id = %(calendar_id)s AND day = %(day)s AND source = 'own'
RETURNING day

-- name: calendars_running_out
SELECT code FROM service.calendar
WHERE country IS NOT NULL AND holidays_until < %(year)s
ORDER BY calendar_id
LIMIT 20

-- name: insert_policy
INSERT INTO service.sla_policy (name, place, active, calendar_id, kinds, priorities, queues, customer_kinds, customer_ids,
                                first_response_minutes, appointment_minutes, solution_minutes, warn_percent)
VALUES (%(name)s, %(place)s, %(active)s, %(calendar_id)s, %(kinds)s, %(priorities)s, %(queues)s, %(customer_kinds)s,
        %(customer_ids)s, %(first_response_minutes)s, %(appointment_minutes)s, %(solution_minutes)s, %(warn_percent)s)
ON CONFLICT (name) DO NOTHING
RETURNING policy_id

-- name: list_policies
SELECT p.policy_id, p.name, p.place, p.active, k.code AS calendar, p.kinds, p.priorities, p.queues, p.customer_kinds,
       p.customer_ids, p.first_response_minutes, p.appointment_minutes, p.solution_minutes, p.warn_percent, p.version
FROM service.sla_policy p
JOIN service.calendar k USING (calendar_id)
WHERE p.policy_id > %(after_id)s
ORDER BY p.policy_id
LIMIT %(fetch)s

-- name: get_policy
SELECT p.policy_id, p.name, p.place, p.active, k.code AS calendar, p.calendar_id, p.kinds, p.priorities, p.queues,
       p.customer_kinds, p.customer_ids, p.first_response_minutes, p.appointment_minutes, p.solution_minutes,
       p.warn_percent, p.version
FROM service.sla_policy p
JOIN service.calendar k USING (calendar_id)
WHERE p.policy_id = %(policy_id)s

-- name: change_policy
UPDATE service.sla_policy
SET name = %(name)s, place = %(place)s, active = %(active)s, calendar_id = %(calendar_id)s, kinds = %(kinds)s,
    priorities = %(priorities)s, queues = %(queues)s, customer_kinds = %(customer_kinds)s,
    customer_ids = %(customer_ids)s, first_response_minutes = %(first_response_minutes)s,
    appointment_minutes = %(appointment_minutes)s, solution_minutes = %(solution_minutes)s,
    warn_percent = %(warn_percent)s, version = version + 1
WHERE policy_id = %(policy_id)s AND version = %(version)s
RETURNING policy_id

-- name: policy_name_taken
SELECT policy_id FROM service.sla_policy WHERE name = %(name)s AND policy_id <> %(policy_id)s
