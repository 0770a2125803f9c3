-- name: lock_idempotency_key
SELECT pg_advisory_xact_lock(hashtextextended(%(principal)s::text || ' ' || %(key)s, 7266))

-- name: get_idempotency_key
SELECT request_hash, status, headers, body
FROM service.idempotency_key
WHERE principal = %(principal)s AND key = %(key)s

-- name: insert_idempotency_key
INSERT INTO service.idempotency_key (principal, key, method, path, request_hash, status, headers, body, created_at)
VALUES (%(principal)s, %(key)s, %(method)s, %(path)s, %(request_hash)s, %(status)s, %(headers)s, %(body)s, %(now)s)

-- name: begin_with_key
-- Who the key is, and the same told to the triggers and policies of this transaction, in one round trip.
SELECT 'key:' || api_key_id AS key, name, role, scopes, NULL::bigint AS user_id, customer_id, provider_id, technician_id,
       set_config('careloop.actor', name, true),
       set_config('careloop.actor_key', 'key:' || api_key_id, true),
       set_config('careloop.now', %(now)s::timestamptz::text, true),
       set_config('careloop.request_id', %(request_id)s::text, true),
       set_config('careloop.customer_id', coalesce(customer_id::text, ''), true),
       set_config('careloop.provider_id', coalesce(provider_id::text, ''), true)
FROM service.api_key
WHERE key_hash = %(key_hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)

-- name: begin_with_session
SELECT 'user:' || u.user_id AS key, u.name, u.role, NULL::text[] AS scopes, u.user_id, u.customer_id, u.provider_id,
       u.technician_id,
       set_config('careloop.actor', u.name, true),
       set_config('careloop.actor_key', 'user:' || u.user_id, true),
       set_config('careloop.now', %(now)s::timestamptz::text, true),
       set_config('careloop.request_id', %(request_id)s::text, true),
       set_config('careloop.customer_id', coalesce(u.customer_id::text, ''), true),
       set_config('careloop.provider_id', coalesce(u.provider_id::text, ''), true)
FROM service.session s
JOIN service.app_user u USING (user_id)
WHERE s.token_hash = %(key_hash)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s AND u.active

-- name: begin_as
SELECT set_config('careloop.actor', %(actor)s::text, true),
       set_config('careloop.actor_key', '', true),
       set_config('careloop.now', %(now)s::timestamptz::text, true),
       set_config('careloop.request_id', %(request_id)s::text, true)
