-- name: tickets_to_ask
-- What ended lately and was not asked about; what follows a bad answer is not asked about again.
SELECT t.ticket_id, t.customer_id, t.contact_id, t.asset_id, t.title,
       m.name || ' (serial number ' || a.serial || ')' AS machine,
       last.technician_id, coalesce(last.provider_id, t.provider_id) AS provider_id
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
LEFT JOIN service.product_model m USING (model_id)
LEFT JOIN LATERAL (
    SELECT v.technician_id, n.provider_id
    FROM service.job j
    JOIN service.visit v USING (job_id)
    JOIN service.technician n USING (technician_id)
    WHERE j.ticket_id = t.ticket_id AND v.state <> 'cancelled'
    ORDER BY v.starts_at DESC
    LIMIT 1) last ON true
WHERE t.state IN ('resolved', 'closed') AND t.customer_id IS NOT NULL
  AND t.closed_at > %(since)s AND t.closed_at <= %(now)s
  AND t.kind <> ALL (%(unasked_kinds)s)
  AND (t.outcome IS NULL OR t.outcome <> ALL (%(unasked_outcomes)s))
  AND NOT EXISTS (SELECT FROM service.satisfaction s WHERE s.ticket_id = t.ticket_id)
  AND NOT EXISTS (SELECT FROM service.satisfaction s WHERE s.follow_up_ticket_id = t.ticket_id)
ORDER BY t.closed_at, t.ticket_id
LIMIT 200

-- name: whom_to_ask
-- The case's own contact, else the customer's first one.
SELECT c.name, c.phone, c.email, c.wechat, coalesce(c.language, k.language) AS language
FROM service.contact c
JOIN service.customer k USING (customer_id)
WHERE c.customer_id = %(customer_id)s AND c.active
ORDER BY c.contact_id = %(contact_id)s DESC NULLS LAST, c.role = 'main' DESC, c.contact_id
LIMIT 1

-- name: insert_question
INSERT INTO service.satisfaction
    (ticket_id, customer_id, state, not_asked_because, token_hash, asked_at, expires_at, technician_id, provider_id)
VALUES (%(ticket_id)s, %(customer_id)s, %(state)s, %(because)s, %(token_hash)s, %(now)s, %(expires_at)s,
        %(technician_id)s, %(provider_id)s)
ON CONFLICT (ticket_id) DO NOTHING
RETURNING satisfaction_id

-- name: linked_question
SELECT s.satisfaction_id, s.ticket_id, t.title, m.name || ' (serial number ' || a.serial || ')' AS machine, s.asked_at,
       s.expires_at, s.score, s.comment, s.answered_at
FROM service.satisfaction s
JOIN service.customer c USING (customer_id)
JOIN service.ticket t ON t.ticket_id = s.ticket_id
LEFT JOIN service.asset a ON a.asset_id = t.asset_id
LEFT JOIN service.product_model m USING (model_id)
WHERE s.token_hash = %(token_hash)s AND c.state <> 'erased'

-- name: lock_question
SELECT s.satisfaction_id, s.ticket_id, s.customer_id, s.state, s.asked_at, s.expires_at, s.answered_at, s.score,
       s.follow_up_ticket_id, t.asset_id, a.serial, t.owner_user_id
FROM service.satisfaction s
JOIN service.ticket t ON t.ticket_id = s.ticket_id
LEFT JOIN service.asset a ON a.asset_id = t.asset_id
WHERE s.satisfaction_id = %(satisfaction_id)s
FOR UPDATE OF s

-- name: answer_question
UPDATE service.satisfaction
SET state = %(to)s, score = %(score)s, comment = %(comment)s, answered_via = %(via)s,
    answered_at = coalesce(answered_at, %(now)s),
    changed_at = CASE WHEN answered_at IS NULL THEN NULL ELSE %(now)s END,
    version = version + 1
WHERE satisfaction_id = %(satisfaction_id)s

-- name: note_follow_up
UPDATE service.satisfaction SET follow_up_ticket_id = %(follow_up_id)s WHERE satisfaction_id = %(satisfaction_id)s

-- name: get_satisfaction
SELECT satisfaction_id, ticket_id, customer_id, state, not_asked_because, asked_at, expires_at, technician_id, provider_id,
       score, comment, answered_at, changed_at, answered_via, follow_up_ticket_id, version
FROM service.satisfaction
WHERE satisfaction_id = %(satisfaction_id)s

-- name: list_satisfaction
SELECT satisfaction_id, ticket_id, customer_id, state, not_asked_because, asked_at, expires_at, technician_id, provider_id,
       score, comment, answered_at, changed_at, answered_via, follow_up_ticket_id, version
FROM service.satisfaction
WHERE satisfaction_id > %(after_id)s
  AND (%(ticket_id)s::bigint IS NULL OR ticket_id = %(ticket_id)s)
  AND (%(customer_id)s::bigint IS NULL OR customer_id = %(customer_id)s)
  AND (%(technician_id)s::bigint IS NULL OR technician_id = %(technician_id)s)
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR asked_at >= %(since)s)
  AND (%(highest_score)s::int IS NULL OR score <= %(highest_score)s)
ORDER BY satisfaction_id
LIMIT %(fetch)s

-- name: summary_by_technician
SELECT s.technician_id, n.name, count(*) FILTER (WHERE s.state <> 'not_asked') AS asked, count(s.score) AS answered,
       round(avg(s.score), 2)::float8 AS average,
       ARRAY[count(*) FILTER (WHERE s.score = 1), count(*) FILTER (WHERE s.score = 2), count(*) FILTER (WHERE s.score = 3),
             count(*) FILTER (WHERE s.score = 4), count(*) FILTER (WHERE s.score = 5)] AS scores,
       count(*) FILTER (WHERE s.comment <> '') AS comments
FROM service.satisfaction s
JOIN service.technician n USING (technician_id)
WHERE s.technician_id > %(after_id)s AND s.asked_at >= %(since)s AND s.asked_at <= %(until)s
GROUP BY s.technician_id, n.name
ORDER BY s.technician_id
LIMIT %(fetch)s

-- name: summary_by_provider
SELECT s.provider_id, p.name, count(*) FILTER (WHERE s.state <> 'not_asked') AS asked, count(s.score) AS answered,
       round(avg(s.score), 2)::float8 AS average,
       ARRAY[count(*) FILTER (WHERE s.score = 1), count(*) FILTER (WHERE s.score = 2), count(*) FILTER (WHERE s.score = 3),
             count(*) FILTER (WHERE s.score = 4), count(*) FILTER (WHERE s.score = 5)] AS scores,
       count(*) FILTER (WHERE s.comment <> '') AS comments
FROM service.satisfaction s
JOIN service.provider p USING (provider_id)
WHERE s.provider_id > %(after_id)s AND s.asked_at >= %(since)s AND s.asked_at <= %(until)s
GROUP BY s.provider_id, p.name
ORDER BY s.provider_id
LIMIT %(fetch)s
