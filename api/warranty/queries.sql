-- name: list_terms
SELECT w.term_id, a.serial, w.name, w.starts_on, w.ends_on, t.ticket_id, w.source, w.component, w.meter_metric,
       w.meter_limit, w.parts, w.labour, w.travel, p.code AS policy, p.version AS policy_version, w.contract_id,
       w.extension_id
FROM service.warranty_term w
JOIN service.asset a USING (asset_id)
LEFT JOIN service.ticket t USING (term_id)
LEFT JOIN service.warranty_policy p USING (policy_id)
WHERE w.term_id > %(after_id)s
  AND w.withdrawn_at IS NULL
  AND (%(serial)s::text IS NULL OR a.serial = %(serial)s)
  AND (%(ends_from)s::date IS NULL OR w.ends_on >= %(ends_from)s)
  AND (%(ends_before)s::date IS NULL OR w.ends_on < %(ends_before)s)
  -- What another term follows at once needs no ticket either, nor what ended with the owner before.
  AND (%(unticketed)s::boolean IS NULL OR (
       t.ticket_id IS NULL AND w.announced
       AND NOT (coalesce(w.conditions ->> 'transferable', 'true') = 'false' AND EXISTS (
           SELECT FROM service.asset_owner o
           WHERE o.asset_id = w.asset_id AND o.reason = 'transferred' AND o.from_at > w.starts_on))) = %(unticketed)s)
ORDER BY w.term_id
LIMIT %(fetch)s

-- name: get_term
SELECT w.term_id, w.asset_id, a.serial, w.name, w.starts_on, w.ends_on, t.ticket_id, w.source, w.component,
       w.meter_metric, w.meter_limit, w.parts, w.labour, w.travel, p.code AS policy, p.version AS policy_version,
       w.contract_id, w.extension_id, w.conditions ->> 'human_damage' AS human_damage
FROM service.warranty_term w
JOIN service.asset a USING (asset_id)
LEFT JOIN service.ticket t USING (term_id)
LEFT JOIN service.warranty_policy p USING (policy_id)
WHERE w.term_id = %(term_id)s

-- name: terms_of_asset
SELECT w.term_id, w.name, w.starts_on, w.ends_on, w.source, w.component, w.meter_metric, w.meter_limit, w.parts,
       w.labour, w.travel, w.policy_id, w.conditions, p.code AS policy, p.version AS policy_version, w.contract_id,
       w.extension_id,
       (SELECT t.ticket_id FROM service.ticket t WHERE t.term_id = w.term_id) AS ticket_id
FROM service.warranty_term w
LEFT JOIN service.warranty_policy p USING (policy_id)
WHERE w.asset_id = %(asset_id)s AND w.withdrawn_at IS NULL
ORDER BY w.term_id

-- name: case_of_asset
-- All that is known of the machine and its owner when somebody asks about a day.
SELECT a.asset_id, coalesce(s.time_zone, 'UTC') AS time_zone, a.installed_at, a.customer_id, c.kind AS customer_kind,
       coalesce(s.country, c.country) AS country,
       EXISTS (SELECT FROM service.warranty_pending n WHERE n.asset_id = a.asset_id AND n.due_at <= %(now)s)
           AND EXISTS (SELECT FROM service.warranty_policy) AS pending,
       EXISTS (SELECT FROM service.component k WHERE k.model_id = a.model_id AND k.name = %(component)s) AS has_component,
       EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = %(ticket_id)s AND t.asset_id = a.asset_id) AS has_ticket
FROM service.asset a
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.customer c ON c.customer_id = a.customer_id
WHERE a.serial = %(serial)s

-- name: day_of_asset
-- What depends on the day; read without scope, because former owners are not the present one's business.
SELECT (SELECT max((o.from_at AT TIME ZONE %(time_zone)s)::date) FROM service.asset_owner o
        WHERE o.asset_id = %(asset_id)s AND o.reason = 'transferred'
          AND o.from_at < (%(on)s::date + 1)::timestamp AT TIME ZONE %(time_zone)s) AS transferred_on,
       (SELECT p.purchased_on FROM service.warranty_purchase p
        WHERE p.asset_id = %(asset_id)s AND p.state = 'accepted') AS purchased_on,
       EXISTS (SELECT FROM service.human_damage_use u WHERE u.asset_id = %(asset_id)s
               AND u.ticket_id IS DISTINCT FROM %(ticket_id)s) AS human_damage_used,
       (SELECT jsonb_build_object('denial_id', d.denial_id, 'text', array_to_string(d.reasons, ', '))
        FROM service.warranty_denial d
        WHERE d.asset_id = %(asset_id)s AND d.state = 'standing'
          AND (d.ticket_id = %(ticket_id)s
               OR (d.ticket_id IS NULL AND (d.component IS NULL OR d.component = %(component)s)))
        ORDER BY d.denial_id DESC LIMIT 1) AS denial

