-- name: lock_settlement
SELECT pg_advisory_xact_lock(hashtextextended('careloop.settlement', 0))

-- name: cards_of_providers
SELECT rate_card_id, provider_id, level, country, currency, valid_from, valid_until
FROM service.rate_card
WHERE state = 'active' AND (provider_id IS NULL OR provider_id = ANY (%(provider_ids)s::bigint[]))
   OR rate_card_id = %(also)s

-- name: rules_of_cards
SELECT rate_card_id, rate_card_line_id, kind, code, basis, coalesce(amount_minor, 0) AS amount_minor,
       coalesce(percent_bp, 0) AS percent_bp, job_type, skill, territory, in_warranty, condition, clock, from_km
FROM service.rate_card_line
WHERE rate_card_id = ANY (%(rate_card_ids)s::bigint[])
ORDER BY rate_card_id, place

-- name: visits_to_price
SELECT v.visit_id, v.ticket_id, vs.provider_id, vs.state, vs.reason, p.level, coalesce(s.country, '') AS country,
       (coalesce(v.ended_at, v.ends_at) AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date AS on_day,
       coalesce(t.kind, 'plan') AS job_type, j.skill, coalesce(s.territory, 'default') AS territory,
       j.labour_minutes AS standard_minutes,
       greatest(0, ceil(extract(epoch FROM v.checked_out_at - v.work_began_at) / 60))::integer AS worked_minutes,
       round(d.distance_m)::integer AS distance_m,
       -- As it was corrected last for the audit, else as it was reported.
       coalesce((SELECT (w.content ->> 'in_warranty')::boolean FROM service.completion_step w
                 WHERE w.completion_check_id = k.completion_check_id AND w.action = 'correct'
                   AND w.content ->> 'in_warranty' IS NOT NULL
                 ORDER BY w.completion_step_id DESC LIMIT 1),
                (r.content ->> 'in_warranty')::boolean) AS in_warranty,
       coalesce(r.solved, j.state = 'completed') AS solved,
       coalesce(t.reopened_count, 0) > 0 AS reopened,
       NOT EXISTS (SELECT FROM service.visit e WHERE e.ticket_id = v.ticket_id AND e.visit_id <> v.visit_id
                   AND e.state = 'completed' AND coalesce(e.ended_at, e.ends_at) <= coalesce(v.ended_at, v.ends_at))
           AS first_visit,
       c.clocks_kept, c.clocks_breached, k.state AS check_state,
       (SELECT count(*) FROM service.overdue_old_part o WHERE o.visit_id = v.visit_id) AS overdue_parts,
       u.parts
FROM service.visit_settlement vs
JOIN service.visit v USING (visit_id)
JOIN service.provider p ON p.provider_id = vs.provider_id
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.completion_check k USING (visit_id)
LEFT JOIN service.site s ON s.site_id = a.site_id
LEFT JOIN service.ticket t ON t.ticket_id = v.ticket_id
LEFT JOIN service.visit_report r ON r.visit_id = v.visit_id
LEFT JOIN LATERAL (SELECT x.distance_m FROM service.visit_position x WHERE x.visit_id = v.visit_id AND x.kind = 'depart'
                   ORDER BY x.position_id LIMIT 1) AS d ON true
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(x.kind) FILTER (WHERE x.breached_at IS NULL AND x.stopped_at IS NOT NULL
                                              AND (x.due_at IS NULL OR x.stopped_at <= x.due_at)), '{}') AS clocks_kept,
           coalesce(array_agg(x.kind) FILTER (WHERE x.breached_at IS NOT NULL
                                              OR coalesce(x.stopped_at, %(now)s) > x.due_at), '{}') AS clocks_breached
    FROM service.ticket_clock x WHERE x.ticket_id = v.ticket_id
) AS c
CROSS JOIN LATERAL (
    -- Built in, less what came back after it had been taken; what was kept and not used never counted.
    SELECT coalesce(jsonb_agg(jsonb_build_object('part_id', n.part_id, 'sku', n.sku, 'quantity', n.quantity)
                              ORDER BY n.sku), '[]') AS parts
    FROM (SELECT x.part_id, q.sku,
                 sum(CASE WHEN x.kind = 'used' THEN x.quantity WHEN x.reservation_id IS NULL THEN -x.quantity ELSE 0 END)
                     AS quantity
          FROM service.visit_part x JOIN service.part q USING (part_id)
          WHERE x.visit_id = v.visit_id
          GROUP BY x.part_id, q.sku) AS n
    WHERE n.quantity > 0
) AS u
WHERE vs.visit_id = ANY (%(visit_ids)s::bigint[])
ORDER BY vs.visit_id

