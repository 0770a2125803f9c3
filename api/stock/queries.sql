-- name: lock_balances
-- Locked in one order by everybody, so that two calls never wait for one another.
SELECT s.part_id, s.warehouse_id, s.on_hand - s.reserved AS free, s.reserved, s.issued, s.in_transit AS transit
FROM unnest(%(parts)s::bigint[], %(warehouses)s::bigint[]) AS touched (part_id, warehouse_id)
JOIN service.stock s USING (part_id, warehouse_id)
ORDER BY s.part_id, s.warehouse_id
FOR NO KEY UPDATE OF s

-- name: insert_movements
-- The balances follow by a trigger.
INSERT INTO service.stock_movement
    (part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, cause_kind, cause_key, ticket_id,
     note, at)
SELECT part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, %(cause_kind)s, %(cause_key)s,
       %(ticket_id)s, %(note)s, %(now)s
FROM unnest(%(part_ids)s::bigint[], %(quantities)s::integer[], %(kinds)s::text[], %(from_places)s::text[],
            %(from_warehouses)s::bigint[], %(to_places)s::text[], %(to_warehouses)s::bigint[])
    WITH ORDINALITY AS line (part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, place)
ORDER BY place
RETURNING movement_id, part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, cause_kind,
          cause_key, ticket_id, note, actor, at

-- name: names_of_shelf
SELECT p.sku, w.code AS warehouse
FROM service.part p, service.warehouse w
WHERE p.part_id = %(part_id)s AND w.warehouse_id = %(warehouse_id)s

-- name: get_movement
SELECT m.movement_id, p.sku, m.kind, m.quantity, m.from_place, f.code AS from_warehouse, m.to_place,
       t.code AS to_warehouse, m.cause_kind, m.cause_key, m.ticket_id, m.note, m.actor, m.at
FROM service.stock_movement m
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse f ON f.warehouse_id = m.from_warehouse_id
LEFT JOIN service.warehouse t ON t.warehouse_id = m.to_warehouse_id
WHERE m.movement_id = %(movement_id)s

-- name: list_movements
-- Of a warehouse what left it and what came: each side walks its own index.
SELECT m.movement_id, p.sku, m.kind, m.quantity, m.from_place, f.code AS from_warehouse, m.to_place,
       t.code AS to_warehouse, m.cause_kind, m.cause_key, m.ticket_id, m.note, m.actor, m.at
FROM service.stock_movement m
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse f ON f.warehouse_id = m.from_warehouse_id
LEFT JOIN service.warehouse t ON t.warehouse_id = m.to_warehouse_id
WHERE m.movement_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR m.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(ticket_id)s::bigint IS NULL OR m.ticket_id = %(ticket_id)s)
  AND (%(cause_kind)s::text IS NULL OR (m.cause_kind = %(cause_kind)s AND m.cause_key = %(cause_key)s))
ORDER BY m.movement_id
LIMIT %(fetch)s

-- name: list_movements_of_warehouse
WITH found AS (
    (SELECT * FROM service.stock_movement
     WHERE from_warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s)
       AND movement_id > %(after_id)s
       AND (%(sku)s::text IS NULL OR part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
       AND (%(ticket_id)s::bigint IS NULL OR ticket_id = %(ticket_id)s)
       AND (%(cause_kind)s::text IS NULL OR (cause_kind = %(cause_kind)s AND cause_key = %(cause_key)s))
     ORDER BY movement_id
     LIMIT %(fetch)s)
    UNION ALL
    (SELECT * FROM service.stock_movement
     WHERE to_warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s)
       AND from_warehouse_id IS DISTINCT FROM to_warehouse_id
       AND movement_id > %(after_id)s
       AND (%(sku)s::text IS NULL OR part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
       AND (%(ticket_id)s::bigint IS NULL OR ticket_id = %(ticket_id)s)
       AND (%(cause_kind)s::text IS NULL OR (cause_kind = %(cause_kind)s AND cause_key = %(cause_key)s))
     ORDER BY movement_id
     LIMIT %(fetch)s)
)
SELECT m.movement_id, p.sku, m.kind, m.quantity, m.from_place, f.code AS from_warehouse, m.to_place,
       t.code AS to_warehouse, m.cause_kind, m.cause_key, m.ticket_id, m.note, m.actor, m.at
FROM found m
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse f ON f.warehouse_id = m.from_warehouse_id
LEFT JOIN service.warehouse t ON t.warehouse_id = m.to_warehouse_id
ORDER BY m.movement_id
LIMIT %(fetch)s

