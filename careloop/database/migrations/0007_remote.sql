-- What people want of an agent (the API writes) and what became of it (ingest writes).
CREATE TABLE service.agent_config (
    agent_id    text PRIMARY KEY CHECK (agent_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    -- Counts the changes; the agent reports which one it saw last.
    version     integer NOT NULL DEFAULT 1,
    settings    jsonb NOT NULL,
    hash        text NOT NULL,
    changed_at  timestamptz NOT NULL,
    changed_by  text NOT NULL
);

CREATE TABLE service.agent_command (
    -- For pages and for the order of sending.
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What the agent knows it by; never used twice, also not by a database restored from a backup.
    command_id  uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    agent_id    text NOT NULL CHECK (agent_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    kind        text NOT NULL CHECK (kind IN ('self_test', 'set_interval', 'upload_log')),
    arguments   jsonb NOT NULL DEFAULT '{}',
    issued_at   timestamptz NOT NULL,
    issued_by   text NOT NULL,
    expires_at  timestamptz NOT NULL CHECK (expires_at > issued_at)
);
CREATE INDEX agent_command_agent ON service.agent_command (agent_id, number);
CREATE INDEX agent_command_expires_at ON service.agent_command (expires_at);

-- As ingest, which sends them, sees them.
CREATE VIEW telemetry.desired_config AS
    SELECT agent_id, version, settings, hash FROM service.agent_config;

CREATE VIEW telemetry.issued_command AS
    SELECT number, command_id, agent_id, kind, arguments, expires_at FROM service.agent_command;

-- Attempts to hand them to the broker. `sent_at` is when it first took one; a configuration is retained there, a command
-- is taken only for an agent that is subscribed.
CREATE TABLE telemetry.config_delivery (
    agent_id  text PRIMARY KEY,
    version   integer NOT NULL,
    attempts  integer NOT NULL,
    tried_at  timestamptz NOT NULL,
    sent_at   timestamptz
);

CREATE TABLE telemetry.command_delivery (
    command_id  uuid PRIMARY KEY,
    attempts    integer NOT NULL,
    tried_at    timestamptz NOT NULL,
    sent_at     timestamptz
);

-- From the agent's own state: when it last spoke, and what became of the configuration that it saw last.
CREATE TABLE telemetry.agent_report (
    agent_id         text PRIMARY KEY,
    seen_at          timestamptz NOT NULL,
    config_version   integer NOT NULL DEFAULT 0,
    config_status    text NOT NULL DEFAULT 'applied' CHECK (config_status IN ('applied', 'refused', 'rolled_back')),
    config_reason    text NOT NULL DEFAULT '',
    config_hash      text NOT NULL DEFAULT '',
    config_proved    boolean NOT NULL DEFAULT true,
    -- When that was first reported.
    config_since     timestamptz NOT NULL
);

-- The first result of a command counts; an agent executes it once, but may report it twice.
CREATE TABLE telemetry.command_result (
    command_id   uuid PRIMARY KEY,
    agent_id     text NOT NULL,
    status       text NOT NULL CHECK (status IN ('done', 'failed', 'refused', 'expired')),
    reason       text NOT NULL,
    output       jsonb NOT NULL,
    finished_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL
);
