-- The catalogue of parts: what each is, what takes its place, what it fits, what it costs whom; tools that are lent and
-- calibrated; and parts with serial numbers of their own (docs/decisions/0027-catalogue-of-parts.md).

ALTER TABLE service.part
    ADD COLUMN description     text NOT NULL DEFAULT '',
    -- superseded: another part has taken its place; discontinued: it can't be had any more. What there is may be used up.
    ADD COLUMN state           text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'superseded', 'discontinued')),
    ADD COLUMN unit            text NOT NULL DEFAULT 'piece' CHECK (unit <> ''),
    ADD COLUMN shipping_class  text NOT NULL DEFAULT 'normal'
                               CHECK (shipping_class IN ('normal', 'hazardous', 'battery', 'oversize')),
    -- 0: not weighed.
    ADD COLUMN weight_grams    integer NOT NULL DEFAULT 0 CHECK (weight_grams >= 0),
    -- Comes over a border, with the lead time that takes.
    ADD COLUMN imported        boolean NOT NULL DEFAULT false,
    -- Each piece has a serial number of its own.
    ADD COLUMN serialised      boolean NOT NULL DEFAULT false,
    -- Each piece is repaired and used again.
    ADD COLUMN rotable         boolean NOT NULL DEFAULT false,
    -- What becomes of the part that it takes the place of.
    ADD COLUMN old_part_rule   text NOT NULL DEFAULT 'none' CHECK (old_part_rule IN ('return', 'scrap_on_site', 'none')),
    ADD COLUMN words           tsvector GENERATED ALWAYS AS (service.vector_of(sku || ' ' || name, 'A')) STORED,
    ADD CHECK (serialised OR NOT rotable);
CREATE INDEX part_words ON service.part USING gin (words);
CREATE INDEX part_sku_prefix ON service.part (sku text_pattern_ops);
CREATE INDEX part_state ON service.part (state, part_id);
CREATE INDEX part_shipping_class ON service.part (shipping_class, part_id);
CREATE INDEX part_imported ON service.part (part_id) WHERE imported;
CREATE INDEX part_serialised ON service.part (part_id) WHERE serialised;

-- What takes a part's place from a day on; chains have no circle and follow in time (api/parts/catalogue.py sees to it).
CREATE TABLE service.part_supersession (
    part_id       bigint PRIMARY KEY REFERENCES service.part,
    successor_id  bigint NOT NULL REFERENCES service.part,
    effective_on  date NOT NULL,
    -- The old one may still be built in where the new one is asked for.
    two_way       boolean NOT NULL DEFAULT false,
    reason        text NOT NULL DEFAULT '',
    -- Its day has come, and the part's state says so.
    applied       boolean NOT NULL DEFAULT false,
    recorded_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    CHECK (part_id <> successor_id)
);
CREATE INDEX part_supersession_successor ON service.part_supersession (successor_id, part_id);
CREATE INDEX part_supersession_ahead ON service.part_supersession (effective_on, part_id) WHERE NOT applied;

-- What may be built in instead, without having taken a part's place; the lowest rank first.
CREATE TABLE service.part_alternative (
    part_id         bigint NOT NULL REFERENCES service.part,
    alternative_id  bigint NOT NULL REFERENCES service.part,
    rank            integer NOT NULL DEFAULT 1 CHECK (rank > 0),
    two_way         boolean NOT NULL DEFAULT false,
    valid_from      date,
    valid_until     date CHECK (valid_until >= valid_from),
    note            text NOT NULL DEFAULT '',
    recorded_by     text NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (part_id, alternative_id),
    CHECK (part_id <> alternative_id)
);
CREATE INDEX part_alternative_of ON service.part_alternative (alternative_id, part_id);

-- Into which machines a part goes, beside what bills of materials say: a model, a component of it, revisions of it. What
-- is left out is no bound; batches are compared as people read them (api/assets/rules.py).
CREATE TABLE service.part_fit (
    part_fit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id       bigint NOT NULL REFERENCES service.part,
    model_id      bigint NOT NULL REFERENCES service.product_model ON DELETE CASCADE,
    component_id  bigint REFERENCES service.component ON DELETE CASCADE,
    -- Of the machine, as its attribute `revision` says.
    revisions     text[] CHECK (cardinality(revisions) > 0),
    from_batch    text,
    until_batch   text,
    from_date     date,
    until_date    date CHECK (until_date >= from_date),
    quantity      integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
    note          text NOT NULL DEFAULT '',
    recorded_by   text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (part_id, model_id, component_id, revisions, from_batch, until_batch, from_date, until_date)
);
CREATE INDEX part_fit_part ON service.part_fit (part_id, part_fit_id);
CREATE INDEX part_fit_model ON service.part_fit (model_id, component_id);
CREATE INDEX part_fit_component_id ON service.part_fit (component_id) WHERE component_id IS NOT NULL;

-- What is in a kit; a kit is not in another one.
CREATE TABLE service.kit_part (
    kit_id    bigint NOT NULL REFERENCES service.part,
    part_id   bigint NOT NULL REFERENCES service.part,
    quantity  integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (kit_id, part_id),
    CHECK (kit_id <> part_id)
);
CREATE INDEX kit_part_part ON service.kit_part (part_id, kit_id);

