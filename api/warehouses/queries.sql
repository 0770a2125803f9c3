-- name: insert_warehouse
INSERT INTO service.warehouse
    (code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id, technician_id)
VALUES (%(code)s, %(name)s, %(kind)s, %(territory)s, %(latitude)s, %(longitude)s, %(transfer_days)s, %(time_zone)s,
        %(provider_id)s, %(technician_id)s)
ON CONFLICT (code) DO NOTHING
RETURNING warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
          technician_id, active, version

-- name: list_warehouses
SELECT warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
       technician_id, active, version
FROM service.warehouse
WHERE warehouse_id > %(after_id)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(territory)s::text IS NULL OR territory = %(territory)s)
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(technician_id)s::bigint IS NULL OR technician_id = %(technician_id)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY warehouse_id
LIMIT %(fetch)s

-- name: get_warehouse
SELECT warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
       technician_id, active, version
FROM service.warehouse
WHERE code = %(code)s

-- name: get_warehouse_by_id
SELECT warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
       technician_id, active, version
FROM service.warehouse
WHERE warehouse_id = %(warehouse_id)s

-- name: lock_warehouse
SELECT warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
       technician_id, active, version
FROM service.warehouse
WHERE code = %(code)s
FOR NO KEY UPDATE

-- name: change_warehouse
UPDATE service.warehouse
SET name = %(name)s, territory = %(territory)s, latitude = %(latitude)s, longitude = %(longitude)s,
    transfer_days = %(transfer_days)s, time_zone = %(time_zone)s, provider_id = %(provider_id)s,
    technician_id = %(technician_id)s, active = %(active)s, version = version + 1
WHERE warehouse_id = %(warehouse_id)s
RETURNING warehouse_id, code, name, kind, territory, latitude, longitude, transfer_days, time_zone, provider_id,
          technician_id, active, version

-- name: pieces_of_warehouse
SELECT coalesce(sum(on_hand::bigint + issued + in_transit), 0)::bigint AS pieces
FROM service.stock
WHERE warehouse_id = %(warehouse_id)s

-- name: get_technician
SELECT technician_id, provider_id, active FROM service.technician WHERE technician_id = %(technician_id)s

-- name: quarantine_for
-- Where what came in damaged is put: of the same owner before the house's own, of the same territory before any other.
SELECT q.warehouse_id, q.code
FROM service.warehouse q
JOIN service.warehouse w ON w.warehouse_id = %(warehouse_id)s
WHERE q.kind = 'quarantine' AND q.active AND (q.provider_id IS NULL OR q.provider_id = w.provider_id)
ORDER BY q.provider_id NULLS LAST, q.territory <> w.territory, q.warehouse_id
LIMIT 1

-- name: put_bin
INSERT INTO service.bin (warehouse_id, code, note) VALUES (%(warehouse_id)s, %(code)s, %(note)s)
ON CONFLICT (warehouse_id, code) DO UPDATE SET note = excluded.note
RETURNING bin_id, code, note, (SELECT count(*) FROM service.stock s WHERE s.bin_id = bin.bin_id)::integer AS parts

-- name: list_bins
SELECT b.bin_id, b.code, b.note, (SELECT count(*) FROM service.stock s WHERE s.bin_id = b.bin_id)::integer AS parts
FROM service.bin b
WHERE b.warehouse_id = %(warehouse_id)s AND b.code > %(after_name)s
ORDER BY b.code
LIMIT %(fetch)s

-- name: delete_bin
DELETE FROM service.bin b
WHERE b.warehouse_id = %(warehouse_id)s AND b.code = %(code)s
  AND NOT EXISTS (SELECT FROM service.stock s WHERE s.bin_id = b.bin_id)
RETURNING bin_id

-- name: get_bin
SELECT bin_id FROM service.bin WHERE warehouse_id = %(warehouse_id)s AND code = %(code)s

-- name: unknown_skus
SELECT g.place - 1 AS place, g.sku
FROM unnest(%(skus)s::text[]) WITH ORDINALITY AS g (sku, place)
WHERE NOT EXISTS (SELECT FROM service.part p WHERE p.sku = g.sku)
ORDER BY g.place
LIMIT 1

