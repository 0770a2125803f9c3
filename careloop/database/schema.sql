-- The whole schema, on every engine. Written by python -m careloop.database.schema; nothing runs it but a test.

-- The service desk's own tables. The API process is the only writer.
CREATE SCHEMA service;

CREATE TABLE service.api_key (
    api_key_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    role        text NOT NULL CHECK (role IN ('admin', 'desk', 'dispatcher', 'technician', 'service')),
    -- The key itself is shown once; only its SHA-256 is kept (keys are 256 random bits, so no salt or stretching is needed).
    key_hash    bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz
);

CREATE TABLE service.idempotency_key (
    principal     bigint NOT NULL,
    key           text NOT NULL,
    method        text NOT NULL,
    path          text NOT NULL,
    request_hash  bytea NOT NULL,
    status        integer NOT NULL,
    headers       jsonb NOT NULL,
    body          bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_key_created_at ON service.idempotency_key (created_at);

-- Catalogue of machines ------------------------------------------------------------------------

CREATE TABLE service.metric (
    name         text PRIMARY KEY,
    unit         text NOT NULL DEFAULT '',
    description  text NOT NULL DEFAULT ''
);

CREATE TABLE service.part (
    part_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku           text NOT NULL UNIQUE,
    name          text NOT NULL,
    cost_minor    bigint NOT NULL DEFAULT 0 CHECK (cost_minor >= 0),
    currency      text NOT NULL DEFAULT 'EUR',
    lead_time_days integer NOT NULL DEFAULT 14 CHECK (lead_time_days >= 0),
    version       integer NOT NULL DEFAULT 1
);

CREATE TABLE service.product_model (
    model_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code           text NOT NULL UNIQUE,
    name           text NOT NULL,
    -- Models of one kind share metrics and components, and therefore one predictor.
    kind           text NOT NULL,
    manufacturer   text NOT NULL DEFAULT '',
    horizon_hours  integer NOT NULL DEFAULT 24 CHECK (horizon_hours > 0),
    version        integer NOT NULL DEFAULT 1
);

CREATE TABLE service.model_metric (
    model_id     bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    metric_name  text NOT NULL REFERENCES service.metric,
    PRIMARY KEY (model_id, metric_name)
);

CREATE TABLE service.component (
    component_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id            bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    name                text NOT NULL,
    part_id             bigint REFERENCES service.part,
    quantity            integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
    skill               text NOT NULL DEFAULT 'general',
    labour_minutes      integer NOT NULL DEFAULT 60 CHECK (labour_minutes > 0),
    -- What an unplanned failure costs, and what a planned visit costs; the predictor's decision weighs them.
    failure_cost_minor  bigint NOT NULL DEFAULT 50000 CHECK (failure_cost_minor >= 0),
    planned_cost_minor  bigint NOT NULL DEFAULT 10000 CHECK (planned_cost_minor >= 0),
    currency            text NOT NULL DEFAULT 'EUR',
    UNIQUE (model_id, name)
);

-- Customers, sites, assets ---------------------------------------------------------------------

CREATE TABLE service.customer (
    customer_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    language     text NOT NULL DEFAULT 'en',
    version      integer NOT NULL DEFAULT 1
);

CREATE TABLE service.site (
    site_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  bigint REFERENCES service.customer,
    name         text NOT NULL,
    territory    text NOT NULL DEFAULT 'default',
    latitude     double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude    double precision CHECK (longitude BETWEEN -180 AND 180),
    time_zone    text NOT NULL DEFAULT 'UTC'
);

CREATE TABLE service.asset (
    asset_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial        text NOT NULL UNIQUE CHECK (serial ~ '^[A-Za-z0-9._-]{1,64}$'),
    model_id      bigint NOT NULL REFERENCES service.product_model,
    site_id       bigint REFERENCES service.site,
    installed_at  timestamptz NOT NULL,
    state         text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
    -- When it went out of service; reports count its operating time until then.
    retired_at    timestamptz,
    -- Facts about the asset that are constant or slow (age at installation, firmware, batch).
    attributes    jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL,
    version       integer NOT NULL DEFAULT 1
);
CREATE INDEX asset_model ON service.asset (model_id, asset_id);

CREATE TABLE service.warranty_term (
    term_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id    integer NOT NULL REFERENCES service.asset,
    name        text NOT NULL,
    starts_on   date NOT NULL,
    -- The last day covered.
    ends_on     date NOT NULL,
    CHECK (ends_on >= starts_on),
    UNIQUE (asset_id, name, starts_on)
);
CREATE INDEX warranty_term_ends_on ON service.warranty_term (ends_on, term_id);

-- Tickets --------------------------------------------------------------------------------------

CREATE TABLE service.ticket (
    ticket_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('preventive', 'repair', 'warranty_expiry', 'complaint', 'consultation', 'installation')),
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'scheduled', 'in_progress', 'resolved', 'closed', 'cancelled')),
    priority     text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    asset_id     integer NOT NULL REFERENCES service.asset,
    component    text,
    -- What a machine saw, e.g. 'component:pump' or 'warranty:17'; empty for tickets of people.
    cause        text NOT NULL DEFAULT '',
    title        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    raised_by    text NOT NULL,
    opened_at    timestamptz NOT NULL,
    due_by       timestamptz,
    closed_at    timestamptz,
    outcome      text CHECK (outcome IN ('confirmed', 'prevented', 'no_fault_found', 'other_fault', 'superseded', 'reminded')),
    -- Frozen at opening; later evidence goes to ticket_event.
    evidence     jsonb NOT NULL DEFAULT '{}',
    term_id      bigint UNIQUE REFERENCES service.warranty_term,
    version      integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'warranty_expiry') = (term_id IS NOT NULL))
);
-- One open case per asset and machine-seen cause.
CREATE UNIQUE INDEX ticket_one_open_case ON service.ticket (asset_id, cause)
    WHERE cause <> '' AND state NOT IN ('resolved', 'closed', 'cancelled');
CREATE INDEX ticket_asset ON service.ticket (asset_id, ticket_id DESC);
CREATE INDEX ticket_state ON service.ticket (state, ticket_id DESC);
CREATE INDEX ticket_kind ON service.ticket (kind, ticket_id DESC);
-- What the scheduler asks for at every turn.
CREATE INDEX ticket_job_wanted ON service.ticket (ticket_id)
    WHERE kind IN ('preventive', 'repair') AND state IN ('open', 'scheduled');

CREATE TABLE service.ticket_event (
    ticket_event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id        bigint NOT NULL REFERENCES service.ticket,
    at               timestamptz NOT NULL,
    actor            text NOT NULL,
    kind             text NOT NULL,
    detail           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ticket_event_ticket ON service.ticket_event (ticket_id, ticket_event_id);

-- Facts about components: what failed, what was replaced. They label the predictor's training. --

CREATE TABLE service.failure (
    failure_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id     integer NOT NULL REFERENCES service.asset,
    component    text NOT NULL,
    failed_at    timestamptz NOT NULL,
    restored_at  timestamptz CHECK (restored_at >= failed_at),
    description  text NOT NULL DEFAULT '',
    recorded_at  timestamptz NOT NULL,
    UNIQUE (asset_id, component, failed_at)
);

CREATE TABLE service.replacement (
    replacement_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL REFERENCES service.asset,
    component       text NOT NULL,
    replaced_at     timestamptz NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('failure', 'preventive', 'scheduled')),
    recorded_at     timestamptz NOT NULL,
    UNIQUE (asset_id, component, replaced_at)
);

-- Parts ----------------------------------------------------------------------------------------

CREATE TABLE service.warehouse (
    warehouse_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code          text NOT NULL UNIQUE,
    name          text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('central', 'partner', 'van')),
    territory     text NOT NULL DEFAULT 'default',
    latitude      double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude     double precision CHECK (longitude BETWEEN -180 AND 180),
    -- Days until a part from here can be at a site of another territory.
    transfer_days integer NOT NULL DEFAULT 1 CHECK (transfer_days >= 0)
);

-- The balance; it is moved only together with a stock_movement row, and can never go negative.
CREATE TABLE service.stock (
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    part_id       bigint NOT NULL REFERENCES service.part,
    on_hand       integer NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    reserved      integer NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    PRIMARY KEY (warehouse_id, part_id),
    CHECK (reserved <= on_hand)
);
CREATE INDEX stock_part ON service.stock (part_id, warehouse_id);

CREATE TABLE service.stock_movement (
    movement_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    part_id       bigint NOT NULL REFERENCES service.part,
    kind          text NOT NULL CHECK (kind IN ('receipt', 'reserve', 'release', 'consume', 'adjust')),
    on_hand_change   integer NOT NULL,
    reserved_change  integer NOT NULL,
    cause         text NOT NULL,
    at            timestamptz NOT NULL
);
CREATE INDEX stock_movement_part ON service.stock_movement (part_id, warehouse_id, movement_id);

-- Plans, technicians, jobs, visits -------------------------------------------------------------

CREATE TABLE service.plan (
    plan_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    model_id        bigint NOT NULL REFERENCES service.product_model,
    trigger_kind    text NOT NULL CHECK (trigger_kind IN ('calendar', 'meter')),
    every_days      integer CHECK (every_days > 0),
    meter_metric    text REFERENCES service.metric,
    every_meter     double precision CHECK (every_meter > 0),
    skill           text NOT NULL DEFAULT 'general',
    labour_minutes  integer NOT NULL DEFAULT 60 CHECK (labour_minutes > 0),
    instructions    text NOT NULL DEFAULT '',
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    CHECK ((trigger_kind = 'calendar') = (every_days IS NOT NULL)),
    CHECK ((trigger_kind = 'meter') = (meter_metric IS NOT NULL AND every_meter IS NOT NULL))
);

CREATE TABLE service.plan_part (
    plan_id   bigint NOT NULL REFERENCES service.plan ON DELETE CASCADE,
    part_id   bigint NOT NULL REFERENCES service.part,
    quantity  integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (plan_id, part_id)
);

CREATE TABLE service.technician (
    technician_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                    text NOT NULL UNIQUE,
    provider                text NOT NULL DEFAULT '',
    skills                  text[] NOT NULL,
    territories             text[] NOT NULL,
    daily_capacity_minutes  integer NOT NULL DEFAULT 480 CHECK (daily_capacity_minutes BETWEEN 1 AND 1440),
    active                  boolean NOT NULL DEFAULT true,
    version                 integer NOT NULL DEFAULT 1
);

CREATE TABLE service.job (
    job_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL REFERENCES service.asset,
    ticket_id       bigint REFERENCES service.ticket,
    plan_id         bigint REFERENCES service.plan,
    -- The how-manieth falling due of the plan on this asset: 1, 2, 3 …
    occurrence      integer CHECK (occurrence > 0),
    state           text NOT NULL DEFAULT 'open'
                    CHECK (state IN ('open', 'waiting', 'dispatched', 'in_progress', 'completed', 'cancelled')),
    -- Why the job is not moving, in words for a dispatcher; set exactly while waiting.
    waiting_reason  text,
    skill           text NOT NULL,
    labour_minutes  integer NOT NULL CHECK (labour_minutes > 0),
    priority        text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    instructions    text NOT NULL DEFAULT '',
    due_by          timestamptz,
    created_at      timestamptz NOT NULL,
    completed_at    timestamptz,
    outcome         text CHECK (outcome IN ('confirmed', 'prevented', 'no_fault_found', 'other_fault', 'superseded', 'done')),
    cancel_reason   text CHECK (cancel_reason IS NULL OR state = 'cancelled'),
    version         integer NOT NULL DEFAULT 1,
    CHECK ((plan_id IS NULL) = (occurrence IS NULL)),
    CHECK (ticket_id IS NOT NULL OR plan_id IS NOT NULL),
    CHECK ((state = 'waiting') = (waiting_reason IS NOT NULL)),
    UNIQUE (plan_id, asset_id, occurrence)
);
CREATE UNIQUE INDEX job_one_open_per_ticket ON service.job (ticket_id) WHERE state NOT IN ('completed', 'cancelled');
CREATE INDEX job_state ON service.job (state, job_id);
CREATE INDEX job_asset ON service.job (asset_id, job_id DESC);
CREATE INDEX job_ticket ON service.job (ticket_id);

-- The parts a job needs, decided when the job is made.
CREATE TABLE service.job_part (
    job_id    bigint NOT NULL REFERENCES service.job ON DELETE CASCADE,
    part_id   bigint NOT NULL REFERENCES service.part,
    quantity  integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (job_id, part_id)
);

CREATE TABLE service.reservation (
    reservation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id          bigint NOT NULL REFERENCES service.job,
    part_id         bigint NOT NULL REFERENCES service.part,
    warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    quantity        integer NOT NULL CHECK (quantity > 0),
    state           text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'consumed', 'released')),
    -- When the part can be at the site: at once from the same territory, after the transfer otherwise.
    available_at    timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    version         integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX reservation_one_open ON service.reservation (job_id, part_id) WHERE state = 'reserved';
CREATE INDEX reservation_part ON service.reservation (part_id, warehouse_id);
CREATE INDEX reservation_job ON service.reservation (job_id, reservation_id);
CREATE INDEX reservation_state ON service.reservation (state, reservation_id);

CREATE TABLE service.visit (
    visit_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id         bigint NOT NULL REFERENCES service.job,
    technician_id  bigint NOT NULL REFERENCES service.technician,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    state          text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'started', 'completed', 'cancelled')),
    dispatched_at  timestamptz NOT NULL,
    CHECK (ends_at > starts_at)
);
CREATE UNIQUE INDEX visit_one_open_per_job ON service.visit (job_id) WHERE state IN ('planned', 'started');
CREATE INDEX visit_technician ON service.visit (technician_id, starts_at) WHERE state <> 'cancelled';
CREATE INDEX visit_job ON service.visit (job_id, visit_id);
CREATE INDEX visit_state ON service.visit (state, visit_id);

-- Alerts: the outbox ---------------------------------------------------------------------------

CREATE TABLE service.alert_target (
    target_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('apprise', 'webhook')),
    url         text NOT NULL,
    -- Standard Webhooks signing secret (whsec_…); needed in clear to sign.
    secret      text,
    topics      text[] NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'webhook') = (secret IS NOT NULL))
);

CREATE TABLE service.alert (
    alert_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target_id        bigint NOT NULL REFERENCES service.alert_target,
    topic            text NOT NULL,
    -- e.g. 'ticket:12:opened': one message per cause and target, ever.
    cause            text NOT NULL,
    asset_id         integer REFERENCES service.asset,
    subject          text NOT NULL,
    body             text NOT NULL,
    payload          jsonb NOT NULL,
    state            text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'sent', 'unconfirmed', 'dead')),
    attempts         integer NOT NULL DEFAULT 0,
    -- Real time, also in a replay of the past; while sending, the end of the lease.
    next_attempt_at  timestamptz NOT NULL,
    -- Set by whoever claimed the alert last; only that claim may settle it.
    lease_until      timestamptz,
    last_error       text,
    created_at       timestamptz NOT NULL,
    sent_at          timestamptz,
    UNIQUE (cause, target_id)
);
CREATE INDEX alert_due ON service.alert (target_id, next_attempt_at, alert_id) WHERE state IN ('pending', 'sending');
CREATE INDEX alert_state ON service.alert (state, alert_id);
CREATE INDEX alert_topic ON service.alert (topic, alert_id);
CREATE INDEX alert_asset ON service.alert (asset_id, alert_id);

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

-- Who does which recurring duty, when. Operational state of the scheduler and other tickers, not business data.
CREATE SCHEMA scheduling;

CREATE TABLE scheduling.duty (
    name          text PRIMARY KEY,
    every         interval NOT NULL CHECK (every > interval '0'),
    next_run_at   timestamptz NOT NULL,
    lease_until   timestamptz,
    owner         text,
    fence         bigint NOT NULL DEFAULT 0
);

CREATE TABLE scheduling.duty_run (
    name         text NOT NULL REFERENCES scheduling.duty ON DELETE CASCADE,
    due_at       timestamptz NOT NULL,
    owner        text NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    error        text,
    PRIMARY KEY (name, due_at)
);

-- Why an active plan can't fall due at all, in words for a dispatcher; the row goes when the obstacle does.
CREATE TABLE scheduling.plan_obstacle (
    plan_id     bigint PRIMARY KEY,
    reason      text NOT NULL,
    noticed_at  timestamptz NOT NULL
);

-- Identities of devices, and what each may reach on the broker. Private keys and passwords are not here, only hashes.

-- One key per batch of machines, which each of them turns into an identity of its own.
CREATE TABLE service.claim_key (
    claim_key_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch            text NOT NULL,
    -- What a claiming device is; of a gateway's batch, what the machines behind it are.
    model_id         bigint NOT NULL REFERENCES service.product_model,
    gateway          boolean NOT NULL,
    serial_pattern   text,
    serials          text[],
    -- The machines that a gateway may bring along; none when null.
    asset_pattern    text,
    -- Whether a serial number without an asset is registered, or refused.
    register_assets  boolean NOT NULL,
    -- The key itself is shown once; only its SHA-256 is kept (256 random bits need no salt or stretching).
    key_hash         bytea NOT NULL UNIQUE,
    max_claims       integer NOT NULL CHECK (max_claims > 0),
    claims           integer NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    CHECK (claims <= max_claims),
    CHECK ((serial_pattern IS NULL) <> (serials IS NULL))
);

CREATE TABLE service.device (
    device_id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Its user name at the broker: the serial number of the asset it is, or of a gateway, which is no asset.
    agent_id                text NOT NULL UNIQUE,
    claim_key_id            bigint NOT NULL REFERENCES service.claim_key,
    gateway                 boolean NOT NULL,
    kind                    text NOT NULL CHECK (kind IN ('password', 'certificate')),
    state                   text NOT NULL CHECK (state IN ('active', 'revoked', 'released')),
    -- SHA-256 of what only this device has: its public key, or the secret that it made. A claim that shows the same
    -- again is the same claim; null: it cannot be repeated.
    proof_hash              bytea,
    -- The password follows from the device's secret and this; so it can be told again without being kept.
    password_salt           bytea,
    -- As Mosquitto keeps it: $7$iterations$salt$hash (PBKDF2, SHA-512).
    password_hash           text,
    -- The one before, by which only the renewal that replaced it can be repeated.
    previous_password_hash  text,
    claimed_at              timestamptz NOT NULL,
    renewed_at              timestamptz,
    ended_at                timestamptz,
    CHECK ((state = 'active') = (ended_at IS NULL)),
    CHECK (state <> 'active' OR (kind = 'password') = (password_hash IS NOT NULL))
);
CREATE INDEX device_state ON service.device (state, device_id);

-- Every certificate that the platform's CA signed.
CREATE TABLE service.device_certificate (
    -- Hexadecimal, lower case.
    serial_number    text PRIMARY KEY,
    device_id        bigint NOT NULL REFERENCES service.device,
    public_key_hash  bytea NOT NULL,
    certificate      text NOT NULL,
    issued_at        timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz
);
CREATE INDEX device_certificate_device ON service.device_certificate (device_id, issued_at);
CREATE INDEX device_certificate_revoked ON service.device_certificate (expires_at) WHERE revoked_at IS NOT NULL;

-- The machines that a gateway speaks for; one gateway each.
CREATE TABLE service.device_asset (
    asset_id   integer PRIMARY KEY REFERENCES service.asset,
    device_id  bigint NOT NULL REFERENCES service.device
);
CREATE INDEX device_asset_device ON service.device_asset (device_id);

-- Counts up in every transaction that changes who may reach what, so that the broker's files follow.
CREATE TABLE service.device_revision (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision  bigint NOT NULL
);
INSERT INTO service.device_revision (revision) VALUES (0);

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

-- What a device said once of its later messages: a Sparkplug birth, a discovery message of Home Assistant. Kept, so that
-- any ingest worker can read what follows, also after a restart.
CREATE TABLE telemetry.announcement (
    format        text NOT NULL CHECK (format IN ('sparkplug', 'home_assistant')),
    -- Who said it: an edge node or a device of it, a discovery topic. A later announcement replaces it.
    source        text NOT NULL,
    -- What is looked up at once: an edge node with its devices, a state topic.
    family        text NOT NULL,
    announced_at  timestamptz NOT NULL,
    body          jsonb NOT NULL,
    PRIMARY KEY (format, source)
);
CREATE INDEX announcement_family ON telemetry.announcement (format, family);

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

-- Who may see what, who did what, and what changed: wired into every table of the service desk by one call,
-- `CALL service.guard(…)`, so that no route can forget any of it (docs/decisions/0017-guarded-tables.md).

-- The roles belong to the whole server, so two databases may make them at once: losing that race is as good as winning it.
-- careloop_api sees everything; a call of a customer, a technician or a partner runs as careloop_scoped.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['careloop_api', 'careloop_scoped'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- Partners, users, sessions, keys -----------------------------------------------------------------

-- An organisation that does the work: a service partner, or the maker's own service.
CREATE TABLE service.provider (
    provider_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL UNIQUE,
    name         text NOT NULL,
    active       boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL,
    version      integer NOT NULL DEFAULT 1
);

ALTER TABLE service.technician ADD COLUMN provider_id bigint REFERENCES service.provider;
CREATE INDEX technician_provider_id ON service.technician (provider_id);

CREATE TABLE service.app_user (
    user_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What somebody types to log in, in lower case.
    login          text NOT NULL UNIQUE CHECK (login = lower(login)),
    name           text NOT NULL,
    role           text NOT NULL,
    -- Argon2; null for somebody who logs in through the identity provider only.
    password_hash  text,
    oidc_issuer    text,
    oidc_subject   text,
    customer_id    bigint REFERENCES service.customer,
    provider_id    bigint REFERENCES service.provider,
    technician_id  bigint REFERENCES service.technician,
    active         boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (oidc_issuer, oidc_subject),
    CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL)),
    CHECK (role IN ('admin', 'desk_lead', 'agent', 'dispatcher', 'technician', 'partner_manager', 'engineer', 'customer',
                    'service')),
    CHECK ((role = 'customer') = (customer_id IS NOT NULL)),
    CHECK (role <> 'partner_manager' OR provider_id IS NOT NULL),
    CHECK (provider_id IS NULL OR role IN ('partner_manager', 'technician')),
    CHECK (technician_id IS NULL OR role = 'technician')
);
CREATE INDEX app_user_customer_id ON service.app_user (customer_id);
CREATE INDEX app_user_provider_id ON service.app_user (provider_id);
CREATE INDEX app_user_technician_id ON service.app_user (technician_id);

CREATE TABLE service.session (
    session_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES service.app_user,
    -- SHA-256 of the token, which is 256 random bits.
    token_hash  bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX session_user_id ON service.session (user_id);

ALTER TABLE service.api_key DROP CONSTRAINT api_key_role_check;
UPDATE service.api_key SET role = 'agent' WHERE role = 'desk';
ALTER TABLE service.api_key
    -- e.g. 'tickets:read'; null for all that the role may.
    ADD COLUMN scopes        text[],
    ADD COLUMN customer_id   bigint REFERENCES service.customer,
    ADD COLUMN provider_id   bigint REFERENCES service.provider,
    ADD COLUMN technician_id bigint REFERENCES service.technician,
    ADD CHECK (role IN ('admin', 'desk_lead', 'agent', 'dispatcher', 'technician', 'partner_manager', 'engineer', 'customer',
                        'service')),
    ADD CHECK ((role = 'customer') = (customer_id IS NOT NULL)),
    ADD CHECK (role <> 'partner_manager' OR provider_id IS NOT NULL),
    ADD CHECK (provider_id IS NULL OR role IN ('partner_manager', 'technician')),
    ADD CHECK (technician_id IS NULL OR role = 'technician');
CREATE INDEX api_key_customer_id ON service.api_key (customer_id);
CREATE INDEX api_key_provider_id ON service.api_key (provider_id);
CREATE INDEX api_key_technician_id ON service.api_key (technician_id);

-- A caller is a key or a user: 'key:12', 'user:3'.
ALTER TABLE service.idempotency_key ALTER COLUMN principal TYPE text USING 'key:' || principal;

-- Whose a machine and a case are -------------------------------------------------------------------

ALTER TABLE service.asset ADD COLUMN customer_id bigint REFERENCES service.customer;
UPDATE service.asset a SET customer_id = s.customer_id FROM service.site s WHERE s.site_id = a.site_id;
CREATE INDEX asset_customer_id ON service.asset (customer_id, asset_id);
CREATE INDEX asset_site_id ON service.asset (site_id, asset_id);
CREATE INDEX site_customer_id ON service.site (customer_id, site_id);

ALTER TABLE service.ticket
    ADD COLUMN customer_id bigint REFERENCES service.customer,
    ADD COLUMN provider_id bigint REFERENCES service.provider;
UPDATE service.ticket t SET customer_id = a.customer_id FROM service.asset a WHERE a.asset_id = t.asset_id;
CREATE INDEX ticket_customer_id ON service.ticket (customer_id, ticket_id);
CREATE INDEX ticket_provider_id ON service.ticket (provider_id, ticket_id);

-- The audit log ------------------------------------------------------------------------------------

-- Append-only: every write with what was there before and after. Of an update only the changed columns.
CREATE TABLE service.audit (
    audit_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    -- Who that was without doubt, since names repeat: 'user:3', 'key:12'; the actor again where it was neither.
    actor_key    text NOT NULL,
    request_id   text,
    -- Without schema, e.g. 'ticket'.
    table_name   text NOT NULL,
    action       text NOT NULL CHECK (action IN ('insert', 'update', 'delete')),
    -- The row's key as text, several columns joined by ','.
    row_key      text NOT NULL,
    ticket_id    bigint,
    customer_id  bigint,
    asset_id     integer,
    before       jsonb,
    after        jsonb
);
CREATE INDEX audit_row ON service.audit (table_name, row_key, audit_id);
CREATE INDEX audit_ticket ON service.audit (ticket_id, audit_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX audit_customer ON service.audit (customer_id, audit_id) WHERE customer_id IS NOT NULL;
CREATE INDEX audit_asset ON service.audit (asset_id, audit_id) WHERE asset_id IS NOT NULL;
CREATE INDEX audit_actor ON service.audit (actor_key, audit_id);
CREATE INDEX audit_at ON service.audit (at, audit_id);

-- The change feed ----------------------------------------------------------------------------------

-- Every new thing with a state, and every change of a state; numbers and states only, no text of people.
CREATE TABLE service.change (
    change_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    -- Which kind of thing: the table's name, e.g. 'ticket'.
    thing        text NOT NULL,
    thing_key    text NOT NULL,
    ticket_id    bigint,
    asset_id     integer,
    customer_id  bigint,
    provider_id  bigint,
    from_state   text,
    to_state     text NOT NULL
);
CREATE INDEX change_ticket ON service.change (ticket_id, change_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX change_asset ON service.change (asset_id, change_id) WHERE asset_id IS NOT NULL;

-- The wiring ---------------------------------------------------------------------------------------

-- What is wired how; `personal` names the columns that hold a person, for whoever must erase one.
CREATE TABLE service.guarded (
    table_name  text PRIMARY KEY,
    key_columns text[] NOT NULL,
    audited     boolean NOT NULL,
    states      boolean NOT NULL,
    personal    text[] NOT NULL
);

CREATE FUNCTION service.scope_customer_id() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('careloop.customer_id', true), '')::bigint $$;

CREATE FUNCTION service.scope_provider_id() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('careloop.provider_id', true), '')::bigint $$;

CREATE FUNCTION service.current_actor() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('careloop.actor', true), ''), session_user::text) $$;

CREATE FUNCTION service.current_actor_key() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('careloop.actor_key', true), ''), service.current_actor()) $$;

-- The call's time; the server's where nobody calls.
CREATE FUNCTION service.current_time_of_call() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('careloop.now', true), '')::timestamptz, now()) $$;

-- Arguments of the trigger: the key's columns joined by ',', then the hidden columns joined by ','.
CREATE FUNCTION service.write_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    hidden  text[] := string_to_array(TG_ARGV[1], ',');
    was     jsonb;
    is_now  jsonb;
    one     jsonb;
    row_key text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := to_jsonb(OLD) - hidden;
        one := was;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        is_now := to_jsonb(NEW) - hidden;
        one := is_now;
    END IF;
    IF strpos(TG_ARGV[0], ',') = 0 THEN
        row_key := one ->> TG_ARGV[0];
    ELSE
        SELECT string_agg(one ->> name, ',' ORDER BY place) INTO row_key
        FROM unnest(string_to_array(TG_ARGV[0], ',')) WITH ORDINALITY AS part (name, place);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF was = is_now THEN
            RETURN NULL;
        END IF;
        SELECT jsonb_object_agg(cell.key, cell.value), jsonb_object_agg(cell.key, is_now -> cell.key) INTO was, is_now
        FROM jsonb_each(was) AS cell
        WHERE cell.value IS DISTINCT FROM is_now -> cell.key;
    END IF;
    INSERT INTO service.audit
        (at, actor, actor_key, request_id, table_name, action, row_key, ticket_id, customer_id, asset_id, before, after)
    VALUES (service.current_time_of_call(), service.current_actor(), service.current_actor_key(),
            nullif(current_setting('careloop.request_id', true), ''), TG_TABLE_NAME, lower(TG_OP), row_key,
            (one ->> 'ticket_id')::bigint, (one ->> 'customer_id')::bigint, (one ->> 'asset_id')::integer, was, is_now);
    RETURN NULL;
END
$$;

-- Argument: the key's column.
CREATE FUNCTION service.write_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    one jsonb := to_jsonb(NEW);
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state IS NOT DISTINCT FROM OLD.state THEN
        RETURN NULL;
    END IF;
    INSERT INTO service.change
        (at, actor, thing, thing_key, ticket_id, asset_id, customer_id, provider_id, from_state, to_state)
    VALUES (service.current_time_of_call(), service.current_actor(), TG_TABLE_NAME, one ->> TG_ARGV[0],
            (one ->> 'ticket_id')::bigint, (one ->> 'asset_id')::integer, (one ->> 'customer_id')::bigint,
            (one ->> 'provider_id')::bigint, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state);
    RETURN NULL;
END
$$;

-- Wire a table.
--   seen:     what a scoped caller sees of it and may write; in it, other tables' own policies hold again
--   key:      its key's columns, joined by ','
--   audited:  every write goes to the audit; false for journals that hold actor and time themselves
--   states:   it has a column `state`, whose changes go to the change feed; its key is one column then
--   hidden:   columns too large or too secret for the audit
--   personal: columns that hold a person's name, address, number or words
CREATE PROCEDURE service.guard(guarded regclass, seen text, key text, audited boolean DEFAULT true,
                               states boolean DEFAULT false, hidden text[] DEFAULT '{}', personal text[] DEFAULT '{}')
LANGUAGE plpgsql AS $$
DECLARE
    table_name text;
BEGIN
    SELECT relname INTO STRICT table_name FROM pg_class WHERE oid = guarded;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO careloop_scoped', guarded);
    EXECUTE format('CREATE POLICY everything ON %s TO careloop_api USING (true) WITH CHECK (true)', guarded);
    EXECUTE format('CREATE POLICY scoped ON %s TO careloop_scoped USING (%s) WITH CHECK (%s)', guarded, seen, seen);
    IF audited THEN
        EXECUTE format('CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION service.write_audit(%L, %L)',
                       guarded, replace(key, ' ', ''), array_to_string(hidden, ','));
    END IF;
    IF states THEN
        EXECUTE format('CREATE TRIGGER fed AFTER INSERT OR UPDATE OF state ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION service.write_change(%L)', guarded, key);
    END IF;
    INSERT INTO service.guarded
    VALUES (table_name, string_to_array(replace(key, ' ', ''), ','), audited, states, personal);
END
$$;

-- Wire a table anew, e.g. with a column that has come since; same arguments.
CREATE PROCEDURE service.guard_anew(guarded regclass, seen text, key text, audited boolean DEFAULT true,
                                    states boolean DEFAULT false, hidden text[] DEFAULT '{}', personal text[] DEFAULT '{}')
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP POLICY everything ON %s', guarded);
    EXECUTE format('DROP POLICY scoped ON %s', guarded);
    EXECUTE format('DROP TRIGGER IF EXISTS audited ON %s', guarded);
    EXECUTE format('DROP TRIGGER IF EXISTS fed ON %s', guarded);
    DELETE FROM service.guarded g USING pg_class c WHERE c.oid = guarded AND g.table_name = c.relname;
    CALL service.guard(guarded, seen, key, audited, states, hidden, personal);
END
$$;

-- Append-only, whoever asks; erasing a person is the one exception and says so.
CREATE FUNCTION service.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF coalesce(current_setting('careloop.erasing', true), '') = 'yes' AND TG_OP = 'UPDATE' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.audit
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.change
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- What scoped callers may touch at all. Whoever migrates may become one, for an API that logs in as the database's owner.
GRANT USAGE ON SCHEMA service, telemetry, prediction TO careloop_scoped;
GRANT SELECT ON ALL TABLES IN SCHEMA telemetry, prediction TO careloop_scoped;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'careloop_scoped', 'MEMBER') THEN
        EXECUTE format('GRANT careloop_scoped TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'careloop_scoped is another user''s: let the API log in as a member of careloop_api';
END
$$;

-- What was there before -----------------------------------------------------------------------------

CALL service.guard('service.audit', 'false', 'audit_id', audited => false);
CALL service.guard('service.change',
    'customer_id = (SELECT service.scope_customer_id()) OR provider_id = (SELECT service.scope_provider_id()) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = change.ticket_id)', 'change_id', audited => false);
CALL service.guard('service.guarded', 'true', 'table_name', audited => false);

CALL service.guard('service.provider', 'provider_id = (SELECT service.scope_provider_id()) '
    'OR (SELECT service.scope_customer_id()) IS NOT NULL', 'provider_id');
CALL service.guard('service.app_user', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id())', 'user_id',
    hidden => ARRAY['password_hash'], personal => ARRAY['login', 'name', 'oidc_subject']);
CALL service.guard('service.session', 'false', 'session_id', audited => false);
CALL service.guard('service.api_key', 'false', 'api_key_id', hidden => ARRAY['key_hash'], personal => ARRAY['name']);
-- Each caller's own answers; looked up by the caller's own key.
CALL service.guard('service.idempotency_key', 'true', 'principal,key', audited => false);

-- Catalogues that everybody may look at; which role may change them is the routes' business.
CALL service.guard('service.metric', 'true', 'name');
CALL service.guard('service.part', 'true', 'part_id');
CALL service.guard('service.product_model', 'true', 'model_id');
CALL service.guard('service.model_metric', 'true', 'model_id,metric_name');
CALL service.guard('service.component', 'true', 'component_id');
CALL service.guard('service.warehouse', 'true', 'warehouse_id');
CALL service.guard('service.stock', 'true', 'warehouse_id,part_id', audited => false);
CALL service.guard('service.stock_movement', 'true', 'movement_id', audited => false);
CALL service.guard('service.plan', 'true', 'plan_id');
CALL service.guard('service.plan_part', 'true', 'plan_id,part_id');

-- A case is seen by its customer and by the partner it was given to; all around it by whoever sees the case.
CALL service.guard('service.ticket', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id())', 'ticket_id', states => true,
    personal => ARRAY['title', 'description']);
CALL service.guard('service.ticket_event', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_event.ticket_id)',
    'ticket_event_id', audited => false, personal => ARRAY['detail']);
