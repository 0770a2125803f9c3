-- name: insert_rotable
INSERT INTO service.rotable
    (part_id, serial, state, warehouse_id, asset_id, component, installed_at, condition, created_at)
VALUES (%(part_id)s, %(serial)s, %(state)s, %(warehouse_id)s, %(asset_id)s, %(component)s, %(installed_at)s,
        %(condition)s, %(now)s)
ON CONFLICT (part_id, serial) DO NOTHING
RETURNING rotable_id

-- name: get_rotable
SELECT r.rotable_id, p.sku, r.serial, r.state, w.code AS warehouse, a.serial AS asset, r.component, r.installed_at,
       r.condition, r.repairs, r.version
FROM service.rotable r
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE r.rotable_id = %(rotable_id)s

-- name: lock_rotable
SELECT r.rotable_id, r.part_id, p.sku, p.rotable, r.serial, r.state, r.warehouse_id, r.asset_id, r.component, r.installed_at,
       r.condition, r.repairs
FROM service.rotable r
JOIN service.part p USING (part_id)
WHERE r.rotable_id = %(rotable_id)s
FOR UPDATE OF r

-- name: list_rotables
SELECT r.rotable_id, p.sku, r.serial, r.state, w.code AS warehouse, a.serial AS asset, r.component, r.installed_at,
       r.condition, r.repairs, r.version
FROM service.rotable r
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE r.rotable_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR r.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(serial)s::text IS NULL OR r.serial = %(serial)s)
  AND (%(state)s::text IS NULL OR r.state = %(state)s)
  AND (%(warehouse)s::text IS NULL OR r.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
  AND (%(asset)s::text IS NULL OR r.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(asset)s))
ORDER BY r.rotable_id
LIMIT %(fetch)s

-- name: move_rotable
UPDATE service.rotable
SET state = %(state)s, warehouse_id = %(warehouse_id)s, asset_id = %(asset_id)s, component = %(component)s,
    installed_at = %(installed_at)s, condition = %(condition)s, repairs = %(repairs)s, version = version + 1
WHERE rotable_id = %(rotable_id)s

-- name: insert_event
INSERT INTO service.rotable_event
    (rotable_id, at, actor, action, from_state, to_state, warehouse_id, asset_id, component, ticket_id, repairer, note,
     fault_found, cost_minor, currency, days_in_machine, movement_ids)
VALUES (%(rotable_id)s, %(now)s, %(actor)s, %(action)s, %(from_state)s, %(to_state)s, %(warehouse_id)s, %(asset_id)s,
        %(component)s, %(ticket_id)s, %(repairer)s, %(note)s, %(fault_found)s, %(cost_minor)s, %(currency)s,
        %(days_in_machine)s, %(movement_ids)s)

-- name: list_events
SELECT e.rotable_event_id, e.at, e.actor, e.action, e.from_state, e.to_state, w.code AS warehouse, a.serial AS asset,
       e.component, e.ticket_id, e.repairer, e.note, e.fault_found, e.cost_minor, e.currency, e.days_in_machine,
       e.movement_ids
FROM service.rotable_event e
LEFT JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE e.rotable_id = %(rotable_id)s AND e.rotable_event_id > %(after_id)s
ORDER BY e.rotable_event_id
LIMIT %(fetch)s

-- name: find_ticket
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: count_on_shelf
-- How many pieces lie there, and how many of them have serial numbers; the balance is locked, so that no two serial numbers
-- are given to one piece.
SELECT s.on_hand, (SELECT count(*) FROM service.rotable r
                   WHERE r.warehouse_id = s.warehouse_id AND r.part_id = s.part_id
                     AND r.state IN ('in_stock', 'quarantined')) AS serials
FROM service.stock s
WHERE s.warehouse_id = %(warehouse_id)s AND s.part_id = %(part_id)s
FOR NO KEY UPDATE OF s

-- name: differences
SELECT p.sku, w.code AS warehouse, coalesce(s.on_hand, 0) AS on_hand, coalesce(r.on_hand, 0) AS serials_on_hand,
       coalesce(s.issued, 0) AS issued, coalesce(r.issued, 0) AS serials_issued
FROM (
    SELECT s.part_id, s.warehouse_id, s.on_hand, s.issued
    FROM service.part p JOIN service.stock s USING (part_id)
    WHERE p.serialised
) s
FULL JOIN (
    SELECT part_id, warehouse_id, count(*) FILTER (WHERE state <> 'issued') AS on_hand,
           count(*) FILTER (WHERE state = 'issued') AS issued
    FROM service.rotable
    WHERE state IN ('in_stock', 'quarantined', 'issued')
    GROUP BY part_id, warehouse_id
) r USING (part_id, warehouse_id)
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE (coalesce(s.on_hand, 0), coalesce(s.issued, 0)) <> (coalesce(r.on_hand, 0), coalesce(r.issued, 0))
ORDER BY p.sku, w.code
LIMIT 1000

-- name: reliability
SELECT p.sku, count(*) AS pieces, count(*) FILTER (WHERE r.state = 'installed') AS in_machines,
       coalesce(sum(e.removals), 0)::bigint AS removals, (sum(e.days) / nullif(sum(e.timed), 0))::float8 AS mean_days_in_machine,
       coalesce(sum(r.repairs), 0)::bigint AS repairs, coalesce(sum(e.no_fault_found), 0)::bigint AS no_fault_found,
       count(*) FILTER (WHERE r.state = 'scrapped') AS scrapped
FROM service.part p
JOIN service.rotable r USING (part_id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE action = 'remove') AS removals, sum(days_in_machine) AS days,
           count(days_in_machine) AS timed,
           count(*) FILTER (WHERE fault_found = false) AS no_fault_found
    FROM service.rotable_event
    WHERE rotable_id = r.rotable_id
) e
WHERE p.part_id = %(part_id)s
GROUP BY p.sku

-- name: repair_costs
SELECT e.currency, sum(e.cost_minor)::bigint AS cost_minor
FROM service.rotable r
JOIN service.rotable_event e USING (rotable_id)
WHERE r.part_id = %(part_id)s AND e.currency IS NOT NULL
GROUP BY e.currency
ORDER BY e.currency
