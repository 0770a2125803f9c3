-- Forecasts ----------------------------------------------------------------------------------------

-- name: insert_forecast
INSERT INTO service.demand_forecast (as_of, method, review_days, created_at, created_by)
VALUES (%(as_of)s, %(method)s, %(review_days)s, %(now)s, %(by)s)
RETURNING demand_forecast_id AS forecast_id

-- name: get_forecast
SELECT f.demand_forecast_id AS forecast_id, f.as_of, f.method, f.review_days, f.created_at, f.created_by,
       f.completed_at, f.scored_at,
       (SELECT count(*) FROM service.demand_forecast_line l WHERE l.demand_forecast_id = f.demand_forecast_id) AS lines
FROM service.demand_forecast f
WHERE f.demand_forecast_id = %(forecast_id)s

-- name: lock_forecast
SELECT demand_forecast_id AS forecast_id, as_of, completed_at FROM service.demand_forecast
WHERE demand_forecast_id = %(forecast_id)s FOR UPDATE

-- name: list_forecasts
SELECT f.demand_forecast_id AS forecast_id, f.as_of, f.method, f.review_days, f.created_at, f.created_by,
       f.completed_at, f.scored_at,
       (SELECT count(*) FROM service.demand_forecast_line l WHERE l.demand_forecast_id = f.demand_forecast_id) AS lines
FROM service.demand_forecast f
WHERE f.demand_forecast_id > %(after_id)s
ORDER BY f.demand_forecast_id
LIMIT %(fetch)s

-- name: latest_forecast
SELECT demand_forecast_id AS forecast_id FROM service.demand_forecast
WHERE completed_at IS NOT NULL AND as_of <= %(now)s
ORDER BY as_of DESC, demand_forecast_id DESC
LIMIT 1

-- name: complete_forecast
UPDATE service.demand_forecast SET completed_at = %(now)s
WHERE demand_forecast_id = %(forecast_id)s AND completed_at IS NULL

-- name: numbers_of_parts
SELECT sku, part_id FROM service.part WHERE sku = ANY(%(skus)s)

-- name: numbers_of_warehouses
SELECT code, warehouse_id FROM service.warehouse WHERE code = ANY(%(codes)s)

-- name: insert_line
INSERT INTO service.demand_forecast_line
    (demand_forecast_id, warehouse_id, part_id, covered_days, ends_at, mean, chance, enough_50, enough_90, enough_95,
     from_history, from_predictions, from_plans)
VALUES (%(forecast_id)s, %(warehouse_id)s, %(part_id)s, %(covered_days)s, %(ends_at)s, %(mean)s, %(chance)s,
        %(enough_50)s, %(enough_90)s, %(enough_95)s, %(from_history)s, %(from_predictions)s, %(from_plans)s)
ON CONFLICT (demand_forecast_id, warehouse_id, part_id) DO NOTHING

-- name: list_lines
SELECT l.demand_forecast_line_id AS line_id, p.sku, w.code AS warehouse, l.covered_days, l.ends_at, l.mean, l.chance,
       l.enough_50, l.enough_90, l.enough_95, l.from_history, l.from_predictions, l.from_plans, l.used
