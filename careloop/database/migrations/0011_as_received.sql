-- What was known at an earlier moment. A message keeps when it was received and which span of time it speaks of; a
-- reading that came late is told from the others by that.
ALTER TABLE telemetry.message ADD COLUMN first_time timestamptz, ADD COLUMN last_time timestamptz;

-- Readings with times in [from_time, to_time) as they were known at received_by: those are left out that only messages
-- received later speak of. Good for as long as identities are kept (CARELOOP_INGEST_RETENTION_IDENTITY_DAYS); before that
-- everything counts as received in time.
CREATE FUNCTION telemetry.reading_as_received(received_by timestamptz, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, asset_id integer, metric_id smallint, value double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH late AS MATERIALIZED (
        SELECT m.asset_id, m.first_time, m.last_time FROM telemetry.message m
        WHERE m.readings > 0 AND m.received_at > received_by AND m.first_time < to_time AND m.last_time >= from_time
    )
    SELECT r.time, r.asset_id, r.metric_id, r.value::double precision
    FROM telemetry.reading r
    WHERE r.time >= from_time AND r.time < to_time
      AND (
        NOT EXISTS (
            SELECT FROM late WHERE late.asset_id = r.asset_id AND r.time BETWEEN late.first_time AND late.last_time)
        OR EXISTS (
            SELECT FROM telemetry.message m
            WHERE m.asset_id = r.asset_id AND m.readings > 0 AND m.received_at <= received_by
              AND r.time BETWEEN m.first_time AND m.last_time)
      );
END
$$;

-- The same of events.
CREATE FUNCTION telemetry.event_as_received(received_by timestamptz, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, asset_id integer, code text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH late AS MATERIALIZED (
        SELECT m.asset_id, m.first_time, m.last_time FROM telemetry.message m
        WHERE m.events > 0 AND m.received_at > received_by AND m.first_time < to_time AND m.last_time >= from_time
    )
    SELECT e.time, e.asset_id, e.code
    FROM telemetry.event e
    WHERE e.time >= from_time AND e.time < to_time
      AND (
        NOT EXISTS (
            SELECT FROM late WHERE late.asset_id = e.asset_id AND e.time BETWEEN late.first_time AND late.last_time)
        OR EXISTS (
            SELECT FROM telemetry.message m
            WHERE m.asset_id = e.asset_id AND m.events > 0 AND m.received_at <= received_by
              AND e.time BETWEEN m.first_time AND m.last_time)
      );
END
$$;
