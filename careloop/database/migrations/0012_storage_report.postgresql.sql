-- How much is stored, and in which shape; the same calls on both engines. Settled readings are those of days put in order.
CREATE FUNCTION telemetry.reading_storage() RETURNS TABLE (
    readings bigint, bytes bigint, index_bytes bigint, settled_readings bigint, settled_bytes bigint,
    settled_bytes_before bigint, settled_days bigint, days bigint)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(readings), 0)::bigint AS readings, coalesce(sum(bytes), 0)::bigint AS bytes,
           coalesce(sum(index_bytes), 0)::bigint AS index_bytes,
           coalesce(sum(readings) FILTER (WHERE settled), 0)::bigint AS settled_readings,
           coalesce(sum(bytes) FILTER (WHERE settled), 0)::bigint AS settled_bytes, 0::bigint AS settled_bytes_before,
           count(*) FILTER (WHERE settled) AS settled_days, count(*) AS days
    FROM (
        SELECT greatest(c.reltuples, 0)::bigint AS readings, pg_total_relation_size(c.oid) AS bytes,
               pg_indexes_size(c.oid) AS index_bytes,
               to_regclass('telemetry.' || quote_ident(c.relname || '_ranges')) IS NOT NULL AS settled
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.reading'::regclass
    ) AS partition
$$;

CREATE FUNCTION telemetry.rollup_storage() RETURNS TABLE (name text, rows bigint, bytes bigint, index_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid), pg_indexes_size(c.oid)
    FROM pg_class c WHERE c.oid IN ('telemetry.hourly'::regclass, 'telemetry.daily'::regclass)
$$;

-- Ingest's maintenance does it all here.
CREATE FUNCTION telemetry.storage_jobs() RETURNS TABLE (job_id integer, proc_name text, relation text, age interval, last_run_status text, error text)
LANGUAGE sql STABLE AS $$
    SELECT 0, '', '', interval '0', '', '' WHERE false
$$;

CREATE PROCEDURE telemetry.run_storage_job(job_id integer)
LANGUAGE plpgsql AS $$ BEGIN END $$;