-- name: make_bins
INSERT INTO service.bin (warehouse_id, code)
SELECT DISTINCT %(warehouse_id)s::bigint, g.bin
FROM unnest(%(bins)s::text[]) AS g (bin)
WHERE g.bin IS NOT NULL
ORDER BY g.bin
ON CONFLICT (warehouse_id, code) DO NOTHING
RETURNING bin_id

-- name: make_shelves
-- A part may have its bin before the first piece has come.
INSERT INTO service.stock (warehouse_id, part_id)
SELECT %(warehouse_id)s, p.part_id
FROM service.part p
WHERE p.sku = ANY (%(skus)s)
ORDER BY p.part_id
ON CONFLICT (warehouse_id, part_id) DO NOTHING

-- name: place_parts
UPDATE service.stock s
SET bin_id = b.bin_id
FROM unnest(%(skus)s::text[], %(bins)s::text[]) AS g (sku, bin)
JOIN service.part p ON p.sku = g.sku
LEFT JOIN service.bin b ON b.warehouse_id = %(warehouse_id)s AND b.code = g.bin
WHERE s.warehouse_id = %(warehouse_id)s AND s.part_id = p.part_id

-- name: list_bin_contents
SELECT s.part_id, p.sku, p.name, b.code AS bin, s.on_hand, s.reserved
FROM service.stock s
JOIN service.bin b USING (bin_id)
JOIN service.part p ON p.part_id = s.part_id
WHERE s.warehouse_id = %(warehouse_id)s AND s.part_id > %(after_id)s
  AND (%(bin)s::text IS NULL OR s.bin_id = (SELECT x.bin_id FROM service.bin x
                                            WHERE x.warehouse_id = %(warehouse_id)s AND x.code = %(bin)s))
  AND (%(sku)s::text IS NULL OR s.part_id = (SELECT x.part_id FROM service.part x WHERE x.sku = %(sku)s))
ORDER BY s.part_id
LIMIT %(fetch)s

-- name: opening_hours
-- Of several warehouses, with the days from one on that are not like their weekday: the calendar's, then the house's own.
SELECT w.warehouse_id, w.time_zone, o.week,
       (SELECT jsonb_object_agg(d.day, d.spans ORDER BY d.source)
        FROM service.calendar_day d WHERE d.calendar_id = o.calendar_id AND d.day >= %(since)s) AS calendar_days,
       (SELECT jsonb_object_agg(e.day, e.spans)
        FROM service.opening_exception e WHERE e.warehouse_id = w.warehouse_id AND e.day >= %(since)s) AS own_days
FROM service.warehouse w
LEFT JOIN service.opening_hours o USING (warehouse_id)
WHERE w.warehouse_id = ANY (%(warehouse_ids)s)

-- name: put_opening_hours
INSERT INTO service.opening_hours (warehouse_id, week, calendar_id)
VALUES (%(warehouse_id)s, %(week)s, %(calendar_id)s)
ON CONFLICT (warehouse_id) DO UPDATE SET week = excluded.week, calendar_id = excluded.calendar_id

-- name: delete_opening_hours
DELETE FROM service.opening_hours WHERE warehouse_id = %(warehouse_id)s

-- name: get_calendar
SELECT calendar_id FROM service.calendar WHERE code = %(calendar)s

-- name: shown_opening_hours
SELECT o.week, c.code AS calendar
FROM service.opening_hours o
LEFT JOIN service.calendar c USING (calendar_id)
WHERE o.warehouse_id = %(warehouse_id)s

-- name: own_days
SELECT day, name, spans
FROM service.opening_exception
WHERE warehouse_id = %(warehouse_id)s AND day >= %(since)s
ORDER BY day
LIMIT 200

-- name: put_own_day
INSERT INTO service.opening_exception (warehouse_id, day, name, spans)
VALUES (%(warehouse_id)s, %(day)s, %(name)s, %(spans)s)
ON CONFLICT (warehouse_id, day) DO UPDATE SET name = excluded.name, spans = excluded.spans

-- name: delete_own_day
DELETE FROM service.opening_exception WHERE warehouse_id = %(warehouse_id)s AND day = %(day)s RETURNING day

