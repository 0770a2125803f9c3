-- name: find_model
SELECT model_id FROM service.product_model WHERE code = %(model)s

-- name: insert_claim_key
INSERT INTO service.claim_key (batch, model_id, gateway, serial_pattern, serials, asset_pattern, register_assets, key_hash,
                               max_claims, created_at, expires_at)
VALUES (%(batch)s, %(model_id)s, %(gateway)s, %(serial_pattern)s, %(serials)s::text[], %(asset_pattern)s,
        %(register_assets)s, %(key_hash)s, %(max_claims)s, %(now)s, %(expires_at)s)
RETURNING claim_key_id

-- name: list_claim_keys
SELECT k.claim_key_id, k.batch, m.code AS model, k.gateway, k.serial_pattern, k.serials, k.asset_pattern,
       k.register_assets, k.max_claims, k.claims, k.created_at, k.expires_at, k.revoked_at
FROM service.claim_key k JOIN service.product_model m USING (model_id)
WHERE k.claim_key_id > %(after_id)s
ORDER BY k.claim_key_id
LIMIT %(fetch)s

-- name: get_claim_key
SELECT k.claim_key_id, k.batch, m.code AS model, k.gateway, k.serial_pattern, k.serials, k.asset_pattern,
       k.register_assets, k.max_claims, k.claims, k.created_at, k.expires_at, k.revoked_at
FROM service.claim_key k JOIN service.product_model m USING (model_id)
WHERE k.claim_key_id = %(claim_key_id)s

-- name: revoke_claim_key
UPDATE service.claim_key SET revoked_at = coalesce(revoked_at, %(now)s)
WHERE claim_key_id = %(claim_key_id)s
RETURNING claim_key_id

-- name: find_claim_key
SELECT k.claim_key_id, k.model_id, m.code AS model, k.gateway, k.serial_pattern, k.serials, k.asset_pattern,
       k.register_assets, k.expires_at, k.revoked_at
FROM service.claim_key k JOIN service.product_model m USING (model_id)
WHERE k.key_hash = %(key_hash)s

-- name: count_claim
UPDATE service.claim_key SET claims = claims + 1
WHERE claim_key_id = %(claim_key_id)s AND claims < max_claims
RETURNING claims

-- name: lock_agent
SELECT pg_advisory_xact_lock(7266006, hashtext(%(agent_id)s))

-- name: find_device
SELECT device_id, agent_id, claim_key_id, gateway, kind, state, proof_hash, password_salt, password_hash,
       previous_password_hash
FROM service.device
WHERE agent_id = %(agent_id)s
FOR UPDATE

-- name: upsert_device
INSERT INTO service.device (agent_id, claim_key_id, gateway, kind, state, proof_hash, password_salt, password_hash,
                            claimed_at)
VALUES (%(agent_id)s, %(claim_key_id)s, %(gateway)s, %(kind)s, 'active', %(proof_hash)s, %(password_salt)s,
        %(password_hash)s, %(now)s)
ON CONFLICT (agent_id) DO UPDATE
SET claim_key_id = excluded.claim_key_id, gateway = excluded.gateway, kind = excluded.kind, state = 'active',
    proof_hash = excluded.proof_hash, password_salt = excluded.password_salt, password_hash = excluded.password_hash,
    previous_password_hash = NULL, claimed_at = excluded.claimed_at, renewed_at = NULL, ended_at = NULL
RETURNING device_id

-- name: renew_device
UPDATE service.device
SET kind = %(kind)s, proof_hash = %(proof_hash)s, password_salt = %(password_salt)s,
    previous_password_hash = password_hash, password_hash = %(password_hash)s, renewed_at = %(now)s
WHERE device_id = %(device_id)s

-- name: end_device
UPDATE service.device
SET state = %(state)s, ended_at = coalesce(ended_at, %(now)s), password_salt = NULL, password_hash = NULL,
    previous_password_hash = NULL, proof_hash = NULL
WHERE device_id = %(device_id)s
RETURNING device_id

-- name: insert_certificate
INSERT INTO service.device_certificate (serial_number, device_id, public_key_hash, certificate, issued_at, expires_at)
VALUES (%(serial_number)s, %(device_id)s, %(public_key_hash)s, %(certificate)s, %(issued_at)s, %(expires_at)s)

-- name: current_certificate
SELECT serial_number, certificate, public_key_hash, issued_at, expires_at
FROM service.device_certificate
WHERE device_id = %(device_id)s AND public_key_hash = %(public_key_hash)s AND revoked_at IS NULL
  AND expires_at > %(now)s
ORDER BY issued_at DESC
LIMIT 1

