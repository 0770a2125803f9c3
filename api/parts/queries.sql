-- name: insert_part
INSERT INTO service.part
    (sku, name, description, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams, imported, serialised,
     rotable, old_part_rule)
VALUES (%(sku)s, %(name)s, %(description)s, %(unit)s, %(cost_minor)s, %(currency)s, %(lead_time_days)s, %(shipping_class)s,
        %(weight_grams)s, %(imported)s, %(serialised)s, %(rotable)s, %(old_part_rule)s)
ON CONFLICT (sku) DO NOTHING
RETURNING part_id, sku, name, description, state, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams,
          imported, serialised, rotable, old_part_rule, version

-- name: list_parts
SELECT part_id, sku, name, description, state, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams,
       imported, serialised, rotable, old_part_rule, version
FROM service.part
WHERE part_id > %(after_id)s
  AND (%(asked)s::text IS NULL OR words @@ %(asked)s::tsquery)
  AND (%(sku_prefix)s::text IS NULL OR sku LIKE %(sku_prefix)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(shipping_class)s::text IS NULL OR shipping_class = %(shipping_class)s)
  AND (%(imported)s::boolean IS NULL OR imported = %(imported)s)
  AND (%(serialised)s::boolean IS NULL OR serialised = %(serialised)s)
  AND (%(rotable)s::boolean IS NULL OR rotable = %(rotable)s)
ORDER BY part_id
LIMIT %(fetch)s

-- name: get_part
SELECT part_id, sku, name, description, state, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams,
       imported, serialised, rotable, old_part_rule, version
FROM service.part
WHERE sku = %(sku)s

-- name: lock_part
SELECT part_id, sku, name, description, state, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams,
       imported, serialised, rotable, old_part_rule, version
FROM service.part
WHERE sku = %(sku)s
FOR NO KEY UPDATE

-- name: change_part
UPDATE service.part
SET name = %(name)s, description = %(description)s, unit = %(unit)s, cost_minor = %(cost_minor)s, currency = %(currency)s,
    lead_time_days = %(lead_time_days)s, shipping_class = %(shipping_class)s, weight_grams = %(weight_grams)s,
    imported = %(imported)s, serialised = %(serialised)s, rotable = %(rotable)s, old_part_rule = %(old_part_rule)s,
    version = version + 1
WHERE part_id = %(part_id)s

-- name: set_part_state
UPDATE service.part SET state = %(state)s, version = version + 1 WHERE part_id = %(part_id)s

-- name: touch_part
UPDATE service.part SET version = version + 1 WHERE part_id = %(part_id)s

-- name: find_parts
SELECT part_id, sku FROM service.part WHERE sku = ANY (%(skus)s)

-- What takes its place ------------------------------------------------------------------------------

-- name: lock_chains
-- Whoever links parts comes one after the other: two halves of a circle would not see one another.
SELECT pg_advisory_xact_lock(7266, 27)

-- name: links_of_parts
-- All links that hang together with some parts.
WITH RECURSIVE linked AS (
    SELECT unnest(%(part_ids)s::bigint[]) AS part_id
    UNION
    SELECT n.part_id
    FROM linked l
    CROSS JOIN LATERAL (
        SELECT s.successor_id AS part_id FROM service.part_supersession s WHERE s.part_id = l.part_id
        UNION ALL
        SELECT s.part_id FROM service.part_supersession s WHERE s.successor_id = l.part_id
    ) n
)
SELECT s.part_id, p.sku, n.sku AS successor, s.effective_on, s.two_way, s.reason, s.applied, s.recorded_by, s.recorded_at
FROM linked l
JOIN service.part_supersession s USING (part_id)
JOIN service.part p ON p.part_id = s.part_id
JOIN service.part n ON n.part_id = s.successor_id
ORDER BY s.effective_on, p.sku

-- name: insert_supersession
INSERT INTO service.part_supersession
    (part_id, successor_id, effective_on, two_way, reason, applied, recorded_by, recorded_at)
VALUES (%(part_id)s, %(successor_id)s, %(effective_on)s, %(two_way)s, %(reason)s, %(applied)s, %(actor)s, %(now)s)
ON CONFLICT (part_id) DO NOTHING
RETURNING part_id

-- name: delete_supersession
DELETE FROM service.part_supersession WHERE part_id = %(part_id)s RETURNING applied

