-- name: insert_key
INSERT INTO service.api_key
    (name, role, scopes, key_hash, created_at, expires_at, customer_id, provider_id, technician_id)
VALUES (%(name)s, %(role)s, %(scopes)s, %(key_hash)s, %(now)s, %(expires_at)s, %(customer_id)s, %(provider_id)s,
        %(technician_id)s)
RETURNING api_key_id, name, role, scopes, customer_id, provider_id, technician_id, created_at, expires_at, revoked_at

-- name: list_keys
SELECT api_key_id, name, role, scopes, customer_id, provider_id, technician_id, created_at, expires_at, revoked_at
FROM service.api_key
WHERE api_key_id > %(after_id)s
ORDER BY api_key_id
LIMIT %(fetch)s

-- name: revoke_key
UPDATE service.api_key SET revoked_at = coalesce(revoked_at, %(now)s)
WHERE api_key_id = %(api_key_id)s
RETURNING api_key_id, name, role, scopes, customer_id, provider_id, technician_id, created_at, expires_at, revoked_at

-- name: belongings
-- Whether those that somebody is tied to are there, and which partner the technician belongs to.
SELECT EXISTS (SELECT FROM service.customer WHERE customer_id = %(customer_id)s::bigint) AS customer,
       EXISTS (SELECT FROM service.provider WHERE provider_id = %(provider_id)s::bigint) AS provider,
       EXISTS (SELECT FROM service.technician WHERE technician_id = %(technician_id)s::bigint) AS technician,
       (SELECT provider_id FROM service.technician WHERE technician_id = %(technician_id)s::bigint) AS technicians_provider_id

-- name: insert_user
INSERT INTO service.app_user
    (login, name, role, email, customer_id, provider_id, technician_id, oidc_issuer, oidc_subject, created_at)
