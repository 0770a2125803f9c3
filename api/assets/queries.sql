-- Product models ----------------------------------------------------------------------------------

-- name: upsert_metric
INSERT INTO service.metric (name, unit) VALUES (%(name)s, %(unit)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING unit

-- name: insert_model
INSERT INTO service.product_model (code, name, kind, manufacturer, horizon_hours)
VALUES (%(code)s, %(name)s, %(kind)s, %(manufacturer)s, %(horizon_hours)s)
ON CONFLICT (code) DO NOTHING
RETURNING model_id

-- name: lock_model
SELECT model_id, name, manufacturer, horizon_hours, version FROM service.product_model WHERE code = %(code)s FOR UPDATE

-- name: change_model
UPDATE service.product_model
SET name = %(name)s, manufacturer = %(manufacturer)s, horizon_hours = %(horizon_hours)s, version = version + 1
WHERE model_id = %(model_id)s

-- name: insert_model_metric
INSERT INTO service.model_metric (model_id, metric_name) VALUES (%(model_id)s, %(name)s) ON CONFLICT DO NOTHING

-- name: put_component
INSERT INTO service.component
    (model_id, name, part_id, quantity, skill, labour_minutes, failure_cost_minor, planned_cost_minor, currency)
VALUES (%(model_id)s, %(name)s, %(part_id)s, %(quantity)s, %(skill)s, %(labour_minutes)s,
        %(failure_cost_minor)s, %(planned_cost_minor)s, %(currency)s)
ON CONFLICT (model_id, name) DO UPDATE
SET part_id = excluded.part_id, quantity = excluded.quantity, skill = excluded.skill,
    labour_minutes = excluded.labour_minutes, failure_cost_minor = excluded.failure_cost_minor,
    planned_cost_minor = excluded.planned_cost_minor, currency = excluded.currency

-- name: find_parts
SELECT sku, part_id FROM service.part WHERE sku = ANY (%(skus)s)

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

-- name: delete_bom
DELETE FROM service.bom_item WHERE model_id = %(model_id)s

-- name: insert_bom_items
-- One level of the tree at a time; the numbers come back in the order given.
INSERT INTO service.bom_item
    (model_id, parent_id, position, name, part_id, component_id, quantity, from_batch, until_batch, from_date, until_date)
SELECT %(model_id)s, i.parent_id, i.position, i.name, p.part_id, c.component_id, i.quantity,
       i.from_batch, i.until_batch, i.from_date, i.until_date
FROM unnest(%(parent_id)s::bigint[], %(position)s::text[], %(name)s::text[], %(sku)s::text[], %(component)s::text[],
            %(quantity)s::integer[], %(from_batch)s::text[], %(until_batch)s::text[], %(from_date)s::date[],
            %(until_date)s::date[])
     WITH ORDINALITY AS i (parent_id, position, name, sku, component, quantity, from_batch, until_batch, from_date,
                           until_date, place)
LEFT JOIN service.part p ON p.sku = i.sku
LEFT JOIN service.component c ON c.model_id = %(model_id)s AND c.name = i.component
ORDER BY i.place
RETURNING bom_item_id

-- name: components_of_model
SELECT name FROM service.component WHERE model_id = %(model_id)s

-- name: list_bom
-- An assembly was inserted before what is in it.
SELECT b.bom_item_id, b.parent_id, b.position, b.name, p.sku, p.name AS part_name, c.name AS component, b.quantity,
       b.from_batch, b.until_batch, b.from_date, b.until_date
FROM service.bom_item b
LEFT JOIN service.part p ON p.part_id = b.part_id
LEFT JOIN service.component c ON c.component_id = b.component_id
WHERE b.model_id = %(model_id)s
ORDER BY b.bom_item_id

-- Assets ------------------------------------------------------------------------------------------

-- name: insert_asset
INSERT INTO service.asset
    (serial, model_id, customer_id, site_id, installed_at, installed_by, batch, produced_on, firmware, sold_on, channel,
     dealer, attributes, created_at)
SELECT %(serial)s, model_id, %(customer_id)s, %(site_id)s, %(installed_at)s, %(installed_by)s, %(batch)s,
       %(produced_on)s, %(firmware)s, %(sold_on)s, %(channel)s, %(dealer)s, %(attributes)s, %(now)s
FROM service.product_model WHERE code = %(model)s
ON CONFLICT (serial) DO NOTHING
RETURNING asset_id

-- name: insert_term
INSERT INTO service.warranty_term (asset_id, name, starts_on, ends_on)
VALUES (%(asset_id)s, %(name)s, %(starts_on)s, %(ends_on)s)
ON CONFLICT DO NOTHING
RETURNING term_id

-- name: model_exists
SELECT 1 AS there FROM service.product_model WHERE code = %(model)s

-- name: find_site
SELECT site_id, customer_id FROM service.site WHERE site_id = %(site_id)s

-- name: find_customer
SELECT customer_id FROM service.customer WHERE customer_id = %(customer_id)s

-- name: list_assets
SELECT a.asset_id, a.serial, m.code AS model, m.kind, a.customer_id, a.site_id,
       coalesce(s.territory, 'default') AS territory, a.installed_at, a.installed_by, a.state, a.retired_at,
       a.retired_reason, a.batch, a.produced_on, a.firmware, a.sold_on, a.channel, a.dealer, a.attributes, a.version
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.asset_id > %(after_id)s
  AND (%(model)s::text IS NULL OR a.model_id = (SELECT model_id FROM service.product_model WHERE code = %(model)s))
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
  AND (%(customer_id)s::bigint IS NULL OR a.customer_id = %(customer_id)s)
  AND (%(site_id)s::bigint IS NULL OR a.site_id = %(site_id)s)
  AND (%(batch)s::text IS NULL OR a.batch = %(batch)s)
  AND (%(firmware)s::text IS NULL OR a.firmware = %(firmware)s)
  AND (%(serial_prefix)s::text IS NULL OR a.serial LIKE %(serial_prefix)s)
ORDER BY a.asset_id
LIMIT %(fetch)s

-- name: get_asset
SELECT a.asset_id, a.serial, m.code AS model, m.kind, a.customer_id, a.site_id,
       coalesce(s.territory, 'default') AS territory, a.installed_at, a.installed_by, a.state, a.retired_at,
       a.retired_reason, a.batch, a.produced_on, a.firmware, a.sold_on, a.channel, a.dealer, a.attributes, a.version
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.serial = %(serial)s

-- name: lock_asset
SELECT asset_id, model_id, customer_id, site_id, state, installed_at, installed_by, retired_at, retired_reason, batch,
       produced_on, firmware, sold_on, channel, dealer, attributes, version
FROM service.asset
WHERE serial = %(serial)s
FOR UPDATE

-- name: change_asset
UPDATE service.asset
SET customer_id = %(customer_id)s, site_id = %(site_id)s, state = %(state)s, installed_at = %(installed_at)s,
    installed_by = %(installed_by)s, retired_at = %(retired_at)s, retired_reason = %(retired_reason)s,
    batch = %(batch)s, produced_on = %(produced_on)s, firmware = %(firmware)s, sold_on = %(sold_on)s,
    channel = %(channel)s, dealer = %(dealer)s, attributes = %(attributes)s, version = version + 1
WHERE asset_id = %(asset_id)s

-- Owners ------------------------------------------------------------------------------------------

-- name: insert_owner
INSERT INTO service.asset_owner
    (asset_id, customer_id, site_id, from_at, reason, proof_file_id, note, recorded_by, recorded_at)
VALUES (%(asset_id)s, %(customer_id)s, %(site_id)s, %(from_at)s, %(reason)s, %(proof_file_id)s, %(note)s, %(actor)s,
        %(now)s)
RETURNING asset_owner_id

-- name: owner_now
SELECT asset_owner_id, customer_id, from_at FROM service.asset_owner
WHERE asset_id = %(asset_id)s AND until_at IS NULL
FOR UPDATE

-- name: end_owner
UPDATE service.asset_owner SET until_at = %(until_at)s WHERE asset_owner_id = %(asset_owner_id)s

-- name: correct_owner
UPDATE service.asset_owner SET customer_id = %(customer_id)s, site_id = %(site_id)s, reason = 'corrected'
WHERE asset_owner_id = %(asset_owner_id)s

-- name: list_owners
-- Of the customer's name only what the caller may see.
SELECT o.asset_owner_id, o.customer_id, c.name AS customer_name, o.site_id, o.from_at, o.until_at, o.reason,
       o.proof_file_id, o.note, o.recorded_by, o.recorded_at
FROM service.asset_owner o
LEFT JOIN service.customer c USING (customer_id)
WHERE o.asset_id = %(asset_id)s AND (%(asset_owner_id)s::bigint IS NULL OR o.asset_owner_id = %(asset_owner_id)s)
ORDER BY o.from_at DESC, o.asset_owner_id DESC
LIMIT 500

-- name: open_tickets
SELECT ticket_id, kind, state, title, customer_id
FROM service.ticket
WHERE asset_id = %(asset_id)s AND state NOT IN ('resolved', 'closed', 'cancelled', 'merged')
ORDER BY ticket_id DESC
LIMIT 500

-- Firmware ----------------------------------------------------------------------------------------

-- name: insert_firmware
INSERT INTO service.asset_firmware (asset_id, module, version, at, source, recorded_by)
VALUES (%(asset_id)s, %(module)s, %(version)s, %(at)s, %(source)s, %(actor)s)
ON CONFLICT (asset_id, module, version, at) DO NOTHING
RETURNING asset_firmware_id

-- name: newest_firmware
SELECT version FROM service.asset_firmware
WHERE asset_id = %(asset_id)s AND module = 'machine'
ORDER BY at DESC, asset_firmware_id DESC
LIMIT 1

-- name: list_firmware
SELECT asset_firmware_id, module, version, at, source, recorded_by
FROM service.asset_firmware
WHERE asset_id = %(asset_id)s AND (%(asset_firmware_id)s::bigint IS NULL OR asset_firmware_id = %(asset_firmware_id)s)
ORDER BY at DESC, asset_firmware_id DESC
LIMIT 500

-- name: lock_firmware_progress
SELECT report_id FROM service.firmware_progress FOR UPDATE SKIP LOCKED

-- name: reported_firmware
-- Numbers are given before transactions end, so that a lower one may come late: some before the mark are looked at again.
SELECT r.report_id, a.asset_id, a.serial, r.module, r.version, r.reported_at
FROM telemetry.firmware_report r
LEFT JOIN service.asset a ON a.serial = r.agent_id
WHERE r.report_id > %(report_id)s - 1000
  AND (r.report_id > %(report_id)s OR a.asset_id IS NOT NULL)
  AND NOT EXISTS (SELECT FROM service.asset_firmware f WHERE f.report_id = r.report_id)
ORDER BY r.report_id
LIMIT %(most)s

-- name: take_firmware_reports
WITH told AS (
    SELECT * FROM unnest(%(report_id)s::bigint[], %(asset_id)s::integer[], %(module)s::text[], %(version)s::text[],
                         %(reported_at)s::timestamptz[])
        AS r (report_id, asset_id, module, version, reported_at)
), taken AS (
    INSERT INTO service.asset_firmware (asset_id, module, version, at, source, report_id, recorded_by)
    SELECT asset_id, module, version, reported_at, 'agent', report_id, %(actor)s FROM told
    ON CONFLICT DO NOTHING
    RETURNING asset_firmware_id
), newest AS (
    -- Nobody's later word is undone by an agent's earlier one.
    SELECT DISTINCT ON (t.asset_id) t.asset_id, t.version FROM told t
    WHERE t.module = 'machine' AND NOT EXISTS (
        SELECT FROM service.asset_firmware f
        WHERE f.asset_id = t.asset_id AND f.module = 'machine' AND f.at > t.reported_at)
    ORDER BY t.asset_id, t.reported_at DESC, t.report_id DESC
), told_machines AS (
    UPDATE service.asset a SET firmware = n.version, version = a.version + 1
    FROM newest n WHERE n.asset_id = a.asset_id AND a.firmware IS DISTINCT FROM n.version
    RETURNING a.asset_id
)
SELECT (SELECT count(*) FROM taken) AS taken, (SELECT count(*) FROM told_machines) AS changed

-- name: move_firmware_progress
UPDATE service.firmware_progress SET report_id = greatest(report_id, %(report_id)s)

-- Parts and papers --------------------------------------------------------------------------------

-- name: installed_parts
SELECT c.name AS component, p.sku, p.name AS part_name, c.quantity, coalesce(r.replaced_at, a.installed_at) AS installed_at,
       r.reason AS replaced_for,
       (SELECT count(*) FROM service.replacement n WHERE n.asset_id = a.asset_id AND n.component = c.name
        AND n.replaced_at < %(now)s) AS replacements,
       (SELECT count(*) FROM service.failure f WHERE f.asset_id = a.asset_id AND f.component = c.name
        AND f.failed_at < %(now)s) AS failures
FROM service.asset a
JOIN service.component c USING (model_id)
LEFT JOIN service.part p USING (part_id)
LEFT JOIN LATERAL (
    SELECT replaced_at, reason FROM service.replacement
    WHERE asset_id = a.asset_id AND component = c.name AND replaced_at < %(now)s
    ORDER BY replaced_at DESC LIMIT 1
) r ON true
WHERE a.asset_id = %(asset_id)s
ORDER BY c.name

-- name: insert_document
INSERT INTO service.document (model_id, asset_id, customer_id, kind, title, language, file_id, added_by, added_at)
VALUES (%(model_id)s, %(asset_id)s, %(customer_id)s, %(kind)s, %(title)s, %(language)s, %(file_id)s, %(actor)s, %(now)s)
RETURNING document_id, kind, title, language, file_id, added_by, added_at

-- name: list_documents
SELECT document_id, kind, title, language, file_id, added_by, added_at,
       CASE WHEN asset_id IS NULL THEN 'model' ELSE 'asset' END AS "of"
FROM service.document
WHERE (model_id = %(model_id)s OR asset_id = %(asset_id)s) AND document_id > %(after_id)s
  AND (%(language)s::text IS NULL OR language IN (%(language)s, ''))
ORDER BY document_id
LIMIT %(fetch)s

-- name: proofs_of_purchase
SELECT file_id FROM service.document WHERE asset_id = %(asset_id)s AND kind = 'proof_of_purchase' ORDER BY document_id

-- name: delete_document
DELETE FROM service.document
WHERE document_id = %(document_id)s AND (model_id = %(model_id)s OR asset_id = %(asset_id)s)
RETURNING document_id