-- name: list_stock
-- A page ends at a pair of numbers; both travel as one in the cursor.
SELECT (s.warehouse_id << 32) + s.part_id AS number, p.sku, w.code AS warehouse,
       s.on_hand, s.reserved, s.on_hand - s.reserved AS available, s.issued, s.in_transit, s.stocked_at,
       s.min_quantity, s.max_quantity
FROM service.stock s
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE (s.warehouse_id, s.part_id) > (%(after_id)s::bigint >> 32, %(after_id)s::bigint & 4294967295)
  AND (%(sku)s::text IS NULL OR s.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR s.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY s.warehouse_id, s.part_id
LIMIT %(fetch)s

-- Causes -------------------------------------------------------------------------------------------

-- name: ticket_of_cause
SELECT ticket_id FROM service.ticket WHERE %(kind)s = 'ticket' AND ticket_id = %(number)s
UNION ALL SELECT ticket_id FROM service.job WHERE %(kind)s = 'job' AND job_id = %(number)s
UNION ALL SELECT ticket_id FROM service.visit WHERE %(kind)s = 'visit' AND visit_id = %(number)s

-- Balances of the past -----------------------------------------------------------------------------

-- name: list_balances
-- What is there now, less what has moved since; so the last day is quick, and years ago still an index away.
SELECT (s.warehouse_id << 32) + s.part_id AS number, p.sku, w.code AS warehouse,
       s.on_hand - since.on_hand AS on_hand, s.reserved - since.reserved AS reserved,
       s.on_hand - since.on_hand - s.reserved + since.reserved AS available,
       s.issued - since.issued AS issued, s.in_transit - since.in_transit AS in_transit,
       CASE WHEN %(valued)s THEN cost.minor END AS unit_cost_minor,
       CASE WHEN %(valued)s THEN (s.on_hand - since.on_hand)::numeric * cost.minor END AS value_minor,
       CASE WHEN %(valued)s THEN p.currency END AS currency
FROM (
    SELECT * FROM service.stock
    WHERE (warehouse_id, part_id) > (%(after_id)s::bigint >> 32, %(after_id)s::bigint & 4294967295)
      AND (%(sku)s::text IS NULL OR part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
      AND (%(warehouse)s::text IS NULL
           OR warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
    ORDER BY warehouse_id, part_id
    LIMIT %(fetch)s
) s
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pieces) FILTER (WHERE place IN ('free', 'reserved')), 0)::bigint AS on_hand,
           coalesce(sum(pieces) FILTER (WHERE place = 'reserved'), 0)::bigint AS reserved,
           coalesce(sum(pieces) FILTER (WHERE place = 'issued'), 0)::bigint AS issued,
           coalesce(sum(pieces) FILTER (WHERE place = 'transit'), 0)::bigint AS in_transit
    FROM (
        SELECT to_place AS place, quantity AS pieces FROM service.stock_movement
        WHERE to_warehouse_id = s.warehouse_id AND part_id = s.part_id AND at > %(at)s
        UNION ALL
        SELECT from_place, -quantity FROM service.stock_movement
        WHERE from_warehouse_id = s.warehouse_id AND part_id = s.part_id AND at > %(at)s
    ) later
) since
CROSS JOIN LATERAL service.house_cost(p.part_id, (%(at)s AT TIME ZONE 'UTC')::date) AS cost (minor)
ORDER BY s.warehouse_id, s.part_id

