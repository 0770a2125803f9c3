-- name: list_terms
SELECT w.term_id, a.serial, w.name, w.starts_on, w.ends_on, t.ticket_id
FROM service.warranty_term w
JOIN service.asset a USING (asset_id)
LEFT JOIN service.ticket t USING (term_id)
WHERE w.term_id > %(after_id)s
  AND (%(ends_from)s::date IS NULL OR w.ends_on >= %(ends_from)s)
  AND (%(ends_before)s::date IS NULL OR w.ends_on < %(ends_before)s)
  AND (%(unticketed)s::boolean IS NULL OR (t.ticket_id IS NULL) = %(unticketed)s)
ORDER BY w.term_id
LIMIT %(fetch)s

-- name: get_term
SELECT w.term_id, w.asset_id, a.serial, w.name, w.starts_on, w.ends_on, t.ticket_id
FROM service.warranty_term w
JOIN service.asset a USING (asset_id)
LEFT JOIN service.ticket t USING (term_id)
WHERE w.term_id = %(term_id)s

-- name: terms_of_asset
SELECT w.term_id, w.name, w.starts_on, w.ends_on
FROM service.warranty_term w
WHERE w.asset_id = %(asset_id)s
ORDER BY w.term_id

-- name: time_zone_of_asset
SELECT coalesce(s.time_zone, 'UTC') AS time_zone
FROM service.asset a
LEFT JOIN service.site s USING (site_id)
WHERE a.asset_id = %(asset_id)s
