-- name: insert_card
INSERT INTO service.rate_card (name, provider_id, level, country, currency, valid_from, valid_until, created_at, created_by)
VALUES (%(name)s, %(provider_id)s, %(level)s, %(country)s, %(currency)s, %(valid_from)s, %(valid_until)s, %(now)s, %(actor)s)
RETURNING rate_card_id

-- name: insert_rules
INSERT INTO service.rate_card_line
    (rate_card_id, place, kind, code, basis, amount_minor, percent_bp, job_type, skill, territory, in_warranty, condition,
     clock, from_km)
SELECT %(rate_card_id)s, w.place, w.kind, w.code, w.basis, w.amount_minor, w.percent_bp, w.job_type, w.skill, w.territory,
       w.in_warranty, w.condition, w.clock, w.from_km
FROM unnest(%(kind)s::text[], %(code)s::text[], %(basis)s::text[], %(amount_minor)s::bigint[], %(percent_bp)s::integer[],
            %(job_type)s::text[], %(skill)s::text[], %(territory)s::text[], %(in_warranty)s::boolean[],
            %(condition)s::text[], %(clock)s::text[], %(from_km)s::integer[]) WITH ORDINALITY
    AS w (kind, code, basis, amount_minor, percent_bp, job_type, skill, territory, in_warranty, condition, clock, from_km,
          place)

-- name: delete_rules
DELETE FROM service.rate_card_line WHERE rate_card_id = %(rate_card_id)s

-- name: get_card
SELECT rate_card_id, name, provider_id, level, country, currency, valid_from, valid_until, state, created_at, created_by,
       activated_at, version
FROM service.rate_card
WHERE rate_card_id = %(rate_card_id)s

-- name: lock_card
SELECT rate_card_id, name, provider_id, level, country, currency, valid_from, valid_until, state, version
FROM service.rate_card
WHERE rate_card_id = %(rate_card_id)s
FOR UPDATE

-- name: get_rules
SELECT rate_card_line_id, kind, code, basis, amount_minor, percent_bp, job_type, skill, territory, in_warranty, condition,
       clock, from_km
FROM service.rate_card_line
WHERE rate_card_id = %(rate_card_id)s
ORDER BY place

-- name: list_cards
SELECT rate_card_id, name, provider_id, level, country, currency, valid_from, valid_until, state, created_at, created_by,
       activated_at, version
FROM service.rate_card
WHERE rate_card_id > %(after_id)s
  AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY rate_card_id
LIMIT %(fetch)s

-- name: change_card
UPDATE service.rate_card
SET name = %(name)s, currency = %(currency)s, valid_from = %(valid_from)s, valid_until = %(valid_until)s,
    version = version + 1
WHERE rate_card_id = %(rate_card_id)s

-- name: move_card
UPDATE service.rate_card
SET state = %(to)s, activated_at = CASE WHEN %(to)s = 'active' THEN %(now)s ELSE activated_at END, version = version + 1
WHERE rate_card_id = %(rate_card_id)s

-- name: same_version
SELECT rate_card_id
FROM service.rate_card c
WHERE c.state = 'active' AND c.provider_id IS NOT DISTINCT FROM %(provider_id)s AND c.level = %(level)s
  AND c.country = %(country)s AND c.valid_from = %(valid_from)s

-- name: visits_to_try
SELECT k.visit_id
FROM service.completion_check k
WHERE k.completed_at >= %(since)s AND k.completed_at < %(until)s AND k.state IN ('passed', 'accepted')
  AND (%(provider_id)s::bigint IS NULL OR k.provider_id = %(provider_id)s)
  AND k.visit_id > %(after_id)s
ORDER BY k.visit_id
LIMIT %(batch)s

-- name: providers_of_visits
SELECT DISTINCT provider_id FROM service.visit_settlement WHERE visit_id = ANY (%(visit_ids)s::bigint[])
