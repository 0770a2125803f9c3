-- Customers ---------------------------------------------------------------------------------------

-- name: insert_customer
INSERT INTO service.customer
    (name, kind, language, country, tax_number, registration_number, channel, note, created_at)
VALUES (%(name)s, %(kind)s, %(language)s, %(country)s, %(tax_number)s, %(registration_number)s, %(channel)s, %(note)s,
        %(now)s)
RETURNING customer_id

-- name: get_customer
SELECT customer_id, name, kind, state, language, country, tax_number, registration_number, channel, note, merged_into,
       created_at, version
FROM service.customer
WHERE customer_id = %(customer_id)s

-- name: list_customers
-- Each filter becomes numbers by an index of its own; those are looked up in the order of the list.
SELECT c.customer_id, c.name, c.kind, c.state, c.language, c.country, c.tax_number, c.registration_number, c.channel,
       c.note, c.merged_into, c.created_at, c.version
FROM service.customer c
WHERE c.customer_id > %(after_id)s
  AND c.state = ANY (%(states)s)
  AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
  AND (%(channel)s::text IS NULL OR c.channel = %(channel)s)
  AND (%(tax_number)s::text IS NULL OR c.tax_number = %(tax_number)s)
  AND (%(phone)s::text IS NULL OR c.customer_id = ANY (ARRAY(
        SELECT o.customer_id FROM service.contact o WHERE o.phone = %(phone)s)))
  AND (%(last_digits)s::text IS NULL OR c.customer_id = ANY (ARRAY(
        SELECT o.customer_id FROM service.contact o WHERE reverse(o.phone) LIKE %(last_digits)s::text || '%%')))
  AND (%(email)s::text IS NULL OR c.customer_id = ANY (ARRAY(
        SELECT o.customer_id FROM service.contact o WHERE o.email = %(email)s)))
  AND (%(name)s::text IS NULL OR c.customer_id = ANY (ARRAY(
        SELECT o.customer_id FROM service.customer o WHERE service.name_words(o.name) @@ service.name_query(%(name)s)
        UNION
        SELECT o.customer_id FROM service.contact o WHERE service.name_words(o.name) @@ service.name_query(%(name)s))))
  AND (%(serial)s::text IS NULL OR c.customer_id = ANY (ARRAY(
        SELECT a.customer_id FROM service.asset a WHERE a.serial = %(serial)s
        UNION
        SELECT o.customer_id FROM service.asset_owner o JOIN service.asset a USING (asset_id) WHERE a.serial = %(serial)s
        UNION
        SELECT t.customer_id FROM service.ticket t JOIN service.asset a USING (asset_id) WHERE a.serial = %(serial)s)))
ORDER BY c.customer_id
LIMIT %(fetch)s

-- name: lock_customer
SELECT customer_id, name, kind, state, language, country, tax_number, registration_number, channel, note, merged_into,
       version
FROM service.customer
WHERE customer_id = %(customer_id)s
FOR NO KEY UPDATE

-- name: hold_customer
-- As a foreign key does: nobody merges or erases it before this transaction ends.
SELECT customer_id, state, merged_into
FROM service.customer
WHERE customer_id = %(customer_id)s
FOR KEY SHARE

-- name: change_customer
UPDATE service.customer
SET name = %(name)s, kind = %(kind)s, language = %(language)s, country = %(country)s, tax_number = %(tax_number)s,
    registration_number = %(registration_number)s, channel = %(channel)s, note = %(note)s, version = version + 1
WHERE customer_id = %(customer_id)s

-- name: move_customer
UPDATE service.customer SET state = %(to)s, version = version + 1 WHERE customer_id = %(customer_id)s

-- Contacts ----------------------------------------------------------------------------------------

