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
