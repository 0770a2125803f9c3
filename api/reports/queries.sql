-- name: model_known
SELECT 1 AS there FROM service.product_model WHERE code = %(model)s

-- name: component_known
SELECT 1 AS there
FROM service.component c JOIN service.product_model m USING (model_id)
WHERE c.name = %(component)s AND (%(model)s::text IS NULL OR m.code = %(model)s)
LIMIT 1

-- name: list_assets
SELECT a.asset_id, m.code AS model, a.installed_at, a.retired_at
FROM service.asset a JOIN service.product_model m USING (model_id)
WHERE (%(model)s::text IS NULL OR m.code = %(model)s) AND a.installed_at < %(until)s
ORDER BY a.asset_id

-- name: list_components
SELECT m.code AS model, c.name AS component
FROM service.component c JOIN service.product_model m USING (model_id)
WHERE (%(model)s::text IS NULL OR m.code = %(model)s) AND (%(component)s::text IS NULL OR c.name = %(component)s)
ORDER BY m.code, c.name

-- name: list_failures
SELECT f.asset_id, f.component, f.failed_at, CASE WHEN f.restored_at < %(until)s THEN f.restored_at END AS restored_at
FROM service.failure f JOIN service.asset a USING (asset_id) JOIN service.product_model m USING (model_id)
WHERE (%(model)s::text IS NULL OR m.code = %(model)s) AND (%(component)s::text IS NULL OR f.component = %(component)s)
  AND f.failed_at < %(until)s
ORDER BY f.asset_id, f.component, f.failed_at

-- name: list_replacements
SELECT r.asset_id, r.component, r.replaced_at, r.reason
FROM service.replacement r JOIN service.asset a USING (asset_id) JOIN service.product_model m USING (model_id)
WHERE (%(model)s::text IS NULL OR m.code = %(model)s) AND (%(component)s::text IS NULL OR r.component = %(component)s)
  AND r.replaced_at < %(until)s
ORDER BY r.asset_id, r.component, r.replaced_at

-- name: list_preventive_tickets
SELECT t.asset_id, t.component, t.opened_at,
       CASE WHEN t.closed_at < %(until)s THEN t.closed_at END AS closed_at,
       -- A failure tells the outcome at once, the case stays open until somebody has been there.
       CASE WHEN t.closed_at < %(until)s
                 OR EXISTS (SELECT 1 FROM service.ticket_event e
                            WHERE e.ticket_id = t.ticket_id AND e.at < %(until)s AND e.detail ? 'outcome')
            THEN t.outcome END AS outcome
FROM service.ticket t JOIN service.asset a USING (asset_id) JOIN service.product_model m USING (model_id)
WHERE t.kind = 'preventive'
  AND (%(model)s::text IS NULL OR m.code = %(model)s) AND (%(component)s::text IS NULL OR t.component = %(component)s)
  AND t.opened_at < %(until)s
ORDER BY t.ticket_id

-- name: list_inspections
-- The inspection that counts is the last before the end of the period.
SELECT DISTINCT ON (i.old_part_id) i.asset_id, i.component, i.taken_out_at, i.finding, i.failure_mode
FROM service.old_part_inspection i JOIN service.asset a USING (asset_id) JOIN service.product_model m USING (model_id)
WHERE (%(model)s::text IS NULL OR m.code = %(model)s) AND i.component IS NOT NULL
  AND (%(component)s::text IS NULL OR i.component = %(component)s) AND i.at < %(until)s AND a.installed_at < %(until)s
ORDER BY i.old_part_id, i.inspection_id DESC