-- name: insert_contact
INSERT INTO service.contact (customer_id, site_id, name, role, phone, email, wechat, language, created_at)
VALUES (%(customer_id)s, %(site_id)s, %(name)s, %(role)s, %(phone)s, %(email)s, %(wechat)s, %(language)s, %(now)s)
RETURNING contact_id, customer_id, site_id, name, role, phone, email, wechat, language, active, created_at, version

-- name: list_contacts
SELECT contact_id, customer_id, site_id, name, role, phone, email, wechat, language, active, created_at, version
FROM service.contact
WHERE customer_id = %(customer_id)s AND contact_id > %(after_id)s AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY contact_id
LIMIT %(fetch)s

-- name: get_contact
SELECT contact_id, customer_id, site_id, name, role, phone, email, wechat, language, active, created_at, version
FROM service.contact
WHERE contact_id = %(contact_id)s

-- name: lock_contact
SELECT contact_id, customer_id, site_id, name, role, phone, email, wechat, language, active, version
FROM service.contact
WHERE contact_id = %(contact_id)s
FOR NO KEY UPDATE

-- name: change_contact
UPDATE service.contact
SET site_id = %(site_id)s, name = %(name)s, role = %(role)s, phone = %(phone)s, email = %(email)s, wechat = %(wechat)s,
    language = %(language)s, active = %(active)s, version = version + 1
WHERE contact_id = %(contact_id)s
RETURNING contact_id, customer_id, site_id, name, role, phone, email, wechat, language, active, created_at, version

-- Sites -------------------------------------------------------------------------------------------

-- name: insert_site
INSERT INTO service.site
    (name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city, region, country)
VALUES (%(name)s, %(customer_id)s, %(territory)s, %(latitude)s, %(longitude)s, %(time_zone)s, %(street)s,
        %(address_extra)s, %(postal_code)s, %(city)s, %(region)s, %(country)s)
RETURNING site_id, name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city,
          region, country, active, version

-- name: list_sites
SELECT site_id, name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city,
       region, country, active, version