-- name: due_supersessions
SELECT s.part_id, p.sku, p.state
FROM service.part_supersession s
JOIN service.part p USING (part_id)
WHERE NOT s.applied AND s.effective_on <= %(today)s
ORDER BY s.effective_on, s.part_id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED

-- name: apply_supersession
UPDATE service.part_supersession SET applied = true WHERE part_id = %(part_id)s

-- name: put_alternative
INSERT INTO service.part_alternative
    (part_id, alternative_id, rank, two_way, valid_from, valid_until, note, recorded_by, recorded_at)
VALUES (%(part_id)s, %(alternative_id)s, %(rank)s, %(two_way)s, %(valid_from)s, %(valid_until)s, %(note)s, %(actor)s,
        %(now)s)
ON CONFLICT (part_id, alternative_id) DO UPDATE
SET rank = excluded.rank, two_way = excluded.two_way, valid_from = excluded.valid_from,
    valid_until = excluded.valid_until, note = excluded.note, recorded_by = excluded.recorded_by,
    recorded_at = excluded.recorded_at

-- name: alternatives_of_part
SELECT a.alternative_id, p.sku AS alternative, a.rank, a.two_way, a.valid_from, a.valid_until, a.note, a.recorded_by,
       a.recorded_at
FROM service.part_alternative a
JOIN service.part p ON p.part_id = a.alternative_id
WHERE a.part_id = %(part_id)s
ORDER BY a.rank, p.sku

-- name: delete_alternative
DELETE FROM service.part_alternative WHERE part_id = %(part_id)s AND alternative_id = %(alternative_id)s
RETURNING part_id

-- name: substitutes
-- From each part to all that may be built in instead. An alternative may be anywhere on the way, but only once: what may
-- take the place of an alternative's alternative nobody has said.
WITH RECURSIVE reached AS (
    SELECT asked.part_id AS origin_id, asked.part_id, 0 AS steps, 0 AS rank, ARRAY[asked.part_id] AS way, '' AS how,
           NULL::date AS effective_on, '' AS note
    FROM unnest(%(part_ids)s::bigint[]) AS asked (part_id)
    UNION ALL
    SELECT r.origin_id, n.part_id, r.steps + 1, r.rank + n.rank, r.way || n.part_id, n.how, n.effective_on, n.note
    FROM reached r
    CROSS JOIN LATERAL (
        SELECT s.successor_id AS part_id, 0 AS rank, 'successor' AS how, s.effective_on, s.reason AS note
        FROM service.part_supersession s
        WHERE s.part_id = r.part_id AND s.effective_on <= %(on)s
        UNION ALL
        SELECT s.part_id, 0, 'predecessor', s.effective_on, s.reason
        FROM service.part_supersession s
        WHERE s.successor_id = r.part_id AND s.two_way
        UNION ALL
        SELECT a.alternative_id, a.rank, 'alternative', a.valid_from, a.note
        FROM service.part_alternative a
        WHERE a.part_id = r.part_id AND r.rank = 0
          AND %(on)s BETWEEN coalesce(a.valid_from, '-infinity') AND coalesce(a.valid_until, 'infinity')
        UNION ALL
        SELECT a.part_id, a.rank, 'alternative', a.valid_from, a.note
        FROM service.part_alternative a
        WHERE a.alternative_id = r.part_id AND a.two_way AND r.rank = 0
          AND %(on)s BETWEEN coalesce(a.valid_from, '-infinity') AND coalesce(a.valid_until, 'infinity')
    ) n
    WHERE n.part_id <> ALL (r.way) AND r.steps < 30
)
SELECT r.origin_id, r.part_id, p.sku, p.name, p.state, r.steps, r.rank, r.how, v.sku AS via, r.effective_on, r.note
FROM reached r
JOIN service.part p ON p.part_id = r.part_id
JOIN service.part v ON v.part_id = r.way[cardinality(r.way) - 1]
WHERE r.steps > 0

-- What it fits --------------------------------------------------------------------------------------

-- name: insert_fits
INSERT INTO service.part_fit
    (part_id, model_id, component_id, revisions, from_batch, until_batch, from_date, until_date, quantity, note,
     recorded_by, recorded_at)
SELECT f.part_id, f.model_id, f.component_id, r.names, f.from_batch, f.until_batch, f.from_date, f.until_date, f.quantity,
       f.note, %(actor)s, %(now)s
