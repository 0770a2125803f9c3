-- Rule sets --------------------------------------------------------------------------------------

-- name: set_rows
SELECT rule_set_id, number, name, note, state, rules, active_from, created_at, created_by, activated_by, retired_at, version
FROM service.completion_rule_set

-- name: one_set
WHERE rule_set_id = %(rule_set_id)s

-- name: lock_set
WHERE rule_set_id = %(rule_set_id)s FOR UPDATE

-- name: set_at
-- The set that holds for visits completed at a time.
WHERE active_from <= %(at)s ORDER BY active_from DESC LIMIT 1

-- name: list_sets
SELECT rule_set_id, number, name, note, state, active_from, created_at, created_by, activated_by, retired_at, version
FROM service.completion_rule_set
WHERE rule_set_id > %(after_id)s AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY rule_set_id
LIMIT %(fetch)s

-- name: lock_numbering
SELECT pg_advisory_xact_lock(7266, hashtext('completion_rule_set'))

-- name: insert_set
INSERT INTO service.completion_rule_set (number, name, note, rules, created_at, created_by)
SELECT coalesce(max(number), 0) + 1, %(name)s, %(note)s, %(rules)s, %(now)s, %(actor)s
FROM service.completion_rule_set
RETURNING rule_set_id

-- name: change_set
UPDATE service.completion_rule_set
SET name = coalesce(%(name)s, name), note = coalesce(%(note)s, note), rules = coalesce(%(rules)s, rules),
    version = version + 1
WHERE rule_set_id = %(rule_set_id)s AND version = %(version)s
RETURNING rule_set_id

-- name: move_set
UPDATE service.completion_rule_set
SET state = %(state)s, active_from = %(active_from)s, activated_by = %(activated_by)s, version = version + 1
WHERE rule_set_id = %(rule_set_id)s

-- name: planned_set
SELECT rule_set_id, active_from FROM service.completion_rule_set WHERE state = 'planned'

-- name: planned_set_due
SELECT rule_set_id, active_from FROM service.completion_rule_set WHERE state = 'planned' AND active_from <= %(now)s
FOR UPDATE

-- name: retire_active_set
UPDATE service.completion_rule_set SET state = 'retired', retired_at = %(at)s, version = version + 1
WHERE state = 'active'

-- name: begin_planned_set
UPDATE service.completion_rule_set SET state = 'active', version = version + 1 WHERE rule_set_id = %(rule_set_id)s

-- Trials -----------------------------------------------------------------------------------------

-- name: provider_exists
SELECT provider_id FROM service.provider WHERE provider_id = %(provider_id)s

-- name: count_for_trial
SELECT count(*) AS found
FROM service.visit v
JOIN service.technician h USING (technician_id)
WHERE v.state = 'completed' AND v.starts_at >= %(since)s AND v.starts_at < %(until)s
  AND h.provider_id IS NOT NULL AND (%(provider_id)s::bigint IS NULL OR h.provider_id = %(provider_id)s)

-- name: pick_for_trial
-- By chance, but the same ones each time.
SELECT v.visit_id
FROM service.visit v
JOIN service.technician h USING (technician_id)
WHERE v.state = 'completed' AND v.starts_at >= %(since)s AND v.starts_at < %(until)s
  AND h.provider_id IS NOT NULL AND (%(provider_id)s::bigint IS NULL OR h.provider_id = %(provider_id)s)
ORDER BY md5(v.visit_id::text)
LIMIT %(sample)s

-- name: said_of_visits
-- What the latest run said, and where the check stands.
SELECT c.visit_id, c.state, r.verdict
FROM service.completion_check c
LEFT JOIN service.completion_run r ON r.completion_check_id = c.completion_check_id AND r.number = c.runs
WHERE c.visit_id = ANY (%(visit_ids)s)

-- name: insert_trial
INSERT INTO service.completion_trial (rule_set_id, rules, against_id, since, until, provider_id, found, judged, outcome,
                                      actor, at)
VALUES (%(rule_set_id)s, %(rules)s, %(against_id)s, %(since)s, %(until)s, %(provider_id)s, %(found)s, %(judged)s,
        %(outcome)s, %(actor)s, %(now)s)
RETURNING completion_trial_id, rule_set_id, against_id, since, until, provider_id, found, judged, outcome, actor, at

-- name: get_trial
SELECT completion_trial_id, rule_set_id, against_id, since, until, provider_id, found, judged, outcome, actor, at
FROM service.completion_trial
WHERE completion_trial_id = %(completion_trial_id)s

-- name: list_trials
SELECT completion_trial_id, rule_set_id, against_id, since, until, provider_id, found, judged, outcome, actor, at
FROM service.completion_trial
WHERE rule_set_id = %(rule_set_id)s AND completion_trial_id > %(after_id)s
ORDER BY completion_trial_id
LIMIT %(fetch)s
