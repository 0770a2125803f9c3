-- name: insert_provider
INSERT INTO service.provider (code, name, phone, email, address, note, level, created_at)
VALUES (%(code)s, %(name)s, %(phone)s, %(email)s, %(address)s, %(note)s, %(level)s, %(now)s)
ON CONFLICT (code) DO NOTHING
RETURNING provider_id

-- name: get_provider
SELECT p.provider_id, p.code, p.name, p.phone, p.email, p.address, p.note, p.level, p.active, p.created_at, p.version,
       ARRAY(SELECT t.territory FROM service.provider_territory t WHERE t.provider_id = p.provider_id
             ORDER BY t.territory) AS territories
FROM service.provider p
WHERE p.provider_id = %(provider_id)s

-- name: list_providers
SELECT p.provider_id, p.code, p.name, p.phone, p.email, p.address, p.note, p.level, p.active, p.created_at, p.version,
       ARRAY(SELECT t.territory FROM service.provider_territory t WHERE t.provider_id = p.provider_id
             ORDER BY t.territory) AS territories
FROM service.provider p
WHERE p.provider_id > %(after_id)s
  AND (%(active)s::boolean IS NULL OR p.active = %(active)s)
  AND (%(code)s::text IS NULL OR p.code = %(code)s)
  AND (%(territory)s::text IS NULL OR EXISTS (
      SELECT FROM service.provider_territory t
      WHERE t.provider_id = p.provider_id AND t.territory = %(territory)s))
ORDER BY p.provider_id
LIMIT %(fetch)s

-- name: lock_provider
SELECT provider_id, name, phone, email, address, note, level, active, version
FROM service.provider
WHERE provider_id = %(provider_id)s
FOR NO KEY UPDATE

-- name: change_provider
UPDATE service.provider
SET name = %(name)s, phone = %(phone)s, email = %(email)s, address = %(address)s, note = %(note)s, level = %(level)s,
    active = %(active)s, version = version + 1
WHERE provider_id = %(provider_id)s

-- name: delete_territories
DELETE FROM service.provider_territory
WHERE provider_id = %(provider_id)s AND NOT territory = ANY (%(territories)s::text[])

-- name: insert_territories
INSERT INTO service.provider_territory (provider_id, territory)
SELECT %(provider_id)s, territory FROM unnest(%(territories)s::text[]) AS wanted (territory)
ON CONFLICT DO NOTHING

-- name: insert_contact
INSERT INTO service.provider_contact (provider_id, name, role, phone, email)
VALUES (%(provider_id)s, %(name)s, %(role)s, %(phone)s, %(email)s)
RETURNING provider_contact_id, provider_id, name, role, phone, email, version

-- name: list_contacts
SELECT provider_contact_id, provider_id, name, role, phone, email, version
FROM service.provider_contact
WHERE provider_id = %(provider_id)s AND provider_contact_id > %(after_id)s
ORDER BY provider_contact_id
LIMIT %(fetch)s

-- name: get_contact
SELECT provider_contact_id, provider_id, name, role, phone, email, version
FROM service.provider_contact
WHERE provider_id = %(provider_id)s AND provider_contact_id = %(provider_contact_id)s
FOR NO KEY UPDATE

-- name: change_contact
UPDATE service.provider_contact
SET name = %(name)s, role = %(role)s, phone = %(phone)s, email = %(email)s, version = version + 1
WHERE provider_contact_id = %(provider_contact_id)s
RETURNING provider_contact_id, provider_id, name, role, phone, email, version

-- name: delete_contact
DELETE FROM service.provider_contact
WHERE provider_id = %(provider_id)s AND provider_contact_id = %(provider_contact_id)s
RETURNING provider_contact_id