-- name: part_prices
-- The partner's price of the day, its level's before the general one; else what the part costs the house.
SELECT w.part_id, w.level, w.currency, w.on_day,
       coalesce((SELECT x.price_minor FROM service.part_price x
                 WHERE x.part_id = w.part_id AND x.kind = 'partner' AND x.level IN ('', w.level)
                   AND x.currency = w.currency AND x.valid_from <= w.on_day
                   AND (x.valid_until IS NULL OR x.valid_until >= w.on_day)
                 ORDER BY x.level <> '' DESC, x.valid_from DESC
                 LIMIT 1),
                CASE WHEN p.currency = w.currency THEN p.cost_minor END) AS price_minor
FROM unnest(%(part_ids)s::bigint[], %(levels)s::text[], %(currencies)s::text[], %(days)s::date[])
    AS w (part_id, level, currency, on_day)
JOIN service.part p USING (part_id)

-- name: due_visits
SELECT visit_id, provider_id
FROM service.visit_settlement
WHERE next_at <= %(now)s
ORDER BY next_at, visit_id
LIMIT %(batch)s
FOR UPDATE SKIP LOCKED

-- name: look_at_blocked
UPDATE service.visit_settlement SET next_at = %(now)s
WHERE state <> 'settled' AND next_at > %(now)s

-- name: closed_through
SELECT max(month) AS month FROM service.settlement_period

-- name: full_statements
SELECT provider_id, currency, month
FROM service.statement
WHERE state <> 'draft' AND provider_id = ANY (%(provider_ids)s::bigint[])

-- name: make_statements
INSERT INTO service.statement (provider_id, currency, month, created_at)
SELECT w.provider_id, w.currency, w.month, %(now)s
FROM unnest(%(provider_ids)s::bigint[], %(currencies)s::text[], %(months)s::date[]) AS w (provider_id, currency, month)
ON CONFLICT DO NOTHING

-- name: drafts
SELECT s.statement_id, s.provider_id, s.currency, s.month
FROM unnest(%(provider_ids)s::bigint[], %(currencies)s::text[], %(months)s::date[]) AS w (provider_id, currency, month)
JOIN service.statement s USING (provider_id, currency, month)

-- name: insert_lines
INSERT INTO service.statement_line
    (statement_id, source, kind, visit_id, ticket_id, on_day, rate_card_id, rate_card_line_id, code, subject, description,
     quantity, unit, price_minor, price_per, amount_minor, created_at, created_by)
SELECT w.statement_id, 'visit', w.kind, w.visit_id, w.ticket_id, w.on_day, w.rate_card_id, w.rate_card_line_id, w.code,
       w.subject, w.description, w.quantity, w.unit, w.price_minor, w.price_per, w.amount_minor, %(now)s, %(actor)s
FROM unnest(%(statement_id)s::bigint[], %(kind)s::text[], %(visit_id)s::bigint[], %(ticket_id)s::bigint[],
            %(on_day)s::date[], %(rate_card_id)s::bigint[], %(rate_card_line_id)s::bigint[], %(code)s::text[],
            %(subject)s::text[], %(description)s::text[], %(quantity)s::bigint[], %(unit)s::text[],
            %(price_minor)s::bigint[], %(price_per)s::integer[], %(amount_minor)s::bigint[])
    AS w (statement_id, kind, visit_id, ticket_id, on_day, rate_card_id, rate_card_line_id, code, subject, description,
          quantity, unit, price_minor, price_per, amount_minor)

-- name: mark_settled
UPDATE service.visit_settlement v
SET state = 'settled', reason = '', detail = '', currency = w.currency, expected_minor = NULL, on_day = w.on_day,
    judged_at = %(now)s, next_at = NULL, settled_at = %(now)s
FROM unnest(%(visit_ids)s::bigint[], %(currencies)s::text[], %(days)s::date[]) AS w (visit_id, currency, on_day)
WHERE v.visit_id = w.visit_id

-- name: mark_blocked
UPDATE service.visit_settlement v
SET state = 'blocked', reason = w.reason, detail = w.detail, currency = w.currency, expected_minor = w.expected_minor,
    on_day = w.on_day, judged_at = %(now)s, next_at = %(next_at)s
