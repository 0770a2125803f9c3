-- Facts ------------------------------------------------------------------------------------------

-- name: without_compiling
-- The facts are one long statement about a few rows: PostgreSQL would compile it for seconds and run it for milliseconds.
SELECT set_config('jit', 'off', true)

-- name: facts_of_visits
-- What the rules see of completed visits (facts.py). Of the machine's other visits only those completed before count, so
-- that the facts of a past visit stay what they were. Files and positions are compared here and not shown: no person's
-- words and no place leave.
SELECT v.visit_id, v.job_id, v.ticket_id, coalesce(t.kind, 'plan') AS job_kind, t.component, s.country,
       m.code AS model, m.kind AS product_kind, o.provider_id, o.level AS provider_level, v.technician_id,
       j.asset_id, a.serial, s.latitude, s.longitude,
       jsonb_build_object('opened_at', t.opened_at, 'starts_at', v.starts_at, 'ends_at', v.ends_at,
                          'departed_at', v.departed_at, 'checked_in_at', v.checked_in_at,
                          'work_began_at', v.work_began_at, 'checked_out_at', v.checked_out_at,
                          'completed_at', done.at) AS times,
       jsonb_build_object('clock_off_s', places.clock_off_s, 'check_in_km', places.check_in_km,
                          'told_late_s', greatest(told.late_s, used.late_s, 0), 'after_the_end', told.after_the_end)
           AS devices,
       (SELECT coalesce(jsonb_agg(DISTINCT f.level), '[]') FROM service.fault_code f
        WHERE f.product_kind = m.kind AND f.active) AS levels_known,
       r.content, r.signed_by_name IS NOT NULL AND r.signature_file_id IS NOT NULL AS signed, r.frozen,
       coalesce(told.photos, '{}') AS step_photos,
       (SELECT coalesce(jsonb_agg(c.content ORDER BY c.completion_step_id), '[]')
        FROM service.completion_check k JOIN service.completion_step c USING (completion_check_id)
        WHERE k.visit_id = v.visit_id AND c.action = 'correct') AS corrections,
       charges.of_case AS charges, used.parts, before.visits AS earlier, first.visit_id AS installed_by,
       coalesce(bases.known, '[]') AS bases
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
JOIN service.technician h ON h.technician_id = v.technician_id
LEFT JOIN service.completion_check own ON own.visit_id = v.visit_id
JOIN service.provider o ON o.provider_id = coalesce(own.provider_id, h.provider_id)
LEFT JOIN service.site s ON s.site_id = a.site_id
LEFT JOIN service.ticket t ON t.ticket_id = v.ticket_id
LEFT JOIN service.visit_report r ON r.visit_id = v.visit_id AND r.frozen_at IS NOT NULL
CROSS JOIN LATERAL (SELECT coalesce(own.completed_at, v.ended_at, v.ends_at) AS at) done
CROSS JOIN LATERAL (
    SELECT max(abs(p.clock_ahead_s)) AS clock_off_s,
           max(p.distance_m) FILTER (WHERE p.kind = 'check_in') / 1000 AS check_in_km
    FROM service.visit_position p
    WHERE p.visit_id = v.visit_id
) places
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM max(e.received_at - e.device_at))::float8 AS late_s,
           count(*) FILTER (WHERE e.late) AS after_the_end,
           array_agg(DISTINCT e.photo_file_id) FILTER (WHERE e.photo_file_id IS NOT NULL) AS photos
    FROM service.visit_entry e
    WHERE e.visit_id = v.visit_id
) told
CROSS JOIN LATERAL (
    SELECT jsonb_build_object(
               'currency', min(c.currency),
               'visit_minor', coalesce(sum(c.amount_minor) FILTER (WHERE c.description = 'Visit ' || v.visit_id), 0),
               'agreed_minor', coalesce(sum(c.amount_minor) FILTER (WHERE c.agreed_fee_id IS NOT NULL), 0),
               'other_minor', coalesce(sum(c.amount_minor) FILTER (WHERE c.agreed_fee_id IS NULL
                                       AND c.description NOT SIMILAR TO 'Visit [0-9]+'), 0)) AS of_case
    FROM service.charge c
    WHERE c.ticket_id = v.ticket_id AND c.state = 'charged'
) charges
CROSS JOIN LATERAL (
    SELECT max(piece.late_s) AS late_s,
           coalesce(jsonb_agg(jsonb_build_object(
               'sku', p.sku, 'used', piece.used, 'used_by_job', piece.used_by_job, 'moved', coalesce(ledger.moved, 0),
               'fits', kin.fits, 'serialised', p.serialised, 'serials', piece.serials,
               'old_without_fate', piece.old_without_fate) ORDER BY p.sku), '[]') AS parts
    FROM (
        SELECT u.part_id,
               coalesce(sum(CASE WHEN u.visit_id <> v.visit_id THEN 0
                                 WHEN u.kind = 'used' THEN u.quantity
                                 WHEN u.warehouse_id IS NOT NULL AND u.reservation_id IS NULL THEN -u.quantity
                                 ELSE 0 END), 0) AS used,
               coalesce(sum(CASE WHEN u.kind = 'used' THEN u.quantity
                                 WHEN u.warehouse_id IS NOT NULL AND u.reservation_id IS NULL THEN -u.quantity
                                 ELSE 0 END), 0) AS used_by_job,
               count(DISTINCT coalesce(fixed.serial, u.serial_fitted))
                   FILTER (WHERE u.visit_id = v.visit_id AND u.kind = 'used') AS serials,
               count(*) FILTER (WHERE u.visit_id = v.visit_id AND u.kind = 'used' AND u.old_part = 'none'
                                AND p.old_part_rule <> 'none') AS old_without_fate,
               extract(epoch FROM max(u.received_at - u.device_at) FILTER (WHERE u.visit_id = v.visit_id))::float8
                   AS late_s
        FROM service.visit w
        JOIN service.visit_part u USING (visit_id)
        JOIN service.part p USING (part_id)
        LEFT JOIN LATERAL (
            SELECT one ->> 'serial_fitted' AS serial
            FROM service.completion_step c
            CROSS JOIN LATERAL jsonb_array_elements(c.content -> 'part_serials') AS one
            WHERE c.completion_check_id = own.completion_check_id AND c.action = 'correct'
              AND jsonb_typeof(c.content -> 'part_serials') = 'array'
              AND (one ->> 'visit_part_id')::bigint = u.visit_part_id
            ORDER BY c.completion_step_id DESC
            LIMIT 1
        ) fixed ON u.visit_id = v.visit_id
        WHERE w.job_id = v.job_id
        GROUP BY u.part_id
    ) piece
    JOIN service.part p USING (part_id)
    CROSS JOIN LATERAL (
        -- What the ledger says of the job, whichever of its papers caused it.
        SELECT sum(CASE WHEN g.to_place = 'used' THEN g.quantity WHEN g.from_place = 'used' THEN -g.quantity ELSE 0 END)
               AS moved
        FROM (
            SELECT 'job' AS cause_kind, v.job_id::text AS cause_key
            UNION ALL SELECT 'visit', w.visit_id::text FROM service.visit w WHERE w.job_id = v.job_id
            UNION ALL SELECT 'reservation', b.reservation_id::text FROM service.reservation b WHERE b.job_id = v.job_id
        ) paper
        JOIN service.stock_movement g USING (cause_kind, cause_key)
        WHERE g.part_id = p.part_id
    ) ledger
    CROSS JOIN LATERAL (
        -- The part itself, what it replaces, and what may be built in for one another; null when nothing is said of any.
        WITH RECURSIVE related (part_id) AS (
            SELECT p.part_id
            UNION
            SELECT next.part_id
            FROM related
            CROSS JOIN LATERAL (
                SELECT x.part_id FROM service.part_supersession x WHERE x.successor_id = related.part_id
                UNION ALL SELECT x.successor_id FROM service.part_supersession x
                WHERE x.part_id = related.part_id AND x.two_way
                UNION ALL SELECT x.part_id FROM service.part_alternative x WHERE x.alternative_id = related.part_id
                UNION ALL SELECT x.alternative_id FROM service.part_alternative x
                WHERE x.part_id = related.part_id AND x.two_way
            ) next
        )
        SELECT bool_or(place.model_id = a.model_id) AS fits
        FROM related
        JOIN LATERAL (
            SELECT c.model_id FROM service.component c WHERE c.part_id = related.part_id
            UNION ALL SELECT f.model_id FROM service.part_fit f
            WHERE f.part_id = related.part_id AND (f.revisions IS NULL OR a.attributes ->> 'revision' IS NULL
                                                   OR a.attributes ->> 'revision' = ANY (f.revisions)
                                                   OR f.model_id <> a.model_id)
        ) place ON true
    ) kin
) used
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(to_jsonb(one) ORDER BY one.completed_at DESC, one.visit_id DESC), '[]') AS visits
    FROM (
        SELECT w.visit_id, w.ended_at AS completed_at,
               (w.ended_at AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date
                   = (done.at AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date AS same_day,
               extract(epoch FROM done.at - w.ended_at)::float8 / 86400 AS days,
               x.provider_id = o.provider_id AS same_provider, w.technician_id = v.technician_id AS same_technician,
               w.job_id = v.job_id AS same_job, coalesce(y.kind, 'plan') AS job_kind, y.component,
               z.content -> 'diagnosis' ->> 'fault' AS fault
        FROM service.job i
        JOIN service.visit w USING (job_id)
        JOIN service.technician x ON x.technician_id = w.technician_id
        LEFT JOIN service.ticket y ON y.ticket_id = w.ticket_id
        LEFT JOIN service.visit_report z ON z.visit_id = w.visit_id
        WHERE i.asset_id = j.asset_id AND w.state = 'completed' AND (w.ended_at, w.visit_id) < (done.at, v.visit_id)
        ORDER BY w.ended_at DESC, w.visit_id DESC
        LIMIT 20
    ) one
) before
CROSS JOIN LATERAL (
    SELECT min(w.visit_id) AS visit_id
    FROM service.job i
    JOIN service.visit w USING (job_id)
    JOIN service.ticket y ON y.ticket_id = w.ticket_id
    WHERE i.asset_id = j.asset_id AND w.state = 'completed' AND y.kind = 'installation' AND w.job_id <> v.job_id
      AND (w.ended_at, w.visit_id) < (done.at, v.visit_id)
) first
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('code', w.code, 'latitude', w.latitude, 'longitude', w.longitude)) AS known
    FROM service.warehouse w
    WHERE w.provider_id = o.provider_id AND w.active AND w.latitude IS NOT NULL AND w.longitude IS NOT NULL
) bases
WHERE v.visit_id = ANY (%(visit_ids)s) AND v.state = 'completed'
ORDER BY v.visit_id

