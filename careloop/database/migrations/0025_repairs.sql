-- Mail-in repair: a machine's way through the workshop, its parcels, what it costs the maker, and machines lent meanwhile.

-- How many business days each node takes after the one before, and what the workshop's time costs the maker: of a kind
-- of product at a provider; empty and null for any. The most exact row holds.
CREATE TABLE service.repair_standard (
    repair_standard_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_kind        text NOT NULL DEFAULT '',
    provider_id         bigint REFERENCES service.provider,
    business_days       jsonb NOT NULL,
    labour_hour_minor   bigint NOT NULL CHECK (labour_hour_minor >= 0),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    version             integer NOT NULL DEFAULT 1,
    UNIQUE NULLS NOT DISTINCT (product_kind, provider_id)
);
CREATE INDEX repair_standard_provider_id ON service.repair_standard (provider_id);

CREATE TABLE service.repair (
    repair_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id             bigint NOT NULL REFERENCES service.ticket,
    asset_id              integer NOT NULL REFERENCES service.asset,
    mode                  text NOT NULL CHECK (mode IN ('mail_in', 'drop_off')),
    -- The maker pays everything: no quote, whatever the warranty says.
    central               boolean NOT NULL DEFAULT false,
    state                 text NOT NULL DEFAULT 'label'
                          CHECK (state IN ('label', 'received', 'diagnosed', 'quoted', 'accepted', 'declined', 'waiting_parts',
                                           'in_repair', 'repaired', 'tested', 'exchanged', 'shipped', 'delivered',
                                           'returned_unrepaired', 'scrapped', 'closed', 'cancelled')),
    old_part_wanted       boolean NOT NULL DEFAULT false,
    -- What came in the parcel: condition, accessories, photos.
    parcel                jsonb,
    diagnosis             text NOT NULL DEFAULT '',
    component             text,
    fault_code            text NOT NULL DEFAULT '',
    fault_found           boolean NOT NULL DEFAULT true,
    -- Who pays, decided at the diagnosis by the warranty's answer, which is frozen here.
    bearer                text NOT NULL DEFAULT '',
    warranty              jsonb,
    quote_id              bigint REFERENCES service.quote,
    job_id                bigint REFERENCES service.job,
    replacement_asset_id  integer REFERENCES service.asset,
    tests                 jsonb NOT NULL DEFAULT '[]',
    labour_minutes        integer NOT NULL DEFAULT 0 CHECK (labour_minutes >= 0),
    -- Frozen from the standard at opening.
    labour_hour_minor     bigint NOT NULL CHECK (labour_hour_minor >= 0),
    currency              text NOT NULL,
    business_days         jsonb NOT NULL,
    -- Its first node that is not done; both null when it is over.
    next_node             text,
    next_expected_on      date,
    overdue_since         timestamptz,
    end_reason            text NOT NULL DEFAULT '',
    opened_at             timestamptz NOT NULL,
    opened_by             text NOT NULL,
    closed_at             timestamptz,
    version               integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX repair_one_open ON service.repair (ticket_id) WHERE state NOT IN ('closed', 'cancelled');
CREATE INDEX repair_ticket ON service.repair (ticket_id, repair_id);
CREATE INDEX repair_asset ON service.repair (asset_id, repair_id);
CREATE INDEX repair_state ON service.repair (state, repair_id);
CREATE INDEX repair_quote_id ON service.repair (quote_id);
CREATE INDEX repair_job_id ON service.repair (job_id);
CREATE INDEX repair_replacement_asset_id ON service.repair (replacement_asset_id);
CREATE INDEX repair_falling_due ON service.repair (next_expected_on, repair_id)
    WHERE overdue_since IS NULL AND next_expected_on IS NOT NULL;
CREATE INDEX repair_overdue ON service.repair (repair_id) WHERE overdue_since IS NOT NULL;

CREATE TABLE service.repair_node (
    repair_id          bigint NOT NULL REFERENCES service.repair,
    node               text NOT NULL,
    place              integer NOT NULL,
    -- What was promised first, and what is expected now.
    first_expected_on  date NOT NULL,
    expected_on        date NOT NULL,
    done_at            timestamptz,
    PRIMARY KEY (repair_id, node)
);

CREATE TABLE service.repair_delay (
    repair_delay_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id        bigint NOT NULL REFERENCES service.repair,
    node             text NOT NULL,
    reason           text NOT NULL,
    note             text NOT NULL DEFAULT '',
    business_days    integer NOT NULL CHECK (business_days > 0),
    at               timestamptz NOT NULL,
    by               text NOT NULL
);
CREATE INDEX repair_delay_repair ON service.repair_delay (repair_id, repair_delay_id);

CREATE TABLE service.repair_part (
    repair_id       bigint NOT NULL REFERENCES service.repair,
    part_id         bigint NOT NULL REFERENCES service.part,
    quantity        integer NOT NULL CHECK (quantity > 0),
    -- Null while no warehouse has it.
    reservation_id  bigint UNIQUE REFERENCES service.reservation,
    wanted_at       timestamptz NOT NULL,
    -- When it can be there, by the reservation or else the part's lead time.
    expected_at     timestamptz NOT NULL,
    PRIMARY KEY (repair_id, part_id)
);
CREATE INDEX repair_part_part_id ON service.repair_part (part_id);
CREATE INDEX repair_part_missing ON service.repair_part (repair_id) WHERE reservation_id IS NULL;

CREATE TABLE service.shipment (
    shipment_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id           bigint NOT NULL REFERENCES service.repair,
    direction           text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    method              text NOT NULL CHECK (method IN ('label', 'pickup', 'counter', 'parcel')),
    carrier             text NOT NULL,
    tracking_number     text NOT NULL DEFAULT '',
    label_file_id       bigint REFERENCES service.file,
    -- What is in it: kind, code, quantity.
    contents            jsonb NOT NULL DEFAULT '[]',
    pickup_from         timestamptz,
    pickup_until        timestamptz,
    pickup_address      text NOT NULL DEFAULT '',
    announced_at        timestamptz NOT NULL,
    delivered_at        timestamptz,
    cancelled_at        timestamptz,
    CHECK (pickup_until > pickup_from),
    CHECK ((method = 'pickup') = (pickup_from IS NOT NULL))
);
CREATE INDEX shipment_repair ON service.shipment (repair_id, shipment_id);
CREATE UNIQUE INDEX shipment_tracking ON service.shipment (tracking_number, carrier) WHERE tracking_number <> '';
CREATE INDEX shipment_label_file_id ON service.shipment (label_file_id);

CREATE TABLE service.repair_cost (
    repair_cost_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repair_id       bigint NOT NULL REFERENCES service.repair,
    kind            text NOT NULL CHECK (kind IN ('part', 'labour', 'freight_in', 'freight_out', 'loaner', 'exchange', 'other')),
    -- What it is the cost of, e.g. 'shipment:3'; each is entered once.
    source          text NOT NULL,
    description     text NOT NULL,
    amount_minor    bigint NOT NULL CHECK (amount_minor >= 0),
    currency        text NOT NULL,
    at              timestamptz NOT NULL,
    by              text NOT NULL,
    UNIQUE (repair_id, source)
);

CREATE TABLE service.loaner (
    loaner_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL UNIQUE REFERENCES service.asset,
    -- What a day of it costs the maker.
    day_cost_minor  bigint NOT NULL CHECK (day_cost_minor >= 0),
    currency        text NOT NULL,
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL,
    version         integer NOT NULL DEFAULT 1
);

CREATE TABLE service.loan (
    loan_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loaner_id    bigint NOT NULL REFERENCES service.loaner,
    repair_id    bigint NOT NULL REFERENCES service.repair,
    ticket_id    bigint NOT NULL REFERENCES service.ticket,
    state        text NOT NULL DEFAULT 'lent' CHECK (state IN ('lent', 'overdue', 'returned', 'lost')),
    lent_at      timestamptz NOT NULL,
    due_back_on  date NOT NULL,
    ended_at     timestamptz,
    condition    text NOT NULL DEFAULT '',
    version      integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('returned', 'lost')) = (ended_at IS NOT NULL))
);
-- One machine cannot be at two places, and a case has one.
CREATE UNIQUE INDEX loan_one_of_loaner ON service.loan (loaner_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX loan_one_of_repair ON service.loan (repair_id) WHERE ended_at IS NULL;
CREATE INDEX loan_loaner ON service.loan (loaner_id, loan_id);
CREATE INDEX loan_repair ON service.loan (repair_id, loan_id);
CREATE INDEX loan_ticket ON service.loan (ticket_id, loan_id);
CREATE INDEX loan_state ON service.loan (state, loan_id);
CREATE INDEX loan_due ON service.loan (due_back_on, loan_id) WHERE state = 'lent';

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard('service.repair_standard', '(SELECT service.scope_customer_id()) IS NULL', 'repair_standard_id');
CALL service.guard('service.repair', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = repair.ticket_id)',
    'repair_id', states => true, personal => ARRAY['diagnosis', 'parcel', 'end_reason']);
CALL service.guard('service.repair_node', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_node.repair_id)',
    'repair_id,node');
CALL service.guard('service.repair_delay', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_delay.repair_id)',
    'repair_delay_id', personal => ARRAY['note']);
CALL service.guard('service.repair_part', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_part.repair_id)',
    'repair_id,part_id');
CALL service.guard('service.shipment', 'EXISTS (SELECT FROM service.repair r WHERE r.repair_id = shipment.repair_id)',
    'shipment_id', personal => ARRAY['pickup_address']);
CALL service.guard('service.repair_cost', '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.repair r WHERE r.repair_id = repair_cost.repair_id)', 'repair_cost_id');
CALL service.guard('service.loaner', '(SELECT service.scope_customer_id()) IS NULL', 'loaner_id');
CALL service.guard('service.loan', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = loan.ticket_id)', 'loan_id',
    states => true, personal => ARRAY['condition']);
