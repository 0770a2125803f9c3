-- What the predictor thinks. The predictor process is the only writer.
CREATE SCHEMA prediction;

CREATE TABLE prediction.model (
    model_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Kind of product model and component the model predicts.
    kind            text NOT NULL,
    component       text NOT NULL,
    trained_as_of   timestamptz NOT NULL,
    file_sha256     bytea NOT NULL,
    feature_names   text[] NOT NULL,
    training_rows   integer NOT NULL,
    training_failures integer NOT NULL,
    metrics         jsonb NOT NULL,
    code_version    text NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX model_latest ON prediction.model (kind, component, model_id DESC);

-- The latest score of each asset and component, and since when the asset has been scored.
CREATE TABLE prediction.score (
    asset_id     integer NOT NULL,
    component    text NOT NULL,
    as_of        timestamptz NOT NULL,
    model_id     bigint NOT NULL REFERENCES prediction.model,
    probability  double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    ticket_id    bigint,
    PRIMARY KEY (asset_id, component)
);
