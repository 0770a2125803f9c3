-- The ways of parts: opening hours and lanes of warehouses, transfers between them, and what is bought from suppliers.

-- Warehouses ---------------------------------------------------------------------------------------

ALTER TABLE service.bin ADD COLUMN note text NOT NULL DEFAULT '';

-- When a warehouse takes goods in and gives them out, by its own wall clock; one without a row is always open.
CREATE TABLE service.opening_hours (
    warehouse_id  bigint PRIMARY KEY REFERENCES service.warehouse,
    -- Seven lists, Monday first, of [opens, closes] in minutes of the day.
    week          jsonb NOT NULL CHECK (jsonb_array_length(week) = 7),
    -- Whose holidays hold, too: a business calendar of the service levels.
    calendar_id   bigint REFERENCES service.calendar
);
CREATE INDEX opening_hours_calendar_id ON service.opening_hours (calendar_id);

-- Days that are not like their weekday; they hold against the calendar's.
CREATE TABLE service.opening_exception (
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    day           date NOT NULL,
    name          text NOT NULL,
    spans         jsonb NOT NULL,
    PRIMARY KEY (warehouse_id, day)
);

-- How long a way takes and what it costs: a shipment's base, and so much a kilogram.
CREATE TABLE service.lane (
    lane_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_warehouse_id   bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id     bigint NOT NULL REFERENCES service.warehouse,
    transit_hours       integer NOT NULL CHECK (transit_hours BETWEEN 0 AND 8784),
    freight_base_minor  bigint NOT NULL DEFAULT 0 CHECK (freight_base_minor >= 0),
    freight_kg_minor    bigint NOT NULL DEFAULT 0 CHECK (freight_kg_minor >= 0),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What its carrier takes.
    shipping_classes    text[] NOT NULL CHECK (shipping_classes <@ ARRAY['normal', 'hazardous', 'battery', 'oversize']),
    changed_at          timestamptz NOT NULL,
    changed_by          text NOT NULL,
    UNIQUE (from_warehouse_id, to_warehouse_id),
    CHECK (from_warehouse_id <> to_warehouse_id)
);
CREATE INDEX lane_from ON service.lane (from_warehouse_id, lane_id);
CREATE INDEX lane_to ON service.lane (to_warehouse_id, lane_id);

-- Transfers ----------------------------------------------------------------------------------------

-- What goes along a lane together; it pays the base freight once.
CREATE TABLE service.consignment (
    consignment_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    carrier            text NOT NULL DEFAULT '',
    tracking_number    text NOT NULL DEFAULT '',
    weight_grams       bigint NOT NULL CHECK (weight_grams >= 0),
    freight_minor      bigint NOT NULL CHECK (freight_minor >= 0),
    currency           text NOT NULL,
    shipped_at         timestamptz NOT NULL,
    shipped_by         text NOT NULL
);
CREATE INDEX consignment_from ON service.consignment (from_warehouse_id, consignment_id);
CREATE INDEX consignment_to ON service.consignment (to_warehouse_id, consignment_id);

CREATE TABLE service.transfer (
    transfer_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    from_warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    to_warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    state              text NOT NULL DEFAULT 'planned'
                       CHECK (state IN ('planned', 'shipped', 'received', 'cancelled', 'lost')),
    -- Whose pieces travel; without one they are kept for the transfer itself from planning on.
    reservation_id     bigint REFERENCES service.reservation,
    ticket_id          bigint REFERENCES service.ticket,
    -- Why, e.g. 'ticket' and '12', 'stocking' and '3'.
    cause_kind         text NOT NULL,
    cause_key          text NOT NULL,
    consignment_id     bigint REFERENCES service.consignment,
    -- What has become of the pieces at the other end; they are all accounted for at the end.
    received           integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    damaged            integer NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    missing            integer NOT NULL DEFAULT 0 CHECK (missing >= 0),
    -- What the partner whose warehouse it goes to was charged at shipping; null where nobody was.
    charged_minor      bigint CHECK (charged_minor > 0),
    charged_currency   text,
    planned_at         timestamptz NOT NULL,
    planned_by         text NOT NULL,
    expected_at        timestamptz NOT NULL,
    shipped_at         timestamptz,
    ended_at           timestamptz,
    end_reason         text NOT NULL DEFAULT '',
    overdue_since      timestamptz,
    version            integer NOT NULL DEFAULT 1,
    CHECK (from_warehouse_id <> to_warehouse_id),
    CHECK (received + damaged + missing <= quantity),
    CHECK (state NOT IN ('received', 'lost') OR received + damaged + missing = quantity),
    CHECK ((state IN ('received', 'cancelled', 'lost')) = (ended_at IS NOT NULL)),
    CHECK ((charged_minor IS NULL) = (charged_currency IS NULL))
);
-- Reserved pieces are on one way at a time.
CREATE UNIQUE INDEX transfer_one_of_reservation ON service.transfer (reservation_id) WHERE ended_at IS NULL;
CREATE INDEX transfer_reservation_id ON service.transfer (reservation_id, transfer_id);
CREATE INDEX transfer_state ON service.transfer (state, transfer_id);
CREATE INDEX transfer_part ON service.transfer (part_id, transfer_id);
CREATE INDEX transfer_from ON service.transfer (from_warehouse_id, transfer_id);
CREATE INDEX transfer_to ON service.transfer (to_warehouse_id, transfer_id);
CREATE INDEX transfer_ticket ON service.transfer (ticket_id, transfer_id);
CREATE INDEX transfer_consignment ON service.transfer (consignment_id, transfer_id);
CREATE INDEX transfer_to_pick ON service.transfer (from_warehouse_id, transfer_id) WHERE state = 'planned';
CREATE INDEX transfer_falling_due ON service.transfer (expected_at, transfer_id)
    WHERE ended_at IS NULL AND overdue_since IS NULL;