-- A machine by its owner, and by partners that have a case of it.
CALL service.guard('service.asset', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.asset_id = asset.asset_id '
    'AND t.provider_id = (SELECT service.scope_provider_id()))', 'asset_id', states => true);
CALL service.guard('service.customer', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.customer_id = customer.customer_id '
    'AND t.provider_id = (SELECT service.scope_provider_id()))', 'customer_id', personal => ARRAY['name']);
CALL service.guard('service.site', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR EXISTS (SELECT FROM service.asset a WHERE a.site_id = site.site_id)', 'site_id',
    personal => ARRAY['name', 'latitude', 'longitude']);
CALL service.guard('service.warranty_term', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_term.asset_id)',
    'term_id');
CALL service.guard('service.failure', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = failure.asset_id)',
    'failure_id', personal => ARRAY['description']);
CALL service.guard('service.replacement', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = replacement.asset_id)',
    'replacement_id');

CALL service.guard('service.technician', 'provider_id = (SELECT service.scope_provider_id()) '
    'OR (SELECT service.scope_customer_id()) IS NOT NULL', 'technician_id', personal => ARRAY['name']);
-- Work for a case by whoever sees the case; work of a plan by whoever owns the machine.
CALL service.guard('service.job', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = job.ticket_id) '
    'OR (ticket_id IS NULL AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = job.asset_id))', 'job_id',
    states => true, personal => ARRAY['instructions']);
CALL service.guard('service.job_part', 'EXISTS (SELECT FROM service.job j WHERE j.job_id = job_part.job_id)',
    'job_id,part_id');
CALL service.guard('service.reservation', 'EXISTS (SELECT FROM service.job j WHERE j.job_id = reservation.job_id)',
    'reservation_id', states => true);
CALL service.guard('service.visit', 'EXISTS (SELECT FROM service.job j WHERE j.job_id = visit.job_id)', 'visit_id',
    states => true);

CALL service.guard('service.alert_target', 'false', 'target_id', hidden => ARRAY['secret'], personal => ARRAY['url']);
-- The outbox: delivery is the platform's business, not somebody's write.
CALL service.guard('service.alert', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = alert.asset_id)', 'alert_id',
    audited => false, personal => ARRAY['subject', 'body', 'payload']);

-- Devices and agents: nothing for scoped callers but the state of their own machines.
CALL service.guard('service.claim_key', 'false', 'claim_key_id', hidden => ARRAY['key_hash']);
CALL service.guard('service.device', 'false', 'device_id', states => true,
    hidden => ARRAY['proof_hash', 'password_salt', 'password_hash', 'previous_password_hash']);
CALL service.guard('service.device_certificate', 'false', 'serial_number', hidden => ARRAY['public_key_hash', 'certificate']);
CALL service.guard('service.device_asset', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = device_asset.asset_id)',
    'asset_id');
CALL service.guard('service.device_revision', 'false', 'only_row', audited => false);
CALL service.guard('service.agent_config', 'EXISTS (SELECT FROM service.asset a WHERE a.serial = agent_config.agent_id)',
    'agent_id');
CALL service.guard('service.agent_command', 'EXISTS (SELECT FROM service.asset a WHERE a.serial = agent_command.agent_id)',
    'number');
CALL service.guard('service.dead_letter_replay', 'false', 'replay_id');
CALL service.guard('service.metric_review', 'true', 'model_id,metric_name');

-- How people come in, and the partners they may belong to.

ALTER TABLE service.app_user
    -- By it an identity provider's user is known at the first login.
    ADD COLUMN email                text,
    ADD COLUMN password_changed_at  timestamptz,
    ADD COLUMN last_login_at        timestamptz;
CREATE UNIQUE INDEX app_user_email ON service.app_user (lower(email)) WHERE email IS NOT NULL;
CREATE INDEX app_user_role ON service.app_user (role, user_id);

CALL service.guard_anew('service.app_user', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id())', 'user_id',
    hidden => ARRAY['password_hash', 'last_login_at', 'version'],
    personal => ARRAY['login', 'name', 'email', 'oidc_subject']);

ALTER TABLE service.session ADD COLUMN method text NOT NULL DEFAULT 'password' CHECK (method IN ('password', 'oidc'));
CREATE INDEX session_expires_at ON service.session (expires_at);

-- A login by the identity provider that has begun; the browser that began it must end it, once.
CREATE TABLE service.oidc_attempt (
    state_hash     bytea PRIMARY KEY,
    browser_hash   bytea NOT NULL,
    nonce          text NOT NULL,
    code_verifier  text NOT NULL,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX oidc_attempt_expires_at ON service.oidc_attempt (expires_at);
CALL service.guard('service.oidc_attempt', 'false', 'state_hash', audited => false);

-- Service partners -------------------------------------------------------------------------------

ALTER TABLE service.provider
    ADD COLUMN phone    text NOT NULL DEFAULT '',
    ADD COLUMN email    text NOT NULL DEFAULT '',
    ADD COLUMN address  text NOT NULL DEFAULT '',
    ADD COLUMN note     text NOT NULL DEFAULT '';

-- Where a partner works; a site names its territory.
CREATE TABLE service.provider_territory (
    provider_id  bigint NOT NULL REFERENCES service.provider ON DELETE CASCADE,
    territory    text NOT NULL,
    PRIMARY KEY (provider_id, territory)
);
CREATE INDEX provider_territory_territory ON service.provider_territory (territory, provider_id);
CALL service.guard('service.provider_territory',
    'EXISTS (SELECT FROM service.provider p WHERE p.provider_id = provider_territory.provider_id)', 'provider_id,territory');

CREATE TABLE service.provider_contact (
    provider_contact_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id          bigint NOT NULL REFERENCES service.provider,
    name                 text NOT NULL,
    role                 text NOT NULL DEFAULT '',
    phone                text NOT NULL DEFAULT '',
    email                text NOT NULL DEFAULT '',
    version              integer NOT NULL DEFAULT 1
);
CREATE INDEX provider_contact_provider_id ON service.provider_contact (provider_id, provider_contact_id);
-- People of a partner are nothing to a customer.
CALL service.guard('service.provider_contact', 'provider_id = (SELECT service.scope_provider_id())', 'provider_contact_id',
    personal => ARRAY['name', 'phone', 'email']);

-- Somebody who logs in as a technician sees what the technician's partner sees, also after the technician has changed sides.
CREATE FUNCTION service.follow_technician() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.app_user SET provider_id = NEW.provider_id, version = version + 1
    WHERE technician_id = NEW.technician_id AND provider_id IS DISTINCT FROM NEW.provider_id;
    UPDATE service.api_key SET provider_id = NEW.provider_id
    WHERE technician_id = NEW.technician_id AND provider_id IS DISTINCT FROM NEW.provider_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER followed_by_users AFTER UPDATE OF provider_id ON service.technician
    FOR EACH ROW EXECUTE FUNCTION service.follow_technician();

-- These show everybody's and know no policies; who sees a part only goes through service.asset and service's own tables.
REVOKE SELECT ON telemetry.asset, telemetry.desired_config, telemetry.issued_command, telemetry.replay_request,
    telemetry.dead_letter, telemetry.message FROM careloop_scoped;

-- Who the customers are, how one reaches them, what they allow, and how satisfied they were.

-- Customers ----------------------------------------------------------------------------------------

ALTER TABLE service.customer
    ADD COLUMN kind                 text NOT NULL DEFAULT 'consumer' CHECK (kind IN ('consumer', 'business')),
    ADD COLUMN state                text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'inactive', 'merged', 'erased')),
    -- ISO 3166-1; what a phone number without a country's code is read by.
    ADD COLUMN country              text CHECK (country ~ '^[A-Z]{2}$'),
    -- Both in capitals and digits only, so that two ways to write one number are one.
    ADD COLUMN tax_number           text,
    ADD COLUMN registration_number  text,
    ADD COLUMN channel              text CHECK (channel IN ('online_shop', 'retailer', 'dealer', 'direct', 'rental')),
    ADD COLUMN note                 text NOT NULL DEFAULT '',
    ADD COLUMN merged_into          bigint REFERENCES service.customer,
    ADD COLUMN created_at           timestamptz NOT NULL DEFAULT service.current_time_of_call(),
    ADD CHECK ((state = 'merged') = (merged_into IS NOT NULL)),
    ADD CHECK (kind = 'business' OR (tax_number IS NULL AND registration_number IS NULL));
CREATE INDEX customer_state ON service.customer (state, customer_id);
CREATE INDEX customer_kind ON service.customer (kind, customer_id);
CREATE INDEX customer_channel ON service.customer (channel, customer_id);
CREATE INDEX customer_tax_number ON service.customer (tax_number, customer_id) WHERE tax_number IS NOT NULL;
CREATE INDEX customer_registration_number ON service.customer (registration_number, customer_id)
    WHERE registration_number IS NOT NULL;
CREATE INDEX customer_merged_into ON service.customer (merged_into) WHERE merged_into IS NOT NULL;

ALTER TABLE service.site
    ADD COLUMN street         text,
    -- Floor, door, building, care of.
    ADD COLUMN address_extra  text,
    ADD COLUMN postal_code    text,
    ADD COLUMN city           text,
    ADD COLUMN region         text,
    ADD COLUMN country        text CHECK (country ~ '^[A-Z]{2}$'),
    ADD COLUMN active         boolean NOT NULL DEFAULT true,
    ADD COLUMN version        integer NOT NULL DEFAULT 1;

CREATE TABLE service.contact (
    contact_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  bigint NOT NULL REFERENCES service.customer,
    -- Where somebody is to be reached about one site only.
    site_id      bigint REFERENCES service.site,
    name         text NOT NULL,
    role         text NOT NULL DEFAULT 'main' CHECK (role IN ('main', 'site', 'technical', 'billing', 'other')),
    -- E.164, e.g. +4915123456789.
    phone        text CHECK (phone ~ '^\+[0-9]{3,15}$'),
    -- In small letters: nobody has two mailboxes that differ in them only.
    email        text CHECK (email = lower(email)),
    wechat       text,
    language     text,
    active       boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL,
    version      integer NOT NULL DEFAULT 1
);
CREATE INDEX contact_customer_id ON service.contact (customer_id, contact_id);
CREATE INDEX contact_site_id ON service.contact (site_id) WHERE site_id IS NOT NULL;
CREATE INDEX contact_phone ON service.contact (phone, customer_id) WHERE phone IS NOT NULL;
CREATE INDEX contact_email ON service.contact (email, customer_id) WHERE email IS NOT NULL;
-- By the last digits, which is how people say a number when they leave out its country.
CREATE INDEX contact_last_digits ON service.contact (reverse(phone) text_pattern_ops) WHERE phone IS NOT NULL;

-- Search by parts of names ---------------------------------------------------------------------------

-- Words of a name in small letters without accents. No extension is needed (docs/decisions/0019-finding-customers.md).
CREATE FUNCTION service.name_parts(given text) RETURNS SETOF text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT word
    FROM regexp_split_to_table(
        normalize(replace(regexp_replace(normalize(lower(given), NFKD), '[\u0300-\u036f]', '', 'g'), 'ß', 'ss'), NFC),
        '[\s\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u3000-\u303f\u30fb\uff01-\uff0f]+') AS word
    WHERE word <> ''
$$;

-- What a name is found by: the beginning of each word; where words are not parted, any place in it.
CREATE FUNCTION service.name_words(given text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(coalesce(array_agg(DISTINCT substr(word, place)), '{}'))
    FROM service.name_parts(given) AS word,
         generate_series(1, CASE WHEN word ~ '[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af]' THEN length(word) ELSE 1 END) AS place
$$;

-- All words, each as a beginning; null when there is none.
CREATE FUNCTION service.name_query(given text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(quote_literal(word) || ':*', ' & ')::tsquery FROM service.name_parts(given) AS word
$$;

CREATE INDEX customer_name_words ON service.customer USING gin (service.name_words(name));
CREATE INDEX contact_name_words ON service.contact USING gin (service.name_words(name));

-- Consents -------------------------------------------------------------------------------------------

-- Append-only: the newest by `at` holds. A withdrawal is a row, too.
CREATE TABLE service.consent (
    consent_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  bigint NOT NULL REFERENCES service.customer,
    channel      text NOT NULL CHECK (channel IN ('sms', 'email', 'phone', 'wechat', 'app', 'post')),
    purpose      text NOT NULL CHECK (purpose IN ('service', 'marketing')),
    state        text NOT NULL CHECK (state IN ('given', 'withdrawn')),
    at           timestamptz NOT NULL,
    -- How it was said, e.g. 'web form of 3 May, box ticked'.
    source       text NOT NULL,
    recorded_by  text NOT NULL,
    recorded_at  timestamptz NOT NULL
);
CREATE INDEX consent_customer ON service.consent (customer_id, channel, purpose, at DESC, consent_id DESC);

-- Merges and erasures --------------------------------------------------------------------------------

-- Numbers only, and no foreign keys: what was merged must still be told after the next merge.
CREATE TABLE service.customer_merge (
    merge_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_customer  bigint NOT NULL,
    into_customer  bigint NOT NULL,
    at             timestamptz NOT NULL,
    actor          text NOT NULL,
    -- Rows moved, by table.
    moved          jsonb NOT NULL,
    consents_withdrawn  jsonb NOT NULL
);
CREATE UNIQUE INDEX customer_merge_from ON service.customer_merge (from_customer);
CREATE INDEX customer_merge_into ON service.customer_merge (into_customer, merge_id);
CREATE INDEX customer_merge_at ON service.customer_merge (at, merge_id);

CREATE TABLE service.erasure (
    erasure_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  bigint NOT NULL UNIQUE REFERENCES service.customer,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL,
    -- Why it was done in spite of open cases, and which stood against it.
    forced       text,
    obstacles    jsonb NOT NULL,
    -- Values blanked and rows deleted, by table.
    counts       jsonb NOT NULL
);

-- Whether this transaction forgets somebody: for triggers that keep rows as they are against everybody else.
CREATE FUNCTION service.is_erasing() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(current_setting('careloop.erasing', true), '') = 'yes' $$;

-- Rows that are no more have no other place where it stands whose they were.
CREATE INDEX audit_deleted ON service.audit (table_name, audit_id)
    WHERE action = 'delete' AND customer_id IS NULL AND ticket_id IS NULL;

-- What remains of JSON when words of people go: its shape, numbers, times, states and codes.
CREATE FUNCTION service.without_words(given jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    CASE jsonb_typeof(given)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(key, service.without_words(value)), '{}') FROM jsonb_each(given));
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(service.without_words(value) ORDER BY place), '[]')
                    FROM jsonb_array_elements(given) WITH ORDINALITY AS item (value, place));
        WHEN 'string' THEN
            IF given #>> '{}' ~ '^([a-z][a-z0-9_]*([.:][a-z0-9_]+)*|\d{4}-\d\d-\d\d([T ][0-9:.]+(Z|[+-][0-9:]+)?)?|[A-Z]{1,3}|)$' THEN
                RETURN given;
            END IF;
            RETURN '"erased"'::jsonb;
        ELSE
            RETURN given;
    END CASE;
END
$$;

