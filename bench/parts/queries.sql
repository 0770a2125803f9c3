-- name: make_providers
INSERT INTO service.provider (code, name, created_at)
SELECT 'SP' || n, 'Service partner ' || n, %(now)s FROM generate_series(%(centrals)s + 1, %(warehouses)s) n

-- name: make_warehouses
INSERT INTO service.warehouse (code, name, kind, territory, latitude, longitude, transfer_days, provider_id)
SELECT 'W' || n, 'Warehouse ' || n, CASE WHEN n <= %(centrals)s THEN 'central' ELSE 'partner' END, 'T' || n,
       25 + abs(hashint8(n)::bigint) %% 1000 / 1000.0 * %(span)s,
       100 + abs(hashint8(n + 1000)::bigint) %% 1000 / 1000.0 * %(span)s, 3,
       (SELECT provider_id FROM service.provider WHERE code = 'SP' || n)
FROM generate_series(1, %(warehouses)s) n

-- name: make_lanes
INSERT INTO service.lane (from_warehouse_id, to_warehouse_id, transit_hours, freight_base_minor,
                          freight_kg_minor, currency, shipping_classes, changed_at, changed_by)
SELECT a.warehouse_id, b.warehouse_id, 12 + (apart * 5)::integer, 800 + (apart * 120)::bigint,
       100 + (apart * 20)::bigint, 'CNY',
       CASE WHEN (a.warehouse_id + b.warehouse_id) %% 5 = 0 THEN ARRAY['normal']
            ELSE ARRAY['normal', 'battery', 'hazardous'] END, %(now)s, 'bench'
FROM service.warehouse a, service.warehouse b,
     LATERAL (SELECT sqrt((a.latitude - b.latitude) ^ 2 + (a.longitude - b.longitude) ^ 2) AS apart) way
WHERE a.warehouse_id <> b.warehouse_id

-- name: make_parts
INSERT INTO service.part (sku, name, cost_minor, currency, lead_time_days, weight_grams, shipping_class, imported)
SELECT 'P-' || lpad(n::text, 5, '0'), 'Part ' || n, 500 + luck %% 40000, 'CNY',
       CASE WHEN n %% 2 = 0 THEN 60 ELSE 14 END, 50 + luck %% 5000,
       CASE WHEN n %% 50 = 0 THEN 'battery' ELSE 'normal' END, n %% 2 = 0
FROM generate_series(1, %(parts)s) n, LATERAL (SELECT abs(hashint8(n + 7)::bigint) AS luck) l

-- name: make_alternatives
INSERT INTO service.part_alternative (part_id, alternative_id, recorded_by, recorded_at)
SELECT part_id, part_id + 1, 'bench', %(now)s FROM service.part WHERE part_id %% 10 = 1

-- name: make_suppliers
INSERT INTO service.supplier (code, name, currency, created_at)
SELECT 'S' || n, 'Supplier ' || n, 'CNY', %(now)s FROM generate_series(1, 20) n

-- name: make_supplier_parts
INSERT INTO service.supplier_part (supplier_id, part_id, price_minor, currency)
SELECT 1 + part_id %% 20, part_id, cost_minor, 'CNY' FROM service.part

-- name: set_currency
UPDATE service.allocation_policy SET currency = 'CNY'

-- name: make_movements
INSERT INTO service.stock_movement
    (part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, cause_kind, cause_key, at)
SELECT part_id, CASE WHEN n = 0 THEN rows - 1 + kept ELSE 1 END, CASE WHEN n = 0 THEN 'receipt' ELSE 'consume' END,
       CASE WHEN n = 0 THEN 'supplier' ELSE 'free' END, CASE WHEN n > 0 THEN warehouse_id END,
       CASE WHEN n = 0 THEN 'free' ELSE 'used' END, CASE WHEN n = 0 THEN warehouse_id END,
       'note', 'bench', %(now)s - interval '1 hour' * (CASE WHEN n = 0 THEN age ELSE age * n / (rows + 1) END)
FROM (
    SELECT part_id, CASE WHEN place < 2 THEN 1 + (part_id + place) %% %(centrals)s
                         ELSE 1 + %(centrals)s + luck %% (%(warehouses)s - %(centrals)s) END AS warehouse_id,
           CASE WHEN place < 2 THEN 2 + luck %% 15 ELSE 1 + luck %% 3 END AS kept,
           24 * (30 + luck %% 700) AS age,
           %(each)s + (CASE WHEN (part_id - 1) * %(places)s + place < %(more)s THEN 1 ELSE 0 END) AS rows
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) part_id, generate_series(0, %(places)s - 1) place,
         LATERAL (SELECT abs(hashint8(part_id * 31 + place + %(seed)s)::bigint) AS luck) l
) pair, generate_series(0, rows - 1) n
ORDER BY part_id, n

-- name: make_model
INSERT INTO service.product_model (code, name, kind) VALUES ('scrubber-1', 'Scrubber 1', 'scrubber')

-- name: make_customers
INSERT INTO service.customer (name, created_at) SELECT 'Customer ' || n, %(now)s FROM generate_series(1, 500) n

-- name: make_sites
INSERT INTO service.site (customer_id, name, territory, latitude, longitude)
SELECT 1 + n %% 500, 'Site ' || n, territory, latitude + 0.1, longitude + 0.1
FROM service.warehouse w, generate_series(1, 5) n

-- name: make_assets
INSERT INTO service.asset (serial, model_id, site_id, customer_id, installed_at, created_at)
SELECT 'B-' || n, 1, site_id, customer_id, %(now)s - interval '1 year', %(now)s
FROM generate_series(1, %(demands)s) n
JOIN (SELECT site_id, customer_id, row_number() OVER () AS place, count(*) OVER () AS sites
      FROM service.site) s ON s.place = 1 + abs(hashint8(n + 99)::bigint) %% s.sites

-- name: make_tickets
INSERT INTO service.ticket (kind, state, priority, asset_id, customer_id, title, raised_by, opened_at, due_by)
SELECT 'repair', 'open', (ARRAY['low', 'normal', 'normal', 'normal', 'high', 'urgent'])[1 + asset_id %% 6], asset_id,
       customer_id, 'Part needed', 'bench', %(now)s, %(now)s + interval '7 days'
FROM service.asset ORDER BY asset_id

-- name: count_rows
SELECT (SELECT count(*) FROM service.warehouse) AS warehouses, (SELECT count(*) FROM service.part) AS parts,
       (SELECT count(*) FROM service.lane) AS lanes, (SELECT count(*) FROM service.stock_movement) AS movements,
       (SELECT count(*) FROM service.stock) AS balances

-- name: count_differing
SELECT count(*) AS balances FROM service.stock_imbalance

-- name: make_last_piece
WITH part AS (
    INSERT INTO service.part (sku, name, currency) VALUES ('LAST-PIECE', 'The last piece', 'CNY') RETURNING part_id
)
INSERT INTO service.stock_movement (part_id, quantity, kind, from_place, to_place, to_warehouse_id, cause_kind, cause_key, at)
SELECT part_id, 1, 'receipt', 'supplier', 'free', 1, 'note', 'bench', %(now)s FROM part

-- name: make_rivals
INSERT INTO service.job (asset_id, ticket_id, state, skill, labour_minutes, created_at)
SELECT asset_id, ticket_id, 'open', 'general', 60, %(now)s FROM service.ticket ORDER BY ticket_id LIMIT %(rivals)s
RETURNING job_id
