-- Somebody may be reading the day for long; whoever comes after would wait behind the one who waits to put it in order.
ALTER FUNCTION telemetry.settle_readings_before(timestamptz) SET lock_timeout = '2s';
