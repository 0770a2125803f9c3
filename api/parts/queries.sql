-- name: insert_part
INSERT INTO service.part (sku, name, cost_minor, currency, lead_time_days)
VALUES (%(sku)s, %(name)s, %(cost_minor)s, %(currency)s, %(lead_time_days)s)
ON CONFLICT (sku) DO NOTHING
RETURNING part_id, sku, name, cost_minor, currency, lead_time_days, version

-- name: list_parts
SELECT part_id, sku, name, cost_minor, currency, lead_time_days, version
FROM service.part
WHERE part_id > %(after_id)s
ORDER BY part_id
LIMIT %(fetch)s

-- name: get_part
SELECT part_id, sku, name, cost_minor, currency, lead_time_days, version
FROM service.part
WHERE sku = %(sku)s

-- name: insert_warehouse
INSERT INTO service.warehouse (code, name, kind, territory, latitude, longitude, transfer_days)
VALUES (%(code)s, %(name)s, %(kind)s, %(territory)s, %(latitude)s, %(longitude)s, %(transfer_days)s)
ON CONFLICT (code) DO NOTHING
RETURNING warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days

-- name: list_warehouses
SELECT warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days
FROM service.warehouse
WHERE warehouse_id > %(after_id)s
ORDER BY warehouse_id
LIMIT %(fetch)s

-- name: get_warehouse
SELECT warehouse_id FROM service.warehouse WHERE code = %(code)s

-- name: ensure_stock
INSERT INTO service.stock (warehouse_id, part_id) VALUES (%(warehouse_id)s, %(part_id)s)
ON CONFLICT (warehouse_id, part_id) DO NOTHING

-- name: move_stock
-- The only statement that changes a balance: guarded, and the ledger's line with it or neither.
WITH moved AS (
    UPDATE service.stock
    SET on_hand = on_hand + %(on_hand_change)s, reserved = reserved + %(reserved_change)s
    WHERE warehouse_id = %(warehouse_id)s AND part_id = %(part_id)s
      AND reserved + %(reserved_change)s BETWEEN 0 AND on_hand::bigint + %(on_hand_change)s
      AND on_hand::bigint + %(on_hand_change)s <= 2147483647
    RETURNING warehouse_id, part_id
)
INSERT INTO service.stock_movement (warehouse_id, part_id, kind, on_hand_change, reserved_change, cause, at)
SELECT warehouse_id, part_id, %(kind)s, %(on_hand_change)s, %(reserved_change)s, %(cause)s, %(now)s FROM moved
RETURNING movement_id, kind, on_hand_change, reserved_change, cause, at

-- name: list_movements
SELECT m.movement_id, p.sku, w.code AS warehouse, m.kind, m.on_hand_change, m.reserved_change, m.cause, m.at
FROM service.stock_movement m
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE m.movement_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR m.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR m.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY m.movement_id
LIMIT %(fetch)s

-- name: list_stock
-- A page ends at a pair of numbers; both travel as one in the cursor.
SELECT (s.warehouse_id << 32) + s.part_id AS number, p.sku, w.code AS warehouse,
       s.on_hand, s.reserved, s.on_hand - s.reserved AS available
