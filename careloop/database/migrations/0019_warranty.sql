-- Warranty: what the maker promises (policies), since when (purchases), what is bought or granted on top (cover), what is
-- refused and why (denials), and what suppliers pay back (recovery); docs/decisions/0021-warranty-terms-are-derived.md.

-- What the maker promises -------------------------------------------------------------------------

-- A version is never changed: a change makes the next version, and machines sold before keep theirs.
CREATE TABLE service.warranty_policy (
    policy_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code                 text NOT NULL,
    version              integer NOT NULL CHECK (version > 0),
    name                 text NOT NULL,
    -- For one product model, or for all of a kind, or for all.
    model_id             bigint REFERENCES service.product_model,
    kind                 text,
    -- For machines sold on these days, both included.
    valid_from           date NOT NULL,
    valid_to             date,
    -- Where no proof of purchase was accepted.
    start_rule           text NOT NULL CHECK (start_rule IN ('installation', 'production', 'first_reading')),
    start_delay_days     integer NOT NULL DEFAULT 0 CHECK (start_delay_days >= 0),
    -- Empty: for all.
    customer_kinds       text[] NOT NULL DEFAULT '{}',
    countries            text[] NOT NULL DEFAULT '{}',
    transferable         boolean NOT NULL DEFAULT true,
    human_damage         text NOT NULL CHECK (human_damage IN ('free', 'customer_pays', 'once_free')),
    excluded_causes      text[] NOT NULL DEFAULT '{}',
    excluded_components  text[] NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL,
    created_by           text NOT NULL,
    UNIQUE (code, version),
    CHECK (model_id IS NULL OR kind IS NULL),
    -- One that the next version took over from its first day on is valid on no day.
    CHECK (valid_to >= valid_from - 1)
);
CREATE INDEX warranty_policy_model ON service.warranty_policy (model_id);

CREATE TABLE service.warranty_policy_line (
    policy_id     bigint NOT NULL REFERENCES service.warranty_policy,
    line          integer NOT NULL,
    -- Null: the whole machine.
    component     text,
    months        integer NOT NULL CHECK (months > 0),
    meter_metric  text,
    meter_limit   double precision CHECK (meter_limit > 0),
    parts         boolean NOT NULL DEFAULT true,
    labour        boolean NOT NULL DEFAULT true,
    travel        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (policy_id, line),
    UNIQUE NULLS NOT DISTINCT (policy_id, component),
    CHECK ((meter_metric IS NULL) = (meter_limit IS NULL)),
    CHECK (parts OR labour OR travel)
);

