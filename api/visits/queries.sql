-- name: job_of_visit
SELECT job_id FROM service.visit WHERE visit_id = %(visit_id)s

-- name: lock_ticket_of_job
SELECT t.ticket_id, t.kind, t.state, t.opened_at
FROM service.ticket t
WHERE t.ticket_id = (SELECT ticket_id FROM service.job WHERE job_id = %(job_id)s)
FOR UPDATE

-- name: lock_job
SELECT job_id FROM service.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE

-- name: lock_visit
SELECT v.*, a.asset_id, a.serial, m.kind AS product_kind, s.latitude AS site_latitude, s.longitude AS site_longitude,
       coalesce(s.time_zone, 'UTC') AS time_zone, coalesce(s.territory, 'default') AS territory
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE v.visit_id = %(visit_id)s
FOR NO KEY UPDATE OF v

-- name: get_visit
SELECT v.visit_id, v.job_id, v.ticket_id, v.technician_id, a.serial, s.name AS site,
       coalesce(s.time_zone, 'UTC') AS time_zone, v.starts_at, v.ends_at, v.state, v.version, h.name AS technician,
       v.sop_id, v.dispatched_at, v.confirmed_at, v.confirmed_by, v.departed_at, v.checked_in_at, v.work_began_at,
       v.checked_out_at, v.ended_at, v.end_reason, v.end_note,
       (SELECT coalesce(jsonb_agg(p.file_id ORDER BY p.file_id), '[]') FROM service.visit_photo p
        WHERE p.visit_id = v.visit_id) AS photos,
       (SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.slot_id), '[]') FROM service.visit_slot o
        WHERE o.visit_id = v.visit_id) AS slots,
       (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.change_id), '[]') FROM service.visit_change c
        WHERE c.visit_id = v.visit_id) AS changes,
       (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.contact_attempt_id), '[]') FROM service.visit_contact c
        WHERE c.visit_id = v.visit_id) AS contacts,
       (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.position_id), '[]') FROM service.visit_position p
        WHERE p.visit_id = v.visit_id) AS positions,
       (SELECT coalesce(jsonb_agg(to_jsonb(u) || jsonb_build_object('sku', p.sku, 'warehouse', w.code)
                                  ORDER BY u.visit_part_id), '[]')
        FROM service.visit_part u
        JOIN service.part p USING (part_id)
        LEFT JOIN service.warehouse w USING (warehouse_id)
        WHERE u.visit_id = v.visit_id) AS parts,
       r.pdf_file_id
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.technician h ON h.technician_id = v.technician_id
LEFT JOIN service.visit_report r ON r.visit_id = v.visit_id
WHERE v.visit_id = %(visit_id)s

-- name: progress
-- Of each code the entry made last, by the device's clock.
SELECT DISTINCT ON (kind, code) kind, code, result, value, choice, photo_file_id, note, fit, misfit, device_at, late,
       actor
FROM service.visit_entry
WHERE visit_id = %(visit_id)s
ORDER BY kind, code, device_at DESC, entry_number DESC

