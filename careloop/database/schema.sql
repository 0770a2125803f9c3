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
