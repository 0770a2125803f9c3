-- name: lock_idempotency_key
SELECT pg_advisory_xact_lock(hashtextextended(%(principal)s::text || ' ' || %(key)s, 7266))

-- name: get_idempotency_key
SELECT request_hash, status, headers, body
FROM service.idempotency_key
WHERE principal = %(principal)s AND key = %(key)s

-- name: insert_idempotency_key
INSERT INTO service.idempotency_key (principal, key, method, path, request_hash, status, headers, body, created_at)
VALUES (%(principal)s, %(key)s, %(method)s, %(path)s, %(request_hash)s, %(status)s, %(headers)s, %(body)s, %(now)s)

-- name: find_key
SELECT api_key_id, name, role, expires_at, revoked_at
FROM service.api_key
WHERE key_hash = %(key_hash)s
