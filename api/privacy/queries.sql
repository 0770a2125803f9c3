-- Where somebody is -------------------------------------------------------------------------------

-- name: tables_of_service
-- Every table of the schema: its key, its columns, and what refers to what by foreign keys of one column.
SELECT c.relname AS name,
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
                 FROM pg_index i
                 CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                 WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key,
       (SELECT jsonb_agg(jsonb_build_object(
                   'name', a.attname, 'type', y.typname, 'nullable', NOT a.attnotnull,
                   'written', a.attgenerated = '' AND a.attidentity = '',
                   'bound', EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'
                                    AND a.attnum = ANY (k.conkey)),
                   -- One of a list that a check has: no word of anybody.
                   'listed', EXISTS (SELECT FROM pg_constraint k
                                     WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
                                       AND pg_get_constraintdef(k.oid) LIKE '%%= ANY (ARRAY[%%'),
                   'unique', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
                                     AND a.attnum = ANY (i.indkey::smallint[])))
               ORDER BY a.attnum)
        FROM pg_attribute a
        JOIN pg_type y ON y.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       coalesce((SELECT jsonb_agg(jsonb_build_object('column', a.attname, 'table', t.relname, 'to', r.attname)
                                  ORDER BY a.attnum)
                 FROM pg_constraint k
                 JOIN pg_class t ON t.oid = k.confrelid AND t.relnamespace = c.relnamespace
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
                 JOIN pg_attribute r ON r.attrelid = t.oid AND r.attnum = k.confkey[1]
                 WHERE k.conrelid = c.oid AND k.contype = 'f' AND cardinality(k.conkey) = 1), '[]') AS refers,
       coalesce(g.personal, '{}') AS personal
FROM pg_class c
LEFT JOIN service.guarded g ON g.table_name = c.relname
WHERE c.relnamespace = 'service'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname

-- name: merged_into_customer
SELECT customer_id FROM service.customer WHERE customer_id = %(customer_id)s OR merged_into = %(customer_id)s
ORDER BY customer_id
FOR UPDATE

-- Forgetting --------------------------------------------------------------------------------------

-- name: begin_erasing
SELECT set_config('careloop.erasing', 'yes', true)

-- name: end_erasing
SELECT set_config('careloop.erasing', '', true)

-- name: obstacles_to_erasing
SELECT 'open ticket' AS what, t.ticket_id, t.state AS detail
FROM service.ticket t
WHERE t.customer_id = ANY (%(customer_ids)s) AND t.state NOT IN ('resolved', 'closed', 'cancelled', 'merged')
UNION ALL
SELECT 'unpaid', t.ticket_id, a.charged_minor + a.fees_minor - p.paid_minor || ' ' || a.currency || ' in minor units'
FROM service.ticket t
JOIN service.ticket_account a USING (ticket_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(y.captured_minor - y.refunded_minor), 0) AS paid_minor
    FROM service.payment y WHERE y.ticket_id = t.ticket_id) p
WHERE t.customer_id = ANY (%(customer_ids)s) AND a.charged_minor + a.fees_minor > p.paid_minor
ORDER BY 2, 1
LIMIT 100

-- name: lock_tickets_of
SELECT ticket_id FROM service.ticket WHERE customer_id = ANY (%(customer_ids)s) ORDER BY ticket_id FOR UPDATE

-- name: erasure_of
SELECT erasure_id, customer_id, at, actor, reason, forced, obstacles, counts
FROM service.erasure
WHERE customer_id = %(customer_id)s

-- name: insert_erasure
INSERT INTO service.erasure (customer_id, at, actor, reason, forced, obstacles, counts)
VALUES (%(customer_id)s, %(now)s, %(actor)s, service.redacted(%(reason)s::text, %(loose)s::text, %(exact)s::text),
        service.redacted(%(force)s::text, %(loose)s::text, %(exact)s::text),
        service.redacted(%(obstacles)s::jsonb, %(loose)s::text, %(exact)s::text), %(counts)s)
RETURNING erasure_id, customer_id, at, actor, reason, forced, obstacles, counts

