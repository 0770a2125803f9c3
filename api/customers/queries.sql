-- name: insert_customer
INSERT INTO service.customer (name, language) VALUES (%(name)s, %(language)s)
RETURNING customer_id, name, language, version

-- name: list_customers
SELECT customer_id, name, language, version
FROM service.customer
WHERE customer_id > %(after_id)s
ORDER BY customer_id
LIMIT %(fetch)s

-- name: insert_site
INSERT INTO service.site (name, customer_id, territory, latitude, longitude, time_zone)
VALUES (%(name)s, %(customer_id)s, %(territory)s, %(latitude)s, %(longitude)s, %(time_zone)s)
RETURNING site_id, name, customer_id, territory, latitude, longitude, time_zone

-- name: list_sites
SELECT site_id, name, customer_id, territory, latitude, longitude, time_zone
FROM service.site
WHERE site_id > %(after_id)s
ORDER BY site_id
LIMIT %(fetch)s

-- name: customer_exists
SELECT 1 AS there FROM service.customer WHERE customer_id = %(customer_id)s