FROM service.demand_forecast_line l
JOIN service.part p USING (part_id)
JOIN service.warehouse w USING (warehouse_id)
WHERE l.demand_forecast_id = %(forecast_id)s AND l.demand_forecast_line_id > %(after_id)s
  AND (%(sku)s::text IS NULL OR l.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR l.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY l.demand_forecast_line_id
LIMIT %(fetch)s

-- name: score_lines
-- What was used until the end of each line's time; of lines that end now or have ended.
WITH due AS (
    SELECT l.demand_forecast_line_id, l.warehouse_id, l.part_id, f.as_of, l.ends_at
    FROM service.demand_forecast_line l
    JOIN service.demand_forecast f USING (demand_forecast_id)
    WHERE l.used IS NULL AND l.ends_at <= %(now)s AND f.completed_at IS NOT NULL
    ORDER BY l.ends_at, l.demand_forecast_line_id
    LIMIT %(batch)s
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE service.demand_forecast_line l
SET used = (
    SELECT coalesce(sum(m.quantity), 0) FROM service.stock_movement m
    WHERE m.from_warehouse_id = due.warehouse_id AND m.part_id = due.part_id AND m.to_place = 'used'
      AND m.at >= due.as_of AND m.at < due.ends_at
)
FROM due
WHERE due.demand_forecast_line_id = l.demand_forecast_line_id

-- name: score_forecasts
UPDATE service.demand_forecast f SET scored_at = %(now)s
WHERE f.completed_at IS NOT NULL AND f.scored_at IS NULL
  AND NOT EXISTS (SELECT FROM service.demand_forecast_line l
                  WHERE l.demand_forecast_id = f.demand_forecast_id AND l.used IS NULL)

-- name: list_accuracy
-- Of each forecast the lines whose time has passed. Pinball loss: what a piece too few or too many costs at that level.
SELECT f.demand_forecast_id AS forecast_id, f.as_of, f.method, a.lines, a.foreseen, a.used, a.absolute_error,
       a.pinball_50, a.pinball_90, a.pinball_95, a.covered_90, a.covered_95
FROM service.demand_forecast f
CROSS JOIN LATERAL (
    SELECT count(*) AS lines, coalesce(sum(mean), 0) AS foreseen, coalesce(sum(used), 0)::bigint AS used,
           avg(abs(used - mean)) AS absolute_error,
           avg(CASE WHEN used >= enough_50 THEN 0.5 * (used - enough_50) ELSE 0.5 * (enough_50 - used) END)
               ::double precision AS pinball_50,
           avg(CASE WHEN used >= enough_90 THEN 0.9 * (used - enough_90) ELSE 0.1 * (enough_90 - used) END)
               ::double precision AS pinball_90,
           avg(CASE WHEN used >= enough_95 THEN 0.95 * (used - enough_95) ELSE 0.05 * (enough_95 - used) END)
               ::double precision AS pinball_95,
           avg((used <= enough_90)::int)::double precision AS covered_90,
           avg((used <= enough_95)::int)::double precision AS covered_95
    FROM service.demand_forecast_line l
    WHERE l.demand_forecast_id = f.demand_forecast_id AND l.used IS NOT NULL
) a
WHERE f.demand_forecast_id > %(after_id)s AND f.completed_at IS NOT NULL
ORDER BY f.demand_forecast_id
LIMIT %(fetch)s

-- Planning -----------------------------------------------------------------------------------------

-- name: places_to_plan
-- Each foreseen part × warehouse with what can be had there: available, on its way for nobody in particular, ordered.
SELECT l.part_id, l.warehouse_id, w.provider_id, l.covered_days, f.review_days, l.chance,
       coalesce(s.on_hand - s.reserved, 0) AS available, s.min_quantity, s.max_quantity,
       coalesce(t.pieces, 0)::bigint AS coming, coalesce(o.pieces, 0)::bigint AS ordered,
       w.active AND w.kind IN ('central', 'partner', 'van') AS kept_here
FROM service.demand_forecast_line l
JOIN service.demand_forecast f USING (demand_forecast_id)
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.stock s ON s.warehouse_id = l.warehouse_id AND s.part_id = l.part_id
LEFT JOIN (
    SELECT part_id, to_warehouse_id AS warehouse_id, sum(quantity - received - damaged - missing) AS pieces
    FROM service.transfer WHERE ended_at IS NULL AND reservation_id IS NULL
    GROUP BY 1, 2
) t ON t.warehouse_id = l.warehouse_id AND t.part_id = l.part_id
LEFT JOIN (
    SELECT pl.part_id, po.warehouse_id, sum(pl.quantity - pl.received - pl.promised) AS pieces
    FROM service.purchase_line pl
    JOIN service.purchase_order po USING (purchase_order_id)
    WHERE NOT pl.closed
    GROUP BY 1, 2
) o ON o.warehouse_id = l.warehouse_id AND o.part_id = l.part_id
WHERE l.demand_forecast_id = %(forecast_id)s
  AND (%(warehouse_id)s::bigint IS NULL OR l.warehouse_id = %(warehouse_id)s)
ORDER BY l.part_id, l.warehouse_id

-- name: givers
-- Stock of the same parts at other warehouses, and what is foreseen there.
SELECT s.part_id, s.warehouse_id, w.provider_id, s.on_hand - s.reserved AS available, l.chance
FROM service.stock s
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.demand_forecast_line l
    ON l.demand_forecast_id = %(forecast_id)s AND l.warehouse_id = s.warehouse_id AND l.part_id = s.part_id
WHERE s.part_id = ANY(%(parts)s) AND s.on_hand > s.reserved AND w.active AND w.kind IN ('central', 'partner')
  AND (l.demand_forecast_line_id IS NULL OR s.warehouse_id <> %(warehouse_id)s::bigint)
ORDER BY s.part_id, s.warehouse_id

-- name: parts_to_plan
-- On which terms a part is bought in a currency: the first supplier's, else what it costs the house.
SELECT p.part_id, p.state, p.weight_grams, p.shipping_class,
       coalesce(t.price_minor, CASE WHEN p.currency = %(currency)s THEN p.cost_minor END) AS price_minor,
       coalesce(t.minimum_quantity, 1) AS minimum_quantity, coalesce(t.pack_size, 1) AS pack_size
FROM service.part p
LEFT JOIN LATERAL (
    SELECT sp.price_minor, sp.minimum_quantity, sp.pack_size
    FROM service.supplier_part sp
    JOIN service.supplier su USING (supplier_id)
    WHERE sp.part_id = p.part_id AND sp.active AND su.active AND sp.currency = %(currency)s
    ORDER BY sp.place, sp.supplier_part_id
    LIMIT 1
) t ON true
WHERE p.part_id = ANY(%(parts)s)

-- name: ways_to_plan
SELECT from_warehouse_id, to_warehouse_id, freight_base_minor, freight_kg_minor, shipping_classes,
       currency = %(currency)s AS in_currency
FROM service.lane

-- name: freight_unentered
-- What a way costs that nobody has entered; free where it is known in another currency only.
SELECT freight_base_minor, freight_kg_minor FROM service.allocation_policy WHERE currency = %(currency)s

-- name: insert_run
INSERT INTO service.stocking_run
    (demand_forecast_id, warehouse_id, service_level, budget_minor, currency, spent_minor, wanted, short_before,
     short_after, curve, left_out, created_at, created_by)
VALUES (%(forecast_id)s, %(warehouse_id)s, %(service_level)s, %(budget_minor)s, %(currency)s, %(spent_minor)s,
        %(wanted)s, %(short_before)s, %(short_after)s, %(curve)s, %(left_out)s, %(now)s, %(by)s)
RETURNING stocking_run_id AS run_id

-- name: supersede_proposals
UPDATE service.stocking_proposal
SET state = 'superseded', decided_at = %(now)s, decided_by = %(by)s, decision = %(decision)s, version = version + 1
WHERE state = 'proposed' AND (%(warehouse_id)s::bigint IS NULL OR warehouse_id = %(warehouse_id)s)

-- name: insert_proposal
INSERT INTO service.stocking_proposal
    (stocking_run_id, kind, part_id, warehouse_id, from_warehouse_id, quantity, min_quantity, max_quantity, min_before,
     max_before, cost_minor, currency, avoided, reason)
VALUES (%(run_id)s, %(kind)s, %(part_id)s, %(warehouse_id)s, %(from_warehouse_id)s, %(quantity)s, %(min_quantity)s,
        %(max_quantity)s, %(min_before)s, %(max_before)s, %(cost_minor)s, %(currency)s, %(avoided)s, %(reason)s)

-- name: get_run
SELECT r.stocking_run_id AS run_id, r.demand_forecast_id AS forecast_id, w.code AS warehouse, r.service_level,
       r.budget_minor, r.currency, r.spent_minor, r.wanted, r.short_before, r.short_after, r.curve, r.left_out,
       r.created_at, r.created_by, n.proposals
FROM service.stocking_run r
LEFT JOIN service.warehouse w USING (warehouse_id)
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(kind || '_' || state, pieces), '{}') AS proposals
    FROM (SELECT kind, state, count(*) AS pieces FROM service.stocking_proposal p
          WHERE p.stocking_run_id = r.stocking_run_id GROUP BY 1, 2) counted
) n
WHERE r.stocking_run_id = %(run_id)s

