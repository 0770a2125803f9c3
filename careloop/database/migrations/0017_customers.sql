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
