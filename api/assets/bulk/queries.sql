-- Whole sheets at once: columns as arrays, one statement for all lines. No temporary tables, so that the API's login needs no
-- right to make any, and each statement is one that the tests can look at.

-- name: known_models
SELECT code, model_id FROM service.product_model WHERE code = ANY (%(codes)s)

-- name: known_assets
-- Locked, so that what is judged is what is written; in the order of their numbers, so that two sheets never wait for one
-- another in a circle.
SELECT a.serial, a.asset_id, a.model_id, m.code AS model, a.customer_id, c.name AS customer_name, a.site_id, a.state,
       a.installed_at, a.retired_at
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.customer c USING (customer_id)
WHERE a.serial = ANY (%(serials)s)
ORDER BY a.asset_id
FOR UPDATE OF a

-- name: insert_assets
INSERT INTO service.asset
    (serial, model_id, installed_at, installed_by, state, retired_at, batch, produced_on, firmware, sold_on, channel, dealer,
     attributes, customer_id, site_id, created_at)
SELECT t.serial, t.model_id, t.installed_at, coalesce(t.installed_by, ''), coalesce(t.state, 'active'),
       CASE WHEN t.state = 'retired' THEN coalesce(t.retired_at, %(now)s) END, t.batch, t.produced_on, t.firmware, t.sold_on,
       t.channel, coalesce(t.dealer, ''), coalesce(t.attributes, '{}'), t.customer_id, t.site_id, %(now)s
FROM unnest(%(serial)s::text[], %(model_id)s::bigint[], %(installed_at)s::timestamptz[], %(installed_by)s::text[],
            %(state)s::text[], %(retired_at)s::timestamptz[], %(batch)s::text[], %(produced_on)s::date[], %(firmware)s::text[],
            %(sold_on)s::date[], %(channel)s::text[], %(dealer)s::text[], %(attributes)s::jsonb[], %(customer_id)s::bigint[],
            %(site_id)s::bigint[])
     WITH ORDINALITY AS t (serial, model_id, installed_at, installed_by, state, retired_at, batch, produced_on, firmware,
                           sold_on, channel, dealer, attributes, customer_id, site_id, place)
ORDER BY t.place
RETURNING asset_id, serial

-- name: update_assets
-- An empty cell leaves what is there; a line that says nothing new changes nothing.
WITH told AS (
    SELECT a.asset_id, t.customer_id, t.site_id,
           coalesce(t.installed_at, a.installed_at) AS installed_at, coalesce(t.installed_by, a.installed_by) AS installed_by,
           coalesce(t.state, a.state) AS state,
           CASE WHEN coalesce(t.state, a.state) = 'retired' THEN coalesce(t.retired_at, a.retired_at, %(now)s) END AS retired_at,
           coalesce(t.batch, a.batch) AS batch, coalesce(t.produced_on, a.produced_on) AS produced_on,
           coalesce(t.firmware, a.firmware) AS firmware, coalesce(t.sold_on, a.sold_on) AS sold_on,
           coalesce(t.channel, a.channel) AS channel, coalesce(t.dealer, a.dealer) AS dealer,
           coalesce(t.attributes, a.attributes) AS attributes
    FROM unnest(%(asset_id)s::integer[], %(installed_at)s::timestamptz[], %(installed_by)s::text[],
                %(state)s::text[], %(retired_at)s::timestamptz[], %(batch)s::text[], %(produced_on)s::date[],
                %(firmware)s::text[], %(sold_on)s::date[], %(channel)s::text[], %(dealer)s::text[], %(attributes)s::jsonb[],
                %(customer_id)s::bigint[], %(site_id)s::bigint[])
         AS t (asset_id, installed_at, installed_by, state, retired_at, batch, produced_on, firmware, sold_on, channel,
               dealer, attributes, customer_id, site_id)
    JOIN service.asset a USING (asset_id)
)
UPDATE service.asset a
SET customer_id = t.customer_id, site_id = t.site_id, installed_at = t.installed_at, installed_by = t.installed_by,
    state = t.state, retired_at = t.retired_at, retired_reason = CASE t.state WHEN 'retired' THEN a.retired_reason ELSE '' END,
    batch = t.batch, produced_on = t.produced_on, firmware = t.firmware, sold_on = t.sold_on, channel = t.channel,
    dealer = t.dealer, attributes = t.attributes, version = a.version + 1
