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
