-- Many at once: arrays of columns, one statement for all rows.
-- name: find_people
SELECT (
    SELECT c.customer_id
    FROM (
        SELECT k.customer_id FROM service.contact k WHERE k.phone = t.phone AND k.active
        UNION ALL
        SELECT k.customer_id FROM service.contact k WHERE k.email = t.email AND k.active
        UNION ALL
        SELECT b.customer_id FROM service.customer b
        WHERE t.phone IS NULL AND t.email IS NULL AND t.kind = 'business' AND b.kind = 'business'
          AND service.name_words(b.name) @@ service.name_query(t.name)
    ) AS known
    JOIN service.customer c USING (customer_id)
    WHERE c.state IN ('active', 'inactive') AND lower(c.name) = lower(t.name)
    ORDER BY c.customer_id
    LIMIT 1
) AS number
FROM unnest(%(name)s::text[], %(kind)s::text[], %(phone)s::text[], %(email)s::text[])
     WITH ORDINALITY AS t (name, kind, phone, email, place)
ORDER BY t.place

-- name: make_people
INSERT INTO service.customer (name, kind, language, country)
SELECT t.name, t.kind, t.language, t.country
FROM unnest(%(name)s::text[], %(kind)s::text[], %(language)s::text[], %(country)s::text[])
     WITH ORDINALITY AS t (name, kind, language, country, place)
ORDER BY t.place
RETURNING customer_id

-- name: make_main_contacts
INSERT INTO service.contact (customer_id, name, phone, email, language, created_at)
SELECT t.customer_id, t.name, t.phone, t.email, t.language, %(now)s
FROM unnest(%(customer_id)s::bigint[], %(name)s::text[], %(phone)s::text[], %(email)s::text[], %(language)s::text[])
     WITH ORDINALITY AS t (customer_id, name, phone, email, language, place)
WHERE t.phone IS NOT NULL OR t.email IS NOT NULL
ORDER BY t.place

-- name: find_places
SELECT (
    SELECT min(s.site_id)
    FROM (
        SELECT site_id, name, active FROM service.site WHERE customer_id = t.customer_id
        UNION ALL
        SELECT site_id, name, active FROM service.site WHERE t.customer_id IS NULL AND customer_id IS NULL
    ) AS s
    WHERE lower(s.name) = lower(t.name) AND s.active
) AS number
FROM unnest(%(customer_id)s::bigint[], %(name)s::text[]) WITH ORDINALITY AS t (customer_id, name, place)
ORDER BY t.place

-- name: make_places
INSERT INTO service.site
    (customer_id, name, street, postal_code, city, country, territory, time_zone, latitude, longitude)
SELECT t.customer_id, t.name, t.street, t.postal_code, t.city, t.country, coalesce(t.territory, 'default'),
       coalesce(t.time_zone, 'UTC'), t.latitude, t.longitude
FROM unnest(%(customer_id)s::bigint[], %(name)s::text[], %(street)s::text[], %(postal_code)s::text[], %(city)s::text[],
            %(country)s::text[], %(territory)s::text[], %(time_zone)s::text[], %(latitude)s::double precision[],
            %(longitude)s::double precision[])
     WITH ORDINALITY AS t (customer_id, name, street, postal_code, city, country, territory, time_zone, latitude,
                           longitude, place)
ORDER BY t.place
RETURNING site_id