FROM unnest(%(visit_ids)s::bigint[], %(reasons)s::text[], %(details)s::text[], %(currencies)s::text[],
            %(amounts)s::bigint[], %(days)s::date[]) AS w (visit_id, reason, detail, currency, expected_minor, on_day)
WHERE v.visit_id = w.visit_id

-- name: due_entries
SELECT e.partner_entry_id, a.provider_id, a.currency, e.kind, e.amount_minor, e.text, e.cause_kind, e.cause_key,
       e.ticket_id, e.quantity, p.sku, (e.at AT TIME ZONE 'UTC')::date AS on_day
FROM service.entry_to_settle w
JOIN service.partner_entry e USING (partner_entry_id)
JOIN service.partner_account a USING (partner_account_id)
LEFT JOIN service.part p ON p.part_id = e.part_id
ORDER BY w.partner_entry_id
LIMIT %(batch)s

-- name: insert_entry_lines
INSERT INTO service.statement_line
    (statement_id, source, kind, ticket_id, on_day, code, subject, description, quantity, unit, price_minor, price_per,
     amount_minor, account_entry_id, created_at, created_by)
SELECT w.statement_id, 'parts_account', w.kind, w.ticket_id, w.on_day, w.code, w.subject, w.description, 1, 'flat',
       w.amount_minor, 1, w.amount_minor, w.account_entry_id, %(now)s, %(actor)s
FROM unnest(%(statement_id)s::bigint[], %(kind)s::text[], %(ticket_id)s::bigint[], %(on_day)s::date[], %(code)s::text[],
            %(subject)s::text[], %(description)s::text[], %(amount_minor)s::bigint[], %(account_entry_id)s::bigint[])
    AS w (statement_id, kind, ticket_id, on_day, code, subject, description, amount_minor, account_entry_id)

-- name: delete_settled_entries
DELETE FROM service.entry_to_settle WHERE partner_entry_id = ANY (%(entry_ids)s::bigint[])

-- name: get_statement
SELECT statement_id, provider_id, currency, to_char(month, 'YYYY-MM') AS month, state, total_minor, line_count, created_at,
       issued_at, agreed_at, agreed_by, closed_at, paid_at, payment_reference, version
FROM service.statement
WHERE statement_id = %(statement_id)s

-- name: lock_statement
SELECT statement_id, provider_id, currency, month, state, total_minor, closed_at, version
FROM service.statement
WHERE statement_id = %(statement_id)s
FOR UPDATE

-- name: list_statements
SELECT statement_id, provider_id, currency, to_char(month, 'YYYY-MM') AS month, state, total_minor, line_count, created_at,
       issued_at, agreed_at, agreed_by, closed_at, paid_at, payment_reference, version
FROM service.statement
WHERE statement_id > %(after_id)s
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(month)s::date IS NULL OR month = %(month)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(currency)s::text IS NULL OR currency = %(currency)s)
ORDER BY statement_id
LIMIT %(fetch)s

-- name: list_lines
SELECT * FROM service.line_of_statement
WHERE statement_id = %(statement_id)s AND statement_line_id > %(after_id)s
ORDER BY statement_line_id
LIMIT %(fetch)s

-- name: lines_of_visit
SELECT * FROM service.line_of_statement WHERE visit_id = %(visit_id)s ORDER BY statement_line_id

-- name: get_line
SELECT * FROM service.line_of_statement WHERE statement_line_id = %(statement_line_id)s

-- name: lines_to_reverse
-- Each line of a visit with what is left of it after its corrections, and theirs.
WITH RECURSIVE chain AS (
    SELECT statement_line_id AS root_id, statement_line_id, amount_minor
    FROM service.statement_line WHERE visit_id = %(visit_id)s AND source = 'visit'
    UNION ALL
    SELECT c.root_id, l.statement_line_id, l.amount_minor
    FROM chain c JOIN service.statement_line l ON l.of_line_id = c.statement_line_id
)
SELECT root_id AS statement_line_id, sum(amount_minor)::bigint AS left_minor
FROM chain GROUP BY root_id HAVING sum(amount_minor) <> 0 ORDER BY root_id

-- name: insert_correction
INSERT INTO service.statement_line
    (statement_id, source, kind, visit_id, ticket_id, on_day, code, subject, description, quantity, unit, price_minor,
     price_per, amount_minor, of_line_id, created_at, created_by)
