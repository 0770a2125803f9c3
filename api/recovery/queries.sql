-- name: insert_supplier
INSERT INTO service.supplier (code, name, labour_hour_minor, currency, claim_within_days, created_at)
VALUES (%(code)s, %(name)s, %(labour_hour_minor)s, %(currency)s, %(claim_within_days)s, %(now)s)
ON CONFLICT (code) DO NOTHING
RETURNING supplier_id

-- name: list_suppliers
SELECT supplier_id, code, name, labour_hour_minor, currency, claim_within_days, active, version
FROM service.supplier
WHERE supplier_id > %(after_id)s AND (%(code)s::text IS NULL OR code = %(code)s)
ORDER BY supplier_id
LIMIT %(fetch)s

-- name: change_supplier
UPDATE service.supplier
SET name = coalesce(%(name)s, name), labour_hour_minor = coalesce(%(labour_hour_minor)s, labour_hour_minor),
    claim_within_days = coalesce(%(claim_within_days)s, claim_within_days), active = coalesce(%(active)s, active),
    version = version + 1
WHERE code = %(code)s AND version = %(version)s
RETURNING supplier_id

-- name: component_of_model
SELECT c.component_id FROM service.component c JOIN service.product_model m USING (model_id)
WHERE m.code = %(model)s AND c.name = %(component)s

-- name: part_of_sku
SELECT part_id FROM service.part WHERE sku = %(sku)s

