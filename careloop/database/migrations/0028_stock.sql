-- Reservations that travel and are handed out, and stock that is counted.

ALTER TABLE service.reservation
    -- Where its pieces are: on the shelf of its warehouse, on their way there, or in the technician's hands.
    ADD COLUMN place  text NOT NULL DEFAULT 'reserved' CHECK (place IN ('reserved', 'transit', 'issued'));

-- A case's pieces may come from several warehouses, and all of them hang on the job that is made of it. Whoever reserves
-- for a job holds its lock, so nothing is kept twice.
DROP INDEX service.reservation_one_open;
CREATE INDEX reservation_open ON service.reservation (job_id, part_id) WHERE state = 'reserved';
CREATE INDEX reservation_without_job ON service.reservation (ticket_id) WHERE job_id IS NULL;

-- Where a part comes from may be said to whoever sees the reservation, though the warehouse itself is another partner's.
CREATE FUNCTION service.warehouse_code(wanted bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT code FROM service.warehouse WHERE warehouse_id = wanted
$$;

-- The ledger of a warehouse, page by page.
CREATE INDEX stock_movement_left ON service.stock_movement (from_warehouse_id, movement_id)
    WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_came ON service.stock_movement (to_warehouse_id, movement_id)
    WHERE to_warehouse_id IS NOT NULL;

-- Demand of the past -------------------------------------------------------------------------------

-- What was used, by where it was taken from.
CREATE INDEX stock_movement_used ON service.stock_movement (from_warehouse_id, part_id, at) WHERE to_place = 'used';

-- What a piece cost the house on a day, in the part's own currency. Not the owner's rights: who does not see the prices
-- of the house gets the cost that stands in the catalogue.
CREATE FUNCTION service.house_cost(part bigint, day date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT i.price_minor FROM service.part_price i
                     WHERE i.part_id = p.part_id AND i.kind = 'internal' AND i.level = '' AND i.currency = p.currency
                       AND i.valid_from <= day AND (i.valid_until IS NULL OR i.valid_until >= day)
                     ORDER BY i.valid_from DESC
                     LIMIT 1), p.cost_minor)
    FROM service.part p
    WHERE p.part_id = part
$$;

-- Counts -------------------------------------------------------------------------------------------

-- A sheet: what lies in a warehouse, or in one of its bins, according to somebody who looked.
CREATE TABLE service.stock_count (
    stock_count_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id    bigint NOT NULL REFERENCES service.warehouse,
    bin_id          bigint REFERENCES service.bin,
    state           text NOT NULL DEFAULT 'draft'
                    CHECK (state IN ('draft', 'counted', 'approved', 'rejected', 'cancelled')),
    note            text NOT NULL DEFAULT '',
    -- What was not believed and is counted again.
    recount_of      bigint REFERENCES service.stock_count,
    opened_by       text NOT NULL,
    opened_at       timestamptz NOT NULL,
    finished_by     text,
    finished_key    text,
    finished_at     timestamptz,
    decided_by      text,
    decided_at      timestamptz,
    decision        text NOT NULL DEFAULT '',
    version         integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('draft', 'cancelled')) OR finished_at IS NOT NULL)
);
CREATE INDEX stock_count_warehouse ON service.stock_count (warehouse_id, stock_count_id);
CREATE INDEX stock_count_state ON service.stock_count (state, stock_count_id);
CREATE INDEX stock_count_bin_id ON service.stock_count (bin_id) WHERE bin_id IS NOT NULL;
CREATE INDEX stock_count_recount_of ON service.stock_count (recount_of) WHERE recount_of IS NOT NULL;

CREATE TABLE service.stock_count_line (
    stock_count_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stock_count_id  bigint NOT NULL REFERENCES service.stock_count,
    part_id         bigint NOT NULL REFERENCES service.part,
    counted         integer CHECK (counted >= 0),
    counted_at      timestamptz,
    counted_by      text,
    counted_key     text,
    -- What the ledger had on hand at that moment, and what a piece cost on that day.
    expected        integer,
    cost_minor      bigint,
    currency        text,
    variance        integer GENERATED ALWAYS AS (counted - expected) STORED,
    UNIQUE (stock_count_id, part_id),
    CHECK (num_nulls(counted, counted_at, counted_by, counted_key, expected, cost_minor, currency) IN (0, 7))
);
CREATE INDEX stock_count_line_part_id ON service.stock_count_line (part_id);

-- Proofs -------------------------------------------------------------------------------------------

-- When the balances were last reckoned anew from all movements, and what was found.
CREATE TABLE service.stock_proof (
    stock_proof_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL,
    -- How many movements there were, and the number of the last.
    movements        bigint NOT NULL,
    last_movement_id bigint NOT NULL,
    shelves          bigint NOT NULL,
    faults           bigint NOT NULL,
    -- The first of them.
    examples         jsonb NOT NULL
);

CALL service.guard('service.stock_count',
    'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = stock_count.warehouse_id)', 'stock_count_id',
    states => true, personal => ARRAY['note', 'decision']);
CALL service.guard('service.stock_count_line',
    'EXISTS (SELECT FROM service.stock_count c WHERE c.stock_count_id = stock_count_line.stock_count_id)',
    'stock_count_line_id', audited => false);
CALL service.guard('service.stock_proof', 'false', 'stock_proof_id', audited => false);
