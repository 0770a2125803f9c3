-- Pieces of which the lists of tickets are put together (api/tickets/filters.py): a walk along one index in the order of the
-- list, what must fit besides, and the columns. tests/api/test_list_plans.py reads the plan of every one.

-- name: columns
SELECT t.ticket_id, t.kind, t.service_mode, t.state, t.priority, a.serial, t.customer_id, t.contact_id, t.provider_id,
       t.component, t.cause, t.title, t.description, t.raised_by, t.opened_at, t.updated_at, t.due_by, t.closed_at,
       t.outcome, t.evidence, t.term_id, t.owner_user_id, t.queue,
       ARRAY(SELECT g.tag FROM service.ticket_tag g WHERE g.ticket_id = t.ticket_id ORDER BY g.tag) AS tags,
       t.reopened_count, t.merged_into,
       (SELECT max(j.job_id) FROM service.job j WHERE j.ticket_id = t.ticket_id) AS job_id, t.version

-- name: walk_asset
SELECT * FROM service.ticket WHERE asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s)

-- name: walk_customer
SELECT * FROM service.ticket WHERE customer_id = %(customer_id)s

-- name: walk_watched
SELECT t.* FROM service.ticket_watcher w JOIN service.ticket t USING (ticket_id) WHERE w.user_id = %(me)s

-- name: walk_owner
SELECT * FROM service.ticket WHERE owner_user_id = %(owner_id)s

-- name: walk_owner_active
SELECT * FROM service.ticket
WHERE owner_user_id = %(owner_id)s AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')

-- name: walk_tag
SELECT t.* FROM service.ticket_tag g JOIN service.ticket t USING (ticket_id) WHERE g.tag = %(tag)s

-- name: walk_provider
SELECT * FROM service.ticket WHERE provider_id = %(provider_id)s

-- name: walk_provider_active
SELECT * FROM service.ticket
WHERE provider_id = %(provider_id)s AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')

-- name: walk_unclaimed_queue
SELECT * FROM service.ticket WHERE queue = %(queue)s AND owner_user_id IS NULL AND state = 'open'

-- name: walk_unclaimed
SELECT * FROM service.ticket WHERE owner_user_id IS NULL AND state = 'open'

-- name: walk_queue
SELECT * FROM service.ticket WHERE queue = %(queue)s

-- name: walk_queue_active
SELECT * FROM service.ticket
WHERE queue = %(queue)s AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')

-- name: walk_job_wanted
SELECT * FROM service.ticket
WHERE kind IN ('preventive', 'repair') AND state IN ('open', 'scheduled')
  AND coalesce(service_mode, 'on_site') = 'on_site' AND asset_id IS NOT NULL

-- name: walk_kind_state
SELECT * FROM service.ticket WHERE kind = %(kind)s AND state = %(state)s

-- name: walk_state
SELECT * FROM service.ticket WHERE state = %(state)s

-- name: walk_active
SELECT * FROM service.ticket WHERE state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')

-- name: walk_kind
SELECT * FROM service.ticket WHERE kind = %(kind)s

-- name: walk_all
SELECT * FROM service.ticket WHERE true

-- name: walk_due
SELECT * FROM service.ticket
WHERE due_by IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')

-- name: walk_late
-- Each late ticket once, at the first date that has passed: its own, or that of a clock that runs. Two indexes are walked
-- and merged, so each has its page. A ticket's clocks are asked for as values, because the planner may make a table of all
-- clocks to answer NOT EXISTS.
SELECT * FROM (
    (SELECT t.*, t.due_by AS late_at, t.ticket_id AS late_id
     FROM service.ticket t
     WHERE t.due_by < %(now)s AND t.due_by IS NOT NULL
       AND t.state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')
       AND (t.due_by, t.ticket_id) > (%(after_due)s, %(after_id)s)
       AND (SELECT bool_or(c.due_at <= t.due_by) FROM service.ticket_clock c
            WHERE c.ticket_id = t.ticket_id AND c.stopped_at IS NULL) IS NOT TRUE
     ORDER BY t.due_by, t.ticket_id
     LIMIT %(scan)s)
    UNION ALL
    (SELECT t.*, c.due_at AS late_at, c.ticket_id AS late_id
     FROM service.ticket_clock c
     JOIN service.ticket t ON t.ticket_id = c.ticket_id
     WHERE c.due_at < %(now)s AND c.due_at IS NOT NULL AND c.stopped_at IS NULL
       AND (c.due_at, c.ticket_id) > (%(after_due)s, %(after_id)s)
       AND t.state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')
       AND coalesce(t.due_by >= c.due_at, true)
       AND (SELECT bool_or((o.due_at, o.clock_id) < (c.due_at, c.clock_id)) FROM service.ticket_clock o
            WHERE o.ticket_id = c.ticket_id AND o.stopped_at IS NULL) IS NOT TRUE
     ORDER BY c.due_at, c.ticket_id
     LIMIT %(scan)s)
) late

-- name: fit_states
t.state = ANY (%(states)s)

-- name: fit_kinds
t.kind = ANY (%(kinds)s)

-- name: fit_service_modes
t.service_mode = ANY (%(service_modes)s)

-- name: fit_priorities
t.priority = ANY (%(priorities)s)

-- name: fit_serial
t.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s)

-- name: fit_component
t.component = %(component)s

-- name: fit_customer_id
t.customer_id = %(customer_id)s

-- name: fit_provider_id
t.provider_id = %(provider_id)s

-- name: fit_owner_id
t.owner_user_id = %(owner_id)s

-- name: fit_unowned
t.owner_user_id IS NULL

-- name: fit_queue
t.queue = %(queue)s

-- name: fit_tag
EXISTS (SELECT FROM service.ticket_tag g WHERE g.ticket_id = t.ticket_id AND g.tag = %(tag)s)

-- name: fit_watched
EXISTS (SELECT FROM service.ticket_watcher w WHERE w.ticket_id = t.ticket_id AND w.user_id = %(me)s)

-- name: fit_overdue
t.state IN ('open', 'waiting_customer', 'scheduled', 'in_progress')
  AND (t.due_by < %(now)s
       OR (SELECT bool_or(c.due_at < %(now)s) FROM service.ticket_clock c
           WHERE c.ticket_id = t.ticket_id AND c.stopped_at IS NULL))

-- name: fit_reopened
t.reopened_count > 0

-- name: fit_not_reopened
t.reopened_count = 0

-- name: fit_job_wanted
t.kind IN ('preventive', 'repair') AND t.state IN ('open', 'scheduled')
  AND coalesce(t.service_mode, 'on_site') = 'on_site' AND t.asset_id IS NOT NULL

-- name: fit_no_job
NOT EXISTS (SELECT FROM service.job j WHERE j.ticket_id = t.ticket_id AND j.state NOT IN ('completed', 'cancelled'))

-- name: fit_no_job_wanted
-- As a value, because the planner may make a table of all open jobs to answer NOT EXISTS inside a NOT.
NOT (t.kind IN ('preventive', 'repair') AND t.state IN ('open', 'scheduled')
     AND coalesce(t.service_mode, 'on_site') = 'on_site' AND t.asset_id IS NOT NULL
     AND (SELECT j.job_id FROM service.job j
          WHERE j.ticket_id = t.ticket_id AND j.state NOT IN ('completed', 'cancelled') LIMIT 1) IS NULL)