VALUES (%(statement_id)s, 'adjustment', 'correction', %(visit_id)s, %(ticket_id)s, %(on_day)s, %(code)s, %(subject)s,
        %(description)s, 1, 'flat', %(amount_minor)s, 1, %(amount_minor)s, %(of_line_id)s, %(now)s, %(actor)s)
RETURNING statement_line_id

-- name: list_visits
SELECT visit_id, provider_id, state, reason, detail, currency, expected_minor, on_day, judged_at, settled_at
FROM service.visit_settlement
WHERE visit_id > %(after_id)s
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY visit_id
LIMIT %(fetch)s

-- name: get_visit
SELECT visit_id, provider_id, state, reason, detail, currency, expected_minor, on_day, judged_at, settled_at
FROM service.visit_settlement
WHERE visit_id = %(visit_id)s

-- name: move_statement
UPDATE service.statement
SET state = %(to)s,
    issued_at = CASE WHEN %(action)s = 'issue' THEN %(now)s ELSE issued_at END,
    agreed_at = CASE WHEN %(action)s = 'agree' THEN %(now)s ELSE agreed_at END,
    agreed_by = CASE WHEN %(action)s = 'agree' THEN %(actor)s ELSE agreed_by END,
    version = version + 1
WHERE statement_id = %(statement_id)s

-- name: pay_statement
UPDATE service.statement
SET state = 'paid', paid_at = %(paid_at)s, payment_reference = %(reference)s, version = version + 1
WHERE statement_id = %(statement_id)s

-- name: netted_minor
SELECT coalesce(sum(amount_minor), 0)::bigint AS amount_minor
FROM service.statement_line
WHERE statement_id = %(statement_id)s AND source = 'parts_account'

-- name: hindered_visits
SELECT DISTINCT l.visit_id
FROM service.statement_line l
JOIN service.completion_check k USING (visit_id)
WHERE l.statement_id = %(statement_id)s AND l.source = 'visit'
  AND (k.state NOT IN ('passed', 'accepted')
       OR EXISTS (SELECT FROM service.overdue_old_part o WHERE o.visit_id = l.visit_id))

-- name: drawn_back
-- Lines that somebody has corrected stay, and the other lines of their visit with them.
DELETE FROM service.statement_line l
WHERE l.statement_id = %(statement_id)s AND l.source = 'visit'
  AND (%(visit_ids)s::bigint[] IS NULL OR l.visit_id = ANY (%(visit_ids)s))
  AND NOT EXISTS (SELECT FROM service.statement_line o JOIN service.statement_line c ON c.of_line_id = o.statement_line_id
                  WHERE o.visit_id = l.visit_id)
RETURNING l.visit_id

-- name: mark_due
UPDATE service.visit_settlement
SET state = 'due', next_at = %(now)s, settled_at = NULL
WHERE visit_id = ANY (%(visit_ids)s::bigint[])

-- name: margins_of_statement
SELECT l.visit_id, sum(l.amount_minor)::bigint AS settlement_minor, r.frozen -> 'bill' ->> 'currency' AS customer_currency,
       (r.frozen -> 'bill' ->> 'net_minor')::bigint AS customer_minor,
       (r.frozen -> 'bill' ->> 'borne_minor')::bigint AS borne_minor
FROM service.statement_line l
LEFT JOIN service.visit_report r USING (visit_id)
WHERE l.statement_id = %(statement_id)s AND l.visit_id IS NOT NULL
GROUP BY l.visit_id, r.frozen

-- name: margin_of_visit
SELECT s.currency, sum(l.amount_minor)::bigint AS settlement_minor
FROM service.statement_line l JOIN service.statement s USING (statement_id)
WHERE l.visit_id = %(visit_id)s
GROUP BY s.currency

-- name: bill_of_visit
SELECT r.frozen -> 'bill' ->> 'currency' AS customer_currency,
       (r.frozen -> 'bill' ->> 'net_minor')::bigint AS customer_minor,
       (r.frozen -> 'bill' ->> 'borne_minor')::bigint AS borne_minor
FROM service.visit_report r
WHERE r.visit_id = %(visit_id)s

-- name: insert_dispute
INSERT INTO service.statement_dispute
    (statement_id, statement_line_id, provider_id, reason, wanted_minor, opened_at, opened_by)
VALUES (%(statement_id)s, %(statement_line_id)s, %(provider_id)s, %(reason)s, %(wanted_minor)s, %(now)s, %(actor)s)
ON CONFLICT DO NOTHING
RETURNING dispute_id

