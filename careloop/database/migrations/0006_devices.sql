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
