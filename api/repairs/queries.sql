-- name: ticket_to_repair
SELECT t.ticket_id, t.state, t.asset_id, t.component, t.customer_id, t.provider_id, t.service_mode, a.serial,
       m.kind AS product_kind, coalesce(s.time_zone, 'UTC') AS time_zone
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
LEFT JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE t.ticket_id = %(ticket_id)s

-- name: standard_of
SELECT * FROM service.repair_standard
WHERE product_kind IN ('', %(product_kind)s) AND (provider_id IS NULL OR provider_id = %(provider_id)s)
ORDER BY (product_kind <> '') DESC, (provider_id IS NOT NULL) DESC
LIMIT 1

-- name: put_standard
INSERT INTO service.repair_standard (product_kind, provider_id, business_days, labour_hour_minor, currency)
VALUES (%(product_kind)s, %(provider_id)s, %(business_days)s, %(labour_hour_minor)s, %(currency)s)
ON CONFLICT (product_kind, provider_id) DO UPDATE
SET business_days = excluded.business_days, labour_hour_minor = excluded.labour_hour_minor,
    currency = excluded.currency, version = service.repair_standard.version + 1
RETURNING *

-- name: provider_exists
SELECT 1 AS there FROM service.provider WHERE provider_id = %(provider_id)s

-- name: list_standards
SELECT * FROM service.repair_standard
WHERE repair_standard_id > %(after_id)s
ORDER BY repair_standard_id
LIMIT %(fetch)s

-- name: insert_repair
INSERT INTO service.repair
    (ticket_id, asset_id, mode, central, old_part_wanted, labour_hour_minor, currency, business_days, opened_at,
     opened_by)
VALUES (%(ticket_id)s, %(asset_id)s, %(mode)s, %(central)s, %(old_part_wanted)s, %(labour_hour_minor)s, %(currency)s,
        %(business_days)s, %(now)s, %(actor)s)
ON CONFLICT (ticket_id) WHERE state NOT IN ('closed', 'cancelled') DO NOTHING
RETURNING repair_id

-- name: open_repair
SELECT repair_id FROM service.repair WHERE ticket_id = %(ticket_id)s AND state NOT IN ('closed', 'cancelled')

-- name: lock_ticket_of_repair
SELECT t.ticket_id FROM service.ticket t
WHERE t.ticket_id = (SELECT ticket_id FROM service.repair WHERE repair_id = %(repair_id)s)
FOR UPDATE

-- name: lock_repair
SELECT repair_id FROM service.repair WHERE repair_id = %(repair_id)s FOR UPDATE

-- name: quoted_repair
SELECT repair_id FROM service.repair WHERE ticket_id = %(ticket_id)s AND state = 'quoted'

-- name: open_loan
SELECT loan_id FROM service.loan WHERE repair_id = %(repair_id)s AND ended_at IS NULL

-- name: get_repair
SELECT r.*, a.serial, x.serial AS replacement_serial, coalesce(s.time_zone, 'UTC') AS time_zone, t.provider_id,
       coalesce((SELECT jsonb_agg(to_jsonb(n) - 'repair_id' ORDER BY n.place)
                 FROM service.repair_node n WHERE n.repair_id = r.repair_id), '[]') AS nodes,
       coalesce((SELECT jsonb_agg(to_jsonb(d) - 'repair_id' ORDER BY d.repair_delay_id)
                 FROM service.repair_delay d WHERE d.repair_id = r.repair_id), '[]') AS delays,
       coalesce((SELECT jsonb_agg(jsonb_build_object('sku', p.sku, 'quantity', rp.quantity, 'part_id', rp.part_id,
                                  'reservation_id', rp.reservation_id, 'expected_at', rp.expected_at,
                                  'state', coalesce(v.state, 'missing')) ORDER BY p.sku)
                 FROM service.repair_part rp
                 JOIN service.part p USING (part_id)
                 LEFT JOIN service.reservation v USING (reservation_id)
                 WHERE rp.repair_id = r.repair_id), '[]') AS parts,
       coalesce((SELECT jsonb_agg(to_jsonb(h) - 'repair_id' ORDER BY h.shipment_id)
                 FROM service.shipment h WHERE h.repair_id = r.repair_id), '[]') AS shipments
