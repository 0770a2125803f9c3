-- name: insert_instrument
INSERT INTO service.instrument
    (code, name, kind, maker_serial, warehouse_id, provider_id, calibration_days, note, created_at)
VALUES (%(code)s, %(name)s, %(kind)s, %(maker_serial)s, %(warehouse_id)s, %(provider_id)s, %(calibration_days)s, %(note)s,
        %(now)s)
ON CONFLICT (code) DO NOTHING
RETURNING instrument_id

-- name: find_warehouse
SELECT warehouse_id, provider_id FROM service.warehouse WHERE code = %(code)s

-- name: find_provider
SELECT provider_id FROM service.provider WHERE provider_id = %(provider_id)s

-- name: find_technician
SELECT technician_id, name, provider_id, active FROM service.technician WHERE technician_id = %(technician_id)s

-- name: find_ticket
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: get_instrument
SELECT i.instrument_id, i.code, i.name, i.kind, i.maker_serial, i.state, w.code AS warehouse, i.provider_id,
       i.calibration_days, i.calibrated_on, i.calibrated_until, i.note, i.version, l.instrument_loan_id,
       i.state = 'available' AND (i.calibration_days IS NULL OR coalesce(i.calibrated_until >= %(today)s, false)) AS lendable
FROM service.instrument i
LEFT JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.instrument_loan l ON l.instrument_id = i.instrument_id AND l.state IN ('lent', 'overdue')
WHERE i.instrument_id = %(instrument_id)s

-- name: lock_instrument
SELECT instrument_id, code, name, kind, maker_serial, state, warehouse_id, provider_id, calibration_days, calibrated_on,
       calibrated_until, note, version
FROM service.instrument
WHERE instrument_id = %(instrument_id)s
FOR UPDATE

-- name: list_instruments
SELECT i.instrument_id, i.code, i.name, i.kind, i.maker_serial, i.state, w.code AS warehouse, i.provider_id,
       i.calibration_days, i.calibrated_on, i.calibrated_until, i.note, i.version, l.instrument_loan_id,
       i.state = 'available' AND (i.calibration_days IS NULL OR coalesce(i.calibrated_until >= %(today)s, false)) AS lendable
FROM service.instrument i
LEFT JOIN service.warehouse w USING (warehouse_id)
LEFT JOIN service.instrument_loan l ON l.instrument_id = i.instrument_id AND l.state IN ('lent', 'overdue')
WHERE i.instrument_id > %(after_id)s
  AND (%(kind)s::text IS NULL OR i.kind = %(kind)s)
  AND (%(state)s::text IS NULL OR i.state = %(state)s)
  AND (%(warehouse)s::text IS NULL OR i.warehouse_id = (SELECT warehouse_id FROM service.warehouse WHERE code = %(warehouse)s))
  AND (%(calibrated_before)s::date IS NULL
       OR (i.calibrated_until < %(calibrated_before)s AND i.state IN ('available', 'lent')))
ORDER BY i.instrument_id
LIMIT %(fetch)s

-- name: change_instrument
UPDATE service.instrument
SET name = %(name)s, kind = %(kind)s, maker_serial = %(maker_serial)s, warehouse_id = %(warehouse_id)s,
    calibration_days = %(calibration_days)s, note = %(note)s, version = version + 1
WHERE instrument_id = %(instrument_id)s

-- name: move_instrument
UPDATE service.instrument SET state = %(state)s, note = coalesce(%(note)s, note), version = version + 1
WHERE instrument_id = %(instrument_id)s

-- name: insert_loan
INSERT INTO service.instrument_loan (instrument_id, technician_id, ticket_id, lent_at, lent_by, due_back_on)
VALUES (%(instrument_id)s, %(technician_id)s, %(ticket_id)s, %(now)s, %(actor)s, %(due_back_on)s)
RETURNING instrument_loan_id

-- name: get_loan
SELECT l.instrument_loan_id, l.instrument_id, i.code, i.name, l.technician_id, t.name AS technician, l.ticket_id, l.state,
       l.lent_at, l.lent_by, l.due_back_on, l.ended_at, l.condition, l.reminders, l.version
FROM service.instrument_loan l
JOIN service.instrument i USING (instrument_id)
JOIN service.technician t USING (technician_id)
WHERE l.instrument_loan_id = %(instrument_loan_id)s

