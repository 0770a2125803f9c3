-- name: upsert_metric
INSERT INTO service.metric (name, unit) VALUES (%(name)s, %(unit)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING unit

-- name: insert_model
INSERT INTO service.product_model (code, name, kind, manufacturer, horizon_hours)
VALUES (%(code)s, %(name)s, %(kind)s, %(manufacturer)s, %(horizon_hours)s)
ON CONFLICT (code) DO NOTHING
RETURNING model_id

-- name: insert_model_metric
INSERT INTO service.model_metric (model_id, metric_name) VALUES (%(model_id)s, %(name)s)

-- name: insert_component
INSERT INTO service.component
    (model_id, name, part_id, quantity, skill, labour_minutes, failure_cost_minor, planned_cost_minor, currency)
VALUES (%(model_id)s, %(name)s, %(part_id)s, %(quantity)s, %(skill)s, %(labour_minutes)s,
        %(failure_cost_minor)s, %(planned_cost_minor)s, %(currency)s)

-- name: find_part
SELECT part_id FROM service.part WHERE sku = %(sku)s

-- name: list_models
SELECT m.model_id, m.code, m.name, m.kind, m.manufacturer, m.horizon_hours, m.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('name', d.name, 'unit', d.unit) ORDER BY d.name)
                 FROM service.model_metric mm JOIN service.metric d ON d.name = mm.metric_name
                 WHERE mm.model_id = m.model_id), '[]') AS metrics,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                        'name', c.name, 'sku', p.sku, 'quantity', c.quantity, 'skill', c.skill,
                        'labour_minutes', c.labour_minutes, 'failure_cost_minor', c.failure_cost_minor,
                        'planned_cost_minor', c.planned_cost_minor, 'currency', c.currency) ORDER BY c.name)
                 FROM service.component c LEFT JOIN service.part p USING (part_id)
                 WHERE c.model_id = m.model_id), '[]') AS components
FROM service.product_model m
WHERE m.model_id > %(after_id)s AND (%(code)s::text IS NULL OR m.code = %(code)s)
ORDER BY m.model_id
LIMIT %(fetch)s

-- name: insert_asset
INSERT INTO service.asset (serial, model_id, site_id, installed_at, attributes, created_at)
SELECT %(serial)s, model_id, %(site_id)s, %(installed_at)s, %(attributes)s, %(now)s
FROM service.product_model WHERE code = %(model)s
ON CONFLICT (serial) DO NOTHING
RETURNING asset_id

-- name: insert_term
INSERT INTO service.warranty_term (asset_id, name, starts_on, ends_on)
VALUES (%(asset_id)s, %(name)s, %(starts_on)s, %(ends_on)s)
ON CONFLICT (asset_id, name, starts_on) DO NOTHING
RETURNING term_id

-- name: model_exists
SELECT 1 AS there FROM service.product_model WHERE code = %(model)s

-- name: site_exists
SELECT 1 AS there FROM service.site WHERE site_id = %(site_id)s

-- name: list_assets
SELECT a.asset_id, a.serial, m.code AS model, m.kind, a.site_id, coalesce(s.territory, 'default') AS territory,
       a.installed_at, a.state, a.attributes, a.version
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.asset_id > %(after_id)s
  AND (%(model)s::text IS NULL OR m.code = %(model)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
ORDER BY a.asset_id
LIMIT %(fetch)s

-- name: get_asset
SELECT a.asset_id, a.serial, m.code AS model, m.kind, a.site_id, coalesce(s.territory, 'default') AS territory,
       a.installed_at, a.state, a.attributes, a.version
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.serial = %(serial)s

-- name: change_asset
UPDATE service.asset
SET site_id = CASE WHEN %(set_site)s THEN %(site_id)s ELSE site_id END,
    state = coalesce(%(state)s, state),
    retired_at = CASE coalesce(%(state)s, state) WHEN 'retired' THEN coalesce(retired_at, %(now)s) END,
    attributes = coalesce(%(attributes)s, attributes),
    version = version + 1
WHERE serial = %(serial)s AND version = %(version)s
RETURNING asset_id