-- name: list_values
-- By warehouse and currency: pieces on hand at the moment, and what they cost the house on that day.
WITH page AS (
    SELECT warehouse_id, code FROM service.warehouse
    WHERE warehouse_id > %(after_id)s AND (%(warehouse)s::text IS NULL OR code = %(warehouse)s)
    ORDER BY warehouse_id
    LIMIT %(fetch)s
), moved AS (
    -- What is there now, less what has moved since.
    SELECT warehouse_id, part_id, on_hand AS pieces FROM service.stock
    WHERE warehouse_id IN (SELECT warehouse_id FROM page)
    UNION ALL
    SELECT to_warehouse_id, part_id, -quantity FROM service.stock_movement
    WHERE to_warehouse_id IN (SELECT warehouse_id FROM page) AND to_place IN ('free', 'reserved') AND at > %(at)s
    UNION ALL
    SELECT from_warehouse_id, part_id, quantity FROM service.stock_movement
    WHERE from_warehouse_id IN (SELECT warehouse_id FROM page) AND from_place IN ('free', 'reserved') AND at > %(at)s
), price AS (
    SELECT DISTINCT ON (i.part_id, i.currency) i.part_id, i.currency, i.price_minor
    FROM service.part_price i
    WHERE i.kind = 'internal' AND i.level = '' AND i.valid_from <= (%(at)s AT TIME ZONE 'UTC')::date
      AND (i.valid_until IS NULL OR i.valid_until >= (%(at)s AT TIME ZONE 'UTC')::date)
    ORDER BY i.part_id, i.currency, i.valid_from DESC
), held AS (
    SELECT h.warehouse_id, p.currency, h.pieces, coalesce(price.price_minor, p.cost_minor) AS cost_minor
    FROM (SELECT warehouse_id, part_id, sum(pieces) AS pieces FROM moved GROUP BY warehouse_id, part_id) h
    JOIN service.part p USING (part_id)
    LEFT JOIN price ON price.part_id = p.part_id AND price.currency = p.currency
)
SELECT page.warehouse_id, page.code AS warehouse, held.currency, count(*) FILTER (WHERE held.pieces > 0) AS parts,
       coalesce(sum(held.pieces), 0)::bigint AS pieces, coalesce(sum(held.pieces::numeric * held.cost_minor), 0) AS value_minor
FROM page
LEFT JOIN held USING (warehouse_id)
GROUP BY page.warehouse_id, page.code, held.currency
ORDER BY page.warehouse_id, held.currency

-- Demand of the past -------------------------------------------------------------------------------

-- name: list_demand
-- Pieces used in each month, and of those what came back in the same month; the group ends early, along its index.
SELECT m.warehouse_id, m.part_id, w.code AS warehouse, p.sku, m.month, m.consumed,
       coalesce((SELECT sum(b.quantity) FROM service.stock_movement b
                 WHERE b.to_warehouse_id = m.warehouse_id AND b.part_id = m.part_id AND b.from_place = 'used'
                   AND b.at >= m.month AND b.at < m.month + interval '1 month'), 0)::bigint AS returned