-- name: photos_reused
-- Photos whose very bytes their owner gave for another machine, too.
SELECT DISTINCT ON (f.file_id) f.file_id, other.asset_id
FROM service.file f
JOIN service.file other ON other.owner = f.owner AND other.sha256 = f.sha256 AND other.file_id <> f.file_id
WHERE f.file_id = ANY (%(file_ids)s) AND f.asset_id <> other.asset_id
ORDER BY f.file_id, other.asset_id

-- Checks -----------------------------------------------------------------------------------------

-- name: checks_due
-- Two at once take different ones.
SELECT c.completion_check_id, c.visit_id, c.provider_id, c.completed_at, c.state, c.runs, c.decision
FROM service.completion_check c
JOIN service.visit v USING (visit_id)
WHERE c.state = 'due' AND c.completed_at <= %(now)s AND v.state = 'completed'
ORDER BY c.completion_check_id
LIMIT %(fetch)s
FOR UPDATE OF c SKIP LOCKED

-- name: lock_check
SELECT completion_check_id, visit_id, provider_id, technician_id, completed_at, state, runs, claimed_key, claimed_by,
       decision, version
FROM service.completion_check
WHERE completion_check_id = %(completion_check_id)s
FOR UPDATE

-- name: insert_run
INSERT INTO service.completion_run (completion_check_id, number, rule_set_id, rule_set_version, facts, findings, verdict,
                                    actor, at)