-- name: get_certificate
SELECT device_id, expires_at, revoked_at FROM service.device_certificate WHERE serial_number = %(serial_number)s

-- name: revoke_certificates
UPDATE service.device_certificate SET revoked_at = %(now)s
WHERE device_id = %(device_id)s AND revoked_at IS NULL

-- name: list_devices
SELECT d.device_id, d.agent_id, k.batch, d.claim_key_id, d.gateway, d.kind, d.state, d.claimed_at, d.renewed_at, d.ended_at,
       (SELECT max(c.expires_at) FROM service.device_certificate c
        WHERE c.device_id = d.device_id AND c.revoked_at IS NULL) AS expires_at,
       coalesce((SELECT jsonb_agg(a.serial ORDER BY a.serial)
                 FROM service.device_asset da JOIN service.asset a USING (asset_id)
                 WHERE da.device_id = d.device_id), '[]') AS assets
FROM service.device d JOIN service.claim_key k USING (claim_key_id)
WHERE d.device_id > %(after_id)s AND d.state = ANY (%(states)s)
ORDER BY d.device_id
LIMIT %(fetch)s

-- name: get_device
SELECT d.device_id, d.agent_id, k.batch, d.claim_key_id, d.gateway, d.kind, d.state, d.claimed_at, d.renewed_at, d.ended_at,
       (SELECT max(c.expires_at) FROM service.device_certificate c
        WHERE c.device_id = d.device_id AND c.revoked_at IS NULL) AS expires_at,
       coalesce((SELECT jsonb_agg(a.serial ORDER BY a.serial)
                 FROM service.device_asset da JOIN service.asset a USING (asset_id)
                 WHERE da.device_id = d.device_id), '[]') AS assets
FROM service.device d JOIN service.claim_key k USING (claim_key_id)
WHERE d.device_id = %(device_id)s

-- name: lock_device
SELECT device_id, state, gateway FROM service.device WHERE device_id = %(device_id)s FOR UPDATE

-- name: list_certificates
SELECT row_number() OVER (ORDER BY issued_at, serial_number) AS number, serial_number, issued_at, expires_at, revoked_at
FROM service.device_certificate
WHERE device_id = %(device_id)s
ORDER BY issued_at, serial_number
LIMIT 500

-- name: find_asset
SELECT a.asset_id, a.state, m.code AS model
FROM service.asset a JOIN service.product_model m USING (model_id)
WHERE a.serial = %(serial)s

-- name: register_asset
INSERT INTO service.asset (serial, model_id, installed_at, created_at)
VALUES (%(serial)s, %(model_id)s, %(now)s, %(now)s)
ON CONFLICT (serial) DO NOTHING
RETURNING asset_id

-- name: speaker_of
SELECT d.agent_id
FROM service.device d LEFT JOIN service.device_asset da ON da.device_id = d.device_id AND da.asset_id = %(asset_id)s
WHERE d.state = 'active' AND d.device_id <> %(device_id)s AND (da.asset_id IS NOT NULL OR d.agent_id = %(serial)s)
LIMIT 1

-- name: give_asset
INSERT INTO service.device_asset (asset_id, device_id) VALUES (%(asset_id)s, %(device_id)s)
ON CONFLICT (asset_id) DO UPDATE SET device_id = excluded.device_id

-- name: drop_assets
DELETE FROM service.device_asset WHERE device_id = %(device_id)s

-- name: count_revision
UPDATE service.device_revision SET revision = revision + 1

-- name: get_revision
SELECT revision FROM service.device_revision

-- name: all_devices
SELECT d.agent_id, d.state, d.password_hash,
       coalesce((SELECT array_agg(a.serial ORDER BY a.serial)
                 FROM service.device_asset da JOIN service.asset a USING (asset_id)
                 WHERE da.device_id = d.device_id), '{}') AS assets
FROM service.device d
ORDER BY d.agent_id

-- name: revoked_certificates
SELECT serial_number, revoked_at FROM service.device_certificate
WHERE revoked_at IS NOT NULL AND expires_at > %(now)s
ORDER BY revoked_at, serial_number

-- name: account
SELECT d.agent_id, d.kind, d.state, d.password_hash,
       (SELECT max(c.expires_at) FROM service.device_certificate c
        WHERE c.device_id = d.device_id AND c.revoked_at IS NULL) AS expires_at,
       coalesce((SELECT array_agg(a.serial)
                 FROM service.device_asset da JOIN service.asset a USING (asset_id)
                 WHERE da.device_id = d.device_id), '{}') AS assets
FROM service.device d
WHERE d.agent_id = %(agent_id)s