FROM unnest(%(part_id)s::bigint[], %(model_id)s::bigint[], %(component_id)s::bigint[], %(revisions)s::jsonb[],
            %(from_batch)s::text[], %(until_batch)s::text[], %(from_date)s::date[], %(until_date)s::date[],
            %(quantity)s::integer[], %(note)s::text[])
     WITH ORDINALITY AS f (part_id, model_id, component_id, revisions, from_batch, until_batch, from_date, until_date,
                           quantity, note, place)
CROSS JOIN LATERAL (SELECT array_agg(name) AS names FROM jsonb_array_elements_text(coalesce(f.revisions, '[]')) AS name) r
ORDER BY f.place
ON CONFLICT (part_id, model_id, component_id, revisions, from_batch, until_batch, from_date, until_date) DO NOTHING
RETURNING part_fit_id

-- name: delete_fit
DELETE FROM service.part_fit WHERE part_id = %(part_id)s AND part_fit_id = %(part_fit_id)s RETURNING part_fit_id

-- name: find_models
SELECT m.code, m.model_id, c.name AS component, c.component_id
FROM service.product_model m
LEFT JOIN service.component c USING (model_id)
WHERE m.code = ANY (%(codes)s)

-- name: fits_of_part
-- What somebody recorded, what bills of materials say, and what models say of their components.
SELECT f.part_fit_id, 'fit' AS source, m.code AS model, c.name AS component, f.revisions, f.from_batch, f.until_batch,
       f.from_date, f.until_date, f.quantity, f.note
FROM service.part_fit f
JOIN service.product_model m USING (model_id)
LEFT JOIN service.component c USING (component_id)
WHERE f.part_id = %(part_id)s
UNION ALL
SELECT NULL, 'bill_of_materials', m.code, c.name, NULL, b.from_batch, b.until_batch, b.from_date, b.until_date,
       b.quantity, ''
FROM service.bom_item b
JOIN service.product_model m USING (model_id)
LEFT JOIN service.component c USING (component_id)
WHERE b.part_id = %(part_id)s
UNION ALL
SELECT NULL, 'component', m.code, c.name, NULL, NULL, NULL, NULL, NULL, c.quantity, ''
FROM service.component c
JOIN service.product_model m USING (model_id)
WHERE c.part_id = %(part_id)s
ORDER BY model, component NULLS FIRST, source, part_fit_id
LIMIT %(most)s

-- name: machine_of_serial
SELECT a.serial, a.model_id, m.code AS model, a.batch, a.produced_on, a.attributes ->> 'revision' AS revision
FROM service.asset a
JOIN service.product_model m USING (model_id)
WHERE a.serial = %(serial)s

-- name: fits_of_model
SELECT 'fit' AS source, f.part_id, p.sku, p.name, p.state, c.name AS component, f.quantity, f.revisions, f.from_batch,
       f.until_batch, f.from_date, f.until_date
FROM service.part_fit f
JOIN service.part p USING (part_id)
LEFT JOIN service.component c USING (component_id)
WHERE f.model_id = %(model_id)s
UNION ALL
SELECT 'component', c.part_id, p.sku, p.name, p.state, c.name, c.quantity, NULL, NULL, NULL, NULL, NULL
FROM service.component c
JOIN service.part p USING (part_id)
WHERE c.model_id = %(model_id)s

-- name: bom_of_model
-- An assembly was inserted before what is in it.
SELECT b.bom_item_id, b.parent_id, 'bill_of_materials' AS source, b.part_id, p.sku, p.name, p.state, c.name AS component,
       b.quantity, b.from_batch, b.until_batch, b.from_date, b.until_date
FROM service.bom_item b
LEFT JOIN service.part p USING (part_id)
LEFT JOIN service.component c USING (component_id)
WHERE b.model_id = %(model_id)s
ORDER BY b.bom_item_id

-- Kits ----------------------------------------------------------------------------------------------

-- name: delete_kit
DELETE FROM service.kit_part WHERE kit_id = %(part_id)s

-- name: insert_kit
INSERT INTO service.kit_part (kit_id, part_id, quantity)
SELECT %(part_id)s, k.part_id, k.quantity FROM unnest(%(part_ids)s::bigint[], %(quantities)s::integer[]) AS k (part_id, quantity)

-- name: kits_among
SELECT DISTINCT p.sku FROM service.kit_part k JOIN service.part p ON p.part_id = k.kit_id
WHERE k.kit_id = ANY (%(part_ids)s)

