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