-- name: latest_meters
-- `due_from`: readings from that hour on may not be in telemetry.latest yet; null when all are.
SELECT m.metric_id, m.name, l.time, l.value, (SELECT min(q.bucket) FROM telemetry.rollup_due q) AS due_from
FROM telemetry.metric m
LEFT JOIN telemetry.latest l ON l.asset_id = %(asset_id)s AND l.metric_id = m.metric_id
WHERE m.name = ANY(%(names)s)

-- name: meter_before
-- A meter's last value before an instant, from wherever it is still kept; each branch is one probe of an index.
SELECT time, value FROM (
    (SELECT l.time, l.value FROM telemetry.latest l
     WHERE l.asset_id = %(asset_id)s AND l.metric_id = %(metric_id)s AND l.time < %(before)s)
    UNION ALL
    (SELECT r.time, r.value FROM telemetry.reading r
     WHERE r.asset_id = %(asset_id)s AND r.metric_id = %(metric_id)s
       AND r.time >= %(before)s::timestamptz - interval '2 days' AND r.time < %(before)s
     ORDER BY r.time DESC LIMIT 1)
    UNION ALL
    (SELECT h.bucket, h.value_max FROM telemetry.hourly h
     WHERE h.asset_id = %(asset_id)s AND h.metric_id = %(metric_id)s
       AND h.bucket >= %(before)s::timestamptz - interval '2 days' AND h.bucket <= %(before)s::timestamptz - interval '1 hour'
     ORDER BY h.bucket DESC LIMIT 1)
    UNION ALL
    (SELECT d.bucket, d.value_max FROM telemetry.daily d
     WHERE d.asset_id = %(asset_id)s AND d.metric_id = %(metric_id)s
       AND d.bucket <= %(before)s::timestamptz - interval '1 day'
     ORDER BY d.bucket DESC LIMIT 1)
) AS known
ORDER BY time DESC
LIMIT 1

-- name: first_reading
SELECT min(first.bucket) AS at
FROM telemetry.metric m
CROSS JOIN LATERAL (SELECT d.bucket FROM telemetry.daily d
                    WHERE d.asset_id = %(asset_id)s AND d.metric_id = m.metric_id
                    ORDER BY d.bucket LIMIT 1) AS first

-- name: claim_pending
-- Whoever takes a machine out of the queue derives its terms; another one waits here and finds them.
DELETE FROM service.warranty_pending WHERE asset_id = %(asset_id)s AND due_at <= %(now)s RETURNING asset_id

-- name: claim_pending_batch
DELETE FROM service.warranty_pending n
USING (SELECT asset_id FROM service.warranty_pending WHERE due_at <= %(now)s
       ORDER BY due_at, asset_id LIMIT %(batch)s FOR UPDATE SKIP LOCKED) AS due
WHERE n.asset_id = due.asset_id
RETURNING n.asset_id

-- name: any_policy
SELECT EXISTS (SELECT FROM service.warranty_policy) AS there

-- name: await_again
INSERT INTO service.warranty_pending (asset_id, due_at) VALUES (%(asset_id)s, %(due_at)s)
ON CONFLICT (asset_id) DO UPDATE SET due_at = least(warranty_pending.due_at, excluded.due_at)

-- name: await_scope
-- Machines that a new policy may be for.
INSERT INTO service.warranty_pending (asset_id, due_at)
SELECT a.asset_id, '-infinity'
FROM service.asset a JOIN service.product_model m USING (model_id)
WHERE (%(model_id)s::bigint IS NULL OR a.model_id = %(model_id)s) AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
ON CONFLICT (asset_id) DO UPDATE SET due_at = excluded.due_at