CREATE INDEX transfer_overdue ON service.transfer (transfer_id) WHERE ended_at IS NULL AND overdue_since IS NOT NULL;

-- Purchasing ---------------------------------------------------------------------------------------

-- Nothing new is ordered from one that is not active.
ALTER TABLE service.supplier ADD COLUMN active boolean NOT NULL DEFAULT true;

-- On which terms a supplier delivers a part.
CREATE TABLE service.supplier_part (
    supplier_part_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id            bigint NOT NULL REFERENCES service.supplier,
    part_id                bigint NOT NULL REFERENCES service.part,
    -- What the supplier calls it.
    supplier_sku           text NOT NULL DEFAULT '',
    price_minor            bigint NOT NULL CHECK (price_minor >= 0),
    currency               text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Calendar days from sending the order to having it on hand; null: the part's own.
    lead_time_days         integer CHECK (lead_time_days BETWEEN 0 AND 3650),
    minimum_quantity       integer NOT NULL DEFAULT 1 CHECK (minimum_quantity > 0),
    pack_size              integer NOT NULL DEFAULT 1 CHECK (pack_size > 0),
    -- So much more than ordered is taken in without asking.
    over_delivery_percent  integer NOT NULL DEFAULT 0 CHECK (over_delivery_percent BETWEEN 0 AND 100),
    -- Of several suppliers the one with the lowest is asked first.
    place                  integer NOT NULL DEFAULT 100,
    active                 boolean NOT NULL DEFAULT true,
    version                integer NOT NULL DEFAULT 1,
    UNIQUE (supplier_id, part_id)
);
CREATE INDEX supplier_part_part ON service.supplier_part (part_id, supplier_part_id);
CREATE INDEX supplier_part_supplier ON service.supplier_part (supplier_id, supplier_part_id);

CREATE TABLE service.purchase_order (
    purchase_order_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Null in a draft for which one is still to be found.
    supplier_id        bigint REFERENCES service.supplier,
    warehouse_id       bigint NOT NULL REFERENCES service.warehouse,
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state              text NOT NULL DEFAULT 'draft'
                       CHECK (state IN ('draft', 'sent', 'confirmed', 'partly_received', 'received', 'cancelled')),
    -- The supplier's number of it.
    reference          text NOT NULL DEFAULT '',
    note               text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL,
    created_by         text NOT NULL,
    -- Dates of a draft count from the day on which they were reckoned.
    reckoned_at        timestamptz NOT NULL,
    sent_at            timestamptz,
    ended_at           timestamptz,
    end_reason         text NOT NULL DEFAULT '',
    version            integer NOT NULL DEFAULT 1,
    CHECK (state IN ('draft', 'cancelled') OR (supplier_id IS NOT NULL AND sent_at IS NOT NULL)),
    CHECK ((state IN ('received', 'cancelled')) = (ended_at IS NOT NULL))
);
-- What is wanted meanwhile goes to the one draft of a supplier, warehouse and currency.
CREATE UNIQUE INDEX purchase_order_one_draft ON service.purchase_order (supplier_id, warehouse_id, currency)
    NULLS NOT DISTINCT WHERE state = 'draft';
CREATE INDEX purchase_order_supplier ON service.purchase_order (supplier_id, purchase_order_id);
CREATE INDEX purchase_order_warehouse ON service.purchase_order (warehouse_id, purchase_order_id);
CREATE INDEX purchase_order_state ON service.purchase_order (state, purchase_order_id);
CREATE INDEX purchase_order_draft ON service.purchase_order (reckoned_at) WHERE state = 'draft';