-- name: kit_contents
SELECT k.part_id, p.sku, p.name, k.quantity
FROM service.kit_part k JOIN service.part p USING (part_id)
WHERE k.kit_id = %(part_id)s
ORDER BY p.sku

-- name: kits_with
SELECT k.kit_id, p.sku, p.name, k.quantity
FROM service.kit_part k JOIN service.part p ON p.part_id = k.kit_id
WHERE k.part_id = %(part_id)s
ORDER BY p.sku

-- Prices --------------------------------------------------------------------------------------------

-- name: insert_prices
INSERT INTO service.part_price
    (part_id, kind, level, currency, price_minor, valid_from, valid_until, recorded_by, recorded_at)
SELECT n.part_id, n.kind, n.level, n.currency, n.price_minor, n.valid_from, n.valid_until, %(actor)s, %(now)s
FROM unnest(%(part_id)s::bigint[], %(kind)s::text[], %(level)s::text[], %(currency)s::text[], %(price_minor)s::bigint[],
            %(valid_from)s::date[], %(valid_until)s::date[])
     WITH ORDINALITY AS n (part_id, kind, level, currency, price_minor, valid_from, valid_until, place)
ORDER BY n.place
ON CONFLICT (part_id, kind, level, currency, valid_from) DO NOTHING
RETURNING part_price_id, part_id, kind, level, currency, price_minor, valid_from, valid_until, recorded_by, recorded_at, version

-- name: list_prices
SELECT r.part_price_id, p.sku, r.kind, r.level, r.currency, r.price_minor, r.valid_from, r.valid_until, r.recorded_by,
       r.recorded_at, r.version
FROM service.part_price r
JOIN service.part p USING (part_id)
WHERE r.part_id = %(part_id)s AND r.part_price_id > %(after_id)s
  AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
  AND (%(level)s::text IS NULL OR r.level = %(level)s)
  AND (%(on)s::date IS NULL OR %(on)s BETWEEN r.valid_from AND coalesce(r.valid_until, 'infinity'))
ORDER BY r.part_price_id
LIMIT %(fetch)s

-- name: get_price
SELECT r.part_price_id, p.sku, r.kind, r.level, r.currency, r.price_minor, r.valid_from, r.valid_until, r.recorded_by,
       r.recorded_at, r.version
FROM service.part_price r
JOIN service.part p USING (part_id)
WHERE r.part_price_id = %(part_price_id)s

-- name: end_price
UPDATE service.part_price SET valid_until = %(valid_until)s, version = version + 1
WHERE part_price_id = %(part_price_id)s AND version = %(version)s
RETURNING part_price_id

-- name: delete_price
DELETE FROM service.part_price WHERE part_price_id = %(part_price_id)s AND valid_from > %(today)s RETURNING part_price_id

-- name: prices_of_day
-- The level's own price before that of all; of those that hold, the one that began last; the part's own currency first
-- where none is asked for.
SELECT DISTINCT ON (r.part_id) r.part_id, r.price_minor, r.currency
FROM service.part_price r
JOIN service.part p USING (part_id)
WHERE r.part_id = ANY (%(part_ids)s) AND r.kind = %(kind)s AND r.level IN (%(level)s, '')
  AND %(on)s BETWEEN r.valid_from AND coalesce(r.valid_until, 'infinity')
  AND (%(currency)s::text IS NULL OR r.currency = %(currency)s)
ORDER BY r.part_id, r.currency <> p.currency, r.currency, r.level = '', r.valid_from DESC

-- name: costs_of_parts
SELECT part_id, cost_minor AS price_minor, currency FROM service.part
WHERE part_id = ANY (%(part_ids)s) AND (%(currency)s::text IS NULL OR currency = %(currency)s)

-- Sheets --------------------------------------------------------------------------------------------

-- name: known_parts
-- Locked in one order, so that what is judged is what is written.
SELECT sku, part_id, rotable, state FROM service.part WHERE sku = ANY (%(skus)s) ORDER BY part_id FOR NO KEY UPDATE

-- name: insert_parts
INSERT INTO service.part
    (sku, name, description, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams, imported, serialised,
     rotable, old_part_rule)