-- name: lock_machine
SELECT a.asset_id, a.model_id, m.kind, (a.installed_at AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date AS installed_on,
       a.produced_on, a.sold_on, c.kind AS customer_kind, coalesce(s.country, c.country) AS country,
       coalesce(s.time_zone, 'UTC') AS time_zone,
       p.purchased_on, p.country AS purchase_country
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.customer c ON c.customer_id = a.customer_id
LEFT JOIN service.warranty_purchase p ON p.asset_id = a.asset_id AND p.state = 'accepted'
WHERE a.asset_id = %(asset_id)s
FOR NO KEY UPDATE OF a

-- name: policies_of_model
SELECT policy_id, code, version, name, model_id, kind, valid_from, valid_to, start_rule, start_delay_days, customer_kinds,
       countries, transferable, human_damage, excluded_causes, excluded_components
FROM service.warranty_policy
WHERE (model_id IS NULL OR model_id = %(model_id)s) AND (kind IS NULL OR kind = %(kind)s)

-- name: lines_of_policy
SELECT component, months, meter_metric, meter_limit, parts, labour, travel
FROM service.warranty_policy_line
WHERE policy_id = %(policy_id)s
ORDER BY line

-- name: derived_terms
SELECT w.term_id, w.policy_id, w.component, w.starts_on, w.ends_on, w.meter_metric, w.meter_limit, w.parts, w.labour,
       w.travel, t.ticket_id
FROM service.warranty_term w
LEFT JOIN service.ticket t USING (term_id)
WHERE w.asset_id = %(asset_id)s AND w.source = 'policy' AND w.withdrawn_at IS NULL
ORDER BY w.term_id

-- name: insert_derived
INSERT INTO service.warranty_term
    (asset_id, name, starts_on, ends_on, source, policy_id, component, meter_metric, meter_limit, parts, labour, travel,
     conditions, announced)
VALUES (%(asset_id)s, %(name)s, %(starts_on)s, %(ends_on)s, 'policy', %(policy_id)s, %(component)s, %(meter_metric)s,
        %(meter_limit)s, %(parts)s, %(labour)s, %(travel)s, %(conditions)s, %(announced)s)
-- A term given by hand with that name and start stands.
ON CONFLICT DO NOTHING

-- name: change_derived
UPDATE service.warranty_term
SET name = %(name)s, starts_on = %(starts_on)s, ends_on = %(ends_on)s, policy_id = %(policy_id)s,
    meter_metric = %(meter_metric)s, meter_limit = %(meter_limit)s, parts = %(parts)s, labour = %(labour)s,
    travel = %(travel)s, conditions = %(conditions)s
WHERE term_id = %(term_id)s

-- name: withdraw_term
UPDATE service.warranty_term SET withdrawn_at = %(now)s WHERE term_id = %(term_id)s

-- name: list_policies
SELECT p.policy_id, p.code, p.version, p.name, m.code AS model, p.kind, p.valid_from, p.valid_to, p.start_rule,
       p.start_delay_days, p.customer_kinds, p.countries, p.transferable, p.human_damage, p.excluded_causes,
       p.excluded_components, p.created_at, p.created_by,
       (SELECT jsonb_agg(jsonb_build_object(
                   'component', l.component, 'months', l.months, 'meter_metric', l.meter_metric,
                   'meter_limit', l.meter_limit, 'parts', l.parts, 'labour', l.labour, 'travel', l.travel) ORDER BY l.line)
        FROM service.warranty_policy_line l WHERE l.policy_id = p.policy_id) AS lines
FROM service.warranty_policy p
LEFT JOIN service.product_model m USING (model_id)
WHERE p.policy_id > %(after_id)s
  AND (%(code)s::text IS NULL OR p.code = %(code)s)
  AND (%(version)s::integer IS NULL OR p.version = %(version)s)
ORDER BY p.policy_id
LIMIT %(fetch)s

-- name: latest_version
SELECT version FROM service.warranty_policy WHERE code = %(code)s ORDER BY version DESC LIMIT 1 FOR UPDATE

-- name: latest_version_number
SELECT max(version) AS version FROM service.warranty_policy WHERE code = %(code)s

-- name: model_of_code
SELECT model_id FROM service.product_model WHERE code = %(model)s

-- name: unknown_components
SELECT wanted.name
FROM unnest(%(names)s::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM service.component c JOIN service.product_model m USING (model_id)
                  WHERE c.name = wanted.name AND (%(model_id)s::bigint IS NULL OR c.model_id = %(model_id)s)
                    AND (%(kind)s::text IS NULL OR m.kind = %(kind)s))
ORDER BY 1

-- name: insert_policy
INSERT INTO service.warranty_policy
    (code, version, name, model_id, kind, valid_from, valid_to, start_rule, start_delay_days, customer_kinds, countries,
     transferable, human_damage, excluded_causes, excluded_components, created_at, created_by)
VALUES (%(code)s, %(version)s, %(name)s, %(model_id)s, %(kind)s, %(valid_from)s, %(valid_to)s, %(start_rule)s,
        %(start_delay_days)s, %(customer_kinds)s, %(countries)s, %(transferable)s, %(human_damage)s, %(excluded_causes)s,
        %(excluded_components)s, %(now)s, %(actor)s)
ON CONFLICT (code, version) DO NOTHING
RETURNING policy_id

-- name: insert_policy_line
INSERT INTO service.warranty_policy_line (policy_id, line, component, months, meter_metric, meter_limit, parts, labour, travel)
VALUES (%(policy_id)s, %(line)s, %(component)s, %(months)s, %(meter_metric)s, %(meter_limit)s, %(parts)s, %(labour)s,
        %(travel)s)

-- name: end_earlier_versions
-- From the first day of the next version on, that one holds.
UPDATE service.warranty_policy
SET valid_to = greatest(%(valid_from)s::date, valid_from) - 1
WHERE code = %(code)s AND version < %(version)s AND (valid_to IS NULL OR valid_to >= %(valid_from)s)

-- name: insert_purchase
INSERT INTO service.warranty_purchase
    (asset_id, purchased_on, seller, invoice_number, country, file_id, submitted_at, submitted_by)
VALUES (%(asset_id)s, %(purchased_on)s, %(seller)s, %(invoice_number)s, %(country)s, %(file_id)s, %(now)s, %(actor)s)
RETURNING purchase_id

-- name: list_purchases
SELECT p.purchase_id, a.serial, p.state, p.purchased_on, p.seller, p.invoice_number, p.country, p.file_id, p.submitted_at,
       p.submitted_by, p.decided_at, p.decided_by, p.decision
FROM service.warranty_purchase p
JOIN service.asset a USING (asset_id)
WHERE p.purchase_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR a.serial = %(serial)s)
  AND (%(state)s::text IS NULL OR p.state = %(state)s)
