-- name: lock_facts
-- Facts get their numbers one after another, so that whoever follows them by `since_id` never sees a number pass by
-- whose transaction ends later.
SELECT pg_advisory_xact_lock(7266, 3)

-- name: insert_failure
INSERT INTO service.failure (asset_id, component, failed_at, restored_at, description, recorded_at)
VALUES (%(asset_id)s, %(component)s, %(failed_at)s, %(restored_at)s, %(description)s, %(now)s)
ON CONFLICT (asset_id, component, failed_at) DO NOTHING
RETURNING failure_id

-- name: complete_failure
-- What was not known yet is filled in; what is known stays.
UPDATE service.failure
SET restored_at = coalesce(restored_at, %(restored_at)s),
    description = CASE WHEN description = '' THEN %(description)s ELSE description END
WHERE asset_id = %(asset_id)s AND component = %(component)s AND failed_at = %(failed_at)s
RETURNING failure_id, restored_at

-- name: insert_replacement
INSERT INTO service.replacement (asset_id, component, replaced_at, reason, recorded_at)
VALUES (%(asset_id)s, %(component)s, %(replaced_at)s, %(reason)s, %(now)s)
ON CONFLICT (asset_id, component, replaced_at) DO NOTHING
RETURNING replacement_id

-- name: find_replacement
SELECT replacement_id, reason
FROM service.replacement
WHERE asset_id = %(asset_id)s AND component = %(component)s AND replaced_at = %(replaced_at)s

-- name: list_failures
SELECT f.failure_id AS fact_id, a.serial, f.component, f.failed_at AS at, f.restored_at, f.description
FROM service.failure f
JOIN service.asset a USING (asset_id)
WHERE f.failure_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR f.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s))
  AND (%(component)s::text IS NULL OR f.component = %(component)s)
ORDER BY f.failure_id
LIMIT %(fetch)s

-- name: list_replacements
SELECT r.replacement_id AS fact_id, a.serial, r.component, r.replaced_at AS at, r.reason
FROM service.replacement r
JOIN service.asset a USING (asset_id)
WHERE r.replacement_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR r.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s))
  AND (%(component)s::text IS NULL OR r.component = %(component)s)
ORDER BY r.replacement_id
LIMIT %(fetch)s

-- name: get_failure
SELECT f.failure_id AS fact_id, a.serial, f.component, f.failed_at AS at, f.restored_at, f.description
FROM service.failure f
JOIN service.asset a USING (asset_id)
WHERE f.failure_id = %(fact_id)s

-- name: get_replacement
SELECT r.replacement_id AS fact_id, a.serial, r.component, r.replaced_at AS at, r.reason
FROM service.replacement r
JOIN service.asset a USING (asset_id)
WHERE r.replacement_id = %(fact_id)s

-- name: horizon_of_asset
SELECT m.horizon_hours
FROM service.asset a
JOIN service.product_model m USING (model_id)
WHERE a.asset_id = %(asset_id)s

-- name: lock_open_cases
-- What a machine saw comes first: its part is the one that was put in.
SELECT t.ticket_id, t.kind, t.opened_at, t.outcome
FROM service.ticket t
WHERE t.asset_id = %(asset_id)s AND t.component = %(component)s
  AND t.kind IN ('preventive', 'repair') AND t.state IN ('open', 'scheduled', 'in_progress')
ORDER BY t.cause = '', t.ticket_id
FOR UPDATE

-- name: judge_case
-- The outcome is known, the machine is not mended: whoever is on the way is in a hurry now.
UPDATE service.ticket
SET outcome = %(outcome)s, priority = 'urgent', version = version + 1
WHERE ticket_id = %(ticket_id)s

-- name: restore_failure
-- A replacement at the very time of the failure tells nothing about how long the repair took.
UPDATE service.failure
SET restored_at = %(replaced_at)s
WHERE failure_id = (
    SELECT failure_id FROM service.failure
    WHERE asset_id = %(asset_id)s AND component = %(component)s AND failed_at < %(replaced_at)s
    ORDER BY failed_at DESC
    LIMIT 1) AND restored_at IS NULL

-- name: open_job
SELECT job_id
FROM service.job
WHERE ticket_id = %(ticket_id)s AND state NOT IN ('completed', 'cancelled')
