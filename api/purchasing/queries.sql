-- name: get_supplier
SELECT supplier_id, code, name, currency, active FROM service.supplier WHERE code = %(code)s

-- name: part_to_order
SELECT part_id, sku, currency, lead_time_days, state FROM service.part WHERE part_id = %(part_id)s

-- name: terms_of_part
SELECT c.supplier_id, c.supplier_sku, c.price_minor, c.currency, coalesce(c.lead_time_days, p.lead_time_days) AS lead_time_days,
       c.minimum_quantity, c.pack_size, c.over_delivery_percent, c.place
FROM service.supplier_part c
JOIN service.supplier s USING (supplier_id)
JOIN service.part p USING (part_id)
WHERE c.part_id = %(part_id)s AND c.active AND s.active
  AND (%(supplier_id)s::bigint IS NULL OR c.supplier_id = %(supplier_id)s)

-- name: put_terms
WITH given AS (
    SELECT p.part_id, g.*
    FROM unnest(%(skus)s::text[], %(supplier_skus)s::text[], %(prices)s::bigint[], %(currencies)s::text[],
                %(lead_times)s::integer[], %(minimums)s::integer[], %(packs)s::integer[], %(tolerances)s::integer[],
                %(places)s::integer[], %(actives)s::boolean[])
        AS g (sku, supplier_sku, price, currency, lead_time, minimum, pack, tolerance, place, active)
    JOIN service.part p ON p.sku = g.sku
    ORDER BY p.part_id
), written AS (
    INSERT INTO service.supplier_part AS c
        (supplier_id, part_id, supplier_sku, price_minor, currency, lead_time_days, minimum_quantity, pack_size,
         over_delivery_percent, place, active)
    SELECT %(supplier_id)s, part_id, supplier_sku, price, currency, lead_time, minimum, pack, tolerance, place, active
    FROM given
    ON CONFLICT (supplier_id, part_id) DO UPDATE
    SET supplier_sku = excluded.supplier_sku, price_minor = excluded.price_minor, currency = excluded.currency,
        lead_time_days = excluded.lead_time_days, minimum_quantity = excluded.minimum_quantity,
        pack_size = excluded.pack_size, over_delivery_percent = excluded.over_delivery_percent, place = excluded.place,
        active = excluded.active, version = c.version + 1
    WHERE (c.supplier_sku, c.price_minor, c.currency, c.lead_time_days, c.minimum_quantity, c.pack_size,
           c.over_delivery_percent, c.place, c.active)
          IS DISTINCT FROM (excluded.supplier_sku, excluded.price_minor, excluded.currency, excluded.lead_time_days,
                            excluded.minimum_quantity, excluded.pack_size, excluded.over_delivery_percent, excluded.place,
                            excluded.active)
    RETURNING xmax = 0 AS added
)
SELECT (count(*) FILTER (WHERE added))::integer AS added, (count(*) FILTER (WHERE NOT added))::integer AS changed
FROM written

-- name: unknown_skus
SELECT g.place - 1 AS place, g.sku
FROM unnest(%(skus)s::text[]) WITH ORDINALITY AS g (sku, place)
WHERE NOT EXISTS (SELECT FROM service.part p WHERE p.sku = g.sku)
ORDER BY g.place
LIMIT 1

-- name: list_supplier_parts
SELECT c.supplier_part_id, s.code AS supplier, p.sku, c.supplier_sku, c.price_minor, c.currency,
       coalesce(c.lead_time_days, p.lead_time_days) AS lead_time_days, c.minimum_quantity, c.pack_size,
       c.over_delivery_percent, c.place, c.active, c.version
FROM service.supplier_part c
JOIN service.supplier s USING (supplier_id)
JOIN service.part p USING (part_id)
WHERE c.supplier_part_id > %(after_id)s
  AND (%(supplier)s::text IS NULL OR c.supplier_id = (SELECT x.supplier_id FROM service.supplier x WHERE x.code = %(supplier)s))
  AND (%(sku)s::text IS NULL OR c.part_id = (SELECT x.part_id FROM service.part x WHERE x.sku = %(sku)s))