FROM (
    SELECT from_warehouse_id AS warehouse_id, part_id, date_trunc('month', at, 'UTC') AS month,
           sum(quantity)::bigint AS consumed
    FROM service.stock_movement
    WHERE to_place = 'used' AND (from_warehouse_id, part_id, at) >= (%(warehouse_id)s, %(part_id)s, %(from_month)s)
      AND (%(sku)s::text IS NULL OR part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
      AND (%(warehouse)s::text IS NULL
           OR from_warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
      AND at >= %(since)s AND at < %(until)s
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    LIMIT %(fetch)s
) m
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
ORDER BY m.warehouse_id, m.part_id, m.month

-- Proofs -------------------------------------------------------------------------------------------

-- name: last_proof
SELECT stock_proof_id, at, movements, last_movement_id, shelves, faults, examples
FROM service.stock_proof ORDER BY stock_proof_id DESC LIMIT 1

-- name: last_movement
SELECT movement_id FROM service.stock_movement ORDER BY movement_id DESC LIMIT 1

-- name: prove
-- All in one snapshot: balances against movements, and what is kept against open reservations.
WITH fault AS (
    SELECT warehouse_id, part_id, 'balance' AS kind,
           jsonb_build_object('on_hand', on_hand, 'reserved', reserved, 'issued', issued, 'in_transit', in_transit) AS balance,
           jsonb_build_object('on_hand', moved_on_hand, 'reserved', moved_reserved, 'issued', moved_issued,
                              'in_transit', moved_in_transit) AS reckoned
    FROM service.stock_imbalance
    UNION ALL
    SELECT warehouse_id, part_id, 'reservations', jsonb_build_object('reserved', s.reserved, 'issued', s.issued,
           'in_transit', s.in_transit), jsonb_build_object('reserved', kept.reserved, 'issued', kept.issued,
           'in_transit', kept.in_transit)
    FROM (
        SELECT warehouse_id, part_id, coalesce(sum(quantity) FILTER (WHERE place = 'reserved'), 0) AS reserved,
               coalesce(sum(quantity) FILTER (WHERE place = 'issued'), 0) AS issued,
               coalesce(sum(quantity) FILTER (WHERE place = 'transit'), 0) AS in_transit
        FROM service.reservation WHERE state = 'reserved' GROUP BY warehouse_id, part_id
    ) kept
    FULL JOIN (SELECT * FROM service.stock WHERE reserved > 0 OR issued > 0 OR in_transit > 0) s
        USING (warehouse_id, part_id)
    WHERE coalesce(s.reserved, 0) <> coalesce(kept.reserved, 0) OR coalesce(s.issued, 0) < coalesce(kept.issued, 0)
       OR coalesce(s.in_transit, 0) < coalesce(kept.in_transit, 0)
), example AS (
    SELECT jsonb_build_object('kind', f.kind, 'warehouse', w.code, 'sku', p.sku, 'balance', f.balance,
                              'reckoned', f.reckoned) AS line
    FROM fault f
    LEFT JOIN service.warehouse w USING (warehouse_id)
    LEFT JOIN service.part p USING (part_id)
    ORDER BY w.code, p.sku, f.kind
    LIMIT 100
)
SELECT (SELECT count(*) FROM service.stock_movement) AS movements,
       coalesce((SELECT max(movement_id) FROM service.stock_movement), 0) AS last_movement_id,
       (SELECT count(*) FROM service.stock) AS shelves, (SELECT count(*) FROM fault) AS faults,
       coalesce((SELECT jsonb_agg(line) FROM example), '[]') AS examples

-- name: insert_proof
INSERT INTO service.stock_proof (at, movements, last_movement_id, shelves, faults, examples)
VALUES (%(now)s, %(movements)s, %(last_movement_id)s, %(shelves)s, %(faults)s, %(examples)s)
RETURNING stock_proof_id

-- Counts -------------------------------------------------------------------------------------------

-- name: insert_count
INSERT INTO service.stock_count (warehouse_id, bin_id, note, recount_of, opened_by, opened_at)
VALUES (%(warehouse_id)s, %(bin_id)s, %(note)s, %(recount_of)s, %(actor)s, %(now)s)
RETURNING stock_count_id

-- name: bin_of_warehouse
SELECT bin_id FROM service.bin WHERE warehouse_id = %(warehouse_id)s AND code = %(code)s

-- name: insert_lines_of_shelves
-- Everything that is, or is said to be, in the warehouse or bin.
INSERT INTO service.stock_count_line (stock_count_id, part_id)
SELECT %(stock_count_id)s, part_id
FROM service.stock
WHERE warehouse_id = %(warehouse_id)s
  AND CASE WHEN %(bin_id)s::bigint IS NULL THEN on_hand > 0 ELSE bin_id = %(bin_id)s END
ORDER BY part_id

-- name: insert_lines_of_skus
INSERT INTO service.stock_count_line (stock_count_id, part_id)
SELECT %(stock_count_id)s, part_id FROM service.part WHERE sku = ANY (%(skus)s) ORDER BY part_id
ON CONFLICT (stock_count_id, part_id) DO NOTHING

-- name: insert_lines_to_recount
-- What was not believed: the differences; all of it where there was none.
INSERT INTO service.stock_count_line (stock_count_id, part_id)
SELECT %(stock_count_id)s, part_id
FROM service.stock_count_line
WHERE stock_count_id = %(recount_of)s
  AND (variance <> 0 OR NOT EXISTS (SELECT FROM service.stock_count_line d
                                    WHERE d.stock_count_id = %(recount_of)s AND d.variance <> 0))
ORDER BY part_id

-- name: lock_count
SELECT stock_count_id, warehouse_id, bin_id, state, finished_key, version
FROM service.stock_count WHERE stock_count_id = %(stock_count_id)s
FOR NO KEY UPDATE

-- name: list_counts
SELECT c.stock_count_id, w.code AS warehouse, b.code AS bin, c.state, c.note, c.recount_of, c.opened_by, c.opened_at,
       c.finished_by, c.finished_at, c.decided_by, c.decided_at, c.decision, c.version, l.lines, l.open
FROM service.stock_count c
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.bin b USING (bin_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS lines, count(*) FILTER (WHERE counted IS NULL) AS open
    FROM service.stock_count_line WHERE stock_count_id = c.stock_count_id
) l
WHERE c.stock_count_id > %(after_id)s
  AND (%(stock_count_id)s::bigint IS NULL OR c.stock_count_id = %(stock_count_id)s)
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(warehouse)s::text IS NULL
       OR c.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY c.stock_count_id
LIMIT %(fetch)s

-- name: list_count_lines
SELECT l.stock_count_line_id, p.sku, p.name, b.code AS bin, l.counted, l.counted_at, l.counted_by, l.expected, l.variance,
       l.variance::numeric * l.cost_minor AS value_minor, l.currency
FROM service.stock_count_line l
JOIN service.stock_count c USING (stock_count_id)
JOIN service.part p USING (part_id)
LEFT JOIN service.stock s ON s.warehouse_id = c.warehouse_id AND s.part_id = l.part_id
LEFT JOIN service.bin b ON b.bin_id = s.bin_id
WHERE l.stock_count_id = %(stock_count_id)s AND l.stock_count_line_id > %(after_id)s
  AND (NOT %(differing)s OR l.variance <> 0)
ORDER BY l.stock_count_line_id
LIMIT %(fetch)s

-- name: parts_of_skus
SELECT sku, part_id FROM service.part WHERE sku = ANY (%(skus)s)

-- name: put_lines
-- The balance at the moment of counting: what is there now, less what has moved since. The shelves are locked.
INSERT INTO service.stock_count_line
    (stock_count_id, part_id, counted, counted_at, counted_by, counted_key, expected, cost_minor, currency)
SELECT %(stock_count_id)s, told.part_id, told.counted, told.counted_at, %(actor)s, %(key)s,
       coalesce(s.on_hand, 0) - since.pieces,
       service.house_cost(p.part_id, (told.counted_at AT TIME ZONE 'UTC')::date), p.currency
FROM unnest(%(parts)s::bigint[], %(pieces)s::integer[], %(times)s::timestamptz[]) AS told (part_id, counted, counted_at)
JOIN service.part p USING (part_id)
LEFT JOIN service.stock s ON s.warehouse_id = %(warehouse_id)s AND s.part_id = told.part_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pieces), 0)::integer AS pieces
    FROM (
        SELECT quantity AS pieces FROM service.stock_movement
        WHERE to_warehouse_id = %(warehouse_id)s AND part_id = told.part_id AND to_place IN ('free', 'reserved')
          AND at > told.counted_at
        UNION ALL
        SELECT -quantity FROM service.stock_movement
        WHERE from_warehouse_id = %(warehouse_id)s AND part_id = told.part_id AND from_place IN ('free', 'reserved')
          AND at > told.counted_at
    ) moved
) since
ON CONFLICT (stock_count_id, part_id) DO UPDATE
SET counted = excluded.counted, counted_at = excluded.counted_at, counted_by = excluded.counted_by,
    counted_key = excluded.counted_key, expected = excluded.expected, cost_minor = excluded.cost_minor,
    currency = excluded.currency

