-- What came in and needs a person: dead letters to be tried again, metrics that nobody declared.

-- The API asks for dead letters to be tried again; ingest, which owns them, does it and says what became of it.
CREATE TABLE service.dead_letter_replay (
    replay_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Those of one message, of one reason, of one serial number; all where none is given.
    dead_letter_id  bigint,
    reason          text,
    serial          text,
    requested_by    text NOT NULL,
    requested_at    timestamptz NOT NULL
);

CREATE VIEW telemetry.replay_request AS
    SELECT replay_id, dead_letter_id, reason, serial FROM service.dead_letter_replay;

CREATE TABLE telemetry.replay_result (
    replay_id    bigint PRIMARY KEY,
    -- Messages tried, and of those the ones of which nothing is left among the dead letters.
    messages     integer NOT NULL,
    settled      integer NOT NULL,
    readings     bigint NOT NULL,
    events       bigint NOT NULL,
    finished_at  timestamptz NOT NULL
);

-- Which metrics the assets of a product model really send, kept by ingest's maintenance from the hours it rolls up.
CREATE TABLE telemetry.model_metric (
    model          text NOT NULL,
    metric_id      smallint NOT NULL REFERENCES telemetry.metric,
    first_seen_at  timestamptz NOT NULL,
    PRIMARY KEY (model, metric_id)
);

-- A metric that a model sends and does not declare waits for somebody to accept or to ignore it.
CREATE TABLE service.metric_review (
    model_id     bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    metric_name  text NOT NULL,
    decision     text NOT NULL CHECK (decision IN ('accepted', 'ignored')),
    decided_by   text NOT NULL,
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (model_id, metric_name)
);
