-- name: lock_job
-- Whoever reserves for a job, ends it or dispatches it comes one after the other.
SELECT j.job_id, j.ticket_id, j.state, coalesce(s.territory, 'default') AS territory, s.latitude, s.longitude
FROM service.job j
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
WHERE j.job_id = %(job_id)s
FOR NO KEY UPDATE OF j

-- name: job_of_reservation
SELECT job_id FROM service.reservation WHERE reservation_id = %(reservation_id)s

-- name: open_reservation
-- What a job keeps of a part; there may be several, from several warehouses.
SELECT min(reservation_id) AS reservation_id, sum(quantity)::bigint AS quantity
FROM service.reservation
WHERE job_id = %(job_id)s AND part_id = %(part_id)s AND state = 'reserved'
HAVING count(*) > 0

-- name: candidates
-- Not locked: whoever takes one of them locks it, and looks again if somebody was quicker.
SELECT s.warehouse_id, w.code, w.kind, w.territory, w.latitude, w.longitude, w.transfer_days,
       s.on_hand - s.reserved AS available
FROM service.stock s
JOIN service.warehouse w USING (warehouse_id)
WHERE s.part_id = %(part_id)s AND s.on_hand - s.reserved >= %(quantity)s AND w.active AND w.kind IN ('van', 'partner', 'central')

-- name: lock_shelf
SELECT on_hand - reserved AS available
FROM service.stock
WHERE warehouse_id = %(warehouse_id)s AND part_id = %(part_id)s
FOR NO KEY UPDATE

-- name: shortages
SELECT w.code, w.kind, coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved
FROM service.warehouse w
LEFT JOIN service.stock s ON s.warehouse_id = w.warehouse_id AND s.part_id = %(part_id)s
WHERE w.active
ORDER BY coalesce(s.on_hand - s.reserved, 0) DESC, w.code
LIMIT 100

-- name: insert_reservation
INSERT INTO service.reservation (job_id, ticket_id, demand_id, part_id, warehouse_id, quantity, available_at, created_at)
VALUES (%(job_id)s, %(ticket_id)s, %(demand_id)s, %(part_id)s, %(warehouse_id)s, %(quantity)s, %(available_at)s, %(now)s)
RETURNING reservation_id, job_id, ticket_id, demand_id,
          (SELECT p.sku FROM service.part p WHERE p.part_id = reservation.part_id) AS sku,
          service.warehouse_code(warehouse_id) AS warehouse, quantity, state, place, available_at, created_at, version

-- name: adopt
UPDATE service.reservation SET job_id = %(job_id)s, version = version + 1
WHERE ticket_id = %(ticket_id)s AND job_id IS NULL AND state = 'reserved'

-- name: get_reservation
SELECT r.reservation_id, r.job_id, r.ticket_id, r.demand_id, p.sku, service.warehouse_code(r.warehouse_id) AS warehouse,
       r.quantity, r.state, r.place, r.available_at, r.created_at, r.version
FROM service.reservation r
JOIN service.part p USING (part_id)
WHERE r.reservation_id = %(reservation_id)s

-- name: list_reservations
-- A range per state: with `state = …` the planner, who cannot know how rare the state is, walks all reservations.
SELECT r.reservation_id, r.job_id, r.ticket_id, r.demand_id, p.sku, service.warehouse_code(r.warehouse_id) AS warehouse,
       r.quantity, r.state, r.place, r.available_at, r.created_at, r.version
FROM unnest(%(states)s::text[]) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT * FROM service.reservation
    WHERE (state, reservation_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
    ORDER BY state, reservation_id
    LIMIT %(fetch)s
) r
JOIN service.part p USING (part_id)
ORDER BY r.reservation_id
LIMIT %(fetch)s

-- name: list_reservations_of_job
SELECT r.reservation_id, r.job_id, r.ticket_id, r.demand_id, p.sku, service.warehouse_code(r.warehouse_id) AS warehouse,
       r.quantity, r.state, r.place, r.available_at, r.created_at, r.version
FROM service.reservation r
JOIN service.part p USING (part_id)
WHERE r.job_id = %(job_id)s AND r.reservation_id > %(after_id)s AND r.state = ANY (%(states)s)
ORDER BY r.reservation_id
LIMIT %(fetch)s

-- name: list_reservations_of_ticket
SELECT r.reservation_id, r.job_id, r.ticket_id, r.demand_id, p.sku, service.warehouse_code(r.warehouse_id) AS warehouse,
       r.quantity, r.state, r.place, r.available_at, r.created_at, r.version
FROM service.reservation r
JOIN service.part p USING (part_id)
WHERE r.ticket_id = %(ticket_id)s AND r.reservation_id > %(after_id)s AND r.state = ANY (%(states)s)
  AND (%(job_id)s::bigint IS NULL OR r.job_id = %(job_id)s)
ORDER BY r.reservation_id
LIMIT %(fetch)s

-- name: open_reservations_of_job
SELECT reservation_id, place
FROM service.reservation
WHERE job_id = %(job_id)s AND state = 'reserved'
ORDER BY part_id, warehouse_id

-- name: open_reservations_of_ticket
-- Those that no job has taken over.
SELECT reservation_id, place
FROM service.reservation
WHERE ticket_id = %(ticket_id)s AND job_id IS NULL AND state = 'reserved'
ORDER BY part_id, warehouse_id

-- name: lock_reservation
SELECT reservation_id, job_id, ticket_id, demand_id, part_id, warehouse_id, quantity, state, place
FROM service.reservation
WHERE reservation_id = %(reservation_id)s
FOR UPDATE

-- name: settle_reservation
UPDATE service.reservation SET state = %(state)s, version = version + 1
WHERE reservation_id = %(reservation_id)s AND state = 'reserved'

-- name: split_reservation
-- The pieces become a reservation of their own, ended at once; the others stay kept.
WITH rest AS (
    UPDATE service.reservation SET quantity = quantity - %(quantity)s, version = version + 1
    WHERE reservation_id = %(reservation_id)s AND state = 'reserved' AND quantity > %(quantity)s
    RETURNING job_id, ticket_id, demand_id, part_id, warehouse_id, place, available_at, created_at
)
INSERT INTO service.reservation
    (job_id, ticket_id, demand_id, part_id, warehouse_id, quantity, state, place, available_at, created_at)
SELECT job_id, ticket_id, demand_id, part_id, warehouse_id, %(quantity)s, %(state)s, place, available_at, created_at
FROM rest
RETURNING reservation_id

-- name: move_reservation
UPDATE service.reservation
SET warehouse_id = %(warehouse_id)s, place = %(place)s, available_at = coalesce(%(available_at)s, available_at),
    version = version + 1
WHERE reservation_id = %(reservation_id)s AND state = 'reserved'
