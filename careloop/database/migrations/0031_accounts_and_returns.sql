-- Who bears a part that was used, what a partner owes for parts, and what became of the parts taken out
-- (docs/decisions/0031-partner-accounts-and-old-parts.md).

-- The partner's parts account ----------------------------------------------------------------------

-- One for each partner and currency. The balance is what the partner owes: it rises with what is bought and falls with
-- what is claimed back and paid. A trigger of the journal derives it, under the account's lock.
CREATE TABLE service.partner_account (
    partner_account_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id         bigint NOT NULL REFERENCES service.provider,
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What it may owe for parts bought; null while no limit is agreed.
    limit_minor         bigint CHECK (limit_minor >= 0),
    -- What a part claimed back earns besides its price: so much a piece, and so many hundredths of a percent of the price.
    handling_minor      bigint NOT NULL DEFAULT 0 CHECK (handling_minor >= 0),
    handling_bp         integer NOT NULL DEFAULT 0 CHECK (handling_bp BETWEEN 0 AND 10000),
    balance_minor       bigint NOT NULL DEFAULT 0,
    last_entry_at       timestamptz,
    opened_at           timestamptz NOT NULL,
    version             integer NOT NULL DEFAULT 1,
    UNIQUE (provider_id, currency)
);
CALL service.guard('service.partner_account', 'provider_id = (SELECT service.scope_provider_id())', 'partner_account_id',
    hidden => ARRAY['balance_minor', 'last_entry_at']);