-- name: list_runs
SELECT r.stocking_run_id AS run_id, r.demand_forecast_id AS forecast_id, w.code AS warehouse, r.service_level,
       r.budget_minor, r.currency, r.spent_minor, r.wanted, r.short_before, r.short_after, r.created_at, r.created_by
FROM service.stocking_run r
LEFT JOIN service.warehouse w USING (warehouse_id)
WHERE r.stocking_run_id > %(after_id)s
ORDER BY r.stocking_run_id
LIMIT %(fetch)s

-- Proposals ----------------------------------------------------------------------------------------

-- name: list_proposals
SELECT q.stocking_proposal_id AS proposal_id, q.stocking_run_id AS run_id, q.kind, p.sku, w.code AS warehouse,
       f.code AS origin, q.quantity, q.min_quantity, q.max_quantity, q.min_before, q.max_before, q.cost_minor,
       q.currency, q.avoided, q.reason, q.state, q.decided_by, q.decided_at, q.decision, q.transfer_id,
       q.purchase_line_id, q.version
FROM service.stocking_proposal q
JOIN service.part p USING (part_id)
JOIN service.warehouse w ON w.warehouse_id = q.warehouse_id
LEFT JOIN service.warehouse f ON f.warehouse_id = q.from_warehouse_id
WHERE q.stocking_proposal_id > %(after_id)s
  AND (%(run_id)s::bigint IS NULL OR q.stocking_run_id = %(run_id)s)
  AND (%(state)s::text IS NULL OR q.state = %(state)s)
  AND (%(kind)s::text IS NULL OR q.kind = %(kind)s)
  AND (%(sku)s::text IS NULL OR q.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
  AND (%(warehouse)s::text IS NULL
       OR q.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
ORDER BY q.stocking_proposal_id
LIMIT %(fetch)s

-- name: get_proposal
SELECT q.stocking_proposal_id AS proposal_id, q.stocking_run_id AS run_id, q.kind, p.sku, w.code AS warehouse,
       f.code AS origin, q.quantity, q.min_quantity, q.max_quantity, q.min_before, q.max_before, q.cost_minor,
       q.currency, q.avoided, q.reason, q.state, q.decided_by, q.decided_at, q.decision, q.transfer_id,
       q.purchase_line_id, q.version
FROM service.stocking_proposal q
JOIN service.part p USING (part_id)
JOIN service.warehouse w ON w.warehouse_id = q.warehouse_id
LEFT JOIN service.warehouse f ON f.warehouse_id = q.from_warehouse_id
WHERE q.stocking_proposal_id = %(proposal_id)s

-- name: lock_proposal
SELECT stocking_proposal_id AS proposal_id, kind, part_id, warehouse_id, from_warehouse_id, quantity, min_quantity,
       max_quantity, state
FROM service.stocking_proposal
WHERE stocking_proposal_id = %(proposal_id)s
FOR UPDATE

-- name: decide_proposal
UPDATE service.stocking_proposal
SET state = %(state)s, decided_by = %(by)s, decided_at = %(now)s, decision = %(decision)s,
    transfer_id = %(transfer_id)s, purchase_line_id = %(purchase_line_id)s, version = version + 1
WHERE stocking_proposal_id = %(proposal_id)s

-- name: pick_open_proposals
SELECT stocking_proposal_id AS proposal_id FROM service.stocking_proposal
WHERE stocking_run_id = %(run_id)s AND state = 'proposed' AND kind = ANY(%(kinds)s)
ORDER BY stocking_proposal_id
LIMIT %(batch)s

-- name: set_levels
INSERT INTO service.stock (warehouse_id, part_id, min_quantity, max_quantity)
VALUES (%(warehouse_id)s, %(part_id)s, %(min_quantity)s, %(max_quantity)s)
ON CONFLICT (warehouse_id, part_id) DO UPDATE
SET min_quantity = excluded.min_quantity, max_quantity = excluded.max_quantity

-- Stock that nobody uses ---------------------------------------------------------------------------

-- name: list_idle
-- Dead: lain and not used for so long; slow: more than lasts for so many months at the use of the last year.
SELECT * FROM (
    SELECT (s.warehouse_id << 32) + s.part_id AS number, p.sku, w.code AS warehouse, s.on_hand,
           s.on_hand - s.reserved AS available, s.stocked_at, u.last_used_at, u.used::bigint AS used_last_year,
           s.max_quantity, s.on_hand * p.cost_minor AS value_minor, p.currency,
           CASE WHEN u.used > 0 THEN s.on_hand * 12.0 / u.used END::double precision AS cover_months,
           CASE WHEN u.used = 0 AND greatest(s.stocked_at, u.last_used_at) < %(rested_since)s THEN 'dead'
                WHEN u.used > 0 AND s.on_hand * 12.0 / u.used > %(slow_months)s THEN 'slow' END AS kind
    FROM service.stock s
    JOIN service.part p USING (part_id)
    JOIN service.warehouse w USING (warehouse_id)
    CROSS JOIN LATERAL (
        SELECT max(m.at) AS last_used_at,
               coalesce(sum(m.quantity) FILTER (WHERE m.at >= %(used_since)s), 0) AS used
        FROM service.stock_movement m
        WHERE m.from_warehouse_id = s.warehouse_id AND m.part_id = s.part_id AND m.to_place = 'used'
    ) u
    WHERE (s.warehouse_id, s.part_id) > (%(after_id)s::bigint >> 32, %(after_id)s::bigint & 4294967295)
      AND s.on_hand > 0
      AND (%(sku)s::text IS NULL OR s.part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s))
      AND (%(warehouse)s::text IS NULL
           OR s.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
) seen
WHERE kind IS NOT NULL AND (%(kind)s::text IS NULL OR kind = %(kind)s)
ORDER BY number
LIMIT %(fetch)s

-- name: idle_summary
-- Of one warehouse, how much money lies idle.
SELECT kind, currency, count(*) AS parts, sum(on_hand)::bigint AS pieces, sum(value_minor)::bigint AS value_minor
FROM (
    SELECT s.on_hand, s.on_hand * p.cost_minor AS value_minor, p.currency,
           CASE WHEN u.used = 0 AND greatest(s.stocked_at, u.last_used_at) < %(rested_since)s THEN 'dead'
                WHEN u.used > 0 AND s.on_hand * 12.0 / u.used > %(slow_months)s THEN 'slow' ELSE 'moving' END AS kind
    FROM service.stock s
    JOIN service.part p USING (part_id)
    CROSS JOIN LATERAL (
        SELECT max(m.at) AS last_used_at,
               coalesce(sum(m.quantity) FILTER (WHERE m.at >= %(used_since)s), 0) AS used
        FROM service.stock_movement m
        WHERE m.from_warehouse_id = s.warehouse_id AND m.part_id = s.part_id AND m.to_place = 'used'
    ) u
    WHERE s.warehouse_id = %(warehouse_id)s AND s.on_hand > 0
) seen
GROUP BY kind, currency
ORDER BY kind, currency
