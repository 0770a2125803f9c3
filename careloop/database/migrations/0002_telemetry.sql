-- What machines say. The ingest process is the only writer.
CREATE SCHEMA telemetry;

-- The registry of assets and the dictionary of metrics, as telemetry's readers and writers see them.
CREATE VIEW telemetry.asset AS
    SELECT a.asset_id, a.serial, m.code AS model, m.kind, a.state
    FROM service.asset a JOIN service.product_model m USING (model_id);

CREATE VIEW telemetry.declared_metric AS
    SELECT name, unit FROM service.metric;

CREATE TABLE telemetry.metric (
    metric_id      smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    -- The canonical unit; readings in another unit of the same dimension are converted.
    unit           text NOT NULL DEFAULT '',
    -- True when no product model declares the metric: it was learned from a message.
    learned        boolean NOT NULL,
    first_seen_at  timestamptz NOT NULL
);

-- The identity of every message stored: a 128-bit hash of topic and payload. A message that is a dead letter as a whole
-- is not here, so that it can be sent again once its cause is mended.
CREATE TABLE telemetry.message (
    message_id   uuid PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    asset_id     integer NOT NULL,
    readings     integer NOT NULL,
    events       integer NOT NULL
);
CREATE INDEX message_received_at ON telemetry.message USING brin (received_at);

CREATE TABLE telemetry.event (
    time      timestamptz NOT NULL,
    asset_id  integer NOT NULL,
    code      text NOT NULL,
    severity  text NOT NULL DEFAULT 'warning' CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    detail    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_asset_time ON telemetry.event (asset_id, time DESC);
CREATE INDEX event_time ON telemetry.event (time);

-- By the agent's id: the serial number of the asset it runs on, or of a gateway, which is no asset.
CREATE TABLE telemetry.agent_state (
    agent_id       text PRIMARY KEY,
    online         boolean NOT NULL,
    agent_version  text NOT NULL DEFAULT '',
    detail         jsonb NOT NULL DEFAULT '{}',
    changed_at     timestamptz NOT NULL
);

CREATE TABLE telemetry.dead_letter (
    dead_letter_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id      uuid NOT NULL,
    received_at     timestamptz NOT NULL,
    topic           text NOT NULL,
    content_type    text NOT NULL DEFAULT '',
    reason          text NOT NULL,
    detail          text NOT NULL,
    payload         bytea NOT NULL,
    payload_bytes   bigint NOT NULL,
    UNIQUE (message_id, reason, detail)
);
CREATE INDEX dead_letter_reason ON telemetry.dead_letter (reason, dead_letter_id);

-- Counted in the same transaction as what it counts, one row a worker: cheap to poll. Every telemetry and event
-- delivery adds 1 to messages or to duplicates, also when all of it became dead letters; state messages add nothing.
CREATE TABLE telemetry.ingest_progress (
    worker        text PRIMARY KEY,
    messages      bigint NOT NULL DEFAULT 0,
    duplicates    bigint NOT NULL DEFAULT 0,
    readings      bigint NOT NULL DEFAULT 0,
    events        bigint NOT NULL DEFAULT 0,
    -- Rows of telemetry.dead_letter: at most one per message and reason.
    dead_letters  bigint NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL
);

-- Hours whose readings changed since their rollup was last computed; empty when both rollups are up to date. A
-- transaction appends each hour it touched, so that ingest workers never wait for one another nor for the rollup job.
CREATE TABLE telemetry.rollup_due (
    rollup_due_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket         timestamptz NOT NULL
);
