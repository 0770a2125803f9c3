-- name: lock_case
-- Two who write at once come one after the other, so that the case moves once.
SELECT t.ticket_id, t.state, t.title, t.merged_into, t.asset_id, t.customer_id
FROM service.ticket t
WHERE t.ticket_id = %(ticket_id)s
FOR UPDATE

-- name: case_exists
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: insert_message
INSERT INTO service.message (ticket_id, direction, audience, channel, author_kind, author_key, author_name, language,
                             template_code, external_id, body, at)
VALUES (%(ticket_id)s, %(direction)s, %(audience)s, %(channel)s, %(author_kind)s, %(author_key)s, %(author_name)s,
        %(language)s, %(template)s, %(external_id)s, %(body)s, %(now)s)
ON CONFLICT (channel, external_id) WHERE external_id IS NOT NULL DO NOTHING
RETURNING message_id

-- name: message_of_external_id
SELECT message_id, ticket_id FROM service.message WHERE channel = %(channel)s AND external_id = %(external_id)s

-- name: insert_message_file
INSERT INTO service.message_file (message_id, file_id) VALUES (%(message_id)s, %(file_id)s) ON CONFLICT DO NOTHING

-- name: list_messages
-- Of the case and of those that went into it.
SELECT m.message_id, m.ticket_id, m.direction, m.audience, m.channel, m.author_kind, m.author_key, m.author_name,
       m.language, m.template_code AS template, m.external_id, m.body, m.at, m.edited_at, m.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('file_id', f.file_id, 'name', f.name, 'media_type', f.media_type,
                                                     'size_bytes', f.size_bytes) ORDER BY f.file_id)
                 FROM service.message_file mf JOIN service.file f USING (file_id)
                 WHERE mf.message_id = m.message_id), '[]') AS files
FROM service.message m
WHERE m.ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                                  SELECT o.ticket_id FROM service.ticket o WHERE o.merged_into = %(ticket_id)s))
  AND m.message_id > %(after_id)s AND (m.direction = 'note') = %(notes)s
ORDER BY m.message_id
LIMIT %(fetch)s

-- name: get_message
SELECT m.message_id, m.ticket_id, m.direction, m.audience, m.channel, m.author_kind, m.author_key, m.author_name,
       m.language, m.template_code AS template, m.external_id, m.body, m.at, m.edited_at, m.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('file_id', f.file_id, 'name', f.name, 'media_type', f.media_type,
                                                     'size_bytes', f.size_bytes) ORDER BY f.file_id)
                 FROM service.message_file mf JOIN service.file f USING (file_id)
                 WHERE mf.message_id = m.message_id), '[]') AS files
FROM service.message m
WHERE m.message_id = %(message_id)s AND (m.direction = 'note') = %(notes)s
  AND m.ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                                  SELECT o.ticket_id FROM service.ticket o WHERE o.merged_into = %(ticket_id)s))

-- name: correct_message
UPDATE service.message
SET body = %(body)s, edited_at = %(now)s, version = version + 1
WHERE message_id = %(message_id)s AND version = %(version)s
RETURNING message_id

-- name: customer_wrote
INSERT INTO service.conversation (ticket_id, last_in_at, awaiting_since)
VALUES (%(ticket_id)s, %(now)s, %(now)s)
ON CONFLICT (ticket_id) DO UPDATE
SET last_in_at = excluded.last_in_at, awaiting_since = coalesce(service.conversation.awaiting_since, excluded.awaiting_since)

-- name: customer_was_answered
INSERT INTO service.conversation (ticket_id, last_out_at)
VALUES (%(ticket_id)s, %(now)s)
ON CONFLICT (ticket_id) DO UPDATE SET last_out_at = excluded.last_out_at, awaiting_since = NULL

-- name: mark_read
INSERT INTO service.message_read (ticket_id, reader, message_id, at)
VALUES (%(ticket_id)s, %(reader)s, %(message_id)s, %(now)s)
ON CONFLICT (ticket_id, reader) DO UPDATE
SET message_id = greatest(service.message_read.message_id, excluded.message_id), at = excluded.at

-- name: message_of_case
SELECT m.message_id FROM service.message m
WHERE m.message_id = %(message_id)s
  AND m.ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                                  SELECT o.ticket_id FROM service.ticket o WHERE o.merged_into = %(ticket_id)s))

-- name: get_conversation
SELECT t.ticket_id, c.last_in_at, c.last_out_at, c.awaiting_since, r.message_id AS read_up_to,
       (SELECT count(*) FROM (SELECT FROM service.message m
                              WHERE m.ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                                    SELECT o.ticket_id FROM service.ticket o WHERE o.merged_into = %(ticket_id)s))
                                AND m.message_id > coalesce(r.message_id, 0)
                                AND m.author_key <> %(reader)s
                              LIMIT 1000) few) AS unread
FROM service.ticket t
LEFT JOIN service.conversation c USING (ticket_id)
LEFT JOIN service.message_read r ON r.ticket_id = t.ticket_id AND r.reader = %(reader)s
WHERE t.ticket_id = %(ticket_id)s

-- name: list_awaiting
SELECT c.ticket_id, c.awaiting_since, t.title, t.priority, t.state, t.queue, t.owner_user_id
FROM service.conversation c
JOIN service.ticket t USING (ticket_id)
WHERE c.awaiting_since IS NOT NULL
  AND (c.awaiting_since, c.ticket_id) > (%(after_since)s, %(after_id)s::bigint)
ORDER BY c.awaiting_since, c.ticket_id
LIMIT %(fetch)s

-- name: facts_for_reply
SELECT t.ticket_id, t.title, a.serial, p.name AS model, c.name AS customer, c.language
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
LEFT JOIN service.product_model p USING (model_id)
LEFT JOIN service.customer c ON c.customer_id = t.customer_id
WHERE t.ticket_id = %(ticket_id)s

-- name: templates_of_code
SELECT code, language, body
FROM service.reply_template
WHERE code = %(code)s AND active AND language = ANY (%(languages)s)

-- name: insert_template
INSERT INTO service.reply_template (code, language, name, body)
VALUES (%(code)s, %(language)s, %(name)s, %(body)s)
ON CONFLICT (code, language) DO NOTHING
RETURNING template_id, code, language, name, body, active, version

-- name: list_templates
SELECT template_id, code, language, name, body, active, version
FROM service.reply_template
WHERE template_id > %(after_id)s
ORDER BY template_id
LIMIT %(fetch)s

-- name: get_template
SELECT template_id, code, language, name, body, active, version
FROM service.reply_template
WHERE template_id = %(template_id)s

-- name: change_template
UPDATE service.reply_template
SET name = %(name)s, body = %(body)s, active = %(active)s, version = version + 1
WHERE template_id = %(template_id)s AND version = %(version)s
RETURNING template_id
