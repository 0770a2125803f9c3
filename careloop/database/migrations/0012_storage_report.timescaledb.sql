-- How much is stored, and in which shape; the same calls on both engines. Settled readings are those in compressed chunks.
CREATE FUNCTION telemetry.reading_storage() RETURNS TABLE (
    readings bigint, bytes bigint, index_bytes bigint, settled_readings bigint, settled_bytes bigint,
    settled_bytes_before bigint, settled_days bigint, days bigint)
LANGUAGE sql STABLE AS $$
    -- Those that came late into compressed chunks are not counted until they are compressed too.
    SELECT (coalesce(settled.readings, 0) + new.readings)::bigint AS readings, size.total_bytes AS bytes,
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
    CROSS JOIN (
        SELECT coalesce(sum(greatest(r.reltuples, 0)), 0) AS readings
        FROM timescaledb_information.chunks c
        JOIN pg_class r ON r.oid = (quote_ident(c.chunk_schema) || '.' || quote_ident(c.chunk_name))::regclass
        WHERE c.hypertable_schema = 'telemetry' AND c.hypertable_name = 'reading' AND NOT c.is_compressed
    ) AS new
    LEFT JOIN hypertable_compression_stats('telemetry.reading') AS stats ON true
$$;

CREATE FUNCTION telemetry.rollup_storage() RETURNS TABLE (name text, rows bigint, bytes bigint, index_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT a.view_name::text, approximate_row_count(a.hypertable), size.total_bytes, size.index_bytes
    FROM (
        SELECT view_name, (quote_ident(materialization_hypertable_schema) || '.'
                           || quote_ident(materialization_hypertable_name))::regclass AS hypertable
        FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'telemetry'
    ) AS a
    CROSS JOIN LATERAL hypertable_detailed_size(a.hypertable) AS size
    ORDER BY a.view_name DESC
$$;

-- What the extension's scheduler runs, and how that went; ages are of compression, of retention, of the refresh's start.
CREATE FUNCTION telemetry.storage_jobs() RETURNS TABLE (job_id integer, proc_name text, relation text, age interval, last_run_status text, error text)
LANGUAGE sql STABLE AS $$
    SELECT j.job_id, j.proc_name::text, coalesce(a.view_name, j.hypertable_name)::text,
           (coalesce(j.config ->> 'compress_after', j.config ->> 'drop_after', j.config ->> 'start_offset'))::interval,
           s.last_run_status::text,
           CASE WHEN s.last_run_status = 'Failed' THEN (
               SELECT e.err_message FROM timescaledb_information.job_errors e
               WHERE e.job_id = j.job_id ORDER BY e.finish_time DESC LIMIT 1) END
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.job_stats s USING (job_id)
    LEFT JOIN timescaledb_information.continuous_aggregates a
        ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
    WHERE (j.hypertable_schema = 'telemetry' AND j.hypertable_name = 'reading') OR a.view_schema = 'telemetry'
$$;

-- Runs one of them here and now.
CREATE PROCEDURE telemetry.run_storage_job(job_id integer)
LANGUAGE plpgsql AS $$ BEGIN CALL public.run_job(job_id); END $$;
