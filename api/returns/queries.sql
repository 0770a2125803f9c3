-- name: old_part_rows
SELECT o.old_part_id, o.old_part_id AS visit_part_id, o.visit_id, o.ticket_id, o.asset_id, a.serial, o.part_id, p.sku,
       p.name AS part_name, p.rotable, o.quantity, o.quantity_received, o.component, o.old_serial, o.provider_id, o.bearer,
       o.rule, o.rule_reason, o.evidence_wanted, o.state, o.due_by,
       coalesce(o.state IN ('expected', 'packed', 'shipped') AND o.due_by < %(now)s, false) AS overdue,
       o.return_slip_id, o.taken_out_at, o.received_at, o.received_by, coalesce(o.received_note, '') AS note, o.ended_at,
       o.ended_note, i.finding, i.failure_mode, o.version
FROM service.old_part o
JOIN service.asset a USING (asset_id)
JOIN service.part p USING (part_id)
LEFT JOIN LATERAL (
    SELECT finding, failure_mode FROM service.old_part_inspection i
    WHERE i.old_part_id = o.old_part_id
    ORDER BY inspection_id DESC
    LIMIT 1
) i ON true

-- name: one_old_part
WHERE o.old_part_id = %(old_part_id)s

-- name: parts_of_slip
WHERE o.return_slip_id = %(return_slip_id)s
ORDER BY o.old_part_id

-- name: list_old_parts
WHERE o.old_part_id > %(after_id)s
  AND (%(states)s::text[] IS NULL OR o.state = ANY (%(states)s))
  AND (NOT %(overdue)s OR (o.state IN ('expected', 'packed', 'shipped') AND o.due_by < %(now)s))
  AND (NOT %(returned)s OR o.rule = 'return')
  AND (%(provider_id)s::bigint IS NULL OR o.provider_id = %(provider_id)s)
  AND (%(visit_id)s::bigint IS NULL OR o.visit_id = %(visit_id)s)
  AND (%(ticket_id)s::bigint IS NULL OR o.ticket_id = %(ticket_id)s)
ORDER BY o.old_part_id
LIMIT %(fetch)s

-- name: lock_old_parts
-- In the order of their numbers, by everybody.
SELECT * FROM service.old_part WHERE old_part_id = ANY (%(old_part_ids)s) ORDER BY old_part_id FOR UPDATE

-- name: share_tickets
-- Whoever completes a visit holds its ticket before its old parts; so does whoever writes into the ticket's history.
SELECT ticket_id FROM service.ticket
WHERE ticket_id IN (SELECT ticket_id FROM service.old_part WHERE old_part_id = ANY (%(old_part_ids)s))
ORDER BY ticket_id
FOR KEY SHARE

-- name: share_tickets_of_slip
SELECT ticket_id FROM service.ticket
WHERE ticket_id IN (SELECT ticket_id FROM service.old_part WHERE return_slip_id = %(return_slip_id)s)
ORDER BY ticket_id
FOR KEY SHARE

-- name: lock_parts_of_slip
SELECT * FROM service.old_part WHERE return_slip_id = %(return_slip_id)s ORDER BY old_part_id FOR UPDATE

-- name: inspections_of_part
SELECT inspection_id, matches, finding, failure_mode, serial_found, claim_stands, note, actor, at
FROM service.old_part_inspection
WHERE old_part_id = %(old_part_id)s
ORDER BY inspection_id

-- name: files_of_part
SELECT file_id FROM service.old_part_file WHERE old_part_id = %(old_part_id)s ORDER BY file_id

-- What is expected --------------------------------------------------------------------------------------

-- name: used_parts
-- The parts that a visit used, with all that the rules ask.
SELECT u.visit_part_id, u.visit_id, v.ticket_id, j.asset_id, u.part_id, p.sku, u.quantity, u.component, u.old_serial,
       u.serial_fitted, u.old_part AS told, u.provider_id, u.device_at, p.serialised, p.rotable, p.old_part_rule,
       a.serial, a.model_id,
       nullif(m.manufacturer, '') AS manufacturer
FROM service.visit_part u
JOIN service.visit v USING (visit_id)
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
JOIN service.part p USING (part_id)
WHERE u.visit_id = %(visit_id)s AND u.kind = 'used'
  AND (%(visit_part_id)s::bigint IS NULL OR u.visit_part_id = %(visit_part_id)s)