VALUES (%(login)s, %(name)s, %(role)s, %(email)s, %(customer_id)s, %(provider_id)s, %(technician_id)s,
        %(oidc_issuer)s, %(oidc_subject)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING user_id

-- name: get_user
SELECT user_id, login, name, role, email, customer_id, provider_id, technician_id, active,
       password_hash IS NOT NULL AS has_password, oidc_subject, created_at, last_login_at, version
FROM service.app_user
WHERE user_id = %(user_id)s

-- name: list_users
-- Planned anew each time, so that the filters given decide the index.
SELECT user_id, login, name, role, email, customer_id, provider_id, technician_id, active,
       password_hash IS NOT NULL AS has_password, oidc_subject, created_at, last_login_at, version
FROM service.app_user
WHERE user_id > %(after_id)s
  AND (%(login)s::text IS NULL OR login = %(login)s)
  AND (%(role)s::text IS NULL OR role = %(role)s)
  AND (%(customer_id)s::bigint IS NULL OR customer_id = %(customer_id)s)
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY user_id
LIMIT %(fetch)s

-- name: lock_user
SELECT user_id, login, name, role, email, customer_id, provider_id, technician_id, active, version
FROM service.app_user
WHERE user_id = %(user_id)s
FOR NO KEY UPDATE

-- name: change_user
UPDATE service.app_user
SET name = %(name)s, email = %(email)s, role = %(role)s, customer_id = %(customer_id)s, provider_id = %(provider_id)s,
    technician_id = %(technician_id)s, active = %(active)s, version = version + 1
WHERE user_id = %(user_id)s

-- name: set_password
UPDATE service.app_user
SET password_hash = %(password_hash)s, password_changed_at = %(now)s, version = version + 1
WHERE user_id = %(user_id)s

-- name: renew_hash
-- The same password, kept by today's parameters; nothing if it was changed meanwhile.
UPDATE service.app_user SET password_hash = %(password_hash)s
WHERE user_id = %(user_id)s AND password_hash = %(kept)s

-- name: password_of
SELECT user_id, login, password_hash FROM service.app_user WHERE user_id = %(user_id)s AND active

-- name: password_of_login
SELECT user_id, login, password_hash FROM service.app_user WHERE login = %(login)s AND active

-- name: insert_session
-- Nothing for a user who has been deactivated, or given another password, since it was checked.
INSERT INTO service.session (user_id, token_hash, method, created_at, expires_at)
SELECT user_id, %(token_hash)s, %(method)s, %(now)s, %(expires_at)s
FROM service.app_user
WHERE user_id = %(user_id)s AND active
  AND (%(method)s <> 'password' OR password_hash = ANY (%(hashes)s::text[]))
FOR SHARE
RETURNING session_id

-- name: note_login
UPDATE service.app_user SET last_login_at = %(now)s WHERE user_id = %(user_id)s

-- name: end_session
UPDATE service.session SET revoked_at = %(now)s WHERE token_hash = %(token_hash)s AND revoked_at IS NULL

-- name: end_sessions_of
UPDATE service.session SET revoked_at = %(now)s
WHERE user_id = %(user_id)s AND revoked_at IS NULL AND token_hash IS DISTINCT FROM %(but)s::bytea

-- name: insert_oidc_attempt
INSERT INTO service.oidc_attempt (state_hash, browser_hash, nonce, code_verifier, expires_at)
VALUES (%(state_hash)s, %(browser_hash)s, %(nonce)s, %(code_verifier)s, %(expires_at)s)

-- name: use_oidc_attempt
-- Each once, whatever becomes of it.
DELETE FROM service.oidc_attempt
WHERE state_hash = %(state_hash)s
RETURNING browser_hash, nonce, code_verifier, expires_at

-- name: user_of_subject
SELECT user_id, role, active FROM service.app_user
WHERE oidc_issuer = %(oidc_issuer)s AND oidc_subject = %(oidc_subject)s
FOR NO KEY UPDATE

-- name: link_by_email
UPDATE service.app_user
SET oidc_issuer = %(oidc_issuer)s, oidc_subject = %(oidc_subject)s, version = version + 1
WHERE lower(email) = lower(%(email)s) AND oidc_subject IS NULL AND active
RETURNING user_id, role, active

-- name: set_role
UPDATE service.app_user SET role = %(role)s, version = version + 1
WHERE user_id = %(user_id)s AND role <> %(role)s

-- name: delete_old_sessions
DELETE FROM service.session
WHERE session_id IN (
    SELECT session_id FROM service.session
    WHERE expires_at < %(before)s
    ORDER BY expires_at
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)

-- name: delete_old_attempts
DELETE FROM service.oidc_attempt
WHERE state_hash IN (
    SELECT state_hash FROM service.oidc_attempt
    WHERE expires_at < %(before)s
    ORDER BY expires_at
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)

-- name: list_audit
-- Planned anew each time, so that the filters given decide the index.
SELECT audit_id, at, actor, actor_key, request_id, table_name, action, row_key, ticket_id, customer_id, asset_id, before, after
FROM service.audit
WHERE audit_id > %(after_id)s
  AND (%(ticket_id)s::bigint IS NULL OR ticket_id = %(ticket_id)s)
  AND (%(customer_id)s::bigint IS NULL OR customer_id = %(customer_id)s)
  AND (%(asset_id)s::integer IS NULL OR asset_id = %(asset_id)s)
  AND (%(actor)s::text IS NULL OR actor_key = %(actor)s)
  AND (%(table_name)s::text IS NULL OR table_name = %(table_name)s)
  AND (%(row_key)s::text IS NULL OR row_key = %(row_key)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY audit_id
LIMIT %(fetch)s

-- name: list_audit_by_time
-- A page begins after the time and number of the last line of the page before.
SELECT audit_id, at, actor, actor_key, request_id, table_name, action, row_key, ticket_id, customer_id, asset_id, before, after
FROM service.audit
WHERE at >= coalesce(%(since)s::timestamptz, '-infinity')
  AND at < coalesce(%(until)s::timestamptz, 'infinity')
  AND (at, audit_id) > (coalesce((SELECT at FROM service.audit WHERE audit_id = %(after_id)s), '-infinity'), %(after_id)s)
ORDER BY at, audit_id
LIMIT %(fetch)s

-- name: asset_of_serial
SELECT asset_id FROM service.asset WHERE serial = %(serial)s
