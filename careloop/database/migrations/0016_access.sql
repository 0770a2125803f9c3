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