FROM told t
WHERE t.asset_id = a.asset_id
  AND (a.customer_id, a.site_id, a.installed_at, a.installed_by, a.state, a.retired_at, a.batch, a.produced_on, a.firmware,
       a.sold_on, a.channel, a.dealer, a.attributes)
      IS DISTINCT FROM
      (t.customer_id, t.site_id, t.installed_at, t.installed_by, t.state, t.retired_at, t.batch, t.produced_on, t.firmware,
       t.sold_on, t.channel, t.dealer, t.attributes)
RETURNING a.asset_id

-- name: end_owners
UPDATE service.asset_owner o SET until_at = greatest(%(now)s, o.from_at)
FROM unnest(%(asset_id)s::integer[], %(customer_id)s::bigint[]) AS t (asset_id, customer_id)
WHERE o.asset_id = t.asset_id AND o.until_at IS NULL AND o.customer_id <> t.customer_id

-- name: add_owners
-- The first owner has it since it was installed, a later one since now.
WITH had AS MATERIALIZED (
    SELECT asset_id, bool_or(until_at IS NULL) AS has_now FROM service.asset_owner
    WHERE asset_id = ANY (%(asset_id)s::integer[])
    GROUP BY asset_id
)
INSERT INTO service.asset_owner (asset_id, customer_id, site_id, from_at, reason, recorded_by, recorded_at)
SELECT a.asset_id, a.customer_id, a.site_id,
       CASE WHEN h.asset_id IS NULL THEN least(a.installed_at, %(now)s) ELSE %(now)s END, 'imported', %(actor)s, %(now)s
FROM service.asset a
LEFT JOIN had h USING (asset_id)
WHERE a.asset_id = ANY (%(asset_id)s::integer[]) AND a.customer_id IS NOT NULL AND h.has_now IS NOT TRUE
ORDER BY a.asset_id

-- name: add_firmware
WITH had AS MATERIALIZED (
    SELECT DISTINCT ON (asset_id) asset_id, version FROM service.asset_firmware
    WHERE asset_id = ANY (%(asset_id)s::integer[]) AND module = 'machine'
    ORDER BY asset_id, at DESC, asset_firmware_id DESC
)
INSERT INTO service.asset_firmware (asset_id, module, version, at, source, recorded_by)
SELECT a.asset_id, 'machine', a.firmware,
       CASE WHEN h.asset_id IS NULL THEN least(a.installed_at, %(now)s) ELSE %(now)s END, 'import', %(actor)s
FROM service.asset a
LEFT JOIN had h USING (asset_id)
WHERE a.asset_id = ANY (%(asset_id)s::integer[]) AND a.firmware IS NOT NULL AND h.version IS DISTINCT FROM a.firmware
ORDER BY a.asset_id
ON CONFLICT DO NOTHING

-- name: export_assets
SELECT a.serial, m.code AS model, a.installed_at, a.installed_by, a.state, a.retired_at, a.batch, a.produced_on, a.firmware,
       a.sold_on, a.channel, a.dealer, a.attributes, c.name AS customer_name, c.kind AS customer_kind,
       k.phone AS customer_phone, k.email AS customer_email, c.language AS customer_language, s.name AS site_name,
       s.street AS site_street, s.postal_code AS site_postcode, s.city AS site_city, s.country AS site_country,
       s.territory AS site_territory, s.time_zone AS site_time_zone, s.latitude AS site_latitude,
       s.longitude AS site_longitude
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.customer c ON c.customer_id = a.customer_id
LEFT JOIN LATERAL (
    SELECT phone, email FROM service.contact
    WHERE customer_id = a.customer_id AND active
    ORDER BY role <> 'main', contact_id LIMIT 1
) k ON true
LEFT JOIN service.site s ON s.site_id = a.site_id
WHERE (%(model)s::text IS NULL OR a.model_id = (SELECT model_id FROM service.product_model WHERE code = %(model)s))
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
  AND (%(customer_id)s::bigint IS NULL OR a.customer_id = %(customer_id)s)
  AND (%(site_id)s::bigint IS NULL OR a.site_id = %(site_id)s)
  AND (%(batch)s::text IS NULL OR a.batch = %(batch)s)
  AND (%(firmware)s::text IS NULL OR a.firmware = %(firmware)s)
  AND (%(serial_prefix)s::text IS NULL OR a.serial LIKE %(serial_prefix)s)
ORDER BY a.asset_id