-- name: open_lines
SELECT p.sku
FROM service.stock_count_line l
JOIN service.part p USING (part_id)
WHERE l.stock_count_id = %(stock_count_id)s AND l.counted IS NULL
ORDER BY p.sku
LIMIT 20

-- name: variances
-- By currency what is missing and what was found, at cost.
SELECT currency, coalesce(sum(variance::numeric * cost_minor) FILTER (WHERE variance > 0), 0) AS found_minor,
       coalesce(-sum(variance::numeric * cost_minor) FILTER (WHERE variance < 0), 0) AS missing_minor,
       count(*) FILTER (WHERE variance <> 0) AS lines
FROM service.stock_count_line
WHERE stock_count_id = %(stock_count_id)s AND counted IS NOT NULL
GROUP BY currency
ORDER BY currency

-- name: has_counted
SELECT FROM service.stock_count_line WHERE stock_count_id = %(stock_count_id)s AND counted_key = %(key)s LIMIT 1

-- name: differing_lines
SELECT part_id, variance
FROM service.stock_count_line
WHERE stock_count_id = %(stock_count_id)s AND variance <> 0
ORDER BY part_id

-- name: finish_count
UPDATE service.stock_count
SET state = %(state)s, finished_by = %(actor)s, finished_key = %(key)s, finished_at = %(now)s, version = version + 1
WHERE stock_count_id = %(stock_count_id)s

-- name: decide_count
UPDATE service.stock_count
SET state = %(state)s, decided_by = %(actor)s, decided_at = %(now)s, decision = %(decision)s, version = version + 1
WHERE stock_count_id = %(stock_count_id)s

-- name: owner_of_warehouse
SELECT code, provider_id FROM service.warehouse WHERE warehouse_id = %(warehouse_id)s