VALUES (%(completion_check_id)s, %(number)s, %(rule_set_id)s, %(rule_set_version)s, %(facts)s, %(findings)s, %(verdict)s,
        %(actor)s, %(now)s)

-- name: note_run
UPDATE service.completion_check
SET state = %(state)s, runs = %(number)s, rule_set_version = %(rule_set_version)s, findings = %(findings)s,
    checked_at = %(now)s, first_verdict = coalesce(first_verdict, %(verdict)s),
    first_reasons = CASE WHEN first_verdict IS NULL THEN %(reasons)s ELSE first_reasons END, version = version + 1
WHERE completion_check_id = %(completion_check_id)s

-- name: move_check
UPDATE service.completion_check
SET state = %(state)s, claimed_key = %(claimed_key)s, claimed_by = %(claimed_by)s,
    claimed_at = CASE WHEN %(claimed_key)s::text IS NOT NULL THEN %(now)s::timestamptz END, version = version + 1
WHERE completion_check_id = %(completion_check_id)s

-- name: decide_check
UPDATE service.completion_check
SET state = %(state)s, claimed_key = NULL, claimed_by = NULL, claimed_at = NULL, decision = %(decision)s,
    decision_reason = %(reason)s, decided_by = %(actor)s, decided_at = %(now)s, version = version + 1
