-- name: model_of_code
SELECT model_id FROM service.product_model WHERE code = %(model)s

-- name: unknown_component
SELECT wanted.name
FROM unnest(%(names)s::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM service.component c JOIN service.product_model m USING (model_id)
                  WHERE c.name = wanted.name AND (%(model_id)s::bigint IS NULL OR c.model_id = %(model_id)s)
                    AND (%(kind)s::text IS NULL OR m.kind = %(kind)s))
ORDER BY 1
LIMIT 1

-- name: customer_exists
SELECT 1 AS there FROM service.customer WHERE customer_id = %(customer_id)s

-- name: ticket_of_asset
SELECT 1 AS there FROM service.ticket WHERE ticket_id = %(ticket_id)s AND asset_id = %(asset_id)s

-- name: insert_product
INSERT INTO service.cover_product
    (code, name, kind, model_id, asset_kind, price_minor, currency, months, starts, activate_within_days, meter_metric,
     meter_limit, components, parts, labour, travel, human_damage, excluded_causes, excluded_components, entitlements,
     created_at)
VALUES (%(code)s, %(name)s, %(kind)s, %(model_id)s, %(asset_kind)s, %(price_minor)s, %(currency)s, %(months)s, %(starts)s,
        %(activate_within_days)s, %(meter_metric)s, %(meter_limit)s, %(components)s, %(parts)s, %(labour)s, %(travel)s,
        %(human_damage)s, %(excluded_causes)s, %(excluded_components)s, %(entitlements)s, %(now)s)
ON CONFLICT (code) DO NOTHING
RETURNING product_id

-- name: list_products
SELECT p.product_id, p.code, p.name, p.kind, m.code AS model, p.asset_kind, p.price_minor, p.currency, p.months, p.starts,
       p.activate_within_days, p.meter_metric, p.meter_limit, p.components, p.parts, p.labour, p.travel, p.human_damage,
       p.excluded_causes, p.excluded_components, p.entitlements, p.active, p.version
FROM service.cover_product p
LEFT JOIN service.product_model m USING (model_id)
WHERE p.product_id > %(after_id)s
  AND (%(code)s::text IS NULL OR p.code = %(code)s)
  AND (%(active)s::boolean IS NULL OR p.active = %(active)s)
ORDER BY p.product_id
LIMIT %(fetch)s

-- name: change_product
UPDATE service.cover_product
SET name = coalesce(%(name)s, name), price_minor = coalesce(%(price_minor)s, price_minor),
    active = coalesce(%(active)s, active), version = version + 1
WHERE code = %(code)s AND version = %(version)s
RETURNING product_id

-- name: product_to_sell
SELECT product_id, active, price_minor, currency, activate_within_days, entitlements
FROM service.cover_product WHERE code = %(code)s

-- name: insert_contract
INSERT INTO service.cover_contract
    (product_id, customer_id, code_hash, invoice_number, price_minor, currency, sold_at, sold_by, activate_by)
VALUES (%(product_id)s, %(customer_id)s, %(code_hash)s, %(invoice_number)s, %(price_minor)s, %(currency)s, %(now)s,
        %(actor)s, %(activate_by)s)
ON CONFLICT DO NOTHING
RETURNING contract_id

-- name: insert_entitlement
INSERT INTO service.entitlement (contract_id, name, granted) VALUES (%(contract_id)s, %(name)s, %(granted)s)

-- name: list_contracts
SELECT c.contract_id, p.code AS product, p.name AS product_name, c.state, c.customer_id, a.serial, c.invoice_number,
       c.price_minor, c.currency, c.sold_at, c.activate_by, c.activated_at, c.starts_on, c.ends_on, c.cancelled_at,
       c.cancel_reason, c.version, c.asset_id,
       coalesce((SELECT jsonb_agg(jsonb_build_object('name', e.name, 'granted', e.granted, 'redeemed', e.redeemed,
                                                     'left', e.granted - e.redeemed) ORDER BY e.name)
                 FROM service.entitlement e WHERE e.contract_id = c.contract_id), '[]') AS entitlements