-- name: unknown_codes
-- The first lane that names a warehouse which is not there, and which end it is.
SELECT g.place - 1 AS place, g.field, g.code
FROM (SELECT code, place, 'from' AS field FROM unnest(%(origins)s::text[]) WITH ORDINALITY AS o (code, place)
      UNION ALL
      SELECT code, place, 'to' FROM unnest(%(destinations)s::text[]) WITH ORDINALITY AS d (code, place)) g
LEFT JOIN service.warehouse w USING (code)
WHERE w.warehouse_id IS NULL
ORDER BY g.place, g.field
LIMIT 1

-- name: put_lanes
-- In the order of their warehouses, so that two matrices at once do not wait for one another; what stays is not written.
WITH given AS (
    SELECT o.warehouse_id AS from_warehouse_id, d.warehouse_id AS to_warehouse_id, g.transit_hours, g.base, g.per_kg,
           g.currency, string_to_array(g.classes, ',') AS classes
    FROM unnest(%(origins)s::text[], %(destinations)s::text[], %(transit_hours)s::integer[], %(bases)s::bigint[],
                %(per_kg)s::bigint[], %(currencies)s::text[], %(classes)s::text[])
        AS g (origin, destination, transit_hours, base, per_kg, currency, classes)
    JOIN service.warehouse o ON o.code = g.origin
    JOIN service.warehouse d ON d.code = g.destination
    ORDER BY 1, 2
), written AS (
    INSERT INTO service.lane AS l (from_warehouse_id, to_warehouse_id, transit_hours, freight_base_minor, freight_kg_minor,
                                   currency, shipping_classes, changed_at, changed_by)
    SELECT from_warehouse_id, to_warehouse_id, transit_hours, base, per_kg, currency, classes, %(now)s, %(by)s FROM given
    ON CONFLICT (from_warehouse_id, to_warehouse_id) DO UPDATE
    SET transit_hours = excluded.transit_hours, freight_base_minor = excluded.freight_base_minor,
        freight_kg_minor = excluded.freight_kg_minor, currency = excluded.currency,
        shipping_classes = excluded.shipping_classes, changed_at = excluded.changed_at, changed_by = excluded.changed_by
    WHERE (l.transit_hours, l.freight_base_minor, l.freight_kg_minor, l.currency, l.shipping_classes)
          IS DISTINCT FROM (excluded.transit_hours, excluded.freight_base_minor, excluded.freight_kg_minor,
                            excluded.currency, excluded.shipping_classes)
    RETURNING xmax = 0 AS added
)
SELECT (count(*) FILTER (WHERE added))::integer AS added, (count(*) FILTER (WHERE NOT added))::integer AS changed
FROM written

-- name: list_lanes
SELECT l.lane_id, o.code AS origin, d.code AS to, l.transit_hours, l.freight_base_minor, l.freight_kg_minor, l.currency,
       l.shipping_classes, l.changed_at, l.changed_by
FROM service.lane l
JOIN service.warehouse o ON o.warehouse_id = l.from_warehouse_id
JOIN service.warehouse d ON d.warehouse_id = l.to_warehouse_id
WHERE l.lane_id > %(after_id)s
  AND (%(origin)s::text IS NULL
       OR l.from_warehouse_id = (SELECT x.warehouse_id FROM service.warehouse x WHERE x.code = %(origin)s))
  AND (%(destination)s::text IS NULL
       OR l.to_warehouse_id = (SELECT x.warehouse_id FROM service.warehouse x WHERE x.code = %(destination)s))
ORDER BY l.lane_id
LIMIT %(fetch)s

-- name: delete_lane
DELETE FROM service.lane l
USING service.warehouse o, service.warehouse d
WHERE o.code = %(origin)s AND d.code = %(destination)s
  AND l.from_warehouse_id = o.warehouse_id AND l.to_warehouse_id = d.warehouse_id
RETURNING lane_id

-- name: lanes_between
-- Each way asked for, whether somebody has entered it or not.
SELECT o.warehouse_id AS from_warehouse_id, %(to_warehouse_id)s::bigint AS to_warehouse_id, o.transfer_days,
       l.transit_hours, l.freight_base_minor, l.freight_kg_minor, l.currency, l.shipping_classes
FROM service.warehouse o
LEFT JOIN service.lane l ON l.from_warehouse_id = o.warehouse_id AND l.to_warehouse_id = %(to_warehouse_id)s
WHERE o.warehouse_id = ANY (%(from_warehouse_ids)s)
