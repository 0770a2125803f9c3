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