ORDER BY c.supplier_part_id
LIMIT %(fetch)s

-- name: make_draft
INSERT INTO service.purchase_order (supplier_id, warehouse_id, currency, created_at, created_by, reckoned_at)
VALUES (%(supplier_id)s, %(warehouse_id)s, %(currency)s, %(now)s, %(by)s, %(now)s)
ON CONFLICT (supplier_id, warehouse_id, currency) WHERE state = 'draft' DO NOTHING

-- name: lock_draft
SELECT purchase_order_id
FROM service.purchase_order
WHERE supplier_id IS NOT DISTINCT FROM %(supplier_id)s AND warehouse_id = %(warehouse_id)s AND currency = %(currency)s
  AND state = 'draft'
FOR UPDATE

-- name: lock_order
SELECT o.purchase_order_id, o.supplier_id, o.warehouse_id, o.currency, o.state, o.reference, o.note, o.version, w.code AS warehouse,
       w.time_zone
FROM service.purchase_order o
JOIN service.warehouse w USING (warehouse_id)
WHERE o.purchase_order_id = %(purchase_order_id)s
FOR UPDATE OF o

-- name: line_of_draft
SELECT purchase_line_id, wanted, promised, minimum_quantity, pack_size
FROM service.purchase_line
WHERE purchase_order_id = %(purchase_order_id)s AND part_id = %(part_id)s

-- name: insert_line
INSERT INTO service.purchase_line
    (purchase_order_id, part_id, wanted, quantity, promised, price_minor, supplier_sku, lead_time_days, minimum_quantity,
     pack_size, over_delivery_percent, expected_at)
VALUES (%(purchase_order_id)s, %(part_id)s, %(wanted)s, %(quantity)s, 0, %(price_minor)s, %(supplier_sku)s,
        %(lead_time_days)s, %(minimum_quantity)s, %(pack_size)s, %(over_delivery_percent)s, %(expected_at)s)
RETURNING purchase_line_id

-- name: change_line
UPDATE service.purchase_line
SET wanted = %(wanted)s, quantity = %(quantity)s, price_minor = coalesce(%(price_minor)s, price_minor),
    closed = %(quantity)s = 0
WHERE purchase_line_id = %(purchase_line_id)s

-- name: lock_line
-- With its order, which is locked first by everybody.
SELECT l.purchase_line_id, l.purchase_order_id, l.part_id, l.wanted, l.quantity, l.received, l.damaged, l.promised,
       l.minimum_quantity, l.pack_size, l.over_delivery_percent, l.lead_time_days, l.confirmed_on, l.expected_at, l.closed,
       o.state, o.warehouse_id, o.supplier_id, p.sku
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.part p USING (part_id)
WHERE l.purchase_line_id = %(purchase_line_id)s
FOR UPDATE OF o, l

-- name: lines_of_order
SELECT l.purchase_line_id, l.purchase_order_id, l.part_id, l.wanted, l.quantity, l.received, l.damaged, l.promised,
       l.minimum_quantity, l.pack_size, l.over_delivery_percent, l.lead_time_days, l.confirmed_on, l.expected_at, l.closed,
       l.price_minor, p.sku
FROM service.purchase_line l
JOIN service.part p USING (part_id)
WHERE l.purchase_order_id = %(purchase_order_id)s
ORDER BY l.part_id
FOR UPDATE OF l

-- name: move_promised
UPDATE service.purchase_line SET promised = promised + %(pieces)s WHERE purchase_line_id = %(purchase_line_id)s

-- name: insert_promise
INSERT INTO service.purchase_promise (purchase_line_id, ticket_id, job_id, demand_id, quantity, ordered, promised_at)
VALUES (%(purchase_line_id)s, %(ticket_id)s, %(job_id)s, %(demand_id)s, %(quantity)s, %(ordered)s, %(now)s)
RETURNING purchase_promise_id

-- name: promise_by_id
SELECT purchase_promise_id, purchase_line_id FROM service.purchase_promise WHERE purchase_promise_id = %(purchase_promise_id)s

