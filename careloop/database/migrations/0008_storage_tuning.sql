-- The last reading of each metric of each asset in the hours that are rolled up. Kept by ingest's maintenance with the
-- rollups, and not with each message: what came since the earliest hour of telemetry.rollup_due is looked up in
-- telemetry.reading. So the page of a fleet costs ingest nothing, and an asset silent for a year costs the page nothing.
CREATE TABLE telemetry.latest (
    asset_id   integer NOT NULL,
    metric_id  smallint NOT NULL,
    time       timestamptz NOT NULL,
    value      double precision NOT NULL,
    PRIMARY KEY (asset_id, metric_id)
) WITH (fillfactor = 80);

-- Identities leave by age; where ranges of pages are not summed up at once, looking for the old ones reads all new ones.
ALTER INDEX telemetry.message_received_at SET (autosummarize = on);
CREATE INDEX dead_letter_received_at ON telemetry.dead_letter (received_at);

-- Days whose hourly rollups changed since the daily one was computed. On TimescaleDB a day waits here until it is over:
-- until then the daily rollup shows it as it is.
CREATE TABLE telemetry.daily_due (day timestamptz PRIMARY KEY);