ORDER BY u.visit_part_id

-- name: put_old_part
INSERT INTO service.old_part (old_part_id, visit_id, ticket_id, asset_id, part_id, quantity, component, old_serial,
                              provider_id, bearer, rule, rule_reason, evidence_wanted, due_by, taken_out_at)
VALUES (%(visit_part_id)s, %(visit_id)s, %(ticket_id)s, %(asset_id)s, %(part_id)s, %(quantity)s, %(component)s,
        %(old_serial)s, %(provider_id)s, %(bearer)s, %(fate)s, %(reason)s, %(evidence)s, %(due_by)s, %(device_at)s)
ON CONFLICT (old_part_id) DO UPDATE
SET quantity = greatest(excluded.quantity, old_part.quantity_received), component = excluded.component,
    old_serial = excluded.old_serial, bearer = excluded.bearer, rule = excluded.rule, rule_reason = excluded.rule_reason,
    evidence_wanted = excluded.evidence_wanted, due_by = excluded.due_by, version = old_part.version + 1
RETURNING old_part_id, state

-- name: drop_old_part
DELETE FROM service.old_part WHERE old_part_id = %(visit_part_id)s AND state = 'expected' AND quantity_received = 0

-- name: lessen_old_part
UPDATE service.old_part SET quantity = %(left)s, version = version + 1 WHERE old_part_id = %(old_part_id)s

-- name: state_of_old_part
SELECT state, received_at FROM service.old_part WHERE old_part_id = %(visit_part_id)s

-- name: rules_in_force
SELECT old_part_rule_id AS number, part_id, model_id, manufacturer, bearer, fate, due_days, evidence, reason
FROM service.old_part_rule
WHERE ended_at IS NULL AND (part_id IS NULL OR part_id = ANY (%(part_ids)s))

-- What happens ------------------------------------------------------------------------------------------

-- name: move_old_part
UPDATE service.old_part
SET state = %(state)s, return_slip_id = CASE WHEN %(off_slip)s THEN NULL ELSE coalesce(%(return_slip_id)s, return_slip_id) END,
    due_by = coalesce(%(due_by)s, due_by),
    overdue_since = CASE WHEN coalesce(%(due_by)s, due_by) > %(now)s THEN NULL ELSE overdue_since END,
    ended_at = CASE WHEN %(ended_note)s::text IS NOT NULL THEN %(now)s ELSE ended_at END,
    ended_note = coalesce(%(ended_note)s, ended_note), version = version + 1
WHERE old_part_id = %(old_part_id)s

-- name: receive_old_part
UPDATE service.old_part
SET state = %(state)s, quantity_received = quantity_received + %(quantity)s, received_at = %(now)s,
    received_by = %(actor)s, received_note = concat_ws('; ', nullif(received_note, ''), nullif(%(note)s, '')),
    version = version + 1
WHERE old_part_id = %(old_part_id)s

-- name: insert_inspection
INSERT INTO service.old_part_inspection (old_part_id, asset_id, component, taken_out_at, matches, finding, failure_mode,
                                         serial_found, claim_stands, note, at)
VALUES (%(old_part_id)s, %(asset_id)s, %(component)s, %(taken_out_at)s, %(matches)s, %(finding)s, %(failure_mode)s,
        %(serial_found)s, %(claim_stands)s, %(note)s, %(now)s)

-- name: keep_file
INSERT INTO service.old_part_file (old_part_id, file_id, kind) VALUES (%(old_part_id)s, %(file_id)s, %(kind)s)
ON CONFLICT DO NOTHING

-- name: fall_due
UPDATE service.old_part o
SET overdue_since = o.due_by
FROM (SELECT old_part_id FROM service.old_part
      WHERE state IN ('expected', 'packed', 'shipped') AND overdue_since IS NULL AND due_by < %(now)s
      ORDER BY due_by
      LIMIT %(batch)s
      FOR UPDATE SKIP LOCKED) due
WHERE o.old_part_id = due.old_part_id
RETURNING o.old_part_id

-- name: findings
SELECT m.code AS model, i.component, p.sku, i.finding, i.failure_mode, count(*) AS count
FROM service.inspected_part i
JOIN service.old_part o USING (old_part_id)
JOIN service.part p USING (part_id)
JOIN service.asset a ON a.asset_id = i.asset_id
JOIN service.product_model m USING (model_id)
WHERE i.at >= %(since)s AND i.at < %(until)s AND (%(model)s::text IS NULL OR m.code = %(model)s)
GROUP BY m.code, i.component, p.sku, i.finding, i.failure_mode
ORDER BY m.code, i.component, p.sku, count(*) DESC, i.finding, i.failure_mode

