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
SELECT m.movement_id, p.sku, m.kind, m.quantity, m.from_place, f.code AS from_warehouse, m.to_place,
       t.code AS to_warehouse, m.cause_kind, m.cause_key, m.ticket_id, m.note, m.actor, m.at
FROM service.stock_movement m
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse f ON f.warehouse_id = m.from_warehouse_id
LEFT JOIN service.warehouse t ON t.warehouse_id = m.to_warehouse_id
WHERE m.movement_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR m.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR m.from_warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s)
       OR m.to_warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
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
