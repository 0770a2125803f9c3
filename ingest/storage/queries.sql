-- Statements that keep storage to its policy. Deletes take the rows they find first, up to a number.

-- name: set_storage_policies
CALL telemetry.set_storage_policies(%(compress_after)s, %(keep_readings)s, %(keep_hourly)s, %(keep_daily)s);

-- name: drop_readings_before
SELECT telemetry.drop_readings_before(%(before)s) AS dropped;

-- name: settle_readings_before
SELECT telemetry.settle_readings_before(%(before)s) AS settled;

-- name: delete_hourly
DELETE FROM telemetry.hourly WHERE bucket < %(before)s;

-- name: delete_daily
DELETE FROM telemetry.daily WHERE bucket < %(before)s;

-- name: delete_events
DELETE FROM telemetry.event WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM telemetry.event WHERE time < %(before)s LIMIT %(most)s));

-- name: delete_identities
DELETE FROM telemetry.message WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM telemetry.message WHERE received_at < %(before)s LIMIT %(most)s));

-- name: delete_dead_letters
DELETE FROM telemetry.dead_letter WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM telemetry.dead_letter WHERE received_at < %(before)s LIMIT %(most)s));

-- name: delete_command_results
DELETE FROM telemetry.command_result WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM telemetry.command_result WHERE received_at < %(before)s LIMIT %(most)s));

-- name: note_latest
-- The last reading of each series in a span whose hours are rolled up. Only a series whose last hour in the span is not
-- older than what is known of it is looked up.
INSERT INTO telemetry.latest AS known (asset_id, metric_id, time, value)
SELECT heard.asset_id, heard.metric_id, last.time, last.value
FROM (
    SELECT asset_id, metric_id, max(bucket) AS bucket
    FROM telemetry.hourly WHERE bucket >= %(from_time)s AND bucket < %(to_time)s
    GROUP BY 1, 2
) AS heard
LEFT JOIN telemetry.latest AS k USING (asset_id, metric_id)
CROSS JOIN LATERAL (
    SELECT r.time, r.value FROM telemetry.reading r
    WHERE r.asset_id = heard.asset_id AND r.metric_id = heard.metric_id
      AND r.time >= heard.bucket AND r.time < heard.bucket + interval '1 hour'
      AND r.time >= %(from_time)s AND r.time < %(to_time)s
    ORDER BY r.time DESC LIMIT 1
) AS last
WHERE k.time IS NULL OR heard.bucket + interval '1 hour' > k.time
ON CONFLICT (asset_id, metric_id) DO UPDATE SET time = excluded.time, value = excluded.value
    WHERE excluded.time > known.time;

-- name: add_daily_due
INSERT INTO telemetry.daily_due (day)
SELECT generate_series(date_trunc('day', %(from_time)s::timestamptz, 'UTC'),
                       %(to_time)s::timestamptz - interval '1 microsecond', interval '1 day')
ON CONFLICT DO NOTHING;

-- name: find_daily_due
SELECT day FROM telemetry.daily_due WHERE day < %(before)s ORDER BY day;

-- name: refresh_daily
CALL telemetry.refresh_daily(%(from_time)s, %(to_time)s);

-- name: forget_daily_due
DELETE FROM telemetry.daily_due WHERE day >= %(from_time)s AND day < %(to_time)s;

-- name: find_failed_jobs
SELECT job_id, proc_name, relation, error FROM telemetry.storage_jobs() WHERE last_run_status = 'Failed';

-- name: run_storage_job
CALL telemetry.run_storage_job(%(job_id)s);
