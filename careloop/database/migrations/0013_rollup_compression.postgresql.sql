-- TimescaleDB compresses rollups; here they stay as they are.
CREATE PROCEDURE telemetry.set_compression_policy(relation regclass, age interval)
LANGUAGE plpgsql AS $$ BEGIN END $$;