-- name: former_values
-- What the rows held before they were last changed.
SELECT table_name, before
FROM service.audit
WHERE (table_name, row_key) IN (SELECT * FROM unnest(%(table_names)s::text[], %(row_keys)s::text[]))
  AND before IS NOT NULL

-- name: erase_logins
UPDATE service.app_user SET active = false, password_hash = NULL WHERE customer_id = ANY (%(customer_ids)s)

-- name: erase_sessions
DELETE FROM service.session
WHERE user_id IN (SELECT user_id FROM service.app_user WHERE customer_id = ANY (%(customer_ids)s))

-- name: erase_keys
UPDATE service.api_key SET revoked_at = coalesce(revoked_at, %(now)s) WHERE customer_id = ANY (%(customer_ids)s)

-- name: erase_alerts
-- Nobody must be told any more, least of all with what is blank now.
UPDATE service.alert SET state = 'dead', lease_until = NULL, last_error = 'the customer was erased'
WHERE alert_id = ANY (%(alert_ids)s) AND state IN ('pending', 'sending', 'unconfirmed')

-- name: erase_files
-- Bytes that somebody else's file has too stay.
UPDATE service.file_content c
SET content = ''
WHERE (c.owner, c.sha256) IN (SELECT f.owner, f.sha256 FROM service.file f WHERE f.file_id = ANY (%(file_ids)s))
  AND NOT EXISTS (SELECT FROM service.file f
                  WHERE (f.owner, f.sha256) = (c.owner, c.sha256) AND f.file_id <> ALL (%(file_ids)s))

-- name: erase_answers
-- Stored answers to POSTs: those of the customer's own users and keys, those that show a number of theirs, those that show
-- a text of theirs.
DELETE FROM service.idempotency_key k
WHERE k.principal = ANY (%(principals)s)
   OR EXISTS (SELECT FROM unnest(%(texts)s::bytea[]) AS text WHERE position(text IN k.body) > 0)
   OR EXISTS (SELECT FROM regexp_matches(encode(k.body, 'escape'), '"([a-z_]+_id)": ?([0-9]+)', 'g') AS shown
              WHERE shown[1] || ':' || shown[2] = ANY (%(numbers)s))

-- name: erase_audit
SELECT service.erase_audit(%(audit_ids)s::bigint[], %(loose)s::text, %(exact)s::text) AS blanked

-- name: erase_changes
SELECT service.erase_changes(%(change_ids)s::bigint[], %(loose)s::text, %(exact)s::text) AS blanked

-- name: audit_of_keys
SELECT audit_id
FROM service.audit
WHERE (table_name, row_key) IN (SELECT * FROM unnest(%(table_names)s::text[], %(row_keys)s::text[]))

-- name: audit_of_bytes
-- Who brought the bytes of a file stands in their key, and nothing else of whose they are.
SELECT audit_id
FROM service.audit
WHERE table_name = 'file_content' AND coalesce(after, before) ->> 'owner' = ANY (%(principals)s)

-- name: deleted_rows
-- Rows that are no more and named neither a customer nor a case themselves.
SELECT row_key
FROM service.audit
WHERE action = 'delete' AND customer_id IS NULL AND ticket_id IS NULL
  AND table_name = %(table_name)s AND before ->> %(column)s::text = ANY (%(numbers)s::text[])

-- name: index_tickets_anew
SELECT service.index_tickets(ticket_id, ticket_id) FROM unnest(%(ticket_ids)s::bigint[]) AS ticket_id

-- name: files_of
SELECT f.file_id, f.name, f.media_type, f.size_bytes, c.content
FROM service.file f
LEFT JOIN service.file_content c ON %(with_content)s AND (c.owner, c.sha256) = (f.owner, f.sha256)
WHERE f.file_id = ANY (%(file_ids)s)
ORDER BY f.file_id

-- name: customer_to_erase
SELECT customer_id, state, merged_into FROM service.customer WHERE customer_id = %(customer_id)s

-- name: retire_erased
UPDATE service.customer SET state = %(to)s WHERE customer_id = %(customer_id)s
