-- name: insert_key
INSERT INTO service.api_key (name, role, key_hash, created_at, expires_at)
VALUES (%(name)s, %(role)s, %(key_hash)s, %(now)s, %(expires_at)s)
RETURNING api_key_id, name, role, created_at, expires_at, revoked_at

-- name: list_keys
SELECT api_key_id, name, role, created_at, expires_at, revoked_at
FROM service.api_key
WHERE api_key_id > %(after_id)s
ORDER BY api_key_id
LIMIT %(fetch)s

-- name: revoke_key
UPDATE service.api_key SET revoked_at = coalesce(revoked_at, %(now)s)
WHERE api_key_id = %(api_key_id)s
RETURNING api_key_id, name, role, created_at, expires_at, revoked_at
