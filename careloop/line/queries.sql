-- name: ingest_progress
-- Each message once: one that is delivered again must not stand for one that is still on its way.
SELECT coalesce(sum(messages), 0)::bigint AS messages FROM telemetry.ingest_progress

-- name: count_business
SELECT (SELECT count(*) FROM service.asset) AS assets,
       (SELECT count(*) FROM telemetry.message) AS messages

-- name: stored_readings
SELECT a.serial, m.name AS metric, count(*) AS stored, count(DISTINCT r.time) AS distinct_times
FROM telemetry.reading r JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
GROUP BY 1, 2
ORDER BY 1, 2

-- name: line_counts
SELECT (SELECT count(*) FROM telemetry.reading) AS readings_stored,
       (SELECT count(*) FROM telemetry.event) AS events_stored,
       (SELECT count(*) FROM telemetry.dead_letter) AS dead_letters,
       (SELECT count(*) FROM service.ticket WHERE kind = 'preventive') AS tickets_raised,
       (SELECT count(*) FROM service.reservation) AS parts_reserved,
       (SELECT count(DISTINCT job_id) FROM service.visit) AS jobs_dispatched,
       (SELECT count(*) FROM service.alert WHERE state = 'sent') AS alerts_sent,
       (SELECT count(*) FROM service.alert WHERE state IN ('pending', 'sending')) AS alerts_open

-- name: tickets_by_kind
SELECT kind, count(*) AS tickets FROM service.ticket GROUP BY kind ORDER BY kind

-- name: catches
-- A failure is caught when a preventive ticket of its asset and component was opened in the 24 hours strictly before it.
SELECT count(*) AS failures_in_window,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM service.ticket t
           WHERE t.kind = 'preventive' AND t.asset_id = f.asset_id AND t.component = f.component
             AND t.opened_at >= f.failed_at - interval '24 hours' AND t.opened_at < f.failed_at)) AS failures_caught_24h
FROM service.failure f
WHERE f.failed_at > %(from_time)s AND f.failed_at < %(to_time)s

-- name: false_alerts
-- A preventive ticket is a false alert when its component did not fail within 48 hours.
SELECT count(*) AS false_alerts
FROM service.ticket t
WHERE t.kind = 'preventive' AND NOT EXISTS (
    SELECT FROM service.failure f
    WHERE f.asset_id = t.asset_id AND f.component = t.component
      AND f.failed_at > t.opened_at AND f.failed_at <= t.opened_at + interval '48 hours')

-- name: unserved_tickets
-- Preventive tickets without a reserved part or without a dispatched job behind them.
SELECT count(*) AS unserved
FROM service.ticket t
WHERE t.kind = 'preventive' AND NOT (
    EXISTS (SELECT FROM service.job j JOIN service.reservation r USING (job_id) WHERE j.ticket_id = t.ticket_id)
    AND EXISTS (SELECT FROM service.job j JOIN service.visit v USING (job_id) WHERE j.ticket_id = t.ticket_id))

-- name: ticket_outcomes
SELECT count(*) FILTER (WHERE outcome IN ('prevented', 'confirmed')) AS caught,
       count(*) FILTER (WHERE outcome = 'prevented') AS prevented,
       count(*) FILTER (WHERE outcome = 'confirmed') AS confirmed,
       count(*) FILTER (WHERE outcome = 'no_fault_found') AS no_fault_found
FROM service.ticket
WHERE kind = 'preventive'