FROM service.stock s
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE (s.warehouse_id, s.part_id) > (%(after_id)s::bigint >> 32, %(after_id)s::bigint & 4294967295)
  AND (%(sku)s::text IS NULL OR s.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR s.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY s.warehouse_id, s.part_id
LIMIT %(fetch)s

-- name: get_stock
SELECT on_hand, reserved FROM service.stock WHERE warehouse_id = %(warehouse_id)s AND part_id = %(part_id)s

-- name: lock_job
-- Whoever reserves for a job, ends it or dispatches it comes one after the other.
SELECT j.job_id, j.state, coalesce(s.territory, 'default') AS territory, s.latitude, s.longitude
FROM service.job j
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
WHERE j.job_id = %(job_id)s
FOR NO KEY UPDATE OF j

-- name: job_of_reservation
SELECT job_id FROM service.reservation WHERE reservation_id = %(reservation_id)s

-- name: open_reservation
SELECT reservation_id, quantity
FROM service.reservation
WHERE job_id = %(job_id)s AND part_id = %(part_id)s AND state = 'reserved'

-- name: lock_candidates
-- Locked in one order by everybody, so that two reservations never wait for one another.
SELECT s.warehouse_id, w.code, w.kind, w.territory, w.latitude, w.longitude, w.transfer_days,
       s.on_hand - s.reserved AS available
FROM service.stock s
JOIN service.warehouse w USING (warehouse_id)
WHERE s.part_id = %(part_id)s AND s.on_hand - s.reserved >= %(quantity)s
ORDER BY s.warehouse_id
FOR NO KEY UPDATE OF s

-- name: shortages
SELECT w.code, coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved
FROM service.warehouse w
LEFT JOIN service.stock s ON s.warehouse_id = w.warehouse_id AND s.part_id = %(part_id)s
ORDER BY coalesce(s.on_hand - s.reserved, 0) DESC, w.code
LIMIT 100

-- name: insert_reservation
INSERT INTO service.reservation (job_id, part_id, warehouse_id, quantity, available_at, created_at)
VALUES (%(job_id)s, %(part_id)s, %(warehouse_id)s, %(quantity)s, %(available_at)s, %(now)s)
RETURNING reservation_id

-- name: get_reservation
SELECT r.reservation_id, r.job_id, p.sku, w.code AS warehouse, r.quantity, r.state, r.available_at, r.created_at,
       r.version
FROM service.reservation r
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE r.reservation_id = %(reservation_id)s

-- name: list_reservations
-- A range per state: with `state = …` the planner, who cannot know how rare the state is, walks all reservations.
SELECT r.reservation_id, r.job_id, p.sku, w.code AS warehouse, r.quantity, r.state, r.available_at, r.created_at,
       r.version
FROM unnest(%(states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM service.reservation
    WHERE (state, reservation_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
    ORDER BY state, reservation_id
    LIMIT %(fetch)s
) r
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
ORDER BY r.reservation_id
LIMIT %(fetch)s

-- name: list_reservations_of_job
SELECT r.reservation_id, r.job_id, p.sku, w.code AS warehouse, r.quantity, r.state, r.available_at, r.created_at,
       r.version
FROM service.reservation r
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE r.job_id = %(job_id)s AND r.reservation_id > %(after_id)s AND r.state = ANY (%(states)s)
ORDER BY r.reservation_id
LIMIT %(fetch)s

-- name: open_reservations_of_job
SELECT reservation_id
FROM service.reservation
WHERE job_id = %(job_id)s AND state = 'reserved'
ORDER BY part_id, warehouse_id

-- name: settle_reservation
UPDATE service.reservation SET state = %(state)s, version = version + 1
WHERE reservation_id = %(reservation_id)s AND state = 'reserved'
RETURNING job_id, part_id, warehouse_id, quantity

-- name: lock_reservation
SELECT job_id, part_id, warehouse_id, quantity, state
FROM service.reservation
WHERE reservation_id = %(reservation_id)s
FOR UPDATE

-- name: split_reservation
-- The pieces become a reservation of their own, ended at once; the others stay kept.
WITH rest AS (
    UPDATE service.reservation SET quantity = quantity - %(quantity)s, version = version + 1
    WHERE reservation_id = %(reservation_id)s AND state = 'reserved' AND quantity > %(quantity)s
    RETURNING job_id, part_id, warehouse_id, available_at, created_at
)
INSERT INTO service.reservation (job_id, part_id, warehouse_id, quantity, state, available_at, created_at)
SELECT job_id, part_id, warehouse_id, %(quantity)s, %(state)s, available_at, created_at FROM rest
RETURNING reservation_id
