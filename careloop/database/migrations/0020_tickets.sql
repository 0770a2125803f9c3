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