-- A row of the audit without what these columns held; that there was something stays to be seen.
CREATE FUNCTION service.without_columns(given jsonb, named text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(given) = 'object' THEN coalesce((
        SELECT jsonb_object_agg(key, CASE
            WHEN key <> ALL (named) OR jsonb_typeof(value) = 'null' THEN value
            WHEN jsonb_typeof(value) IN ('object', 'array') THEN service.without_words(value)
            ELSE '"erased"'::jsonb END)
        FROM jsonb_each(given)), '{}') ELSE given END
$$;

-- A text without what somebody is recognised by: `loose` in any case of letters, `exact` as it is written.
CREATE FUNCTION service.redacted(given text, loose text, exact text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(regexp_replace(given, loose, 'erased', 'gi'), exact, 'erased', 'g')
$$;

CREATE FUNCTION service.redacted(given jsonb, loose text, exact text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    CASE jsonb_typeof(given)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(service.redacted(key, loose, exact), service.redacted(value, loose, exact)), '{}')
                    FROM jsonb_each(given));
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(service.redacted(value, loose, exact) ORDER BY place), '[]')
                    FROM jsonb_array_elements(given) WITH ORDINALITY AS item (value, place));
        WHEN 'string' THEN
            RETURN to_jsonb(service.redacted(given #>> '{}', loose, exact));
        ELSE
            RETURN given;
    END CASE;
END
$$;

CREATE FUNCTION service.redacted(given text[], loose text, exact text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(service.redacted(one, loose, exact) ORDER BY place) FROM unnest(given) WITH ORDINALITY AS item (one, place)
$$;

-- Nobody may write the audit and the change feed but by these, in a transaction that says that it erases: they take a person
-- out of rows and change nothing else.
CREATE FUNCTION service.erase_audit(audit_ids bigint[], loose text, exact text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    blanked bigint;
BEGIN
    UPDATE service.audit a
    SET actor = service.redacted(a.actor, loose, exact),
        row_key = service.redacted(a.row_key, loose, exact),
        before = service.redacted(service.without_columns(a.before, g.personal), loose, exact),
        after = service.redacted(service.without_columns(a.after, g.personal), loose, exact)
    FROM service.guarded g
    WHERE g.table_name = a.table_name AND a.audit_id = ANY (audit_ids);
    GET DIAGNOSTICS blanked = ROW_COUNT;
    RETURN blanked;
END
$$;

CREATE FUNCTION service.erase_changes(change_ids bigint[], loose text, exact text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    blanked bigint;
BEGIN
    UPDATE service.change c
    SET actor = service.redacted(c.actor, loose, exact)
    WHERE c.change_id = ANY (change_ids) AND c.actor <> service.redacted(c.actor, loose, exact);
    GET DIAGNOSTICS blanked = ROW_COUNT;
    RETURN blanked;
END
$$;
REVOKE EXECUTE ON FUNCTION service.erase_audit(bigint[], text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION service.erase_changes(bigint[], text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION service.erase_audit(bigint[], text, text) TO careloop_api;
GRANT EXECUTE ON FUNCTION service.erase_changes(bigint[], text, text) TO careloop_api;

-- Satisfaction ---------------------------------------------------------------------------------------

CREATE TABLE service.satisfaction (
    satisfaction_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Asked once per case, ever.
    ticket_id            bigint NOT NULL UNIQUE REFERENCES service.ticket,
    customer_id          bigint NOT NULL REFERENCES service.customer,
    state                text NOT NULL CHECK (state IN ('asked', 'not_asked', 'answered')),
    -- Why nobody was asked.
    not_asked_because    text CHECK ((state = 'not_asked') = (not_asked_because IS NOT NULL)),
    -- SHA-256 of the link's token, which is 256 random bits.
    token_hash           bytea UNIQUE,
    asked_at             timestamptz NOT NULL,
    expires_at           timestamptz NOT NULL,
    -- Who came last, and for whom.
    technician_id        bigint REFERENCES service.technician,
    provider_id          bigint REFERENCES service.provider,
    score                smallint CHECK (score BETWEEN 1 AND 5),
    comment              text NOT NULL DEFAULT '',
    answered_at          timestamptz,
    changed_at           timestamptz,
    answered_via         text CHECK (answered_via IN ('link', 'login', 'desk')),
    follow_up_ticket_id  bigint REFERENCES service.ticket,
    version              integer NOT NULL DEFAULT 1,
    CHECK ((state = 'answered') = (score IS NOT NULL)),
    CHECK ((score IS NULL) = (answered_at IS NULL)),
    CHECK ((state = 'asked') <= (token_hash IS NOT NULL))
);
CREATE INDEX satisfaction_customer_id ON service.satisfaction (customer_id, satisfaction_id);
CREATE INDEX satisfaction_technician ON service.satisfaction (technician_id, satisfaction_id) WHERE technician_id IS NOT NULL;
CREATE INDEX satisfaction_provider ON service.satisfaction (provider_id, satisfaction_id) WHERE provider_id IS NOT NULL;
CREATE INDEX satisfaction_state ON service.satisfaction (state, satisfaction_id);
CREATE INDEX satisfaction_follow_up ON service.satisfaction (follow_up_ticket_id) WHERE follow_up_ticket_id IS NOT NULL;
CREATE INDEX satisfaction_asked ON service.satisfaction (asked_at, satisfaction_id);
-- Cases that ended lately, whom somebody may be asked about.
CREATE INDEX ticket_ended ON service.ticket (closed_at, ticket_id)
    WHERE state IN ('resolved', 'closed') AND customer_id IS NOT NULL;

-- Who sees it ----------------------------------------------------------------------------------------

CALL service.guard_anew('service.customer', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.customer_id = customer.customer_id '
    'AND t.provider_id = (SELECT service.scope_provider_id()))', 'customer_id', states => true,
    personal => ARRAY['name', 'tax_number', 'registration_number', 'note']);
CALL service.guard_anew('service.site', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR EXISTS (SELECT FROM service.asset a WHERE a.site_id = site.site_id)', 'site_id',
    personal => ARRAY['name', 'latitude', 'longitude', 'street', 'address_extra', 'postal_code', 'city', 'region']);
CALL service.guard('service.contact', 'EXISTS (SELECT FROM service.customer c WHERE c.customer_id = contact.customer_id)',
    'contact_id', personal => ARRAY['name', 'phone', 'email', 'wechat']);
CALL service.guard('service.consent', 'EXISTS (SELECT FROM service.customer c WHERE c.customer_id = consent.customer_id)',
    'consent_id', personal => ARRAY['source']);
CALL service.guard('service.customer_merge', 'false', 'merge_id', audited => false);
CALL service.guard('service.erasure', 'false', 'erasure_id', audited => false);
CALL service.guard('service.satisfaction', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = satisfaction.ticket_id)',
    'satisfaction_id', states => true, hidden => ARRAY['token_hash'], personal => ARRAY['comment']);

-- What a machine is made of, whose it is and was, what runs on it, and its papers.

-- Facts of a machine --------------------------------------------------------------------------------

ALTER TABLE service.asset
    ADD COLUMN installed_by    text NOT NULL DEFAULT '',
    -- Production batch; ordered as people read it: digits in it as numbers.
    ADD COLUMN batch           text CHECK (batch <> ''),
    ADD COLUMN produced_on     date,
    -- What runs on the machine itself now; its history stands in service.asset_firmware.
    ADD COLUMN firmware        text CHECK (firmware <> ''),
    ADD COLUMN sold_on         date,
    ADD COLUMN channel         text CHECK (channel IN ('online_shop', 'retailer', 'dealer', 'direct', 'rental')),
    ADD COLUMN dealer          text NOT NULL DEFAULT '',
    ADD COLUMN retired_reason  text NOT NULL DEFAULT '';

-- One for each filter of the list, in the list's order.
CREATE INDEX asset_state ON service.asset (state, asset_id);
CREATE INDEX asset_batch ON service.asset (batch, asset_id) WHERE batch IS NOT NULL;
CREATE INDEX asset_running ON service.asset (firmware, asset_id) WHERE firmware IS NOT NULL;
-- Serial numbers that begin with what somebody can read of the label.
CREATE INDEX asset_serial_prefix ON service.asset (serial text_pattern_ops);

-- Bill of materials ---------------------------------------------------------------------------------

CREATE TABLE service.bom_item (
    bom_item_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id      bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    -- The assembly that it is a part of; null at the top.
    parent_id     bigint REFERENCES service.bom_item ON DELETE CASCADE,
    -- Number in the exploded drawing.
    position      text NOT NULL CHECK (position <> ''),
    name          text NOT NULL CHECK (name <> ''),
    -- Null: an assembly that cannot be had as a whole.
    part_id       bigint REFERENCES service.part,
    -- The component of the model that it is, so that failures and replacements find their part.
    component_id  bigint REFERENCES service.component ON DELETE SET NULL,
    quantity      integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
    -- Built in from this batch or day on, up to and including that; null: no bound.
    from_batch    text,
    until_batch   text,
    from_date     date,
    until_date    date,
    CHECK (parent_id <> bom_item_id),
    CHECK (until_date >= from_date)
);
CREATE INDEX bom_item_model ON service.bom_item (model_id, bom_item_id);
CREATE INDEX bom_item_parent ON service.bom_item (parent_id);
CREATE INDEX bom_item_part ON service.bom_item (part_id) WHERE part_id IS NOT NULL;
CREATE INDEX bom_item_component ON service.bom_item (component_id) WHERE component_id IS NOT NULL;
CREATE INDEX component_part ON service.component (part_id) WHERE part_id IS NOT NULL;

-- Owners --------------------------------------------------------------------------------------------

-- Whose a machine was from when until when; the one without an end is asset.customer_id.
CREATE TABLE service.asset_owner (
    asset_owner_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL REFERENCES service.asset,
    customer_id     bigint NOT NULL REFERENCES service.customer,
    site_id         bigint REFERENCES service.site,
    from_at         timestamptz NOT NULL,
    until_at        timestamptz CHECK (until_at >= from_at),
    reason          text NOT NULL CHECK (reason IN ('registered', 'transferred', 'imported', 'corrected')),
    -- What proves it: a bill of sale.
    proof_file_id   bigint,
    note            text NOT NULL DEFAULT '',
    recorded_by     text NOT NULL,
    recorded_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX asset_owner_now ON service.asset_owner (asset_id) WHERE until_at IS NULL;
CREATE INDEX asset_owner_asset ON service.asset_owner (asset_id, from_at DESC);
CREATE INDEX asset_owner_customer ON service.asset_owner (customer_id, asset_owner_id);
CREATE INDEX asset_owner_site ON service.asset_owner (site_id) WHERE site_id IS NOT NULL;
CREATE INDEX asset_owner_proof ON service.asset_owner (proof_file_id) WHERE proof_file_id IS NOT NULL;
INSERT INTO service.asset_owner (asset_id, customer_id, site_id, from_at, reason, recorded_by, recorded_at)
SELECT asset_id, customer_id, site_id, installed_at, 'registered', 'careloop', created_at
FROM service.asset WHERE customer_id IS NOT NULL;

-- Firmware ------------------------------------------------------------------------------------------

-- What agents say of what they run, whenever it changes: `agent` is the agent's own version, `machine` is what its
-- state's detail has under `firmware`. Kept with the state itself, by whoever writes that.
CREATE TABLE telemetry.firmware_report (
    report_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id     text NOT NULL,
    module       text NOT NULL CHECK (module IN ('machine', 'agent')),
    version      text NOT NULL,
    reported_at  timestamptz NOT NULL
);

CREATE FUNCTION telemetry.note_firmware() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    was_agent   text := CASE WHEN TG_OP = 'UPDATE' THEN OLD.agent_version ELSE '' END;
    was_machine text := CASE WHEN TG_OP = 'UPDATE' THEN coalesce(OLD.detail ->> 'firmware', '') ELSE '' END;
    machine     text := coalesce(NEW.detail ->> 'firmware', '');
BEGIN
    -- A machine behind a gateway has the gateway's version in its state, which is not its own.
    IF NEW.agent_version NOT IN ('', was_agent) AND NOT NEW.detail ? 'gateway' THEN
        INSERT INTO telemetry.firmware_report (agent_id, module, version, reported_at)
        VALUES (NEW.agent_id, 'agent', left(NEW.agent_version, 128), NEW.changed_at);
    END IF;
    IF machine NOT IN ('', was_machine) THEN
        INSERT INTO telemetry.firmware_report (agent_id, module, version, reported_at)
        VALUES (NEW.agent_id, 'machine', left(machine, 128), NEW.changed_at);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER firmware_noted AFTER INSERT OR UPDATE ON telemetry.agent_state
    FOR EACH ROW EXECUTE FUNCTION telemetry.note_firmware();
INSERT INTO telemetry.firmware_report (agent_id, module, version, reported_at)
SELECT agent_id, 'agent', left(agent_version, 128), changed_at
FROM telemetry.agent_state WHERE agent_version <> '' AND NOT detail ? 'gateway';

CREATE TABLE service.asset_firmware (
    asset_firmware_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id           integer NOT NULL REFERENCES service.asset,
    module             text NOT NULL CHECK (module <> ''),
    version            text NOT NULL CHECK (version <> ''),
    -- Since when it runs; as far as known.
    at                 timestamptz NOT NULL,
    source             text NOT NULL CHECK (source IN ('hand', 'agent', 'import')),
    -- Of what an agent said.
    report_id          bigint UNIQUE,
    recorded_by        text NOT NULL,
    UNIQUE (asset_id, module, version, at)
);
CREATE INDEX asset_firmware_asset ON service.asset_firmware (asset_id, at DESC);

-- Up to where the reports of agents have been taken over.
CREATE TABLE service.firmware_progress (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    report_id  bigint NOT NULL
);
INSERT INTO service.firmware_progress (report_id) VALUES (0);

-- Papers --------------------------------------------------------------------------------------------

-- A file (of service.file) with what it is: of a model for all its machines, or of one machine.
CREATE TABLE service.document (
    document_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id     bigint REFERENCES service.product_model,
    asset_id     integer REFERENCES service.asset,
    -- Of a proof of purchase: the owner who brought it.
    customer_id  bigint REFERENCES service.customer,
    kind         text NOT NULL CHECK (kind IN (
        'manual', 'drawing', 'parts_list', 'certificate', 'bulletin', 'proof_of_purchase', 'photo', 'report', 'other')),
    title        text NOT NULL CHECK (title <> ''),
    -- Of its text; empty where it has none.
    language     text NOT NULL DEFAULT '',
    file_id      bigint NOT NULL,
    added_by     text NOT NULL,
    added_at     timestamptz NOT NULL,
    CHECK ((model_id IS NULL) <> (asset_id IS NULL))
);
CREATE INDEX document_model ON service.document (model_id, document_id) WHERE model_id IS NOT NULL;
CREATE INDEX document_asset ON service.document (asset_id, added_at DESC) WHERE asset_id IS NOT NULL;
CREATE INDEX document_customer ON service.document (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX document_file ON service.document (file_id);

-- The timeline ----------------------------------------------------------------------------------------

-- Each source is read newest first by machine and time.
CREATE INDEX ticket_asset_opened ON service.ticket (asset_id, opened_at DESC);
CREATE INDEX job_asset_created ON service.job (asset_id, created_at DESC);
CREATE INDEX failure_asset_time ON service.failure (asset_id, failed_at DESC);
CREATE INDEX replacement_asset_time ON service.replacement (asset_id, replaced_at DESC);

-- Who sees it -----------------------------------------------------------------------------------------

CALL service.guard('service.bom_item', 'true', 'bom_item_id');
-- A customer sees their own time with the machine, not who had it before.
CALL service.guard('service.asset_owner', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR ((SELECT service.scope_provider_id()) IS NOT NULL '
    'AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = asset_owner.asset_id))', 'asset_owner_id',
    personal => ARRAY['note']);
CALL service.guard('service.asset_firmware',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = asset_firmware.asset_id)', 'asset_firmware_id',
    audited => false);
CALL service.guard('service.firmware_progress', 'false', 'only_row', audited => false);
-- Papers of a model are everybody's; of a machine, whoever's who sees it, but how an owner before bought it is not.
CALL service.guard('service.document', 'model_id IS NOT NULL '
    'OR (EXISTS (SELECT FROM service.asset a WHERE a.asset_id = document.asset_id) '
    'AND (customer_id IS NULL OR customer_id = (SELECT service.scope_customer_id()) '
    'OR (SELECT service.scope_provider_id()) IS NOT NULL))', 'document_id',
    personal => ARRAY['title']);

-- Warranty: what the maker promises (policies), since when (purchases), what is bought or granted on top (cover), what is
-- refused and why (denials), and what suppliers pay back (recovery); docs/decisions/0021-warranty-terms-are-derived.md.

-- What the maker promises -------------------------------------------------------------------------

-- A version is never changed: a change makes the next version, and machines sold before keep theirs.
CREATE TABLE service.warranty_policy (
    policy_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code                 text NOT NULL,
    version              integer NOT NULL CHECK (version > 0),
    name                 text NOT NULL,
    -- For one product model, or for all of a kind, or for all.
    model_id             bigint REFERENCES service.product_model,
    kind                 text,
    -- For machines sold on these days, both included.
    valid_from           date NOT NULL,
    valid_to             date,
    -- Where no proof of purchase was accepted.
    start_rule           text NOT NULL CHECK (start_rule IN ('installation', 'production', 'first_reading')),
    start_delay_days     integer NOT NULL DEFAULT 0 CHECK (start_delay_days >= 0),
    -- Empty: for all.
    customer_kinds       text[] NOT NULL DEFAULT '{}',
    countries            text[] NOT NULL DEFAULT '{}',
    transferable         boolean NOT NULL DEFAULT true,
    human_damage         text NOT NULL CHECK (human_damage IN ('free', 'customer_pays', 'once_free')),
    excluded_causes      text[] NOT NULL DEFAULT '{}',
    excluded_components  text[] NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL,
    created_by           text NOT NULL,
    UNIQUE (code, version),
    CHECK (model_id IS NULL OR kind IS NULL),
    -- One that the next version took over from its first day on is valid on no day.
    CHECK (valid_to >= valid_from - 1)
);
CREATE INDEX warranty_policy_model ON service.warranty_policy (model_id);

CREATE TABLE service.warranty_policy_line (
    policy_id     bigint NOT NULL REFERENCES service.warranty_policy,
    line          integer NOT NULL,
    -- Null: the whole machine.
    component     text,
    months        integer NOT NULL CHECK (months > 0),
    meter_metric  text,
    meter_limit   double precision CHECK (meter_limit > 0),
    parts         boolean NOT NULL DEFAULT true,
    labour        boolean NOT NULL DEFAULT true,
    travel        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (policy_id, line),
    UNIQUE NULLS NOT DISTINCT (policy_id, component),
    CHECK ((meter_metric IS NULL) = (meter_limit IS NULL)),
    CHECK (parts OR labour OR travel)
);

-- When somebody bought a machine, and the proof; accepted, it fixes the start.
CREATE TABLE service.warranty_purchase (
    purchase_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL REFERENCES service.asset,
    state           text NOT NULL DEFAULT 'submitted' CHECK (state IN ('submitted', 'accepted', 'rejected', 'replaced')),
    purchased_on    date NOT NULL,
    seller          text NOT NULL DEFAULT '',
    invoice_number  text NOT NULL DEFAULT '',
    country         text,
    file_id         bigint,
    submitted_at    timestamptz NOT NULL,
    submitted_by    text NOT NULL,
    decided_at      timestamptz,
    decided_by      text,
    decision        text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX warranty_purchase_one_accepted ON service.warranty_purchase (asset_id) WHERE state = 'accepted';
CREATE INDEX warranty_purchase_asset ON service.warranty_purchase (asset_id, purchase_id);
CREATE INDEX warranty_purchase_state ON service.warranty_purchase (state, purchase_id);
CREATE INDEX warranty_purchase_file ON service.warranty_purchase (file_id) WHERE file_id IS NOT NULL;

-- Machines whose terms are still to be derived; every new machine comes here by itself, however it is registered.
CREATE TABLE service.warranty_pending (
    asset_id  integer PRIMARY KEY REFERENCES service.asset ON DELETE CASCADE,
    -- A start that is not known yet, e.g. the first reading, is looked for again then.
    due_at    timestamptz NOT NULL
);
CREATE INDEX warranty_pending_due ON service.warranty_pending (due_at, asset_id);

CREATE FUNCTION service.await_warranty() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.warranty_pending (asset_id, due_at)
    SELECT asset_id, '-infinity' FROM registered
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER await_warranty AFTER INSERT ON service.asset
    REFERENCING NEW TABLE AS registered FOR EACH STATEMENT EXECUTE FUNCTION service.await_warranty();
INSERT INTO service.warranty_pending (asset_id, due_at) SELECT asset_id, '-infinity' FROM service.asset;

-- What is bought on top ---------------------------------------------------------------------------

CREATE TABLE service.cover_product (
    product_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code                 text NOT NULL UNIQUE,
    name                 text NOT NULL,
    kind                 text NOT NULL CHECK (kind IN ('extension_card', 'plan')),
    model_id             bigint REFERENCES service.product_model,
    asset_kind           text,
    price_minor          bigint NOT NULL CHECK (price_minor >= 0),
    currency             text NOT NULL,
    months               integer NOT NULL CHECK (months > 0),
    -- after_warranty: from the day after the last day covered; activation: at once.
    starts               text NOT NULL CHECK (starts IN ('after_warranty', 'activation')),
    -- A sold one that nobody activated lapses after so many days.
    activate_within_days integer NOT NULL CHECK (activate_within_days > 0),
    meter_metric         text,
    meter_limit          double precision CHECK (meter_limit > 0),
    -- Empty: the whole machine.
    components           text[] NOT NULL DEFAULT '{}',
    parts                boolean NOT NULL DEFAULT true,
    labour               boolean NOT NULL DEFAULT true,
    travel               boolean NOT NULL DEFAULT true,
    human_damage         text NOT NULL CHECK (human_damage IN ('free', 'customer_pays', 'once_free')),
    excluded_causes      text[] NOT NULL DEFAULT '{}',
    excluded_components  text[] NOT NULL DEFAULT '{}',
    -- {"maintenance_visit": 2}
    entitlements         jsonb NOT NULL DEFAULT '{}',
    active               boolean NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL,
    version              integer NOT NULL DEFAULT 1,
    CHECK (model_id IS NULL OR asset_kind IS NULL),
    CHECK ((meter_metric IS NULL) = (meter_limit IS NULL))
);
CREATE INDEX cover_product_model ON service.cover_product (model_id);
CREATE TABLE service.cover_contract (
    contract_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id      bigint NOT NULL REFERENCES service.cover_product,
    state           text NOT NULL DEFAULT 'sold' CHECK (state IN ('sold', 'active', 'ended', 'cancelled', 'lapsed')),
    customer_id     bigint REFERENCES service.customer,
    -- Set when it is activated.
    asset_id        integer REFERENCES service.asset,
    -- SHA-256 of the activation code, which is 125 random bits.
    code_hash       bytea UNIQUE,
    invoice_number  text,
    price_minor     bigint NOT NULL CHECK (price_minor >= 0),
    currency        text NOT NULL,
    sold_at         timestamptz NOT NULL,
    sold_by         text NOT NULL,
    activate_by     date NOT NULL,
    activated_at    timestamptz,
    starts_on       date,
    ends_on         date,
    cancelled_at    timestamptz,
    cancel_reason   text NOT NULL DEFAULT '',
    version         integer NOT NULL DEFAULT 1,
    CHECK (code_hash IS NOT NULL OR invoice_number IS NOT NULL),
    CHECK ((starts_on IS NULL) = (ends_on IS NULL)),
    CHECK (state NOT IN ('active', 'ended') OR (asset_id IS NOT NULL AND ends_on >= starts_on))
);
CREATE INDEX cover_contract_product ON service.cover_contract (product_id);
CREATE INDEX cover_contract_state ON service.cover_contract (state, contract_id);
CREATE INDEX cover_contract_customer ON service.cover_contract (customer_id, contract_id);
CREATE INDEX cover_contract_asset ON service.cover_contract (asset_id, contract_id);
CREATE UNIQUE INDEX cover_contract_invoice ON service.cover_contract (invoice_number, product_id)
    WHERE invoice_number IS NOT NULL AND code_hash IS NULL;
CREATE INDEX cover_contract_ending ON service.cover_contract (ends_on) WHERE state = 'active';
CREATE INDEX cover_contract_lapsing ON service.cover_contract (activate_by) WHERE state = 'sold';

CREATE TABLE service.entitlement (
    contract_id  bigint NOT NULL REFERENCES service.cover_contract,
    name         text NOT NULL,
    granted      integer NOT NULL CHECK (granted > 0),
    redeemed     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (contract_id, name),
    CHECK (redeemed BETWEEN 0 AND granted)
);

CREATE TABLE service.redemption (
    redemption_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contract_id    bigint NOT NULL,
    name           text NOT NULL,
    asset_id       integer NOT NULL REFERENCES service.asset,
    ticket_id      bigint REFERENCES service.ticket,
    at             timestamptz NOT NULL,
    redeemed_by    text NOT NULL,
    FOREIGN KEY (contract_id, name) REFERENCES service.entitlement
);
CREATE INDEX redemption_contract ON service.redemption (contract_id, name, redemption_id);
CREATE INDEX redemption_asset ON service.redemption (asset_id, redemption_id);
CREATE INDEX redemption_ticket ON service.redemption (ticket_id);
-- Where a policy bears human damage once.
CREATE TABLE service.human_damage_use (
    asset_id   integer PRIMARY KEY REFERENCES service.asset,
    ticket_id  bigint NOT NULL REFERENCES service.ticket,
    at         timestamptz NOT NULL,
    used_by    text NOT NULL
);
CREATE INDEX human_damage_use_ticket ON service.human_damage_use (ticket_id);
-- What the front line may grant -------------------------------------------------------------------

CREATE TABLE service.extension_right (
    role                text PRIMARY KEY CHECK (role IN ('agent', 'desk_lead', 'service')),
    -- So many days before and after the last day covered.
    days_around_expiry  integer NOT NULL CHECK (days_around_expiry >= 0),
    -- All of a machine's front-line extensions together.
    longest_days        integer NOT NULL CHECK (longest_days > 0),
    monthly_count       integer NOT NULL CHECK (monthly_count >= 0),
    monthly_minor       bigint NOT NULL CHECK (monthly_minor >= 0),
    -- What a day of extension is reckoned to cost.
    day_minor           bigint NOT NULL CHECK (day_minor >= 0),
    currency            text NOT NULL,
    version             integer NOT NULL DEFAULT 1
);
INSERT INTO service.extension_right
    (role, days_around_expiry, longest_days, monthly_count, monthly_minor, day_minor, currency)
VALUES ('agent', 30, 60, 10, 100000, 200, 'EUR'), ('desk_lead', 180, 365, 100, 2000000, 200, 'EUR');

CREATE TABLE service.warranty_extension (
    extension_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id      integer NOT NULL REFERENCES service.asset,
    state         text NOT NULL CHECK (state IN ('requested', 'granted', 'refused', 'withdrawn')),
    days          integer NOT NULL CHECK (days > 0),
    cost_minor    bigint NOT NULL CHECK (cost_minor >= 0),
    currency      text NOT NULL,
    reason        text NOT NULL,
    ticket_id     bigint REFERENCES service.ticket,
    asked_at      timestamptz NOT NULL,
    asked_by      text NOT NULL,
    decided_at    timestamptz,
    decided_by    text,
    decision      text NOT NULL DEFAULT '',
    starts_on     date,
    ends_on       date,
    version       integer NOT NULL DEFAULT 1,
    CHECK (state <> 'granted' OR (starts_on IS NOT NULL AND ends_on >= starts_on))
);
CREATE INDEX warranty_extension_asset ON service.warranty_extension (asset_id, extension_id);
CREATE INDEX warranty_extension_state ON service.warranty_extension (state, extension_id);
CREATE INDEX warranty_extension_ticket ON service.warranty_extension (ticket_id);
-- What somebody granted in a month; guarded updates keep it within the right.
CREATE TABLE service.extension_budget (
    principal    text NOT NULL,
    month        date NOT NULL CHECK (extract(day FROM month) = 1),
    count        integer NOT NULL DEFAULT 0 CHECK (count >= 0),
    spent_minor  bigint NOT NULL DEFAULT 0 CHECK (spent_minor >= 0),
    PRIMARY KEY (principal, month)
);

-- Terms: by hand, from a policy, a contract or an extension ----------------------------------------

ALTER TABLE service.warranty_term
    ADD COLUMN source        text NOT NULL DEFAULT 'manual' CHECK (source IN ('manual', 'policy', 'contract', 'extension')),
    ADD COLUMN policy_id     bigint REFERENCES service.warranty_policy,
    ADD COLUMN contract_id   bigint REFERENCES service.cover_contract,
    ADD COLUMN extension_id  bigint REFERENCES service.warranty_extension,
    ADD COLUMN component     text,
    ADD COLUMN meter_metric  text,
    ADD COLUMN meter_limit   double precision,
    ADD COLUMN parts         boolean NOT NULL DEFAULT true,
    ADD COLUMN labour        boolean NOT NULL DEFAULT true,
    ADD COLUMN travel        boolean NOT NULL DEFAULT true,
    -- Frozen from the policy or product: excluded_causes, excluded_components, human_damage, customer_kinds, countries,
    -- transferable.
    ADD COLUMN conditions    jsonb NOT NULL DEFAULT '{}',
    -- Whether its end is worth a ticket; not when another one follows at once.
    ADD COLUMN announced     boolean NOT NULL DEFAULT true,
    -- Not valid any more, e.g. because a proof of purchase moved the start; kept for the ticket that names it.
    ADD COLUMN withdrawn_at  timestamptz,
    ADD CHECK ((meter_metric IS NULL) = (meter_limit IS NULL)), ADD CHECK ((source = 'policy') = (policy_id IS NOT NULL) OR source = 'extension'),
    ADD CHECK ((source = 'contract') = (contract_id IS NOT NULL)),
    ADD CHECK ((source = 'extension') = (extension_id IS NOT NULL)),
    DROP CONSTRAINT warranty_term_asset_id_name_starts_on_key;
CREATE UNIQUE INDEX warranty_term_once ON service.warranty_term (asset_id, name, starts_on) WHERE withdrawn_at IS NULL;
CREATE INDEX warranty_term_asset ON service.warranty_term (asset_id, term_id);
CREATE INDEX warranty_term_policy ON service.warranty_term (policy_id) WHERE policy_id IS NOT NULL;
CREATE INDEX warranty_term_contract ON service.warranty_term (contract_id) WHERE contract_id IS NOT NULL;
CREATE INDEX warranty_term_extension ON service.warranty_term (extension_id) WHERE extension_id IS NOT NULL;

-- What is refused, and why ------------------------------------------------------------------------

CREATE TABLE service.warranty_denial (
    denial_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id       integer NOT NULL REFERENCES service.asset,
    ticket_id      bigint REFERENCES service.ticket,
    -- Null: whatever is broken.
    component      text,
    state          text NOT NULL DEFAULT 'standing' CHECK (state IN ('standing', 'overturned')),
    reasons        text[] NOT NULL CHECK (cardinality(reasons) > 0),
    note           text NOT NULL DEFAULT '',
    -- The extract of what the machine said, as it was when the denial was made.
    evidence       jsonb NOT NULL,
    customer_text  text NOT NULL,
    denied_at      timestamptz NOT NULL,
    denied_by      text NOT NULL,
    overturned_at  timestamptz,
    overturned_by  text,
    overturn_reason text NOT NULL DEFAULT ''
);
CREATE INDEX warranty_denial_asset ON service.warranty_denial (asset_id, denial_id);
CREATE INDEX warranty_denial_ticket ON service.warranty_denial (ticket_id);
-- One refusal of a case stands at a time.
CREATE UNIQUE INDEX warranty_denial_standing ON service.warranty_denial (ticket_id)
    WHERE state = 'standing' AND ticket_id IS NOT NULL;
CREATE INDEX warranty_denial_state ON service.warranty_denial (state, denial_id);

-- What suppliers pay back -------------------------------------------------------------------------

CREATE TABLE service.supplier (
    supplier_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code               text NOT NULL UNIQUE,
    name               text NOT NULL,
    -- What an hour of labour may be claimed at.
    labour_hour_minor  bigint NOT NULL DEFAULT 0 CHECK (labour_hour_minor >= 0),
    currency           text NOT NULL,
    claim_within_days  integer NOT NULL DEFAULT 90 CHECK (claim_within_days > 0),
    created_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1
);

-- Who supplies a component of a model, or a part wherever it is built in.
CREATE TABLE service.supply (
    supply_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id      bigint NOT NULL REFERENCES service.supplier,
    component_id     bigint UNIQUE REFERENCES service.component,
    part_id          bigint UNIQUE REFERENCES service.part,
    warranty_months  integer NOT NULL CHECK (warranty_months > 0),
    created_at       timestamptz NOT NULL,
    CHECK ((component_id IS NULL) <> (part_id IS NULL))
);
CREATE INDEX supply_supplier ON service.supply (supplier_id, supply_id);
CREATE TABLE service.supplier_claim (
    claim_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id     bigint NOT NULL REFERENCES service.supplier,
    state           text NOT NULL DEFAULT 'draft' CHECK (state IN (
        'draft', 'submitted', 'accepted', 'partly_accepted', 'rejected', 'settled', 'withdrawn', 'expired')),
    asset_id        integer NOT NULL REFERENCES service.asset,
    component       text NOT NULL,
    failure_id      bigint UNIQUE REFERENCES service.failure,
    replacement_id  bigint UNIQUE REFERENCES service.replacement,
    ticket_id       bigint REFERENCES service.ticket,
    failed_on       date NOT NULL,
    -- Since when the failed component was built in, and the last day of the supplier's warranty.
    built_in_on     date NOT NULL,
    covered_until   date NOT NULL,
    deadline        date NOT NULL,
    currency        text NOT NULL,
    parts_minor     bigint NOT NULL DEFAULT 0 CHECK (parts_minor >= 0),
    labour_minor    bigint NOT NULL DEFAULT 0 CHECK (labour_minor >= 0),
    travel_minor    bigint NOT NULL DEFAULT 0 CHECK (travel_minor >= 0),
    claimed_minor   bigint GENERATED ALWAYS AS (parts_minor + labour_minor + travel_minor) STORED,
    accepted_minor  bigint CHECK (accepted_minor >= 0),
    settled_minor   bigint CHECK (settled_minor >= 0),
    reference       text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT '',
    drafted_at      timestamptz NOT NULL,
    submitted_at    timestamptz,
    decided_at      timestamptz,
    settled_at      timestamptz,
    reminded_at     timestamptz,
    version         integer NOT NULL DEFAULT 1,
    CHECK (failure_id IS NOT NULL OR replacement_id IS NOT NULL),
    CHECK (state NOT IN ('accepted', 'partly_accepted', 'settled') OR coalesce(accepted_minor <= claimed_minor, false))
);
CREATE INDEX supplier_claim_supplier ON service.supplier_claim (supplier_id, claim_id);
CREATE INDEX supplier_claim_state ON service.supplier_claim (state, claim_id);
CREATE INDEX supplier_claim_asset ON service.supplier_claim (asset_id, claim_id);
CREATE INDEX supplier_claim_ticket ON service.supplier_claim (ticket_id);
CREATE INDEX supplier_claim_deadline ON service.supplier_claim (deadline) WHERE state = 'draft';

-- Who sees what -----------------------------------------------------------------------------------

CALL service.guard('service.warranty_policy', 'true', 'policy_id');
CALL service.guard('service.warranty_policy_line', 'true', 'policy_id,line');
-- How an owner before bought a machine is not the present one's business.
CALL service.guard('service.warranty_purchase',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_purchase.asset_id) AND NOT EXISTS (SELECT FROM '
    'service.asset_owner o WHERE o.asset_id = warranty_purchase.asset_id AND o.reason = ''transferred'' '
    'AND o.from_at > submitted_at)', 'purchase_id',
    states => true, personal => ARRAY['seller', 'invoice_number']);
CALL service.guard('service.warranty_pending', 'true', 'asset_id', audited => false);
CALL service.guard('service.cover_product', 'true', 'product_id');
CALL service.guard('service.cover_contract', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR ((customer_id IS NULL OR (SELECT service.scope_provider_id()) IS NOT NULL) '
    'AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = cover_contract.asset_id))', 'contract_id',
    states => true, hidden => ARRAY['code_hash'], personal => ARRAY['invoice_number']);
CALL service.guard('service.entitlement',
    'EXISTS (SELECT FROM service.cover_contract c WHERE c.contract_id = entitlement.contract_id)', 'contract_id,name');
CALL service.guard('service.redemption',
    'EXISTS (SELECT FROM service.cover_contract c WHERE c.contract_id = redemption.contract_id)', 'redemption_id');
CALL service.guard('service.human_damage_use',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = human_damage_use.asset_id)', 'asset_id');
CALL service.guard('service.extension_right', 'false', 'role');
CALL service.guard('service.warranty_extension',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_extension.asset_id)', 'extension_id',
    states => true, personal => ARRAY['reason', 'decision']);
CALL service.guard('service.extension_budget', 'false', 'principal,month');
CALL service.guard('service.warranty_denial', 'CASE WHEN ticket_id IS NULL '
    'THEN EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_denial.asset_id) '
    'ELSE EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = warranty_denial.ticket_id) END', 'denial_id',
    states => true, hidden => ARRAY['evidence'], personal => ARRAY['note', 'customer_text']);
CALL service.guard('service.supplier', 'false', 'supplier_id');
CALL service.guard('service.supply', 'false', 'supply_id');
CALL service.guard('service.supplier_claim', 'false', 'claim_id', states => true);

-- The desk's tickets: whose they are, where they queue, how they hang together, and how they are found.

-- What a ticket is ---------------------------------------------------------------------------------

ALTER TABLE service.ticket
    DROP CONSTRAINT ticket_kind_check,
    DROP CONSTRAINT ticket_state_check;
ALTER TABLE service.ticket
    ALTER COLUMN asset_id DROP NOT NULL,
    ADD COLUMN service_mode    text CHECK (service_mode IN ('on_site', 'mail_in', 'drop_off', 'remote')),
    ADD COLUMN owner_user_id   bigint REFERENCES service.app_user,
    ADD COLUMN queue           text CHECK (queue <> ''),
    ADD COLUMN contact_id      bigint REFERENCES service.contact,
    ADD COLUMN reopened_count  integer NOT NULL DEFAULT 0 CHECK (reopened_count >= 0),
    ADD COLUMN merged_into     bigint REFERENCES service.ticket CHECK (merged_into <> ticket_id),
    ADD COLUMN updated_at      timestamptz NOT NULL DEFAULT service.current_time_of_call(),
    ADD CONSTRAINT ticket_kind_check CHECK (kind IN (
        'preventive', 'repair', 'installation', 'return', 'exchange', 'complaint', 'consultation', 'warranty_expiry',
        'recall')),
    ADD CONSTRAINT ticket_state_check CHECK (state IN (
        'open', 'waiting_customer', 'scheduled', 'in_progress', 'resolved', 'closed', 'cancelled', 'merged')),
    -- A case is about a machine, or at least about somebody.
    ADD CONSTRAINT ticket_about CHECK (asset_id IS NOT NULL OR customer_id IS NOT NULL),
    ADD CONSTRAINT ticket_merged CHECK ((state = 'merged') = (merged_into IS NOT NULL));
UPDATE service.ticket SET updated_at = coalesce(closed_at, opened_at);

-- A merged case is over, too.
DROP INDEX service.ticket_one_open_case;
CREATE UNIQUE INDEX ticket_one_open_case ON service.ticket (asset_id, cause)
    WHERE cause <> '' AND state NOT IN ('resolved', 'closed', 'cancelled', 'merged');
-- A machine that comes in by mail needs no technician who drives.
DROP INDEX service.ticket_job_wanted;
CREATE INDEX ticket_job_wanted ON service.ticket (ticket_id)
    WHERE kind IN ('preventive', 'repair') AND state IN ('open', 'scheduled')
      AND coalesce(service_mode, 'on_site') = 'on_site' AND asset_id IS NOT NULL;

-- Each list walks one of these, in the order of the ticket's number, either way (docs/decisions/0022-finding-tickets.md).
CREATE INDEX ticket_owner ON service.ticket (owner_user_id, ticket_id) WHERE owner_user_id IS NOT NULL;
CREATE INDEX ticket_owner_active ON service.ticket (owner_user_id, ticket_id)
    WHERE owner_user_id IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_active ON service.ticket (ticket_id)
    WHERE state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_provider_active ON service.ticket (provider_id, ticket_id)
    WHERE provider_id IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
DROP INDEX service.ticket_kind;
CREATE INDEX ticket_kind ON service.ticket (kind, ticket_id);
CREATE INDEX ticket_kind_state ON service.ticket (kind, state, ticket_id);
CREATE INDEX ticket_queue ON service.ticket (queue, ticket_id) WHERE queue IS NOT NULL;
CREATE INDEX ticket_queue_active ON service.ticket (queue, ticket_id)
    WHERE queue IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_unclaimed ON service.ticket (queue, ticket_id) WHERE owner_user_id IS NULL AND state = 'open';
CREATE INDEX ticket_unclaimed_any ON service.ticket (ticket_id) WHERE owner_user_id IS NULL AND state = 'open';
CREATE INDEX ticket_due ON service.ticket (due_by, ticket_id)
    WHERE due_by IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_contact ON service.ticket (contact_id, ticket_id) WHERE contact_id IS NOT NULL;
CREATE INDEX ticket_merged_into ON service.ticket (merged_into) WHERE merged_into IS NOT NULL;

-- Filters of other lists that stood on no index (tests/api/test_list_plans.py).
CREATE INDEX failure_by_component ON service.failure (component, failure_id);
CREATE INDEX replacement_by_component ON service.replacement (component, replacement_id);
CREATE INDEX stock_movement_warehouse ON service.stock_movement (warehouse_id, movement_id);
CREATE INDEX satisfaction_score ON service.satisfaction (score, satisfaction_id) WHERE score IS NOT NULL;

-- Whoever writes: what was seen at the opening stays as it was, and the time of the last change is kept.
CREATE FUNCTION service.keep_ticket() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.evidence IS DISTINCT FROM OLD.evidence AND NOT service.is_erasing() THEN
        RAISE EXCEPTION 'the evidence of ticket % is frozen; later evidence goes to its history', OLD.ticket_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.updated_at := service.current_time_of_call();
    RETURN NEW;
END
$$;
CREATE TRIGGER kept BEFORE UPDATE ON service.ticket FOR EACH ROW EXECUTE FUNCTION service.keep_ticket();

-- Around a ticket ----------------------------------------------------------------------------------

CREATE TABLE service.ticket_tag (
    ticket_id  bigint NOT NULL REFERENCES service.ticket,
    tag        text NOT NULL CHECK (tag <> ''),
    PRIMARY KEY (ticket_id, tag)
);
CREATE INDEX ticket_tag_tag ON service.ticket_tag (tag, ticket_id);

-- Users who want to hear of it.
CREATE TABLE service.ticket_watcher (
    ticket_id  bigint NOT NULL REFERENCES service.ticket,
    user_id    bigint NOT NULL REFERENCES service.app_user,
    since      timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, user_id)
);
CREATE INDEX ticket_watcher_user ON service.ticket_watcher (user_id, ticket_id);

-- `from` is … of `to`: a duplicate of it, caused by it, the shipment of its parts, its quality analysis, its follow-up.
CREATE TABLE service.ticket_link (
    link_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_ticket_id  bigint NOT NULL REFERENCES service.ticket,
    to_ticket_id    bigint NOT NULL REFERENCES service.ticket,
    kind            text NOT NULL
                    CHECK (kind IN ('related', 'duplicate', 'caused_by', 'part_shipment', 'quality_analysis', 'follow_up')),
    made_by         text NOT NULL,
    made_at         timestamptz NOT NULL,
    UNIQUE (from_ticket_id, to_ticket_id, kind),
    CHECK (from_ticket_id <> to_ticket_id)
);
CREATE INDEX ticket_link_to ON service.ticket_link (to_ticket_id, link_id);
CREATE INDEX ticket_link_from ON service.ticket_link (from_ticket_id, link_id);

-- Which queue a new ticket goes to: the first rule, by place, whose every given field fits.
CREATE TABLE service.ticket_route (
    route_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place         integer NOT NULL,
    kind          text,
    service_mode  text,
    priority      text,
    product_kind  text,
    territory     text,
    queue         text NOT NULL CHECK (queue <> ''),
    active        boolean NOT NULL DEFAULT true,
    version       integer NOT NULL DEFAULT 1
);
CREATE INDEX ticket_route_place ON service.ticket_route (place, route_id);

-- A list that somebody looks at again and again; which fields a wish may have is checked by the API.
CREATE TABLE service.ticket_filter (
    filter_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (name <> ''),
    -- A principal: 'key:12' or 'user:3'.
    owner_key   text NOT NULL,
    shared      boolean NOT NULL DEFAULT false,
    wish        jsonb NOT NULL,
    made_at     timestamptz NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    UNIQUE (owner_key, name)
);
CREATE UNIQUE INDEX ticket_filter_shared ON service.ticket_filter (name) WHERE shared;

CALL service.guard('service.ticket_tag', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_tag.ticket_id)',
    'ticket_id,tag');
CALL service.guard('service.ticket_watcher',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_watcher.ticket_id)', 'ticket_id,user_id');
-- A link tells that the other ticket exists, so both must be visible.
CALL service.guard('service.ticket_link',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_link.from_ticket_id) '
    'AND EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_link.to_ticket_id)', 'link_id');
CALL service.guard('service.ticket_route', 'true', 'route_id');
CALL service.guard('service.ticket_filter', 'false', 'filter_id');

-- Finding by words ---------------------------------------------------------------------------------

-- In a table of its own, so that a ticket that moves does not write its words anew.
CREATE TABLE service.ticket_search (
    -- No foreign key: it is derived, by triggers only, and tickets are never deleted.
    ticket_id  bigint PRIMARY KEY,
    -- A: title, component, serial number. B: the customer's name. C: description, what was said with the customer.
    -- D: internal notes. Besides, '#n' for the n-th stretch of 8,192 ticket numbers, '@cN' for the customer and '@pN' for
    -- the partner: no word of people has a '#' or '@' in it.
    words      tsvector NOT NULL
);
-- What waits to be sorted in is read whole by each search, so little may wait.
CREATE INDEX ticket_search_words ON service.ticket_search USING gin (words) WITH (gin_pending_list_limit = 128);
-- An alert to a customer tells the ticket's number, so the number is taken before the row is written.
CREATE FUNCTION service.next_ticket_id() RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT nextval('service.ticket_ticket_id_seq') $$;

-- What api/alerts writes into the outbox, for statements that do more than that: a round trip less for each new case.
CREATE FUNCTION service.announce(of_topic text, of_cause text, of_asset_id integer, of_subject text, of_body text,
                                 of_payload jsonb, told_at timestamptz)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO service.alert (target_id, topic, cause, asset_id, subject, body, payload, next_attempt_at, created_at)
    SELECT g.target_id, of_topic, of_cause, of_asset_id, of_subject, of_body, of_payload, now(), told_at
    FROM service.alert_target g
    WHERE g.active AND g.topics && ARRAY[of_topic, '*']
    ON CONFLICT (cause, target_id) DO NOTHING;
    RETURN true;
END
$$;

-- All that an opening asks of the database, at once. As a function, each of its questions is planned once and for all; as
-- one statement of many joins it was planned anew each time, which took longer than answering it.
CREATE FUNCTION service.look_up_opening(
    of_serial text, of_component text, of_customer_id bigint, of_contact_id bigint, of_term_id bigint, of_kind text,
    of_service_mode text, of_priority text, of_topic text,
    OUT ticket_id bigint, OUT asset_id integer, OUT owner_id bigint, OUT model_name text, OUT site_name text,
    OUT has_component boolean, OUT named_customer_id bigint, OUT customer_kind text, OUT contact_customer_id bigint,
    OUT term_asset_id integer, OUT warranty_ends_on date, OUT queue text, OUT heard boolean, OUT sla_revision uuid)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    of_model_id    bigint;
    of_site_id     bigint;
    kind_of_model  text;
    territory_of   text := 'default';
BEGIN
    ticket_id := service.next_ticket_id();
    IF of_serial IS NOT NULL THEN
        SELECT a.asset_id, a.customer_id, a.model_id, a.site_id, m.name, m.kind
        INTO asset_id, owner_id, of_model_id, of_site_id, model_name, kind_of_model
        FROM service.asset a JOIN service.product_model m USING (model_id) WHERE a.serial = of_serial;
    END IF;
    IF of_site_id IS NOT NULL THEN
        SELECT s.name, s.territory INTO site_name, territory_of FROM service.site s WHERE s.site_id = of_site_id;
    END IF;
    IF of_component IS NOT NULL THEN
        has_component := EXISTS (
            SELECT FROM service.component c WHERE c.model_id = of_model_id AND c.name = of_component);
    END IF;
    IF coalesce(of_customer_id, owner_id) IS NOT NULL THEN
        -- Whose it will be: the one named, else the owner.
        SELECT c.customer_id, c.kind INTO named_customer_id, customer_kind FROM service.customer c
        WHERE c.customer_id = coalesce(of_customer_id, owner_id)
          AND (of_customer_id IS NULL OR c.state NOT IN ('merged', 'erased'));
    END IF;
    IF of_contact_id IS NOT NULL THEN
        SELECT c.customer_id INTO contact_customer_id FROM service.contact c WHERE c.contact_id = of_contact_id AND c.active;
    END IF;
    IF of_term_id IS NOT NULL THEN
        SELECT w.asset_id, w.ends_on INTO term_asset_id, warranty_ends_on
        FROM service.warranty_term w WHERE w.term_id = of_term_id;
    END IF;
    SELECT r.queue INTO queue FROM service.ticket_route r
    WHERE r.active AND (r.kind IS NULL OR r.kind = of_kind)
      AND (r.service_mode IS NULL OR r.service_mode = of_service_mode)
      AND (r.priority IS NULL OR r.priority = of_priority)
      AND (r.product_kind IS NULL OR r.product_kind = kind_of_model)
      AND (r.territory IS NULL OR r.territory = coalesce(territory_of, 'default'))
    ORDER BY r.place, r.route_id LIMIT 1;
    heard := EXISTS (SELECT FROM service.alert_target g WHERE g.active AND g.topics && ARRAY[of_topic, '*']);
    SELECT k.revision INTO sla_revision FROM service.sla_revision k;
END
$$;

CALL service.guard('service.ticket_search',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_search.ticket_id)', 'ticket_id', audited => false,
    personal => ARRAY['words']);

-- The words of a text, each once: runs of letters and digits in small letters; of Chinese, Japanese and Korean each
-- character and each pair of neighbours, since nothing stands between their words. api/tickets/search.py does the same.
CREATE FUNCTION service.words_of(said text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog AS $$
DECLARE
    plain text := lower(normalize(said, NFKC));
    words text[];
BEGIN
    IF plain ~ '[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]' THEN
        SELECT array_agg(DISTINCT substr(run[1], place, width)) INTO words
        FROM regexp_matches(plain,
                 '[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+', 'g') AS run,
             generate_series(1, 2) AS width,
             generate_series(1, length(run[1]) - width + 1) AS place;
        plain := regexp_replace(plain,
            '[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+', ' ', 'g');
    END IF;
    plain := trim(regexp_replace(plain,
        '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u20a0-\u2bff\u3000-\u3004\u3008-\u303f]+',
        ' ', 'g'));
    IF plain = '' THEN
        RETURN coalesce(words, '{}');
    END IF;
    RETURN coalesce(words, '{}') || ARRAY(
        SELECT DISTINCT left(word, 64) FROM unnest(string_to_array(plain, ' ')) AS word LIMIT 2000);
END
$$;

CREATE FUNCTION service.vector_of(said text, weight text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog AS $$
BEGIN
    IF said IS NULL OR said = '' THEN
        RETURN ''::tsvector;
    END IF;
    RETURN coalesce(string_agg('''' || word || ''':1' || weight, ' '), '')::tsvector FROM unnest(service.words_of(said)) AS word;
END
$$;

-- What was said and noted in a case; the room of conversations puts its own in the place of this one.
CREATE FUNCTION service.ticket_words(of_ticket_id bigint, OUT said text, OUT noted text) LANGUAGE sql STABLE AS
$$ SELECT NULL::text, NULL::text $$;

-- What a ticket is found by.
CREATE FUNCTION service.ticket_vector(t service.ticket, is_new boolean) RETURNS tsvector LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    serial        text;
    customer_name text;
    words         record;
    vector        tsvector;
BEGIN
    IF t.asset_id IS NOT NULL THEN
        SELECT a.serial INTO serial FROM service.asset a WHERE a.asset_id = t.asset_id;
    END IF;
    IF t.customer_id IS NOT NULL THEN
        SELECT c.name INTO customer_name FROM service.customer c WHERE c.customer_id = t.customer_id;
    END IF;
    vector := service.vector_of(concat_ws(' ', t.title, t.component, serial), 'A')
        || service.vector_of(customer_name, 'B')
        || service.vector_of(t.description, 'C')
        || concat_ws(' ', '''#' || (t.ticket_id >> 13) || '''', '''@c' || t.customer_id || '''',
                     '''@p' || t.provider_id || '''')::tsvector;
    IF is_new THEN
        RETURN vector;
    END IF;
    SELECT * INTO words FROM service.ticket_words(t.ticket_id);
    RETURN vector || service.vector_of(words.said, 'C') || service.vector_of(words.noted, 'D');
END
$$;

-- Write the words of some tickets anew, e.g. after a load by COPY, where triggers were off.
CREATE FUNCTION service.index_tickets(first_id bigint, last_id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS $$
    INSERT INTO service.ticket_search AS s (ticket_id, words)
    SELECT t.ticket_id, service.ticket_vector(t, false) FROM service.ticket t WHERE t.ticket_id BETWEEN first_id AND last_id
    ON CONFLICT (ticket_id) DO UPDATE SET words = excluded.words WHERE s.words <> excluded.words
$$;

CREATE FUNCTION service.index_ticket() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO service.ticket_search (ticket_id, words) VALUES (NEW.ticket_id, service.ticket_vector(NEW, true));
    ELSE
        UPDATE service.ticket_search SET words = service.ticket_vector(NEW, false) WHERE ticket_id = NEW.ticket_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER searchable AFTER INSERT OR UPDATE OF title, description, component, asset_id, customer_id, provider_id
    ON service.ticket FOR EACH ROW EXECUTE FUNCTION service.index_ticket();

-- A name that is corrected or erased must not be found any more.
CREATE FUNCTION service.index_customer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.name <> OLD.name THEN
        PERFORM service.index_tickets(t.ticket_id, t.ticket_id) FROM service.ticket t WHERE t.customer_id = NEW.customer_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER searchable AFTER UPDATE OF name ON service.customer
    FOR EACH ROW EXECUTE FUNCTION service.index_customer();

-- Tickets from `ground` to `top` that have the words, the newest stretches first, until there are enough or time is up:
-- never all tickets of a word that stands in every second one. A scoped caller's own only, by what the call has said of it.
-- Each hit has its score, and `bottom`, below which one may go on; without a hit one row tells the bottom only.
CREATE FUNCTION service.search_tickets(asked tsquery, top bigint, ground bigint, wanted integer, within_ms integer)
RETURNS TABLE (ticket_id bigint, score real, bottom bigint) LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog SET enable_seqscan = off SET enable_indexscan = off AS $$
DECLARE
    whose     text := concat_ws(' | ', '''@c' || service.scope_customer_id() || '''',
                                '''@p' || service.scope_provider_id() || '''');
    own       tsquery := CASE WHEN whose = '' THEN asked ELSE asked && whose::tsquery END;
    until     timestamptz := clock_timestamp() + within_ms * interval '1 millisecond';
    high      bigint := top >> 13;
    low       bigint;
    width     integer := 1;
    ids       bigint[];
    ranks     real[];
    all_ids   bigint[] := '{}';
    all_ranks real[] := '{}';
BEGIN
    WHILE high >= ground >> 13 AND cardinality(all_ids) < wanted AND clock_timestamp() < until LOOP
        low := greatest(high - width + 1, ground >> 13);
        SELECT array_agg(hit.ticket_id), array_agg(hit.rank) INTO ids, ranks
        FROM (
            SELECT s.ticket_id, ts_rank(s.words, asked) AS rank
            FROM service.ticket_search s
            WHERE s.words @@ (own && (SELECT string_agg('''#' || number || '''', ' | ')::tsquery
                                      FROM generate_series(low, high) AS number))
              -- As a sum, or the planner may collect all numbers of the range before it looks at the words.
              AND s.ticket_id + 0 BETWEEN ground AND top
            LIMIT 8193
        ) hit;
        IF cardinality(ids) > 8192 THEN
            -- A word that got common: in smaller steps.
            width := width / 2;
            CONTINUE;
        END IF;
        all_ids := all_ids || ids;
        all_ranks := all_ranks || ranks;
        high := low - 1;
        width := least(width * 2, 16);
    END LOOP;
    bottom := greatest((high + 1) << 13, ground);
    IF cardinality(all_ids) = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT hit.ticket_id, (hit.rank / (1 + (top - hit.ticket_id) / 65536.0))::real, search_tickets.bottom
        FROM unnest(all_ids, all_ranks) AS hit (ticket_id, rank);
END
$$;
SELECT service.index_tickets(0, 9223372036854775807);

-- Files, service levels, escalations, and what is said with the customer.

-- Files ---------------------------------------------------------------------------------------------

-- The bytes, in the database so that they come and go with what they prove; once per owner.
CREATE TABLE service.file_content (
    -- Whoever brought it: 'key:12', 'user:3'.
    owner    text NOT NULL,
    sha256   bytea NOT NULL CHECK (length(sha256) = 32),
    content  bytea NOT NULL,
    PRIMARY KEY (owner, sha256)
);
-- Photos, videos and office documents are compressed already.
ALTER TABLE service.file_content ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE service.file (
    file_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner        text NOT NULL,
    sha256       bytea NOT NULL,
    name         text NOT NULL,
    -- By its bytes, not by what its sender said.
    media_type   text NOT NULL,
    size_bytes   integer NOT NULL CHECK (size_bytes > 0),
    ticket_id    bigint REFERENCES service.ticket,
    asset_id     integer REFERENCES service.asset,
    -- Of whoever brought it, if that was a customer or a partner.
    customer_id  bigint REFERENCES service.customer,
    provider_id  bigint REFERENCES service.provider,
    -- Who sees it besides staff: the customer and partners, partners, nobody.
    audience     text NOT NULL DEFAULT 'all' CHECK (audience IN ('all', 'partner', 'staff')),
    uploaded_by  text NOT NULL,
    at           timestamptz NOT NULL,
    -- Null: nothing has taken it yet; it goes after a day.
    attached_at  timestamptz,
    FOREIGN KEY (owner, sha256) REFERENCES service.file_content
);
CREATE INDEX file_content_used ON service.file (owner, sha256);
CREATE INDEX file_ticket_id ON service.file (ticket_id, file_id);
CREATE INDEX file_asset_id ON service.file (asset_id, file_id);
CREATE INDEX file_customer_id ON service.file (customer_id);
CREATE INDEX file_provider_id ON service.file (provider_id);
CREATE INDEX file_orphan ON service.file (at) WHERE attached_at IS NULL;
CREATE INDEX file_waiting ON service.file (owner) WHERE attached_at IS NULL;
-- Papers of machines go with their file; that a machine changed hands stays.
ALTER TABLE service.document ADD FOREIGN KEY (file_id) REFERENCES service.file ON DELETE CASCADE;
ALTER TABLE service.asset_owner ADD FOREIGN KEY (proof_file_id) REFERENCES service.file ON DELETE SET NULL;

-- One's own; what belongs to a case that one sees; what belongs to the machine itself, not to a case of an owner before.
CALL service.guard('service.file', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id()) '
    'OR ((audience = ''all'' OR (audience = ''partner'' AND (SELECT service.scope_provider_id()) IS NOT NULL)) '
    'AND (EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = file.ticket_id) '
    'OR (file.ticket_id IS NULL AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = file.asset_id)) '
    'OR EXISTS (SELECT FROM service.document d WHERE d.file_id = file.file_id AND d.model_id IS NOT NULL)))',
    'file_id', personal => ARRAY['name', 'uploaded_by']);
CALL service.guard('service.file_content', 'EXISTS (SELECT FROM service.file f '
    'WHERE f.owner = file_content.owner AND f.sha256 = file_content.sha256)', 'owner,sha256',
    hidden => ARRAY['content']);

-- Service levels ------------------------------------------------------------------------------------

CREATE TABLE service.calendar (
    calendar_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code             text NOT NULL UNIQUE CHECK (code <> ''),
    name             text NOT NULL,
    time_zone        text NOT NULL,
    -- Seven lists, Monday first, of [opens, closes] in minutes of the day.
    week             jsonb NOT NULL CHECK (jsonb_array_length(week) = 7),
    -- Whose public holidays hold; null for none.
    country          text,
    subdivision      text,
    -- The library's release that the latest years were taken from, and the last year taken.
    holidays_version text,
    holidays_until   integer,
    created_at       timestamptz NOT NULL,
    version          integer NOT NULL DEFAULT 1
);

-- Days that are not like their weekday. Taken from the library once and kept, so that its next release does not change
-- what was due in the past; somebody's own day holds against the library's.
CREATE TABLE service.calendar_day (
    calendar_id  bigint NOT NULL REFERENCES service.calendar,
    day          date NOT NULL,
    source       text NOT NULL CHECK (source IN ('library', 'own')),
    name         text NOT NULL,
    -- A list as in `week`; empty when closed.
    spans        jsonb NOT NULL,
    PRIMARY KEY (calendar_id, day, source)
);

-- Never deleted, only switched off: clocks keep their number.
CREATE TABLE service.sla_policy (
    policy_id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                    text NOT NULL UNIQUE CHECK (name <> ''),
    -- The first that fits a case holds.
    place                   integer NOT NULL,
    active                  boolean NOT NULL DEFAULT true,
    calendar_id             bigint NOT NULL REFERENCES service.calendar,
    -- Null: of all.
    kinds                   text[],
    priorities              text[],
    queues                  text[],
    customer_kinds          text[],
    customer_ids            bigint[],
    -- In business minutes; null: not promised.
    first_response_minutes  integer CHECK (first_response_minutes > 0),
    appointment_minutes     integer CHECK (appointment_minutes > 0),
    solution_minutes        integer CHECK (solution_minutes > 0),
    warn_percent            integer NOT NULL DEFAULT 80 CHECK (warn_percent BETWEEN 1 AND 100),
    version                 integer NOT NULL DEFAULT 1
);
CREATE INDEX sla_policy_place ON service.sla_policy (place, policy_id);
CREATE INDEX sla_policy_calendar_id ON service.sla_policy (calendar_id);

-- Which state of the three tables above processes have in memory: another one with each change.
CREATE TABLE service.sla_revision (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision  uuid NOT NULL
);
INSERT INTO service.sla_revision (revision) VALUES (gen_random_uuid());

CREATE FUNCTION service.revise_sla() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.sla_revision SET revision = gen_random_uuid();
    RETURN NULL;
END
$$;
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.calendar
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.calendar_day
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.sla_policy
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();

-- What is timed of a case. No keys to policy and calendar, which nobody deletes: with them all new tickets would lock the
-- same few rows.
CREATE TABLE service.ticket_clock (
    clock_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id         bigint NOT NULL REFERENCES service.ticket ON DELETE CASCADE,
    kind              text NOT NULL CHECK (kind IN ('first_response', 'appointment', 'solution')),
    policy_id         bigint NOT NULL,
    calendar_id       bigint NOT NULL,
    calendar_version  integer NOT NULL,
    target_minutes    integer NOT NULL CHECK (target_minutes > 0),
    warn_percent      integer NOT NULL,
    started_at        timestamptz NOT NULL,
    pauses            tstzmultirange NOT NULL DEFAULT '{}',
    paused_since      timestamptz,
    stopped_at        timestamptz,
    -- Null while it is paused with time left.
    due_at            timestamptz,
    warn_at           timestamptz,
    -- When somebody must look at it: to warn, to say that it is breached, to hear that it has stopped after that.
    next_at           timestamptz,
    warned_at         timestamptz,
    breached_at       timestamptz,
    UNIQUE (ticket_id, kind)
);
CREATE INDEX ticket_clock_next ON service.ticket_clock (next_at, clock_id) WHERE next_at IS NOT NULL;
CREATE INDEX ticket_clock_due ON service.ticket_clock (due_at, clock_id) WHERE stopped_at IS NULL AND due_at IS NOT NULL;
-- Cases that run late, in the order in which they became so.
CREATE INDEX ticket_clock_late ON service.ticket_clock (due_at, ticket_id) WHERE stopped_at IS NULL AND due_at IS NOT NULL;
CREATE INDEX ticket_clock_calendar ON service.ticket_clock (calendar_id, calendar_version) WHERE stopped_at IS NULL;

CALL service.guard('service.calendar', 'true', 'calendar_id');
CALL service.guard('service.calendar_day', 'true', 'calendar_id,day,source');
-- What others were promised is not for everybody.
CALL service.guard('service.sla_policy', 'false', 'policy_id');
CALL service.guard('service.sla_revision', 'true', 'only_row', audited => false);
-- Reckoned from policies, calendars and the case's moves, which are audited; trips stand in the case's history.
CALL service.guard('service.ticket_clock',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_clock.ticket_id)', 'clock_id', audited => false);

-- What is said --------------------------------------------------------------------------------------

CREATE TABLE service.message (
    message_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    -- From the customer, to the customer, or a note among those who work on the case.
    direction      text NOT NULL CHECK (direction IN ('in', 'out', 'note')),
    -- Who reads it besides staff: the customer and partners, partners, nobody.
    audience       text NOT NULL CHECK (audience IN ('all', 'partner', 'staff')),
    channel        text NOT NULL
                   CHECK (channel IN ('portal', 'email', 'phone', 'sms', 'chat', 'letter', 'in_person', 'internal')),
    author_kind    text NOT NULL CHECK (author_kind IN ('user', 'customer', 'system')),
    author_key     text NOT NULL,
    author_name    text NOT NULL,
    language       text,
    template_code  text,
    -- What it is called where it came from, e.g. the Message-ID of a mail; the same is taken in once.
    external_id    text CHECK (external_id <> ''),
    body           text NOT NULL CHECK (body <> ''),
    at             timestamptz NOT NULL,
    edited_at      timestamptz,
    version        integer NOT NULL DEFAULT 1,
    CHECK ((direction = 'note') = (audience <> 'all'))
);
CREATE INDEX message_ticket_id ON service.message (ticket_id, message_id);
CREATE UNIQUE INDEX message_external_id ON service.message (channel, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE service.message_file (
    message_id  bigint NOT NULL REFERENCES service.message ON DELETE CASCADE,
    file_id     bigint NOT NULL REFERENCES service.file,
    PRIMARY KEY (message_id, file_id)
);
CREATE INDEX message_file_file_id ON service.message_file (file_id);

-- How far somebody has read in a case.
CREATE TABLE service.message_read (
    ticket_id   bigint NOT NULL REFERENCES service.ticket,
    -- 'user:3', 'key:12'.
    reader      text NOT NULL,
    message_id  bigint NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, reader)
);

-- Where a conversation stands.
CREATE TABLE service.conversation (
    ticket_id       bigint PRIMARY KEY REFERENCES service.ticket,
    last_in_at      timestamptz,
    last_out_at     timestamptz,
    -- Since when the customer waits for an answer.
    awaiting_since  timestamptz
);
CREATE INDEX conversation_awaiting ON service.conversation (awaiting_since, ticket_id) WHERE awaiting_since IS NOT NULL;

-- Nobody waits for an answer in a case that is over.
CREATE FUNCTION service.end_waiting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.conversation SET awaiting_since = NULL WHERE ticket_id = NEW.ticket_id AND awaiting_since IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER waiting_ended AFTER UPDATE OF state ON service.ticket FOR EACH ROW
    WHEN (NEW.state IN ('resolved', 'closed', 'cancelled', 'merged') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION service.end_waiting();

-- Canned replies. Placeholders as in ${ticket_id}; no code.
CREATE TABLE service.reply_template (
    template_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL CHECK (code <> ''),
    language     text NOT NULL,
    name         text NOT NULL,
    body         text NOT NULL CHECK (body <> ''),
    active       boolean NOT NULL DEFAULT true,
    version      integer NOT NULL DEFAULT 1,
    UNIQUE (code, language)
);

CALL service.guard('service.message', '(audience = ''all'' '
    'OR (audience = ''partner'' AND (SELECT service.scope_provider_id()) IS NOT NULL)) '
    'AND EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = message.ticket_id)', 'message_id',
    personal => ARRAY['body', 'author_name', 'external_id']);
CALL service.guard('service.message_file',
    'EXISTS (SELECT FROM service.message m WHERE m.message_id = message_file.message_id)', 'message_id,file_id');
CALL service.guard('service.message_read',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = message_read.ticket_id)', 'ticket_id,reader',
    audited => false);
CALL service.guard('service.conversation',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = conversation.ticket_id)', 'ticket_id', audited => false);
CALL service.guard('service.reply_template', '(SELECT service.scope_provider_id()) IS NOT NULL', 'template_id');

-- What is found by words: said to and by the customer; noted among staff (0020_tickets.sql asks by this name).
CREATE OR REPLACE FUNCTION service.ticket_words(of_ticket_id bigint, OUT said text, OUT noted text) LANGUAGE sql STABLE AS
$$
    SELECT string_agg(m.body, ' ') FILTER (WHERE m.direction <> 'note'),
           string_agg(m.body, ' ') FILTER (WHERE m.direction = 'note')
    FROM service.message m
    WHERE m.ticket_id = of_ticket_id
$$;

CREATE FUNCTION service.index_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM service.index_tickets(coalesce(NEW.ticket_id, OLD.ticket_id), coalesce(NEW.ticket_id, OLD.ticket_id));
    RETURN NULL;
END
$$;
CREATE TRIGGER searchable AFTER INSERT OR DELETE OR UPDATE OF body, ticket_id ON service.message
    FOR EACH ROW EXECUTE FUNCTION service.index_message();

-- Escalations ---------------------------------------------------------------------------------------

-- Which steps are gone when a clock trips or a case comes back; the first, by place, that fits a case and has such steps.
CREATE TABLE service.escalation_ladder (
    ladder_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    place       integer NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    -- Null: of all.
    kinds       text[],
    priorities  text[],
    queues      text[],
    steps       jsonb NOT NULL CHECK (jsonb_array_length(steps) > 0),
    version     integer NOT NULL DEFAULT 1
);
CREATE INDEX escalation_ladder_place ON service.escalation_ladder (place, ladder_id);

CREATE TABLE service.escalation (
    escalation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    -- Null when somebody opened it by hand.
    ladder_id      bigint REFERENCES service.escalation_ladder,
    -- 'clock:solution', 'reopened:2', 'by_hand:1': each of a case once.
    cause          text NOT NULL,
    clock_id       bigint REFERENCES service.ticket_clock ON DELETE SET NULL,
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided', 'lapsed')),
    -- The steps of the ladder as they were at the opening, and how many of them were gone.
    steps          jsonb NOT NULL,
    steps_gone     integer NOT NULL DEFAULT 0,
    -- When the next step is due; null when that is not known yet or there is none.
    next_at        timestamptz,
    -- Who is to decide: whom the last step named.
    role           text,
    user_id        bigint REFERENCES service.app_user,
    opened_at      timestamptz NOT NULL,
    -- Who opened it by hand, and why.
    opened_by      text,
    opened_because text,
    decision       text,
    reason         text,
    decided_by     text,
    ended_at       timestamptz,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (ticket_id, cause),
    CHECK ((state = 'decided') = (decision IS NOT NULL)),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK (state = 'open' OR next_at IS NULL),
    CHECK ((ladder_id IS NULL) = (cause LIKE 'by\_hand:%')),
    CHECK ((ladder_id IS NULL) = (opened_because IS NOT NULL))
);
-- One that was opened by hand is open at a time.
CREATE UNIQUE INDEX escalation_by_hand ON service.escalation (ticket_id) WHERE ladder_id IS NULL AND state = 'open';
CREATE INDEX escalation_state ON service.escalation (state, escalation_id);
CREATE INDEX escalation_role ON service.escalation (role, state, escalation_id);
CREATE INDEX escalation_user_id ON service.escalation (user_id, escalation_id);
CREATE INDEX escalation_ladder_id ON service.escalation (ladder_id);
CREATE INDEX escalation_clock_id ON service.escalation (clock_id);
CREATE INDEX escalation_next ON service.escalation (next_at, escalation_id) WHERE next_at IS NOT NULL;

-- Steps that were gone, each once.
CREATE TABLE service.escalation_step (
    escalation_id  bigint NOT NULL REFERENCES service.escalation,
    step           integer NOT NULL,
    at             timestamptz NOT NULL,
    -- What was done, and what could not be.
    done           text[] NOT NULL,
    PRIMARY KEY (escalation_id, step)
);

-- Cases that came back, as the escalations look for them.
CREATE INDEX ticket_reopened ON service.ticket (ticket_id)
    WHERE reopened_count > 0 AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');

CALL service.guard('service.escalation_ladder', '(SELECT service.scope_provider_id()) IS NOT NULL', 'ladder_id');
-- Not for customers, though the case is theirs.
CALL service.guard('service.escalation', '(SELECT service.scope_provider_id()) IS NOT NULL '
    'AND EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = escalation.ticket_id)', 'escalation_id', states => true,
    personal => ARRAY['reason', 'decided_by', 'opened_by', 'opened_because']);
CALL service.guard('service.escalation_step',
    'EXISTS (SELECT FROM service.escalation e WHERE e.escalation_id = escalation_step.escalation_id)',
    'escalation_id,step', audited => false);

-- Visits from the appointment to the report: what a technician is to do, did, found and left behind
-- (docs/decisions/0024-visits.md).

-- How work is done -------------------------------------------------------------------------------

-- A standard operating procedure. A version never changes: a visit keeps the one it was made with.
CREATE TABLE service.sop (
    sop_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code           text NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    title          text NOT NULL,
    -- Which work it is for; null: any.
    model_id       bigint REFERENCES service.product_model,
    product_kind   text,
    -- Kind of the ticket, or 'plan'.
    job_kind       text,
    -- What to read before work: [{code, text}].
    tips           jsonb NOT NULL,
    -- What must be in order on site before work: [{code, text, unit, minimum, maximum, photo, optional}].
    checks         jsonb NOT NULL,
    -- What to do, in order: [{code, text, kind, mandatory, unit, minimum, maximum, choices}].
    steps          jsonb NOT NULL,
    made_by        text NOT NULL,
    made_at        timestamptz NOT NULL,
    -- When a later version came, or when it was withdrawn.
    superseded_at  timestamptz,
    UNIQUE (code, version)
);
CREATE UNIQUE INDEX sop_current ON service.sop (code) WHERE superseded_at IS NULL;
CREATE INDEX sop_model_id ON service.sop (model_id);
CALL service.guard('service.sop', '(SELECT service.scope_customer_id()) IS NULL', 'sop_id');

-- The procedure for a job: what names the model before what names its kind, what names the kind of work before any.
CREATE FUNCTION service.sop_of_job(wanted_job_id bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT s.sop_id
    FROM service.job j
    JOIN service.asset a USING (asset_id)
    JOIN service.product_model m USING (model_id)
    LEFT JOIN service.ticket t ON t.ticket_id = j.ticket_id
    JOIN service.sop s ON s.superseded_at IS NULL
        AND (s.model_id IS NULL OR s.model_id = m.model_id)
        AND (s.product_kind IS NULL OR s.product_kind = m.kind)
        AND (s.job_kind IS NULL OR s.job_kind = coalesce(t.kind, 'plan'))
    WHERE j.job_id = wanted_job_id
    ORDER BY s.model_id IS NULL, s.product_kind IS NULL, s.job_kind IS NULL, s.sop_id DESC
    LIMIT 1
$$;

-- What can be wrong with machines of a kind, from what one sees to what one does about it.
CREATE TABLE service.fault_code (
    fault_code_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_kind   text NOT NULL,
    code           text NOT NULL,
    level          text NOT NULL CHECK (level IN ('symptom', 'fault', 'cause', 'remedy')),
    parent_id      bigint REFERENCES service.fault_code,
    text           text NOT NULL,
    active         boolean NOT NULL DEFAULT true,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (product_kind, code),
    CHECK ((level = 'symptom') = (parent_id IS NULL))
);
CREATE INDEX fault_code_kind ON service.fault_code (product_kind, fault_code_id);
CREATE INDEX fault_code_parent_id ON service.fault_code (parent_id);
CALL service.guard('service.fault_code', 'true', 'fault_code_id');

-- The visit --------------------------------------------------------------------------------------

ALTER TABLE service.visit DROP CONSTRAINT visit_state_check;
ALTER TABLE service.visit
    ADD CONSTRAINT visit_state_check CHECK (state IN
        ('planned', 'confirmed', 'travelling', 'started', 'completed', 'refused_unsafe', 'no_access', 'cancelled')),
    -- The job's, so that the history and the feed of a case find it.
    ADD COLUMN ticket_id       bigint REFERENCES service.ticket,
    ADD COLUMN sop_id          bigint REFERENCES service.sop,
    ADD COLUMN confirmed_at    timestamptz,
    ADD COLUMN confirmed_by    text,
    ADD COLUMN departed_at     timestamptz,
    ADD COLUMN checked_in_at   timestamptz,
    ADD COLUMN work_began_at   timestamptz,
    ADD COLUMN checked_out_at  timestamptz,
    ADD COLUMN ended_at        timestamptz,
    -- Of a visit that did not do its work: the reason's code, and the words.
    ADD COLUMN end_reason      text,
    ADD COLUMN end_note        text,
    ADD COLUMN version         integer NOT NULL DEFAULT 1;
UPDATE service.visit v SET ticket_id = j.ticket_id FROM service.job j WHERE j.job_id = v.job_id AND j.ticket_id IS NOT NULL;
DROP INDEX service.visit_one_open_per_job;
CREATE UNIQUE INDEX visit_one_open_per_job ON service.visit (job_id)
    WHERE state IN ('planned', 'confirmed', 'travelling', 'started');
CREATE INDEX visit_ticket_id ON service.visit (ticket_id, visit_id);
CREATE INDEX visit_sop_id ON service.visit (sop_id);
CREATE INDEX visit_starts_at ON service.visit (starts_at, visit_id) WHERE state <> 'cancelled';

-- The appointments offered to the customer; the visit stands at the first until one is chosen.
CREATE TABLE service.visit_slot (
    slot_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id       bigint NOT NULL REFERENCES service.visit,
    technician_id  bigint NOT NULL REFERENCES service.technician,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    state          text NOT NULL DEFAULT 'offered' CHECK (state IN ('offered', 'chosen', 'withdrawn')),
    offered_at     timestamptz NOT NULL,
    CHECK (ends_at > starts_at)
);
CREATE INDEX visit_slot_visit_id ON service.visit_slot (visit_id, slot_id);
CREATE INDEX visit_slot_technician_id ON service.visit_slot (technician_id);
CALL service.guard('service.visit_slot', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_slot.visit_id)',
    'slot_id');

-- A link for the customer who has no login; the token itself is told once and only its SHA-256 is kept.
CREATE TABLE service.visit_link (
    link_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id    bigint NOT NULL REFERENCES service.visit,
    token_hash  bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX visit_link_visit_id ON service.visit_link (visit_id);
CALL service.guard('service.visit_link', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_link.visit_id)',
    'link_id', hidden => ARRAY['token_hash']);

-- Why an appointment moved or went to somebody else, and who caused it. Holds actor and time itself.
CREATE TABLE service.visit_change (
    change_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id            bigint NOT NULL REFERENCES service.visit,
    kind                text NOT NULL CHECK (kind IN ('reschedule', 'reassign')),
    caused_by           text CHECK (caused_by IN ('customer', 'provider', 'maker', 'parts', 'weather', 'other')),
    reason              text NOT NULL,
    note                text NOT NULL DEFAULT '',
    from_technician_id  bigint NOT NULL REFERENCES service.technician,
    to_technician_id    bigint NOT NULL REFERENCES service.technician,
    from_starts_at      timestamptz NOT NULL,
    to_starts_at        timestamptz NOT NULL,
    actor               text NOT NULL,
    at                  timestamptz NOT NULL,
    CHECK ((kind = 'reschedule') = (caused_by IS NOT NULL))
);
CREATE INDEX visit_change_visit_id ON service.visit_change (visit_id, change_id);
CREATE INDEX visit_change_at ON service.visit_change (at, kind);
CREATE INDEX visit_change_from_technician_id ON service.visit_change (from_technician_id);
CREATE INDEX visit_change_to_technician_id ON service.visit_change (to_technician_id);
CALL service.guard('service.visit_change',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_change.visit_id)',
    'change_id', audited => false, personal => ARRAY['note']);

-- The customer was called, written to, or rung at the door.
CREATE TABLE service.visit_contact (
    contact_attempt_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id            bigint NOT NULL REFERENCES service.visit,
    channel             text NOT NULL,
    result              text NOT NULL,
    person              text NOT NULL DEFAULT '',
    note                text NOT NULL DEFAULT '',
    -- When it was, by the caller's clock and by ours.
    device_at           timestamptz,
    at                  timestamptz NOT NULL,
    actor               text NOT NULL
);
CREATE INDEX visit_contact_visit_id ON service.visit_contact (visit_id, contact_attempt_id);
CALL service.guard('service.visit_contact',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_contact.visit_id)',
    'contact_attempt_id', audited => false, personal => ARRAY['person', 'note']);

-- Where the technician was when; a customer does not see it.
CREATE TABLE service.visit_position (
    position_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id      bigint NOT NULL REFERENCES service.visit,
    kind          text NOT NULL CHECK (kind IN ('depart', 'check_in', 'check_out')),
    latitude      double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude     double precision CHECK (longitude BETWEEN -180 AND 180),
    accuracy_m    double precision CHECK (accuracy_m >= 0),
    -- To the site; null when either position is not known.
    distance_m    double precision,
    far           boolean NOT NULL,
    device_at     timestamptz NOT NULL,
    -- How far the device's clock goes ahead of ours.
    clock_ahead_s double precision,
    at            timestamptz NOT NULL,
    actor         text NOT NULL
);
CREATE INDEX visit_position_visit_id ON service.visit_position (visit_id, position_id);
CALL service.guard('service.visit_position',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_position.visit_id)',
    'position_id', audited => false, personal => ARRAY['latitude', 'longitude']);

-- What was done on site: tips read, checks made, steps ticked. Append-only and told twice without harm; of a code the
-- entry made last counts, by the device's clock.
CREATE TABLE service.visit_entry (
    entry_number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id      bigint NOT NULL REFERENCES service.visit,
    -- Given by the device.
    entry_id      uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('tip', 'check', 'step')),
    code          text NOT NULL,
    result        text CHECK (result IN ('pass', 'fail', 'not_applicable')),
    value         double precision,
    choice        text,
    photo_file_id bigint REFERENCES service.file ON DELETE SET NULL,
    note          text NOT NULL DEFAULT '',
    -- Whether it is as the procedure wants it, and if not, why.
    fit           boolean NOT NULL,
    misfit        text,
    device_at     timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    -- It came when the visit was over.
    late          boolean NOT NULL,
    actor         text NOT NULL,
    UNIQUE (visit_id, entry_id)
);
CREATE INDEX visit_entry_code ON service.visit_entry (visit_id, kind, code, device_at DESC, entry_number DESC);
CREATE INDEX visit_entry_photo_file_id ON service.visit_entry (photo_file_id);
CALL service.guard('service.visit_entry',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_entry.visit_id)',
    'entry_number', audited => false, personal => ARRAY['note']);

-- Photos of why a visit did not do its work.
CREATE TABLE service.visit_photo (
    visit_id  bigint NOT NULL REFERENCES service.visit,
    file_id   bigint NOT NULL REFERENCES service.file ON DELETE CASCADE,
    PRIMARY KEY (visit_id, file_id)
);
CREATE INDEX visit_photo_file_id ON service.visit_photo (file_id);
CALL service.guard('service.visit_photo', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_photo.visit_id)',
    'visit_id,file_id');