FROM service.cover_contract c
JOIN service.cover_product p USING (product_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE c.contract_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR c.asset_id = (SELECT s.asset_id FROM service.asset s WHERE s.serial = %(serial)s))
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(customer_id)s::bigint IS NULL OR c.customer_id = %(customer_id)s)
ORDER BY c.contract_id
LIMIT %(fetch)s

-- name: get_contract
SELECT c.contract_id, p.code AS product, p.name AS product_name, c.state, c.customer_id, a.serial, c.invoice_number,
       c.price_minor, c.currency, c.sold_at, c.activate_by, c.activated_at, c.starts_on, c.ends_on, c.cancelled_at,
       c.cancel_reason, c.version, c.asset_id,
       coalesce((SELECT jsonb_agg(jsonb_build_object('name', e.name, 'granted', e.granted, 'redeemed', e.redeemed,
                                                     'left', e.granted - e.redeemed) ORDER BY e.name)
                 FROM service.entitlement e WHERE e.contract_id = c.contract_id), '[]') AS entitlements
FROM service.cover_contract c
JOIN service.cover_product p USING (product_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE c.contract_id = %(contract_id)s

-- name: lock_contract_of_code
SELECT c.contract_id, c.state, c.activate_by, p.code AS product, p.model_id, p.asset_kind, p.months, p.starts,
       p.meter_metric, p.meter_limit, p.components, p.parts, p.labour, p.travel, p.human_damage, p.excluded_causes,
       p.excluded_components
FROM service.cover_contract c JOIN service.cover_product p USING (product_id)
WHERE c.code_hash = %(code_hash)s
FOR UPDATE OF c

-- name: lock_contract_of_invoice
SELECT c.contract_id, c.state, c.activate_by, p.code AS product, p.model_id, p.asset_kind, p.months, p.starts,
       p.meter_metric, p.meter_limit, p.components, p.parts, p.labour, p.travel, p.human_damage, p.excluded_causes,
       p.excluded_components
FROM service.cover_contract c JOIN service.cover_product p USING (product_id)
WHERE c.invoice_number = %(invoice_number)s AND p.code = %(product)s AND c.code_hash IS NULL
FOR UPDATE OF c

-- name: lock_contract
SELECT contract_id, state, asset_id FROM service.cover_contract WHERE contract_id = %(contract_id)s FOR UPDATE

-- name: activate_contract
UPDATE service.cover_contract
SET state = %(state)s, asset_id = %(asset_id)s, customer_id = coalesce(customer_id, %(customer_id)s),
    activated_at = %(now)s, starts_on = %(starts_on)s, ends_on = %(ends_on)s, version = version + 1
WHERE contract_id = %(contract_id)s

-- name: cancel_contract
UPDATE service.cover_contract
SET state = %(state)s, cancelled_at = %(now)s, cancel_reason = %(reason)s, version = version + 1
WHERE contract_id = %(contract_id)s

-- name: end_contracts
UPDATE service.cover_contract c
SET state = 'ended', version = c.version + 1
FROM (SELECT contract_id FROM service.cover_contract WHERE state = 'active' AND ends_on < %(today)s
      ORDER BY ends_on LIMIT %(batch)s FOR UPDATE SKIP LOCKED) AS over
WHERE c.contract_id = over.contract_id

-- name: lapse_contracts
UPDATE service.cover_contract c
SET state = 'lapsed', version = c.version + 1
FROM (SELECT contract_id FROM service.cover_contract WHERE state = 'sold' AND activate_by < %(today)s
      ORDER BY activate_by LIMIT %(batch)s FOR UPDATE SKIP LOCKED) AS over
WHERE c.contract_id = over.contract_id

-- name: redeem
UPDATE service.entitlement
SET redeemed = redeemed + 1
WHERE contract_id = %(contract_id)s AND name = %(name)s AND redeemed < granted
RETURNING granted - redeemed AS left

-- name: insert_redemption
INSERT INTO service.redemption (contract_id, name, asset_id, ticket_id, at, redeemed_by)
VALUES (%(contract_id)s, %(name)s, %(asset_id)s, %(ticket_id)s, %(now)s, %(actor)s)
RETURNING redemption_id, contract_id, ticket_id, at, redeemed_by

-- name: human_damage_of
SELECT a.serial, u.ticket_id, u.at, u.used_by
FROM service.human_damage_use u JOIN service.asset a USING (asset_id)
WHERE u.asset_id = %(asset_id)s

-- name: use_human_damage
INSERT INTO service.human_damage_use (asset_id, ticket_id, at, used_by)
VALUES (%(asset_id)s, %(ticket_id)s, %(now)s, %(actor)s)
ON CONFLICT DO NOTHING

-- name: list_rights
SELECT role, days_around_expiry, longest_days, monthly_count, monthly_minor, day_minor, currency, version
FROM service.extension_right ORDER BY role

-- name: get_right
SELECT role, days_around_expiry, longest_days, monthly_count, monthly_minor, day_minor, currency, version
FROM service.extension_right WHERE role = %(role)s

-- name: change_right
UPDATE service.extension_right
SET days_around_expiry = coalesce(%(days_around_expiry)s, days_around_expiry),
    longest_days = coalesce(%(longest_days)s, longest_days),
    monthly_count = coalesce(%(monthly_count)s, monthly_count),
    monthly_minor = coalesce(%(monthly_minor)s, monthly_minor),
    day_minor = coalesce(%(day_minor)s, day_minor), version = version + 1
WHERE role = %(role)s AND version = %(version)s
RETURNING role, days_around_expiry, longest_days, monthly_count, monthly_minor, day_minor, currency, version

-- name: open_budget
INSERT INTO service.extension_budget (principal, month) VALUES (%(principal)s, %(month)s) ON CONFLICT DO NOTHING

-- name: get_budget
SELECT count, spent_minor FROM service.extension_budget WHERE principal = %(principal)s AND month = %(month)s

-- name: spend
UPDATE service.extension_budget
SET count = count + 1, spent_minor = spent_minor + %(cost_minor)s
WHERE principal = %(principal)s AND month = %(month)s
  AND count + 1 <= %(monthly_count)s AND spent_minor + %(cost_minor)s <= %(monthly_minor)s
RETURNING count

-- name: granted_days
SELECT coalesce(sum(days), 0)::integer AS days
FROM service.warranty_extension WHERE asset_id = %(asset_id)s AND state = 'granted'

-- name: insert_extension
INSERT INTO service.warranty_extension
    (asset_id, state, days, cost_minor, currency, reason, ticket_id, asked_at, asked_by)
VALUES (%(asset_id)s, 'requested', %(days)s, %(cost_minor)s, %(currency)s, %(reason)s, %(ticket_id)s, %(now)s, %(actor)s)
RETURNING extension_id

-- name: lock_extension
SELECT extension_id, asset_id, state, days, ticket_id, starts_on, ends_on
FROM service.warranty_extension WHERE extension_id = %(extension_id)s FOR UPDATE

-- name: decide_extension
UPDATE service.warranty_extension
SET state = %(state)s, decided_at = %(now)s, decided_by = %(actor)s, decision = %(decision)s, starts_on = %(starts_on)s,
    ends_on = %(ends_on)s, version = version + 1
WHERE extension_id = %(extension_id)s

-- name: get_extension
SELECT e.extension_id, a.serial, e.state, e.days, e.cost_minor, e.currency, e.reason, e.ticket_id, e.asked_at, e.asked_by,
       e.decided_at, e.decided_by, e.decision, e.starts_on, e.ends_on, e.version
FROM service.warranty_extension e JOIN service.asset a USING (asset_id)
WHERE e.extension_id = %(extension_id)s

-- name: list_extensions
SELECT e.extension_id, a.serial, e.state, e.days, e.cost_minor, e.currency, e.reason, e.ticket_id, e.asked_at, e.asked_by,
       e.decided_at, e.decided_by, e.decision, e.starts_on, e.ends_on, e.version
FROM service.warranty_extension e JOIN service.asset a USING (asset_id)
WHERE e.extension_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR e.asset_id = (SELECT s.asset_id FROM service.asset s WHERE s.serial = %(serial)s))
  AND (%(state)s::text IS NULL OR e.state = %(state)s)
ORDER BY e.extension_id
LIMIT %(fetch)s

-- name: open_expiry
SELECT ticket_id FROM service.ticket WHERE term_id = %(term_id)s AND state = 'open'
