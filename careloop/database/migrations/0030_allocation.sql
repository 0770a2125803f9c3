-- Where the parts come from that cases and jobs need: the demands, what was decided for each and why, and what counts how
-- much in deciding (docs/decisions/0030-allocation.md).

-- What counts how much. One row; money in minor units of its currency.
CREATE TABLE service.allocation_policy (
    allocation_policy_id  smallint PRIMARY KEY DEFAULT 1 CHECK (allocation_policy_id = 1),
    currency              text NOT NULL DEFAULT 'EUR' CHECK (currency ~ '^[A-Z]{3}$'),
    -- What a day costs that a part comes too late, by the priority of its case.
    late_low_minor        bigint NOT NULL DEFAULT 500 CHECK (late_low_minor >= 0),
    late_normal_minor     bigint NOT NULL DEFAULT 2000 CHECK (late_normal_minor >= 0),
    late_high_minor       bigint NOT NULL DEFAULT 8000 CHECK (late_high_minor >= 0),
    late_urgent_minor     bigint NOT NULL DEFAULT 25000 CHECK (late_urgent_minor >= 0),
    -- A demand that is refused counts as so many days late.
    refusal_days          integer NOT NULL DEFAULT 365 CHECK (refusal_days > 0),
    -- What a year in stock costs, in hundredths of a percent of a part's cost.
    holding_bp            integer NOT NULL DEFAULT 2000 CHECK (holding_bp BETWEEN 0 AND 100000),
    -- Older stock than this counts as old as this.
    oldest_days           integer NOT NULL DEFAULT 1095 CHECK (oldest_days >= 0),
    -- What it costs when somebody else's piece is missing later, and how sure a warehouse's minimum is meant to make.
    shortage_minor        bigint NOT NULL DEFAULT 15000 CHECK (shortage_minor >= 0),
    service_level_bp      integer NOT NULL DEFAULT 9500 CHECK (service_level_bp BETWEEN 5000 AND 9999),
    -- Freight where no lane is entered.
    freight_base_minor    bigint NOT NULL DEFAULT 800 CHECK (freight_base_minor >= 0),
    freight_kg_minor      bigint NOT NULL DEFAULT 150 CHECK (freight_kg_minor >= 0),
    -- The trouble of an order, of taking a kit apart, of using another part than was asked for.
    order_minor           bigint NOT NULL DEFAULT 1500 CHECK (order_minor >= 0),
    kit_minor             bigint NOT NULL DEFAULT 1000 CHECK (kit_minor >= 0),
    alternative_minor     bigint NOT NULL DEFAULT 1000 CHECK (alternative_minor >= 0),
    version               integer NOT NULL DEFAULT 1
);
INSERT INTO service.allocation_policy DEFAULT VALUES;

CREATE TABLE service.part_demand (
    part_demand_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id          bigint REFERENCES service.ticket,
    job_id             bigint REFERENCES service.job,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    needed_by          timestamptz NOT NULL,
    priority           text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    -- Where it is to be; null for the warehouse nearest to the machine.
    to_warehouse_id    bigint REFERENCES service.warehouse,
    -- By that date or not at all.
    strict             boolean NOT NULL DEFAULT false,
    state              text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'allocated', 'fulfilled', 'refused', 'cancelled')),

    -- What was decided; the options it was chosen from stand in part_decision.
    kind               text CHECK (kind IN ('on_hand', 'transfer', 'kit', 'alternative', 'purchase')),
    given_part_id      bigint REFERENCES service.part,
    -- Where it comes from; of a purchase where it is delivered to.
    warehouse_id       bigint REFERENCES service.warehouse,
    reservation_id     bigint REFERENCES service.reservation,
    transfer_id        bigint REFERENCES service.transfer,
    purchase_line_id   bigint REFERENCES service.purchase_line,
    total_minor        bigint,
    reason             text NOT NULL DEFAULT '',
    -- When it can be at the site; of a refusal, when it could be at the earliest.
    promised_at        timestamptz,
    -- The supplier's date behind it, of a purchase.
    supplied_at        timestamptz,
    -- The date that the customer was told last.
    told_at            timestamptz,
    arrived_at         timestamptz,
    -- What had moved of the part when it was decided: what comes in later is a reason to decide anew.
    seen_movement_id   bigint NOT NULL DEFAULT 0,
    next_try_at        timestamptz,
    decided_at         timestamptz,
    created_by         text NOT NULL DEFAULT service.current_actor(),
    created_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1,
    CHECK (ticket_id IS NOT NULL OR job_id IS NOT NULL),
    CHECK (state NOT IN ('allocated', 'fulfilled')
           OR (kind IS NOT NULL AND given_part_id IS NOT NULL AND warehouse_id IS NOT NULL AND promised_at IS NOT NULL)),
    CHECK (state <> 'refused' OR reason <> '')
);
CREATE UNIQUE INDEX part_demand_one_of_job ON service.part_demand (job_id, part_id)
    WHERE job_id IS NOT NULL AND state IN ('open', 'allocated', 'refused');