-- Append-only; an error is answered by a reversal.
CREATE TABLE service.partner_entry (
    partner_entry_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_account_id  bigint NOT NULL REFERENCES service.partner_account,
    kind                text NOT NULL CHECK (kind IN ('charge', 'credit', 'handling', 'payment', 'adjustment', 'reversal')),
    -- What the partner owes more by it; less where negative.
    amount_minor        bigint NOT NULL CHECK (amount_minor <> 0),
    -- After it.
    balance_minor       bigint NOT NULL,
    -- Why, e.g. 'transfer' and '12'; a paper's number stands behind 'paper'. A cause books once.
    cause_kind          text NOT NULL CHECK (cause_kind ~ '^[a-z_]{1,40}$'),
    cause_key           text NOT NULL CHECK (cause_key <> ''),
    text                text NOT NULL DEFAULT '',
    ticket_id           bigint REFERENCES service.ticket,
    part_id             bigint REFERENCES service.part,
    quantity            integer CHECK (quantity > 0),
    -- Which entry it takes back; each may be taken back once.
    reverses_id         bigint UNIQUE REFERENCES service.partner_entry,
    actor               text NOT NULL DEFAULT service.current_actor(),
    -- The journal's time never runs backwards, so that what a statement said stays true.
    at                  timestamptz NOT NULL,
    UNIQUE (partner_account_id, kind, cause_kind, cause_key),
    CHECK ((kind = 'reversal') = (reverses_id IS NOT NULL)),
    CHECK (CASE kind WHEN 'charge' THEN amount_minor > 0 WHEN 'credit' THEN amount_minor < 0
                     WHEN 'handling' THEN amount_minor < 0 WHEN 'payment' THEN amount_minor < 0 ELSE true END),
    CHECK ((part_id IS NULL) = (quantity IS NULL))
);
CREATE INDEX partner_entry_account ON service.partner_entry (partner_account_id, partner_entry_id);
CREATE INDEX partner_entry_period ON service.partner_entry (partner_account_id, at, partner_entry_id);
CREATE INDEX partner_entry_cause ON service.partner_entry (cause_kind, cause_key, partner_entry_id);
CREATE INDEX partner_entry_ticket_id ON service.partner_entry (ticket_id, partner_entry_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX partner_entry_part_id ON service.partner_entry (part_id) WHERE part_id IS NOT NULL;
CALL service.guard('service.partner_entry', 'EXISTS (SELECT FROM service.partner_account a '
    'WHERE a.partner_account_id = partner_entry.partner_account_id)', 'partner_entry_id', audited => false);

-- The account's lock makes entries come one after the other, so that no two charges together exceed the limit.
CREATE FUNCTION service.book_partner_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    after record;
BEGIN
    UPDATE service.partner_account a
    SET balance_minor = a.balance_minor + NEW.amount_minor, last_entry_at = greatest(a.last_entry_at, NEW.at)
    WHERE a.partner_account_id = NEW.partner_account_id
    RETURNING a.balance_minor, a.limit_minor, a.last_entry_at INTO STRICT after;
    IF NEW.kind = 'charge' AND after.balance_minor > after.limit_minor THEN
        RAISE EXCEPTION 'a charge of % brings the balance to %, beyond the limit of %',
                        NEW.amount_minor, after.balance_minor, after.limit_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'within_credit';
    END IF;
    NEW.balance_minor := after.balance_minor;
    NEW.at := after.last_entry_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER book BEFORE INSERT ON service.partner_entry
    FOR EACH ROW EXECUTE FUNCTION service.book_partner_entry();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.partner_entry
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Pieces that a partner bought and still has, at what they cost it: the oldest are used, or given back, first; so what is
-- claimed back is what was paid, whatever the price is by then.
CREATE TABLE service.partner_lot (
    partner_lot_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_entry_id    bigint NOT NULL UNIQUE REFERENCES service.partner_entry,
    partner_account_id  bigint NOT NULL REFERENCES service.partner_account,
    part_id             bigint NOT NULL REFERENCES service.part,
    quantity            integer NOT NULL CHECK (quantity > 0),
    left_quantity       integer NOT NULL,
    -- Of all its pieces together, so that nothing is lost by rounding.
    paid_minor          bigint NOT NULL CHECK (paid_minor >= 0),
    CHECK (left_quantity BETWEEN 0 AND quantity)
);
CREATE INDEX partner_lot_left ON service.partner_lot (partner_account_id, part_id, partner_lot_id) WHERE left_quantity > 0;
CREATE INDEX partner_lot_account ON service.partner_lot (partner_account_id, partner_lot_id);
CREATE INDEX partner_lot_part_id ON service.partner_lot (part_id);
CALL service.guard('service.partner_lot', 'EXISTS (SELECT FROM service.partner_account a '
    'WHERE a.partner_account_id = partner_lot.partner_account_id)', 'partner_lot_id');

-- Who bears a used part ----------------------------------------------------------------------------

-- Decided when the visit is completed, by the warranty's answer; decided otherwise later, the former decision stays with
-- its time of replacement.
CREATE TABLE service.part_bearer (
    part_bearer_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_part_id   bigint NOT NULL REFERENCES service.visit_part,
    visit_id        bigint NOT NULL REFERENCES service.visit,
    ticket_id       bigint REFERENCES service.ticket,
    part_id         bigint NOT NULL REFERENCES service.part,
    -- Whose technician used it, and pieces used less those brought back on the visit.
    provider_id     bigint REFERENCES service.provider,
    quantity        integer NOT NULL CHECK (quantity > 0),
    bearer          text NOT NULL CHECK (bearer IN ('maker', 'customer', 'partner')),
    -- Whose stock it came from: the partner's, which bought it, or the maker's own.
    stock_of        text NOT NULL CHECK (stock_of IN ('partner', 'maker')),
    component       text,
    -- The day that the warranty was asked about.
    judged_on       date,
    -- [{code, text}], the deciding first.
    reasons         jsonb NOT NULL,
    -- What the pieces cost the partner, or would have; null where nobody knows a price.
    currency        text CHECK (currency ~ '^[A-Z]{3}$'),
    worth_minor     bigint CHECK (worth_minor >= 0),
    -- What the partner got for it: positive where credited, negative where charged.
    credited_minor  bigint NOT NULL DEFAULT 0,
    handling_minor  bigint NOT NULL DEFAULT 0,
    by_person       boolean NOT NULL DEFAULT false,
    actor           text NOT NULL DEFAULT service.current_actor(),
    at              timestamptz NOT NULL,
    replaced_at     timestamptz
);
CREATE UNIQUE INDEX part_bearer_of_part ON service.part_bearer (visit_part_id) WHERE replaced_at IS NULL;
CREATE INDEX part_bearer_visit_part_id ON service.part_bearer (visit_part_id, part_bearer_id);
CREATE INDEX part_bearer_visit_id ON service.part_bearer (visit_id, part_bearer_id);
CREATE INDEX part_bearer_ticket_id ON service.part_bearer (ticket_id, part_bearer_id);
CREATE INDEX part_bearer_part_id ON service.part_bearer (part_id, part_bearer_id);
CREATE INDEX part_bearer_provider_id ON service.part_bearer (provider_id, part_bearer_id);
CREATE INDEX part_bearer_bearer ON service.part_bearer (bearer, part_bearer_id);
CALL service.guard('service.part_bearer', 'provider_id = (SELECT service.scope_provider_id())', 'part_bearer_id');

-- Old parts ----------------------------------------------------------------------------------------

-- What becomes of parts taken out; of the rules that fit the one that says most decides (api/returns/rules.py).
CREATE TABLE service.old_part_rule (
    old_part_rule_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Each null for any.
    part_id           bigint REFERENCES service.part,
    model_id          bigint REFERENCES service.product_model,
    manufacturer      text,
    bearer            text CHECK (bearer IN ('maker', 'customer', 'partner')),
    fate              text NOT NULL CHECK (fate IN ('return', 'scrap_on_site', 'none')),
    due_days          integer NOT NULL DEFAULT 30 CHECK (due_days BETWEEN 1 AND 365),
    -- Scrapping on site is to be shown by photos.
    evidence          boolean NOT NULL DEFAULT false,
    reason            text NOT NULL,
    created_at        timestamptz NOT NULL,
    actor             text NOT NULL DEFAULT service.current_actor(),
    ended_at          timestamptz
);
CREATE INDEX old_part_rule_part_id ON service.old_part_rule (part_id, old_part_rule_id);
CREATE INDEX old_part_rule_model_id ON service.old_part_rule (model_id, old_part_rule_id);
CREATE UNIQUE INDEX old_part_rule_of ON service.old_part_rule
    (coalesce(part_id, 0), coalesce(model_id, 0), coalesce(manufacturer, ''), coalesce(bearer, '')) WHERE ended_at IS NULL;
CALL service.guard('service.old_part_rule', '(SELECT service.scope_customer_id()) IS NULL', 'old_part_rule_id');

-- One parcel with old parts, on its way from a partner.
CREATE TABLE service.return_slip (
    return_slip_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id      bigint REFERENCES service.provider,
    -- Where it goes.
    warehouse_id     bigint NOT NULL REFERENCES service.warehouse,
    state            text NOT NULL CHECK (state IN ('open', 'shipped', 'received', 'cancelled')),
    carrier          text,
    tracking_number  text,
    note             text NOT NULL DEFAULT '',
    opened_at        timestamptz NOT NULL,
    shipped_at       timestamptz,
    received_at      timestamptz,
    version          integer NOT NULL DEFAULT 1
);
CREATE INDEX return_slip_provider_id ON service.return_slip (provider_id, return_slip_id);
CREATE INDEX return_slip_warehouse_id ON service.return_slip (warehouse_id, return_slip_id);
CREATE INDEX return_slip_state ON service.return_slip (state, return_slip_id);
CALL service.guard('service.return_slip', 'provider_id = (SELECT service.scope_provider_id())', 'return_slip_id',
    states => true, personal => ARRAY['note']);

-- A part taken out, by the number of the used part that it came out for.
CREATE TABLE service.old_part (
    old_part_id        bigint PRIMARY KEY REFERENCES service.visit_part,
    visit_id           bigint NOT NULL REFERENCES service.visit,
    ticket_id          bigint REFERENCES service.ticket,
    asset_id           integer NOT NULL REFERENCES service.asset,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    quantity_received  integer NOT NULL DEFAULT 0,
    component          text,
    old_serial         text,
    -- Whose technician took it out.
    provider_id        bigint REFERENCES service.provider,
    bearer             text CHECK (bearer IN ('maker', 'customer', 'partner')),
    rule               text NOT NULL CHECK (rule IN ('return', 'scrap_on_site')),
    rule_reason        text NOT NULL,
    evidence_wanted    boolean NOT NULL DEFAULT false,
    state              text NOT NULL DEFAULT 'expected' CHECK (state IN ('expected', 'packed', 'shipped', 'received',
                           'inspected', 'at_repair', 'scrapped', 'written_off', 'waived')),
    -- Null until the visit is completed.
    due_by             timestamptz,
    overdue_since      timestamptz,
    return_slip_id     bigint REFERENCES service.return_slip,
    taken_out_at       timestamptz NOT NULL,
    received_at        timestamptz,
    received_by        text,
    received_note      text,
    ended_at           timestamptz,
    ended_note         text,
    version            integer NOT NULL DEFAULT 1,
    CHECK (quantity_received BETWEEN 0 AND quantity)
);
CREATE INDEX old_part_visit_id ON service.old_part (visit_id, old_part_id);
CREATE INDEX old_part_ticket_id ON service.old_part (ticket_id, old_part_id);
CREATE INDEX old_part_asset_id ON service.old_part (asset_id, old_part_id);
CREATE INDEX old_part_part_id ON service.old_part (part_id, old_part_id);
CREATE INDEX old_part_provider_id ON service.old_part (provider_id, old_part_id);
CREATE INDEX old_part_of_state ON service.old_part (state, old_part_id);
CREATE INDEX old_part_provider_state ON service.old_part (provider_id, state, old_part_id);
CREATE INDEX old_part_return_slip_id ON service.old_part (return_slip_id, old_part_id);
CREATE INDEX old_part_not_received ON service.old_part (old_part_id)
    WHERE received_at IS NULL AND state IN ('expected', 'packed', 'shipped') AND rule = 'return';
CREATE INDEX old_part_due ON service.old_part (due_by)
    WHERE state IN ('expected', 'packed', 'shipped') AND overdue_since IS NULL;
CREATE INDEX old_part_owed ON service.old_part (visit_id) WHERE state IN ('expected', 'packed', 'shipped');
CALL service.guard('service.old_part', 'provider_id = (SELECT service.scope_provider_id())', 'old_part_id',
    states => true, personal => ARRAY['received_note', 'ended_note']);

-- Photos and papers: of the scrapping, of the loss, of the inspection.
CREATE TABLE service.old_part_file (
    old_part_id  bigint NOT NULL REFERENCES service.old_part ON DELETE CASCADE,
    file_id      bigint NOT NULL REFERENCES service.file ON DELETE CASCADE,
    kind         text NOT NULL CHECK (kind IN ('scrapping', 'write_off', 'inspection')),
    PRIMARY KEY (old_part_id, file_id)
);
CREATE INDEX old_part_file_file_id ON service.old_part_file (file_id);
CALL service.guard('service.old_part_file',
    'EXISTS (SELECT FROM service.old_part o WHERE o.old_part_id = old_part_file.old_part_id)', 'old_part_id,file_id');

-- What an old part turned out to be; of several the last counts. Append-only.
CREATE TABLE service.old_part_inspection (
    inspection_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    old_part_id    bigint NOT NULL REFERENCES service.old_part,
    -- For reliability: of which machine and component, and when it was taken out.
    asset_id       integer NOT NULL REFERENCES service.asset,
    component      text,
    taken_out_at   timestamptz NOT NULL,
    -- Whether it is the part, and the serial number, that was reported.
    matches        boolean NOT NULL,
    finding        text NOT NULL CHECK (finding IN ('confirmed', 'no_fault_found', 'misuse', 'transport_damage',
                       'wrong_part')),
    failure_mode   text,
    serial_found   text,
    -- Whether the partner keeps what it claimed back for the part built in.
    claim_stands   boolean NOT NULL,
    note           text NOT NULL DEFAULT '',
    actor          text NOT NULL DEFAULT service.current_actor(),
    at             timestamptz NOT NULL,
    CHECK (matches = (finding <> 'wrong_part'))
);
CREATE INDEX old_part_inspection_old_part_id ON service.old_part_inspection (old_part_id, inspection_id);
CREATE INDEX old_part_inspection_asset_id ON service.old_part_inspection (asset_id, component, taken_out_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.old_part_inspection
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.old_part_inspection',
    'EXISTS (SELECT FROM service.old_part o WHERE o.old_part_id = old_part_inspection.old_part_id)', 'inspection_id',
    audited => false, personal => ARRAY['note']);

-- Of each old part the inspection that counts.
CREATE VIEW service.inspected_part WITH (security_invoker = true) AS
SELECT DISTINCT ON (old_part_id) *
FROM service.old_part_inspection
ORDER BY old_part_id, inspection_id DESC;

-- Old parts that are owed beyond their time: while a visit has any, its settlement waits.
CREATE VIEW service.overdue_old_part WITH (security_invoker = true) AS
SELECT old_part_id, visit_id, ticket_id, provider_id, part_id, quantity - quantity_received AS missing, state, rule, due_by
FROM service.old_part
WHERE state IN ('expected', 'packed', 'shipped') AND due_by < service.current_time_of_call();

-- What was there before ------------------------------------------------------------------------------

INSERT INTO service.old_part (old_part_id, visit_id, ticket_id, asset_id, part_id, quantity, quantity_received, component,
                              old_serial, provider_id, rule, rule_reason, state, due_by, taken_out_at, received_at,
                              received_by, received_note)
SELECT u.visit_part_id, u.visit_id, v.ticket_id, j.asset_id, u.part_id, u.quantity,
       CASE WHEN u.old_received_at IS NULL THEN 0 ELSE u.quantity END, u.component, u.old_serial, u.provider_id, 'return',
       'the technician said that it goes back to its maker',
       CASE WHEN u.old_received_at IS NULL THEN 'expected' ELSE 'received' END,
       CASE WHEN v.state = 'completed' THEN greatest(u.device_at, v.ended_at) + interval '30 days' END,
       u.device_at, u.old_received_at, u.old_received_by, u.old_received_note
FROM service.visit_part u
JOIN service.visit v USING (visit_id)
JOIN service.job j USING (job_id)
WHERE u.old_part = 'return_to_maker';

DROP INDEX service.visit_part_return, service.visit_part_received, service.visit_part_return_all,
    service.visit_part_return_of;
ALTER TABLE service.visit_part
    DROP COLUMN old_received_at,
    DROP COLUMN old_received_by,
    DROP COLUMN old_received_note;