FROM service.repair r
JOIN service.ticket t USING (ticket_id)
JOIN service.asset a ON a.asset_id = r.asset_id
LEFT JOIN service.asset x ON x.asset_id = r.replacement_asset_id
LEFT JOIN service.site s ON s.site_id = a.site_id
WHERE r.repair_id = %(repair_id)s

-- name: list_repairs
-- A branch per state that walks its own stretch of the index (state, repair_id).
SELECT r.*, a.serial
FROM (
    SELECT picked.*
    FROM unnest(%(states)s::text[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT * FROM service.repair
        WHERE (state, repair_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
        ORDER BY state, repair_id
        LIMIT %(fetch)s
    ) picked
    ORDER BY picked.repair_id
    LIMIT %(fetch)s
) r
JOIN service.asset a USING (asset_id)
ORDER BY r.repair_id

-- name: list_overdue_repairs
SELECT r.*, a.serial
FROM service.repair r
JOIN service.asset a USING (asset_id)
WHERE r.overdue_since IS NOT NULL AND r.repair_id > %(after_id)s AND r.state = ANY (%(states)s)
ORDER BY r.repair_id
LIMIT %(fetch)s

-- name: list_repairs_of_ticket
SELECT r.*, a.serial
FROM service.repair r
JOIN service.asset a USING (asset_id)
WHERE r.ticket_id = %(ticket_id)s AND r.repair_id > %(after_id)s
ORDER BY r.repair_id
LIMIT %(fetch)s

-- name: list_repairs_of_asset
SELECT r.*, a.serial
FROM service.repair r
JOIN service.asset a USING (asset_id)
WHERE r.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s) AND r.repair_id > %(after_id)s
ORDER BY r.repair_id
LIMIT %(fetch)s

-- name: list_repairs_of_label
SELECT r.*, a.serial
FROM service.repair r
JOIN service.asset a USING (asset_id)
WHERE r.repair_id = ANY (SELECT repair_id FROM service.shipment
                         WHERE tracking_number = %(label)s AND tracking_number <> '')
  AND r.repair_id > %(after_id)s
ORDER BY r.repair_id
LIMIT %(fetch)s

-- name: move_repair
UPDATE service.repair
SET state = %(to)s, next_node = %(next_node)s, next_expected_on = %(next_expected_on)s,
    overdue_since = CASE WHEN %(next_expected_on)s::date >= %(today)s THEN NULL ELSE overdue_since END,
    closed_at = CASE WHEN %(to)s IN ('closed', 'cancelled') THEN %(now)s::timestamptz END,
    end_reason = coalesce(%(end_reason)s, end_reason), version = version + 1
WHERE repair_id = %(repair_id)s

-- name: keep_parcel
UPDATE service.repair SET parcel = %(parcel)s WHERE repair_id = %(repair_id)s

-- name: keep_diagnosis
UPDATE service.repair
SET diagnosis = %(diagnosis)s, component = %(component)s, fault_code = %(fault_code)s, fault_found = %(fault_found)s,
    bearer = %(bearer)s, warranty = %(warranty)s
WHERE repair_id = %(repair_id)s

-- name: keep_quote
UPDATE service.repair SET quote_id = %(quote_id)s WHERE repair_id = %(repair_id)s

-- name: keep_job
UPDATE service.repair SET job_id = %(job_id)s WHERE repair_id = %(repair_id)s

-- name: keep_replacement
UPDATE service.repair SET replacement_asset_id = %(asset_id)s WHERE repair_id = %(repair_id)s

-- name: add_labour
UPDATE service.repair SET labour_minutes = labour_minutes + %(minutes)s WHERE repair_id = %(repair_id)s

-- name: add_test
UPDATE service.repair SET tests = tests || %(test)s WHERE repair_id = %(repair_id)s

-- name: delete_nodes
DELETE FROM service.repair_node WHERE repair_id = %(repair_id)s AND node <> ALL (%(nodes)s)

-- name: put_node
INSERT INTO service.repair_node (repair_id, node, place, first_expected_on, expected_on, done_at)
VALUES (%(repair_id)s, %(node)s, %(place)s, %(first_expected_on)s, %(expected_on)s, %(done_at)s)
ON CONFLICT (repair_id, node) DO UPDATE
SET place = excluded.place, expected_on = excluded.expected_on, done_at = excluded.done_at

-- name: insert_delay
INSERT INTO service.repair_delay (repair_id, node, reason, note, business_days, at, by)
VALUES (%(repair_id)s, %(node)s, %(reason)s, %(note)s, %(business_days)s, %(now)s, %(actor)s)

-- name: insert_shipment
INSERT INTO service.shipment
    (repair_id, direction, method, carrier, tracking_number, label_file_id, contents, pickup_from, pickup_until,
     pickup_address, announced_at)
VALUES (%(repair_id)s, %(direction)s, %(method)s, %(carrier)s, %(tracking_number)s, %(label_file_id)s, %(contents)s,
        %(pickup_from)s, %(pickup_until)s, %(address)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING shipment_id

-- name: deliver_shipments
UPDATE service.shipment SET delivered_at = %(now)s
WHERE repair_id = %(repair_id)s AND direction = %(direction)s AND delivered_at IS NULL AND cancelled_at IS NULL

-- name: cancel_shipments
UPDATE service.shipment SET cancelled_at = %(now)s
WHERE repair_id = %(repair_id)s AND direction = 'inbound' AND delivered_at IS NULL AND cancelled_at IS NULL

-- name: workshop_address
SELECT name, address FROM service.provider WHERE provider_id = %(provider_id)s

-- name: put_part
INSERT INTO service.repair_part (repair_id, part_id, quantity, reservation_id, wanted_at, expected_at)
VALUES (%(repair_id)s, %(part_id)s, %(quantity)s, %(reservation_id)s, %(now)s, %(expected_at)s)
ON CONFLICT (repair_id, part_id) DO UPDATE
SET quantity = excluded.quantity, reservation_id = excluded.reservation_id, expected_at = excluded.expected_at

-- name: parts_to_use
SELECT rp.reservation_id, rp.quantity, p.sku, p.name, p.cost_minor, p.currency
FROM service.repair_part rp
JOIN service.part p USING (part_id)
JOIN service.reservation v USING (reservation_id)
WHERE rp.repair_id = %(repair_id)s AND v.state = 'reserved'
ORDER BY p.part_id

-- name: used_parts
SELECT p.sku, rp.quantity
FROM service.repair_part rp
JOIN service.part p USING (part_id)
JOIN service.reservation v USING (reservation_id)
WHERE rp.repair_id = %(repair_id)s AND v.state = 'consumed'
ORDER BY p.sku

-- name: parts_come_in
-- Repairs that wait for a part which a warehouse has by now.
SELECT DISTINCT rp.repair_id
FROM service.repair_part rp
JOIN service.repair r USING (repair_id)
WHERE rp.reservation_id IS NULL AND r.state = 'waiting_parts'
  AND EXISTS (SELECT FROM service.stock s
              WHERE s.part_id = rp.part_id AND s.on_hand - s.reserved >= rp.quantity)
ORDER BY rp.repair_id
LIMIT %(limit)s

-- name: insert_cost
INSERT INTO service.repair_cost (repair_id, kind, source, description, amount_minor, currency, at, by)
VALUES (%(repair_id)s, %(kind)s, %(source)s, %(description)s, %(amount_minor)s, %(currency)s, %(now)s, %(actor)s)
ON CONFLICT (repair_id, source) DO NOTHING

-- name: next_cost_source
SELECT 'entered:' || 1 + count(*) AS source FROM service.repair_cost WHERE repair_id = %(repair_id)s

-- name: list_costs
SELECT * FROM service.repair_cost WHERE repair_id = %(repair_id)s ORDER BY repair_cost_id

-- name: due_repairs
SELECT repair_id FROM service.repair
WHERE overdue_since IS NULL AND next_expected_on < %(today)s
ORDER BY next_expected_on, repair_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: mark_overdue
UPDATE service.repair SET overdue_since = %(now)s WHERE repair_id = %(repair_id)s

-- name: replacement_terms
-- What was promised, bought or granted for the old machine and is not over, but for what follows from a policy.
SELECT name, starts_on, ends_on FROM service.warranty_term
WHERE asset_id = %(asset_id)s AND source <> 'policy' AND component IS NULL AND withdrawn_at IS NULL
  AND ends_on >= %(today)s
ORDER BY term_id
LIMIT 20

-- name: policy_start
-- Since when the policy's terms of the old machine run.
SELECT min(starts_on) AS starts_on FROM service.warranty_term
WHERE asset_id = %(asset_id)s AND source = 'policy' AND withdrawn_at IS NULL

-- name: asset_to_replace
SELECT a.asset_id, a.serial, a.customer_id, a.site_id, a.state, a.version, m.code AS model
FROM service.asset a
JOIN service.product_model m USING (model_id)
WHERE a.asset_id = %(asset_id)s

-- name: known_asset
SELECT a.asset_id, a.customer_id, a.state, EXISTS (SELECT FROM service.loaner l WHERE l.asset_id = a.asset_id) AS loaner
FROM service.asset a
WHERE a.serial = %(serial)s

-- name: insert_loaner
INSERT INTO service.loaner (asset_id, day_cost_minor, currency, created_at)
VALUES (%(asset_id)s, %(day_cost_minor)s, %(currency)s, %(now)s)
ON CONFLICT (asset_id) DO NOTHING
RETURNING loaner_id

-- name: get_loaner
SELECT l.*, a.serial, m.code AS model,
       EXISTS (SELECT FROM service.loan o WHERE o.loaner_id = l.loaner_id AND o.ended_at IS NULL) AS lent
FROM service.loaner l
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
WHERE l.loaner_id = %(loaner_id)s

-- name: list_loaners
SELECT l.*, a.serial, m.code AS model,
       EXISTS (SELECT FROM service.loan o WHERE o.loaner_id = l.loaner_id AND o.ended_at IS NULL) AS lent
FROM service.loaner l
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
WHERE l.loaner_id > %(after_id)s
  AND (%(free)s::boolean IS NULL
       OR %(free)s <> EXISTS (SELECT FROM service.loan o WHERE o.loaner_id = l.loaner_id AND o.ended_at IS NULL))
ORDER BY l.loaner_id
LIMIT %(fetch)s

-- name: change_loaner
UPDATE service.loaner SET active = %(active)s, version = version + 1
WHERE loaner_id = %(loaner_id)s AND version = %(version)s
RETURNING loaner_id

-- name: insert_loan
INSERT INTO service.loan (loaner_id, repair_id, ticket_id, lent_at, due_back_on)
VALUES (%(loaner_id)s, %(repair_id)s, %(ticket_id)s, %(now)s, %(due_back_on)s)
RETURNING loan_id

-- name: get_loan
SELECT o.*, a.serial, a.asset_id, l.day_cost_minor, l.currency
FROM service.loan o
JOIN service.loaner l USING (loaner_id)
JOIN service.asset a USING (asset_id)
WHERE o.loan_id = %(loan_id)s

-- name: lock_loan
SELECT loan_id FROM service.loan WHERE loan_id = %(loan_id)s FOR UPDATE

-- name: list_loans
SELECT o.*, a.serial
FROM (
    SELECT picked.*
    FROM unnest(%(states)s::text[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT * FROM service.loan
        WHERE (state, loan_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
        ORDER BY state, loan_id
        LIMIT %(fetch)s
    ) picked
    ORDER BY picked.loan_id
    LIMIT %(fetch)s
) o
JOIN service.loaner l USING (loaner_id)
JOIN service.asset a USING (asset_id)
ORDER BY o.loan_id

-- name: move_loan
UPDATE service.loan
SET state = %(to)s, due_back_on = coalesce(%(due_back_on)s, due_back_on), condition = coalesce(%(condition)s, condition),
    ended_at = CASE WHEN %(to)s IN ('returned', 'lost') THEN %(now)s::timestamptz END, version = version + 1
WHERE loan_id = %(loan_id)s

-- name: due_loans
SELECT loan_id FROM service.loan
WHERE state = 'lent' AND due_back_on < %(today)s
ORDER BY due_back_on, loan_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