-- name: open_promises_of_demand
SELECT purchase_promise_id FROM service.purchase_promise
WHERE demand_id = %(demand_id)s AND state = 'open'
ORDER BY purchase_promise_id

-- name: lock_promise
SELECT purchase_promise_id, purchase_line_id, ticket_id, job_id, demand_id, quantity, ordered, state
FROM service.purchase_promise
WHERE purchase_promise_id = %(purchase_promise_id)s
FOR UPDATE

-- name: open_promises_of_lines
-- A demand may have got its job since.
SELECT m.purchase_promise_id, m.purchase_line_id, m.ticket_id, j.job_id, m.demand_id, m.quantity, m.ordered,
       coalesce(j.state, '') AS job_state, coalesce(t.state, '') AS ticket_state
FROM service.purchase_promise m
LEFT JOIN service.part_demand d ON d.part_demand_id = m.demand_id
LEFT JOIN service.job j ON j.job_id = coalesce(d.job_id, m.job_id)
LEFT JOIN service.ticket t ON t.ticket_id = m.ticket_id
WHERE m.purchase_line_id = ANY (%(purchase_line_ids)s) AND m.state = 'open'
ORDER BY m.purchase_promise_id

-- name: lock_jobs_of_lines
-- Jobs are locked before orders by whoever allocates for them.
SELECT j.job_id
FROM service.job j
WHERE j.job_id IN (SELECT coalesce(d.job_id, m.job_id)
                   FROM service.purchase_promise m
                   LEFT JOIN service.part_demand d ON d.part_demand_id = m.demand_id
                   WHERE m.purchase_line_id = ANY (%(purchase_line_ids)s) AND m.state = 'open')
ORDER BY j.job_id
FOR NO KEY UPDATE OF j

-- name: end_promise
UPDATE service.purchase_promise
SET state = %(state)s, reservation_id = %(reservation_id)s, ended_at = %(now)s
WHERE purchase_promise_id = %(purchase_promise_id)s

-- name: promise_rest
-- What has not come is a promise of its own from now on.
WITH kept AS (
    UPDATE service.purchase_promise SET quantity = %(quantity)s
    WHERE purchase_promise_id = %(purchase_promise_id)s
    RETURNING purchase_line_id, ticket_id, job_id, demand_id, ordered, promised_at
)
INSERT INTO service.purchase_promise (purchase_line_id, ticket_id, job_id, demand_id, quantity, ordered, promised_at)
SELECT purchase_line_id, ticket_id, job_id, demand_id, %(rest)s, ordered, promised_at
FROM kept

-- name: list_promises
SELECT m.purchase_promise_id, m.purchase_line_id, p.sku, w.code AS warehouse, m.quantity, m.state, m.ticket_id, m.job_id,
       m.demand_id, m.reservation_id, m.promised_at, l.expected_at, m.ended_at
FROM service.purchase_promise m
JOIN service.purchase_line l USING (purchase_line_id)
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
WHERE m.purchase_promise_id > %(after_id)s
  AND (%(ticket_id)s::bigint IS NULL OR m.ticket_id = %(ticket_id)s)
  AND (%(purchase_line_id)s::bigint IS NULL OR m.purchase_line_id = %(purchase_line_id)s)
ORDER BY m.purchase_promise_id
LIMIT %(fetch)s

-- name: get_order
SELECT o.purchase_order_id, o.state, s.code AS supplier, w.code AS warehouse, o.currency, o.reference, o.note,
       (SELECT CASE WHEN bool_and(l.price_minor IS NOT NULL) THEN sum(l.price_minor::numeric * l.quantity) END
        FROM service.purchase_line l
        WHERE l.purchase_order_id = o.purchase_order_id AND l.quantity > 0) AS total_minor,
       o.created_at, o.created_by, o.sent_at, o.ended_at, o.end_reason, o.version, o.warehouse_id, o.supplier_id
FROM service.purchase_order o
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.supplier s USING (supplier_id)
WHERE o.purchase_order_id = %(purchase_order_id)s

