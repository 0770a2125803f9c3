-- name: reading_storage
SELECT * FROM telemetry.reading_storage()

-- name: rollup_storage
SELECT * FROM telemetry.rollup_storage()

-- name: storage_jobs
SELECT job_id, proc_name, relation, age, last_run_status, error FROM telemetry.storage_jobs()

-- name: tables
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
       greatest(c.reltuples, 0)::bigint AS rows
FROM pg_class c
WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
  AND c.relname NOT IN ('reading', 'hourly', 'daily')
ORDER BY bytes DESC

-- name: database_size
SELECT pg_database_size(current_database()) AS bytes,
       -- Not shown to everybody.
       (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS directory

-- name: readings_by_day
SELECT bucket AS day, sum(readings)::bigint AS readings FROM telemetry.daily
WHERE bucket >= %(from_time)s AND bucket < %(to_time)s
GROUP BY 1 ORDER BY 1

-- name: backlog
-- Of hours and days that are over; on TimescaleDB the others wait until they are.
SELECT count(DISTINCT bucket) AS hours, min(bucket) AS oldest,
       (SELECT count(*) FROM telemetry.daily_due WHERE day < %(before_day)s) AS days
FROM telemetry.rollup_due WHERE bucket < %(before_hour)s
