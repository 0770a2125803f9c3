-- Sources of the timeline. Each gives entries (at, rank, number, kind, title, ref_type, ref_id, detail) of one asset before a
-- place, the newest `fetch` of them; the rank tells entries of one instant apart. Where a source goes by the asset's cases,
-- it looks at the 200 cases opened last before the place.

-- name: own_since
SELECT from_at FROM service.asset_owner
WHERE asset_id = %(asset_id)s AND until_at IS NULL AND customer_id = (SELECT service.scope_customer_id())

-- name: asset_facts
SELECT f.at, 10 AS rank, a.asset_id * 8::bigint + f.place AS number, 'asset' AS kind, f.title, 'asset' AS ref_type,
       a.serial AS ref_id, f.detail
FROM service.asset a
CROSS JOIN LATERAL (VALUES
    (1, a.produced_on::timestamp AT TIME ZONE 'UTC', 'produced', jsonb_build_object('batch', a.batch)),
    (2, a.sold_on::timestamp AT TIME ZONE 'UTC', 'sold', jsonb_build_object('channel', a.channel, 'dealer', a.dealer)),
    (3, a.installed_at, 'installed', jsonb_build_object('installed_by', a.installed_by)),
    (4, a.retired_at, 'retired', jsonb_build_object('reason', a.retired_reason))
) AS f (place, at, title, detail)
WHERE a.asset_id = %(asset_id)s AND f.at >= %(from_time)s AND f.at <= %(until)s
  AND (f.at, 10, a.asset_id * 8::bigint + f.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY f.at DESC, f.place DESC
LIMIT %(fetch)s

-- name: owners
SELECT o.from_at AS at, 11 AS rank, o.asset_owner_id AS number, 'owner' AS kind,
       CASE o.reason WHEN 'transferred' THEN 'changed hands' ELSE 'first owner known' END AS title,
       'customer' AS ref_type, o.customer_id::text AS ref_id,
       jsonb_build_object('reason', o.reason, 'site_id', o.site_id, 'until', o.until_at,
                          'recorded_by', o.recorded_by) AS detail
FROM service.asset_owner o
WHERE o.asset_id = %(asset_id)s AND o.from_at >= %(from_time)s AND o.from_at <= %(until)s
  AND (o.from_at, 11, o.asset_owner_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY o.from_at DESC, o.asset_owner_id DESC
LIMIT %(fetch)s

-- name: firmware
SELECT f.at, 12 AS rank, f.asset_firmware_id AS number, 'firmware' AS kind, f.module || ' runs ' || f.version AS title,
       'firmware' AS ref_type, f.asset_firmware_id::text AS ref_id,
       jsonb_build_object('module', f.module, 'version', f.version, 'source', f.source) AS detail
FROM service.asset_firmware f
WHERE f.asset_id = %(asset_id)s AND f.at >= %(from_time)s AND f.at <= %(until)s
  AND (f.at, 12, f.asset_firmware_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY f.at DESC, f.asset_firmware_id DESC
LIMIT %(fetch)s

-- name: warranty_terms
-- A term begins with its first day and is over after its last one.
SELECT e.at, 20 AS rank, w.term_id * 2 + e.place AS number, 'warranty' AS kind, w.name || e.what AS title,
       'warranty_term' AS ref_type, w.term_id::text AS ref_id,
       jsonb_build_object('starts_on', w.starts_on, 'ends_on', w.ends_on, 'component', w.component,
                          'source', w.source) AS detail
FROM service.warranty_term w
CROSS JOIN LATERAL (VALUES
    (0, w.starts_on::timestamp AT TIME ZONE 'UTC', ' begins'),
    (1, (w.ends_on + 1)::timestamp AT TIME ZONE 'UTC', ' is over')
) AS e (place, at, what)
WHERE w.asset_id = %(asset_id)s AND w.withdrawn_at IS NULL AND e.at >= %(from_time)s AND e.at <= %(until)s
  AND (e.at, 20, w.term_id * 2 + e.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY e.at DESC, 3 DESC
LIMIT %(fetch)s

-- name: warranty_purchases
SELECT p.submitted_at AS at, 21 AS rank, p.purchase_id AS number, 'warranty' AS kind, 'proof of purchase ' || p.state AS title,
       'warranty_purchase' AS ref_type, p.purchase_id::text AS ref_id,
       jsonb_build_object('purchased_on', p.purchased_on, 'state', p.state) AS detail
FROM service.warranty_purchase p
WHERE p.asset_id = %(asset_id)s AND p.submitted_at >= %(from_time)s AND p.submitted_at <= %(until)s
  AND (p.submitted_at, 21, p.purchase_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY p.submitted_at DESC, p.purchase_id DESC
LIMIT %(fetch)s

-- name: warranty_extensions
SELECT x.asked_at AS at, 22 AS rank, x.extension_id AS number, 'warranty' AS kind,
       'extension of ' || x.days || ' days ' || x.state AS title, 'warranty_extension' AS ref_type,
       x.extension_id::text AS ref_id,
       jsonb_build_object('days', x.days, 'state', x.state, 'ends_on', x.ends_on) AS detail
FROM service.warranty_extension x
WHERE x.asset_id = %(asset_id)s AND x.asked_at >= %(from_time)s AND x.asked_at <= %(until)s
  AND (x.asked_at, 22, x.extension_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY x.asked_at DESC, x.extension_id DESC
LIMIT %(fetch)s

-- name: warranty_denials
SELECT d.denied_at AS at, 23 AS rank, d.denial_id AS number, 'warranty' AS kind, 'cover denied' AS title,
       'warranty_denial' AS ref_type, d.denial_id::text AS ref_id,
       jsonb_build_object('component', d.component, 'reasons', d.reasons, 'state', d.state) AS detail
FROM service.warranty_denial d
WHERE d.asset_id = %(asset_id)s AND d.denied_at >= %(from_time)s AND d.denied_at <= %(until)s
  AND (d.denied_at, 23, d.denial_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY d.denied_at DESC, d.denial_id DESC
LIMIT %(fetch)s

-- name: supplier_claims
SELECT c.drafted_at AS at, 24 AS rank, c.claim_id AS number, 'claim' AS kind,
       'claim against the supplier of ' || c.component || ' ' || c.state AS title, 'supplier_claim' AS ref_type,
       c.claim_id::text AS ref_id,
       jsonb_build_object('state', c.state, 'component', c.component, 'claimed_minor', c.claimed_minor,
                          'currency', c.currency) AS detail
FROM service.supplier_claim c
WHERE c.asset_id = %(asset_id)s AND c.drafted_at >= %(from_time)s AND c.drafted_at <= %(until)s
  AND (c.drafted_at, 24, c.claim_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY c.drafted_at DESC, c.claim_id DESC
LIMIT %(fetch)s

-- name: tickets
SELECT t.opened_at AS at, 30 AS rank, t.ticket_id AS number, 'ticket' AS kind, t.title, 'ticket' AS ref_type,
       t.ticket_id::text AS ref_id,
       jsonb_build_object('what', 'opened', 'kind', t.kind, 'state', t.state, 'priority', t.priority,
                          'component', t.component, 'outcome', t.outcome) AS detail
FROM service.ticket t
WHERE t.asset_id = %(asset_id)s AND t.opened_at >= %(from_time)s AND t.opened_at <= %(until)s
  AND (t.opened_at, 30, t.ticket_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY t.opened_at DESC, t.ticket_id DESC
LIMIT %(fetch)s

-- name: ticket_states
SELECT e.at, 31 AS rank, e.ticket_event_id AS number, 'ticket' AS kind, t.title || ': ' || (e.detail ->> 'to') AS title,
       'ticket' AS ref_type, t.ticket_id::text AS ref_id,
       jsonb_build_object('what', 'state', 'from', e.detail -> 'from', 'to', e.detail -> 'to',
                          'outcome', e.detail -> 'outcome') AS detail
FROM (
    SELECT ticket_id, title FROM service.ticket
    WHERE asset_id = %(asset_id)s AND opened_at <= %(until)s
    ORDER BY opened_at DESC LIMIT 200
) AS t
CROSS JOIN LATERAL (
    SELECT h.at, h.ticket_event_id, h.detail FROM service.ticket_event h
    WHERE h.ticket_id = t.ticket_id AND h.kind = 'state' AND h.at >= %(from_time)s AND h.at <= %(until)s
      AND (h.at, 31, h.ticket_event_id) < (%(until)s, %(until_rank)s, %(until_id)s)
    ORDER BY h.ticket_event_id DESC LIMIT %(fetch)s
) AS e
ORDER BY e.at DESC, e.ticket_event_id DESC
LIMIT %(fetch)s

-- name: jobs
SELECT e.at, 40 AS rank, j.job_id * 2 + e.place AS number, 'job' AS kind, e.title, 'job' AS ref_type,
       j.job_id::text AS ref_id,
       jsonb_build_object('state', j.state, 'skill', j.skill, 'ticket_id', j.ticket_id, 'plan_id', j.plan_id,
                          'outcome', j.outcome) AS detail
FROM (
    SELECT job_id, state, skill, ticket_id, plan_id, outcome, created_at, completed_at FROM service.job
    WHERE asset_id = %(asset_id)s AND created_at <= %(until)s
    ORDER BY created_at DESC LIMIT 200
) AS j
CROSS JOIN LATERAL (VALUES
    (0, j.created_at, 'work ordered'), (1, j.completed_at, 'work ' || j.state)
) AS e (place, at, title)
WHERE e.at >= %(from_time)s AND e.at <= %(until)s
  AND (e.at, 40, j.job_id * 2 + e.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY e.at DESC, 3 DESC
LIMIT %(fetch)s

-- name: visits
SELECT e.at, 41 AS rank, v.visit_id * 2 + e.place AS number, 'visit' AS kind, e.title, 'visit' AS ref_type,
       v.visit_id::text AS ref_id,
       jsonb_build_object('state', v.state, 'starts_at', v.starts_at, 'ends_at', v.ends_at, 'job_id', v.job_id,
                          'ticket_id', v.ticket_id, 'technician_id', v.technician_id, 'end_reason', v.end_reason) AS detail
FROM (
    SELECT job_id FROM service.job
    WHERE asset_id = %(asset_id)s AND created_at <= %(until)s
    ORDER BY created_at DESC LIMIT 200
) AS j
JOIN service.visit v USING (job_id)
CROSS JOIN LATERAL (VALUES
    (0, v.dispatched_at, 'visit planned'),
    (1, coalesce(v.ended_at, v.checked_out_at), 'visit ' || replace(v.state, '_', ' '))
) AS e (place, at, title)
WHERE e.at >= %(from_time)s AND e.at <= %(until)s
  AND (e.at, 41, v.visit_id * 2 + e.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY e.at DESC, 3 DESC
LIMIT %(fetch)s

-- name: parts_of_jobs
-- What was kept for a job and used in it; used when the job was done, as far as is known.
SELECT j.at, 42 AS rank, r.reservation_id AS number, 'part' AS kind, r.quantity || ' × ' || p.name || ' used' AS title,
       'part' AS ref_type, p.sku AS ref_id,
       jsonb_build_object('sku', p.sku, 'quantity', r.quantity, 'job_id', j.job_id) AS detail
FROM (
    SELECT job_id, coalesce(completed_at, created_at) AS at FROM service.job
    WHERE asset_id = %(asset_id)s AND created_at <= %(until)s
    ORDER BY created_at DESC LIMIT 200
) AS j
JOIN service.reservation r ON r.job_id = j.job_id AND r.state = 'consumed'
JOIN service.part p ON p.part_id = r.part_id
WHERE j.at >= %(from_time)s AND j.at <= %(until)s
  AND (j.at, 42, r.reservation_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY j.at DESC, r.reservation_id DESC
LIMIT %(fetch)s

-- name: parts_of_visits
-- What was taken from a van's or partner's stock on site, and what was brought back.
SELECT u.received_at AS at, 43 AS rank, u.visit_part_id AS number, 'part' AS kind,
       u.quantity || ' × ' || p.name || ' ' || u.kind AS title, 'part' AS ref_type, p.sku AS ref_id,
       jsonb_build_object('sku', p.sku, 'quantity', u.quantity, 'visit_id', u.visit_id, 'component', u.component,
                          'serial_fitted', u.serial_fitted) AS detail
FROM (
    SELECT job_id FROM service.job
    WHERE asset_id = %(asset_id)s AND created_at <= %(until)s
    ORDER BY created_at DESC LIMIT 200
) AS j
JOIN service.visit v USING (job_id)
JOIN service.visit_part u ON u.visit_id = v.visit_id AND (u.kind = 'returned' OR u.reservation_id IS NULL)
JOIN service.part p ON p.part_id = u.part_id
WHERE u.received_at >= %(from_time)s AND u.received_at <= %(until)s
  AND (u.received_at, 43, u.visit_part_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY u.received_at DESC, u.visit_part_id DESC
LIMIT %(fetch)s

-- name: failures
SELECT f.failed_at AS at, 50 AS rank, f.failure_id AS number, 'failure' AS kind, f.component || ' failed' AS title,
       'failure' AS ref_type, f.failure_id::text AS ref_id,
       jsonb_build_object('component', f.component, 'restored_at', f.restored_at) AS detail
FROM service.failure f
WHERE f.asset_id = %(asset_id)s AND f.failed_at >= %(from_time)s AND f.failed_at <= %(until)s
  AND (f.failed_at, 50, f.failure_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY f.failed_at DESC, f.failure_id DESC
LIMIT %(fetch)s

-- name: replacements
SELECT r.replaced_at AS at, 51 AS rank, r.replacement_id AS number, 'replacement' AS kind,
       r.component || ' replaced' AS title, 'replacement' AS ref_type, r.replacement_id::text AS ref_id,
       jsonb_build_object('component', r.component, 'reason', r.reason) AS detail
FROM service.replacement r
WHERE r.asset_id = %(asset_id)s AND r.replaced_at >= %(from_time)s AND r.replaced_at <= %(until)s
  AND (r.replaced_at, 51, r.replacement_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY r.replaced_at DESC, r.replacement_id DESC
LIMIT %(fetch)s

-- name: repairs
SELECT r.opened_at AS at, 60 AS rank, r.repair_id AS number, 'repair' AS kind,
       replace(r.mode, '_', '-') || ' repair opened' AS title, 'repair' AS ref_type, r.repair_id::text AS ref_id,
       jsonb_build_object('state', r.state, 'ticket_id', r.ticket_id, 'component', r.component,
                          'next_node', r.next_node, 'next_expected_on', r.next_expected_on) AS detail
FROM service.repair r
WHERE r.asset_id = %(asset_id)s AND r.opened_at >= %(from_time)s AND r.opened_at <= %(until)s
  AND (r.opened_at, 60, r.repair_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY r.opened_at DESC, r.repair_id DESC
LIMIT %(fetch)s

-- name: repair_nodes
SELECT n.done_at AS at, 61 AS rank, r.repair_id * 64 + n.place AS number, 'repair' AS kind,
       'repair: ' || replace(n.node, '_', ' ') AS title, 'repair' AS ref_type, r.repair_id::text AS ref_id,
       jsonb_build_object('node', n.node, 'first_expected_on', n.first_expected_on, 'ticket_id', r.ticket_id) AS detail
FROM (
    SELECT repair_id, ticket_id FROM service.repair
    WHERE asset_id = %(asset_id)s AND opened_at <= %(until)s
    ORDER BY repair_id DESC LIMIT 200
) AS r
JOIN service.repair_node n USING (repair_id)
WHERE n.done_at >= %(from_time)s AND n.done_at <= %(until)s
  AND (n.done_at, 61, r.repair_id * 64 + n.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY n.done_at DESC, 3 DESC
LIMIT %(fetch)s

-- name: quotes
SELECT e.at, 62 AS rank, q.quote_id * 2 + e.place AS number, 'quote' AS kind, e.title, 'quote' AS ref_type,
       q.quote_id::text AS ref_id,
       jsonb_build_object('state', q.state, 'gross_minor', q.gross_minor, 'currency', q.currency,
                          'ticket_id', q.ticket_id) AS detail
FROM (
    SELECT ticket_id FROM service.ticket
    WHERE asset_id = %(asset_id)s AND opened_at <= %(until)s
    ORDER BY opened_at DESC LIMIT 200
) AS t
JOIN service.quote q USING (ticket_id)
CROSS JOIN LATERAL (VALUES (0, q.sent_at, 'quote sent'), (1, q.decided_at, 'quote ' || q.state)) AS e (place, at, title)
WHERE e.at >= %(from_time)s AND e.at <= %(until)s
  AND (e.at, 62, q.quote_id * 2 + e.place) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY e.at DESC, 3 DESC
LIMIT %(fetch)s

-- name: documents
SELECT d.added_at AS at, 70 AS rank, d.document_id AS number, 'document' AS kind, d.title, 'file' AS ref_type,
       d.file_id::text AS ref_id,
       jsonb_build_object('document_id', d.document_id, 'kind', d.kind, 'language', d.language) AS detail
FROM service.document d
WHERE d.asset_id = %(asset_id)s AND d.added_at >= %(from_time)s AND d.added_at <= %(until)s
  AND (d.added_at, 70, d.document_id) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY d.added_at DESC, d.document_id DESC
LIMIT %(fetch)s

-- name: machine_events
-- Events have no number; those of one instant are told apart by what they say.
SELECT e.time AS at, 80 AS rank, hashtextextended(e.code || e.severity || e.detail::text, 0) AS number, 'event' AS kind,
       e.code AS title, 'event' AS ref_type, e.code AS ref_id,
       jsonb_build_object('severity', e.severity, 'detail', e.detail) AS detail
FROM telemetry.event e
WHERE e.asset_id = %(asset_id)s AND e.time >= %(from_time)s AND e.time <= %(until)s
  AND (e.time, 80, hashtextextended(e.code || e.severity || e.detail::text, 0)) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY e.time DESC, 3 DESC
LIMIT %(fetch)s

-- name: first_reading
-- The first hour of the first day of any metric; each metric is looked up at its beginning only.
SELECT f.at, 81 AS rank, %(asset_id)s::bigint AS number, 'milestone' AS kind, 'first reading' AS title,
       'asset' AS ref_type, %(serial)s::text AS ref_id, jsonb_build_object('what', 'first_reading') AS detail
FROM (
    SELECT min(coalesce(hour.bucket, day.bucket)) AS at
    FROM (SELECT metric_id FROM telemetry.latest WHERE asset_id = %(asset_id)s ORDER BY metric_id LIMIT 100) AS heard
    CROSS JOIN LATERAL (
        SELECT d.bucket FROM telemetry.daily d
        WHERE d.asset_id = %(asset_id)s AND d.metric_id = heard.metric_id ORDER BY d.bucket LIMIT 1
    ) AS day
    LEFT JOIN LATERAL (
        SELECT h.bucket FROM telemetry.hourly h
        WHERE h.asset_id = %(asset_id)s AND h.metric_id = heard.metric_id
          AND h.bucket >= day.bucket AND h.bucket < day.bucket + interval '1 day'
        ORDER BY h.bucket LIMIT 1
    ) AS hour ON true
) AS f
WHERE f.at >= %(from_time)s AND f.at <= %(until)s
  AND (f.at, 81, %(asset_id)s::bigint) < (%(until)s, %(until_rank)s, %(until_id)s)

-- name: running_hours
-- The days on which a meter passed another step; a meter that is set back passes none until it is beyond what it was.
SELECT s.bucket AS at, 82 AS rank, floor(s.reached)::bigint AS number, 'milestone' AS kind,
       (floor(s.reached / %(hours_step)s::integer) * %(hours_step)s::integer)::bigint || ' running hours' AS title,
       'asset' AS ref_type, %(serial)s::text AS ref_id,
       jsonb_build_object('what', s.metric, 'hours', floor(s.reached / %(hours_step)s::integer) * %(hours_step)s::integer)
           AS detail
FROM (
    SELECT m.name AS metric, d.bucket, d.value_max AS reached,
           max(d.value_max) OVER (PARTITION BY d.metric_id ORDER BY d.bucket
                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM telemetry.metric m
    JOIN telemetry.daily d ON d.metric_id = m.metric_id AND d.asset_id = %(asset_id)s
    WHERE m.name = ANY (%(meters)s::text[]) AND d.value_max BETWEEN 0 AND 1000000
) AS s
WHERE floor(s.reached / %(hours_step)s::integer) > floor(coalesce(s.before, 0) / %(hours_step)s::integer)
  AND s.bucket >= %(from_time)s AND s.bucket <= %(until)s
  AND (s.bucket, 82, floor(s.reached)::bigint) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY s.bucket DESC, 3 DESC
LIMIT %(fetch)s

-- name: silences
-- Whole days between two days with readings, by the metrics heard last.
SELECT s.bucket AS at, 83 AS rank, extract(epoch FROM s.bucket)::bigint AS number, 'offline' AS kind,
       'silent for ' || s.days || CASE s.days WHEN 1 THEN ' day' ELSE ' days' END AS title,
       'asset' AS ref_type, %(serial)s::text AS ref_id, jsonb_build_object('until', s.next_bucket) AS detail
FROM (
    SELECT b.bucket + interval '1 day' AS bucket, b.next_bucket,
           round(extract(epoch FROM b.next_bucket - b.bucket) / 86400 - 1)::integer AS days
    FROM (
        SELECT d.bucket, lead(d.bucket) OVER (ORDER BY d.bucket) AS next_bucket
        FROM (
            SELECT DISTINCT r.bucket
            FROM (SELECT metric_id FROM telemetry.latest WHERE asset_id = %(asset_id)s ORDER BY time DESC LIMIT 4) AS heard
            CROSS JOIN LATERAL (
                SELECT day.bucket FROM telemetry.daily day
                WHERE day.asset_id = %(asset_id)s AND day.metric_id = heard.metric_id AND day.bucket <= %(now)s
                ORDER BY day.bucket DESC LIMIT 1500
            ) AS r
        ) AS d
    ) AS b
) AS s
WHERE s.days > 0 AND s.bucket >= %(from_time)s AND s.bucket <= %(until)s
  AND (s.bucket, 83, extract(epoch FROM s.bucket)::bigint) < (%(until)s, %(until_rank)s, %(until_id)s)
ORDER BY s.bucket DESC
LIMIT %(fetch)s

-- name: agent_offline
SELECT s.changed_at AS at, 84 AS rank, 0::bigint AS number, 'offline' AS kind, 'agent offline since then' AS title,
       'agent' AS ref_type, s.agent_id AS ref_id, jsonb_build_object('agent_version', s.agent_version) AS detail
FROM telemetry.agent_state s
WHERE s.agent_id = %(serial)s AND NOT s.online AND s.changed_at >= %(from_time)s AND s.changed_at <= %(until)s
  AND (s.changed_at, 84, 0::bigint) < (%(until)s, %(until_rank)s, %(until_id)s)
