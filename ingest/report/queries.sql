-- name: readings_timescaledb
-- All bytes of the readings with indexes and toast, and those of the chunks that are compressed.
SELECT approximate_row_count('telemetry.reading') AS readings, size.total_bytes AS bytes,
       size.index_bytes, coalesce(settled.readings, 0)::bigint AS settled_readings,
       coalesce(stats.after_compression_total_bytes, 0)::bigint AS settled_bytes,
       coalesce(stats.before_compression_total_bytes, 0)::bigint AS settled_bytes_before,
       coalesce(stats.number_compressed_chunks, 0)::bigint AS settled_days,
       (SELECT count(*) FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'telemetry' AND hypertable_name = 'reading') AS days
FROM hypertable_detailed_size('telemetry.reading') AS size
CROSS JOIN (
    SELECT sum(p.numrows_pre_compression) AS readings
    FROM _timescaledb_catalog.compression_chunk_size p
    JOIN _timescaledb_catalog.chunk c ON c.id = p.chunk_id
    JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
    WHERE h.schema_name = 'telemetry' AND h.table_name = 'reading'
) AS settled
LEFT JOIN hypertable_compression_stats('telemetry.reading') AS stats ON true

-- name: readings_postgresql
-- The same of partitions; those put in order have an index of ranges.
SELECT coalesce(sum(readings), 0)::bigint AS readings, coalesce(sum(bytes), 0)::bigint AS bytes,
       coalesce(sum(index_bytes), 0)::bigint AS index_bytes,
       coalesce(sum(readings) FILTER (WHERE settled), 0)::bigint AS settled_readings,
       coalesce(sum(bytes) FILTER (WHERE settled), 0)::bigint AS settled_bytes, 0::bigint AS settled_bytes_before,
       count(*) FILTER (WHERE settled) AS settled_days, count(*) AS days
FROM (
    SELECT greatest(c.reltuples, 0)::bigint AS readings, pg_total_relation_size(c.oid) AS bytes,
           pg_indexes_size(c.oid) AS index_bytes,
           to_regclass(format('telemetry.%I', c.relname || '_ranges')) IS NOT NULL AS settled
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'telemetry.reading'::regclass
) AS partition

-- name: rollups_timescaledb
SELECT a.view_name AS name, size.total_bytes AS bytes, size.index_bytes,
       approximate_row_count(format('%%I.%%I', a.materialization_hypertable_schema,
                                    a.materialization_hypertable_name)::regclass) AS rows
FROM timescaledb_information.continuous_aggregates a
CROSS JOIN LATERAL hypertable_detailed_size(
    format('%%I.%%I', a.materialization_hypertable_schema, a.materialization_hypertable_name)::regclass) AS size
WHERE a.view_schema = 'telemetry'
ORDER BY a.view_name DESC

-- name: tables
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
       greatest(c.reltuples, 0)::bigint AS rows
FROM pg_class c
WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
  AND c.relname <> 'reading'
ORDER BY bytes DESC

-- name: database_size
SELECT pg_database_size(current_database()) AS bytes, current_setting('data_directory', true) AS directory

-- name: readings_by_day
SELECT bucket AS day, sum(readings)::bigint AS readings FROM telemetry.daily
WHERE bucket >= %(from_time)s AND bucket < %(to_time)s
GROUP BY 1 ORDER BY 1

-- name: policies_timescaledb
SELECT j.proc_name, coalesce(a.view_name, j.hypertable_name) AS relation,
       (coalesce(j.config ->> 'compress_after', j.config ->> 'drop_after'))::interval AS age,
       s.last_run_status, s.last_successful_finish
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.job_stats s USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
WHERE j.proc_name IN ('policy_compression', 'policy_retention') AND j.hypertable_schema IN ('telemetry', a.view_schema,
    a.materialization_hypertable_schema)

-- name: backlog
SELECT count(DISTINCT bucket) AS hours, min(bucket) AS oldest, (SELECT count(*) FROM telemetry.daily_due) AS days
FROM telemetry.rollup_due