-- name: list_day
-- A day is the site's: the stretch of the index is as long as a day can be on Earth.
SELECT v.visit_id, v.job_id, v.ticket_id, v.technician_id, a.serial, s.name AS site,
       coalesce(s.time_zone, 'UTC') AS time_zone, v.starts_at, v.ends_at, v.state, v.version
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
WHERE v.state <> 'cancelled' AND v.state = ANY (%(states)s)
  AND (%(technician_id)s::bigint IS NULL OR v.technician_id = %(technician_id)s)
  AND v.starts_at >= %(day)s::date::timestamp AT TIME ZONE 'UTC' - interval '14 hours'
  AND v.starts_at < %(day)s::date::timestamp AT TIME ZONE 'UTC' + interval '36 hours'
  AND (v.starts_at AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date = %(day)s::date
  AND v.visit_id > %(after_id)s
ORDER BY v.visit_id
LIMIT %(fetch)s

-- name: list_visits_of_ticket
SELECT v.visit_id, v.job_id, v.ticket_id, v.technician_id, a.serial, s.name AS site,
       coalesce(s.time_zone, 'UTC') AS time_zone, v.starts_at, v.ends_at, v.state, v.version
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
WHERE v.ticket_id = %(ticket_id)s AND v.state = ANY (%(states)s) AND v.visit_id > %(after_id)s
ORDER BY v.visit_id
LIMIT %(fetch)s

-- Appointments -----------------------------------------------------------------------------------

-- name: withdraw_slots
UPDATE service.visit_slot SET state = 'withdrawn' WHERE visit_id = %(visit_id)s AND state = 'offered'

-- name: technician_exists
SELECT technician_id FROM service.technician WHERE technician_id = %(technician_id)s

-- name: insert_slot
INSERT INTO service.visit_slot (visit_id, technician_id, starts_at, ends_at, offered_at)
VALUES (%(visit_id)s, %(technician_id)s, %(starts_at)s, %(ends_at)s, %(now)s)

-- name: offered_slot
SELECT slot_id, technician_id, starts_at, ends_at FROM service.visit_slot
WHERE visit_id = %(visit_id)s AND slot_id = %(slot_id)s AND state = 'offered'

-- name: choose_slot
UPDATE service.visit_slot SET state = 'chosen'
WHERE visit_id = %(visit_id)s AND state = 'offered'
  AND (slot_id = %(slot_id)s OR (%(slot_id)s::bigint IS NULL AND technician_id = %(technician_id)s
                                 AND starts_at = %(starts_at)s AND ends_at = %(ends_at)s))

-- name: book_visit
UPDATE service.visit
SET state = %(state)s, technician_id = %(technician_id)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s,
    confirmed_at = CASE WHEN %(state)s = 'confirmed'
                        THEN coalesce(CASE WHEN NOT %(anew)s THEN confirmed_at END, %(now)s::timestamptz) END,
    confirmed_by = CASE WHEN %(state)s = 'confirmed'
                        THEN coalesce(CASE WHEN NOT %(anew)s THEN confirmed_by END, %(actor)s::text) END,
    departed_at = NULL, version = version + 1
WHERE visit_id = %(visit_id)s

-- name: insert_change
INSERT INTO service.visit_change (visit_id, kind, caused_by, reason, note, from_technician_id, to_technician_id,
                                  from_starts_at, to_starts_at, actor, at)
VALUES (%(visit_id)s, %(kind)s, %(caused_by)s, %(reason)s, %(note)s, %(from_technician_id)s, %(to_technician_id)s,
        %(from_starts_at)s, %(to_starts_at)s, %(actor)s, %(now)s)

-- name: count_changes
SELECT caused_by, reason, count(*) AS count
FROM service.visit_change
WHERE at >= %(since)s AND at < %(until)s AND kind = 'reschedule'
GROUP BY caused_by, reason
ORDER BY count(*) DESC, caused_by, reason

-- name: insert_link
INSERT INTO service.visit_link (visit_id, token_hash, created_at, expires_at)
VALUES (%(visit_id)s, %(token_hash)s, %(now)s, %(expires_at)s)
RETURNING link_id

-- name: find_link
SELECT visit_id FROM service.visit_link WHERE token_hash = %(token_hash)s AND expires_at > %(now)s

-- name: insert_contact
INSERT INTO service.visit_contact (visit_id, channel, result, person, note, device_at, at, actor)
VALUES (%(visit_id)s, %(channel)s, %(result)s, %(person)s, %(note)s, %(device_at)s, %(now)s, %(actor)s)

-- name: any_contact
SELECT contact_attempt_id FROM service.visit_contact WHERE visit_id = %(visit_id)s LIMIT 1

-- On the way and on site ---------------------------------------------------------------------------

-- name: insert_position
INSERT INTO service.visit_position (visit_id, kind, latitude, longitude, accuracy_m, distance_m, far, device_at,
                                    clock_ahead_s, at, actor)
VALUES (%(visit_id)s, %(kind)s, %(latitude)s, %(longitude)s, %(accuracy_m)s, %(distance_m)s, %(far)s, %(device_at)s,
        %(clock_ahead_s)s, %(now)s, %(actor)s)

-- name: advance_visit
-- Each time is told once; what was told first stays.
UPDATE service.visit
SET state = %(state)s, version = version + 1,
    sop_id = coalesce(sop_id, service.sop_of_job(job_id)),
    departed_at = CASE WHEN %(action)s = 'depart' THEN %(at)s ELSE departed_at END,
    checked_in_at = CASE WHEN %(action)s = 'check_in' THEN %(at)s ELSE checked_in_at END,
    work_began_at = CASE WHEN %(action)s = 'begin_work' THEN coalesce(work_began_at, %(at)s) ELSE work_began_at END,
    checked_out_at = CASE WHEN %(action)s = 'check_out' THEN %(at)s ELSE checked_out_at END
WHERE visit_id = %(visit_id)s

-- name: end_visit
UPDATE service.visit
SET state = %(state)s, ended_at = %(now)s, end_reason = %(reason)s, end_note = %(note)s, version = version + 1
WHERE visit_id = %(visit_id)s

-- name: explain_end
UPDATE service.visit SET end_note = %(note)s WHERE visit_id = %(visit_id)s

-- name: insert_photo
INSERT INTO service.visit_photo (visit_id, file_id) VALUES (%(visit_id)s, %(file_id)s) ON CONFLICT DO NOTHING

-- name: insert_entry
INSERT INTO service.visit_entry (visit_id, entry_id, kind, code, result, value, choice, photo_file_id, note, fit,
                                 misfit, device_at, received_at, late, actor)
VALUES (%(visit_id)s, %(entry_id)s, %(kind)s, %(code)s, %(result)s, %(value)s, %(choice)s, %(photo_file_id)s,
        %(note)s, %(fit)s, %(misfit)s, %(device_at)s, %(now)s, %(late)s, %(actor)s)
ON CONFLICT (visit_id, entry_id) DO NOTHING
RETURNING entry_number

-- name: part_entry
SELECT visit_part_id FROM service.visit_part WHERE visit_id = %(visit_id)s AND entry_id = %(entry_id)s

-- name: insert_part
INSERT INTO service.visit_part (visit_id, entry_id, kind, part_id, quantity, reservation_id, warehouse_id, component,
                                serial_fitted, old_part, old_serial, provider_id, device_at, received_at, actor)
VALUES (%(visit_id)s, %(entry_id)s, %(kind)s, %(part_id)s, %(quantity)s, %(reservation_id)s, %(warehouse_id)s,
        %(component)s, %(serial_fitted)s, %(old_part)s, %(old_serial)s,
        (SELECT t.provider_id FROM service.visit v JOIN service.technician t USING (technician_id)
         WHERE v.visit_id = %(visit_id)s),
        %(device_at)s, %(now)s, %(actor)s)
RETURNING visit_part_id

-- name: change_old_part
UPDATE service.visit_part SET old_part = %(old_part)s, old_serial = %(old_serial)s
WHERE visit_id = %(visit_id)s AND visit_part_id = %(visit_part_id)s AND kind = 'used'
RETURNING visit_part_id

-- name: pieces_used
-- Pieces of a part that were built in on this job and not brought back to a store.
SELECT coalesce(sum(CASE WHEN u.kind = 'used' THEN u.quantity WHEN u.warehouse_id IS NOT NULL THEN -u.quantity END), 0)
       AS pieces
FROM service.visit v
JOIN service.visit_part u USING (visit_id)
WHERE v.job_id = %(job_id)s AND u.part_id = %(part_id)s

-- name: component_of_part
SELECT c.name
FROM service.asset a
JOIN service.component c USING (model_id)
WHERE a.asset_id = %(asset_id)s AND c.part_id = %(part_id)s

-- Completion ---------------------------------------------------------------------------------------

-- name: get_report
SELECT visit_id, content, signed_by_name, signature_file_id, frozen, frozen_at, pdf_file_id, written_by, written_at,
       version
FROM service.visit_report
WHERE visit_id = %(visit_id)s

-- name: save_report
INSERT INTO service.visit_report (visit_id, content, signed_by_name, signature_file_id, solved, next_step, written_by,
                                  written_at)
VALUES (%(visit_id)s, %(content)s, %(signed_by_name)s, %(signature_file_id)s, %(solved)s, %(next_step)s, %(actor)s,
        %(now)s)
ON CONFLICT (visit_id) DO UPDATE
SET content = excluded.content, signed_by_name = excluded.signed_by_name,
    signature_file_id = excluded.signature_file_id, solved = excluded.solved, next_step = excluded.next_step,
    written_by = excluded.written_by, written_at = excluded.written_at, version = service.visit_report.version + 1
RETURNING version

-- name: freeze_report
UPDATE service.visit_report
SET frozen = %(frozen)s, frozen_at = %(now)s, pdf_file_id = %(pdf_file_id)s, version = version + 1
WHERE visit_id = %(visit_id)s

-- name: parts_kept
SELECT p.sku
FROM service.reservation r
JOIN service.part p USING (part_id)
WHERE r.job_id = %(job_id)s AND r.state = 'reserved'
ORDER BY p.sku

-- name: levels_of_kind
SELECT DISTINCT level FROM service.fault_code WHERE product_kind = %(product_kind)s AND active

-- name: open_failure
SELECT failure_id FROM service.failure
WHERE asset_id = %(asset_id)s AND component = %(component)s AND restored_at IS NULL
LIMIT 1

-- name: add_job_part
INSERT INTO service.job_part (job_id, part_id, quantity) VALUES (%(job_id)s, %(part_id)s, %(quantity)s)
ON CONFLICT (job_id, part_id) DO UPDATE SET quantity = service.job_part.quantity + excluded.quantity

-- name: pictures_of_files
SELECT file_id, name, size_bytes FROM service.file
WHERE file_id = ANY (%(file_ids)s) AND media_type IN ('image/jpeg', 'image/png', 'image/webp', 'image/gif')
ORDER BY file_id

-- name: texts_of_codes
SELECT code, text FROM service.fault_code WHERE product_kind = %(product_kind)s AND code = ANY (%(codes)s)

-- name: parts_of_visit
SELECT p.sku, u.kind, u.component, u.old_part, u.old_serial
FROM service.visit_part u
JOIN service.part p USING (part_id)
WHERE u.visit_id = %(visit_id)s
ORDER BY u.visit_part_id

-- name: entitlement_left
SELECT c.asset_id, c.state, coalesce(c.starts_on, 'infinity') <= %(on)s::date AND c.ends_on >= %(on)s::date AS holds,
       e.granted - e.redeemed AS left
FROM service.cover_contract c
JOIN service.entitlement e USING (contract_id)
WHERE c.contract_id = %(contract_id)s AND e.name = %(name)s

-- name: papers
-- What the report on paper says besides the report.
SELECT a.serial, m.code AS model, m.name AS model_name, m.manufacturer, a.installed_at, s.name AS site,
       c.name AS customer, h.name AS technician, coalesce(o.name, nullif(h.provider, '')) AS provider,
       t.title, t.description, t.kind AS ticket_kind
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
JOIN service.technician h ON h.technician_id = v.technician_id
LEFT JOIN service.provider o ON o.provider_id = h.provider_id
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.ticket t ON t.ticket_id = v.ticket_id
LEFT JOIN service.customer c ON c.customer_id = coalesce(t.customer_id, a.customer_id)
WHERE v.visit_id = %(visit_id)s

-- name: pack_site
SELECT to_jsonb(s) AS site, to_jsonb(c) AS customer
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.ticket t ON t.ticket_id = v.ticket_id
LEFT JOIN service.customer c ON c.customer_id = coalesce(t.customer_id, a.customer_id)
WHERE v.visit_id = %(visit_id)s

-- name: pack_stock
SELECT p.sku, w.code AS warehouse, w.kind, s.on_hand - s.reserved AS available
FROM service.warehouse w
JOIN service.stock s USING (warehouse_id)
JOIN service.part p USING (part_id)
WHERE w.territory = %(territory)s AND w.kind IN ('van', 'partner') AND s.on_hand > s.reserved
ORDER BY w.code, p.sku
LIMIT 500

-- name: pack_history
SELECT v.visit_id, v.starts_at, v.state, r.solved, r.content ->> 'work_done' AS work_done, r.pdf_file_id
FROM service.job j
JOIN service.visit v USING (job_id)
LEFT JOIN service.visit_report r USING (visit_id)
WHERE j.asset_id = %(asset_id)s AND v.visit_id <> %(visit_id)s AND v.state <> 'cancelled'
ORDER BY v.visit_id DESC
LIMIT 10

-- Procedures and fault codes -------------------------------------------------------------------------

-- name: sop_rows
SELECT s.sop_id, s.code, s.version, s.title, m.code AS model, s.product_kind, s.job_kind, s.tips, s.checks, s.steps,
       s.made_by, s.made_at, s.superseded_at
FROM service.sop s
LEFT JOIN service.product_model m USING (model_id)

-- name: one_sop
WHERE s.sop_id = %(sop_id)s

-- name: page_of_sops
WHERE s.sop_id > %(after_id)s AND (%(code)s::text IS NULL OR s.code = %(code)s)
  AND (s.superseded_at IS NULL OR %(with_old)s)
ORDER BY s.sop_id
LIMIT %(fetch)s

-- name: model_of_code
SELECT model_id FROM service.product_model WHERE code = %(model)s

-- name: lock_sop_code
SELECT pg_advisory_xact_lock(7266, hashtext(%(code)s))

-- name: supersede_sop
UPDATE service.sop SET superseded_at = %(now)s WHERE code = %(code)s AND superseded_at IS NULL

-- name: insert_sop
INSERT INTO service.sop (code, version, title, model_id, product_kind, job_kind, tips, checks, steps, made_by, made_at)
SELECT %(code)s, coalesce(max(version), 0) + 1, %(title)s, %(model_id)s, %(product_kind)s, %(job_kind)s, %(tips)s,
       %(checks)s, %(steps)s, %(actor)s, %(now)s
FROM service.sop
WHERE code = %(code)s
RETURNING sop_id

-- name: fault_code_rows
SELECT f.fault_code_id, f.product_kind, f.code, f.level, p.code AS parent, f.text, f.active, f.version
FROM service.fault_code f
LEFT JOIN service.fault_code p ON p.fault_code_id = f.parent_id

-- name: one_fault_code
WHERE f.fault_code_id = %(fault_code_id)s

-- name: fault_code_of_kind
WHERE f.product_kind = %(product_kind)s AND f.code = %(code)s

-- name: page_of_fault_codes
WHERE f.product_kind = %(product_kind)s AND f.fault_code_id > %(after_id)s
  AND (%(level)s::text IS NULL OR f.level = %(level)s) AND (f.active OR %(with_old)s)
ORDER BY f.fault_code_id
LIMIT %(fetch)s

-- name: insert_fault_code
INSERT INTO service.fault_code (product_kind, code, level, parent_id, text)
VALUES (%(product_kind)s, %(code)s, %(level)s, %(parent_id)s, %(text)s)
ON CONFLICT (product_kind, code) DO NOTHING
RETURNING fault_code_id

-- name: change_fault_code
UPDATE service.fault_code
SET text = coalesce(%(text)s, text), active = coalesce(%(active)s, active), version = version + 1
WHERE fault_code_id = %(fault_code_id)s AND version = %(version)s
RETURNING fault_code_id