-- Parts built in, and parts brought back.
ALTER TABLE service.stock_movement DROP CONSTRAINT stock_movement_kind_check;
ALTER TABLE service.stock_movement ADD CONSTRAINT stock_movement_kind_check
    CHECK (kind IN ('receipt', 'reserve', 'release', 'consume', 'adjust', 'return'));
CREATE TABLE service.visit_part (
    visit_part_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id        bigint NOT NULL REFERENCES service.visit,
    -- Given by the device, so that telling it twice moves nothing twice.
    entry_id        uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('used', 'returned')),
    part_id         bigint NOT NULL REFERENCES service.part,
    quantity        integer NOT NULL CHECK (quantity > 0),
    -- Where it came from or went to: what was kept for the job, or a warehouse.
    reservation_id  bigint REFERENCES service.reservation,
    warehouse_id    bigint REFERENCES service.warehouse,
    component       text,
    serial_fitted   text,
    -- What becomes of the part taken out.
    old_part        text CHECK (old_part IN ('return_to_maker', 'scrap', 'left_with_customer', 'none')),
    old_serial      text,
    -- Whose technician has it, while it is to be sent back.
    provider_id     bigint REFERENCES service.provider,
    -- When it came back, who took it in, and what they say of it.
    old_received_at    timestamptz,
    old_received_by    text,
    old_received_note  text,
    device_at       timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    actor           text NOT NULL,
    CHECK (reservation_id IS NOT NULL OR warehouse_id IS NOT NULL),
    CHECK ((kind = 'used') = (old_part IS NOT NULL)),
    CHECK (old_received_at IS NULL OR old_part = 'return_to_maker'),
    UNIQUE (visit_id, entry_id)
);
CREATE INDEX visit_part_part_id ON service.visit_part (part_id);
CREATE INDEX visit_part_reservation_id ON service.visit_part (reservation_id);
CREATE INDEX visit_part_warehouse_id ON service.visit_part (warehouse_id);
-- Old parts that are still to be sent back.
CREATE INDEX visit_part_return ON service.visit_part (visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NULL;
CREATE INDEX visit_part_received ON service.visit_part (visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NOT NULL;
CREATE INDEX visit_part_return_all ON service.visit_part (visit_part_id) WHERE old_part = 'return_to_maker';
CREATE INDEX visit_part_return_of ON service.visit_part (provider_id, visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NULL;
CREATE INDEX visit_part_provider_id ON service.visit_part (provider_id, visit_part_id);
CALL service.guard('service.visit_part', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_part.visit_id)',
    'visit_part_id');

-- The completion report: a draft until the visit is completed, frozen then.
CREATE TABLE service.visit_report (
    visit_id           bigint PRIMARY KEY REFERENCES service.visit,
    -- As it was sent (api/visits/report_models.py).
    content            jsonb NOT NULL,
    signed_by_name     text,
    signature_file_id  bigint REFERENCES service.file ON DELETE SET NULL,
    solved             boolean,
    next_step          text,
    -- Frozen at completion: the answer about warranty, prices, what was there before corrections, times.
    frozen             jsonb,
    frozen_at          timestamptz,
    pdf_file_id        bigint REFERENCES service.file ON DELETE SET NULL,
    written_by         text NOT NULL,
    written_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1
);
CREATE INDEX visit_report_signature_file_id ON service.visit_report (signature_file_id);
CREATE INDEX visit_report_pdf_file_id ON service.visit_report (pdf_file_id);
CALL service.guard('service.visit_report',
    '((SELECT service.scope_customer_id()) IS NULL OR frozen_at IS NOT NULL) '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_report.visit_id)',
    'visit_id', personal => ARRAY['signed_by_name']);

-- Quotes: what work costs whom, what was accepted, charged and paid; in minor units, rates in basis points.

-- What a partner is paid for differs by it, and so may what customers pay; empty for none.
ALTER TABLE service.provider ADD COLUMN level text NOT NULL DEFAULT '';

-- Price lists --------------------------------------------------------------------------------------

-- Lists for the same customers are versions of one another: the latest that began by a day holds on it. So there is
-- never a gap by mistake and never an overlap.
CREATE TABLE service.price_list (
    price_list_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                  text NOT NULL,
    -- Whom it is for; empty for any.
    country               text NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{2})?$'),
    customer_kind         text NOT NULL DEFAULT '' CHECK (customer_kind IN ('', 'consumer', 'business')),
    provider_level        text NOT NULL DEFAULT '',
    currency              text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from            date NOT NULL,
    -- The last day; null until another one follows.
    valid_until           date CHECK (valid_until >= valid_from),
    labour_hour_minor     bigint NOT NULL CHECK (labour_hour_minor >= 0),
    labour_step_minutes   integer NOT NULL CHECK (labour_step_minutes BETWEEN 1 AND 480),
    travel_km_minor       bigint NOT NULL CHECK (travel_km_minor >= 0),
    part_factor_bp        integer NOT NULL CHECK (part_factor_bp >= 0),
    minimum_charge_minor  bigint NOT NULL CHECK (minimum_charge_minor >= 0),
    tax_rate_bp           integer NOT NULL CHECK (tax_rate_bp BETWEEN 0 AND 10000),
    created_at            timestamptz NOT NULL,
    created_by            text NOT NULL,
    version               integer NOT NULL DEFAULT 1,
    UNIQUE (country, customer_kind, provider_level, currency, valid_from)
);
CREATE INDEX price_list_valid ON service.price_list (country, customer_kind, provider_level, valid_from DESC);

CREATE TABLE service.price_item (
    price_list_id  bigint NOT NULL REFERENCES service.price_list ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('operation', 'zone', 'part', 'fee')),
    -- Operation, zone, SKU or fee.
    code           text NOT NULL,
    price_minor    bigint NOT NULL CHECK (price_minor >= 0),
    PRIMARY KEY (price_list_id, kind, code)
);

-- Quotes -------------------------------------------------------------------------------------------

