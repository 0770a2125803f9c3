-- name: ticket_of_asset
SELECT ticket_id, component FROM service.ticket
WHERE ticket_id = %(ticket_id)s AND asset_id = %(asset_id)s
FOR NO KEY UPDATE

-- name: series
SELECT a.asset_id, m.metric_id
FROM service.asset a JOIN telemetry.metric m ON m.name = %(metric)s
WHERE a.serial = %(serial)s

-- name: exceeded_raw
SELECT count(*) AS total, count(*) AS readings, max(value * %(sign)s) * %(sign)s AS extreme,
       count(*) FILTER (WHERE value * %(sign)s > %(threshold)s::float8 * %(sign)s) AS beyond,
       min(time) FILTER (WHERE value * %(sign)s > %(threshold)s::float8 * %(sign)s) AS first_at,
       max(time) FILTER (WHERE value * %(sign)s > %(threshold)s::float8 * %(sign)s) AS last_at
FROM telemetry.reading
WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND time >= %(from_time)s AND time < %(to_time)s

-- name: exceeded_hourly
SELECT count(*) AS total, coalesce(sum(h.readings), 0)::bigint AS readings, max(h.extreme * %(sign)s) * %(sign)s AS extreme,
       count(*) FILTER (WHERE h.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS beyond,
       min(h.bucket) FILTER (WHERE h.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS first_at,
       max(h.bucket) FILTER (WHERE h.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS last_at
FROM (SELECT bucket, readings, CASE WHEN %(sign)s > 0 THEN value_max ELSE value_min END AS extreme
      FROM telemetry.hourly
      WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(from_time)s AND bucket < %(to_time)s) AS h

-- name: exceeded_daily
SELECT count(*) AS total, coalesce(sum(d.readings), 0)::bigint AS readings, max(d.extreme * %(sign)s) * %(sign)s AS extreme,
       count(*) FILTER (WHERE d.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS beyond,
       min(d.bucket) FILTER (WHERE d.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS first_at,
       max(d.bucket) FILTER (WHERE d.extreme * %(sign)s > %(threshold)s::float8 * %(sign)s) AS last_at
FROM (SELECT bucket, readings, CASE WHEN %(sign)s > 0 THEN value_max ELSE value_min END AS extreme
      FROM telemetry.daily
      WHERE asset_id = %(asset_id)s AND metric_id = %(metric_id)s AND bucket >= %(from_time)s AND bucket < %(to_time)s) AS d

-- name: insert_denial
INSERT INTO service.warranty_denial
    (asset_id, ticket_id, component, reasons, note, evidence, customer_text, denied_at, denied_by)
VALUES (%(asset_id)s, %(ticket_id)s, %(component)s, %(reasons)s, %(note)s, %(evidence)s, %(customer_text)s, %(now)s,
        %(actor)s)
ON CONFLICT DO NOTHING
RETURNING denial_id

-- name: get_denial
SELECT d.denial_id, a.serial, d.asset_id, d.ticket_id, d.component, d.state, d.reasons, d.note, d.evidence, d.customer_text,
       d.denied_at, d.denied_by, d.overturned_at, d.overturned_by, d.overturn_reason
FROM service.warranty_denial d JOIN service.asset a USING (asset_id)
WHERE d.denial_id = %(denial_id)s

-- name: list_denials
SELECT d.denial_id, a.serial, d.ticket_id, d.component, d.state, d.reasons, d.note, d.customer_text, d.denied_at,
       d.denied_by, d.overturned_at, d.overturned_by, d.overturn_reason
FROM service.warranty_denial d JOIN service.asset a USING (asset_id)
WHERE d.denial_id > %(after_id)s
  AND (%(serial)s::text IS NULL OR d.asset_id = (SELECT s.asset_id FROM service.asset s WHERE s.serial = %(serial)s))
  AND (%(ticket_id)s::bigint IS NULL OR d.ticket_id = %(ticket_id)s)
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
ORDER BY d.denial_id
LIMIT %(fetch)s

-- name: lock_denial
SELECT denial_id, state FROM service.warranty_denial WHERE denial_id = %(denial_id)s FOR UPDATE

-- name: overturn
UPDATE service.warranty_denial
SET state = %(state)s, overturned_at = %(now)s, overturned_by = %(actor)s, overturn_reason = %(reason)s
WHERE denial_id = %(denial_id)s
