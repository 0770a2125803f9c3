-- name: account_rows
SELECT a.partner_account_id, a.provider_id, o.code AS provider, o.name AS provider_name, o.level, a.currency, a.limit_minor,
       a.balance_minor, a.limit_minor - a.balance_minor AS available_minor, a.handling_minor, a.handling_bp,
       a.last_entry_at, a.opened_at, a.version
FROM service.partner_account a
JOIN service.provider o USING (provider_id)

-- name: one_account
WHERE a.partner_account_id = %(partner_account_id)s

-- name: account_in_currency
WHERE a.provider_id = %(provider_id)s AND a.currency = %(currency)s

-- name: list_accounts
WHERE a.partner_account_id > %(after_id)s AND (%(provider_id)s::bigint IS NULL OR a.provider_id = %(provider_id)s)
ORDER BY a.partner_account_id
LIMIT %(fetch)s

-- name: provider_exists
SELECT provider_id, code, level FROM service.provider WHERE provider_id = %(provider_id)s

-- name: insert_account
INSERT INTO service.partner_account (provider_id, currency, limit_minor, handling_minor, handling_bp, opened_at)
VALUES (%(provider_id)s, %(currency)s, %(limit_minor)s, %(handling_minor)s, %(handling_bp)s, %(now)s)
ON CONFLICT (provider_id, currency) DO NOTHING
RETURNING partner_account_id

-- name: change_account
UPDATE service.partner_account
SET limit_minor = CASE WHEN %(with_limit)s THEN %(limit_minor)s ELSE limit_minor END,
    handling_minor = coalesce(%(handling_minor)s, handling_minor), handling_bp = coalesce(%(handling_bp)s, handling_bp),
    version = version + 1
WHERE partner_account_id = %(partner_account_id)s AND version = %(version)s
RETURNING partner_account_id

-- name: lock_account
SELECT partner_account_id FROM service.partner_account WHERE partner_account_id = %(partner_account_id)s FOR NO KEY UPDATE

-- name: lock_accounts_of_provider
SELECT partner_account_id, currency FROM service.partner_account WHERE provider_id = %(provider_id)s
ORDER BY partner_account_id
FOR NO KEY UPDATE

-- The journal ----------------------------------------------------------------------------------------

-- name: entry_of_cause
SELECT partner_entry_id, amount_minor
FROM service.partner_entry
WHERE partner_account_id = %(partner_account_id)s AND kind = %(kind)s AND cause_kind = %(cause_kind)s
  AND cause_key = %(cause_key)s

-- name: insert_entry
INSERT INTO service.partner_entry (partner_account_id, kind, amount_minor, balance_minor, cause_kind, cause_key, text,
                                   ticket_id, part_id, quantity, reverses_id, at)
VALUES (%(partner_account_id)s, %(kind)s, %(amount_minor)s, 0, %(cause_kind)s, %(cause_key)s, %(text)s, %(ticket_id)s,
        %(part_id)s, %(quantity)s, %(reverses_id)s, %(now)s)
RETURNING partner_entry_id

-- name: entry_rows
SELECT e.partner_entry_id, e.partner_account_id, e.kind, e.amount_minor, e.balance_minor, a.currency, e.cause_kind,
       e.cause_key, e.text, e.ticket_id, p.sku, e.quantity, e.reverses_id, e.actor, e.at
FROM service.partner_entry e
JOIN service.partner_account a USING (partner_account_id)
LEFT JOIN service.part p ON p.part_id = e.part_id

-- name: one_entry
WHERE e.partner_entry_id = %(partner_entry_id)s

-- name: list_entries
WHERE e.partner_account_id = %(partner_account_id)s AND e.partner_entry_id > %(after_id)s
  AND (%(from_at)s::timestamptz IS NULL OR e.at >= %(from_at)s)
  AND (%(until_at)s::timestamptz IS NULL OR e.at < %(until_at)s)
ORDER BY e.partner_entry_id
LIMIT %(fetch)s

-- name: entries_of_period
WHERE e.partner_account_id = %(partner_account_id)s AND e.at >= %(from_at)s AND e.at < %(until_at)s
ORDER BY e.at, e.partner_entry_id

-- name: reversal_of
SELECT partner_entry_id FROM service.partner_entry WHERE reverses_id = %(partner_entry_id)s

-- name: balance_before
-- The journal's time never runs backwards, so the last entry before an instant holds the balance of it.
SELECT balance_minor FROM service.partner_entry
WHERE partner_account_id = %(partner_account_id)s AND at < %(before)s
ORDER BY at DESC, partner_entry_id DESC
LIMIT 1

-- name: totals_of_period
SELECT kind, count(*) AS entries, sum(amount_minor)::bigint AS amount_minor
FROM service.partner_entry
WHERE partner_account_id = %(partner_account_id)s AND at >= %(from_at)s AND at < %(until_at)s
GROUP BY kind
ORDER BY kind

-- What a partner bought and still has ------------------------------------------------------------------

-- name: insert_lot
INSERT INTO service.partner_lot (partner_entry_id, partner_account_id, part_id, quantity, left_quantity, paid_minor)
VALUES (%(partner_entry_id)s, %(partner_account_id)s, %(part_id)s, %(quantity)s, %(quantity)s, %(amount_minor)s)