SELECT t.sku, t.name, coalesce(t.description, ''), coalesce(t.unit, 'piece'), coalesce(t.cost_minor, 0),
       coalesce(t.currency, 'EUR'), coalesce(t.lead_time_days, 14), coalesce(t.shipping_class, 'normal'),
       coalesce(t.weight_grams, 0), coalesce(t.imported, false), coalesce(t.serialised OR t.rotable, t.rotable, false),
       coalesce(t.rotable, false), coalesce(t.old_part_rule, 'none')
FROM unnest(%(sku)s::text[], %(name)s::text[], %(description)s::text[], %(unit)s::text[], %(cost_minor)s::bigint[],
            %(currency)s::text[], %(lead_time_days)s::integer[], %(shipping_class)s::text[], %(weight_grams)s::integer[],
            %(imported)s::boolean[], %(serialised)s::boolean[], %(rotable)s::boolean[], %(old_part_rule)s::text[])
     WITH ORDINALITY AS t (sku, name, description, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams,
                           imported, serialised, rotable, old_part_rule, place)
ORDER BY t.place
RETURNING part_id, sku

-- name: update_parts
-- An empty cell leaves what is there; a line that says nothing new changes nothing.
WITH told AS (
    SELECT p.part_id, coalesce(t.name, p.name) AS name, coalesce(t.description, p.description) AS description,
           coalesce(t.unit, p.unit) AS unit, coalesce(t.cost_minor, p.cost_minor) AS cost_minor,
           coalesce(t.currency, p.currency) AS currency, coalesce(t.lead_time_days, p.lead_time_days) AS lead_time_days,
           coalesce(t.shipping_class, p.shipping_class) AS shipping_class,
           coalesce(t.weight_grams, p.weight_grams) AS weight_grams, coalesce(t.imported, p.imported) AS imported,
           coalesce(t.serialised, p.serialised) OR coalesce(t.rotable, p.rotable) AS serialised,
           coalesce(t.rotable, p.rotable) AS rotable, coalesce(t.old_part_rule, p.old_part_rule) AS old_part_rule
    FROM unnest(%(sku)s::text[], %(name)s::text[], %(description)s::text[], %(unit)s::text[], %(cost_minor)s::bigint[],
                %(currency)s::text[], %(lead_time_days)s::integer[], %(shipping_class)s::text[],
                %(weight_grams)s::integer[], %(imported)s::boolean[], %(serialised)s::boolean[], %(rotable)s::boolean[],
                %(old_part_rule)s::text[])
         AS t (sku, name, description, unit, cost_minor, currency, lead_time_days, shipping_class, weight_grams, imported,
               serialised, rotable, old_part_rule)
    JOIN service.part p USING (sku)
)
UPDATE service.part p
SET name = t.name, description = t.description, unit = t.unit, cost_minor = t.cost_minor, currency = t.currency,
    lead_time_days = t.lead_time_days, shipping_class = t.shipping_class, weight_grams = t.weight_grams,
    imported = t.imported, serialised = t.serialised, rotable = t.rotable, old_part_rule = t.old_part_rule,
    version = p.version + 1
FROM told t
WHERE t.part_id = p.part_id
  AND (p.name, p.description, p.unit, p.cost_minor, p.currency, p.lead_time_days, p.shipping_class, p.weight_grams, p.imported,
       p.serialised, p.rotable, p.old_part_rule)
      IS DISTINCT FROM
      (t.name, t.description, t.unit, t.cost_minor, t.currency, t.lead_time_days, t.shipping_class, t.weight_grams, t.imported,
       t.serialised, t.rotable, t.old_part_rule)
RETURNING p.part_id, p.sku

-- name: insert_supersessions
WITH linked AS (
    INSERT INTO service.part_supersession (part_id, successor_id, effective_on, two_way, applied, recorded_by, recorded_at)
    SELECT t.part_id, t.successor_id, t.effective_on, t.two_way, t.effective_on <= %(today)s, %(actor)s, %(now)s
    FROM unnest(%(part_id)s::bigint[], %(successor_id)s::bigint[], %(effective_on)s::date[], %(two_way)s::boolean[])
         AS t (part_id, successor_id, effective_on, two_way)
    RETURNING part_id, applied
), moved AS (
    UPDATE service.part p SET state = 'superseded', version = version + 1
    FROM linked l
    WHERE l.part_id = p.part_id AND l.applied
)
SELECT part_id FROM linked

-- name: currencies
SELECT part_id, currency FROM service.part WHERE part_id = ANY (%(part_ids)s)