-- name: insert_supply
INSERT INTO service.supply (supplier_id, component_id, part_id, warranty_months, created_at)
VALUES (%(supplier_id)s, %(component_id)s, %(part_id)s, %(warranty_months)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING supply_id

-- name: list_supplies
SELECT y.supply_id, s.code AS supplier, m.code AS model, c.name AS component, p.sku, y.warranty_months
FROM service.supply y
JOIN service.supplier s USING (supplier_id)
LEFT JOIN service.component c USING (component_id)
LEFT JOIN service.product_model m USING (model_id)
LEFT JOIN service.part p ON p.part_id = y.part_id
WHERE y.supply_id > %(after_id)s AND y.supplier_id = %(supplier_id)s
ORDER BY y.supply_id
LIMIT %(fetch)s

-- name: delete_supply
DELETE FROM service.supply WHERE supply_id = %(supply_id)s AND supplier_id = %(supplier_id)s RETURNING supply_id

-- name: fact_of_failure
SELECT f.failure_id, NULL::bigint AS replacement_id, f.asset_id, f.component, f.failed_at
FROM service.failure f
WHERE f.failure_id = %(fact_id)s

-- name: fact_of_replacement
-- With the failure that it repaired: the last one before it, unless another replacement came in between.
SELECT f.failure_id, r.replacement_id, r.asset_id, r.component, coalesce(f.failed_at, r.replaced_at) AS failed_at
FROM service.replacement r
LEFT JOIN LATERAL (
    SELECT x.failure_id, x.failed_at FROM service.failure x
    WHERE x.asset_id = r.asset_id AND x.component = r.component AND x.failed_at <= r.replaced_at
      AND NOT EXISTS (SELECT FROM service.replacement b
                      WHERE b.asset_id = r.asset_id AND b.component = r.component
                        AND b.replaced_at > x.failed_at AND b.replaced_at < r.replaced_at)
    ORDER BY x.failed_at DESC LIMIT 1
) AS f ON true
WHERE r.replacement_id = %(fact_id)s AND r.reason = 'failure'

-- name: supply_of_fact
-- Who answers for a component of a machine: by the component itself, else by its part.
SELECT s.supplier_id, s.code AS supplier, s.labour_hour_minor, s.currency, s.claim_within_days, y.warranty_months,
       c.labour_minutes, CASE WHEN p.currency = s.currency THEN p.cost_minor * c.quantity END AS parts_minor,
       (a.installed_at AT TIME ZONE 'UTC')::date AS installed_on,
       (%(failed_at)s::timestamptz AT TIME ZONE 'UTC')::date AS failed_on,
       (SELECT (max(b.replaced_at) AT TIME ZONE 'UTC')::date FROM service.replacement b
        WHERE b.asset_id = a.asset_id AND b.component = c.name AND b.replaced_at < %(failed_at)s) AS replaced_on
FROM service.asset a
JOIN service.component c ON c.model_id = a.model_id AND c.name = %(component)s
JOIN service.supply y ON y.component_id = c.component_id OR y.part_id = c.part_id
JOIN service.supplier s USING (supplier_id)
LEFT JOIN service.part p ON p.part_id = c.part_id
WHERE a.asset_id = %(asset_id)s
ORDER BY y.component_id NULLS LAST
LIMIT 1

-- name: ticket_of_asset
SELECT 1 AS there FROM service.ticket WHERE ticket_id = %(ticket_id)s AND asset_id = %(asset_id)s

-- name: insert_claim
INSERT INTO service.supplier_claim
    (supplier_id, asset_id, component, failure_id, replacement_id, ticket_id, failed_on, built_in_on, covered_until,
     deadline, currency, parts_minor, labour_minor, travel_minor, note, drafted_at)
VALUES (%(supplier_id)s, %(asset_id)s, %(component)s, %(failure_id)s, %(replacement_id)s, %(ticket_id)s, %(failed_on)s,
        %(built_in_on)s, %(covered_until)s, %(deadline)s, %(currency)s, %(parts_minor)s, %(labour_minor)s,
        %(travel_minor)s, %(note)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING claim_id

-- name: claim_of_fact
SELECT claim_id FROM service.supplier_claim
WHERE failure_id = %(failure_id)s OR replacement_id = %(replacement_id)s
ORDER BY claim_id LIMIT 1

-- name: add_replacement
-- The claim that the failure drafted is the replacement's, too.
UPDATE service.supplier_claim SET replacement_id = %(replacement_id)s
WHERE failure_id = %(failure_id)s AND replacement_id IS NULL

-- name: get_claim
SELECT k.claim_id, s.code AS supplier, k.state, a.serial, k.asset_id, k.component, k.failure_id, k.replacement_id,
       k.ticket_id, k.failed_on, k.built_in_on, k.covered_until, k.deadline, k.currency, k.parts_minor, k.labour_minor,
       k.travel_minor, k.claimed_minor, k.accepted_minor, k.settled_minor, k.reference, k.note, k.drafted_at,
       k.submitted_at, k.decided_at, k.settled_at, k.version
FROM service.supplier_claim k
JOIN service.supplier s USING (supplier_id)
JOIN service.asset a USING (asset_id)
WHERE k.claim_id = %(claim_id)s

-- name: list_claims
SELECT k.claim_id, s.code AS supplier, k.state, a.serial, k.component, k.failure_id, k.replacement_id, k.ticket_id,
       k.failed_on, k.built_in_on, k.covered_until, k.deadline, k.currency, k.parts_minor, k.labour_minor, k.travel_minor,
       k.claimed_minor, k.accepted_minor, k.settled_minor, k.reference, k.note, k.drafted_at, k.submitted_at, k.decided_at,
       k.settled_at, k.version
FROM service.supplier_claim k
JOIN service.supplier s USING (supplier_id)
JOIN service.asset a USING (asset_id)
WHERE k.claim_id > %(after_id)s
  AND (%(supplier)s::text IS NULL
       OR k.supplier_id = (SELECT x.supplier_id FROM service.supplier x WHERE x.code = %(supplier)s))
  AND (%(serial)s::text IS NULL OR k.asset_id = (SELECT x.asset_id FROM service.asset x WHERE x.serial = %(serial)s))
  AND (%(state)s::text IS NULL OR k.state = %(state)s)
ORDER BY k.claim_id
LIMIT %(fetch)s

-- name: lock_claim
SELECT claim_id, state, version, claimed_minor, accepted_minor, ticket_id, deadline
FROM service.supplier_claim WHERE claim_id = %(claim_id)s FOR UPDATE

-- name: change_claim
UPDATE service.supplier_claim
SET parts_minor = coalesce(%(parts_minor)s, parts_minor), labour_minor = coalesce(%(labour_minor)s, labour_minor),
    travel_minor = coalesce(%(travel_minor)s, travel_minor), reference = coalesce(%(reference)s, reference),
    note = coalesce(%(note)s, note), version = version + 1
WHERE claim_id = %(claim_id)s

-- name: move_claim
UPDATE service.supplier_claim
SET state = %(state)s,
    accepted_minor = CASE %(state)s WHEN 'accepted' THEN claimed_minor WHEN 'partly_accepted' THEN %(accepted_minor)s
                                    WHEN 'submitted' THEN NULL WHEN 'rejected' THEN 0 ELSE accepted_minor END,
    settled_minor = CASE WHEN %(state)s = 'settled' THEN coalesce(%(settled_minor)s, accepted_minor) END,
    reference = coalesce(%(reference)s, reference), note = coalesce(%(note)s, note),
    submitted_at = CASE WHEN %(state)s = 'submitted' THEN %(now)s ELSE submitted_at END,
    decided_at = CASE WHEN %(state)s IN ('accepted', 'partly_accepted', 'rejected') THEN %(now)s ELSE decided_at END,
    settled_at = CASE WHEN %(state)s = 'settled' THEN %(now)s ELSE settled_at END,
    version = version + 1
WHERE claim_id = %(claim_id)s

-- name: totals
SELECT state, count(*) AS claims, coalesce(sum(claimed_minor), 0)::bigint AS claimed_minor,
       coalesce(sum(accepted_minor), 0)::bigint AS accepted_minor, coalesce(sum(settled_minor), 0)::bigint AS settled_minor
FROM service.supplier_claim
WHERE supplier_id = %(supplier_id)s
GROUP BY state ORDER BY state

-- name: due_drafts
SELECT k.claim_id, k.deadline, k.component, k.asset_id, a.serial, s.code AS supplier, k.claimed_minor, k.currency
FROM service.supplier_claim k
JOIN service.supplier s USING (supplier_id)
JOIN service.asset a USING (asset_id)
WHERE k.state = 'draft' AND (k.deadline < %(today)s OR (k.deadline <= %(remind_until)s AND k.reminded_at IS NULL))
ORDER BY k.deadline
LIMIT %(batch)s
FOR UPDATE OF k SKIP LOCKED

-- name: expire_claim
UPDATE service.supplier_claim SET state = %(state)s, version = version + 1 WHERE claim_id = %(claim_id)s

-- name: mark_reminded
UPDATE service.supplier_claim SET reminded_at = %(now)s WHERE claim_id = %(claim_id)s
