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