CREATE TABLE service.quote (
    quote_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id        bigint NOT NULL REFERENCES service.ticket,
    -- 1, 2, 3 … of its ticket.
    revision         integer NOT NULL CHECK (revision > 0),
    state            text NOT NULL DEFAULT 'draft'
                     CHECK (state IN ('draft', 'sent', 'accepted', 'declined', 'expired', 'superseded', 'withdrawn')),
    price_list_id    bigint NOT NULL REFERENCES service.price_list,
    currency         text NOT NULL,
    -- The customer's share; what others bear is before tax.
    net_minor        bigint NOT NULL CHECK (net_minor >= 0),
    tax_rate_bp      integer NOT NULL,
    tax_minor        bigint NOT NULL CHECK (tax_minor >= 0),
    gross_minor      bigint NOT NULL,
    borne_minor      bigint NOT NULL CHECK (borne_minor >= 0),
    -- What the warranty answered, frozen.
    warranty         jsonb NOT NULL,
    terms            text NOT NULL DEFAULT '',
    valid_days       integer NOT NULL CHECK (valid_days > 0),
    valid_until      timestamptz,
    -- The exact text shown, and its SHA-256 in hexadecimal; frozen once sent.
    text             text,
    text_sha256      text,
    -- SHA-256 of the token in the customer's link.
    token_hash       bytea UNIQUE,
    -- Where the ticket goes back to when the customer has decided.
    ticket_state     text,
    created_at       timestamptz NOT NULL,
    created_by       text NOT NULL,
    sent_at          timestamptz,
    decided_at       timestamptz,
    decline_reason   text NOT NULL DEFAULT '',
    version          integer NOT NULL DEFAULT 1,
    UNIQUE (ticket_id, revision),
    CHECK (gross_minor = net_minor + tax_minor),
    CHECK (state IN ('draft', 'superseded', 'withdrawn') OR (sent_at IS NOT NULL AND text_sha256 IS NOT NULL))
);
CREATE UNIQUE INDEX quote_one_draft ON service.quote (ticket_id) WHERE state = 'draft';
CREATE UNIQUE INDEX quote_one_sent ON service.quote (ticket_id) WHERE state = 'sent';
CREATE UNIQUE INDEX quote_one_accepted ON service.quote (ticket_id) WHERE state = 'accepted';
CREATE INDEX quote_state ON service.quote (state, quote_id);
CREATE INDEX quote_due ON service.quote (valid_until, quote_id) WHERE state = 'sent';
CREATE INDEX quote_price_list_id ON service.quote (price_list_id);

CREATE TABLE service.quote_line (
    quote_id        bigint NOT NULL REFERENCES service.quote,
    place           integer NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('labour', 'travel', 'part', 'fee', 'value_added_sale', 'discount')),
    code            text NOT NULL,
    description     text NOT NULL,
    quantity        integer NOT NULL,
    unit            text NOT NULL CHECK (unit IN ('minute', 'km', 'piece', 'flat')),
    -- Of `price_per` units: 60 for labour by the hour, else 1.
    price_minor     bigint NOT NULL,
    price_per       integer NOT NULL CHECK (price_per > 0),
    net_minor       bigint NOT NULL,
    customer_minor  bigint NOT NULL,
    bearer          text NOT NULL,
    reason          text NOT NULL,
    PRIMARY KEY (quote_id, place),
    CHECK (kind <> 'discount' OR reason <> '')
);

-- Who agreed to which text, when and how; never rewritten.
CREATE TABLE service.quote_consent (
    quote_consent_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quote_id          bigint NOT NULL UNIQUE REFERENCES service.quote,
    ticket_id         bigint NOT NULL REFERENCES service.ticket,
    decision          text NOT NULL CHECK (decision IN ('accepted', 'declined')),
    at                timestamptz NOT NULL,
    -- The person who decided, and who wrote it down: the same but for agents on behalf.
    given_by          text NOT NULL,
    recorded_by       text NOT NULL,
    channel           text NOT NULL,
    how_obtained      text NOT NULL DEFAULT '',
    ip                text NOT NULL DEFAULT '',
    revision          integer NOT NULL,
    text              text NOT NULL,
    text_sha256       text NOT NULL,
    reason            text NOT NULL DEFAULT '',
    -- Checked by the database itself: the hash is of this text.
    CHECK (text_sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex'))
);
CREATE INDEX quote_consent_ticket ON service.quote_consent (ticket_id, quote_consent_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.quote_consent
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Once sent, what was shown stays.
CREATE FUNCTION service.keep_sent_quote() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.state <> 'draft' AND NOT service.is_erasing() AND
       (NEW.ticket_id, NEW.revision, NEW.price_list_id, NEW.currency, NEW.net_minor, NEW.tax_rate_bp, NEW.tax_minor,
        NEW.gross_minor, NEW.borne_minor, NEW.warranty, NEW.terms, NEW.text, NEW.text_sha256, NEW.valid_until)
       IS DISTINCT FROM
       (OLD.ticket_id, OLD.revision, OLD.price_list_id, OLD.currency, OLD.net_minor, OLD.tax_rate_bp, OLD.tax_minor,
        OLD.gross_minor, OLD.borne_minor, OLD.warranty, OLD.terms, OLD.text, OLD.text_sha256, OLD.valid_until) THEN
        RAISE EXCEPTION 'quote % is %; what was sent stays', OLD.quote_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'quote_frozen';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE ON service.quote FOR EACH ROW EXECUTE FUNCTION service.keep_sent_quote();

CREATE FUNCTION service.keep_sent_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    of_quote bigint := CASE TG_OP WHEN 'DELETE' THEN OLD.quote_id ELSE NEW.quote_id END;
BEGIN
    PERFORM FROM service.quote q WHERE q.quote_id = of_quote AND q.state = 'draft';
    IF NOT FOUND AND NOT service.is_erasing() THEN
        RAISE EXCEPTION 'quote % is no draft; its lines stay', of_quote
            USING ERRCODE = 'check_violation', CONSTRAINT = 'quote_frozen';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER frozen BEFORE INSERT OR UPDATE OR DELETE ON service.quote_line
    FOR EACH ROW EXECUTE FUNCTION service.keep_sent_lines();

-- Charges: never beyond what was accepted ------------------------------------------------------------

-- Kept by triggers alone; whoever charges waits here for whoever charges the same case.
CREATE TABLE service.ticket_account (
    ticket_id       bigint PRIMARY KEY REFERENCES service.ticket,
    currency        text NOT NULL,
    accepted_minor  bigint NOT NULL DEFAULT 0 CHECK (accepted_minor >= 0),
    charged_minor   bigint NOT NULL DEFAULT 0 CHECK (charged_minor >= 0),
    fees_minor      bigint NOT NULL DEFAULT 0 CHECK (fees_minor >= 0),
    CONSTRAINT within_accepted CHECK (charged_minor <= accepted_minor)
);

-- What the customer agreed to pay whatever becomes of the quote, e.g. for the diagnosis; with tax.
CREATE TABLE service.agreed_fee (
    agreed_fee_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    kind           text NOT NULL CHECK (kind IN ('diagnosis', 'handling', 'cancellation', 'storage')),
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    tax_rate_bp    integer NOT NULL CHECK (tax_rate_bp BETWEEN 0 AND 10000),
    currency       text NOT NULL,
    charged_minor  bigint NOT NULL DEFAULT 0 CHECK (charged_minor >= 0),
    agreed_at      timestamptz NOT NULL,
    given_by       text NOT NULL,
    recorded_by    text NOT NULL,
    channel        text NOT NULL,
    how_obtained   text NOT NULL DEFAULT '',
    text           text NOT NULL,
    text_sha256    text NOT NULL,
    UNIQUE (ticket_id, kind),
    CONSTRAINT within_agreed CHECK (charged_minor <= amount_minor),
    CHECK (text_sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex'))
);

CREATE TABLE service.charge (
    charge_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    quote_id       bigint REFERENCES service.quote,
    agreed_fee_id  bigint REFERENCES service.agreed_fee,
    state          text NOT NULL DEFAULT 'charged' CHECK (state IN ('charged', 'voided')),
    -- With tax; of it `tax_minor`.
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    tax_minor      bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND amount_minor),
    tax_rate_bp    integer NOT NULL,
    currency       text NOT NULL,
    description    text NOT NULL,
    charged_at     timestamptz NOT NULL,
    charged_by     text NOT NULL,
    void_reason    text NOT NULL DEFAULT '',
    version        integer NOT NULL DEFAULT 1,
    CHECK (num_nonnulls(quote_id, agreed_fee_id) = 1),
    CHECK ((state = 'voided') = (void_reason <> ''))
);
CREATE INDEX charge_ticket ON service.charge (ticket_id, charge_id);
CREATE INDEX charge_quote_id ON service.charge (quote_id);
CREATE INDEX charge_agreed_fee_id ON service.charge (agreed_fee_id);

CREATE FUNCTION service.accept_quote() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.ticket_account (ticket_id, currency, accepted_minor)
    VALUES (NEW.ticket_id, NEW.currency, NEW.gross_minor)
    ON CONFLICT (ticket_id) DO UPDATE SET accepted_minor = EXCLUDED.accepted_minor
        WHERE ticket_account.currency = EXCLUDED.currency;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % is accounted in another currency', NEW.ticket_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'account_currency';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounted AFTER UPDATE OF state ON service.quote
    FOR EACH ROW WHEN (NEW.state = 'accepted' AND OLD.state <> 'accepted') EXECUTE FUNCTION service.accept_quote();

CREATE FUNCTION service.agree_fee() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.ticket_account (ticket_id, currency) VALUES (NEW.ticket_id, NEW.currency)
    ON CONFLICT (ticket_id) DO NOTHING;
    PERFORM FROM service.ticket_account a WHERE a.ticket_id = NEW.ticket_id AND a.currency = NEW.currency;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % is accounted in another currency', NEW.ticket_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'account_currency';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounted AFTER INSERT ON service.agreed_fee FOR EACH ROW EXECUTE FUNCTION service.agree_fee();

-- What was agreed stays; only what was charged of it moves.
CREATE FUNCTION service.keep_agreed_fee() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF (NEW.ticket_id, NEW.kind, NEW.amount_minor, NEW.tax_rate_bp, NEW.currency, NEW.text, NEW.text_sha256)
       IS DISTINCT FROM
       (OLD.ticket_id, OLD.kind, OLD.amount_minor, OLD.tax_rate_bp, OLD.currency, OLD.text, OLD.text_sha256)
       AND NOT service.is_erasing() THEN
        RAISE EXCEPTION 'agreed fee % stays as it was agreed', OLD.agreed_fee_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'fee_frozen';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE ON service.agreed_fee FOR EACH ROW EXECUTE FUNCTION service.keep_agreed_fee();

CREATE FUNCTION service.account_charge() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    change bigint := CASE WHEN NEW.state = 'charged' THEN NEW.amount_minor ELSE -NEW.amount_minor END;
BEGIN
    IF NEW.quote_id IS NOT NULL THEN
        PERFORM FROM service.quote q
        WHERE q.quote_id = NEW.quote_id AND q.ticket_id = NEW.ticket_id AND (q.state = 'accepted' OR change < 0)
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'quote % is not an accepted one of ticket %', NEW.quote_id, NEW.ticket_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'charge_of_accepted';
        END IF;
        UPDATE service.ticket_account SET charged_minor = charged_minor + change
        WHERE ticket_id = NEW.ticket_id AND currency = NEW.currency;
    ELSE
        UPDATE service.agreed_fee SET charged_minor = charged_minor + change
        WHERE agreed_fee_id = NEW.agreed_fee_id AND ticket_id = NEW.ticket_id AND currency = NEW.currency;
        IF FOUND THEN
            UPDATE service.ticket_account SET fees_minor = fees_minor + change
            WHERE ticket_id = NEW.ticket_id AND currency = NEW.currency;
        END IF;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nothing in % was accepted for ticket %', NEW.currency, NEW.ticket_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'charge_of_accepted';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounted AFTER INSERT ON service.charge FOR EACH ROW EXECUTE FUNCTION service.account_charge();
CREATE TRIGGER accounted_again AFTER UPDATE OF state ON service.charge
    FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION service.account_charge();

CREATE FUNCTION service.keep_charge() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT service.is_erasing() AND (
       (NEW.ticket_id, NEW.quote_id, NEW.agreed_fee_id, NEW.amount_minor, NEW.tax_minor, NEW.currency) IS DISTINCT FROM
       (OLD.ticket_id, OLD.quote_id, OLD.agreed_fee_id, OLD.amount_minor, OLD.tax_minor, OLD.currency)
       OR (OLD.state = 'voided' AND NEW.state <> 'voided')) THEN
        RAISE EXCEPTION 'charge % stays; void it and charge anew', OLD.charge_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'charge_frozen';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE ON service.charge FOR EACH ROW EXECUTE FUNCTION service.keep_charge();
CREATE TRIGGER append_only BEFORE DELETE ON service.charge FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Payments: what happened at a payment provider ------------------------------------------------------

CREATE TABLE service.payment_provider (
    payment_provider_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                 text NOT NULL UNIQUE,
    -- Standard Webhooks signing secret (whsec_…); needed in clear to check signatures.
    secret               text NOT NULL,
    active               boolean NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL,
    version              integer NOT NULL DEFAULT 1
);

CREATE TABLE service.payment (
    payment_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id           bigint NOT NULL REFERENCES service.ticket,
    provider            text NOT NULL,
    external_reference  text NOT NULL,
    method              text NOT NULL DEFAULT '',
    state               text NOT NULL
                        CHECK (state IN ('authorised', 'captured', 'partly_refunded', 'refunded', 'failed')),
    amount_minor        bigint NOT NULL CHECK (amount_minor > 0),
    captured_minor      bigint NOT NULL DEFAULT 0 CHECK (captured_minor BETWEEN 0 AND amount_minor),
    refunded_minor      bigint NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    currency            text NOT NULL,
    fail_reason         text NOT NULL DEFAULT '',
    at                  timestamptz NOT NULL,
    recorded_by         text NOT NULL,
    version             integer NOT NULL DEFAULT 1,
    UNIQUE (provider, external_reference),
    CONSTRAINT within_captured CHECK (refunded_minor <= captured_minor)
);
CREATE INDEX payment_ticket ON service.payment (ticket_id, payment_id);

CREATE TABLE service.refund (
    refund_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id          bigint NOT NULL REFERENCES service.payment,
    external_reference  text NOT NULL,
    amount_minor        bigint NOT NULL CHECK (amount_minor > 0),
    reason              text NOT NULL DEFAULT '',
    at                  timestamptz NOT NULL,
    recorded_by         text NOT NULL,
    UNIQUE (payment_id, external_reference)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.refund
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

CREATE FUNCTION service.account_refund() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.payment SET refunded_minor = refunded_minor + NEW.amount_minor WHERE payment_id = NEW.payment_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounted AFTER INSERT ON service.refund FOR EACH ROW EXECUTE FUNCTION service.account_refund();

-- Messages of payment providers that were acted upon, so that a second delivery changes nothing.
CREATE TABLE service.payment_message (
    payment_provider_id  bigint NOT NULL REFERENCES service.payment_provider,
    message_id           text NOT NULL,
    payment_id           bigint REFERENCES service.payment,
    at                   timestamptz NOT NULL,
    PRIMARY KEY (payment_provider_id, message_id)
);
CREATE INDEX payment_message_payment_id ON service.payment_message (payment_id);

-- Who sees what ------------------------------------------------------------------------------------

-- Prices are the trade's; a customer sees quotes.
CALL service.guard('service.price_list', '(SELECT service.scope_customer_id()) IS NULL', 'price_list_id');
CALL service.guard('service.price_item', '(SELECT service.scope_customer_id()) IS NULL', 'price_list_id,kind,code');
CALL service.guard('service.quote', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = quote.ticket_id) '
    'AND ((SELECT service.scope_customer_id()) IS NULL OR sent_at IS NOT NULL)', 'quote_id', states => true,
    hidden => ARRAY['token_hash', 'text'], personal => ARRAY['decline_reason']);
CALL service.guard('service.quote_line', 'EXISTS (SELECT FROM service.quote q WHERE q.quote_id = quote_line.quote_id)',
    'quote_id,place', audited => false);
CALL service.guard('service.quote_consent', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = quote_consent.ticket_id)',
    'quote_consent_id', audited => false, personal => ARRAY['given_by', 'how_obtained', 'ip', 'reason']);
CALL service.guard('service.ticket_account', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_account.ticket_id)',
    'ticket_id');
CALL service.guard('service.agreed_fee', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = agreed_fee.ticket_id)',
    'agreed_fee_id', personal => ARRAY['given_by', 'how_obtained']);
CALL service.guard('service.charge', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = charge.ticket_id)',
    'charge_id', states => true);
CALL service.guard('service.payment_provider', 'false', 'payment_provider_id', hidden => ARRAY['secret']);
CALL service.guard('service.payment', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = payment.ticket_id)',
    'payment_id', states => true);
CALL service.guard('service.refund', 'EXISTS (SELECT FROM service.payment p WHERE p.payment_id = refund.payment_id)',
    'refund_id', personal => ARRAY['reason']);
CALL service.guard('service.payment_message', 'false', 'payment_provider_id,message_id', audited => false);

-- The change feed as others read it: in an order that never gets a gap filled in behind a reader, and pushed to webhooks.

-- Numbers of changes are drawn before they commit, so a smaller one may appear after a larger one was read. A position is
-- given after the commit, by one at a time; within a ticket positions follow the numbers.
CREATE TABLE service.feed (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id  bigint NOT NULL UNIQUE REFERENCES service.change
);
CALL service.guard('service.feed', 'EXISTS (SELECT FROM service.change c WHERE c.change_id = feed.change_id)', 'position',
    audited => false);

-- Up to which number everything has its position or never will. The next mark holds once every transaction is over that
-- ran when it was set.
CREATE TABLE service.feed_mark (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settled_id     bigint NOT NULL,
    next_id        bigint NOT NULL,
    -- The first transaction that had not begun when next_id was read.
    next_xid       xid8 NOT NULL
);
INSERT INTO service.feed_mark (settled_id, next_id, next_xid) VALUES (0, 0, '0');
CALL service.guard('service.feed_mark', 'false', 'only_row', audited => false);

CREATE TABLE service.webhook (
    webhook_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,
    url              text NOT NULL,
    -- Standard Webhooks signing secrets (whsec_…), needed in clear to sign; the one before is used too until it ends.
    secret           text NOT NULL,
    previous_secret  text,
    previous_until   timestamptz,
    -- e.g. 'ticket.*', 'visit.completed'.
    types            text[] NOT NULL,
    active           boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL,
    version          integer NOT NULL DEFAULT 1
);
CALL service.guard('service.webhook', 'false', 'webhook_id', hidden => ARRAY['secret', 'previous_secret'],
    personal => ARRAY['url']);

-- How far delivery is. Written by deliverers only, in real time.
CREATE TABLE service.webhook_progress (
    webhook_id       bigint PRIMARY KEY REFERENCES service.webhook ON DELETE CASCADE,
    -- All up to here was taken, or is parked.
    position         bigint NOT NULL,
    -- Counts the replays, so that a deliverer that was on its way does not undo one.
    replays          integer NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    lease_until      timestamptz,
    last_error       text,
    delivered_at     timestamptz
);
CALL service.guard('service.webhook_progress', 'false', 'webhook_id', audited => false);

-- What the receiver did not take, and what waits behind it because it is about the same ticket.
CREATE TABLE service.webhook_parked (
    webhook_id       bigint NOT NULL REFERENCES service.webhook ON DELETE CASCADE,
    position         bigint NOT NULL REFERENCES service.feed,
    -- e.g. 'ticket:12': within a lane the order is kept.
    lane             text NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    last_error       text,
    -- Given up; the lane goes on without it.
    dead             boolean NOT NULL DEFAULT false,
    PRIMARY KEY (webhook_id, position)
);
CREATE INDEX webhook_parked_lane ON service.webhook_parked (webhook_id, lane, position) WHERE NOT dead;
CREATE INDEX webhook_parked_position ON service.webhook_parked (position);
CALL service.guard('service.webhook_parked', 'false', 'webhook_id,position', audited => false);

-- Mail-in repair: a machine's way through the workshop, its parcels, what it costs the maker, and machines lent meanwhile.

-- How many business days each node takes after the one before, and what the workshop's time costs the maker: of a kind
-- of product at a provider; empty and null for any. The most exact row holds.
CREATE TABLE service.repair_standard (
    repair_standard_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_kind        text NOT NULL DEFAULT '',
    provider_id         bigint REFERENCES service.provider,
    business_days       jsonb NOT NULL,
    labour_hour_minor   bigint NOT NULL CHECK (labour_hour_minor >= 0),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    version             integer NOT NULL DEFAULT 1,
    UNIQUE NULLS NOT DISTINCT (product_kind, provider_id)
);
CREATE INDEX repair_standard_provider_id ON service.repair_standard (provider_id);

CREATE TABLE service.repair (
    repair_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id             bigint NOT NULL REFERENCES service.ticket,
    asset_id              integer NOT NULL REFERENCES service.asset,
    mode                  text NOT NULL CHECK (mode IN ('mail_in', 'drop_off')),
    -- The maker pays everything: no quote, whatever the warranty says.
    central               boolean NOT NULL DEFAULT false,
    state                 text NOT NULL DEFAULT 'label'
                          CHECK (state IN ('label', 'received', 'diagnosed', 'quoted', 'accepted', 'declined', 'waiting_parts',
                                           'in_repair', 'repaired', 'tested', 'exchanged', 'shipped', 'delivered',
                                           'returned_unrepaired', 'scrapped', 'closed', 'cancelled')),
    old_part_wanted       boolean NOT NULL DEFAULT false,
    -- What came in the parcel: condition, accessories, photos.
    parcel                jsonb,
    diagnosis             text NOT NULL DEFAULT '',
    component             text,
    fault_code            text NOT NULL DEFAULT '',
    fault_found           boolean NOT NULL DEFAULT true,
    -- Who pays, decided at the diagnosis by the warranty's answer, which is frozen here.
    bearer                text NOT NULL DEFAULT '',
    warranty              jsonb,
    quote_id              bigint REFERENCES service.quote,
    job_id                bigint REFERENCES service.job,
    replacement_asset_id  integer REFERENCES service.asset,
    tests                 jsonb NOT NULL DEFAULT '[]',
    labour_minutes        integer NOT NULL DEFAULT 0 CHECK (labour_minutes >= 0),
    -- Frozen from the standard at opening.
    labour_hour_minor     bigint NOT NULL CHECK (labour_hour_minor >= 0),
    currency              text NOT NULL,
    business_days         jsonb NOT NULL,
    -- Its first node that is not done; both null when it is over.
    next_node             text,
    next_expected_on      date,
    overdue_since         timestamptz,
    end_reason            text NOT NULL DEFAULT '',
    opened_at             timestamptz NOT NULL,
    opened_by             text NOT NULL,
    closed_at             timestamptz,
    version               integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX repair_one_open ON service.repair (ticket_id) WHERE state NOT IN ('closed', 'cancelled');
CREATE INDEX repair_ticket ON service.repair (ticket_id, repair_id);
CREATE INDEX repair_asset ON service.repair (asset_id, repair_id);
CREATE INDEX repair_state ON service.repair (state, repair_id);
CREATE INDEX repair_quote_id ON service.repair (quote_id);
CREATE INDEX repair_job_id ON service.repair (job_id);
CREATE INDEX repair_replacement_asset_id ON service.repair (replacement_asset_id);
CREATE INDEX repair_falling_due ON service.repair (next_expected_on, repair_id)
    WHERE overdue_since IS NULL AND next_expected_on IS NOT NULL;
CREATE INDEX repair_overdue ON service.repair (repair_id) WHERE overdue_since IS NOT NULL;

CREATE TABLE service.repair_node (
    repair_id          bigint NOT NULL REFERENCES service.repair,
    node               text NOT NULL,
    place              integer NOT NULL,
    -- What was promised first, and what is expected now.
    first_expected_on  date NOT NULL,
    expected_on        date NOT NULL,
    done_at            timestamptz,
    PRIMARY KEY (repair_id, node)
);

CREATE TABLE service.repair_delay (
    repair_delay_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id        bigint NOT NULL REFERENCES service.repair,
    node             text NOT NULL,
    reason           text NOT NULL,
    note             text NOT NULL DEFAULT '',
    business_days    integer NOT NULL CHECK (business_days > 0),
    at               timestamptz NOT NULL,
    by               text NOT NULL
);
CREATE INDEX repair_delay_repair ON service.repair_delay (repair_id, repair_delay_id);

CREATE TABLE service.repair_part (
    repair_id       bigint NOT NULL REFERENCES service.repair,
    part_id         bigint NOT NULL REFERENCES service.part,
    quantity        integer NOT NULL CHECK (quantity > 0),
    -- Null while no warehouse has it.
    reservation_id  bigint UNIQUE REFERENCES service.reservation,
    wanted_at       timestamptz NOT NULL,
    -- When it can be there, by the reservation or else the part's lead time.
    expected_at     timestamptz NOT NULL,
    PRIMARY KEY (repair_id, part_id)
);
CREATE INDEX repair_part_part_id ON service.repair_part (part_id);
CREATE INDEX repair_part_missing ON service.repair_part (repair_id) WHERE reservation_id IS NULL;

CREATE TABLE service.shipment (
    shipment_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id           bigint NOT NULL REFERENCES service.repair,
    direction           text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    method              text NOT NULL CHECK (method IN ('label', 'pickup', 'counter', 'parcel')),
    carrier             text NOT NULL,
    tracking_number     text NOT NULL DEFAULT '',
    label_file_id       bigint REFERENCES service.file,
    -- What is in it: kind, code, quantity.
    contents            jsonb NOT NULL DEFAULT '[]',
    pickup_from         timestamptz,
    pickup_until        timestamptz,
    pickup_address      text NOT NULL DEFAULT '',
    announced_at        timestamptz NOT NULL,
    delivered_at        timestamptz,
    cancelled_at        timestamptz,
    CHECK (pickup_until > pickup_from),
    CHECK ((method = 'pickup') = (pickup_from IS NOT NULL))
);
CREATE INDEX shipment_repair ON service.shipment (repair_id, shipment_id);
CREATE UNIQUE INDEX shipment_tracking ON service.shipment (tracking_number, carrier) WHERE tracking_number <> '';
CREATE INDEX shipment_label_file_id ON service.shipment (label_file_id);

CREATE TABLE service.repair_cost (
    repair_cost_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id       bigint NOT NULL REFERENCES service.repair,
    kind            text NOT NULL CHECK (kind IN ('part', 'labour', 'freight_in', 'freight_out', 'loaner', 'exchange', 'other')),
    -- What it is the cost of, e.g. 'shipment:3'; each is entered once.
    source          text NOT NULL,
    description     text NOT NULL,
    amount_minor    bigint NOT NULL CHECK (amount_minor >= 0),
    currency        text NOT NULL,
    at              timestamptz NOT NULL,
    by              text NOT NULL,
    UNIQUE (repair_id, source)
);

CREATE TABLE service.loaner (
    loaner_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL UNIQUE REFERENCES service.asset,
    -- What a day of it costs the maker.
    day_cost_minor  bigint NOT NULL CHECK (day_cost_minor >= 0),
    currency        text NOT NULL,
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL,
    version         integer NOT NULL DEFAULT 1
);

CREATE TABLE service.loan (
    loan_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loaner_id    bigint NOT NULL REFERENCES service.loaner,
    repair_id    bigint NOT NULL REFERENCES service.repair,
    ticket_id    bigint NOT NULL REFERENCES service.ticket,
    state        text NOT NULL DEFAULT 'lent' CHECK (state IN ('lent', 'overdue', 'returned', 'lost')),
    lent_at      timestamptz NOT NULL,
    due_back_on  date NOT NULL,
    ended_at     timestamptz,
    condition    text NOT NULL DEFAULT '',
    version      integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('returned', 'lost')) = (ended_at IS NOT NULL))
);
-- One machine cannot be at two places, and a case has one.
CREATE UNIQUE INDEX loan_one_of_loaner ON service.loan (loaner_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX loan_one_of_repair ON service.loan (repair_id) WHERE ended_at IS NULL;
CREATE INDEX loan_loaner ON service.loan (loaner_id, loan_id);
CREATE INDEX loan_repair ON service.loan (repair_id, loan_id);
CREATE INDEX loan_ticket ON service.loan (ticket_id, loan_id);
CREATE INDEX loan_state ON service.loan (state, loan_id);
CREATE INDEX loan_due ON service.loan (due_back_on, loan_id) WHERE state = 'lent';

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard('service.repair_standard', '(SELECT service.scope_customer_id()) IS NULL', 'repair_standard_id');
CALL service.guard('service.repair', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = repair.ticket_id)',
    'repair_id', states => true, personal => ARRAY['diagnosis', 'parcel', 'end_reason']);
CALL service.guard('service.repair_node', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_node.repair_id)',
    'repair_id,node');
CALL service.guard('service.repair_delay', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_delay.repair_id)',
    'repair_delay_id', personal => ARRAY['note']);
CALL service.guard('service.repair_part', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_part.repair_id)',
    'repair_id,part_id');
CALL service.guard('service.shipment', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = shipment.repair_id)',
    'shipment_id', personal => ARRAY['pickup_address']);
CALL service.guard('service.repair_cost', '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_cost.repair_id)', 'repair_cost_id');
CALL service.guard('service.loaner', '(SELECT service.scope_customer_id()) IS NULL', 'loaner_id');
CALL service.guard('service.loan', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = loan.ticket_id)', 'loan_id',
    states => true, personal => ARRAY['condition']);

-- The ledger of stock: double-entry. Each row moves pieces of a part from one place to another, so that what leaves
-- somewhere arrives somewhere; balances are derived by a trigger, and nobody else writes them
-- (docs/decisions/0026-double-entry-stock.md).

ALTER TABLE service.warehouse
    -- Whose it is: a partner's, or the van of a technician; null for the maker's own.
    ADD COLUMN provider_id    bigint REFERENCES service.provider,
    ADD COLUMN technician_id  bigint REFERENCES service.technician,
    ADD COLUMN time_zone      text NOT NULL DEFAULT 'UTC',
    ADD COLUMN active         boolean NOT NULL DEFAULT true,
    ADD COLUMN version        integer NOT NULL DEFAULT 1,
    DROP CONSTRAINT warehouse_kind_check,
    ADD CONSTRAINT warehouse_kind_check CHECK (kind IN ('central', 'partner', 'van', 'repair_centre', 'quarantine'));
CREATE INDEX warehouse_provider_id ON service.warehouse (provider_id);
CREATE INDEX warehouse_technician_id ON service.warehouse (technician_id);

-- A place in a warehouse, so that what lies where can be found.
CREATE TABLE service.bin (
    bin_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    code          text NOT NULL,
    UNIQUE (warehouse_id, code)
);

-- The movements ------------------------------------------------------------------------------------

ALTER TABLE service.stock_movement RENAME TO stock_movement_before;
ALTER INDEX service.stock_movement_pkey RENAME TO stock_movement_before_pkey;
DROP INDEX service.stock_movement_part, service.stock_movement_warehouse;
DELETE FROM service.guarded WHERE table_name = 'stock_movement';

-- Places in a warehouse: free, reserved (kept for a job, still on the shelf), issued (in the technician's hands), transit
-- (on its way to that warehouse). Outside: supplier, used, scrapped, variance (found or missing when counted), converted
-- (kits taken apart or put together), repair (rotables out at repair).
CREATE TABLE service.stock_movement (
    movement_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    kind               text NOT NULL CHECK (kind IN ('receipt', 'transfer_out', 'transfer_in', 'reserve', 'release', 'issue',
                           'consume', 'return', 'scrap', 'count', 'convert', 'repair_out', 'repair_in')),
    from_place         text NOT NULL,
    from_warehouse_id  bigint REFERENCES service.warehouse,
    to_place           text NOT NULL,
    to_warehouse_id    bigint REFERENCES service.warehouse,
    -- Why, e.g. 'transfer' and '12'; a delivery note's or another paper's number stands behind 'note'.
    cause_kind         text NOT NULL CHECK (cause_kind IN ('ticket', 'job', 'visit', 'reservation', 'transfer', 'purchase',
                           'count', 'rotable', 'kit', 'repair', 'old_part', 'note')),
    cause_key          text NOT NULL,
    ticket_id          bigint REFERENCES service.ticket,
    note               text NOT NULL DEFAULT '',
    actor              text NOT NULL DEFAULT service.current_actor(),
    at                 timestamptz NOT NULL,
    CHECK (from_place IN ('free', 'reserved', 'issued', 'transit', 'supplier', 'used', 'scrapped', 'variance', 'converted',
                          'repair')),
    CHECK (to_place IN ('free', 'reserved', 'issued', 'transit', 'supplier', 'used', 'scrapped', 'variance', 'converted',
                        'repair')),
    CHECK ((from_place IN ('free', 'reserved', 'issued', 'transit')) = (from_warehouse_id IS NOT NULL)),
    CHECK ((to_place IN ('free', 'reserved', 'issued', 'transit')) = (to_warehouse_id IS NOT NULL)),
    CHECK (from_warehouse_id IS NOT NULL OR to_warehouse_id IS NOT NULL),
    CHECK ((from_place, from_warehouse_id) IS DISTINCT FROM (to_place, to_warehouse_id))
);

INSERT INTO service.stock_movement
    (part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, cause_kind, cause_key, at)
SELECT part_id, abs(CASE WHEN on_hand_change = 0 THEN reserved_change ELSE on_hand_change END),
       CASE kind WHEN 'adjust' THEN 'count' ELSE kind END,
       CASE WHEN kind = 'receipt' THEN 'supplier' WHEN kind = 'adjust' AND on_hand_change > 0 THEN 'variance'
            WHEN kind = 'return' THEN 'used' WHEN kind = 'release' OR reserved_change < 0 THEN 'reserved' ELSE 'free' END,
       CASE WHEN kind IN ('receipt', 'return') OR (kind = 'adjust' AND on_hand_change > 0) THEN NULL ELSE warehouse_id END,
       CASE WHEN kind = 'consume' THEN 'used' WHEN kind = 'adjust' AND on_hand_change < 0 THEN 'variance'
            WHEN kind = 'reserve' THEN 'reserved' ELSE 'free' END,
       CASE WHEN kind = 'consume' OR (kind = 'adjust' AND on_hand_change < 0) THEN NULL ELSE warehouse_id END,
       CASE WHEN cause ~ '^(reservation|visit|job|repair):[0-9]+$' THEN split_part(cause, ':', 1) ELSE 'note' END,
       CASE WHEN cause ~ '^(reservation|visit|job|repair):[0-9]+$' THEN split_part(cause, ':', 2) ELSE cause END,
       at
FROM service.stock_movement_before
WHERE on_hand_change <> 0 OR reserved_change <> 0
ORDER BY movement_id;

DROP TABLE service.stock_movement_before;

CREATE INDEX stock_movement_part ON service.stock_movement (part_id, movement_id);
CREATE INDEX stock_movement_from ON service.stock_movement (from_warehouse_id, part_id, movement_id)
    WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_to ON service.stock_movement (to_warehouse_id, part_id, movement_id)
    WHERE to_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_cause ON service.stock_movement (cause_kind, cause_key, movement_id);
CREATE INDEX stock_movement_ticket_id ON service.stock_movement (ticket_id, movement_id) WHERE ticket_id IS NOT NULL;

-- The balances -------------------------------------------------------------------------------------

-- on_hand is what is free and what is reserved. Of its rows only the last three columns are anybody's to write.
ALTER TABLE service.stock
    ADD COLUMN issued        integer NOT NULL DEFAULT 0 CHECK (issued >= 0),
    -- On its way here.
    ADD COLUMN in_transit    integer NOT NULL DEFAULT 0 CHECK (in_transit >= 0),
    -- When what is on hand came in, on average; null where there never was any.
    ADD COLUMN stocked_at    timestamptz,
    ADD COLUMN bin_id        bigint REFERENCES service.bin,
    ADD COLUMN min_quantity  integer CHECK (min_quantity >= 0),
    ADD COLUMN max_quantity  integer CHECK (max_quantity >= min_quantity);
CREATE INDEX stock_bin_id ON service.stock (bin_id) WHERE bin_id IS NOT NULL;
UPDATE service.stock s SET stocked_at = m.at
FROM (SELECT to_warehouse_id, part_id, max(at) AS at FROM service.stock_movement
      WHERE to_warehouse_id IS NOT NULL AND from_warehouse_id IS NULL GROUP BY to_warehouse_id, part_id) m
WHERE m.to_warehouse_id = s.warehouse_id AND m.part_id = s.part_id;

-- Balances follow movements in the same statement; the table's checks refuse what would make one negative. Rows are made
-- empty first: a proposed row with a negative number would be refused even where only an update follows.
CREATE FUNCTION service.derive_stock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.stock (warehouse_id, part_id)
    SELECT warehouse_id, part_id
    FROM (SELECT to_warehouse_id AS warehouse_id, part_id FROM posted
          UNION SELECT from_warehouse_id, part_id FROM posted) touched
    WHERE warehouse_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM service.stock s
                      WHERE s.warehouse_id = touched.warehouse_id AND s.part_id = touched.part_id)
    ORDER BY part_id, warehouse_id
    ON CONFLICT DO NOTHING;
    UPDATE service.stock s
    SET on_hand = s.on_hand + change.on_hand,
        reserved = s.reserved + change.reserved,
        issued = s.issued + change.issued,
        in_transit = s.in_transit + change.in_transit,
        stocked_at = CASE WHEN change.on_hand <= 0 THEN s.stocked_at
                          WHEN s.on_hand = 0 THEN change.at
                          ELSE s.stocked_at + (change.at - s.stocked_at)
                               * (change.on_hand::double precision / (s.on_hand + change.on_hand)) END
    FROM (
        SELECT warehouse_id, part_id, max(at) AS at,
               sum(pieces) FILTER (WHERE place IN ('free', 'reserved')) AS on_hand,
               sum(pieces) FILTER (WHERE place = 'reserved') AS reserved,
               sum(pieces) FILTER (WHERE place = 'issued') AS issued,
               sum(pieces) FILTER (WHERE place = 'transit') AS in_transit
        FROM (SELECT to_warehouse_id AS warehouse_id, part_id, to_place AS place, quantity AS pieces, at FROM posted
              UNION ALL SELECT from_warehouse_id, part_id, from_place, -quantity, at FROM posted) side
        WHERE warehouse_id IS NOT NULL
        GROUP BY warehouse_id, part_id
    ) moved
    CROSS JOIN LATERAL (
        SELECT coalesce(moved.on_hand, 0) AS on_hand, coalesce(moved.reserved, 0) AS reserved,
               coalesce(moved.issued, 0) AS issued, coalesce(moved.in_transit, 0) AS in_transit, moved.at
    ) change
    WHERE s.warehouse_id = moved.warehouse_id AND s.part_id = moved.part_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER derive_stock AFTER INSERT ON service.stock_movement
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION service.derive_stock();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.stock_movement
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Where the balances differ from what the movements make: never any row.
CREATE VIEW service.stock_imbalance WITH (security_invoker = true) AS
SELECT warehouse_id, part_id, s.on_hand, s.reserved, s.issued, s.in_transit,
       coalesce(m.on_hand, 0) AS moved_on_hand, coalesce(m.reserved, 0) AS moved_reserved,
       coalesce(m.issued, 0) AS moved_issued, coalesce(m.in_transit, 0) AS moved_in_transit