WHERE completion_check_id = %(completion_check_id)s

-- name: insert_step
INSERT INTO service.completion_step (completion_check_id, action, from_state, to_state, reason, content, actor, actor_key,
                                     at)
VALUES (%(completion_check_id)s, %(action)s, %(from_state)s, %(to_state)s, %(reason)s, %(content)s, %(actor)s,
        %(actor_key)s, %(now)s)

-- name: reporters
-- Whoever wrote or corrected the report of a visit.
SELECT actor_key FROM service.audit WHERE table_name = 'visit_report' AND row_key = %(visit_key)s
UNION
SELECT actor_key FROM service.completion_step
WHERE completion_check_id = %(completion_check_id)s AND action IN ('correct', 'object')

-- name: next_of_queue
-- The oldest that nobody is at and that the caller has not reported; two at once get two.
SELECT c.completion_check_id
FROM service.completion_check c
WHERE c.state = 'manual' AND c.claimed_key IS NULL
  AND (%(provider_id)s::bigint IS NULL OR c.provider_id = %(provider_id)s)
  AND NOT EXISTS (SELECT FROM service.audit d
                  WHERE d.table_name = 'visit_report' AND d.row_key = c.visit_id::text AND d.actor_key = %(actor_key)s)
  AND NOT EXISTS (SELECT FROM service.completion_step w
                  WHERE w.completion_check_id = c.completion_check_id AND w.actor_key = %(actor_key)s
                    AND w.action IN ('correct', 'object'))
ORDER BY c.completion_check_id
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: reviewer
SELECT user_id, name, role FROM service.app_user
WHERE user_id = %(user_id)s AND active AND role IN ('admin', 'desk_lead', 'agent')

-- name: check_rows
SELECT c.completion_check_id, c.visit_id, v.ticket_id, a.serial, c.provider_id, c.technician_id, c.completed_at, c.state,
       c.runs, c.rule_set_version, c.findings, c.checked_at, c.claimed_by, c.claimed_at, c.decision, c.decision_reason,
       c.decided_by, c.decided_at, c.version
FROM service.completion_check c
JOIN service.visit v USING (visit_id)
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)

-- name: one_check
WHERE c.completion_check_id = %(completion_check_id)s

-- name: subject_of_visit
SELECT v.ticket_id, j.asset_id, m.kind AS product_kind
FROM service.visit v
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
JOIN service.product_model m USING (model_id)
WHERE v.visit_id = %(visit_id)s