-- What a piece costs whom, from a day on. Of those that hold on a day the one that began last counts, so that an offer of a
-- few weeks needs no end of the price before. Level: a partner's, or a kind of customer; empty for all.
CREATE TABLE service.part_price (
    part_price_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id        bigint NOT NULL REFERENCES service.part,
    kind           text NOT NULL CHECK (kind IN ('customer', 'partner', 'internal')),
    level          text NOT NULL DEFAULT '',
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    price_minor    bigint NOT NULL CHECK (price_minor >= 0),
    valid_from     date NOT NULL,
    valid_until    date CHECK (valid_until >= valid_from),
    recorded_by    text NOT NULL,
    recorded_at    timestamptz NOT NULL,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (part_id, kind, level, currency, valid_from)
);
CREATE INDEX part_price_part ON service.part_price (part_id, part_price_id);

-- Tools and instruments ----------------------------------------------------------------------------

CREATE TABLE service.instrument (
    instrument_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- On its label.
    code                text NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9._-]{1,64}$'),
    name                text NOT NULL,
    -- What somebody asks for, e.g. torque_wrench.
    kind                text NOT NULL,
    maker_serial        text NOT NULL DEFAULT '',
    state               text NOT NULL DEFAULT 'available'
                        CHECK (state IN ('available', 'lent', 'in_calibration', 'blocked', 'lost', 'scrapped')),
    -- Where it is kept.
    warehouse_id        bigint REFERENCES service.warehouse,
    -- Whose it is; null: the house's, which lends to all partners.
    provider_id         bigint REFERENCES service.provider,
    -- Null: it measures nothing and is never calibrated.
    calibration_days    integer CHECK (calibration_days > 0),
    calibrated_on       date,
    -- The last day on which it may be used.
    calibrated_until    date CHECK (calibrated_until >= calibrated_on),
    -- For which end of calibration somebody was reminded.
    reminded_of         date,
    note                text NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL,
    version             integer NOT NULL DEFAULT 1
);
CREATE INDEX instrument_kind ON service.instrument (kind, instrument_id);
CREATE INDEX instrument_state ON service.instrument (state, instrument_id);
CREATE INDEX instrument_warehouse_id ON service.instrument (warehouse_id, instrument_id);
CREATE INDEX instrument_provider_id ON service.instrument (provider_id, instrument_id);
CREATE INDEX instrument_calibrated_until ON service.instrument (calibrated_until, instrument_id)
    WHERE state IN ('available', 'lent');