FROM service.stock s
FULL JOIN (
    SELECT warehouse_id, part_id,
           sum(pieces) FILTER (WHERE place IN ('free', 'reserved')) AS on_hand,
           sum(pieces) FILTER (WHERE place = 'reserved') AS reserved,
           sum(pieces) FILTER (WHERE place = 'issued') AS issued,
           sum(pieces) FILTER (WHERE place = 'transit') AS in_transit
    FROM (SELECT to_warehouse_id AS warehouse_id, part_id, to_place AS place, quantity AS pieces
          FROM service.stock_movement
          UNION ALL
          SELECT from_warehouse_id, part_id, from_place, -quantity FROM service.stock_movement) side
    WHERE warehouse_id IS NOT NULL
    GROUP BY warehouse_id, part_id
) m USING (warehouse_id, part_id)
WHERE (s.on_hand, s.reserved, s.issued, s.in_transit) IS DISTINCT FROM
      (coalesce(m.on_hand, 0), coalesce(m.reserved, 0), coalesce(m.issued, 0), coalesce(m.in_transit, 0));

-- Reservations -------------------------------------------------------------------------------------

-- A part may be kept for a case before anybody has made a job of it.
ALTER TABLE service.reservation
    ALTER COLUMN job_id DROP NOT NULL,
    ADD COLUMN ticket_id  bigint REFERENCES service.ticket,
    -- Which demand it answers (allocation).
    ADD COLUMN demand_id  bigint;
UPDATE service.reservation r SET ticket_id = j.ticket_id FROM service.job j WHERE j.job_id = r.job_id;
ALTER TABLE service.reservation ADD CONSTRAINT reservation_for_somebody CHECK (job_id IS NOT NULL OR ticket_id IS NOT NULL);
CREATE INDEX reservation_ticket_id ON service.reservation (ticket_id, reservation_id);
CREATE INDEX reservation_demand_id ON service.reservation (demand_id) WHERE demand_id IS NOT NULL;

-- Who sees what ------------------------------------------------------------------------------------

-- A partner sees its own warehouses and those of the house; a customer none.
CALL service.guard_anew('service.warehouse', '(SELECT service.scope_customer_id()) IS NULL '
    'AND (provider_id IS NULL OR provider_id = (SELECT service.scope_provider_id()))', 'warehouse_id');
CALL service.guard_anew('service.stock', 'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = stock.warehouse_id)',
    'warehouse_id,part_id', audited => false);
CALL service.guard('service.stock_movement', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (stock_movement.from_warehouse_id, stock_movement.to_warehouse_id))', 'movement_id',
    audited => false, personal => ARRAY['note']);
CALL service.guard('service.bin', 'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = bin.warehouse_id)', 'bin_id');
CALL service.guard_anew('service.reservation', 'EXISTS (SELECT FROM service.job j WHERE j.job_id = reservation.job_id) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = reservation.ticket_id)', 'reservation_id', states => true);

-- The catalogue of parts: what each is, what takes its place, what it fits, what it costs whom; tools that are lent and
-- calibrated; and parts with serial numbers of their own (docs/decisions/0027-catalogue-of-parts.md).

ALTER TABLE service.part
    ADD COLUMN description     text NOT NULL DEFAULT '',
    -- superseded: another part has taken its place; discontinued: it can't be had any more. What there is may be used up.
    ADD COLUMN state           text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'superseded', 'discontinued')),
    ADD COLUMN unit            text NOT NULL DEFAULT 'piece' CHECK (unit <> ''),
    ADD COLUMN shipping_class  text NOT NULL DEFAULT 'normal'
                               CHECK (shipping_class IN ('normal', 'hazardous', 'battery', 'oversize')),
    -- 0: not weighed.
    ADD COLUMN weight_grams    integer NOT NULL DEFAULT 0 CHECK (weight_grams >= 0),
    -- Comes over a border, with the lead time that takes.
    ADD COLUMN imported        boolean NOT NULL DEFAULT false,
    -- Each piece has a serial number of its own.
    ADD COLUMN serialised      boolean NOT NULL DEFAULT false,
    -- Each piece is repaired and used again.
    ADD COLUMN rotable         boolean NOT NULL DEFAULT false,
    -- What becomes of the part that it takes the place of.
    ADD COLUMN old_part_rule   text NOT NULL DEFAULT 'none' CHECK (old_part_rule IN ('return', 'scrap_on_site', 'none')),
    ADD COLUMN words           tsvector GENERATED ALWAYS AS (service.vector_of(sku || ' ' || name, 'A')) STORED,
    ADD CHECK (serialised OR NOT rotable);
CREATE INDEX part_words ON service.part USING gin (words);
CREATE INDEX part_sku_prefix ON service.part (sku text_pattern_ops);
CREATE INDEX part_state ON service.part (state, part_id);
CREATE INDEX part_shipping_class ON service.part (shipping_class, part_id);
CREATE INDEX part_imported ON service.part (part_id) WHERE imported;
CREATE INDEX part_serialised ON service.part (part_id) WHERE serialised;

-- What takes a part's place from a day on; chains have no circle and follow in time (api/parts/catalogue.py sees to it).
CREATE TABLE service.part_supersession (
    part_id       bigint PRIMARY KEY REFERENCES service.part,
    successor_id  bigint NOT NULL REFERENCES service.part,
    effective_on  date NOT NULL,
    -- The old one may still be built in where the new one is asked for.
    two_way       boolean NOT NULL DEFAULT false,
    reason        text NOT NULL DEFAULT '',
    -- Its day has come, and the part's state says so.
    applied       boolean NOT NULL DEFAULT false,
    recorded_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    CHECK (part_id <> successor_id)
);
CREATE INDEX part_supersession_successor ON service.part_supersession (successor_id, part_id);
CREATE INDEX part_supersession_ahead ON service.part_supersession (effective_on, part_id) WHERE NOT applied;

-- What may be built in instead, without having taken a part's place; the lowest rank first.
CREATE TABLE service.part_alternative (
    part_id         bigint NOT NULL REFERENCES service.part,
    alternative_id  bigint NOT NULL REFERENCES service.part,
    rank            integer NOT NULL DEFAULT 1 CHECK (rank > 0),
    two_way         boolean NOT NULL DEFAULT false,
    valid_from      date,
    valid_until     date CHECK (valid_until >= valid_from),
    note            text NOT NULL DEFAULT '',
    recorded_by     text NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (part_id, alternative_id),
    CHECK (part_id <> alternative_id)
);
CREATE INDEX part_alternative_of ON service.part_alternative (alternative_id, part_id);

-- Into which machines a part goes, beside what bills of materials say: a model, a component of it, revisions of it. What
-- is left out is no bound; batches are compared as people read them (api/assets/rules.py).
CREATE TABLE service.part_fit (
    part_fit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id       bigint NOT NULL REFERENCES service.part,
    model_id      bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    component_id  bigint REFERENCES service.component ON DELETE CASCADE,
    -- Of the machine, as its attribute `revision` says.
    revisions     text[] CHECK (cardinality(revisions) > 0),
    from_batch    text,
    until_batch   text,
    from_date     date,
    until_date    date CHECK (until_date >= from_date),
    quantity      integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
    note          text NOT NULL DEFAULT '',
    recorded_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (part_id, model_id, component_id, revisions, from_batch, until_batch, from_date, until_date)
);
CREATE INDEX part_fit_part ON service.part_fit (part_id, part_fit_id);
CREATE INDEX part_fit_model ON service.part_fit (model_id, component_id);
CREATE INDEX part_fit_component_id ON service.part_fit (component_id) WHERE component_id IS NOT NULL;

-- What is in a kit; a kit is not in another one.
CREATE TABLE service.kit_part (
    kit_id    bigint NOT NULL REFERENCES service.part,
    part_id   bigint NOT NULL REFERENCES service.part,
    quantity  integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (kit_id, part_id),
    CHECK (kit_id <> part_id)
);
CREATE INDEX kit_part_part ON service.kit_part (part_id, kit_id);

-- What a piece costs whom, from a day on. Of those that hold on a day the one that began last counts, so that an offer of a
-- few weeks needs no end of the price before. Level: a partner's, or a kind of customer; empty for all.
CREATE TABLE service.part_price (
    part_price_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id        bigint NOT NULL REFERENCES service.part,
    kind           text NOT NULL CHECK (kind IN ('customer', 'partner', 'internal')),
    level          text NOT NULL DEFAULT '',
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    price_minor    bigint NOT NULL CHECK (price_minor >= 0),
    valid_from     date NOT NULL,
    valid_until    date CHECK (valid_until >= valid_from),
    recorded_by    text NOT NULL,
    recorded_at    timestamptz NOT NULL,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (part_id, kind, level, currency, valid_from)
);
CREATE INDEX part_price_part ON service.part_price (part_id, part_price_id);

-- Tools and instruments ----------------------------------------------------------------------------

CREATE TABLE service.instrument (
    instrument_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- On its label.
    code                text NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9._-]{1,64}$'),
    name                text NOT NULL,
    -- What somebody asks for, e.g. torque_wrench.
    kind                text NOT NULL,
    maker_serial        text NOT NULL DEFAULT '',
    state               text NOT NULL DEFAULT 'available'
                        CHECK (state IN ('available', 'lent', 'in_calibration', 'blocked', 'lost', 'scrapped')),
    -- Where it is kept.
    warehouse_id        bigint REFERENCES service.warehouse,
    -- Whose it is; null: the house's, which lends to all partners.
    provider_id         bigint REFERENCES service.provider,
    -- Null: it measures nothing and is never calibrated.
    calibration_days    integer CHECK (calibration_days > 0),
    calibrated_on       date,
    -- The last day on which it may be used.
    calibrated_until    date CHECK (calibrated_until >= calibrated_on),
    -- For which end of calibration somebody was reminded.
    reminded_of         date,
    note                text NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL,
    version             integer NOT NULL DEFAULT 1
);
CREATE INDEX instrument_kind ON service.instrument (kind, instrument_id);
CREATE INDEX instrument_state ON service.instrument (state, instrument_id);
CREATE INDEX instrument_warehouse_id ON service.instrument (warehouse_id, instrument_id);
CREATE INDEX instrument_provider_id ON service.instrument (provider_id, instrument_id);
CREATE INDEX instrument_calibrated_until ON service.instrument (calibrated_until, instrument_id)
    WHERE state IN ('available', 'lent');

