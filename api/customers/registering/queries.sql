-- Many at once: arrays of columns, one statement for all rows.
-- name: find_people
-- Joined as a whole and not looked up one by one, so that no plan is bad for many.
WITH told AS MATERIALIZED (
    SELECT t.name, t.kind, t.phone, t.email, t.place
    FROM unnest(%(name)s::text[], %(kind)s::text[], %(phone)s::text[], %(email)s::text[])
         WITH ORDINALITY AS t (name, kind, phone, email, place)
), known AS (
    SELECT t.place, t.name, k.customer_id FROM told t JOIN service.contact k ON k.phone = t.phone WHERE k.active
    UNION ALL
    SELECT t.place, t.name, k.customer_id FROM told t JOIN service.contact k ON k.email = t.email WHERE k.active
    UNION ALL
    SELECT t.place, t.name, b.customer_id FROM told t JOIN service.customer b ON lower(b.name) = lower(t.name)
    WHERE t.phone IS NULL AND t.email IS NULL AND t.kind = 'business' AND b.kind = 'business'
)
SELECT t.place, min(c.customer_id) AS number
FROM told t
LEFT JOIN (known k JOIN service.customer c
           ON c.customer_id = k.customer_id AND c.state IN ('active', 'inactive') AND lower(c.name) = lower(k.name))
    ON k.place = t.place
GROUP BY t.place
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
WITH told AS MATERIALIZED (
    SELECT t.customer_id, lower(t.name) AS name, t.place
    FROM unnest(%(customer_id)s::bigint[], %(name)s::text[]) WITH ORDINALITY AS t (customer_id, name, place)
), known AS (
    SELECT t.place, s.site_id FROM told t
    JOIN service.site s ON s.customer_id = t.customer_id AND lower(s.name) = t.name AND s.active
    UNION ALL
    SELECT t.place, s.site_id FROM told t
    JOIN service.site s ON t.customer_id IS NULL AND s.customer_id IS NULL AND lower(s.name) = t.name AND s.active
)
SELECT t.place, min(k.site_id) AS number
FROM told t LEFT JOIN known k ON k.place = t.place
GROUP BY t.place
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
