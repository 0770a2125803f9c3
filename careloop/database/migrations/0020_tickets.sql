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
    ADD COLUMN contact_id      bigint,
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

-- The contact belongs to a customer; where the customers' migration is not there yet, the key comes with it.
DO $$
BEGIN
    IF to_regclass('service.contact') IS NOT NULL THEN
        ALTER TABLE service.ticket ADD FOREIGN KEY (contact_id) REFERENCES service.contact;
    END IF;
END
$$;

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
CREATE INDEX ticket_queue ON service.ticket (queue, ticket_id) WHERE queue IS NOT NULL;
CREATE INDEX ticket_queue_active ON service.ticket (queue, ticket_id)
    WHERE queue IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_unclaimed ON service.ticket (queue, ticket_id) WHERE owner_user_id IS NULL AND state = 'open';
CREATE INDEX ticket_unclaimed_any ON service.ticket (ticket_id) WHERE owner_user_id IS NULL AND state = 'open';
CREATE INDEX ticket_due ON service.ticket (due_by, ticket_id)
    WHERE due_by IS NOT NULL AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');
CREATE INDEX ticket_contact ON service.ticket (contact_id, ticket_id) WHERE contact_id IS NOT NULL;
CREATE INDEX ticket_merged_into ON service.ticket (merged_into) WHERE merged_into IS NOT NULL;

-- Whoever writes: what was seen at the opening stays as it was, and the time of the last change is kept.
CREATE FUNCTION service.keep_ticket() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.evidence IS DISTINCT FROM OLD.evidence THEN
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