-- name: list_orders
SELECT o.purchase_order_id, o.state, s.code AS supplier, w.code AS warehouse, o.currency, o.reference, o.note,
       (SELECT CASE WHEN bool_and(l.price_minor IS NOT NULL) THEN sum(l.price_minor::numeric * l.quantity) END
        FROM service.purchase_line l
        WHERE l.purchase_order_id = o.purchase_order_id AND l.quantity > 0) AS total_minor,
       o.created_at, o.created_by, o.sent_at, o.ended_at, o.end_reason, o.version
FROM service.purchase_order o
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.supplier s USING (supplier_id)
WHERE o.purchase_order_id > %(after_id)s
  AND (%(state)s::text IS NULL OR o.state = %(state)s)
  AND (%(supplier)s::text IS NULL OR o.supplier_id = (SELECT x.supplier_id FROM service.supplier x WHERE x.code = %(supplier)s))
  AND (%(warehouse)s::text IS NULL
       OR o.warehouse_id = (SELECT x.warehouse_id FROM service.warehouse x WHERE x.code = %(warehouse)s))
ORDER BY o.purchase_order_id
LIMIT %(fetch)s

-- name: get_line
SELECT l.purchase_line_id, l.purchase_order_id, o.state, s.code AS supplier, w.code AS warehouse, p.sku, l.supplier_sku,
       l.wanted, l.quantity, l.received, l.damaged, l.promised,
       CASE WHEN l.closed THEN 0 ELSE l.quantity - l.received - l.promised END AS unpromised, l.price_minor, o.currency,
       l.lead_time_days, l.confirmed_on, l.expected_at, l.closed, l.late_since, l.part_id, o.warehouse_id
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
LEFT JOIN service.supplier s ON s.supplier_id = o.supplier_id
WHERE l.purchase_line_id = %(purchase_line_id)s

-- name: list_lines
SELECT l.purchase_line_id, l.purchase_order_id, o.state, s.code AS supplier, w.code AS warehouse, p.sku, l.supplier_sku,
       l.wanted, l.quantity, l.received, l.damaged, l.promised,
       CASE WHEN l.closed THEN 0 ELSE l.quantity - l.received - l.promised END AS unpromised, l.price_minor, o.currency,
       l.lead_time_days, l.confirmed_on, l.expected_at, l.closed, l.late_since
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
LEFT JOIN service.supplier s ON s.supplier_id = o.supplier_id
WHERE l.purchase_line_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR l.part_id = (SELECT x.part_id FROM service.part x WHERE x.sku = %(sku)s))
  AND (%(purchase_order_id)s::bigint IS NULL OR l.purchase_order_id = %(purchase_order_id)s)
ORDER BY l.purchase_line_id
LIMIT %(fetch)s

-- name: list_late_lines
SELECT l.purchase_line_id, l.purchase_order_id, o.state, s.code AS supplier, w.code AS warehouse, p.sku, l.supplier_sku,
       l.wanted, l.quantity, l.received, l.damaged, l.promised, l.quantity - l.received - l.promised AS unpromised,
       l.price_minor, o.currency, l.lead_time_days, l.confirmed_on, l.expected_at, l.closed, l.late_since
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
LEFT JOIN service.supplier s ON s.supplier_id = o.supplier_id
WHERE l.purchase_line_id > %(after_id)s AND NOT l.closed AND l.late_since IS NOT NULL
ORDER BY l.purchase_line_id
LIMIT %(fetch)s

-- name: change_order
UPDATE service.purchase_order
SET supplier_id = %(supplier_id)s, reference = %(reference)s, note = %(note)s, version = version + 1
WHERE purchase_order_id = %(purchase_order_id)s

-- name: draft_exists
SELECT purchase_order_id FROM service.purchase_order
WHERE supplier_id = %(supplier_id)s AND warehouse_id = %(warehouse_id)s AND currency = %(currency)s AND state = 'draft'