ORDER BY p.purchase_id
LIMIT %(fetch)s

-- name: get_purchase
SELECT p.purchase_id, a.serial, p.state, p.purchased_on, p.seller, p.invoice_number, p.country, p.file_id, p.submitted_at,
       p.submitted_by, p.decided_at, p.decided_by, p.decision
FROM service.warranty_purchase p
JOIN service.asset a USING (asset_id)
WHERE p.purchase_id = %(purchase_id)s

-- name: lock_purchase
SELECT purchase_id, asset_id, state, file_id FROM service.warranty_purchase WHERE purchase_id = %(purchase_id)s FOR UPDATE

-- name: accepted_purchase
SELECT purchase_id, state FROM service.warranty_purchase WHERE asset_id = %(asset_id)s AND state = 'accepted' FOR UPDATE

-- name: decide_purchase
UPDATE service.warranty_purchase
SET state = %(state)s, decided_at = %(now)s, decided_by = %(actor)s, decision = %(decision)s
WHERE purchase_id = %(purchase_id)s

-- name: lock_asset
-- All that changes a machine's terms by hand takes turns.
SELECT a.asset_id, a.serial, a.customer_id, a.model_id, m.kind, coalesce(s.time_zone, 'UTC') AS time_zone
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.serial = %(serial)s
FOR NO KEY UPDATE OF a

-- name: last_of_machine
SELECT w.term_id, w.name, w.starts_on, w.ends_on, w.source, w.policy_id, w.meter_metric, w.meter_limit, w.parts, w.labour,
       w.travel, w.conditions
FROM service.warranty_term w
WHERE w.asset_id = %(asset_id)s AND w.component IS NULL AND w.withdrawn_at IS NULL
ORDER BY w.ends_on DESC, w.term_id DESC
LIMIT 1

-- name: grant_term
INSERT INTO service.warranty_term
    (asset_id, name, starts_on, ends_on, source, policy_id, contract_id, extension_id, component, meter_metric, meter_limit,
     parts, labour, travel, conditions, announced)
VALUES (%(asset_id)s, %(name)s, %(starts_on)s, %(ends_on)s, %(source)s, %(policy_id)s, %(contract_id)s, %(extension_id)s,
        %(component)s, %(meter_metric)s, %(meter_limit)s, %(parts)s, %(labour)s, %(travel)s, %(conditions)s,
        %(component)s::text IS NULL)

-- name: end_terms
-- What was covered before the day stays so.
UPDATE service.warranty_term
SET ends_on = greatest(starts_on, least(ends_on, %(on)s::date - 1)), announced = false,
    withdrawn_at = CASE WHEN starts_on >= %(on)s THEN %(now)s END
WHERE (contract_id = %(contract_id)s OR extension_id = %(extension_id)s) AND withdrawn_at IS NULL AND ends_on >= %(on)s

-- name: refresh_announced
-- The end of a machine's term is no news where something bought or granted goes on at once.
UPDATE service.warranty_term w
SET announced = NOT w.announced
FROM (SELECT t.term_id, EXISTS (
          SELECT FROM service.warranty_term n
          WHERE n.asset_id = t.asset_id AND n.component IS NULL AND n.withdrawn_at IS NULL
            AND n.source IN ('contract', 'extension') AND n.parts AND n.labour AND n.travel
            AND n.starts_on <= t.ends_on + 1 AND n.ends_on > t.ends_on) AS followed
      FROM service.warranty_term t
      WHERE t.asset_id = %(asset_id)s AND t.component IS NULL AND t.withdrawn_at IS NULL) AS found
WHERE w.term_id = found.term_id AND w.announced = found.followed
