-- name: keep_content
-- Once per owner and content. The update locks the row, so that nobody removes it before the file is there.
INSERT INTO service.file_content (owner, sha256, content)
VALUES (%(owner)s, %(sha256)s, %(content)s)
ON CONFLICT (owner, sha256) DO UPDATE SET owner = excluded.owner

-- name: find_unattached
SELECT file_id
FROM service.file
WHERE owner = %(owner)s AND sha256 = %(sha256)s AND name = %(name)s AND attached_at IS NULL
ORDER BY file_id
LIMIT 1
FOR UPDATE

-- name: count_waiting
SELECT count(*) AS waiting
FROM (SELECT FROM service.file WHERE owner = %(owner)s AND attached_at IS NULL LIMIT %(most)s) few

-- name: touch_file
UPDATE service.file SET at = %(now)s WHERE file_id = %(file_id)s

-- name: insert_file
INSERT INTO service.file (owner, sha256, name, media_type, size_bytes, ticket_id, asset_id, customer_id, provider_id,
                          audience, uploaded_by, at, attached_at)
VALUES (%(owner)s, %(sha256)s, %(name)s, %(media_type)s, %(size_bytes)s, %(ticket_id)s, %(asset_id)s, %(customer_id)s,
        %(provider_id)s, %(audience)s, %(uploaded_by)s, %(now)s, %(attached_at)s)
RETURNING file_id

-- name: get_file
SELECT f.file_id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') AS sha256, f.ticket_id, f.asset_id, a.serial,
       f.audience, f.owner, f.uploaded_by, f.at, f.attached_at IS NOT NULL AS attached
FROM service.file f
LEFT JOIN service.asset a USING (asset_id)
WHERE f.file_id = %(file_id)s

-- name: get_content
SELECT f.name, f.media_type, encode(f.sha256, 'hex') AS sha256, c.content
FROM service.file f
JOIN service.file_content c USING (owner, sha256)
WHERE f.file_id = %(file_id)s

-- name: list_files_of_ticket
-- Of the case and of those that went into it.
SELECT f.file_id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') AS sha256, f.ticket_id, f.asset_id, a.serial,
       f.audience, f.owner, f.uploaded_by, f.at, f.attached_at IS NOT NULL AS attached
FROM service.file f
LEFT JOIN service.asset a USING (asset_id)
WHERE f.ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                                  SELECT o.ticket_id FROM service.ticket o WHERE o.merged_into = %(ticket_id)s))
  AND f.file_id > %(after_id)s
ORDER BY f.file_id
LIMIT %(fetch)s

-- name: list_files_of_asset
SELECT f.file_id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') AS sha256, f.ticket_id, f.asset_id, a.serial,
       f.audience, f.owner, f.uploaded_by, f.at, f.attached_at IS NOT NULL AS attached
FROM service.file f
JOIN service.asset a USING (asset_id)
WHERE f.asset_id = (SELECT asset_id FROM service.asset WHERE serial = %(serial)s) AND f.file_id > %(after_id)s
ORDER BY f.file_id
LIMIT %(fetch)s

-- name: lock_file
SELECT file_id, owner, ticket_id, asset_id, audience, attached_at
FROM service.file
WHERE file_id = %(file_id)s
FOR UPDATE

-- name: attach_file
UPDATE service.file
SET ticket_id = coalesce(ticket_id, %(ticket_id)s), asset_id = coalesce(asset_id, %(asset_id)s),
    audience = %(audience)s, attached_at = coalesce(attached_at, %(now)s)
WHERE file_id = %(file_id)s

-- name: ticket_exists
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: asset_of_serial
SELECT asset_id FROM service.asset WHERE serial = %(serial)s

-- name: delete_file
DELETE FROM service.file WHERE file_id = %(file_id)s

-- name: due_orphans
SELECT file_id
FROM service.file
WHERE attached_at IS NULL AND at < %(before)s
ORDER BY at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: keep_file
UPDATE service.file SET attached_at = %(now)s WHERE file_id = %(file_id)s

-- name: delete_unused_content
DELETE FROM service.file_content c
WHERE c.owner = %(owner)s AND c.sha256 = %(sha256)s
  AND NOT EXISTS (SELECT FROM service.file f WHERE f.owner = c.owner AND f.sha256 = c.sha256)

-- name: content_of_file
SELECT owner, sha256 FROM service.file WHERE file_id = %(file_id)s