-- name: set_terms
UPDATE service.purchase_line
SET price_minor = coalesce(%(price_minor)s, price_minor), supplier_sku = %(supplier_sku)s, lead_time_days = %(lead_time_days)s,
    minimum_quantity = %(minimum_quantity)s, pack_size = %(pack_size)s, over_delivery_percent = %(over_delivery_percent)s,
    quantity = %(quantity)s, expected_at = %(expected_at)s
WHERE purchase_line_id = %(purchase_line_id)s

-- name: move_order
UPDATE service.purchase_order
SET state = %(state)s, reference = coalesce(%(reference)s, reference),
    sent_at = CASE WHEN %(state)s = 'sent' THEN %(now)s::timestamptz ELSE sent_at END,
    ended_at = CASE WHEN %(state)s IN ('received', 'cancelled') THEN %(now)s::timestamptz END,
    end_reason = coalesce(%(reason)s, end_reason), version = version + 1
WHERE purchase_order_id = %(purchase_order_id)s

-- name: date_line
UPDATE service.purchase_line
SET confirmed_on = coalesce(%(confirmed_on)s, confirmed_on), expected_at = %(expected_at)s,
    price_minor = coalesce(%(price_minor)s, price_minor),
    late_since = CASE WHEN %(expected_at)s > %(now)s THEN NULL ELSE late_since END
WHERE purchase_line_id = %(purchase_line_id)s

-- name: insert_receipt
INSERT INTO service.purchase_receipt (purchase_line_id, delivery_note, quantity, damaged, at)
VALUES (%(purchase_line_id)s, %(delivery_note)s, %(quantity)s, %(damaged)s, %(now)s)
ON CONFLICT (purchase_line_id, delivery_note) DO NOTHING
RETURNING purchase_receipt_id

-- name: receive_line
UPDATE service.purchase_line
SET received = received + %(good)s, damaged = damaged + %(damaged)s, promised = promised - %(kept)s, closed = %(closed)s
WHERE purchase_line_id = %(purchase_line_id)s

-- name: close_lines
UPDATE service.purchase_line SET closed = true, promised = 0 WHERE purchase_order_id = %(purchase_order_id)s AND NOT closed

-- name: list_receipts
SELECT r.purchase_receipt_id, r.purchase_line_id, p.sku, r.delivery_note, r.quantity, r.damaged, r.actor, r.at
FROM service.purchase_receipt r
JOIN service.purchase_line l USING (purchase_line_id)
JOIN service.part p USING (part_id)
WHERE l.purchase_order_id = %(purchase_order_id)s AND r.purchase_receipt_id > %(after_id)s
ORDER BY r.purchase_receipt_id
LIMIT %(fetch)s

-- name: late_lines
SELECT l.purchase_line_id, l.purchase_order_id, l.expected_at, l.quantity - l.received AS missing, l.promised, p.sku,
       s.code AS supplier, w.code AS warehouse
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
JOIN service.warehouse w USING (warehouse_id)
JOIN service.part p USING (part_id)
LEFT JOIN service.supplier s ON s.supplier_id = o.supplier_id
WHERE NOT l.closed AND l.late_since IS NULL AND l.expected_at < %(now)s
  AND o.state IN ('sent', 'confirmed', 'partly_received')
ORDER BY l.expected_at, l.purchase_line_id
LIMIT %(batch)s
FOR UPDATE OF l SKIP LOCKED

-- name: mark_late
UPDATE service.purchase_line SET late_since = %(now)s WHERE purchase_line_id = %(purchase_line_id)s

-- name: stale_drafts
-- The dates of a draft count from today, each day anew, until it is sent.
SELECT o.purchase_order_id, o.warehouse_id, w.time_zone
FROM service.purchase_order o
JOIN service.warehouse w USING (warehouse_id)
WHERE o.state = 'draft' AND o.reckoned_at < %(reckoned_before)s
ORDER BY o.reckoned_at
LIMIT %(batch)s
FOR UPDATE OF o SKIP LOCKED

-- name: mark_reckoned
UPDATE service.purchase_order SET reckoned_at = %(now)s WHERE purchase_order_id = %(purchase_order_id)s

-- name: ticket_exists
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s