-- name: list_checks
SELECT c.completion_check_id, c.visit_id, v.ticket_id, a.serial, c.provider_id, c.technician_id, c.completed_at, c.state,
       c.runs, c.rule_set_version, c.findings, c.checked_at, c.claimed_by, c.claimed_at, c.decision, c.decision_reason,
       c.decided_by, c.decided_at, c.version
FROM service.completion_check c
JOIN service.visit v USING (visit_id)
JOIN service.job j USING (job_id)
JOIN service.asset a USING (asset_id)
WHERE c.completion_check_id > %(after_id)s AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(provider_id)s::bigint IS NULL OR c.provider_id = %(provider_id)s)
  AND (%(technician_id)s::bigint IS NULL OR c.technician_id = %(technician_id)s)
  AND (%(visit_id)s::bigint IS NULL OR c.visit_id = %(visit_id)s)
  AND (%(rule_set_version)s::integer IS NULL OR c.rule_set_version = %(rule_set_version)s)
  AND (%(claimed_key)s::text IS NULL OR c.claimed_key = %(claimed_key)s)
  AND (%(since)s::timestamptz IS NULL OR c.completed_at >= %(since)s)
ORDER BY c.completion_check_id
LIMIT %(fetch)s

-- name: runs_of_check
SELECT number, rule_set_id, rule_set_version, verdict, findings, facts, actor, at
FROM service.completion_run
WHERE completion_check_id = %(completion_check_id)s
ORDER BY number

-- name: steps_of_check
SELECT action, from_state, to_state, reason, content, actor, at
FROM service.completion_step
WHERE completion_check_id = %(completion_check_id)s
ORDER BY completion_step_id

-- name: part_of_visit
SELECT visit_part_id FROM service.visit_part
WHERE visit_part_id = %(visit_part_id)s AND visit_id = %(visit_id)s AND kind = 'used'

-- Statistics -------------------------------------------------------------------------------------

-- name: statistics
SELECT o.provider_id, o.code, o.name, of_partner.*
FROM service.provider o
CROSS JOIN LATERAL (
    SELECT count(*) AS visits,
           count(*) FILTER (WHERE c.state = 'due') AS due,
           count(*) FILTER (WHERE c.first_verdict = 'passed') AS passed_at_once,
           round(count(*) FILTER (WHERE c.first_verdict = 'passed')::numeric
                 / nullif(count(c.first_verdict), 0), 3)::float8 AS pass_rate,
           count(*) FILTER (WHERE c.state = 'rejected') AS rejected,
           count(*) FILTER (WHERE c.state = 'manual') AS manual,
           count(*) FILTER (WHERE c.state = 'accepted') AS accepted,
           count(*) FILTER (WHERE c.first_verdict = 'rejected') AS rejected_at_first,
           count(*) FILTER (WHERE c.first_verdict = 'manual') AS manual_at_first
    FROM service.completion_check c
    WHERE c.provider_id = o.provider_id AND c.completed_at >= %(since)s AND c.completed_at < %(until)s
) of_partner
WHERE o.provider_id > %(after_id)s AND (%(provider_id)s::bigint IS NULL OR o.provider_id = %(provider_id)s)
  AND of_partner.visits > 0
ORDER BY o.provider_id
LIMIT %(fetch)s

-- name: top_reasons
-- Of each partner the five rules that most often kept the first run from passing.
SELECT provider_id, rule, visits
FROM (
    SELECT c.provider_id, reason AS rule, count(*) AS visits,
           row_number() OVER (PARTITION BY c.provider_id ORDER BY count(*) DESC, reason) AS place
    FROM service.completion_check c
    CROSS JOIN LATERAL unnest(c.first_reasons) AS reason
    WHERE c.provider_id = ANY (%(provider_ids)s) AND c.completed_at >= %(since)s AND c.completed_at < %(until)s
    GROUP BY c.provider_id, reason
) ranked
WHERE place <= 5
ORDER BY provider_id, place
