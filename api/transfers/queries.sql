-- name: ends_of_way
SELECT p.sku, p.shipping_class, o.code AS origin, d.code AS destination,
       array_remove(ARRAY[CASE WHEN o.active THEN '' ELSE o.code END, CASE WHEN d.active THEN '' ELSE d.code END], '')
           AS closed
FROM service.part p, service.warehouse o, service.warehouse d
WHERE p.part_id = %(part_id)s AND o.warehouse_id = %(from_warehouse_id)s AND d.warehouse_id = %(to_warehouse_id)s

-- name: insert_transfer
INSERT INTO service.transfer
    (part_id, quantity, from_warehouse_id, to_warehouse_id, reservation_id, ticket_id, cause_kind, cause_key, planned_at,
     planned_by, expected_at)
VALUES (%(part_id)s, %(quantity)s, %(from_warehouse_id)s, %(to_warehouse_id)s, %(reservation_id)s, %(ticket_id)s,
        %(cause_kind)s, %(cause_key)s, %(now)s, %(by)s, %(expected_at)s)
ON CONFLICT DO NOTHING
RETURNING transfer_id

-- name: insert_kept_transfer
-- With what its case is told.
WITH made AS (
    INSERT INTO service.transfer
        (part_id, quantity, from_warehouse_id, to_warehouse_id, reservation_id, ticket_id, cause_kind, cause_key,
         planned_at, planned_by, expected_at)
    VALUES (%(part_id)s, %(quantity)s, %(from_warehouse_id)s, %(to_warehouse_id)s, %(reservation_id)s, %(ticket_id)s,
            %(cause_kind)s, %(cause_key)s, %(now)s, %(by)s, %(expected_at)s)
    RETURNING *
)
SELECT m.transfer_id, m.state, p.sku, m.quantity, service.warehouse_code(m.from_warehouse_id) AS origin,
       service.warehouse_code(m.to_warehouse_id) AS to, m.received, m.damaged, m.missing, m.ticket_id, m.expected_at
FROM made m
JOIN service.part p USING (part_id)

-- name: reservation_to_send
SELECT reservation_id, part_id, warehouse_id, quantity, state, place, ticket_id
FROM service.reservation
WHERE reservation_id = %(reservation_id)s
FOR UPDATE

-- name: open_transfer_of_reservation
SELECT transfer_id FROM service.transfer WHERE reservation_id = %(reservation_id)s AND ended_at IS NULL

-- name: get_transfer
SELECT t.transfer_id, t.state, p.sku, t.quantity, service.warehouse_code(t.from_warehouse_id) AS origin,
       service.warehouse_code(t.to_warehouse_id) AS to, p.shipping_class, t.reservation_id, t.ticket_id,
       CASE t.cause_kind WHEN 'note' THEN t.cause_key ELSE t.cause_kind || ':' || t.cause_key END AS cause,
       t.received, t.damaged, t.missing, t.planned_at, t.planned_by, t.expected_at, t.shipped_at, t.ended_at, t.end_reason,
       t.overdue_since, t.consignment_id, c.carrier, c.tracking_number, t.charged_minor, t.charged_currency, t.version,
       t.part_id, t.from_warehouse_id, t.to_warehouse_id
FROM service.transfer t
JOIN service.part p USING (part_id)
LEFT JOIN service.consignment c USING (consignment_id)
WHERE t.transfer_id = %(transfer_id)s

-- name: list_transfers
SELECT t.transfer_id, t.state, p.sku, t.quantity, service.warehouse_code(t.from_warehouse_id) AS origin,
       service.warehouse_code(t.to_warehouse_id) AS to, p.shipping_class, t.reservation_id, t.ticket_id,
       CASE t.cause_kind WHEN 'note' THEN t.cause_key ELSE t.cause_kind || ':' || t.cause_key END AS cause,
       t.received, t.damaged, t.missing, t.planned_at, t.planned_by, t.expected_at, t.shipped_at, t.ended_at, t.end_reason,
       t.overdue_since, t.consignment_id, c.carrier, c.tracking_number, t.charged_minor, t.charged_currency, t.version
FROM service.transfer t
JOIN service.part p USING (part_id)
LEFT JOIN service.consignment c USING (consignment_id)
WHERE t.transfer_id > %(after_id)s
  AND (%(state)s::text IS NULL OR t.state = %(state)s)
  AND (%(sku)s::text IS NULL OR t.part_id = (SELECT x.part_id FROM service.part x WHERE x.sku = %(sku)s))
  AND (%(origin)s::text IS NULL
       OR t.from_warehouse_id = (SELECT x.warehouse_id FROM service.warehouse x WHERE x.code = %(origin)s))
  AND (%(destination)s::text IS NULL
       OR t.to_warehouse_id = (SELECT x.warehouse_id FROM service.warehouse x WHERE x.code = %(destination)s))
  AND (%(ticket_id)s::bigint IS NULL OR t.ticket_id = %(ticket_id)s)
  AND (%(reservation_id)s::bigint IS NULL OR t.reservation_id = %(reservation_id)s)
ORDER BY t.transfer_id
LIMIT %(fetch)s

