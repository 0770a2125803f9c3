-- name: find_model
SELECT model_id, code FROM service.product_model WHERE code = %(code)s

-- name: model_metrics
SELECT coalesce(d.name, t.name) AS name,
       coalesce(t.unit, s.unit, '') AS unit,
       d.name IS NULL OR v.decision IS NOT NULL AS learned,
       coalesce(v.decision, CASE WHEN d.name IS NULL THEN 'pending' ELSE 'declared' END) AS review,
       t.first_seen_at, v.decided_by, v.decided_at
FROM (SELECT metric_name AS name FROM service.model_metric WHERE model_id = %(model_id)s) d
FULL JOIN (SELECT m.name, m.unit, seen.first_seen_at
           FROM telemetry.model_metric seen JOIN telemetry.metric m USING (metric_id)
           WHERE seen.model = %(code)s) t USING (name)
LEFT JOIN service.metric s ON s.name = coalesce(d.name, t.name)
LEFT JOIN service.metric_review v ON v.model_id = %(model_id)s AND v.metric_name = coalesce(d.name, t.name)
ORDER BY 1

-- name: list_pending
-- Numbered by model and metric, which is an order that a new one does not disturb.
SELECT p.model_id * 32768 + m.metric_id AS number, p.code AS model, m.name, m.unit, seen.first_seen_at
FROM telemetry.model_metric seen
JOIN telemetry.metric m USING (metric_id)
JOIN service.product_model p ON p.code = seen.model
WHERE p.model_id * 32768 + m.metric_id > %(after_id)s
  AND NOT EXISTS (SELECT FROM service.model_metric d WHERE d.model_id = p.model_id AND d.metric_name = m.name)
  AND NOT EXISTS (SELECT FROM service.metric_review v WHERE v.model_id = p.model_id AND v.metric_name = m.name)
ORDER BY number
LIMIT %(fetch)s

-- name: declare_metric
INSERT INTO service.metric (name, unit) VALUES (%(name)s, %(unit)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING unit

-- name: add_to_model
INSERT INTO service.model_metric (model_id, metric_name) VALUES (%(model_id)s, %(name)s) ON CONFLICT DO NOTHING

-- name: take_from_model
DELETE FROM service.model_metric WHERE model_id = %(model_id)s AND metric_name = %(name)s

-- name: metric_in_use
SELECT plan_id FROM service.plan WHERE model_id = %(model_id)s AND meter_metric = %(name)s LIMIT 1

-- name: put_review
INSERT INTO service.metric_review (model_id, metric_name, decision, decided_by, decided_at)
VALUES (%(model_id)s, %(name)s, %(decision)s, %(decided_by)s, %(now)s)
ON CONFLICT (model_id, metric_name) DO UPDATE
SET decision = excluded.decision, decided_by = excluded.decided_by, decided_at = excluded.decided_at