-- name: lots_of_part
-- The accounts are locked by whoever takes from them.
SELECT l.partner_lot_id AS number, l.partner_account_id AS account, l.quantity AS pieces, l.left_quantity AS left,
       l.paid_minor
FROM service.partner_lot l
JOIN service.partner_account a USING (partner_account_id)
WHERE a.provider_id = %(provider_id)s AND l.part_id = %(part_id)s AND l.left_quantity > 0
ORDER BY l.partner_lot_id

-- name: lots_used_last
SELECT l.partner_lot_id AS number, l.quantity - l.left_quantity AS used
FROM service.partner_lot l
JOIN service.partner_account a USING (partner_account_id)
WHERE a.provider_id = %(provider_id)s AND l.part_id = %(part_id)s AND l.left_quantity < l.quantity
ORDER BY l.partner_lot_id DESC
LIMIT 100

-- name: take_from_lot
UPDATE service.partner_lot SET left_quantity = left_quantity - %(pieces)s WHERE partner_lot_id = %(number)s

-- Who bears a part -------------------------------------------------------------------------------------

-- name: case_of_part
SELECT a.serial, (SELECT min(c.name) FROM service.component c
                  WHERE c.model_id = a.model_id AND c.part_id = %(part_id)s
                  HAVING count(*) = 1) AS component
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
WHERE t.ticket_id = %(ticket_id)s

-- name: parts_of_visit
SELECT u.visit_part_id, u.kind, u.part_id, p.sku, u.quantity, u.reservation_id, u.component, u.provider_id,
       CASE WHEN w.provider_id = u.provider_id THEN 'partner' ELSE 'maker' END AS stock_of
FROM service.visit_part u
JOIN service.part p USING (part_id)
LEFT JOIN service.warehouse w USING (warehouse_id)
WHERE u.visit_id = %(visit_id)s
ORDER BY u.visit_part_id

-- name: insert_bearer
INSERT INTO service.part_bearer (visit_part_id, visit_id, ticket_id, part_id, provider_id, quantity, bearer, stock_of,
                                 component, judged_on, reasons, currency, worth_minor, credited_minor, handling_minor,
                                 by_person, at)
VALUES (%(visit_part_id)s, %(visit_id)s, %(ticket_id)s, %(part_id)s, %(provider_id)s, %(quantity)s, %(bearer)s,
        %(stock_of)s, %(component)s, %(judged_on)s, %(reasons)s, %(currency)s, %(worth_minor)s, %(credited_minor)s,
        %(handling_minor)s, %(by_person)s, %(now)s)
RETURNING part_bearer_id

-- name: bearer_rows
SELECT b.part_bearer_id, b.visit_part_id, b.visit_id, b.ticket_id, b.provider_id, b.part_id, p.sku, b.quantity,
       b.component, b.bearer, b.stock_of, b.judged_on, b.reasons, b.currency, b.worth_minor, b.credited_minor,
       b.handling_minor, b.by_person, b.actor, b.at, b.replaced_at
FROM service.part_bearer b
JOIN service.part p USING (part_id)

-- name: one_bearer
WHERE b.part_bearer_id = %(part_bearer_id)s

-- name: bearer_of_used_part
WHERE b.visit_part_id = %(visit_part_id)s AND b.replaced_at IS NULL

-- name: list_bearers
WHERE b.part_bearer_id > %(after_id)s AND (%(visit_id)s::bigint IS NULL OR b.visit_id = %(visit_id)s)
  AND (%(ticket_id)s::bigint IS NULL OR b.ticket_id = %(ticket_id)s)
  AND (%(provider_id)s::bigint IS NULL OR b.provider_id = %(provider_id)s)
  AND (%(bearer)s::text IS NULL OR b.bearer = %(bearer)s)
ORDER BY b.part_bearer_id
LIMIT %(fetch)s

-- name: earlier_bearers_of_job
SELECT b.*, p.sku
FROM service.part_bearer b
JOIN service.part p USING (part_id)
JOIN service.visit v USING (visit_id)
WHERE v.job_id = (SELECT job_id FROM service.visit WHERE visit_id = %(visit_id)s) AND b.visit_id <> %(visit_id)s
  AND b.part_id = %(part_id)s AND b.replaced_at IS NULL
ORDER BY b.part_bearer_id DESC
FOR UPDATE OF b

-- name: lock_bearer
SELECT part_bearer_id, replaced_at FROM service.part_bearer WHERE part_bearer_id = %(part_bearer_id)s FOR UPDATE

-- name: replace_bearer
UPDATE service.part_bearer SET replaced_at = %(now)s WHERE part_bearer_id = %(part_bearer_id)s

-- name: standing_entries_of_part
-- What was booked for a used part, by the first decision or a later one, and was not taken back.
SELECT e.partner_entry_id, e.partner_account_id
FROM service.partner_entry e
WHERE e.cause_kind = 'visit_part'
  AND e.cause_key = ANY (%(key)s::text || ARRAY(SELECT %(key)s || ':' || b.part_bearer_id FROM service.part_bearer b
                                                WHERE b.visit_part_id = %(visit_part_id)s))
  AND e.kind <> 'reversal'
  AND NOT EXISTS (SELECT FROM service.partner_entry r WHERE r.reverses_id = e.partner_entry_id)
ORDER BY e.partner_entry_id