-- name: get_dispute
SELECT * FROM service.statement_dispute
WHERE dispute_id = %(dispute_id)s

-- name: lock_dispute
SELECT * FROM service.statement_dispute WHERE dispute_id = %(dispute_id)s FOR UPDATE

-- name: list_disputes
SELECT * FROM service.statement_dispute
WHERE dispute_id > %(after_id)s
  AND (%(statement_id)s::bigint IS NULL OR statement_id = %(statement_id)s)
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY dispute_id
LIMIT %(fetch)s

-- name: messages_of_dispute
SELECT dispute_message_id, side, author, body, at
FROM service.dispute_message
WHERE dispute_id = %(dispute_id)s
ORDER BY dispute_message_id

-- name: insert_message
INSERT INTO service.dispute_message (dispute_id, side, author, body, at)
VALUES (%(dispute_id)s, %(side)s, %(actor)s, %(body)s, %(now)s)

-- name: end_dispute
UPDATE service.statement_dispute
SET state = %(to)s, resolution = %(resolution)s, resolved_at = %(now)s, resolved_by = %(actor)s,
    correction_line_id = %(correction_line_id)s, version = version + 1
WHERE dispute_id = %(dispute_id)s

-- name: open_disputes
SELECT count(*) AS number FROM service.statement_dispute WHERE statement_id = %(statement_id)s AND state = 'open'

-- name: list_months
-- From one month to the one before by the index, however many statements each has.
WITH RECURSIVE walked AS (
    (SELECT month, 1 AS place FROM service.statement ORDER BY month DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT s.month FROM service.statement s WHERE s.month < w.month ORDER BY s.month DESC LIMIT 1), w.place + 1
    FROM walked w
    WHERE w.month IS NOT NULL AND w.place < %(fetch)s
)
SELECT month FROM walked WHERE month IS NOT NULL

-- name: get_period
SELECT month, closed_at, closed_by FROM service.settlement_period WHERE month = %(month)s

-- name: sums_of_month
SELECT currency, count(*) AS statements, sum(total_minor)::bigint AS total_minor,
       count(*) FILTER (WHERE state = 'draft') AS drafts, count(*) FILTER (WHERE state = 'disputed') AS disputed
FROM service.statement
WHERE month = %(month)s
GROUP BY currency
ORDER BY currency

-- name: blocked_until
SELECT count(*) AS number FROM service.visit_settlement WHERE state = 'blocked' AND on_day < %(until)s

-- name: earlier_open_month
SELECT min(month) AS month FROM service.statement WHERE month < %(month)s AND closed_at IS NULL

-- name: drafts_of_month
SELECT statement_id FROM service.statement WHERE month = %(month)s AND state = 'draft' ORDER BY statement_id

-- name: insert_period
INSERT INTO service.settlement_period (month, closed_at, closed_by) VALUES (%(month)s, %(now)s, %(actor)s)
ON CONFLICT DO NOTHING
RETURNING month

-- name: close_statements
UPDATE service.statement SET closed_at = %(now)s, version = version + 1 WHERE month = %(month)s AND closed_at IS NULL

-- name: statements_to_export
SELECT s.statement_id, s.provider_id, p.code AS provider, p.name AS provider_name, s.currency,
       to_char(s.month, 'YYYY-MM') AS month, s.state, s.total_minor, s.line_count, s.issued_at, s.agreed_at, s.closed_at,
       s.paid_at, s.payment_reference
FROM service.statement s
JOIN service.provider p USING (provider_id)
WHERE s.month = %(month)s OR s.statement_id = %(statement_id)s
ORDER BY s.statement_id

-- name: lines_to_export
SELECT l.statement_id, l.statement_line_id, l.source, l.kind, l.on_day, l.visit_id, l.ticket_id, a.serial, l.code,
       l.subject, l.description, l.quantity, l.unit, l.price_minor, l.price_per, l.amount_minor, l.rate_card_id,
       l.rate_card_line_id, l.of_line_id, l.account_entry_id
FROM service.statement_line l
LEFT JOIN service.visit v USING (visit_id)
LEFT JOIN service.job j USING (job_id)
LEFT JOIN service.asset a USING (asset_id)
WHERE l.statement_id = ANY (%(statement_ids)s::bigint[])
ORDER BY l.statement_id, l.statement_line_id