FROM service.site
WHERE site_id > %(after_id)s
  AND (%(customer_id)s::bigint IS NULL OR customer_id = %(customer_id)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY site_id
LIMIT %(fetch)s

-- name: get_site
SELECT site_id, name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city,
       region, country, active, version
FROM service.site
WHERE site_id = %(site_id)s

-- name: lock_site
SELECT site_id, name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city,
       region, country, active, version
FROM service.site
WHERE site_id = %(site_id)s
FOR NO KEY UPDATE

-- name: change_site
UPDATE service.site
SET name = %(name)s, territory = %(territory)s, latitude = %(latitude)s, longitude = %(longitude)s,
    time_zone = %(time_zone)s, street = %(street)s, address_extra = %(address_extra)s, postal_code = %(postal_code)s,
    city = %(city)s, region = %(region)s, country = %(country)s, active = %(active)s, version = version + 1
WHERE site_id = %(site_id)s
RETURNING site_id, name, customer_id, territory, latitude, longitude, time_zone, street, address_extra, postal_code, city,
          region, country, active, version

-- Consents ----------------------------------------------------------------------------------------

-- name: insert_consent
INSERT INTO service.consent (customer_id, channel, purpose, state, at, source, recorded_by, recorded_at)
VALUES (%(customer_id)s, %(channel)s, %(purpose)s, %(state)s, %(at)s, %(source)s, %(actor)s, %(now)s)
RETURNING consent_id, customer_id, channel, purpose, state, at, source, recorded_by, recorded_at

-- name: current_consents
SELECT DISTINCT ON (channel, purpose) channel, purpose, state, at, source
FROM service.consent
WHERE customer_id = %(customer_id)s
ORDER BY channel, purpose, at DESC, consent_id DESC

-- name: list_consents
SELECT consent_id, customer_id, channel, purpose, state, at, source, recorded_by, recorded_at
FROM service.consent
WHERE customer_id = %(customer_id)s AND consent_id > %(after_id)s
ORDER BY consent_id
LIMIT %(fetch)s

-- Duplicates --------------------------------------------------------------------------------------

-- name: duplicates_of
WITH shared AS (
    SELECT o.customer_id, 'phone' AS reason, o.phone AS value
    FROM service.contact m JOIN service.contact o ON o.phone = m.phone
    WHERE m.customer_id = %(customer_id)s
    UNION
    SELECT o.customer_id, 'email', o.email
    FROM service.contact m JOIN service.contact o ON o.email = m.email
    WHERE m.customer_id = %(customer_id)s
    UNION
    SELECT o.customer_id, 'tax_number', o.tax_number
    FROM service.customer m JOIN service.customer o ON o.tax_number = m.tax_number
    WHERE m.customer_id = %(customer_id)s
    UNION
    SELECT o.customer_id, 'registration_number', o.registration_number
    FROM service.customer m JOIN service.customer o ON o.registration_number = m.registration_number
    WHERE m.customer_id = %(customer_id)s
    UNION
    SELECT o.customer_id, 'serial', a.serial
    FROM service.asset_owner m JOIN service.asset_owner o USING (asset_id) JOIN service.asset a USING (asset_id)
    WHERE m.customer_id = %(customer_id)s
    UNION
    SELECT t.customer_id, 'serial', a.serial
    FROM service.asset a JOIN service.ticket t USING (asset_id)
    WHERE a.customer_id = %(customer_id)s
    UNION
    SELECT a.customer_id, 'serial', a.serial
    FROM service.ticket t JOIN service.asset a USING (asset_id)
    WHERE t.customer_id = %(customer_id)s
)
SELECT c.customer_id, c.name, c.kind,
       jsonb_agg(jsonb_build_object('reason', s.reason, 'value', s.value) ORDER BY s.reason, s.value) AS reasons
FROM shared s
JOIN service.customer c USING (customer_id)
WHERE c.customer_id <> %(customer_id)s AND c.state IN ('active', 'inactive')
GROUP BY c.customer_id
ORDER BY count(*) DESC, c.customer_id
LIMIT 100

-- name: list_duplicates
-- What more than twenty share is nobody's own: a hotel's desk, a mailbox for noreply.
WITH phones AS (
    SELECT phone FROM service.contact WHERE phone IS NOT NULL
    GROUP BY phone HAVING count(DISTINCT customer_id) BETWEEN 2 AND 20
), emails AS (
    SELECT email FROM service.contact WHERE email IS NOT NULL
    GROUP BY email HAVING count(DISTINCT customer_id) BETWEEN 2 AND 20
), taxes AS (
    SELECT tax_number FROM service.customer WHERE tax_number IS NOT NULL
    GROUP BY tax_number HAVING count(*) BETWEEN 2 AND 20
), registers AS (
    SELECT registration_number FROM service.customer WHERE registration_number IS NOT NULL
    GROUP BY registration_number HAVING count(*) BETWEEN 2 AND 20
), serials AS (
    SELECT asset_id FROM service.asset_owner
    GROUP BY asset_id HAVING count(DISTINCT customer_id) BETWEEN 2 AND 20
), shared AS (
    SELECT customer_id, 'phone' AS reason, phone AS value FROM phones JOIN service.contact USING (phone)
    UNION
    SELECT customer_id, 'email', email FROM emails JOIN service.contact USING (email)
    UNION
    SELECT customer_id, 'tax_number', tax_number FROM taxes JOIN service.customer USING (tax_number)
    UNION
    SELECT customer_id, 'registration_number', registration_number
    FROM registers JOIN service.customer USING (registration_number)
    UNION
    SELECT o.customer_id, 'serial', a.serial
    FROM serials JOIN service.asset_owner o USING (asset_id) JOIN service.asset a USING (asset_id)
), pairs AS (
    SELECT one.customer_id, other.customer_id AS other_id,
           jsonb_agg(jsonb_build_object('reason', one.reason, 'value', one.value) ORDER BY one.reason, one.value) AS reasons
    FROM shared one
    JOIN shared other USING (reason, value)
    WHERE one.customer_id > %(after_id)s AND other.customer_id > one.customer_id
    GROUP BY one.customer_id, other.customer_id
)
SELECT c.customer_id, c.name, c.kind,
       jsonb_agg(jsonb_build_object('customer_id', o.customer_id, 'name', o.name, 'kind', o.kind, 'reasons', p.reasons)
                 ORDER BY o.customer_id) AS duplicates
FROM pairs p
JOIN service.customer c ON c.customer_id = p.customer_id
JOIN service.customer o ON o.customer_id = p.other_id
WHERE c.state IN ('active', 'inactive') AND o.state IN ('active', 'inactive')
GROUP BY c.customer_id
ORDER BY c.customer_id
LIMIT %(fetch)s

-- Merging -----------------------------------------------------------------------------------------

-- name: lock_both
-- In ascending order, so that two merges never wait for one another.
SELECT customer_id, state, merged_into, version
FROM service.customer
WHERE customer_id IN (%(from_customer)s, %(into_customer)s)
ORDER BY customer_id
FOR UPDATE

-- name: references_to_customer
SELECT n.nspname AS schema_name, c.relname AS table_name, a.attname AS column_name
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND k.confrelid = 'service.customer'::regclass AND k.conparentid = 0
ORDER BY 1, 2, 3

-- name: take_over
-- What the survivor does not know yet it takes from the other.
UPDATE service.customer s
SET country = coalesce(s.country, m.country),
    channel = coalesce(s.channel, m.channel),
    tax_number = CASE WHEN s.kind = 'business' THEN coalesce(s.tax_number, m.tax_number) END,
    registration_number = CASE WHEN s.kind = 'business' THEN coalesce(s.registration_number, m.registration_number) END,
    note = concat_ws(E'\n', nullif(s.note, ''), nullif(m.note, '')),
    version = s.version + 1
FROM service.customer m
WHERE s.customer_id = %(into_customer)s AND m.customer_id = %(from_customer)s

-- name: retire_merged
UPDATE service.customer
SET state = %(to)s, merged_into = %(into_customer)s, version = version + 1
WHERE customer_id = %(from_customer)s

-- name: rest_double_contacts
UPDATE service.contact c
SET active = false, version = version + 1
WHERE c.customer_id = %(into_customer)s AND c.active
  AND EXISTS (SELECT FROM service.contact o
              WHERE o.customer_id = c.customer_id AND o.active AND o.contact_id < c.contact_id
                AND (o.name, o.phone, o.email, o.wechat, o.site_id)
                    IS NOT DISTINCT FROM (c.name, c.phone, c.email, c.wechat, c.site_id))

-- name: insert_merge
INSERT INTO service.customer_merge (from_customer, into_customer, at, actor, moved, consents_withdrawn)
VALUES (%(from_customer)s, %(into_customer)s, %(now)s, %(actor)s, %(moved)s, %(withdrawn)s)
RETURNING merge_id, from_customer, into_customer, at, actor, moved, consents_withdrawn

-- name: merge_of
SELECT merge_id, from_customer, into_customer, at, actor, moved, consents_withdrawn
FROM service.customer_merge
WHERE from_customer = %(from_customer)s

-- name: list_merges
SELECT merge_id, from_customer, into_customer, at, actor, moved, consents_withdrawn
FROM service.customer_merge
WHERE into_customer = %(customer_id)s AND merge_id > %(after_id)s
ORDER BY merge_id
LIMIT %(fetch)s

-- name: merges_lately
SELECT c.customer_id AS from_customer, c.merged_into AS into_customer
FROM service.customer_merge m
JOIN service.customer c ON c.customer_id = m.from_customer AND c.merged_into IS NOT NULL
WHERE m.at > %(since)s AND m.at <= %(now)s
ORDER BY m.at, m.merge_id
LIMIT 100
