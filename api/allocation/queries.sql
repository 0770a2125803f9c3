-- name: read_policy
-- From here on the transaction takes plans that hold for any values: planning anew what is asked by arrays of numbers
-- takes longer than finding it.
SELECT currency, late_low_minor, late_normal_minor, late_high_minor, late_urgent_minor, refusal_days, holding_bp,
       oldest_days, shortage_minor, service_level_bp, freight_base_minor, freight_kg_minor, order_minor, kit_minor,
       alternative_minor, version, set_config('plan_cache_mode', 'force_generic_plan', true) AS plans
FROM service.allocation_policy

-- name: change_policy
UPDATE service.allocation_policy
SET currency = %(currency)s, late_low_minor = %(late_low_minor)s, late_normal_minor = %(late_normal_minor)s,
    late_high_minor = %(late_high_minor)s, late_urgent_minor = %(late_urgent_minor)s, refusal_days = %(refusal_days)s,
    holding_bp = %(holding_bp)s, oldest_days = %(oldest_days)s, shortage_minor = %(shortage_minor)s,
    service_level_bp = %(service_level_bp)s, freight_base_minor = %(freight_base_minor)s,
    freight_kg_minor = %(freight_kg_minor)s, order_minor = %(order_minor)s, kit_minor = %(kit_minor)s,
    alternative_minor = %(alternative_minor)s, version = version + 1
WHERE version = %(version)s
RETURNING version

-- name: lock_ticket
-- Shared: nobody may end the case meanwhile.
SELECT ticket_id, state, priority, due_by
FROM service.ticket
WHERE ticket_id = coalesce((SELECT ticket_id FROM service.job WHERE job_id = %(job_id)s), %(ticket_id)s::bigint)
FOR SHARE

-- name: lock_job
-- Locks are taken in the order ticket, job, demand, reservation, balances by part and warehouse.
SELECT j.job_id, j.state, j.ticket_id, j.priority, j.due_by FROM service.job j WHERE j.job_id = %(job_id)s
FOR NO KEY UPDATE

-- name: demand_there
SELECT part_demand_id, quantity, job_id
FROM service.part_demand
WHERE part_id = %(part_id)s AND state IN ('open', 'allocated', 'refused')
  AND (job_id = %(job_id)s OR (job_id IS NULL AND ticket_id = %(ticket_id)s))
ORDER BY job_id
LIMIT 1

-- name: reservation_there
-- What a job has kept of the part without any demand.
SELECT reservation_id, quantity, warehouse_id, available_at
FROM service.reservation
WHERE job_id = %(job_id)s AND part_id = %(part_id)s AND state = 'reserved'

-- name: insert_demand
INSERT INTO service.part_demand (ticket_id, job_id, part_id, quantity, needed_by, priority, to_warehouse_id, strict, created_at)
VALUES (%(ticket_id)s, %(job_id)s, %(part_id)s, %(quantity)s, %(needed_by)s, %(priority)s, %(to_warehouse_id)s, %(strict)s,
        %(now)s)
ON CONFLICT DO NOTHING
RETURNING part_demand_id

-- name: take_over_reservation
-- What was kept before anybody asked counts as its answer, until a better one is found.
WITH given AS (
    UPDATE service.reservation SET demand_id = %(part_demand_id)s WHERE reservation_id = %(reservation_id)s
    RETURNING reservation_id, part_id, warehouse_id, available_at
)
UPDATE service.part_demand d
SET state = 'allocated', kind = 'on_hand', given_part_id = g.part_id, warehouse_id = g.warehouse_id,
    reservation_id = g.reservation_id, promised_at = g.available_at, decided_at = %(now)s, reason = %(reason)s
FROM given g
WHERE d.part_demand_id = %(part_demand_id)s

-- name: lock_demand
SELECT part_demand_id, state, job_id FROM service.part_demand WHERE part_demand_id = %(part_demand_id)s FOR UPDATE

