-- name: insert_ticket
-- Without a conflict target both uniquenesses count: one open case per asset and cause, one ticket per term.
INSERT INTO service.ticket
    (kind, priority, asset_id, component, cause, title, description, raised_by, opened_at, due_by, evidence, term_id)
VALUES (%(kind)s, %(priority)s, %(asset_id)s, %(component)s, %(cause)s, %(title)s, %(description)s, %(raised_by)s,
        %(now)s, %(due_by)s, %(evidence)s, %(term_id)s)
ON CONFLICT DO NOTHING
RETURNING ticket_id

-- name: lock_open_case
-- Shared, so that several may add evidence, but nobody may end the case meanwhile.
SELECT ticket_id, state
FROM service.ticket
WHERE asset_id = %(asset_id)s AND cause = %(cause)s AND cause <> '' AND state NOT IN ('resolved', 'closed', 'cancelled')
FOR SHARE

-- name: ticket_of_term
SELECT ticket_id, state
FROM service.ticket
WHERE term_id = %(term_id)s
FOR SHARE

-- name: component_of_asset
SELECT c.component_id
FROM service.asset a
JOIN service.component c USING (model_id)
WHERE a.asset_id = %(asset_id)s AND c.name = %(component)s

-- name: components_of_asset
SELECT c.name
FROM service.asset a
JOIN service.component c USING (model_id)
WHERE a.asset_id = %(asset_id)s
ORDER BY c.name
LIMIT 20

-- name: describe_machine
SELECT a.serial, m.name AS model_name, s.name AS site_name
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.asset_id = %(asset_id)s

-- name: insert_event
INSERT INTO service.ticket_event (ticket_id, at, actor, kind, detail)
VALUES (%(ticket_id)s, %(now)s, %(actor)s, %(kind)s, %(detail)s)

-- name: list_events
SELECT ticket_event_id, ticket_id, at, actor, kind, detail
FROM service.ticket_event
WHERE ticket_id = %(ticket_id)s AND ticket_event_id > %(after_id)s
ORDER BY ticket_event_id
LIMIT %(fetch)s

-- name: get_ticket
SELECT t.ticket_id, t.kind, t.state, t.priority, t.asset_id, a.serial, t.component, t.cause, t.title, t.description,
       t.raised_by, t.opened_at, t.due_by, t.closed_at, t.outcome, t.evidence, t.term_id,
       (SELECT max(j.job_id) FROM service.job j WHERE j.ticket_id = t.ticket_id) AS job_id, t.version
FROM service.ticket t
JOIN service.asset a USING (asset_id)
WHERE t.ticket_id = %(ticket_id)s

-- name: list_tickets
SELECT t.ticket_id, t.kind, t.state, t.priority, t.asset_id, a.serial, t.component, t.cause, t.title, t.description,
       t.raised_by, t.opened_at, t.due_by, t.closed_at, t.outcome, t.evidence, t.term_id,
       (SELECT max(j.job_id) FROM service.job j WHERE j.ticket_id = t.ticket_id) AS job_id, t.version
FROM service.ticket t
JOIN service.asset a USING (asset_id)
WHERE t.ticket_id > %(after_id)s
  AND (%(states)s::text[] IS NULL OR t.state = ANY (%(states)s))
  AND (%(kind)s::text IS NULL OR t.kind = %(kind)s)
  AND (%(serial)s::text IS NULL OR t.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s))
  AND (%(component)s::text IS NULL OR t.component = %(component)s)
  AND (%(needs_job)s::boolean IS NULL OR %(needs_job)s = (
        t.kind IN ('preventive', 'repair') AND t.state IN ('open', 'scheduled') AND NOT EXISTS (
            SELECT FROM service.job j WHERE j.ticket_id = t.ticket_id AND j.state NOT IN ('completed', 'cancelled'))))
ORDER BY t.ticket_id
LIMIT %(fetch)s

-- name: lock_ticket
SELECT ticket_id, kind, state, priority, asset_id, cause, title, description, due_by, version
FROM service.ticket
WHERE ticket_id = %(ticket_id)s
FOR UPDATE

-- name: open_job
SELECT job_id FROM service.job
WHERE ticket_id = %(ticket_id)s AND state NOT IN ('completed', 'cancelled')

-- name: change_ticket
UPDATE service.ticket
SET title = %(title)s, description = %(description)s, priority = %(priority)s, due_by = %(due_by)s,
    version = version + 1
WHERE ticket_id = %(ticket_id)s

-- name: move_ticket
UPDATE service.ticket
SET state = %(to)s,
    outcome = CASE WHEN %(to)s = 'resolved' THEN %(outcome)s WHEN %(over)s THEN outcome END,
    closed_at = CASE WHEN %(over)s THEN coalesce(closed_at, %(now)s) END,
    version = version + 1
WHERE ticket_id = %(ticket_id)s AND state = %(from)s
RETURNING ticket_id
