-- What will be wanted where, as the predictor foresees it; what to keep, move and buy for it, and what was decided
-- (docs/decisions/0034-demand-and-stocking.md).

CREATE TABLE service.demand_forecast (
    demand_forecast_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    as_of               timestamptz NOT NULL,
    method              text NOT NULL,
    -- How often stocks are looked at: what is ordered must last until the next time has come in.
    review_days         integer NOT NULL CHECK (review_days BETWEEN 1 AND 366),
    created_at          timestamptz NOT NULL,
    created_by          text NOT NULL,
    -- All its lines are there; before that nothing is planned by it.
    completed_at        timestamptz,
    -- When the last of its times had passed and all its lines were compared with what was used.
    scored_at           timestamptz,
    CHECK (scored_at IS NULL OR completed_at IS NOT NULL)
);
CREATE INDEX demand_forecast_unscored ON service.demand_forecast (demand_forecast_id)
    WHERE completed_at IS NOT NULL AND scored_at IS NULL;
CREATE INDEX demand_forecast_complete ON service.demand_forecast (as_of, demand_forecast_id) WHERE completed_at IS NOT NULL;

CREATE TABLE service.demand_forecast_line (
    demand_forecast_line_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    demand_forecast_id       bigint NOT NULL REFERENCES service.demand_forecast,
    warehouse_id             bigint NOT NULL REFERENCES service.warehouse,
    part_id                  bigint NOT NULL REFERENCES service.part,
    -- From the forecast's time on: until what is ordered at the next look is there.
    covered_days             integer NOT NULL CHECK (covered_days BETWEEN 1 AND 3660),
    ends_at                  timestamptz NOT NULL,
    mean                     double precision NOT NULL CHECK (mean >= 0),
    -- The probability of 0, 1, 2 … pieces; the last is of "so many or more".
    chance                   double precision[] NOT NULL CHECK (cardinality(chance) BETWEEN 1 AND 1000),
    -- So many pieces are enough with 50, 90 and 95 per cent.
    enough_50                integer NOT NULL,
    enough_90                integer NOT NULL,
    enough_95                integer NOT NULL,
    -- Expected pieces by where they are foreseen from; together the mean.
    from_history             double precision NOT NULL,
    from_predictions         double precision NOT NULL,
    from_plans               double precision NOT NULL,
    -- What was used until its end; null before.
    used                     bigint,
    UNIQUE (demand_forecast_id, warehouse_id, part_id)
);
CREATE INDEX demand_forecast_line_of ON service.demand_forecast_line (demand_forecast_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_warehouse ON service.demand_forecast_line (warehouse_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_part ON service.demand_forecast_line (part_id, demand_forecast_line_id);
CREATE INDEX demand_forecast_line_due ON service.demand_forecast_line (ends_at, demand_forecast_line_id) WHERE used IS NULL;

CREATE TABLE service.stocking_run (
    stocking_run_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    demand_forecast_id   bigint NOT NULL REFERENCES service.demand_forecast,
    -- Only for this warehouse; null for all.
    warehouse_id         bigint REFERENCES service.warehouse,
    service_level        double precision NOT NULL CHECK (service_level > 0 AND service_level < 1),
    budget_minor         bigint NOT NULL CHECK (budget_minor >= 0),
    currency             text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    spent_minor          bigint NOT NULL CHECK (spent_minor BETWEEN 0 AND budget_minor),
    -- Expected over the covered times: pieces wanted, and pieces short without and with what is proposed.
    wanted               double precision NOT NULL,
    short_before         double precision NOT NULL,
    short_after          double precision NOT NULL,
    -- [[money spent, service level reached], …]: beyond the budget, too.
    curve                jsonb NOT NULL,
    -- What could not be considered, by the reason: how many parts × warehouses.
    left_out             jsonb NOT NULL,
    created_at           timestamptz NOT NULL,
    created_by           text NOT NULL
);
CREATE INDEX stocking_run_forecast ON service.stocking_run (demand_forecast_id);
CREATE INDEX stocking_run_warehouse ON service.stocking_run (warehouse_id) WHERE warehouse_id IS NOT NULL;

CREATE TABLE service.stocking_proposal (
    stocking_proposal_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stocking_run_id       bigint NOT NULL REFERENCES service.stocking_run,
    kind                  text NOT NULL CHECK (kind IN ('levels', 'transfer', 'purchase')),
    part_id               bigint NOT NULL REFERENCES service.part,
    warehouse_id          bigint NOT NULL REFERENCES service.warehouse,
    from_warehouse_id     bigint REFERENCES service.warehouse,
    quantity              integer CHECK (quantity > 0),
    min_quantity          integer CHECK (min_quantity >= 0),
    max_quantity          integer CHECK (max_quantity >= min_quantity),
    -- What held before, of levels.
    min_before            integer,
    max_before            integer,
    cost_minor            bigint NOT NULL CHECK (cost_minor >= 0),
    currency              text NOT NULL,
    -- Expected pieces short that it avoids.
    avoided               double precision NOT NULL,
    reason                text NOT NULL,
    state                 text NOT NULL DEFAULT 'proposed'
                          CHECK (state IN ('proposed', 'accepted', 'rejected', 'superseded')),
    decided_by            text,
    decided_at            timestamptz,
    decision              text NOT NULL DEFAULT '',
    -- What came of it.
    transfer_id           bigint REFERENCES service.transfer,
    purchase_line_id      bigint REFERENCES service.purchase_line,
    version               integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'levels') = (min_quantity IS NOT NULL AND max_quantity IS NOT NULL AND quantity IS NULL)),
    CHECK ((kind = 'transfer') = (from_warehouse_id IS NOT NULL)),
    CHECK (from_warehouse_id <> warehouse_id),
    CHECK ((state = 'proposed') = (decided_at IS NULL))
);
CREATE INDEX stocking_proposal_run ON service.stocking_proposal (stocking_run_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_part ON service.stocking_proposal (part_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_warehouse ON service.stocking_proposal (warehouse_id, stocking_proposal_id);
CREATE INDEX stocking_proposal_origin ON service.stocking_proposal (from_warehouse_id) WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stocking_proposal_kind ON service.stocking_proposal (kind, stocking_proposal_id);
CREATE INDEX stocking_proposal_state ON service.stocking_proposal (state, stocking_proposal_id);
CREATE INDEX stocking_proposal_transfer ON service.stocking_proposal (transfer_id) WHERE transfer_id IS NOT NULL;
CREATE INDEX stocking_proposal_purchase ON service.stocking_proposal (purchase_line_id) WHERE purchase_line_id IS NOT NULL;

CALL service.guard('service.demand_forecast', 'false', 'demand_forecast_id');
CALL service.guard('service.demand_forecast_line', 'false', 'demand_forecast_line_id', audited => false);
CALL service.guard('service.stocking_run', 'false', 'stocking_run_id', hidden => ARRAY['curve']);
CALL service.guard('service.stocking_proposal', 'false', 'stocking_proposal_id', states => true);
