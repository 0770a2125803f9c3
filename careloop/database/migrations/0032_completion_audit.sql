-- The completion audit: what partners say of their visits is checked by rules before it is paid. Rules are data in
-- versioned sets (docs/decisions/0032-audit-rules-are-data.md).

-- Rule sets ----------------------------------------------------------------------------------------

CREATE TABLE service.completion_rule_set (
    rule_set_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 1, 2, 3 …: what checks call it.
    number        integer NOT NULL UNIQUE CHECK (number > 0),
    name          text NOT NULL CHECK (name <> ''),
    note          text NOT NULL DEFAULT '',
    state         text NOT NULL DEFAULT 'draft'
                  CHECK (state IN ('draft', 'planned', 'active', 'retired', 'discarded')),
    -- A list of {code, kind, parameters, verdict, if_unknown, told, text, scope} (api/completion_audit/models.py).
    rules         jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
    -- Visits that were completed from then on are judged by it, until those of the next set.
    active_from   timestamptz UNIQUE,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    activated_by  text,
    retired_at    timestamptz,
    version       integer NOT NULL DEFAULT 1,
    CHECK ((state IN ('draft', 'discarded')) = (active_from IS NULL)),
    CHECK ((active_from IS NULL) = (activated_by IS NULL)),
    CHECK ((state = 'retired') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX completion_rule_set_one_active ON service.completion_rule_set (state) WHERE state = 'active';
CREATE UNIQUE INDEX completion_rule_set_one_planned ON service.completion_rule_set (state) WHERE state = 'planned';
CREATE INDEX completion_rule_set_state ON service.completion_rule_set (state, rule_set_id);

-- What once judged a visit stays as it was, whoever asks: its rules can be read years later.
CREATE FUNCTION service.keep_completion_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'rule set % stays; discard a draft', OLD.number USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state <> 'draft' AND (NEW.rules IS DISTINCT FROM OLD.rules OR NEW.number <> OLD.number OR NEW.name <> OLD.name
                                 OR NEW.note <> OLD.note) THEN
        RAISE EXCEPTION 'rule set % is %; only drafts change', OLD.number, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state IN ('active', 'retired') AND NEW.active_from IS DISTINCT FROM OLD.active_from THEN
        RAISE EXCEPTION 'rule set % holds from %; that stays', OLD.number, OLD.active_from
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON service.completion_rule_set
    FOR EACH ROW EXECUTE FUNCTION service.keep_completion_rules();

-- A rule set tried on past visits. Holds actor and time itself.
CREATE TABLE service.completion_trial (
    completion_trial_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_set_id          bigint NOT NULL REFERENCES service.completion_rule_set,
    -- The rules as they were tried; a draft may change afterwards.
    rules                jsonb NOT NULL,
    -- The set that it was compared with; null where none held.
    against_id           bigint REFERENCES service.completion_rule_set,
    -- Visits whose appointment was in it.
    since                timestamptz NOT NULL,
    until                timestamptz NOT NULL CHECK (until > since),
    provider_id          bigint REFERENCES service.provider,
    found                integer NOT NULL CHECK (found >= 0),
    judged               integer NOT NULL CHECK (judged BETWEEN 0 AND found),
    -- {passed, rejected, manual} of the tried set and of the other one, findings by rule, and what differs.
    outcome              jsonb NOT NULL,
    actor                text NOT NULL,
    at                   timestamptz NOT NULL
);
CREATE INDEX completion_trial_rule_set_id ON service.completion_trial (rule_set_id, completion_trial_id);
CREATE INDEX completion_trial_against_id ON service.completion_trial (against_id);
CREATE INDEX completion_trial_provider_id ON service.completion_trial (provider_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_trial
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_trial', 'false', 'completion_trial_id', audited => false);

-- Checks -------------------------------------------------------------------------------------------

-- Where the audit of a partner's visit stands; made with the visit's completion, so that none is forgotten. Payable are
-- `passed` and `accepted`. It has no column for the case: the customer does not read of it in the feed.
CREATE TABLE service.completion_check (
    completion_check_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id             bigint NOT NULL UNIQUE REFERENCES service.visit,
    -- Whose visit it was when it was completed.
    provider_id          bigint NOT NULL REFERENCES service.provider,
    technician_id        bigint NOT NULL REFERENCES service.technician,
    completed_at         timestamptz NOT NULL,
    state                text NOT NULL DEFAULT 'due'
                         CHECK (state IN ('due', 'passed', 'rejected', 'manual', 'accepted')),
    -- Of the latest run.
    runs                 integer NOT NULL DEFAULT 0 CHECK (runs >= 0),
    rule_set_version     integer REFERENCES service.completion_rule_set (number),
    findings             jsonb NOT NULL DEFAULT '[]',
    checked_at           timestamptz,
    -- Of the first run, for statistics: how good the partner's report was.
    first_verdict        text CHECK (first_verdict IN ('passed', 'rejected', 'manual')),
    first_reasons        text[] NOT NULL DEFAULT '{}',
    -- Who is at it, of those in the manual queue.
    claimed_key          text,
    claimed_by           text,
    claimed_at           timestamptz,
    -- What a person decided last, and why; whatever a person refused only a person accepts.
    decision             text CHECK (decision IN ('accepted', 'refused')),
    decision_reason      text NOT NULL DEFAULT '',
    decided_by           text,
    decided_at           timestamptz,
    version              integer NOT NULL DEFAULT 1,
    CHECK ((state = 'due') = (runs = 0)),
    CHECK ((runs = 0) = (first_verdict IS NULL)),
    CHECK ((claimed_key IS NULL) = (claimed_at IS NULL)),
    CHECK (claimed_key IS NULL OR state = 'manual'),
    CHECK ((decision IS NULL) = (decided_at IS NULL)),
    CHECK (state <> 'accepted' OR decision = 'accepted')
);
CREATE INDEX completion_check_state ON service.completion_check (state, completion_check_id);
CREATE INDEX completion_check_provider_id ON service.completion_check (provider_id, completion_check_id);
CREATE INDEX completion_check_technician_id ON service.completion_check (technician_id, completion_check_id);
CREATE INDEX completion_check_rule_set ON service.completion_check (rule_set_version, completion_check_id);
CREATE INDEX completion_check_completed ON service.completion_check (completed_at, completion_check_id);
CREATE INDEX completion_check_of_provider ON service.completion_check (provider_id, completed_at);
CREATE INDEX completion_check_claimed ON service.completion_check (claimed_key, completion_check_id)
    WHERE claimed_key IS NOT NULL;
CREATE INDEX completion_check_unclaimed ON service.completion_check (completion_check_id)
    WHERE state = 'manual' AND claimed_key IS NULL;
CALL service.guard('service.completion_check', 'provider_id = (SELECT service.scope_provider_id())', 'completion_check_id',
    states => true, personal => ARRAY['decision_reason']);

-- A visit of a partner is owed a check as soon as it is completed, in whatever way.
CREATE FUNCTION service.owe_completion_check() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.completion_check (visit_id, provider_id, technician_id, completed_at)
    SELECT NEW.visit_id, h.provider_id, h.technician_id, coalesce(NEW.ended_at, service.current_time_of_call())
    FROM service.technician h
    WHERE h.technician_id = NEW.technician_id AND h.provider_id IS NOT NULL
    ON CONFLICT (visit_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER completion_owed AFTER UPDATE OF state ON service.visit FOR EACH ROW
    WHEN (NEW.state = 'completed' AND OLD.state <> 'completed') EXECUTE FUNCTION service.owe_completion_check();

-- Each time that rules judged a visit: what they saw, what they found. Append-only; holds actor and time itself.
CREATE TABLE service.completion_run (
    completion_run_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    completion_check_id  bigint NOT NULL REFERENCES service.completion_check,
    -- 1, 2, 3 … of its check.
    number               integer NOT NULL CHECK (number > 0),
    rule_set_id          bigint NOT NULL REFERENCES service.completion_rule_set,
    -- Its number, for partners, who do not see the set.
    rule_set_version     integer NOT NULL,
    -- What the rules saw (api/completion_audit/facts.py): numbers and codes, no person's words.
    facts                jsonb NOT NULL,
    findings             jsonb NOT NULL,
    verdict              text NOT NULL CHECK (verdict IN ('passed', 'rejected', 'manual')),
    actor                text NOT NULL,
    at                   timestamptz NOT NULL,
    UNIQUE (completion_check_id, number)
);
CREATE INDEX completion_run_rule_set_id ON service.completion_run (rule_set_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_run
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_run', 'EXISTS (SELECT FROM service.completion_check c '
    'WHERE c.completion_check_id = completion_run.completion_check_id)', 'completion_run_id', audited => false);

-- What people did about a check: corrected, objected, claimed, decided. Append-only but for the erasure of a person; holds
-- actor and time itself.
CREATE TABLE service.completion_step (
    completion_step_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    completion_check_id  bigint NOT NULL REFERENCES service.completion_check,
    action               text NOT NULL
                         CHECK (action IN ('correct', 'object', 'recheck', 'claim', 'assign', 'release', 'accept', 'refuse',
                                           'reopen')),
    from_state           text NOT NULL,
    to_state             text NOT NULL,
    reason               text NOT NULL DEFAULT '',
    -- Of a correction: what of the report is otherwise (api/completion_audit/models.py, Correction).
    content              jsonb NOT NULL DEFAULT '{}',
    actor                text NOT NULL,
    -- 'user:3', 'key:12'.
    actor_key            text NOT NULL,
    at                   timestamptz NOT NULL
);
CREATE INDEX completion_step_check ON service.completion_step (completion_check_id, completion_step_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.completion_step
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();
CALL service.guard('service.completion_step', 'EXISTS (SELECT FROM service.completion_check c '
    'WHERE c.completion_check_id = completion_step.completion_check_id)', 'completion_step_id', audited => false,
    personal => ARRAY['reason', 'content']);

-- What holds until the house has decided: what is surely wrong is rejected, what is odd goes to a person. Ranges of fees
-- and numbers of photos are for the house to say; a copy of this set is where to begin.
INSERT INTO service.completion_rule_set
    (number, name, note, state, rules, active_from, activated_by, created_at, created_by)
VALUES (1, 'House rules', 'As careloop comes.', 'active', '[
{"code": "report", "kind": "report", "verdict": "reject", "parameters": {}},
{"code": "serial", "kind": "serial", "verdict": "reject", "parameters": {"must_match": true}},
{"code": "fault-code", "kind": "fault_code", "verdict": "reject",
 "parameters": {"levels": ["symptom", "fault", "cause", "remedy"], "if_not_solved": false},
 "scope": {"job_kinds": ["repair", "complaint", "return", "exchange", "recall"]}},
{"code": "signature", "kind": "signature", "verdict": "reject", "parameters": {"reason_suffices": true}},
{"code": "charged-in-warranty", "kind": "charged_though_covered", "verdict": "reject",
 "parameters": {"tolerance_minor": 0, "with_agreed_fees": false}},
{"code": "free-out-of-warranty", "kind": "free_though_not_covered", "verdict": "manual",
 "parameters": {"tolerance_minor": 0}, "scope": {"job_kinds": ["repair", "complaint"]}},
{"code": "warranty-claim", "kind": "warranty_claim", "verdict": "manual", "parameters": {}},
{"code": "installed-twice", "kind": "second_installation", "verdict": "manual", "parameters": {}},
{"code": "twice-a-day", "kind": "twice_a_day", "verdict": "manual",
 "parameters": {"whose": "provider", "same_job_too": false}},
{"code": "rework", "kind": "rework", "verdict": "manual",
 "parameters": {"within_days": 30, "same": "either", "same_provider": true}},
{"code": "parts-against-stock", "kind": "parts_against_stock", "verdict": "manual",
 "parameters": {"billed_too": true, "tolerance": 0}},
{"code": "part-does-not-fit", "kind": "part_does_not_fit", "verdict": "manual", "parameters": {}},
{"code": "part-serial", "kind": "part_serial", "verdict": "reject", "parameters": {}},
{"code": "replaced-without-part", "kind": "replaced_without_part", "verdict": "manual", "parameters": {}},
{"code": "travel-distance", "kind": "travel_distance", "verdict": "manual",
 "parameters": {"factor": 1.4, "ways": 2, "allowance_km": 5}},
{"code": "labour-beyond-presence", "kind": "labour_beyond_presence", "verdict": "manual",
 "parameters": {"factor": 1, "allowance_minutes": 15}},
{"code": "time-order", "kind": "time_order", "verdict": "manual",
 "parameters": {"tolerance_minutes": 5, "past_appointment_hours": null}},
{"code": "photo-reused", "kind": "photo_reused", "verdict": "manual", "parameters": {}, "told": false},
{"code": "photos", "kind": "photos", "verdict": "note", "parameters": {"least": 1}},
{"code": "old-part", "kind": "old_part", "verdict": "note", "parameters": {}},
{"code": "far-from-site", "kind": "far_from_site", "verdict": "note", "parameters": {"most_km": 0.5}},
{"code": "clock-off", "kind": "clock_off", "verdict": "note", "parameters": {"most_minutes": 15}},
{"code": "told-late", "kind": "told_late", "verdict": "note", "parameters": {"most_hours": 24, "after_the_end": null}}
]', '2000-01-01 00:00Z', 'careloop', '2000-01-01 00:00Z', 'careloop');

-- Guarded only now: what careloop comes with is no change for a feed.
CALL service.guard('service.completion_rule_set', 'false', 'rule_set_id', states => true);