-- name: lock_loan
SELECT instrument_loan_id, instrument_id, state, due_back_on, reminders
FROM service.instrument_loan
WHERE instrument_loan_id = %(instrument_loan_id)s
FOR UPDATE

-- name: list_loans
SELECT l.instrument_loan_id, l.instrument_id, i.code, i.name, l.technician_id, t.name AS technician, l.ticket_id, l.state,
       l.lent_at, l.lent_by, l.due_back_on, l.ended_at, l.condition, l.reminders, l.version
FROM service.instrument_loan l
JOIN service.instrument i USING (instrument_id)
JOIN service.technician t USING (technician_id)
WHERE l.instrument_loan_id > %(after_id)s
  AND (%(instrument_id)s::bigint IS NULL OR l.instrument_id = %(instrument_id)s)
  AND (%(technician_id)s::bigint IS NULL OR l.technician_id = %(technician_id)s)
  AND (%(state)s::text IS NULL OR l.state = %(state)s)
ORDER BY l.instrument_loan_id
LIMIT %(fetch)s

-- name: move_loan
UPDATE service.instrument_loan
SET state = %(state)s, due_back_on = coalesce(%(due_back_on)s, due_back_on), condition = coalesce(%(condition)s, condition),
    ended_at = CASE WHEN %(state)s IN ('returned', 'lost') THEN %(now)s::timestamptz END,
    reminders = reminders + CASE WHEN %(next_reminder_on)s::date IS NULL THEN 0 ELSE 1 END,
    next_reminder_on = %(next_reminder_on)s, version = version + 1
WHERE instrument_loan_id = %(instrument_loan_id)s

-- name: due_loans
-- Those that have just run out, and those that are to be asked for again.
SELECT l.instrument_loan_id
FROM service.instrument_loan l
WHERE (l.state = 'lent' AND l.due_back_on < %(today)s) OR (l.state = 'overdue' AND l.next_reminder_on <= %(today)s)
ORDER BY l.instrument_loan_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: due_calibrations
SELECT instrument_id, code, name, state, calibrated_until
FROM service.instrument
WHERE calibrated_until < %(before)s AND state IN ('available', 'lent') AND calibration_days IS NOT NULL
  AND reminded_of IS DISTINCT FROM calibrated_until
ORDER BY calibrated_until, instrument_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: note_reminder
UPDATE service.instrument SET reminded_of = calibrated_until WHERE instrument_id = %(instrument_id)s

-- name: insert_calibration
INSERT INTO service.instrument_calibration
    (instrument_id, result, calibrated_on, calibrated_until, laboratory, certificate_file_id, note, recorded_by, recorded_at)
VALUES (%(instrument_id)s, %(result)s, %(calibrated_on)s, %(calibrated_until)s, %(laboratory)s, %(certificate_file_id)s,
        %(note)s, %(actor)s, %(now)s)
RETURNING instrument_calibration_id, result, calibrated_on, calibrated_until, laboratory, certificate_file_id, note,
          recorded_by, recorded_at

-- name: set_calibration
UPDATE service.instrument
SET state = %(state)s, calibrated_on = %(calibrated_on)s, calibrated_until = %(calibrated_until)s, version = version + 1
WHERE instrument_id = %(instrument_id)s

-- name: list_calibrations
SELECT instrument_calibration_id, result, calibrated_on, calibrated_until, laboratory, certificate_file_id, note, recorded_by,
       recorded_at
FROM service.instrument_calibration
WHERE instrument_id = %(instrument_id)s AND instrument_calibration_id > %(after_id)s
ORDER BY instrument_calibration_id
LIMIT %(fetch)s

-- name: loans_since
SELECT l.instrument_loan_id, l.instrument_id, i.code, i.name, l.technician_id, t.name AS technician, l.ticket_id, l.state,
       l.lent_at, l.lent_by, l.due_back_on, l.ended_at, l.condition, l.reminders, l.version
FROM service.instrument_loan l
JOIN service.instrument i USING (instrument_id)
JOIN service.technician t USING (technician_id)
WHERE l.instrument_id = %(instrument_id)s AND coalesce(l.ended_at, 'infinity') >= coalesce(%(since)s::date, '-infinity')
ORDER BY l.instrument_loan_id
LIMIT 500