CREATE TABLE service.instrument_loan (
    instrument_loan_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id       bigint NOT NULL REFERENCES service.instrument,
    technician_id       bigint NOT NULL REFERENCES service.technician,
    ticket_id           bigint REFERENCES service.ticket,
    state               text NOT NULL DEFAULT 'lent' CHECK (state IN ('lent', 'overdue', 'returned', 'lost')),
    lent_at             timestamptz NOT NULL,
    lent_by             text NOT NULL,
    -- The last day.
    due_back_on         date NOT NULL,
    ended_at            timestamptz CHECK (ended_at >= lent_at),
    condition           text NOT NULL DEFAULT '',
    reminders           integer NOT NULL DEFAULT 0,
    next_reminder_on    date,
    version             integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX instrument_loan_open ON service.instrument_loan (instrument_id) WHERE state IN ('lent', 'overdue');
CREATE INDEX instrument_loan_instrument ON service.instrument_loan (instrument_id, instrument_loan_id);
CREATE INDEX instrument_loan_technician ON service.instrument_loan (technician_id, instrument_loan_id);
CREATE INDEX instrument_loan_ticket_id ON service.instrument_loan (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX instrument_loan_state ON service.instrument_loan (state, instrument_loan_id);
CREATE INDEX instrument_loan_falling_due ON service.instrument_loan (due_back_on, instrument_loan_id) WHERE state = 'lent';
CREATE INDEX instrument_loan_reminding ON service.instrument_loan (next_reminder_on, instrument_loan_id)
    WHERE state = 'overdue';

CREATE TABLE service.instrument_calibration (
    instrument_calibration_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id              bigint NOT NULL REFERENCES service.instrument,
    -- adjusted: it was off and was put right; failed: it can't be.
    result                     text NOT NULL CHECK (result IN ('passed', 'adjusted', 'failed')),
    calibrated_on              date NOT NULL,
    -- Null when it failed.
    calibrated_until           date,
    laboratory                 text NOT NULL DEFAULT '',
    certificate_file_id        bigint REFERENCES service.file,
    note                       text NOT NULL DEFAULT '',
    recorded_by                text NOT NULL,
    recorded_at                timestamptz NOT NULL,
    CHECK ((result = 'failed') = (calibrated_until IS NULL))
);
CREATE INDEX instrument_calibration_instrument
    ON service.instrument_calibration (instrument_id, instrument_calibration_id);
CREATE INDEX instrument_calibration_file ON service.instrument_calibration (certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

-- Parts with serial numbers of their own ------------------------------------------------------------

CREATE TABLE service.rotable (
    rotable_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id       bigint NOT NULL REFERENCES service.part,
    serial        text NOT NULL CHECK (serial ~ '^[A-Za-z0-9._-]{1,64}$'),
    state         text NOT NULL CHECK (state IN ('in_stock', 'issued', 'installed', 'removed', 'quarantined', 'in_repair',
                                                 'scrapped', 'lost')),
    -- Where it lies, whose hands it went out of, or which it left for repair.
    warehouse_id  bigint REFERENCES service.warehouse,
    -- The machine that it is in, or was in last while it is out of it and not taken in.
    asset_id      integer REFERENCES service.asset,
    component     text,
    installed_at  timestamptz,
    condition     text NOT NULL DEFAULT '',
    -- How often it came back from repair.
    repairs       integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    UNIQUE (part_id, serial),
    CHECK ((state IN ('installed', 'removed')) = (asset_id IS NOT NULL) OR state IN ('scrapped', 'lost')),
    CHECK (warehouse_id IS NOT NULL OR state NOT IN ('in_stock', 'issued', 'quarantined', 'in_repair'))
);
CREATE INDEX rotable_part ON service.rotable (part_id, rotable_id);
CREATE INDEX rotable_serial ON service.rotable (serial, rotable_id);
CREATE INDEX rotable_state ON service.rotable (state, rotable_id);
CREATE INDEX rotable_warehouse_id ON service.rotable (warehouse_id, part_id, rotable_id);
CREATE INDEX rotable_asset_id ON service.rotable (asset_id, rotable_id);

-- Everything that was done with each: a journal with actor and time.
CREATE TABLE service.rotable_event (
    rotable_event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rotable_id        bigint NOT NULL REFERENCES service.rotable,
    at                timestamptz NOT NULL,
    actor             text NOT NULL,
    action            text NOT NULL,
    from_state        text,
    to_state          text NOT NULL,
    warehouse_id      bigint REFERENCES service.warehouse,
    asset_id          integer REFERENCES service.asset,
    component         text,
    ticket_id         bigint REFERENCES service.ticket,
    -- Who repairs it, why it was taken out, what was found.
    repairer          text NOT NULL DEFAULT '',
    note              text NOT NULL DEFAULT '',
    fault_found       boolean,
    cost_minor        bigint CHECK (cost_minor >= 0),
    currency          text,
    -- The days it was in the machine, when it is taken out.
    days_in_machine   integer,
    -- The lines of the ledger that moved the piece.
    movement_ids      bigint[] NOT NULL DEFAULT '{}',
    CHECK ((cost_minor IS NULL) = (currency IS NULL))
);
CREATE INDEX rotable_event_rotable ON service.rotable_event (rotable_id, rotable_event_id);
CREATE INDEX rotable_event_warehouse_id ON service.rotable_event (warehouse_id) WHERE warehouse_id IS NOT NULL;
CREATE INDEX rotable_event_asset_id ON service.rotable_event (asset_id, rotable_event_id) WHERE asset_id IS NOT NULL;
CREATE INDEX rotable_event_ticket_id ON service.rotable_event (ticket_id) WHERE ticket_id IS NOT NULL;

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard_anew('service.part', 'true', 'part_id', states => true, hidden => ARRAY['words']);
CALL service.guard('service.part_supersession', 'true', 'part_id');
CALL service.guard('service.part_alternative', 'true', 'part_id,alternative_id');
CALL service.guard('service.part_fit', 'true', 'part_fit_id');
CALL service.guard('service.kit_part', 'true', 'kit_id,part_id');
-- A partner sees what it and customers pay, nobody outside what a part costs the house.
CALL service.guard('service.part_price', 'kind = ''customer'' OR (kind = ''partner'' '
    'AND (SELECT service.scope_provider_id()) IS NOT NULL AND level IN ('''', '
    '(SELECT p.level FROM service.provider p WHERE p.provider_id = (SELECT service.scope_provider_id()))))', 'part_price_id');
CALL service.guard('service.instrument', '(SELECT service.scope_customer_id()) IS NULL '
    'AND (provider_id IS NULL OR provider_id = (SELECT service.scope_provider_id()))', 'instrument_id', states => true);
CALL service.guard('service.instrument_loan', '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.technician t WHERE t.technician_id = instrument_loan.technician_id)',
    'instrument_loan_id', states => true);
CALL service.guard('service.instrument_calibration',
    'EXISTS (SELECT FROM service.instrument i WHERE i.instrument_id = instrument_calibration.instrument_id)',
    'instrument_calibration_id', audited => false);
CALL service.guard('service.rotable', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = rotable.asset_id) '
    'OR EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = rotable.warehouse_id)', 'rotable_id', states => true);
CALL service.guard('service.rotable_event',
    'EXISTS (SELECT FROM service.rotable r WHERE r.rotable_id = rotable_event.rotable_id)', 'rotable_event_id',
    audited => false);

-- Reservations that travel and are handed out, and stock that is counted.

ALTER TABLE service.reservation
    -- Where its pieces are: on the shelf of its warehouse, on their way there, or in the technician's hands.
    ADD COLUMN place  text NOT NULL DEFAULT 'reserved' CHECK (place IN ('reserved', 'transit', 'issued'));

-- A case's pieces may come from several warehouses, and all of them hang on the job that is made of it. Whoever reserves
-- for a job holds its lock, so nothing is kept twice.
DROP INDEX service.reservation_one_open;
CREATE INDEX reservation_open ON service.reservation (job_id, part_id) WHERE state = 'reserved';
CREATE INDEX reservation_without_job ON service.reservation (ticket_id) WHERE job_id IS NULL;

-- Where a part comes from may be said to whoever sees the reservation, though the warehouse itself is another partner's.
CREATE FUNCTION service.warehouse_code(wanted bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT code FROM service.warehouse WHERE warehouse_id = wanted
$$;

-- The ledger of a warehouse, page by page.
CREATE INDEX stock_movement_left ON service.stock_movement (from_warehouse_id, movement_id)
    WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_came ON service.stock_movement (to_warehouse_id, movement_id)
    WHERE to_warehouse_id IS NOT NULL;

-- Demand of the past -------------------------------------------------------------------------------

-- What was used, by where it was taken from.
CREATE INDEX stock_movement_used ON service.stock_movement (from_warehouse_id, part_id, at) WHERE to_place = 'used';

-- What a piece cost the house on a day, in the part's own currency. Not the owner's rights: who does not see the prices
-- of the house gets the cost that stands in the catalogue.
CREATE FUNCTION service.house_cost(part bigint, day date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT i.price_minor FROM service.part_price i
                     WHERE i.part_id = p.part_id AND i.kind = 'internal' AND i.level = '' AND i.currency = p.currency
                       AND i.valid_from <= day AND (i.valid_until IS NULL OR i.valid_until >= day)
                     ORDER BY i.valid_from DESC
                     LIMIT 1), p.cost_minor)
    FROM service.part p
    WHERE p.part_id = part
$$;

-- Counts -------------------------------------------------------------------------------------------

-- A sheet: what lies in a warehouse, or in one of its bins, according to somebody who looked.
CREATE TABLE service.stock_count (
    stock_count_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    bin_id          bigint REFERENCES service.bin,
    state           text NOT NULL DEFAULT 'draft'
                    CHECK (state IN ('draft', 'counted', 'approved', 'rejected', 'cancelled')),
    note            text NOT NULL DEFAULT '',
    -- What was not believed and is counted again.
    recount_of      bigint REFERENCES service.stock_count,
    opened_by       text NOT NULL,
    opened_at       timestamptz NOT NULL,
    finished_by     text,
    finished_key    text,
    finished_at     timestamptz,
    decided_by      text,
    decided_at      timestamptz,
    decision        text NOT NULL DEFAULT '',
    version         integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('draft', 'cancelled')) OR finished_at IS NOT NULL)
);
CREATE INDEX stock_count_warehouse ON service.stock_count (warehouse_id, stock_count_id);
CREATE INDEX stock_count_state ON service.stock_count (state, stock_count_id);
CREATE INDEX stock_count_bin_id ON service.stock_count (bin_id) WHERE bin_id IS NOT NULL;
CREATE INDEX stock_count_recount_of ON service.stock_count (recount_of) WHERE recount_of IS NOT NULL;

CREATE TABLE service.stock_count_line (
    stock_count_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stock_count_id  bigint NOT NULL REFERENCES service.stock_count,
    part_id         bigint NOT NULL REFERENCES service.part,
    counted         integer CHECK (counted >= 0),
    counted_at      timestamptz,
    counted_by      text,
    counted_key     text,
    -- What the ledger had on hand at that moment, and what a piece cost on that day.
    expected        integer,
    cost_minor      bigint,
    currency        text,
    variance        integer GENERATED ALWAYS AS (counted - expected) STORED,
    UNIQUE (stock_count_id, part_id),
    CHECK (num_nulls(counted, counted_at, counted_by, counted_key, expected, cost_minor, currency) IN (0, 7))
);
CREATE INDEX stock_count_line_part_id ON service.stock_count_line (part_id);

-- Proofs -------------------------------------------------------------------------------------------

-- When the balances were last reckoned anew from all movements, and what was found.
CREATE TABLE service.stock_proof (
    stock_proof_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL,
    -- How many movements there were, and the number of the last.
    movements        bigint NOT NULL,
    last_movement_id bigint NOT NULL,
    shelves          bigint NOT NULL,
    faults           bigint NOT NULL,
    -- The first of them.
    examples         jsonb NOT NULL
);

CALL service.guard('service.stock_count',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = stock_count.warehouse_id)', 'stock_count_id',
    states => true, personal => ARRAY['note', 'decision']);
CALL service.guard('service.stock_count_line',
    'EXISTS (SELECT FROM service.stock_count c WHERE c.stock_count_id = stock_count_line.stock_count_id)',
    'stock_count_line_id', audited => false);
CALL service.guard('service.stock_proof', 'false', 'stock_proof_id', audited => false);

-- The ways of parts: opening hours and lanes of warehouses, transfers between them, and what is bought from suppliers.

-- Warehouses ---------------------------------------------------------------------------------------

ALTER TABLE service.bin ADD COLUMN note text NOT NULL DEFAULT '';

-- When a warehouse takes goods in and gives them out, by its own wall clock; one without a row is always open.
CREATE TABLE service.opening_hours (
    warehouse_id  bigint PRIMARY KEY REFERENCES service.warehouse,
    -- Seven lists, Monday first, of [opens, closes] in minutes of the day.
    week          jsonb NOT NULL CHECK (jsonb_array_length(week) = 7),
    -- Whose holidays hold, too: a business calendar of the service levels.
    calendar_id   bigint REFERENCES service.calendar
);
CREATE INDEX opening_hours_calendar_id ON service.opening_hours (calendar_id);

-- Days that are not like their weekday; they hold against the calendar's.
CREATE TABLE service.opening_exception (
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    day           date NOT NULL,
    name          text NOT NULL,
    spans         jsonb NOT NULL,
    PRIMARY KEY (warehouse_id, day)
);

-- How long a way takes and what it costs: a shipment's base, and so much a kilogram.
CREATE TABLE service.lane (
    lane_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_warehouse_id   bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id     bigint NOT NULL REFERENCES service.warehouse,
    transit_hours       integer NOT NULL CHECK (transit_hours BETWEEN 0 AND 8784),
    freight_base_minor  bigint NOT NULL DEFAULT 0 CHECK (freight_base_minor >= 0),
    freight_kg_minor    bigint NOT NULL DEFAULT 0 CHECK (freight_kg_minor >= 0),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What its carrier takes.
    shipping_classes    text[] NOT NULL CHECK (shipping_classes <@ ARRAY['normal', 'hazardous', 'battery', 'oversize']),
    changed_at          timestamptz NOT NULL,
    changed_by          text NOT NULL,
    UNIQUE (from_warehouse_id, to_warehouse_id),
    CHECK (from_warehouse_id <> to_warehouse_id)
);
CREATE INDEX lane_from ON service.lane (from_warehouse_id, lane_id);
CREATE INDEX lane_to ON service.lane (to_warehouse_id, lane_id);

-- Transfers ----------------------------------------------------------------------------------------

-- What goes along a lane together; it pays the base freight once.
CREATE TABLE service.consignment (
    consignment_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    carrier            text NOT NULL DEFAULT '',
    tracking_number    text NOT NULL DEFAULT '',
    weight_grams       bigint NOT NULL CHECK (weight_grams >= 0),
    freight_minor      bigint NOT NULL CHECK (freight_minor >= 0),
    currency           text NOT NULL,
    shipped_at         timestamptz NOT NULL,
    shipped_by         text NOT NULL
);
CREATE INDEX consignment_from ON service.consignment (from_warehouse_id, consignment_id);
CREATE INDEX consignment_to ON service.consignment (to_warehouse_id, consignment_id);

CREATE TABLE service.transfer (
    transfer_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    from_warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    state              text NOT NULL DEFAULT 'planned'
                       CHECK (state IN ('planned', 'shipped', 'received', 'cancelled', 'lost')),
    -- Whose pieces travel; without one they are kept for the transfer itself from planning on.
    reservation_id     bigint REFERENCES service.reservation,
    ticket_id          bigint REFERENCES service.ticket,
    -- Why, e.g. 'ticket' and '12', 'stocking' and '3'.
    cause_kind         text NOT NULL,
    cause_key          text NOT NULL,
    consignment_id     bigint REFERENCES service.consignment,
    -- What has become of the pieces at the other end; they are all accounted for at the end.
    received           integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    damaged            integer NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    missing            integer NOT NULL DEFAULT 0 CHECK (missing >= 0),
    -- What the partner whose warehouse it goes to was charged at shipping; null where nobody was.
    charged_minor      bigint CHECK (charged_minor > 0),
    charged_currency   text,
    planned_at         timestamptz NOT NULL,
    planned_by         text NOT NULL,
    expected_at        timestamptz NOT NULL,
    shipped_at         timestamptz,
    ended_at           timestamptz,
    end_reason         text NOT NULL DEFAULT '',
    overdue_since      timestamptz,
    version            integer NOT NULL DEFAULT 1,
    CHECK (from_warehouse_id <> to_warehouse_id),
    CHECK (received + damaged + missing <= quantity),
    CHECK (state NOT IN ('received', 'lost') OR received + damaged + missing = quantity),
    CHECK ((state IN ('received', 'cancelled', 'lost')) = (ended_at IS NOT NULL)),
    CHECK ((charged_minor IS NULL) = (charged_currency IS NULL))
);
-- Reserved pieces are on one way at a time.
CREATE UNIQUE INDEX transfer_one_of_reservation ON service.transfer (reservation_id) WHERE ended_at IS NULL;
CREATE INDEX transfer_reservation_id ON service.transfer (reservation_id, transfer_id);
CREATE INDEX transfer_state ON service.transfer (state, transfer_id);
CREATE INDEX transfer_part ON service.transfer (part_id, transfer_id);
CREATE INDEX transfer_from ON service.transfer (from_warehouse_id, transfer_id);
CREATE INDEX transfer_to ON service.transfer (to_warehouse_id, transfer_id);
CREATE INDEX transfer_ticket ON service.transfer (ticket_id, transfer_id);
CREATE INDEX transfer_consignment ON service.transfer (consignment_id, transfer_id);
CREATE INDEX transfer_to_pick ON service.transfer (from_warehouse_id, transfer_id) WHERE state = 'planned';
CREATE INDEX transfer_falling_due ON service.transfer (expected_at, transfer_id)
    WHERE ended_at IS NULL AND overdue_since IS NULL;
CREATE INDEX transfer_overdue ON service.transfer (transfer_id) WHERE ended_at IS NULL AND overdue_since IS NOT NULL;

-- Purchasing ---------------------------------------------------------------------------------------

-- Nothing new is ordered from one that is not active.
ALTER TABLE service.supplier ADD COLUMN active boolean NOT NULL DEFAULT true;

-- On which terms a supplier delivers a part.
CREATE TABLE service.supplier_part (
    supplier_part_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id            bigint NOT NULL REFERENCES service.supplier,
    part_id                bigint NOT NULL REFERENCES service.part,
    -- What the supplier calls it.
    supplier_sku           text NOT NULL DEFAULT '',
    price_minor            bigint NOT NULL CHECK (price_minor >= 0),
    currency               text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Calendar days from sending the order to having it on hand; null: the part's own.
    lead_time_days         integer CHECK (lead_time_days BETWEEN 0 AND 3650),
    minimum_quantity       integer NOT NULL DEFAULT 1 CHECK (minimum_quantity > 0),
    pack_size              integer NOT NULL DEFAULT 1 CHECK (pack_size > 0),
    -- So much more than ordered is taken in without asking.
    over_delivery_percent  integer NOT NULL DEFAULT 0 CHECK (over_delivery_percent BETWEEN 0 AND 100),
    -- Of several suppliers the one with the lowest is asked first.
    place                  integer NOT NULL DEFAULT 100,
    active                 boolean NOT NULL DEFAULT true,
    version                integer NOT NULL DEFAULT 1,
    UNIQUE (supplier_id, part_id)
);
CREATE INDEX supplier_part_part ON service.supplier_part (part_id, supplier_part_id);
CREATE INDEX supplier_part_supplier ON service.supplier_part (supplier_id, supplier_part_id);

CREATE TABLE service.purchase_order (
    purchase_order_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Null in a draft for which one is still to be found.
    supplier_id        bigint REFERENCES service.supplier,
    warehouse_id       bigint NOT NULL REFERENCES service.warehouse,
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state              text NOT NULL DEFAULT 'draft'
                       CHECK (state IN ('draft', 'sent', 'confirmed', 'partly_received', 'received', 'cancelled')),
    -- The supplier's number of it.
    reference          text NOT NULL DEFAULT '',
    note               text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL,
    created_by         text NOT NULL,
    -- Dates of a draft count from the day on which they were reckoned.
    reckoned_at        timestamptz NOT NULL,
    sent_at            timestamptz,
    ended_at           timestamptz,
    end_reason         text NOT NULL DEFAULT '',
    version            integer NOT NULL DEFAULT 1,
    CHECK (state IN ('draft', 'cancelled') OR (supplier_id IS NOT NULL AND sent_at IS NOT NULL)),
    CHECK ((state IN ('received', 'cancelled')) = (ended_at IS NOT NULL))
);
-- What is wanted meanwhile goes to the one draft of a supplier, warehouse and currency.
CREATE UNIQUE INDEX purchase_order_one_draft ON service.purchase_order (supplier_id, warehouse_id, currency)
    NULLS NOT DISTINCT WHERE state = 'draft';
CREATE INDEX purchase_order_supplier ON service.purchase_order (supplier_id, purchase_order_id);
CREATE INDEX purchase_order_warehouse ON service.purchase_order (warehouse_id, purchase_order_id);
CREATE INDEX purchase_order_state ON service.purchase_order (state, purchase_order_id);
CREATE INDEX purchase_order_draft ON service.purchase_order (reckoned_at) WHERE state = 'draft';

CREATE TABLE service.purchase_line (
    purchase_line_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_order_id      bigint NOT NULL REFERENCES service.purchase_order,
    part_id                bigint NOT NULL REFERENCES service.part,
    -- What was asked for; the quantity is that, in whole packs and the minimum at least. Both are 0, and the line closed,
    -- where nobody wants it any more before it was sent.
    wanted                 integer NOT NULL CHECK (wanted >= 0),
    quantity               integer NOT NULL CHECK (quantity >= 0),
    received               integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    -- Came, but not fit for use: the supplier still owes them.
    damaged                integer NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    -- Pieces still to come that belong to somebody already.
    promised               integer NOT NULL DEFAULT 0 CHECK (promised >= 0),
    -- Null where no price is agreed.
    price_minor            bigint CHECK (price_minor >= 0),
    supplier_sku           text NOT NULL DEFAULT '',
    -- Frozen terms: of the supplier, else of the part.
    lead_time_days         integer NOT NULL CHECK (lead_time_days >= 0),
    minimum_quantity       integer NOT NULL DEFAULT 1,
    pack_size              integer NOT NULL DEFAULT 1,
    over_delivery_percent  integer NOT NULL DEFAULT 0,
    -- What the supplier said; the date of what comes next.
    confirmed_on           date,
    expected_at            timestamptz NOT NULL,
    -- Nothing more comes.
    closed                 boolean NOT NULL DEFAULT false,
    late_since             timestamptz,
    UNIQUE (purchase_order_id, part_id),
    CHECK (wanted <= quantity),
    CHECK (quantity > 0 OR closed),
    CHECK (closed OR received + promised <= quantity)
);
CREATE INDEX purchase_line_order ON service.purchase_line (purchase_order_id, purchase_line_id);
CREATE INDEX purchase_line_part ON service.purchase_line (part_id, purchase_line_id);
CREATE INDEX purchase_line_incoming ON service.purchase_line (part_id, expected_at) WHERE NOT closed;
CREATE INDEX purchase_line_falling_due ON service.purchase_line (expected_at, purchase_line_id)
    WHERE NOT closed AND late_since IS NULL;
CREATE INDEX purchase_line_late ON service.purchase_line (purchase_line_id) WHERE NOT closed AND late_since IS NOT NULL;

-- Pieces to come that belong to a case or a demand; kept when they have come and are reserved for it.
CREATE TABLE service.purchase_promise (
    purchase_promise_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_line_id     bigint NOT NULL REFERENCES service.purchase_line,
    ticket_id            bigint REFERENCES service.ticket,
    job_id               bigint REFERENCES service.job,
    -- Of the allocation, which made it.
    demand_id            bigint,
    quantity             integer NOT NULL CHECK (quantity > 0),
    -- Whether the line was ordered for it, and not for the shelf; then it shrinks when a draft's promise is withdrawn.
    ordered              boolean NOT NULL,
    state                text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'kept', 'withdrawn')),
    reservation_id       bigint REFERENCES service.reservation,
    promised_at          timestamptz NOT NULL,
    ended_at             timestamptz,
    CHECK (ticket_id IS NOT NULL OR job_id IS NOT NULL OR demand_id IS NOT NULL),
    CHECK ((state = 'open') = (ended_at IS NULL))
);
CREATE INDEX purchase_promise_line ON service.purchase_promise (purchase_line_id, purchase_promise_id);
CREATE INDEX purchase_promise_ticket ON service.purchase_promise (ticket_id, purchase_promise_id);
CREATE INDEX purchase_promise_job ON service.purchase_promise (job_id, purchase_promise_id) WHERE job_id IS NOT NULL;
CREATE INDEX purchase_promise_demand ON service.purchase_promise (demand_id, purchase_promise_id) WHERE demand_id IS NOT NULL;
CREATE INDEX purchase_promise_reservation_id ON service.purchase_promise (reservation_id);

-- What came when, by the supplier's delivery note; never changed.
CREATE TABLE service.purchase_receipt (
    purchase_receipt_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_line_id     bigint NOT NULL REFERENCES service.purchase_line,
    delivery_note        text NOT NULL,
    quantity             integer NOT NULL CHECK (quantity >= 0),
    damaged              integer NOT NULL CHECK (damaged >= 0),
    actor                text NOT NULL DEFAULT service.current_actor(),
    at                   timestamptz NOT NULL,
    UNIQUE (purchase_line_id, delivery_note),
    CHECK (quantity + damaged > 0)
);
CREATE INDEX purchase_receipt_line ON service.purchase_receipt (purchase_line_id, purchase_receipt_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.purchase_receipt
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard('service.opening_hours',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = opening_hours.warehouse_id)', 'warehouse_id');
CALL service.guard('service.opening_exception',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = opening_exception.warehouse_id)', 'warehouse_id,day');
CALL service.guard('service.lane',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = lane.from_warehouse_id) '
    'AND EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = lane.to_warehouse_id)', 'lane_id');
-- A partner sees what comes to its own warehouses and what goes from them.
CALL service.guard('service.consignment', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (consignment.from_warehouse_id, consignment.to_warehouse_id) '
    'AND w.provider_id = (SELECT service.scope_provider_id()))', 'consignment_id');
CALL service.guard('service.transfer', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (transfer.from_warehouse_id, transfer.to_warehouse_id) '
    'AND w.provider_id = (SELECT service.scope_provider_id()))', 'transfer_id', states => true,
    personal => ARRAY['end_reason']);
CALL service.guard('service.supplier_part', 'false', 'supplier_part_id');
CALL service.guard('service.purchase_order', 'false', 'purchase_order_id', states => true);
CALL service.guard('service.purchase_line', 'false', 'purchase_line_id');
CALL service.guard('service.purchase_promise', 'false', 'purchase_promise_id', states => true);
CALL service.guard('service.purchase_receipt', 'false', 'purchase_receipt_id', audited => false);

-- Where the parts come from that cases and jobs need: the demands, what was decided for each and why, and what counts how
-- much in deciding (docs/decisions/0030-allocation.md).

-- What counts how much. One row; money in minor units of its currency.
CREATE TABLE service.allocation_policy (
    allocation_policy_id  smallint PRIMARY KEY DEFAULT 1 CHECK (allocation_policy_id = 1),
    currency              text NOT NULL DEFAULT 'EUR' CHECK (currency ~ '^[A-Z]{3}$'),
    -- What a day costs that a part comes too late, by the priority of its case.
    late_low_minor        bigint NOT NULL DEFAULT 500 CHECK (late_low_minor >= 0),
    late_normal_minor     bigint NOT NULL DEFAULT 2000 CHECK (late_normal_minor >= 0),
    late_high_minor       bigint NOT NULL DEFAULT 8000 CHECK (late_high_minor >= 0),
    late_urgent_minor     bigint NOT NULL DEFAULT 25000 CHECK (late_urgent_minor >= 0),
    -- A demand that is refused counts as so many days late.
    refusal_days          integer NOT NULL DEFAULT 365 CHECK (refusal_days > 0),
    -- What a year in stock costs, in hundredths of a percent of a part's cost.
    holding_bp            integer NOT NULL DEFAULT 2000 CHECK (holding_bp BETWEEN 0 AND 100000),
    -- Older stock than this counts as old as this.
    oldest_days           integer NOT NULL DEFAULT 1095 CHECK (oldest_days >= 0),
    -- What it costs when somebody else's piece is missing later, and how sure a warehouse's minimum is meant to make.
    shortage_minor        bigint NOT NULL DEFAULT 15000 CHECK (shortage_minor >= 0),
    service_level_bp      integer NOT NULL DEFAULT 9500 CHECK (service_level_bp BETWEEN 5000 AND 9999),
    -- Freight where no lane is entered.
    freight_base_minor    bigint NOT NULL DEFAULT 800 CHECK (freight_base_minor >= 0),
    freight_kg_minor      bigint NOT NULL DEFAULT 150 CHECK (freight_kg_minor >= 0),
    -- The trouble of an order, of taking a kit apart, of using another part than was asked for.
    order_minor           bigint NOT NULL DEFAULT 1500 CHECK (order_minor >= 0),
    kit_minor             bigint NOT NULL DEFAULT 1000 CHECK (kit_minor >= 0),
    alternative_minor     bigint NOT NULL DEFAULT 1000 CHECK (alternative_minor >= 0),
    version               integer NOT NULL DEFAULT 1
);
INSERT INTO service.allocation_policy DEFAULT VALUES;

CREATE TABLE service.part_demand (
    part_demand_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id          bigint REFERENCES service.ticket,
    job_id             bigint REFERENCES service.job,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    needed_by          timestamptz NOT NULL,
    priority           text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    -- Where it is to be; null for the warehouse nearest to the machine.
    to_warehouse_id    bigint REFERENCES service.warehouse,
    -- By that date or not at all.
    strict             boolean NOT NULL DEFAULT false,
    state              text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'allocated', 'fulfilled', 'refused', 'cancelled')),

    -- What was decided; the options it was chosen from stand in part_decision.
    kind               text CHECK (kind IN ('on_hand', 'transfer', 'kit', 'alternative', 'purchase')),
    given_part_id      bigint REFERENCES service.part,
    -- Where it comes from; of a purchase where it is delivered to.
    warehouse_id       bigint REFERENCES service.warehouse,
    reservation_id     bigint REFERENCES service.reservation,
    transfer_id        bigint REFERENCES service.transfer,
    purchase_line_id   bigint REFERENCES service.purchase_line,
    total_minor        bigint,
    reason             text NOT NULL DEFAULT '',
    -- When it can be at the site; of a refusal, when it could be at the earliest.
    promised_at        timestamptz,
    -- The supplier's date behind it, of a purchase.
    supplied_at        timestamptz,
    -- The date that the customer was told last.
    told_at            timestamptz,
    arrived_at         timestamptz,
    -- What had moved of the part when it was decided: what comes in later is a reason to decide anew.
    seen_movement_id   bigint NOT NULL DEFAULT 0,
    next_try_at        timestamptz,
    decided_at         timestamptz,
    created_by         text NOT NULL DEFAULT service.current_actor(),
    created_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1,
    CHECK (ticket_id IS NOT NULL OR job_id IS NOT NULL),
    CHECK (state NOT IN ('allocated', 'fulfilled')
           OR (kind IS NOT NULL AND given_part_id IS NOT NULL AND warehouse_id IS NOT NULL AND promised_at IS NOT NULL)),
    CHECK (state <> 'refused' OR reason <> '')
);
CREATE UNIQUE INDEX part_demand_one_of_job ON service.part_demand (job_id, part_id)
    WHERE job_id IS NOT NULL AND state IN ('open', 'allocated', 'refused');
CREATE UNIQUE INDEX part_demand_one_of_ticket ON service.part_demand (ticket_id, part_id)
    WHERE job_id IS NULL AND state IN ('open', 'allocated', 'refused');
CREATE INDEX part_demand_state ON service.part_demand (state, part_demand_id);
-- What waits for pieces to come in.
CREATE INDEX part_demand_waiting ON service.part_demand (part_demand_id)
    WHERE state = 'refused' OR (state = 'allocated' AND reservation_id IS NULL);
CREATE INDEX part_demand_ticket_id ON service.part_demand (ticket_id, part_demand_id);
CREATE INDEX part_demand_job_id ON service.part_demand (job_id, part_demand_id);
CREATE INDEX part_demand_part_id ON service.part_demand (part_id, part_demand_id);
CREATE INDEX part_demand_given_part_id ON service.part_demand (given_part_id);
CREATE INDEX part_demand_to_warehouse_id ON service.part_demand (to_warehouse_id) WHERE to_warehouse_id IS NOT NULL;
CREATE INDEX part_demand_warehouse_id ON service.part_demand (warehouse_id);
CREATE INDEX part_demand_reservation_id ON service.part_demand (reservation_id);
CREATE INDEX part_demand_transfer_id ON service.part_demand (transfer_id) WHERE transfer_id IS NOT NULL;
CREATE INDEX part_demand_purchase_line_id ON service.part_demand (purchase_line_id) WHERE purchase_line_id IS NOT NULL;

ALTER TABLE service.reservation ADD CONSTRAINT reservation_demand_id_fkey
    FOREIGN KEY (demand_id) REFERENCES service.part_demand (part_demand_id);

-- Every decision with all that was considered, for who asks later why.
CREATE TABLE service.part_decision (
    part_decision_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_demand_id    bigint NOT NULL REFERENCES service.part_demand,
    at                timestamptz NOT NULL,
    actor             text NOT NULL DEFAULT service.current_actor(),
    -- single: the cheapest for this demand; plan: of the plan of all demands together; event: something moved.
    made_by           text NOT NULL CHECK (made_by IN ('single', 'plan', 'event')),
    -- Place of the chosen one among the options; null for a refusal.
    chosen            integer CHECK (chosen >= 0),
    reason            text NOT NULL,
    promised_at       timestamptz,
    options           jsonb NOT NULL,
    refusals          jsonb NOT NULL
);
CREATE INDEX part_decision_part_demand_id ON service.part_decision (part_demand_id, part_decision_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.part_decision
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- How fast a part goes in each warehouse: the year's use is read from the index alone.
CREATE INDEX stock_movement_used_part ON service.stock_movement (part_id, at) INCLUDE (from_warehouse_id, quantity)
    WHERE kind = 'consume';
-- What is near a site.
CREATE INDEX warehouse_territory ON service.warehouse (territory);

CALL service.guard('service.allocation_policy', 'false', 'allocation_policy_id');
CALL service.guard('service.part_demand', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = part_demand.ticket_id) '
    'OR EXISTS (SELECT FROM service.job j WHERE j.job_id = part_demand.job_id)', 'part_demand_id', states => true);
-- What stands in every warehouse and what it costs to bring it is the house's to know.
CALL service.guard('service.part_decision', 'false', 'part_decision_id', audited => false);

-- Who bears a part that was used, what a partner owes for parts, and what became of the parts taken out
-- (docs/decisions/0031-partner-accounts-and-old-parts.md).

-- The partner's parts account ----------------------------------------------------------------------

-- One for each partner and currency. The balance is what the partner owes: it rises with what is bought and falls with
-- what is claimed back and paid. A trigger of the journal derives it, under the account's lock.
CREATE TABLE service.partner_account (
    partner_account_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id         bigint NOT NULL REFERENCES service.provider,
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What it may owe for parts bought; null while no limit is agreed.
    limit_minor         bigint CHECK (limit_minor >= 0),
    -- What a part claimed back earns besides its price: so much a piece, and so many hundredths of a percent of the price.
    handling_minor      bigint NOT NULL DEFAULT 0 CHECK (handling_minor >= 0),
    handling_bp         integer NOT NULL DEFAULT 0 CHECK (handling_bp BETWEEN 0 AND 10000),
    balance_minor       bigint NOT NULL DEFAULT 0,
    last_entry_at       timestamptz,
    opened_at           timestamptz NOT NULL,
    version             integer NOT NULL DEFAULT 1,
    UNIQUE (provider_id, currency)
);
CALL service.guard('service.partner_account', 'provider_id = (SELECT service.scope_provider_id())', 'partner_account_id',
    hidden => ARRAY['balance_minor', 'last_entry_at']);

-- Append-only; an error is answered by a reversal.
CREATE TABLE service.partner_entry (
    partner_entry_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_account_id  bigint NOT NULL REFERENCES service.partner_account,
    kind                text NOT NULL CHECK (kind IN ('charge', 'credit', 'handling', 'payment', 'adjustment', 'reversal')),
    -- What the partner owes more by it; less where negative.
    amount_minor        bigint NOT NULL CHECK (amount_minor <> 0),
    -- After it.
    balance_minor       bigint NOT NULL,
    -- Why, e.g. 'transfer' and '12'; a paper's number stands behind 'paper'. A cause books once.
    cause_kind          text NOT NULL CHECK (cause_kind ~ '^[a-z_]{1,40}$'),
    cause_key           text NOT NULL CHECK (cause_key <> ''),
    text                text NOT NULL DEFAULT '',
    ticket_id           bigint REFERENCES service.ticket,
    part_id             bigint REFERENCES service.part,
    quantity            integer CHECK (quantity > 0),
    -- Which entry it takes back; each may be taken back once.
    reverses_id         bigint UNIQUE REFERENCES service.partner_entry,
    actor               text NOT NULL DEFAULT service.current_actor(),
    -- The journal's time never runs backwards, so that what a statement said stays true.
    at                  timestamptz NOT NULL,
    UNIQUE (partner_account_id, kind, cause_kind, cause_key),
    CHECK ((kind = 'reversal') = (reverses_id IS NOT NULL)),
    CHECK (CASE kind WHEN 'charge' THEN amount_minor > 0 WHEN 'credit' THEN amount_minor < 0
                     WHEN 'handling' THEN amount_minor < 0 WHEN 'payment' THEN amount_minor < 0 ELSE true END),
    CHECK ((part_id IS NULL) = (quantity IS NULL))
);
CREATE INDEX partner_entry_account ON service.partner_entry (partner_account_id, partner_entry_id);
CREATE INDEX partner_entry_period ON service.partner_entry (partner_account_id, at, partner_entry_id);
CREATE INDEX partner_entry_cause ON service.partner_entry (cause_kind, cause_key, partner_entry_id);
CREATE INDEX partner_entry_ticket_id ON service.partner_entry (ticket_id, partner_entry_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX partner_entry_part_id ON service.partner_entry (part_id) WHERE part_id IS NOT NULL;
CALL service.guard('service.partner_entry', 'EXISTS (SELECT FROM service.partner_account a '
    'WHERE a.partner_account_id = partner_entry.partner_account_id)', 'partner_entry_id', audited => false);

-- The account's lock makes entries come one after the other, so that no two charges together exceed the limit.
CREATE FUNCTION service.book_partner_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    after record;
BEGIN
    UPDATE service.partner_account a
    SET balance_minor = a.balance_minor + NEW.amount_minor, last_entry_at = greatest(a.last_entry_at, NEW.at)
    WHERE a.partner_account_id = NEW.partner_account_id
    RETURNING a.balance_minor, a.limit_minor, a.last_entry_at INTO STRICT after;
    IF NEW.kind = 'charge' AND after.balance_minor > after.limit_minor THEN
        RAISE EXCEPTION 'a charge of % brings the balance to %, beyond the limit of %',
                        NEW.amount_minor, after.balance_minor, after.limit_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'within_credit';
    END IF;
    NEW.balance_minor := after.balance_minor;
    NEW.at := after.last_entry_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER book BEFORE INSERT ON service.partner_entry
    FOR EACH ROW EXECUTE FUNCTION service.book_partner_entry();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.partner_entry
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Pieces that a partner bought and still has, at what they cost it: the oldest are used, or given back, first; so what is
-- claimed back is what was paid, whatever the price is by then.
CREATE TABLE service.partner_lot (
    partner_lot_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_entry_id    bigint NOT NULL UNIQUE REFERENCES service.partner_entry,
    partner_account_id  bigint NOT NULL REFERENCES service.partner_account,
    part_id             bigint NOT NULL REFERENCES service.part,
    quantity            integer NOT NULL CHECK (quantity > 0),
    left_quantity       integer NOT NULL,
    -- Of all its pieces together, so that nothing is lost by rounding.
    paid_minor          bigint NOT NULL CHECK (paid_minor >= 0),
    CHECK (left_quantity BETWEEN 0 AND quantity)
);
CREATE INDEX partner_lot_left ON service.partner_lot (partner_account_id, part_id, partner_lot_id) WHERE left_quantity > 0;
CREATE INDEX partner_lot_account ON service.partner_lot (partner_account_id, partner_lot_id);
CREATE INDEX partner_lot_part_id ON service.partner_lot (part_id);
CALL service.guard('service.partner_lot', 'EXISTS (SELECT FROM service.partner_account a '
    'WHERE a.partner_account_id = partner_lot.partner_account_id)', 'partner_lot_id');

-- Who bears a used part ----------------------------------------------------------------------------

-- Decided when the visit is completed, by the warranty's answer; decided otherwise later, the former decision stays with
-- its time of replacement.
CREATE TABLE service.part_bearer (
    part_bearer_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_part_id   bigint NOT NULL REFERENCES service.visit_part,
    visit_id        bigint NOT NULL REFERENCES service.visit,
    ticket_id       bigint REFERENCES service.ticket,
    part_id         bigint NOT NULL REFERENCES service.part,
    -- Whose technician used it, and pieces used less those brought back on the visit.
    provider_id     bigint REFERENCES service.provider,
    quantity        integer NOT NULL CHECK (quantity > 0),
    bearer          text NOT NULL CHECK (bearer IN ('maker', 'customer', 'partner')),
    -- Whose stock it came from: the partner's, which bought it, or the maker's own.
    stock_of        text NOT NULL CHECK (stock_of IN ('partner', 'maker')),
    component       text,
    -- The day that the warranty was asked about.
    judged_on       date,
    -- [{code, text}], the deciding first.
    reasons         jsonb NOT NULL,
    -- What the pieces cost the partner, or would have; null where nobody knows a price.
    currency        text CHECK (currency ~ '^[A-Z]{3}$'),
    worth_minor     bigint CHECK (worth_minor >= 0),
    -- What the partner got for it: positive where credited, negative where charged.
    credited_minor  bigint NOT NULL DEFAULT 0,
    handling_minor  bigint NOT NULL DEFAULT 0,
    by_person       boolean NOT NULL DEFAULT false,
    actor           text NOT NULL DEFAULT service.current_actor(),
    at              timestamptz NOT NULL,
    replaced_at     timestamptz
);
CREATE UNIQUE INDEX part_bearer_of_part ON service.part_bearer (visit_part_id) WHERE replaced_at IS NULL;
CREATE INDEX part_bearer_visit_part_id ON service.part_bearer (visit_part_id, part_bearer_id);
CREATE INDEX part_bearer_visit_id ON service.part_bearer (visit_id, part_bearer_id);
CREATE INDEX part_bearer_ticket_id ON service.part_bearer (ticket_id, part_bearer_id);
CREATE INDEX part_bearer_part_id ON service.part_bearer (part_id, part_bearer_id);
CREATE INDEX part_bearer_provider_id ON service.part_bearer (provider_id, part_bearer_id);
CREATE INDEX part_bearer_bearer ON service.part_bearer (bearer, part_bearer_id);
CALL service.guard('service.part_bearer', 'provider_id = (SELECT service.scope_provider_id())', 'part_bearer_id');

-- Old parts ----------------------------------------------------------------------------------------

-- What becomes of parts taken out; of the rules that fit the one that says most decides (api/returns/rules.py).
CREATE TABLE service.old_part_rule (
    old_part_rule_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Each null for any.
    part_id           bigint REFERENCES service.part,
    model_id          bigint REFERENCES service.product_model,
    manufacturer      text,
    bearer            text CHECK (bearer IN ('maker', 'customer', 'partner')),
    fate              text NOT NULL CHECK (fate IN ('return', 'scrap_on_site', 'none')),
    due_days          integer NOT NULL DEFAULT 30 CHECK (due_days BETWEEN 1 AND 365),
    -- Scrapping on site is to be shown by photos.
    evidence          boolean NOT NULL DEFAULT false,
    reason            text NOT NULL,
    created_at        timestamptz NOT NULL,
    actor             text NOT NULL DEFAULT service.current_actor(),
    ended_at          timestamptz
);
CREATE INDEX old_part_rule_part_id ON service.old_part_rule (part_id, old_part_rule_id);
CREATE INDEX old_part_rule_model_id ON service.old_part_rule (model_id, old_part_rule_id);
CREATE UNIQUE INDEX old_part_rule_of ON service.old_part_rule
    (coalesce(part_id, 0), coalesce(model_id, 0), coalesce(manufacturer, ''), coalesce(bearer, '')) WHERE ended_at IS NULL;
CALL service.guard('service.old_part_rule', '(SELECT service.scope_customer_id()) IS NULL', 'old_part_rule_id');

-- One parcel with old parts, on its way from a partner.
CREATE TABLE service.return_slip (
    return_slip_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id      bigint REFERENCES service.provider,
    -- Where it goes.
    warehouse_id     bigint NOT NULL REFERENCES service.warehouse,
    state            text NOT NULL CHECK (state IN ('open', 'shipped', 'received', 'cancelled')),
    carrier          text,
    tracking_number  text,
    note             text NOT NULL DEFAULT '',
    opened_at        timestamptz NOT NULL,
    shipped_at       timestamptz,
    received_at      timestamptz,
    version          integer NOT NULL DEFAULT 1
);
CREATE INDEX return_slip_provider_id ON service.return_slip (provider_id, return_slip_id);
CREATE INDEX return_slip_warehouse_id ON service.return_slip (warehouse_id, return_slip_id);
CREATE INDEX return_slip_state ON service.return_slip (state, return_slip_id);
CALL service.guard('service.return_slip', 'provider_id = (SELECT service.scope_provider_id())', 'return_slip_id',
    states => true, personal => ARRAY['note']);

-- A part taken out, by the number of the used part that it came out for.
CREATE TABLE service.old_part (
    old_part_id        bigint PRIMARY KEY REFERENCES service.visit_part,
    visit_id           bigint NOT NULL REFERENCES service.visit,
    ticket_id          bigint REFERENCES service.ticket,
    asset_id           integer NOT NULL REFERENCES service.asset,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    quantity_received  integer NOT NULL DEFAULT 0,
    component          text,
    old_serial         text,
    -- Whose technician took it out.
    provider_id        bigint REFERENCES service.provider,
    bearer             text CHECK (bearer IN ('maker', 'customer', 'partner')),
    rule               text NOT NULL CHECK (rule IN ('return', 'scrap_on_site')),
    rule_reason        text NOT NULL,
    evidence_wanted    boolean NOT NULL DEFAULT false,
    state              text NOT NULL DEFAULT 'expected' CHECK (state IN ('expected', 'packed', 'shipped', 'received',
                           'inspected', 'at_repair', 'scrapped', 'written_off', 'waived')),
    -- Null until the visit is completed.
    due_by             timestamptz,
    overdue_since      timestamptz,
    return_slip_id     bigint REFERENCES service.return_slip,
    taken_out_at       timestamptz NOT NULL,
    received_at        timestamptz,
    received_by        text,
    received_note      text,
    ended_at           timestamptz,
    ended_note         text,
    version            integer NOT NULL DEFAULT 1,
    CHECK (quantity_received BETWEEN 0 AND quantity)
);
CREATE INDEX old_part_visit_id ON service.old_part (visit_id, old_part_id);
CREATE INDEX old_part_ticket_id ON service.old_part (ticket_id, old_part_id);
CREATE INDEX old_part_asset_id ON service.old_part (asset_id, old_part_id);
CREATE INDEX old_part_part_id ON service.old_part (part_id, old_part_id);
CREATE INDEX old_part_provider_id ON service.old_part (provider_id, old_part_id);
CREATE INDEX old_part_of_state ON service.old_part (state, old_part_id);
CREATE INDEX old_part_provider_state ON service.old_part (provider_id, state, old_part_id);
CREATE INDEX old_part_return_slip_id ON service.old_part (return_slip_id, old_part_id);
CREATE INDEX old_part_not_received ON service.old_part (old_part_id)
    WHERE received_at IS NULL AND state IN ('expected', 'packed', 'shipped') AND rule = 'return';
CREATE INDEX old_part_due ON service.old_part (due_by)
    WHERE state IN ('expected', 'packed', 'shipped') AND overdue_since IS NULL;
CREATE INDEX old_part_owed ON service.old_part (visit_id) WHERE state IN ('expected', 'packed', 'shipped');
CALL service.guard('service.old_part', 'provider_id = (SELECT service.scope_provider_id())', 'old_part_id',
    states => true, personal => ARRAY['received_note', 'ended_note']);

-- Photos and papers: of the scrapping, of the loss, of the inspection.
CREATE TABLE service.old_part_file (
    old_part_id  bigint NOT NULL REFERENCES service.old_part ON DELETE CASCADE,
    file_id      bigint NOT NULL REFERENCES service.file ON DELETE CASCADE,
    kind         text NOT NULL CHECK (kind IN ('scrapping', 'write_off', 'inspection')),
    PRIMARY KEY (old_part_id, file_id)
);
CREATE INDEX old_part_file_file_id ON service.old_part_file (file_id);
CALL service.guard('service.old_part_file',
    'EXISTS (SELECT FROM service.old_part o WHERE o.old_part_id = old_part_file.old_part_id)', 'old_part_id,file_id');

-- What an old part turned out to be; of several the last counts. Append-only.
CREATE TABLE service.old_part_inspection (
    inspection_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    old_part_id    bigint NOT NULL REFERENCES service.old_part,
    -- For reliability: of which machine and component, and when it was taken out.
    asset_id       integer NOT NULL REFERENCES service.asset,
    component      text,
    taken_out_at   timestamptz NOT NULL,
    -- Whether it is the part, and the serial number, that was reported.
    matches        boolean NOT NULL,
    finding        text NOT NULL CHECK (finding IN ('confirmed', 'no_fault_found', 'misuse', 'transport_damage',
                       'wrong_part')),
    failure_mode   text,
    serial_found   text,
    -- Whether the partner keeps what it claimed back for the part built in.
    claim_stands   boolean NOT NULL,
    note           text NOT NULL DEFAULT '',
    actor          text NOT NULL DEFAULT service.current_actor(),
    at             timestamptz NOT NULL,
    CHECK (matches = (finding <> 'wrong_part'))
);
CREATE INDEX old_part_inspection_old_part_id ON service.old_part_inspection (old_part_id, inspection_id);
CREATE INDEX old_part_inspection_asset_id ON service.old_part_inspection (asset_id, component, taken_out_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.old_part_inspection
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.old_part_inspection',
    'EXISTS (SELECT FROM service.old_part o WHERE o.old_part_id = old_part_inspection.old_part_id)', 'inspection_id',
    audited => false, personal => ARRAY['note']);

-- Of each old part the inspection that counts.
CREATE VIEW service.inspected_part WITH (security_invoker = true) AS
SELECT DISTINCT ON (old_part_id) *
FROM service.old_part_inspection
ORDER BY old_part_id, inspection_id DESC;

-- Old parts that are owed beyond their time: while a visit has any, its settlement waits.
CREATE VIEW service.overdue_old_part WITH (security_invoker = true) AS
SELECT old_part_id, visit_id, ticket_id, provider_id, part_id, quantity - quantity_received AS missing, state, rule, due_by
FROM service.old_part
WHERE state IN ('expected', 'packed', 'shipped') AND due_by < service.current_time_of_call();

-- What was there before ------------------------------------------------------------------------------

INSERT INTO service.old_part (old_part_id, visit_id, ticket_id, asset_id, part_id, quantity, quantity_received, component,
                              old_serial, provider_id, rule, rule_reason, state, due_by, taken_out_at, received_at,
                              received_by, received_note)
SELECT u.visit_part_id, u.visit_id, v.ticket_id, j.asset_id, u.part_id, u.quantity,
       CASE WHEN u.old_received_at IS NULL THEN 0 ELSE u.quantity END, u.component, u.old_serial, u.provider_id, 'return',
       'the technician said that it goes back to its maker',
       CASE WHEN u.old_received_at IS NULL THEN 'expected' ELSE 'received' END,
       CASE WHEN v.state = 'completed' THEN greatest(u.device_at, v.ended_at) + interval '30 days' END,
       u.device_at, u.old_received_at, u.old_received_by, u.old_received_note
FROM service.visit_part u
JOIN service.visit v USING (visit_id)
JOIN service.job j USING (job_id)
WHERE u.old_part = 'return_to_maker';

DROP INDEX service.visit_part_return, service.visit_part_received, service.visit_part_return_all,
    service.visit_part_return_of;
ALTER TABLE service.visit_part
    DROP COLUMN old_received_at,
    DROP COLUMN old_received_by,
    DROP COLUMN old_received_note;

-- The completion audit: what partners say of their visits is checked by rules before it is paid. Rules are data in
-- versioned sets (docs/decisions/0032-audit-rules-are-data.md).

-- Rule sets ----------------------------------------------------------------------------------------

CREATE TABLE service.completion_rule_set (
    rule_set_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 1, 2, 3 …: what checks call it.
    number        integer NOT NULL UNIQUE CHECK (number > 0),
    name          text NOT NULL CHECK (name <> ''),
    note          text NOT NULL DEFAULT '',
    state         text NOT NULL DEFAULT 'draft'
                  CHECK (state IN ('draft', 'planned', 'active', 'retired', 'discarded')),
    -- A list of {code, kind, parameters, verdict, if_unknown, told, text, scope} (api/completion_audit/models.py).
    rules         jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
    -- Visits that were completed from then on are judged by it, until those of the next set.
    active_from   timestamptz UNIQUE,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    activated_by  text,
    retired_at    timestamptz,
    version       integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('draft', 'discarded')) = (active_from IS NULL)),
    CHECK ((active_from IS NULL) = (activated_by IS NULL)),
    CHECK ((state = 'retired') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX completion_rule_set_one_active ON service.completion_rule_set (state) WHERE state = 'active';
CREATE UNIQUE INDEX completion_rule_set_one_planned ON service.completion_rule_set (state) WHERE state = 'planned';
CREATE INDEX completion_rule_set_state ON service.completion_rule_set (state, rule_set_id);

-- What once judged a visit stays as it was, whoever asks: its rules can be read years later.
CREATE FUNCTION service.keep_completion_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'rule set % stays; discard a draft', OLD.number USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state <> 'draft' AND (NEW.rules IS DISTINCT FROM OLD.rules OR NEW.number <> OLD.number OR NEW.name <> OLD.name
                                 OR NEW.note <> OLD.note) THEN
        RAISE EXCEPTION 'rule set % is %; only drafts change', OLD.number, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state IN ('active', 'retired') AND NEW.active_from IS DISTINCT FROM OLD.active_from THEN
        RAISE EXCEPTION 'rule set % holds from %; that stays', OLD.number, OLD.active_from
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON service.completion_rule_set
    FOR EACH ROW EXECUTE FUNCTION service.keep_completion_rules();

-- A rule set tried on past visits. Holds actor and time itself.
CREATE TABLE service.completion_trial (
    completion_trial_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_set_id          bigint NOT NULL REFERENCES service.completion_rule_set,
    -- The rules as they were tried; a draft may change afterwards.
    rules                jsonb NOT NULL,
    -- The set that it was compared with; null where none held.
    against_id           bigint REFERENCES service.completion_rule_set,
    -- Visits whose appointment was in it.
    since                timestamptz NOT NULL,
    until                timestamptz NOT NULL CHECK (until > since),
    provider_id          bigint REFERENCES service.provider,
    found                integer NOT NULL CHECK (found >= 0),
    judged               integer NOT NULL CHECK (judged BETWEEN 0 AND found),
    -- {passed, rejected, manual} of the tried set and of the other one, findings by rule, and what differs.
    outcome              jsonb NOT NULL,
    actor                text NOT NULL,
    at                   timestamptz NOT NULL
);
CREATE INDEX completion_trial_rule_set_id ON service.completion_trial (rule_set_id, completion_trial_id);
CREATE INDEX completion_trial_against_id ON service.completion_trial (against_id);
CREATE INDEX completion_trial_provider_id ON service.completion_trial (provider_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_trial
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_trial', 'false', 'completion_trial_id', audited => false);

-- Checks -------------------------------------------------------------------------------------------

-- Where the audit of a partner's visit stands; made with the visit's completion, so that none is forgotten. Payable are
-- `passed` and `accepted`. It has no column for the case: the customer does not read of it in the feed.
CREATE TABLE service.completion_check (
    completion_check_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id             bigint NOT NULL UNIQUE REFERENCES service.visit,
    -- Whose visit it was when it was completed.
    provider_id          bigint NOT NULL REFERENCES service.provider,
    technician_id        bigint NOT NULL REFERENCES service.technician,
    completed_at         timestamptz NOT NULL,
    state                text NOT NULL DEFAULT 'due'
                         CHECK (state IN ('due', 'passed', 'rejected', 'manual', 'accepted')),
    -- Of the latest run.
    runs                 integer NOT NULL DEFAULT 0 CHECK (runs >= 0),
    rule_set_version     integer REFERENCES service.completion_rule_set (number),
    findings             jsonb NOT NULL DEFAULT '[]',
    checked_at           timestamptz,
    -- Of the first run, for statistics: how good the partner's report was.
    first_verdict        text CHECK (first_verdict IN ('passed', 'rejected', 'manual')),
    first_reasons        text[] NOT NULL DEFAULT '{}',
    -- Who is at it, of those in the manual queue.
    claimed_key          text,
    claimed_by           text,
    claimed_at           timestamptz,
    -- What a person decided last, and why; whatever a person refused only a person accepts.
    decision             text CHECK (decision IN ('accepted', 'refused')),
    decision_reason      text NOT NULL DEFAULT '',
    decided_by           text,
    decided_at           timestamptz,
    version              integer NOT NULL DEFAULT 1,
    CHECK ((state = 'due') = (runs = 0)),
    CHECK ((runs = 0) = (first_verdict IS NULL)),
    CHECK ((claimed_key IS NULL) = (claimed_at IS NULL)),
    CHECK (claimed_key IS NULL OR state = 'manual'),
    CHECK ((decision IS NULL) = (decided_at IS NULL)),
    CHECK (state <> 'accepted' OR decision = 'accepted')
);
CREATE INDEX completion_check_state ON service.completion_check (state, completion_check_id);
CREATE INDEX completion_check_provider_id ON service.completion_check (provider_id, completion_check_id);
CREATE INDEX completion_check_technician_id ON service.completion_check (technician_id, completion_check_id);
CREATE INDEX completion_check_rule_set ON service.completion_check (rule_set_version, completion_check_id);
CREATE INDEX completion_check_completed ON service.completion_check (completed_at, completion_check_id);
CREATE INDEX completion_check_of_provider ON service.completion_check (provider_id, completed_at);
CREATE INDEX completion_check_claimed ON service.completion_check (claimed_key, completion_check_id)
    WHERE claimed_key IS NOT NULL;
CREATE INDEX completion_check_unclaimed ON service.completion_check (completion_check_id)
    WHERE state = 'manual' AND claimed_key IS NULL;
CALL service.guard('service.completion_check', 'provider_id = (SELECT service.scope_provider_id())', 'completion_check_id',
    states => true, personal => ARRAY['decision_reason']);

-- A visit of a partner is owed a check as soon as it is completed, in whatever way.
CREATE FUNCTION service.owe_completion_check() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.completion_check (visit_id, provider_id, technician_id, completed_at)
    SELECT NEW.visit_id, h.provider_id, h.technician_id, coalesce(NEW.ended_at, service.current_time_of_call())
    FROM service.technician h
    WHERE h.technician_id = NEW.technician_id AND h.provider_id IS NOT NULL
    ON CONFLICT (visit_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER completion_owed AFTER UPDATE OF state ON service.visit FOR EACH ROW
    WHEN (NEW.state = 'completed' AND OLD.state <> 'completed') EXECUTE FUNCTION service.owe_completion_check();

-- Each time that rules judged a visit: what they saw, what they found. Append-only; holds actor and time itself.
CREATE TABLE service.completion_run (
    completion_run_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    completion_check_id  bigint NOT NULL REFERENCES service.completion_check,
    -- 1, 2, 3 … of its check.
    number               integer NOT NULL CHECK (number > 0),
    rule_set_id          bigint NOT NULL REFERENCES service.completion_rule_set,
    -- Its number, for partners, who do not see the set.
    rule_set_version     integer NOT NULL,
    -- What the rules saw (api/completion_audit/facts.py): numbers and codes, no person's words.
    facts                jsonb NOT NULL,
    findings             jsonb NOT NULL,
    verdict              text NOT NULL CHECK (verdict IN ('passed', 'rejected', 'manual')),
    actor                text NOT NULL,
    at                   timestamptz NOT NULL,
    UNIQUE (completion_check_id, number)
);
CREATE INDEX completion_run_rule_set_id ON service.completion_run (rule_set_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_run
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_run', 'EXISTS (SELECT FROM service.completion_check c '
    'WHERE c.completion_check_id = completion_run.completion_check_id)', 'completion_run_id', audited => false);

-- What people did about a check: corrected, objected, claimed, decided. Append-only but for the erasure of a person; holds
-- actor and time itself.
CREATE TABLE service.completion_step (
    completion_step_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    completion_check_id  bigint NOT NULL REFERENCES service.completion_check,
    action               text NOT NULL
                         CHECK (action IN ('correct', 'object', 'recheck', 'claim', 'assign', 'release', 'accept', 'refuse',
                                           'reopen')),
    from_state           text NOT NULL,
    to_state             text NOT NULL,
    reason               text NOT NULL DEFAULT '',
    -- Of a correction: what of the report is otherwise (api/completion_audit/models.py, Correction).
    content              jsonb NOT NULL DEFAULT '{}',
    actor                text NOT NULL,
    -- 'user:3', 'key:12'.
    actor_key            text NOT NULL,
    at                   timestamptz NOT NULL
);
CREATE INDEX completion_step_check ON service.completion_step (completion_check_id, completion_step_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_step
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_step', 'EXISTS (SELECT FROM service.completion_check c '
    'WHERE c.completion_check_id = completion_step.completion_check_id)', 'completion_step_id', audited => false,
    personal => ARRAY['reason', 'content']);

-- What holds until the house has decided: what is surely wrong is rejected, what is odd goes to a person. Ranges of fees
-- and numbers of photos are for the house to say; a copy of this set is where to begin.
INSERT INTO service.completion_rule_set
    (number, name, note, state, rules, active_from, activated_by, created_at, created_by)
VALUES (1, 'House rules', 'As careloop comes.', 'active', '[
{"code": "report", "kind": "report", "verdict": "reject", "parameters": {}},
{"code": "serial", "kind": "serial", "verdict": "reject", "parameters": {"must_match": true}},
{"code": "fault-code", "kind": "fault_code", "verdict": "reject",
 "parameters": {"levels": ["symptom", "fault", "cause", "remedy"], "if_not_solved": false},
 "scope": {"job_kinds": ["repair", "complaint", "return", "exchange", "recall"]}},
{"code": "signature", "kind": "signature", "verdict": "reject", "parameters": {"reason_suffices": true}},
{"code": "charged-in-warranty", "kind": "charged_though_covered", "verdict": "reject",
 "parameters": {"tolerance_minor": 0, "with_agreed_fees": false}},
{"code": "free-out-of-warranty", "kind": "free_though_not_covered", "verdict": "manual",
 "parameters": {"tolerance_minor": 0}, "scope": {"job_kinds": ["repair", "complaint"]}},
{"code": "warranty-claim", "kind": "warranty_claim", "verdict": "manual", "parameters": {}},
{"code": "installed-twice", "kind": "second_installation", "verdict": "manual", "parameters": {}},
{"code": "twice-a-day", "kind": "twice_a_day", "verdict": "manual",
 "parameters": {"whose": "provider", "same_job_too": false}},
{"code": "rework", "kind": "rework", "verdict": "manual",
 "parameters": {"within_days": 30, "same": "either", "same_provider": true}},
{"code": "parts-against-stock", "kind": "parts_against_stock", "verdict": "manual",
 "parameters": {"billed_too": true, "tolerance": 0}},
{"code": "part-does-not-fit", "kind": "part_does_not_fit", "verdict": "manual", "parameters": {}},
{"code": "part-serial", "kind": "part_serial", "verdict": "reject", "parameters": {}},
{"code": "replaced-without-part", "kind": "replaced_without_part", "verdict": "manual", "parameters": {}},
{"code": "travel-distance", "kind": "travel_distance", "verdict": "manual",
 "parameters": {"factor": 1.4, "ways": 2, "allowance_km": 5}},
{"code": "labour-beyond-presence", "kind": "labour_beyond_presence", "verdict": "manual",
 "parameters": {"factor": 1, "allowance_minutes": 15}},
{"code": "time-order", "kind": "time_order", "verdict": "manual",
 "parameters": {"tolerance_minutes": 5, "past_appointment_hours": null}},
{"code": "photo-reused", "kind": "photo_reused", "verdict": "manual", "parameters": {}, "told": false},
{"code": "photos", "kind": "photos", "verdict": "note", "parameters": {"least": 1}},
{"code": "old-part", "kind": "old_part", "verdict": "note", "parameters": {}},
{"code": "far-from-site", "kind": "far_from_site", "verdict": "note", "parameters": {"most_km": 0.5}},
{"code": "clock-off", "kind": "clock_off", "verdict": "note", "parameters": {"most_minutes": 15}},
{"code": "told-late", "kind": "told_late", "verdict": "note", "parameters": {"most_hours": 24, "after_the_end": null}}
]', '2000-01-01 00:00Z', 'careloop', '2000-01-01 00:00Z', 'careloop');

-- Guarded only now: what careloop comes with is no change for a feed.
CALL service.guard('service.completion_rule_set', 'false', 'rule_set_id', states => true);

-- Settlement: what partners are paid for visits, by which rule, on which statement; in minor units, rates in basis points
-- (docs/decisions/0033-settlement.md).

-- Rate cards ---------------------------------------------------------------------------------------

-- Cards for the same partners are versions of one another: the latest that began by a day holds on it. What is active
-- never changes but for its last day.
CREATE TABLE service.rate_card (
    rate_card_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    -- Whom it is for: one partner, else partners of a level, else work in a country; null or empty for any.
    provider_id   bigint REFERENCES service.provider,
    level         text NOT NULL DEFAULT '',
    country       text NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{2})?$'),
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from    date NOT NULL,
    -- The last day; null until another one follows.
    valid_until   date CHECK (valid_until >= valid_from),
    state         text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'active', 'withdrawn')),
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    activated_at  timestamptz,
    version       integer NOT NULL DEFAULT 1,
    CHECK (provider_id IS NULL OR level = ''),
    CHECK (state <> 'active' OR activated_at IS NOT NULL)
);
-- On a day one version holds, so what is paid in which currency is never a matter of chance.
CREATE UNIQUE INDEX rate_card_version ON service.rate_card (coalesce(provider_id, 0), level, country, valid_from)
    WHERE state = 'active';
CREATE INDEX rate_card_provider_id ON service.rate_card (provider_id, rate_card_id);
CREATE INDEX rate_card_state ON service.rate_card (state, rate_card_id);

CREATE TABLE service.rate_card_line (
    rate_card_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rate_card_id       bigint NOT NULL REFERENCES service.rate_card ON DELETE CASCADE,
    place              integer NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('labour', 'travel', 'parts', 'subsidy', 'reward', 'penalty')),
    -- What the rule is called on statements, e.g. 'pump change'.
    code               text NOT NULL,
    -- Which work it is for; empty or null for any. Kind of the ticket, or 'plan'.
    job_type           text NOT NULL DEFAULT '',
    skill              text NOT NULL DEFAULT '',
    territory          text NOT NULL DEFAULT '',
    in_warranty        boolean,
    -- What must be so besides; for the service level, of which clock.
    condition          text NOT NULL DEFAULT ''
                       CHECK (condition IN ('', 'first_time_fix', 'repeat_visit', 'sla_kept', 'sla_breached')),
    clock              text NOT NULL DEFAULT '' CHECK (clock IN ('', 'first_response', 'appointment', 'solution')),
    -- What is counted: a visit, an hour planned or worked, a kilometre, a piece, or a share.
    basis              text NOT NULL CHECK (basis IN ('visit', 'standard_hour', 'worked_hour', 'kilometre', 'piece',
                           'percent_of_parts', 'percent_of_labour')),
    -- Of travel: the band begins at it.
    from_km            integer NOT NULL DEFAULT 0 CHECK (from_km >= 0),
    -- For one of what is counted; of a share, basis points.
    amount_minor       bigint CHECK (amount_minor >= 0),
    percent_bp         integer CHECK (percent_bp >= 0),
    UNIQUE (rate_card_id, place),
    CHECK ((clock <> '') = (condition IN ('sla_kept', 'sla_breached'))),
    CHECK ((basis LIKE 'percent%') = (percent_bp IS NOT NULL) AND num_nonnulls(amount_minor, percent_bp) = 1)
);

CREATE FUNCTION service.keep_rate_card() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.state <> 'draft' AND NOT service.is_erasing() AND
       (NEW.provider_id, NEW.level, NEW.country, NEW.currency, NEW.valid_from) IS DISTINCT FROM
       (OLD.provider_id, OLD.level, OLD.country, OLD.currency, OLD.valid_from) THEN
        RAISE EXCEPTION 'rate card % is %; make another version', OLD.rate_card_id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rate_card_frozen';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE ON service.rate_card FOR EACH ROW EXECUTE FUNCTION service.keep_rate_card();

CREATE FUNCTION service.keep_rate_card_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    of_card bigint := CASE TG_OP WHEN 'DELETE' THEN OLD.rate_card_id ELSE NEW.rate_card_id END;
BEGIN
    PERFORM FROM service.rate_card c WHERE c.rate_card_id = of_card AND c.state <> 'draft';
    IF FOUND AND NOT service.is_erasing() THEN
        RAISE EXCEPTION 'rate card % is no draft; make another version', of_card
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rate_card_frozen';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER frozen BEFORE INSERT OR UPDATE OR DELETE ON service.rate_card_line
    FOR EACH ROW EXECUTE FUNCTION service.keep_rate_card_lines();

-- Which visits are to be settled ---------------------------------------------------------------------

-- A row for each visit of a partner's that is owed a completion check; a trigger makes it, so that nobody has to look.
CREATE TABLE service.visit_settlement (
    visit_id        bigint PRIMARY KEY REFERENCES service.visit,
    provider_id     bigint NOT NULL REFERENCES service.provider,
    state           text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'blocked', 'settled')),
    -- Of what is blocked: why, as a code and in words, and what it would pay.
    reason          text NOT NULL DEFAULT '',
    detail          text NOT NULL DEFAULT '',
    currency        text,
    expected_minor  bigint,
    -- The day of the visit, where the machine stands.
    on_day          date,
    judged_at       timestamptz,
    -- When to look at it again.
    next_at         timestamptz,
    settled_at      timestamptz,
    CHECK ((state = 'blocked') = (reason <> '')),
    CHECK ((state = 'settled') = (settled_at IS NOT NULL)),
    CHECK ((state = 'settled') = (next_at IS NULL))
);
CREATE INDEX visit_settlement_next ON service.visit_settlement (next_at, visit_id) WHERE next_at IS NOT NULL;
CREATE INDEX visit_settlement_provider_id ON service.visit_settlement (provider_id, visit_id);
CREATE INDEX visit_settlement_state ON service.visit_settlement (state, visit_id);
CREATE INDEX visit_settlement_reason ON service.visit_settlement (reason, visit_id) WHERE state = 'blocked';
CREATE INDEX visit_settlement_day ON service.visit_settlement (on_day, visit_id);

-- Whatever the audit says of a visit, the settlement looks at it again.
CREATE FUNCTION service.enlist_visit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.visit_settlement AS s (visit_id, provider_id, next_at)
    VALUES (NEW.visit_id, NEW.provider_id, service.current_time_of_call())
    ON CONFLICT (visit_id) DO UPDATE SET next_at = EXCLUDED.next_at WHERE s.state <> 'settled';
    RETURN NULL;
END
$$;
CREATE TRIGGER enlisted AFTER INSERT OR UPDATE OF state ON service.completion_check
    FOR EACH ROW EXECUTE FUNCTION service.enlist_visit();
INSERT INTO service.visit_settlement (visit_id, provider_id, next_at)
SELECT visit_id, provider_id, completed_at FROM service.completion_check;

-- The same when an old part comes back, or is written off.
CREATE FUNCTION service.look_again_at_visit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.visit_settlement SET next_at = service.current_time_of_call()
    WHERE visit_id = NEW.visit_id AND state = 'blocked';
    RETURN NULL;
END
$$;
CREATE TRIGGER settled_again AFTER UPDATE OF state, due_by ON service.old_part
    FOR EACH ROW EXECUTE FUNCTION service.look_again_at_visit();

-- Entries of partners' parts accounts that no statement has yet; those that a statement books there itself are none.
CREATE TABLE service.entry_to_settle (
    partner_entry_id  bigint PRIMARY KEY REFERENCES service.partner_entry
);
CREATE FUNCTION service.enlist_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.entry_to_settle VALUES (NEW.partner_entry_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER enlisted AFTER INSERT ON service.partner_entry
    FOR EACH ROW WHEN (NEW.cause_kind <> 'statement') EXECUTE FUNCTION service.enlist_entry();
INSERT INTO service.entry_to_settle SELECT partner_entry_id FROM service.partner_entry WHERE cause_kind <> 'statement';

-- Statements ---------------------------------------------------------------------------------------

-- A month that is closed: its statements and their lines stay as they are.
CREATE TABLE service.settlement_period (
    month      date PRIMARY KEY CHECK (extract(day FROM month) = 1),
    closed_at  timestamptz NOT NULL,
    closed_by  text NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.settlement_period
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

CREATE TABLE service.statement (
    statement_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id        bigint NOT NULL REFERENCES service.provider,
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    month              date NOT NULL CHECK (extract(day FROM month) = 1),
    state              text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'issued', 'disputed', 'agreed', 'paid')),
    -- The sum of its lines and their number; kept by a trigger of the lines alone.
    total_minor        bigint NOT NULL DEFAULT 0,
    line_count         integer NOT NULL DEFAULT 0 CHECK (line_count >= 0),
    created_at         timestamptz NOT NULL,
    issued_at          timestamptz,
    agreed_at          timestamptz,
    agreed_by          text,
    closed_at          timestamptz,
    paid_at            timestamptz,
    payment_reference  text,
    version            integer NOT NULL DEFAULT 1,
    UNIQUE (provider_id, currency, month),
    CHECK ((state = 'draft') = (issued_at IS NULL)),
    CHECK ((state IN ('agreed', 'paid')) = (agreed_at IS NOT NULL)),
    CHECK ((state = 'paid') = (paid_at IS NOT NULL) AND (paid_at IS NULL) = (payment_reference IS NULL)),
    CHECK (closed_at IS NULL OR state <> 'draft')
);
CREATE INDEX statement_provider_id ON service.statement (provider_id, statement_id);
CREATE INDEX statement_month ON service.statement (month, statement_id);
CREATE INDEX statement_state ON service.statement (state, statement_id);
CREATE INDEX statement_currency ON service.statement (currency, statement_id);

CREATE FUNCTION service.keep_statement() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'statement % stays', OLD.statement_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'statement_frozen';
    END IF;
    IF NOT service.is_erasing() AND (
       (NEW.provider_id, NEW.currency, NEW.month) IS DISTINCT FROM (OLD.provider_id, OLD.currency, OLD.month)
       OR (OLD.closed_at IS NOT NULL OR OLD.state IN ('agreed', 'paid')) AND
          (NEW.total_minor, NEW.line_count) IS DISTINCT FROM (OLD.total_minor, OLD.line_count)
       OR OLD.closed_at IS NOT NULL AND NEW.closed_at IS DISTINCT FROM OLD.closed_at
       OR OLD.state = 'paid' AND (NEW.state, NEW.paid_at, NEW.payment_reference) IS DISTINCT FROM
          (OLD.state, OLD.paid_at, OLD.payment_reference)) THEN
        RAISE EXCEPTION 'statement % is closed, agreed or paid; correct it in the open period', OLD.statement_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'statement_frozen';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON service.statement
    FOR EACH ROW EXECUTE FUNCTION service.keep_statement();

CREATE TABLE service.statement_line (
    statement_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement_id       bigint NOT NULL REFERENCES service.statement,
    -- Where it comes from: a visit by a rate card, the partner's parts account, somebody's adjustment.
    source             text NOT NULL CHECK (source IN ('visit', 'parts_account', 'adjustment')),
    kind               text NOT NULL CHECK (kind IN ('labour', 'travel', 'parts', 'subsidy', 'reward', 'penalty',
                           'parts_charge', 'parts_credit', 'correction')),
    visit_id           bigint REFERENCES service.visit,
    ticket_id          bigint REFERENCES service.ticket,
    -- The day of the visit, or of what else it is for.
    on_day             date NOT NULL,
    -- The rule that made it.
    rate_card_id       bigint REFERENCES service.rate_card,
    rate_card_line_id  bigint REFERENCES service.rate_card_line,
    code               text NOT NULL,
    -- What of the visit it is for, where a rule makes several: the SKU.
    subject            text NOT NULL DEFAULT '',
    description        text NOT NULL,
    quantity           bigint NOT NULL,
    unit               text NOT NULL CHECK (unit IN ('visit', 'minute', 'metre', 'piece', 'minor', 'flat')),
    -- Of `price_per` units: 60 for an hour, 1000 for a kilometre, 10000 for a share in basis points, else 1.
    price_minor        bigint NOT NULL,
    price_per          integer NOT NULL CHECK (price_per > 0),
    amount_minor       bigint NOT NULL,
    -- Of a correction: the line that it corrects.
    of_line_id         bigint REFERENCES service.statement_line,
    -- Of the parts account: which entry.
    account_entry_id   bigint REFERENCES service.partner_entry,
    created_at         timestamptz NOT NULL,
    created_by         text NOT NULL,
    -- The rounding, once more: to the nearest minor unit, a half away from zero.
    CONSTRAINT line_adds_up CHECK (amount_minor = round(quantity::numeric * price_minor / price_per)),
    CHECK (source <> 'visit' OR num_nulls(visit_id, rate_card_id, rate_card_line_id) = 0),
    CHECK ((source = 'parts_account') = (account_entry_id IS NOT NULL))
);
-- A visit is paid once by each rule for each of its parts, however often the settlement runs.
CREATE UNIQUE INDEX statement_line_once ON service.statement_line (visit_id, kind, code, subject) WHERE source = 'visit';
CREATE UNIQUE INDEX statement_line_entry ON service.statement_line (account_entry_id) WHERE account_entry_id IS NOT NULL;
CREATE INDEX statement_line_statement ON service.statement_line (statement_id, statement_line_id);
CREATE INDEX statement_line_visit_id ON service.statement_line (visit_id, statement_line_id);
CREATE INDEX statement_line_ticket_id ON service.statement_line (ticket_id);
CREATE INDEX statement_line_rate_card_id ON service.statement_line (rate_card_id);
CREATE INDEX statement_line_rate_card_line_id ON service.statement_line (rate_card_line_id);
CREATE INDEX statement_line_of_line_id ON service.statement_line (of_line_id);

-- Lines with whose they are and in which currency.
CREATE VIEW service.line_of_statement WITH (security_invoker = true) AS
SELECT l.*, s.provider_id, s.currency
FROM service.statement_line l
JOIN service.statement s USING (statement_id);

-- Sums follow lines, and lines come only where they may.
CREATE FUNCTION service.account_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    named   integer;
    written integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT count(DISTINCT statement_id) INTO named FROM lines;
        UPDATE service.statement s
        SET total_minor = s.total_minor + n.amount, line_count = s.line_count + n.counted, version = s.version + 1
        FROM (SELECT statement_id, sum(amount_minor)::bigint AS amount, count(*) AS counted FROM lines GROUP BY 1) AS n
        WHERE s.statement_id = n.statement_id AND s.closed_at IS NULL AND s.state IN ('draft', 'disputed');
    ELSE
        SELECT count(DISTINCT statement_id) INTO named FROM lines;
        UPDATE service.statement s
        SET total_minor = s.total_minor - n.amount, line_count = s.line_count - n.counted, version = s.version + 1
        FROM (SELECT statement_id, sum(amount_minor)::bigint AS amount, count(*) AS counted FROM lines GROUP BY 1) AS n
        WHERE s.statement_id = n.statement_id AND s.state = 'draft';
    END IF;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> named THEN
        RAISE EXCEPTION 'a statement is issued or closed; its lines stay, correct it in the open period'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'statement_frozen';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounted AFTER INSERT ON service.statement_line
    REFERENCING NEW TABLE AS lines FOR EACH STATEMENT EXECUTE FUNCTION service.account_lines();
CREATE TRIGGER accounted_again AFTER DELETE ON service.statement_line
    REFERENCING OLD TABLE AS lines FOR EACH STATEMENT EXECUTE FUNCTION service.account_lines();

CREATE FUNCTION service.keep_statement_line() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF service.is_erasing() AND (NEW.statement_id, NEW.quantity, NEW.price_minor, NEW.price_per, NEW.amount_minor)
       IS NOT DISTINCT FROM (OLD.statement_id, OLD.quantity, OLD.price_minor, OLD.price_per, OLD.amount_minor) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'line % stays as it is; correct it by a new one', OLD.statement_line_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'statement_frozen';
END
$$;
CREATE TRIGGER frozen BEFORE UPDATE ON service.statement_line
    FOR EACH ROW EXECUTE FUNCTION service.keep_statement_line();

-- Disputes -----------------------------------------------------------------------------------------

CREATE TABLE service.statement_dispute (
    dispute_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement_id        bigint NOT NULL REFERENCES service.statement,
    statement_line_id   bigint NOT NULL REFERENCES service.statement_line,
    provider_id         bigint NOT NULL REFERENCES service.provider,
    state               text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'rejected', 'withdrawn')),
    reason              text NOT NULL CHECK (reason <> ''),
    -- What the line should be, if that is said.
    wanted_minor        bigint,
    opened_at           timestamptz NOT NULL,
    opened_by           text NOT NULL,
    resolution          text NOT NULL DEFAULT '',
    resolved_at         timestamptz,
    resolved_by         text,
    -- The correction that came of it.
    correction_line_id  bigint REFERENCES service.statement_line,
    version             integer NOT NULL DEFAULT 1,
    CHECK ((state = 'open') = (resolved_at IS NULL)),
    CHECK ((state = 'accepted') = (correction_line_id IS NOT NULL))
);
CREATE UNIQUE INDEX statement_dispute_one_open ON service.statement_dispute (statement_line_id) WHERE state = 'open';
CREATE INDEX statement_dispute_line ON service.statement_dispute (statement_line_id);
CREATE INDEX statement_dispute_statement ON service.statement_dispute (statement_id, dispute_id);
CREATE INDEX statement_dispute_provider_id ON service.statement_dispute (provider_id, dispute_id);
CREATE INDEX statement_dispute_state ON service.statement_dispute (state, dispute_id);
CREATE INDEX statement_dispute_correction ON service.statement_dispute (correction_line_id);

CREATE TABLE service.dispute_message (
    dispute_message_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispute_id          bigint NOT NULL REFERENCES service.statement_dispute,
    -- Who says it: the partner, or we.
    side                text NOT NULL CHECK (side IN ('partner', 'staff')),
    author              text NOT NULL,
    body                text NOT NULL CHECK (body <> ''),
    at                  timestamptz NOT NULL
);
CREATE INDEX dispute_message_dispute ON service.dispute_message (dispute_id, dispute_message_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.dispute_message
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Who sees what ------------------------------------------------------------------------------------

-- A partner sees the cards that may be its own, once they hold; customers see nothing of it all.
CALL service.guard('service.rate_card',
    'state <> ''draft'' AND (provider_id = (SELECT service.scope_provider_id()) OR provider_id IS NULL AND EXISTS ('
    'SELECT FROM service.provider p WHERE p.provider_id = (SELECT service.scope_provider_id()) '
    'AND rate_card.level IN ('''', p.level)))', 'rate_card_id', states => true);
CALL service.guard('service.rate_card_line',
    'EXISTS (SELECT FROM service.rate_card c WHERE c.rate_card_id = rate_card_line.rate_card_id)', 'rate_card_line_id');
CALL service.guard('service.visit_settlement', 'provider_id = (SELECT service.scope_provider_id())', 'visit_id',
    audited => false, personal => ARRAY['detail']);
CALL service.guard('service.entry_to_settle', 'false', 'partner_entry_id', audited => false);
CALL service.guard('service.settlement_period', '(SELECT service.scope_provider_id()) IS NOT NULL', 'month',
    audited => false);
CALL service.guard('service.statement', 'provider_id = (SELECT service.scope_provider_id())', 'statement_id', states => true);
-- Its lines hold who made them and when, and never change.
CALL service.guard('service.statement_line',
    'EXISTS (SELECT FROM service.statement s WHERE s.statement_id = statement_line.statement_id)', 'statement_line_id',
    audited => false);
CALL service.guard('service.statement_dispute', 'provider_id = (SELECT service.scope_provider_id())', 'dispute_id',
    states => true, personal => ARRAY['reason', 'resolution']);
CALL service.guard('service.dispute_message',
    'EXISTS (SELECT FROM service.statement_dispute d WHERE d.dispute_id = dispute_message.dispute_id)',
    'dispute_message_id', audited => false, personal => ARRAY['body']);

-- What will be wanted where, as the predictor foresees it; what to keep, move and buy for it, and what was decided
-- (docs/decisions/0034-demand-and-stocking.md).

CREATE TABLE service.demand_forecast (
    demand_forecast_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    as_of               timestamptz NOT NULL,
    method              text NOT NULL,
    -- How often stocks are looked at: what is ordered must last until the next time has come in.
    review_days         integer NOT NULL CHECK (review_days BETWEEN 1 AND 366),
    created_at          timestamptz NOT NULL,
    created_by          text NOT NULL,
    -- All its lines are there; before that nothing is planned by it.
    completed_at        timestamptz,
    -- When the last of its times had passed and all its lines were compared with what was used.
    scored_at           timestamptz,
    CHECK (scored_at IS NULL OR completed_at IS NOT NULL)
);
CREATE INDEX demand_forecast_unscored ON service.demand_forecast (demand_forecast_id)
    WHERE completed_at IS NOT NULL AND scored_at IS NULL;
CREATE INDEX demand_forecast_complete ON service.demand_forecast (as_of, demand_forecast_id) WHERE completed_at IS NOT NULL;

CREATE TABLE service.demand_forecast_line (
    demand_forecast_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    demand_forecast_id       bigint NOT NULL REFERENCES service.demand_forecast,
    warehouse_id             bigint NOT NULL REFERENCES service.warehouse,
    part_id                  bigint NOT NULL REFERENCES service.part,
    -- From the forecast's time on: until what is ordered at the next look is there.
    covered_days             integer NOT NULL CHECK (covered_days BETWEEN 1 AND 3660),
    ends_at                  timestamptz NOT NULL,
    mean                     double precision NOT NULL CHECK (mean >= 0),
    -- The probability of 0, 1, 2 … pieces; the last is of "so many or more".
    chance                   double precision[] NOT NULL CHECK (cardinality(chance) BETWEEN 1 AND 1000),
    -- So many pieces are enough with 50, 90 and 95 per cent.
    enough_50                integer NOT NULL,
    enough_90                integer NOT NULL,
    enough_95                integer NOT NULL,
    -- Expected pieces by where they are foreseen from; together the mean.
    from_history             double precision NOT NULL,
    from_predictions         double precision NOT NULL,
    from_plans               double precision NOT NULL,
    -- What was used until its end; null before.
    used                     bigint,
    UNIQUE (demand_forecast_id, warehouse_id, part_id)
);
CREATE INDEX demand_forecast_line_of ON service.demand_forecast_line (demand_forecast_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_warehouse ON service.demand_forecast_line (warehouse_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_part ON service.demand_forecast_line (part_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_due ON service.demand_forecast_line (ends_at, demand_forecast_line_id) WHERE used IS NULL;

CREATE TABLE service.stocking_run (
    stocking_run_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    demand_forecast_id   bigint NOT NULL REFERENCES service.demand_forecast,
    -- Only for this warehouse; null for all.
    warehouse_id         bigint REFERENCES service.warehouse,
    service_level        double precision NOT NULL CHECK (service_level > 0 AND service_level < 1),
    budget_minor         bigint NOT NULL CHECK (budget_minor >= 0),
    currency             text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    spent_minor          bigint NOT NULL CHECK (spent_minor BETWEEN 0 AND budget_minor),
    -- Expected over the covered times: pieces wanted, and pieces short without and with what is proposed.
    wanted               double precision NOT NULL,
    short_before         double precision NOT NULL,
    short_after          double precision NOT NULL,
    -- [[money spent, service level reached], …]: beyond the budget, too.
    curve                jsonb NOT NULL,
    -- What could not be considered, by the reason: how many parts × warehouses.
    left_out             jsonb NOT NULL,
    created_at           timestamptz NOT NULL,
    created_by           text NOT NULL
);
CREATE INDEX stocking_run_forecast ON service.stocking_run (demand_forecast_id);
CREATE INDEX stocking_run_warehouse ON service.stocking_run (warehouse_id) WHERE warehouse_id IS NOT NULL;

CREATE TABLE service.stocking_proposal (
    stocking_proposal_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stocking_run_id       bigint NOT NULL REFERENCES service.stocking_run,
    kind                  text NOT NULL CHECK (kind IN ('levels', 'transfer', 'purchase')),
    part_id               bigint NOT NULL REFERENCES service.part,
    warehouse_id          bigint NOT NULL REFERENCES service.warehouse,
    from_warehouse_id     bigint REFERENCES service.warehouse,
    quantity              integer CHECK (quantity > 0),
    min_quantity          integer CHECK (min_quantity >= 0),
    max_quantity          integer CHECK (max_quantity >= min_quantity),
    -- What held before, of levels.
    min_before            integer,
    max_before            integer,
    cost_minor            bigint NOT NULL CHECK (cost_minor >= 0),
    currency              text NOT NULL,
    -- Expected pieces short that it avoids.
    avoided               double precision NOT NULL,
    reason                text NOT NULL,
    state                 text NOT NULL DEFAULT 'proposed'
                          CHECK (state IN ('proposed', 'accepted', 'rejected', 'superseded')),
    decided_by            text,
    decided_at            timestamptz,
    decision              text NOT NULL DEFAULT '',
    -- What came of it.
    transfer_id           bigint REFERENCES service.transfer,
    purchase_line_id      bigint REFERENCES service.purchase_line,
    version               integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'levels') = (min_quantity IS NOT NULL AND max_quantity IS NOT NULL AND quantity IS NULL)),
    CHECK ((kind = 'transfer') = (from_warehouse_id IS NOT NULL)),
    CHECK (from_warehouse_id <> warehouse_id),
    CHECK ((state = 'proposed') = (decided_at IS NULL))
);
CREATE INDEX stocking_proposal_run ON service.stocking_proposal (stocking_run_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_part ON service.stocking_proposal (part_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_warehouse ON service.stocking_proposal (warehouse_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_origin ON service.stocking_proposal (from_warehouse_id) WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stocking_proposal_kind ON service.stocking_proposal (kind, stocking_proposal_id);
CREATE INDEX stocking_proposal_state ON service.stocking_proposal (state, stocking_proposal_id);
CREATE INDEX stocking_proposal_transfer ON service.stocking_proposal (transfer_id) WHERE transfer_id IS NOT NULL;
CREATE INDEX stocking_proposal_purchase ON service.stocking_proposal (purchase_line_id) WHERE purchase_line_id IS NOT NULL;

CALL service.guard('service.demand_forecast', 'false', 'demand_forecast_id');
CALL service.guard('service.demand_forecast_line', 'false', 'demand_forecast_line_id', audited => false);
CALL service.guard('service.stocking_run', 'false', 'stocking_run_id', hidden => ARRAY['curve']);
CALL service.guard('service.stocking_proposal', 'false', 'stocking_proposal_id', states => true);