-- Rules -------------------------------------------------------------------------------------------------

-- name: rule_rows
SELECT r.old_part_rule_id, p.sku, m.code AS model, r.manufacturer, r.bearer, r.fate, r.due_days, r.evidence, r.reason,
       r.actor, r.created_at, r.ended_at
FROM service.old_part_rule r
LEFT JOIN service.part p USING (part_id)
LEFT JOIN service.product_model m USING (model_id)

-- name: one_rule
WHERE r.old_part_rule_id = %(old_part_rule_id)s

-- name: list_rules
WHERE r.old_part_rule_id > %(after_id)s AND (%(with_ended)s OR r.ended_at IS NULL)
ORDER BY r.old_part_rule_id
LIMIT %(fetch)s

-- name: model_of_code
SELECT model_id FROM service.product_model WHERE code = %(model)s

-- name: replace_rule
UPDATE service.old_part_rule SET ended_at = %(now)s
WHERE ended_at IS NULL AND coalesce(part_id, 0) = coalesce(%(part_id)s::bigint, 0)
  AND coalesce(model_id, 0) = coalesce(%(model_id)s::bigint, 0)
  AND coalesce(manufacturer, '') = coalesce(%(manufacturer)s::text, '')
  AND coalesce(bearer, '') = coalesce(%(bearer)s::text, '')

-- name: insert_rule
INSERT INTO service.old_part_rule (part_id, model_id, manufacturer, bearer, fate, due_days, evidence, reason, created_at)
VALUES (%(part_id)s, %(model_id)s, %(manufacturer)s, %(bearer)s, %(fate)s, %(due_days)s, %(evidence)s, %(reason)s, %(now)s)
RETURNING old_part_rule_id

-- name: end_rule
UPDATE service.old_part_rule SET ended_at = %(now)s WHERE old_part_rule_id = %(old_part_rule_id)s AND ended_at IS NULL

-- Parcels -----------------------------------------------------------------------------------------------

-- name: slip_rows
SELECT s.return_slip_id, s.provider_id, o.code AS provider, o.name AS provider_name, w.code AS warehouse,
       w.name AS warehouse_name, s.state, s.carrier, s.tracking_number, s.note, s.opened_at, s.shipped_at, s.received_at,
       s.version
FROM service.return_slip s
JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.provider o ON o.provider_id = s.provider_id

-- name: one_slip
WHERE s.return_slip_id = %(return_slip_id)s

-- name: list_slips
WHERE s.return_slip_id > %(after_id)s AND (%(state)s::text IS NULL OR s.state = %(state)s)
  AND (%(provider_id)s::bigint IS NULL OR s.provider_id = %(provider_id)s)
ORDER BY s.return_slip_id
LIMIT %(fetch)s

-- name: lock_slip
SELECT * FROM service.return_slip WHERE return_slip_id = %(return_slip_id)s FOR UPDATE

-- name: warehouse_of_code
SELECT warehouse_id, provider_id FROM service.warehouse WHERE code = %(code)s AND active

-- name: insert_slip
INSERT INTO service.return_slip (provider_id, warehouse_id, state, note, opened_at)
VALUES (%(provider_id)s, %(warehouse_id)s, %(state)s, %(note)s, %(now)s)
RETURNING return_slip_id

-- name: move_slip
UPDATE service.return_slip
SET state = %(state)s, carrier = coalesce(%(carrier)s, carrier),
    tracking_number = coalesce(%(tracking_number)s, tracking_number),
    note = concat_ws('; ', nullif(note, ''), nullif(%(note)s, '')),
    shipped_at = CASE WHEN %(state)s = 'shipped' THEN %(now)s ELSE shipped_at END,
    received_at = CASE WHEN %(state)s = 'received' THEN %(now)s ELSE received_at END, version = version + 1
WHERE return_slip_id = %(return_slip_id)s

-- name: touch_slip
UPDATE service.return_slip SET version = version + 1 WHERE return_slip_id = %(return_slip_id)s

-- name: rotable_of_serial
SELECT rotable_id FROM service.rotable WHERE part_id = %(part_id)s AND serial = %(serial)s