CREATE TABLE service.instrument_loan (
    instrument_loan_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id       bigint NOT NULL REFERENCES service.instrument,
    technician_id       bigint NOT NULL REFERENCES service.technician,
    ticket_id           bigint REFERENCES service.ticket,
    state               text NOT NULL DEFAULT 'lent' CHECK (state IN ('lent', 'overdue', 'returned', 'lost')),
    lent_at             timestamptz NOT NULL,
    lent_by             text NOT NULL,
    -- The last day.
    due_back_on         date NOT NULL,
    ended_at            timestamptz CHECK (ended_at >= lent_at),
    condition           text NOT NULL DEFAULT '',
    reminders           integer NOT NULL DEFAULT 0,
    next_reminder_on    date,
    version             integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX instrument_loan_open ON service.instrument_loan (instrument_id) WHERE state IN ('lent', 'overdue');
CREATE INDEX instrument_loan_instrument ON service.instrument_loan (instrument_id, instrument_loan_id);
CREATE INDEX instrument_loan_technician ON service.instrument_loan (technician_id, instrument_loan_id);
CREATE INDEX instrument_loan_ticket_id ON service.instrument_loan (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX instrument_loan_state ON service.instrument_loan (state, instrument_loan_id);
CREATE INDEX instrument_loan_falling_due ON service.instrument_loan (due_back_on, instrument_loan_id) WHERE state = 'lent';
CREATE INDEX instrument_loan_reminding ON service.instrument_loan (next_reminder_on, instrument_loan_id)
    WHERE state = 'overdue';

CREATE TABLE service.instrument_calibration (
    instrument_calibration_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id              bigint NOT NULL REFERENCES service.instrument,
    -- adjusted: it was off and was put right; failed: it can't be.
    result                     text NOT NULL CHECK (result IN ('passed', 'adjusted', 'failed')),
    calibrated_on              date NOT NULL,
    -- Null when it failed.
    calibrated_until           date,
    laboratory                 text NOT NULL DEFAULT '',
    certificate_file_id        bigint REFERENCES service.file,
    note                       text NOT NULL DEFAULT '',
    recorded_by                text NOT NULL,
    recorded_at                timestamptz NOT NULL,
    CHECK ((result = 'failed') = (calibrated_until IS NULL))
);
CREATE INDEX instrument_calibration_instrument
    ON service.instrument_calibration (instrument_id, instrument_calibration_id);
CREATE INDEX instrument_calibration_file ON service.instrument_calibration (certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

-- Parts with serial numbers of their own ------------------------------------------------------------

CREATE TABLE service.rotable (
    rotable_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id       bigint NOT NULL REFERENCES service.part,
    serial        text NOT NULL CHECK (serial ~ '^[A-Za-z0-9._-]{1,64}$'),
    state         text NOT NULL CHECK (state IN ('in_stock', 'issued', 'installed', 'removed', 'quarantined', 'in_repair',
                                                 'scrapped', 'lost')),
    -- Where it lies, whose hands it went out of, or which it left for repair.
    warehouse_id  bigint REFERENCES service.warehouse,
    -- The machine that it is in, or was in last while it is out of it and not taken in.
    asset_id      integer REFERENCES service.asset,
    component     text,
    installed_at  timestamptz,
    condition     text NOT NULL DEFAULT '',
    -- How often it came back from repair.
    repairs       integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    UNIQUE (part_id, serial),
    CHECK ((state IN ('installed', 'removed')) = (asset_id IS NOT NULL) OR state IN ('scrapped', 'lost')),
    CHECK (warehouse_id IS NOT NULL OR state NOT IN ('in_stock', 'issued', 'quarantined', 'in_repair'))
);
CREATE INDEX rotable_part ON service.rotable (part_id, rotable_id);
CREATE INDEX rotable_serial ON service.rotable (serial, rotable_id);
CREATE INDEX rotable_state ON service.rotable (state, rotable_id);
CREATE INDEX rotable_warehouse_id ON service.rotable (warehouse_id, part_id, rotable_id);
CREATE INDEX rotable_asset_id ON service.rotable (asset_id, rotable_id);

-- Everything that was done with each: a journal with actor and time.
CREATE TABLE service.rotable_event (
    rotable_event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rotable_id        bigint NOT NULL REFERENCES service.rotable,
    at                timestamptz NOT NULL,
    actor             text NOT NULL,
    action            text NOT NULL,
    from_state        text,
    to_state          text NOT NULL,
    warehouse_id      bigint REFERENCES service.warehouse,
    asset_id          integer REFERENCES service.asset,
    component         text,
    ticket_id         bigint REFERENCES service.ticket,
    -- Who repairs it, why it was taken out, what was found.
    repairer          text NOT NULL DEFAULT '',
    note              text NOT NULL DEFAULT '',
    fault_found       boolean,
    cost_minor        bigint CHECK (cost_minor >= 0),
    currency          text,
    -- The days it was in the machine, when it is taken out.
    days_in_machine   integer,
    -- The lines of the ledger that moved the piece.
    movement_ids      bigint[] NOT NULL DEFAULT '{}',
    CHECK ((cost_minor IS NULL) = (currency IS NULL))
);
CREATE INDEX rotable_event_rotable ON service.rotable_event (rotable_id, rotable_event_id);
CREATE INDEX rotable_event_warehouse_id ON service.rotable_event (warehouse_id) WHERE warehouse_id IS NOT NULL;
CREATE INDEX rotable_event_asset_id ON service.rotable_event (asset_id, rotable_event_id) WHERE asset_id IS NOT NULL;
CREATE INDEX rotable_event_ticket_id ON service.rotable_event (ticket_id) WHERE ticket_id IS NOT NULL;

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard_anew('service.part', 'true', 'part_id', states => true, hidden => ARRAY['words']);
CALL service.guard('service.part_supersession', 'true', 'part_id');
CALL service.guard('service.part_alternative', 'true', 'part_id,alternative_id');
CALL service.guard('service.part_fit', 'true', 'part_fit_id');
CALL service.guard('service.kit_part', 'true', 'kit_id,part_id');
-- A partner sees what it and customers pay, nobody outside what a part costs the house.
CALL service.guard('service.part_price', 'kind = ''customer'' OR (kind = ''partner'' '
    'AND (SELECT service.scope_provider_id()) IS NOT NULL AND level IN ('''', '
    '(SELECT p.level FROM service.provider p WHERE p.provider_id = (SELECT service.scope_provider_id()))))', 'part_price_id');
CALL service.guard('service.instrument', '(SELECT service.scope_customer_id()) IS NULL '
    'AND (provider_id IS NULL OR provider_id = (SELECT service.scope_provider_id()))', 'instrument_id', states => true);
CALL service.guard('service.instrument_loan', '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.technician t WHERE t.technician_id = instrument_loan.technician_id)',
    'instrument_loan_id', states => true);
CALL service.guard('service.instrument_calibration',
    'EXISTS (SELECT FROM service.instrument i WHERE i.instrument_id = instrument_calibration.instrument_id)',
    'instrument_calibration_id', audited => false);
CALL service.guard('service.rotable', 'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = rotable.asset_id) '
    'OR EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = rotable.warehouse_id)', 'rotable_id', states => true);
CALL service.guard('service.rotable_event',
    'EXISTS (SELECT FROM service.rotable r WHERE r.rotable_id = rotable_event.rotable_id)', 'rotable_event_id',
    audited => false);