-- name: list_overdue_transfers
SELECT t.transfer_id, t.state, p.sku, t.quantity, service.warehouse_code(t.from_warehouse_id) AS origin,
       service.warehouse_code(t.to_warehouse_id) AS to, p.shipping_class, t.reservation_id, t.ticket_id,
       CASE t.cause_kind WHEN 'note' THEN t.cause_key ELSE t.cause_kind || ':' || t.cause_key END AS cause,
       t.received, t.damaged, t.missing, t.planned_at, t.planned_by, t.expected_at, t.shipped_at, t.ended_at, t.end_reason,
       t.overdue_since, t.consignment_id, c.carrier, c.tracking_number, t.charged_minor, t.charged_currency, t.version
FROM service.transfer t
JOIN service.part p USING (part_id)
LEFT JOIN service.consignment c USING (consignment_id)
WHERE t.transfer_id > %(after_id)s AND t.ended_at IS NULL AND t.overdue_since IS NOT NULL
ORDER BY t.transfer_id
LIMIT %(fetch)s

-- name: list_picks
SELECT t.transfer_id, b.code AS bin, p.sku, p.name, t.quantity, coalesce(s.on_hand, 0) AS on_hand,
       service.warehouse_code(t.to_warehouse_id) AS to, p.shipping_class, p.weight_grams, t.reservation_id, t.ticket_id,
       t.expected_at
FROM service.transfer t
JOIN service.part p USING (part_id)
LEFT JOIN service.stock s ON s.warehouse_id = t.from_warehouse_id AND s.part_id = t.part_id
LEFT JOIN service.bin b ON b.bin_id = s.bin_id
WHERE t.transfer_id > %(after_id)s AND t.from_warehouse_id = %(warehouse_id)s AND t.state = 'planned'
ORDER BY t.transfer_id
LIMIT %(fetch)s

-- name: lock_transfers
-- In the order of their parts, as balances are locked.
SELECT t.transfer_id, t.part_id, t.quantity, t.from_warehouse_id, t.to_warehouse_id, t.state, t.reservation_id, t.ticket_id,
       t.received, t.damaged, t.missing, t.expected_at, t.charged_minor, p.sku, p.shipping_class, p.weight_grams,
       w.provider_id AS from_provider_id, v.provider_id AS to_provider_id
FROM service.transfer t
JOIN service.part p USING (part_id)
JOIN service.warehouse w ON w.warehouse_id = t.from_warehouse_id
JOIN service.warehouse v ON v.warehouse_id = t.to_warehouse_id
WHERE t.transfer_id = ANY (%(transfer_ids)s)
ORDER BY t.part_id, t.transfer_id
FOR UPDATE OF t

-- name: insert_consignment
INSERT INTO service.consignment
    (from_warehouse_id, to_warehouse_id, carrier, tracking_number, weight_grams, freight_minor, currency, shipped_at,
     shipped_by)
VALUES (%(from_warehouse_id)s, %(to_warehouse_id)s, %(carrier)s, %(tracking_number)s, %(weight_grams)s, %(freight_minor)s,
        %(currency)s, %(now)s, %(by)s)
RETURNING consignment_id

-- name: ship_transfer
UPDATE service.transfer
SET state = 'shipped', consignment_id = %(consignment_id)s, shipped_at = %(now)s, expected_at = %(expected_at)s,
    charged_minor = %(charged_minor)s, charged_currency = %(charged_currency)s, overdue_since = NULL,
    version = version + 1
WHERE transfer_id = %(transfer_id)s

-- name: receive_pieces
UPDATE service.transfer
SET state = %(state)s, received = received + %(good)s, damaged = damaged + %(damaged)s,
    reservation_id = %(reservation_id)s, ended_at = CASE WHEN %(state)s = 'received' THEN %(now)s::timestamptz END,
    version = version + 1
WHERE transfer_id = %(transfer_id)s

-- name: end_transfer
UPDATE service.transfer
SET state = %(state)s, missing = missing + %(missing)s, ended_at = %(now)s, end_reason = %(reason)s, version = version + 1
WHERE transfer_id = %(transfer_id)s

-- name: due_transfers
SELECT t.transfer_id, t.state, t.quantity, t.expected_at, t.ticket_id, p.sku, o.code AS origin, d.code AS to,
       k.asset_id, a.serial
FROM service.transfer t
JOIN service.part p USING (part_id)
JOIN service.warehouse o ON o.warehouse_id = t.from_warehouse_id
JOIN service.warehouse d ON d.warehouse_id = t.to_warehouse_id
LEFT JOIN service.ticket k ON k.ticket_id = t.ticket_id
LEFT JOIN service.asset a ON a.asset_id = k.asset_id
WHERE t.ended_at IS NULL AND t.overdue_since IS NULL AND t.expected_at < %(now)s
ORDER BY t.expected_at, t.transfer_id
LIMIT %(batch)s
FOR UPDATE OF t SKIP LOCKED

-- name: mark_overdue
UPDATE service.transfer SET overdue_since = %(now)s, version = version + 1 WHERE transfer_id = %(transfer_id)s

-- name: abandoned_transfers
SELECT t.transfer_id
FROM service.transfer t
JOIN service.reservation r USING (reservation_id)
WHERE t.state = 'planned' AND r.state <> 'reserved'
ORDER BY t.transfer_id
LIMIT %(batch)s

-- name: ticket_exists
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: currency_of_account
SELECT currency FROM service.partner_account WHERE partner_account_id = %(partner_account_id)s

-- name: reservation_exists
SELECT reservation_id FROM service.reservation WHERE reservation_id = %(reservation_id)s