-- name: job_of_demand
SELECT job_id FROM service.part_demand WHERE part_demand_id = %(part_demand_id)s

-- name: give_to_job
UPDATE service.part_demand d SET job_id = %(job_id)s, version = version + 1
WHERE d.ticket_id = %(ticket_id)s AND d.job_id IS NULL AND d.state IN ('open', 'allocated', 'refused')
  AND NOT EXISTS (SELECT FROM service.part_demand x
                  WHERE x.job_id = %(job_id)s AND x.part_id = d.part_id AND x.state IN ('open', 'allocated', 'refused'))

-- name: pick_demand_by_id
-- By one number, so that its plan need not be made anew each time.
WITH picked AS (SELECT * FROM service.part_demand WHERE part_demand_id = %(part_demand_id)s)

-- name: pick_demands_by_id
WITH picked AS (SELECT * FROM service.part_demand WHERE part_demand_id = ANY (%(part_demand_ids)s))

-- name: pick_demands_by_state
-- A range per state: with `state = …` the planner, who cannot know how rare the state is, walks all demands.
WITH picked AS (
    SELECT d.*
    FROM unnest(%(states)s::text[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT * FROM service.part_demand
        WHERE (state, part_demand_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
        ORDER BY state, part_demand_id
        LIMIT %(fetch)s
    ) d
    ORDER BY d.part_demand_id
    LIMIT %(fetch)s
)

-- name: pick_demands_by_ticket
WITH picked AS (
    SELECT * FROM service.part_demand
    WHERE ticket_id = %(ticket_id)s AND state = ANY (%(states)s) AND part_demand_id > %(after_id)s
    ORDER BY part_demand_id
    LIMIT %(fetch)s
)

-- name: pick_demands_by_job
WITH picked AS (
    SELECT * FROM service.part_demand
    WHERE job_id = %(job_id)s AND state = ANY (%(states)s) AND part_demand_id > %(after_id)s
    ORDER BY part_demand_id
    LIMIT %(fetch)s
)

-- name: pick_demands_by_part
WITH picked AS (
    SELECT * FROM service.part_demand
    WHERE part_id = (SELECT part_id FROM service.part WHERE sku = %(sku)s) AND state = ANY (%(states)s)
      AND part_demand_id > %(after_id)s
    ORDER BY part_demand_id
    LIMIT %(fetch)s
)

-- name: demand_rows
-- A demand with all that an answer to it depends on. In two steps, for a join of twelve is planned for ten milliseconds.
, based AS MATERIALIZED (
    SELECT d.*, p.sku, p.name, p.cost_minor, p.currency, p.weight_grams, p.shipping_class, p.lead_time_days,
           p.state AS part_state, a.asset_id, a.serial, coalesce(s.territory, 'default') AS territory, s.latitude,
           s.longitude, t.provider_id, t.state AS ticket_state, j.state AS job_state
    FROM picked d
    JOIN service.part p ON p.part_id = d.part_id
    LEFT JOIN service.job j ON j.job_id = d.job_id
    LEFT JOIN service.ticket t ON t.ticket_id = d.ticket_id
    LEFT JOIN service.asset a ON a.asset_id = coalesce(j.asset_id, t.asset_id)
    LEFT JOIN service.site s ON s.site_id = a.site_id
), given AS MATERIALIZED (
    SELECT b.*, g.sku AS given_sku, coalesce(g.name, b.name) AS given, w.code AS warehouse, tw.code AS to_warehouse
    FROM based b
    LEFT JOIN service.part g ON g.part_id = b.given_part_id
    LEFT JOIN service.warehouse w ON w.warehouse_id = b.warehouse_id
    LEFT JOIN service.warehouse tw ON tw.warehouse_id = b.to_warehouse_id
)
SELECT d.*, r.state AS reservation_state, r.place, r.quantity AS kept, r.part_id AS kept_part_id,
       r.warehouse_id AS kept_at_id, x.state AS transfer_state, o.state AS order_state
FROM given d
LEFT JOIN service.reservation r ON r.reservation_id = d.reservation_id
LEFT JOIN service.transfer x ON x.transfer_id = d.transfer_id
LEFT JOIN service.purchase_line l ON l.purchase_line_id = d.purchase_line_id
LEFT JOIN service.purchase_order o ON o.purchase_order_id = l.purchase_order_id
ORDER BY d.part_demand_id

-- name: spots
-- The warehouses of territories, those named, and the central ones that stand in where a territory has none.
SELECT warehouse_id, code, kind, territory, latitude, longitude, transfer_days, provider_id, time_zone
FROM service.warehouse
WHERE active AND (territory = ANY (%(territories)s) OR warehouse_id = ANY (%(warehouse_ids)s) OR kind = 'central')

-- name: parts_and_kits
-- Parts, and the kits that some of them are in.
SELECT NULL::bigint AS asked_id, 1 AS pieces, p.part_id, p.sku, p.cost_minor, p.currency, p.weight_grams,
       p.shipping_class, p.lead_time_days, p.state
FROM service.part p
WHERE p.part_id = ANY (%(part_ids)s)
UNION ALL
SELECT k.part_id, k.quantity, p.part_id, p.sku, p.cost_minor, p.currency, p.weight_grams, p.shipping_class,
       p.lead_time_days, p.state
FROM service.kit_part k
JOIN service.part p ON p.part_id = k.kit_id
WHERE k.part_id = ANY (%(asked_ids)s)

-- name: stocks
-- What every warehouse has of some parts, and how fast it went there in the last year.
SELECT s.part_id, s.warehouse_id, w.code, w.kind, w.territory, w.latitude, w.longitude, w.transfer_days, w.provider_id, w.time_zone,
       s.on_hand, s.reserved, s.min_quantity, s.stocked_at, coalesce(u.pieces, 0) AS used
FROM service.stock s
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN (
    SELECT part_id, from_warehouse_id, sum(quantity)::bigint AS pieces
    FROM service.stock_movement
    WHERE kind = 'consume' AND part_id = ANY (%(part_ids)s) AND at >= %(since)s AND at < %(now)s
    GROUP BY part_id, from_warehouse_id
) u ON u.part_id = s.part_id AND u.from_warehouse_id = s.warehouse_id
WHERE s.part_id = ANY (%(part_ids)s) AND w.active AND s.on_hand > 0
ORDER BY s.part_id, s.warehouse_id

-- name: sources
-- Where parts can be ordered: the first supplier of each, if any, and what is on order for nobody yet.
SELECT p.part_id, NULL::bigint AS warehouse_id, NULL::bigint AS line_id, coalesce(f.name, '') AS supplier,
       coalesce(f.lead_time_days, p.lead_time_days) AS lead_time_days, f.price_minor, coalesce(f.currency, '') AS currency,
       NULL::timestamptz AS expected_at, NULL::bigint AS pieces
FROM service.part p
LEFT JOIN LATERAL (
    SELECT u.name, c.lead_time_days, c.price_minor, c.currency
    FROM service.supplier_part c
    JOIN service.supplier u USING (supplier_id)
    WHERE c.part_id = p.part_id AND c.active AND u.active
    ORDER BY c.place, coalesce(c.lead_time_days, p.lead_time_days), c.supplier_id
    LIMIT 1
) f ON true
WHERE p.part_id = ANY (%(part_ids)s) AND p.state = 'active'
UNION ALL
SELECT l.part_id, o.warehouse_id, l.purchase_line_id, coalesce(u.name, ''), l.lead_time_days, l.price_minor, o.currency, l.expected_at,
       l.quantity - l.received - l.promised
FROM service.purchase_line l
JOIN service.purchase_order o USING (purchase_order_id)
LEFT JOIN service.supplier u USING (supplier_id)
WHERE l.part_id = ANY (%(part_ids)s) AND NOT l.closed AND o.state IN ('draft', 'sent', 'confirmed', 'partly_received')
  AND l.quantity > l.received + l.promised

-- name: decide_demand
-- With the record of all that it was chosen from.
WITH decision AS (
    INSERT INTO service.part_decision (part_demand_id, at, made_by, chosen, reason, promised_at, options, refusals)
    VALUES (%(part_demand_id)s, %(now)s, %(made_by)s, %(chosen)s, %(reason)s, %(promised_at)s, %(options)s, %(refusals)s)
)
UPDATE service.part_demand
SET state = %(state)s, kind = %(kind)s, given_part_id = %(given_part_id)s, warehouse_id = %(warehouse_id)s,
    reservation_id = %(reservation_id)s, transfer_id = %(transfer_id)s, purchase_line_id = %(purchase_line_id)s,
    total_minor = %(total_minor)s, reason = %(reason)s, promised_at = %(promised_at)s, supplied_at = %(supplied_at)s,
    arrived_at = %(arrived_at)s,
    seen_movement_id = coalesce((SELECT max(movement_id) FROM service.stock_movement WHERE part_id = %(part_id)s), 0),
    told_at = %(told_at)s, next_try_at = %(next_try_at)s, decided_at = %(now)s, version = version + 1
WHERE part_demand_id = %(part_demand_id)s

-- name: touch_demand
-- It was looked at again and stays as it is.
UPDATE service.part_demand
SET seen_movement_id = coalesce((SELECT max(movement_id) FROM service.stock_movement WHERE part_id = %(part_id)s), 0),
    promised_at = %(promised_at)s, next_try_at = %(next_try_at)s
WHERE part_demand_id = %(part_demand_id)s

-- name: tell_date
UPDATE service.part_demand SET told_at = %(told_at)s WHERE part_demand_id = %(part_demand_id)s

-- name: end_demand
UPDATE service.part_demand
SET state = %(state)s, reason = coalesce(%(reason)s, reason), next_try_at = NULL, version = version + 1
WHERE part_demand_id = %(part_demand_id)s

-- name: list_decisions
SELECT part_decision_id, at, actor, made_by, chosen, reason, promised_at, options, refusals
FROM service.part_decision
WHERE part_demand_id = %(part_demand_id)s AND part_decision_id > %(after_id)s
ORDER BY part_decision_id
LIMIT %(fetch)s

-- name: last_decision
SELECT part_decision_id, at, actor, made_by, chosen, reason, promised_at, options, refusals
FROM service.part_decision
WHERE part_demand_id = %(part_demand_id)s
ORDER BY part_decision_id DESC
LIMIT 1

-- name: changed_demands
-- Allocated demands that what they rely on has changed for: used or given back, received, called off, lost, or at another
-- time. A promise of a supplier is kept by a reservation; the job of a demand may have kept the part by itself.
SELECT d.part_demand_id, r.state AS reservation_state, x.state AS transfer_state, x.expected_at AS transfer_at,
       x.quantity AS transfer_quantity, x.received AS transfer_received,
       l.expected_at AS line_at, m.state AS promise_state, m.reservation_id AS promised_reservation_id,
       o.reservation_id AS own_reservation_id, o.warehouse_id AS own_warehouse_id, o.available_at AS own_at,
       j.state AS job_state, t.state AS ticket_state
FROM service.part_demand d
LEFT JOIN service.reservation r ON r.reservation_id = d.reservation_id
LEFT JOIN service.transfer x ON x.transfer_id = d.transfer_id
LEFT JOIN service.purchase_line l ON l.purchase_line_id = d.purchase_line_id
LEFT JOIN LATERAL (
    SELECT p.state, p.reservation_id FROM service.purchase_promise p
    WHERE p.demand_id = d.part_demand_id
    ORDER BY p.purchase_promise_id DESC
    LIMIT 1
) m ON d.purchase_line_id IS NOT NULL
LEFT JOIN service.reservation o ON d.reservation_id IS NULL AND o.job_id = d.job_id AND o.part_id = d.part_id
    AND o.state = 'reserved'
LEFT JOIN service.job j ON j.job_id = d.job_id
LEFT JOIN service.ticket t ON t.ticket_id = d.ticket_id
WHERE d.state IN ('open', 'allocated', 'refused')
  AND (r.state IN ('consumed', 'released')
       OR x.state IN ('cancelled', 'lost')
       OR (x.state = 'received' AND d.arrived_at IS NULL)
       OR (x.state IN ('planned', 'shipped') AND x.expected_at IS DISTINCT FROM d.promised_at)
       OR (d.state = 'allocated' AND d.reservation_id IS NULL
           AND (m.state IN ('kept', 'withdrawn') OR l.expected_at IS DISTINCT FROM d.supplied_at))
       OR o.reservation_id IS NOT NULL
       OR j.state IN ('completed', 'cancelled')
       OR (d.job_id IS NULL AND t.state IN ('resolved', 'closed', 'cancelled', 'merged')))
ORDER BY d.part_demand_id
LIMIT %(limit)s

-- name: stirred_demands
-- Demands that wait, where pieces of the part have come free since they were looked at, or whose day of another try is.
SELECT d.part_demand_id
FROM service.part_demand d
WHERE (d.state = 'refused' OR (d.state = 'allocated' AND d.reservation_id IS NULL))
  AND (d.next_try_at <= %(now)s
       OR EXISTS (SELECT FROM service.stock_movement m
                  WHERE m.part_id = d.part_id AND m.movement_id > d.seen_movement_id AND m.to_place = 'free'))
ORDER BY array_position(ARRAY['urgent', 'high', 'normal', 'low'], d.priority), d.needed_by, d.part_demand_id
LIMIT %(limit)s

-- name: move_date
UPDATE service.part_demand
SET promised_at = %(promised_at)s, supplied_at = %(supplied_at)s, version = version + 1
WHERE part_demand_id = %(part_demand_id)s

-- name: pieces_came
UPDATE service.part_demand
SET reservation_id = coalesce(%(reservation_id)s::bigint, reservation_id), arrived_at = %(now)s,
    promised_at = least(promised_at, %(now)s), version = version + 1
WHERE part_demand_id = %(part_demand_id)s

-- name: one_at_a_time
-- Who decides about many demands in one transaction comes one after the other, and so waits for nobody in a circle.
SELECT pg_advisory_xact_lock(hashtext('careloop.allocation'))

-- name: plannable_demands
-- Demands that a plan may decide anew, the most urgent first: undecided or refused; kept on a shelf and not yet given to
-- somebody on the way; or in an order that was not sent.
SELECT d.part_demand_id
FROM service.part_demand d
LEFT JOIN service.job j ON j.job_id = d.job_id
LEFT JOIN service.reservation r ON r.reservation_id = d.reservation_id
LEFT JOIN service.purchase_line l ON l.purchase_line_id = d.purchase_line_id
LEFT JOIN service.purchase_order o ON o.purchase_order_id = l.purchase_order_id
WHERE d.state = ANY ('{open,refused,allocated}')
  AND coalesce(j.state NOT IN ('dispatched', 'in_progress', 'completed', 'cancelled'), true)
  AND CASE WHEN d.reservation_id IS NOT NULL THEN r.state = 'reserved' AND r.place = 'reserved' AND d.arrived_at IS NULL
           WHEN d.purchase_line_id IS NOT NULL THEN o.state = 'draft'
           ELSE true END
ORDER BY array_position(ARRAY['urgent', 'high', 'normal', 'low'], d.priority), d.needed_by, d.part_demand_id
LIMIT %(limit)s

-- name: open_lanes
-- Along which something is to be shipped that the plan does not decide about.
SELECT DISTINCT t.from_warehouse_id, t.to_warehouse_id
FROM service.transfer t
LEFT JOIN service.reservation r USING (reservation_id)
WHERE t.state = 'planned' AND (r.demand_id IS NULL OR r.demand_id <> ALL (%(part_demand_ids)s))