-- When somebody bought a machine, and the proof; accepted, it fixes the start.
CREATE TABLE service.warranty_purchase (
    purchase_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id        integer NOT NULL REFERENCES service.asset,
    state           text NOT NULL DEFAULT 'submitted' CHECK (state IN ('submitted', 'accepted', 'rejected', 'replaced')),
    purchased_on    date NOT NULL,
    seller          text NOT NULL DEFAULT '',
    invoice_number  text NOT NULL DEFAULT '',
    country         text,
    file_id         bigint,
    submitted_at    timestamptz NOT NULL,
    submitted_by    text NOT NULL,
    decided_at      timestamptz,
    decided_by      text,
    decision        text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX warranty_purchase_one_accepted ON service.warranty_purchase (asset_id) WHERE state = 'accepted';
CREATE INDEX warranty_purchase_asset ON service.warranty_purchase (asset_id, purchase_id);
CREATE INDEX warranty_purchase_state ON service.warranty_purchase (state, purchase_id);
CREATE INDEX warranty_purchase_file ON service.warranty_purchase (file_id) WHERE file_id IS NOT NULL;

-- Machines whose terms are still to be derived; every new machine comes here by itself, however it is registered.
CREATE TABLE service.warranty_pending (
    asset_id  integer PRIMARY KEY REFERENCES service.asset ON DELETE CASCADE,
    -- A start that is not known yet, e.g. the first reading, is looked for again then.
    due_at    timestamptz NOT NULL
);
CREATE INDEX warranty_pending_due ON service.warranty_pending (due_at, asset_id);

CREATE FUNCTION service.await_warranty() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.warranty_pending (asset_id, due_at)
    SELECT asset_id, '-infinity' FROM registered
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER await_warranty AFTER INSERT ON service.asset
    REFERENCING NEW TABLE AS registered FOR EACH STATEMENT EXECUTE FUNCTION service.await_warranty();
INSERT INTO service.warranty_pending (asset_id, due_at) SELECT asset_id, '-infinity' FROM service.asset;

-- What is bought on top ---------------------------------------------------------------------------

CREATE TABLE service.cover_product (
    product_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code                 text NOT NULL UNIQUE,
    name                 text NOT NULL,
    kind                 text NOT NULL CHECK (kind IN ('extension_card', 'plan')),
    model_id             bigint REFERENCES service.product_model,
    asset_kind           text,
    price_minor          bigint NOT NULL CHECK (price_minor >= 0),
    currency             text NOT NULL,
    months               integer NOT NULL CHECK (months > 0),
    -- after_warranty: from the day after the last day covered; activation: at once.
    starts               text NOT NULL CHECK (starts IN ('after_warranty', 'activation')),
    -- A sold one that nobody activated lapses after so many days.
    activate_within_days integer NOT NULL CHECK (activate_within_days > 0),
    meter_metric         text,
    meter_limit          double precision CHECK (meter_limit > 0),
    -- Empty: the whole machine.
    components           text[] NOT NULL DEFAULT '{}',
    parts                boolean NOT NULL DEFAULT true,
    labour               boolean NOT NULL DEFAULT true,
    travel               boolean NOT NULL DEFAULT true,
    human_damage         text NOT NULL CHECK (human_damage IN ('free', 'customer_pays', 'once_free')),
    excluded_causes      text[] NOT NULL DEFAULT '{}',
    excluded_components  text[] NOT NULL DEFAULT '{}',
    -- {"maintenance_visit": 2}
    entitlements         jsonb NOT NULL DEFAULT '{}',
    active               boolean NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL,
    version              integer NOT NULL DEFAULT 1,
    CHECK (model_id IS NULL OR asset_kind IS NULL),
    CHECK ((meter_metric IS NULL) = (meter_limit IS NULL))
);
CREATE INDEX cover_product_model ON service.cover_product (model_id);
CREATE TABLE service.cover_contract (
    contract_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id      bigint NOT NULL REFERENCES service.cover_product,
    state           text NOT NULL DEFAULT 'sold' CHECK (state IN ('sold', 'active', 'ended', 'cancelled', 'lapsed')),
    customer_id     bigint REFERENCES service.customer,
    -- Set when it is activated.
    asset_id        integer REFERENCES service.asset,
    -- SHA-256 of the activation code, which is 125 random bits.
    code_hash       bytea UNIQUE,
    invoice_number  text,
    price_minor     bigint NOT NULL CHECK (price_minor >= 0),
    currency        text NOT NULL,
    sold_at         timestamptz NOT NULL,
    sold_by         text NOT NULL,
    activate_by     date NOT NULL,
    activated_at    timestamptz,
    starts_on       date,
    ends_on         date,
    cancelled_at    timestamptz,
    cancel_reason   text NOT NULL DEFAULT '',
    version         integer NOT NULL DEFAULT 1,
    CHECK (code_hash IS NOT NULL OR invoice_number IS NOT NULL),
    CHECK ((starts_on IS NULL) = (ends_on IS NULL)),
    CHECK (state NOT IN ('active', 'ended') OR (asset_id IS NOT NULL AND ends_on >= starts_on))
);
CREATE INDEX cover_contract_product ON service.cover_contract (product_id);
CREATE INDEX cover_contract_state ON service.cover_contract (state, contract_id);
CREATE INDEX cover_contract_customer ON service.cover_contract (customer_id, contract_id);
CREATE INDEX cover_contract_asset ON service.cover_contract (asset_id, contract_id);
CREATE UNIQUE INDEX cover_contract_invoice ON service.cover_contract (invoice_number, product_id)
    WHERE invoice_number IS NOT NULL AND code_hash IS NULL;
CREATE INDEX cover_contract_ending ON service.cover_contract (ends_on) WHERE state = 'active';
CREATE INDEX cover_contract_lapsing ON service.cover_contract (activate_by) WHERE state = 'sold';

CREATE TABLE service.entitlement (
    contract_id  bigint NOT NULL REFERENCES service.cover_contract,
    name         text NOT NULL,
    granted      integer NOT NULL CHECK (granted > 0),
    redeemed     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (contract_id, name),
    CHECK (redeemed BETWEEN 0 AND granted)
);

CREATE TABLE service.redemption (
    redemption_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contract_id    bigint NOT NULL,
    name           text NOT NULL,
    asset_id       integer NOT NULL REFERENCES service.asset,
    ticket_id      bigint REFERENCES service.ticket,
    at             timestamptz NOT NULL,
    redeemed_by    text NOT NULL,
    FOREIGN KEY (contract_id, name) REFERENCES service.entitlement
);
CREATE INDEX redemption_contract ON service.redemption (contract_id, name, redemption_id);
CREATE INDEX redemption_asset ON service.redemption (asset_id, redemption_id);
CREATE INDEX redemption_ticket ON service.redemption (ticket_id);
-- Where a policy bears human damage once.
CREATE TABLE service.human_damage_use (
    asset_id   integer PRIMARY KEY REFERENCES service.asset,
    ticket_id  bigint NOT NULL REFERENCES service.ticket,
    at         timestamptz NOT NULL,
    used_by    text NOT NULL
);
CREATE INDEX human_damage_use_ticket ON service.human_damage_use (ticket_id);
-- What the front line may grant -------------------------------------------------------------------

CREATE TABLE service.extension_right (
    role                text PRIMARY KEY CHECK (role IN ('agent', 'desk_lead', 'service')),
    -- So many days before and after the last day covered.
    days_around_expiry  integer NOT NULL CHECK (days_around_expiry >= 0),
    -- All of a machine's front-line extensions together.
    longest_days        integer NOT NULL CHECK (longest_days > 0),
    monthly_count       integer NOT NULL CHECK (monthly_count >= 0),
    monthly_minor       bigint NOT NULL CHECK (monthly_minor >= 0),
    -- What a day of extension is reckoned to cost.
    day_minor           bigint NOT NULL CHECK (day_minor >= 0),
    currency            text NOT NULL,
    version             integer NOT NULL DEFAULT 1
);
INSERT INTO service.extension_right
    (role, days_around_expiry, longest_days, monthly_count, monthly_minor, day_minor, currency)
VALUES ('agent', 30, 60, 10, 100000, 200, 'EUR'), ('desk_lead', 180, 365, 100, 2000000, 200, 'EUR');

CREATE TABLE service.warranty_extension (
    extension_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id      integer NOT NULL REFERENCES service.asset,
    state         text NOT NULL CHECK (state IN ('requested', 'granted', 'refused', 'withdrawn')),
    days          integer NOT NULL CHECK (days > 0),
    cost_minor    bigint NOT NULL CHECK (cost_minor >= 0),
    currency      text NOT NULL,
    reason        text NOT NULL,
    ticket_id     bigint REFERENCES service.ticket,
    asked_at      timestamptz NOT NULL,
    asked_by      text NOT NULL,
    decided_at    timestamptz,
    decided_by    text,
    decision      text NOT NULL DEFAULT '',
    starts_on     date,
    ends_on       date,
    version       integer NOT NULL DEFAULT 1,
    CHECK (state <> 'granted' OR (starts_on IS NOT NULL AND ends_on >= starts_on))
);
CREATE INDEX warranty_extension_asset ON service.warranty_extension (asset_id, extension_id);
CREATE INDEX warranty_extension_state ON service.warranty_extension (state, extension_id);
CREATE INDEX warranty_extension_ticket ON service.warranty_extension (ticket_id);
-- What somebody granted in a month; guarded updates keep it within the right.
CREATE TABLE service.extension_budget (
    principal    text NOT NULL,
    month        date NOT NULL CHECK (extract(day FROM month) = 1),
    count        integer NOT NULL DEFAULT 0 CHECK (count >= 0),
    spent_minor  bigint NOT NULL DEFAULT 0 CHECK (spent_minor >= 0),
    PRIMARY KEY (principal, month)
);

-- Terms: by hand, from a policy, a contract or an extension ----------------------------------------

ALTER TABLE service.warranty_term
    ADD COLUMN source        text NOT NULL DEFAULT 'manual' CHECK (source IN ('manual', 'policy', 'contract', 'extension')),
    ADD COLUMN policy_id     bigint REFERENCES service.warranty_policy,
    ADD COLUMN contract_id   bigint REFERENCES service.cover_contract,
    ADD COLUMN extension_id  bigint REFERENCES service.warranty_extension,
    ADD COLUMN component     text,
    ADD COLUMN meter_metric  text,
    ADD COLUMN meter_limit   double precision,
    ADD COLUMN parts         boolean NOT NULL DEFAULT true,
    ADD COLUMN labour        boolean NOT NULL DEFAULT true,
    ADD COLUMN travel        boolean NOT NULL DEFAULT true,
    -- Frozen from the policy or product: excluded_causes, excluded_components, human_damage, customer_kinds, countries,
    -- transferable.
    ADD COLUMN conditions    jsonb NOT NULL DEFAULT '{}',
    -- Whether its end is worth a ticket; not when another one follows at once.
    ADD COLUMN announced     boolean NOT NULL DEFAULT true,
    -- Not valid any more, e.g. because a proof of purchase moved the start; kept for the ticket that names it.
    ADD COLUMN withdrawn_at  timestamptz,
    ADD CHECK ((meter_metric IS NULL) = (meter_limit IS NULL)), ADD CHECK ((source = 'policy') = (policy_id IS NOT NULL) OR source = 'extension'),
    ADD CHECK ((source = 'contract') = (contract_id IS NOT NULL)),
    ADD CHECK ((source = 'extension') = (extension_id IS NOT NULL)),
    DROP CONSTRAINT warranty_term_asset_id_name_starts_on_key;
CREATE UNIQUE INDEX warranty_term_once ON service.warranty_term (asset_id, name, starts_on) WHERE withdrawn_at IS NULL;
CREATE INDEX warranty_term_asset ON service.warranty_term (asset_id, term_id);
CREATE INDEX warranty_term_policy ON service.warranty_term (policy_id) WHERE policy_id IS NOT NULL;
CREATE INDEX warranty_term_contract ON service.warranty_term (contract_id) WHERE contract_id IS NOT NULL;
CREATE INDEX warranty_term_extension ON service.warranty_term (extension_id) WHERE extension_id IS NOT NULL;

-- What is refused, and why ------------------------------------------------------------------------

CREATE TABLE service.warranty_denial (
    denial_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id       integer NOT NULL REFERENCES service.asset,
    ticket_id      bigint REFERENCES service.ticket,
    -- Null: whatever is broken.
    component      text,
    state          text NOT NULL DEFAULT 'standing' CHECK (state IN ('standing', 'overturned')),
    reasons        text[] NOT NULL CHECK (cardinality(reasons) > 0),
    note           text NOT NULL DEFAULT '',
    -- The extract of what the machine said, as it was when the denial was made.
    evidence       jsonb NOT NULL,
    customer_text  text NOT NULL,
    denied_at      timestamptz NOT NULL,
    denied_by      text NOT NULL,
    overturned_at  timestamptz,
    overturned_by  text,
    overturn_reason text NOT NULL DEFAULT ''
);
CREATE INDEX warranty_denial_asset ON service.warranty_denial (asset_id, denial_id);
CREATE INDEX warranty_denial_ticket ON service.warranty_denial (ticket_id);
-- One refusal of a case stands at a time.
CREATE UNIQUE INDEX warranty_denial_standing ON service.warranty_denial (ticket_id)
    WHERE state = 'standing' AND ticket_id IS NOT NULL;
CREATE INDEX warranty_denial_state ON service.warranty_denial (state, denial_id);

-- What suppliers pay back -------------------------------------------------------------------------

CREATE TABLE service.supplier (
    supplier_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code               text NOT NULL UNIQUE,
    name               text NOT NULL,
    -- What an hour of labour may be claimed at.
    labour_hour_minor  bigint NOT NULL DEFAULT 0 CHECK (labour_hour_minor >= 0),
    currency           text NOT NULL,
    claim_within_days  integer NOT NULL DEFAULT 90 CHECK (claim_within_days > 0),
    created_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1
);

-- Who supplies a component of a model, or a part wherever it is built in.
CREATE TABLE service.supply (
    supply_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id      bigint NOT NULL REFERENCES service.supplier,
    component_id     bigint UNIQUE REFERENCES service.component,
    part_id          bigint UNIQUE REFERENCES service.part,
    warranty_months  integer NOT NULL CHECK (warranty_months > 0),
    created_at       timestamptz NOT NULL,
    CHECK ((component_id IS NULL) <> (part_id IS NULL))
);
CREATE INDEX supply_supplier ON service.supply (supplier_id, supply_id);
CREATE TABLE service.supplier_claim (
    claim_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id     bigint NOT NULL REFERENCES service.supplier,
    state           text NOT NULL DEFAULT 'draft' CHECK (state IN (
        'draft', 'submitted', 'accepted', 'partly_accepted', 'rejected', 'settled', 'withdrawn', 'expired')),
    asset_id        integer NOT NULL REFERENCES service.asset,
    component       text NOT NULL,
    failure_id      bigint UNIQUE REFERENCES service.failure,
    replacement_id  bigint UNIQUE REFERENCES service.replacement,
    ticket_id       bigint REFERENCES service.ticket,
    failed_on       date NOT NULL,
    -- Since when the failed component was built in, and the last day of the supplier's warranty.
    built_in_on     date NOT NULL,
    covered_until   date NOT NULL,
    deadline        date NOT NULL,
    currency        text NOT NULL,
    parts_minor     bigint NOT NULL DEFAULT 0 CHECK (parts_minor >= 0),
    labour_minor    bigint NOT NULL DEFAULT 0 CHECK (labour_minor >= 0),
    travel_minor    bigint NOT NULL DEFAULT 0 CHECK (travel_minor >= 0),
    claimed_minor   bigint GENERATED ALWAYS AS (parts_minor + labour_minor + travel_minor) STORED,
    accepted_minor  bigint CHECK (accepted_minor >= 0),
    settled_minor   bigint CHECK (settled_minor >= 0),
    reference       text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT '',
    drafted_at      timestamptz NOT NULL,
    submitted_at    timestamptz,
    decided_at      timestamptz,
    settled_at      timestamptz,
    reminded_at     timestamptz,
    version         integer NOT NULL DEFAULT 1,
    CHECK (failure_id IS NOT NULL OR replacement_id IS NOT NULL),
    CHECK (state NOT IN ('accepted', 'partly_accepted', 'settled') OR coalesce(accepted_minor <= claimed_minor, false))
);
CREATE INDEX supplier_claim_supplier ON service.supplier_claim (supplier_id, claim_id);
CREATE INDEX supplier_claim_state ON service.supplier_claim (state, claim_id);
CREATE INDEX supplier_claim_asset ON service.supplier_claim (asset_id, claim_id);
CREATE INDEX supplier_claim_ticket ON service.supplier_claim (ticket_id);
CREATE INDEX supplier_claim_deadline ON service.supplier_claim (deadline) WHERE state = 'draft';

-- Who sees what -----------------------------------------------------------------------------------

CALL service.guard('service.warranty_policy', 'true', 'policy_id');
CALL service.guard('service.warranty_policy_line', 'true', 'policy_id,line');
-- How an owner before bought a machine is not the present one's business.
CALL service.guard('service.warranty_purchase',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_purchase.asset_id) AND NOT EXISTS (SELECT FROM '
    'service.asset_owner o WHERE o.asset_id = warranty_purchase.asset_id AND o.reason = ''transferred'' '
    'AND o.from_at > submitted_at)', 'purchase_id',
    states => true, personal => ARRAY['seller', 'invoice_number']);
CALL service.guard('service.warranty_pending', 'true', 'asset_id', audited => false);
CALL service.guard('service.cover_product', 'true', 'product_id');
CALL service.guard('service.cover_contract', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR ((customer_id IS NULL OR (SELECT service.scope_provider_id()) IS NOT NULL) '
    'AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = cover_contract.asset_id))', 'contract_id',
    states => true, hidden => ARRAY['code_hash'], personal => ARRAY['invoice_number']);
CALL service.guard('service.entitlement',
    'EXISTS (SELECT FROM service.cover_contract c WHERE c.contract_id = entitlement.contract_id)', 'contract_id,name');
CALL service.guard('service.redemption',
    'EXISTS (SELECT FROM service.cover_contract c WHERE c.contract_id = redemption.contract_id)', 'redemption_id');
CALL service.guard('service.human_damage_use',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = human_damage_use.asset_id)', 'asset_id');
CALL service.guard('service.extension_right', 'false', 'role');
CALL service.guard('service.warranty_extension',
    'EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_extension.asset_id)', 'extension_id',
    states => true, personal => ARRAY['reason', 'decision']);
CALL service.guard('service.extension_budget', 'false', 'principal,month');
CALL service.guard('service.warranty_denial', 'CASE WHEN ticket_id IS NULL '
    'THEN EXISTS (SELECT FROM service.asset a WHERE a.asset_id = warranty_denial.asset_id) '
    'ELSE EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = warranty_denial.ticket_id) END', 'denial_id',
    states => true, hidden => ARRAY['evidence'], personal => ARRAY['note', 'customer_text']);
CALL service.guard('service.supplier', 'false', 'supplier_id');
CALL service.guard('service.supply', 'false', 'supply_id');
CALL service.guard('service.supplier_claim', 'false', 'claim_id', states => true);
