-- name: model_of_plan
SELECT m.model_id,
       %(metric)s::text IS NULL OR EXISTS (
           SELECT 1 FROM service.model_metric mm WHERE mm.model_id = m.model_id AND mm.metric_name = %(metric)s
       ) AS measures
FROM service.product_model m
WHERE m.code = %(model)s

-- name: insert_plan
INSERT INTO service.plan (name, model_id, trigger_kind, every_days, meter_metric, every_meter, skill, labour_minutes,
                          instructions, active, created_at)
VALUES (%(name)s, %(model_id)s, %(trigger_kind)s, %(every_days)s, %(meter_metric)s, %(every_meter)s, %(skill)s,
        %(labour_minutes)s, %(instructions)s, %(active)s, %(now)s)
ON CONFLICT (name) DO NOTHING
RETURNING plan_id

-- name: insert_plan_part
INSERT INTO service.plan_part (plan_id, part_id, quantity) VALUES (%(plan_id)s, %(part_id)s, %(quantity)s)

-- name: list_plans
SELECT l.plan_id, l.name, m.code AS model,
       jsonb_strip_nulls(jsonb_build_object('kind', l.trigger_kind, 'every_days', l.every_days,
                                            'metric', l.meter_metric, 'every', l.every_meter)) AS trigger,
       l.skill, l.labour_minutes, l.instructions, l.active, l.created_at, l.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('sku', p.sku, 'quantity', lp.quantity) ORDER BY p.sku)
                 FROM service.plan_part lp JOIN service.part p USING (part_id)
                 WHERE lp.plan_id = l.plan_id), '[]') AS parts
FROM service.plan l
JOIN service.product_model m USING (model_id)
WHERE l.plan_id > %(after_id)s AND (%(active)s::boolean IS NULL OR l.active = %(active)s)
ORDER BY l.plan_id
LIMIT %(fetch)s

-- name: get_plan
SELECT l.plan_id, l.name, m.code AS model,
       jsonb_strip_nulls(jsonb_build_object('kind', l.trigger_kind, 'every_days', l.every_days,
                                            'metric', l.meter_metric, 'every', l.every_meter)) AS trigger,
       l.skill, l.labour_minutes, l.instructions, l.active, l.created_at, l.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object('sku', p.sku, 'quantity', lp.quantity) ORDER BY p.sku)
                 FROM service.plan_part lp JOIN service.part p USING (part_id)
                 WHERE lp.plan_id = l.plan_id), '[]') AS parts
FROM service.plan l
JOIN service.product_model m USING (model_id)
WHERE l.plan_id = %(plan_id)s

-- name: change_plan
UPDATE service.plan
SET active = coalesce(%(active)s, active),
    instructions = coalesce(%(instructions)s, instructions),
    labour_minutes = coalesce(%(labour_minutes)s, labour_minutes),
    version = version + 1
WHERE plan_id = %(plan_id)s AND version = %(version)s
RETURNING plan_id

-- name: list_occurrences
SELECT made.asset_id, a.serial, made.occurrence
FROM (
    SELECT asset_id, max(occurrence) AS occurrence
    FROM service.job
    WHERE plan_id = %(plan_id)s AND asset_id > %(after_id)s
    GROUP BY asset_id
    ORDER BY asset_id
    LIMIT %(fetch)s
) made
JOIN service.asset a USING (asset_id)
ORDER BY made.asset_id