CREATE TABLE service.purchase_line (
    purchase_line_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_order_id      bigint NOT NULL REFERENCES service.purchase_order,
    part_id                bigint NOT NULL REFERENCES service.part,
    -- What was asked for; the quantity is that, in whole packs and the minimum at least. Both are 0, and the line closed,
    -- where nobody wants it any more before it was sent.
    wanted                 integer NOT NULL CHECK (wanted >= 0),
    quantity               integer NOT NULL CHECK (quantity >= 0),
    received               integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    -- Came, but not fit for use: the supplier still owes them.
    damaged                integer NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    -- Pieces still to come that belong to somebody already.
    promised               integer NOT NULL DEFAULT 0 CHECK (promised >= 0),
    -- Null where no price is agreed.
    price_minor            bigint CHECK (price_minor >= 0),
    supplier_sku           text NOT NULL DEFAULT '',
    -- Frozen terms: of the supplier, else of the part.
    lead_time_days         integer NOT NULL CHECK (lead_time_days >= 0),
    minimum_quantity       integer NOT NULL DEFAULT 1,
    pack_size              integer NOT NULL DEFAULT 1,
    over_delivery_percent  integer NOT NULL DEFAULT 0,
    -- What the supplier said; the date of what comes next.
    confirmed_on           date,
    expected_at            timestamptz NOT NULL,
    -- Nothing more comes.
    closed                 boolean NOT NULL DEFAULT false,
    late_since             timestamptz,
    UNIQUE (purchase_order_id, part_id),
    CHECK (wanted <= quantity),
    CHECK (quantity > 0 OR closed),
    CHECK (closed OR received + promised <= quantity)
);
CREATE INDEX purchase_line_order ON service.purchase_line (purchase_order_id, purchase_line_id);
CREATE INDEX purchase_line_part ON service.purchase_line (part_id, purchase_line_id);
CREATE INDEX purchase_line_incoming ON service.purchase_line (part_id, expected_at) WHERE NOT closed;
CREATE INDEX purchase_line_falling_due ON service.purchase_line (expected_at, purchase_line_id)
    WHERE NOT closed AND late_since IS NULL;
CREATE INDEX purchase_line_late ON service.purchase_line (purchase_line_id) WHERE NOT closed AND late_since IS NOT NULL;

-- Pieces to come that belong to a case or a demand; kept when they have come and are reserved for it.
CREATE TABLE service.purchase_promise (
    purchase_promise_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_line_id     bigint NOT NULL REFERENCES service.purchase_line,
    ticket_id            bigint REFERENCES service.ticket,
    job_id               bigint REFERENCES service.job,
    -- Of the allocation, which made it.
    demand_id            bigint,
    quantity             integer NOT NULL CHECK (quantity > 0),
    -- Whether the line was ordered for it, and not for the shelf; then it shrinks when a draft's promise is withdrawn.
    ordered              boolean NOT NULL,
    state                text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'kept', 'withdrawn')),
    reservation_id       bigint REFERENCES service.reservation,
    promised_at          timestamptz NOT NULL,
    ended_at             timestamptz,
    CHECK (ticket_id IS NOT NULL OR job_id IS NOT NULL OR demand_id IS NOT NULL),
    CHECK ((state = 'open') = (ended_at IS NULL))
);
CREATE INDEX purchase_promise_line ON service.purchase_promise (purchase_line_id, purchase_promise_id);
CREATE INDEX purchase_promise_ticket ON service.purchase_promise (ticket_id, purchase_promise_id);
CREATE INDEX purchase_promise_job ON service.purchase_promise (job_id, purchase_promise_id) WHERE job_id IS NOT NULL;
CREATE INDEX purchase_promise_demand ON service.purchase_promise (demand_id, purchase_promise_id) WHERE demand_id IS NOT NULL;
CREATE INDEX purchase_promise_reservation_id ON service.purchase_promise (reservation_id);

-- What came when, by the supplier's delivery note; never changed.
CREATE TABLE service.purchase_receipt (
    purchase_receipt_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purchase_line_id     bigint NOT NULL REFERENCES service.purchase_line,
    delivery_note        text NOT NULL,
    quantity             integer NOT NULL CHECK (quantity >= 0),
    damaged              integer NOT NULL CHECK (damaged >= 0),
    actor                text NOT NULL DEFAULT service.current_actor(),
    at                   timestamptz NOT NULL,
    UNIQUE (purchase_line_id, delivery_note),
    CHECK (quantity + damaged > 0)
);
CREATE INDEX purchase_receipt_line ON service.purchase_receipt (purchase_line_id, purchase_receipt_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.purchase_receipt
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Who sees what ------------------------------------------------------------------------------------

CALL service.guard('service.opening_hours',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = opening_hours.warehouse_id)', 'warehouse_id');
CALL service.guard('service.opening_exception',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = opening_exception.warehouse_id)', 'warehouse_id,day');
CALL service.guard('service.lane',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = lane.from_warehouse_id) '
    'AND EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = lane.to_warehouse_id)', 'lane_id');
-- A partner sees what comes to its own warehouses and what goes from them.
CALL service.guard('service.consignment', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (consignment.from_warehouse_id, consignment.to_warehouse_id) '
    'AND w.provider_id = (SELECT service.scope_provider_id()))', 'consignment_id');
CALL service.guard('service.transfer', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (transfer.from_warehouse_id, transfer.to_warehouse_id) '
    'AND w.provider_id = (SELECT service.scope_provider_id()))', 'transfer_id', states => true,
    personal => ARRAY['end_reason']);
CALL service.guard('service.supplier_part', 'false', 'supplier_part_id');
CALL service.guard('service.purchase_order', 'false', 'purchase_order_id', states => true);
CALL service.guard('service.purchase_line', 'false', 'purchase_line_id');
CALL service.guard('service.purchase_promise', 'false', 'purchase_promise_id', states => true);
CALL service.guard('service.purchase_receipt', 'false', 'purchase_receipt_id', audited => false);