CREATE UNIQUE INDEX part_demand_one_of_ticket ON service.part_demand (ticket_id, part_id)
    WHERE job_id IS NULL AND state IN ('open', 'allocated', 'refused');
CREATE INDEX part_demand_state ON service.part_demand (state, part_demand_id);
-- What waits for pieces to come in.
CREATE INDEX part_demand_waiting ON service.part_demand (part_demand_id)
    WHERE state = 'refused' OR (state = 'allocated' AND reservation_id IS NULL);
CREATE INDEX part_demand_ticket_id ON service.part_demand (ticket_id, part_demand_id);
CREATE INDEX part_demand_job_id ON service.part_demand (job_id, part_demand_id);
CREATE INDEX part_demand_part_id ON service.part_demand (part_id, part_demand_id);
CREATE INDEX part_demand_given_part_id ON service.part_demand (given_part_id);
CREATE INDEX part_demand_to_warehouse_id ON service.part_demand (to_warehouse_id) WHERE to_warehouse_id IS NOT NULL;
CREATE INDEX part_demand_warehouse_id ON service.part_demand (warehouse_id);
CREATE INDEX part_demand_reservation_id ON service.part_demand (reservation_id);
CREATE INDEX part_demand_transfer_id ON service.part_demand (transfer_id) WHERE transfer_id IS NOT NULL;
CREATE INDEX part_demand_purchase_line_id ON service.part_demand (purchase_line_id) WHERE purchase_line_id IS NOT NULL;

ALTER TABLE service.reservation ADD CONSTRAINT reservation_demand_id_fkey
    FOREIGN KEY (demand_id) REFERENCES service.part_demand (part_demand_id);

-- Every decision with all that was considered, for who asks later why.
CREATE TABLE service.part_decision (
    part_decision_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_demand_id    bigint NOT NULL REFERENCES service.part_demand,
    at                timestamptz NOT NULL,
    actor             text NOT NULL DEFAULT service.current_actor(),
    -- single: the cheapest for this demand; plan: of the plan of all demands together; event: something moved.
    made_by           text NOT NULL CHECK (made_by IN ('single', 'plan', 'event')),
    -- Place of the chosen one among the options; null for a refusal.
    chosen            integer CHECK (chosen >= 0),
    reason            text NOT NULL,
    promised_at       timestamptz,
    options           jsonb NOT NULL,
    refusals          jsonb NOT NULL
);
CREATE INDEX part_decision_part_demand_id ON service.part_decision (part_demand_id, part_decision_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.part_decision
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- How fast a part goes in each warehouse: the year's use is read from the index alone.
CREATE INDEX stock_movement_used_part ON service.stock_movement (part_id, at) INCLUDE (from_warehouse_id, quantity)
    WHERE kind = 'consume';
-- What is near a site.
CREATE INDEX warehouse_territory ON service.warehouse (territory);

CALL service.guard('service.allocation_policy', 'false', 'allocation_policy_id');
CALL service.guard('service.part_demand', 'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = part_demand.ticket_id) '
    'OR EXISTS (SELECT FROM service.job j WHERE j.job_id = part_demand.job_id)', 'part_demand_id', states => true);
-- What stands in every warehouse and what it costs to bring it is the house's to know.
CALL service.guard('service.part_decision', 'false', 'part_decision_id', audited => false);
