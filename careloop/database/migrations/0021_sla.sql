-- Files, service levels, escalations, and what is said with the customer.

-- Files ---------------------------------------------------------------------------------------------

-- The bytes, in the database so that they come and go with what they prove; once per owner.
CREATE TABLE service.file_content (
    -- Whoever brought it: 'key:12', 'user:3'.
    owner    text NOT NULL,
    sha256   bytea NOT NULL CHECK (length(sha256) = 32),
    content  bytea NOT NULL,
    PRIMARY KEY (owner, sha256)
);
-- Photos, videos and office documents are compressed already.
ALTER TABLE service.file_content ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE service.file (
    file_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner        text NOT NULL,
    sha256       bytea NOT NULL,
    name         text NOT NULL,
    -- By its bytes, not by what its sender said.
    media_type   text NOT NULL,
    size_bytes   integer NOT NULL CHECK (size_bytes > 0),
    ticket_id    bigint REFERENCES service.ticket,
    asset_id     integer REFERENCES service.asset,
    -- Of whoever brought it, if that was a customer or a partner.
    customer_id  bigint REFERENCES service.customer,
    provider_id  bigint REFERENCES service.provider,
    -- Who sees it besides staff: the customer and partners, partners, nobody.
    audience     text NOT NULL DEFAULT 'all' CHECK (audience IN ('all', 'partner', 'staff')),
    uploaded_by  text NOT NULL,
    at           timestamptz NOT NULL,
    -- Null: nothing has taken it yet; it goes after a day.
    attached_at  timestamptz,
    FOREIGN KEY (owner, sha256) REFERENCES service.file_content
);
CREATE INDEX file_content_used ON service.file (owner, sha256);
CREATE INDEX file_ticket_id ON service.file (ticket_id, file_id);
CREATE INDEX file_asset_id ON service.file (asset_id, file_id);
CREATE INDEX file_customer_id ON service.file (customer_id);
CREATE INDEX file_provider_id ON service.file (provider_id);
CREATE INDEX file_orphan ON service.file (at) WHERE attached_at IS NULL;
CREATE INDEX file_waiting ON service.file (owner) WHERE attached_at IS NULL;
-- Papers of machines go with their file; that a machine changed hands stays.
ALTER TABLE service.document ADD FOREIGN KEY (file_id) REFERENCES service.file ON DELETE CASCADE;
ALTER TABLE service.asset_owner ADD FOREIGN KEY (proof_file_id) REFERENCES service.file ON DELETE SET NULL;

-- One's own; what belongs to a case that one sees; what belongs to the machine itself, not to a case of an owner before.
CALL service.guard('service.file', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id()) '
    'OR ((audience = ''all'' OR (audience = ''partner'' AND (SELECT service.scope_provider_id()) IS NOT NULL)) '
    'AND (EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = file.ticket_id) '
    'OR (file.ticket_id IS NULL AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = file.asset_id)) '
    'OR EXISTS (SELECT FROM service.document d WHERE d.file_id = file.file_id AND d.model_id IS NOT NULL)))',
    'file_id', personal => ARRAY['name', 'uploaded_by']);
CALL service.guard('service.file_content', 'EXISTS (SELECT FROM service.file f '
    'WHERE f.owner = file_content.owner AND f.sha256 = file_content.sha256)', 'owner,sha256',
    hidden => ARRAY['content']);

-- Service levels ------------------------------------------------------------------------------------

CREATE TABLE service.calendar (
    calendar_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code             text NOT NULL UNIQUE CHECK (code <> ''),
    name             text NOT NULL,
    time_zone        text NOT NULL,
    -- Seven lists, Monday first, of [opens, closes] in minutes of the day.
    week             jsonb NOT NULL CHECK (jsonb_array_length(week) = 7),
    -- Whose public holidays hold; null for none.
    country          text,
    subdivision      text,
    -- The library's release that the latest years were taken from, and the last year taken.
    holidays_version text,
    holidays_until   integer,
    created_at       timestamptz NOT NULL,
    version          integer NOT NULL DEFAULT 1
);

-- Days that are not like their weekday. Taken from the library once and kept, so that its next release does not change
-- what was due in the past; somebody's own day holds against the library's.
CREATE TABLE service.calendar_day (
    calendar_id  bigint NOT NULL REFERENCES service.calendar,
    day          date NOT NULL,
    source       text NOT NULL CHECK (source IN ('library', 'own')),
    name         text NOT NULL,
    -- A list as in `week`; empty when closed.
    spans        jsonb NOT NULL,
    PRIMARY KEY (calendar_id, day, source)
);

-- Never deleted, only switched off: clocks keep their number.
CREATE TABLE service.sla_policy (
    policy_id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                    text NOT NULL UNIQUE CHECK (name <> ''),
    -- The first that fits a case holds.
    place                   integer NOT NULL,
    active                  boolean NOT NULL DEFAULT true,
    calendar_id             bigint NOT NULL REFERENCES service.calendar,
    -- Null: of all.
    kinds                   text[],
    priorities              text[],
    queues                  text[],
    customer_kinds          text[],
    customer_ids            bigint[],
    -- In business minutes; null: not promised.
    first_response_minutes  integer CHECK (first_response_minutes > 0),
    appointment_minutes     integer CHECK (appointment_minutes > 0),
    solution_minutes        integer CHECK (solution_minutes > 0),
    warn_percent            integer NOT NULL DEFAULT 80 CHECK (warn_percent BETWEEN 1 AND 100),
    version                 integer NOT NULL DEFAULT 1
);
CREATE INDEX sla_policy_place ON service.sla_policy (place, policy_id);
CREATE INDEX sla_policy_calendar_id ON service.sla_policy (calendar_id);

-- Which state of the three tables above processes have in memory: another one with each change.
CREATE TABLE service.sla_revision (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision  uuid NOT NULL
);
INSERT INTO service.sla_revision (revision) VALUES (gen_random_uuid());

CREATE FUNCTION service.revise_sla() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.sla_revision SET revision = gen_random_uuid();
    RETURN NULL;
END
$$;
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.calendar
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.calendar_day
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();
CREATE TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON service.sla_policy
    FOR EACH STATEMENT EXECUTE FUNCTION service.revise_sla();

-- What is timed of a case. No keys to policy and calendar, which nobody deletes: with them all new tickets would lock the
-- same few rows.
CREATE TABLE service.ticket_clock (
    clock_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id         bigint NOT NULL REFERENCES service.ticket ON DELETE CASCADE,
    kind              text NOT NULL CHECK (kind IN ('first_response', 'appointment', 'solution')),
    policy_id         bigint NOT NULL,
    calendar_id       bigint NOT NULL,
    calendar_version  integer NOT NULL,
    target_minutes    integer NOT NULL CHECK (target_minutes > 0),
    warn_percent      integer NOT NULL,
    started_at        timestamptz NOT NULL,
    pauses            tstzmultirange NOT NULL DEFAULT '{}',
    paused_since      timestamptz,
    stopped_at        timestamptz,
    -- Null while it is paused with time left.
    due_at            timestamptz,
    warn_at           timestamptz,
    -- When somebody must look at it: to warn, to say that it is breached, to hear that it has stopped after that.
    next_at           timestamptz,
    warned_at         timestamptz,
    breached_at       timestamptz,
    UNIQUE (ticket_id, kind)
);
CREATE INDEX ticket_clock_next ON service.ticket_clock (next_at, clock_id) WHERE next_at IS NOT NULL;
CREATE INDEX ticket_clock_due ON service.ticket_clock (due_at, clock_id) WHERE stopped_at IS NULL AND due_at IS NOT NULL;
-- Cases that run late, in the order in which they became so.
CREATE INDEX ticket_clock_late ON service.ticket_clock (due_at, ticket_id) WHERE stopped_at IS NULL AND due_at IS NOT NULL;
CREATE INDEX ticket_clock_calendar ON service.ticket_clock (calendar_id, calendar_version) WHERE stopped_at IS NULL;

CALL service.guard('service.calendar', 'true', 'calendar_id');
CALL service.guard('service.calendar_day', 'true', 'calendar_id,day,source');
-- What others were promised is not for everybody.
CALL service.guard('service.sla_policy', 'false', 'policy_id');
CALL service.guard('service.sla_revision', 'true', 'only_row', audited => false);
-- Reckoned from policies, calendars and the case's moves, which are audited; trips stand in the case's history.
CALL service.guard('service.ticket_clock',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = ticket_clock.ticket_id)', 'clock_id', audited => false);

-- What is said --------------------------------------------------------------------------------------

CREATE TABLE service.message (
    message_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    -- From the customer, to the customer, or a note among those who work on the case.
    direction      text NOT NULL CHECK (direction IN ('in', 'out', 'note')),
    -- Who reads it besides staff: the customer and partners, partners, nobody.
    audience       text NOT NULL CHECK (audience IN ('all', 'partner', 'staff')),
    channel        text NOT NULL
                   CHECK (channel IN ('portal', 'email', 'phone', 'sms', 'chat', 'letter', 'in_person', 'internal')),
    author_kind    text NOT NULL CHECK (author_kind IN ('user', 'customer', 'system')),
    author_key     text NOT NULL,
    author_name    text NOT NULL,
    language       text,
    template_code  text,
    -- What it is called where it came from, e.g. the Message-ID of a mail; the same is taken in once.
    external_id    text CHECK (external_id <> ''),
    body           text NOT NULL CHECK (body <> ''),
    at             timestamptz NOT NULL,
    edited_at      timestamptz,
    version        integer NOT NULL DEFAULT 1,
    CHECK ((direction = 'note') = (audience <> 'all'))
);
CREATE INDEX message_ticket_id ON service.message (ticket_id, message_id);
CREATE UNIQUE INDEX message_external_id ON service.message (channel, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE service.message_file (
    message_id  bigint NOT NULL REFERENCES service.message ON DELETE CASCADE,
    file_id     bigint NOT NULL REFERENCES service.file,
    PRIMARY KEY (message_id, file_id)
);
CREATE INDEX message_file_file_id ON service.message_file (file_id);

-- How far somebody has read in a case.
CREATE TABLE service.message_read (
    ticket_id   bigint NOT NULL REFERENCES service.ticket,
    -- 'user:3', 'key:12'.
    reader      text NOT NULL,
    message_id  bigint NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, reader)
);

-- Where a conversation stands.
CREATE TABLE service.conversation (
    ticket_id       bigint PRIMARY KEY REFERENCES service.ticket,
    last_in_at      timestamptz,
    last_out_at     timestamptz,
    -- Since when the customer waits for an answer.
    awaiting_since  timestamptz
);
CREATE INDEX conversation_awaiting ON service.conversation (awaiting_since, ticket_id) WHERE awaiting_since IS NOT NULL;

-- Nobody waits for an answer in a case that is over.
CREATE FUNCTION service.end_waiting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE service.conversation SET awaiting_since = NULL WHERE ticket_id = NEW.ticket_id AND awaiting_since IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER waiting_ended AFTER UPDATE OF state ON service.ticket FOR EACH ROW
    WHEN (NEW.state IN ('resolved', 'closed', 'cancelled', 'merged') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION service.end_waiting();

-- Canned replies. Placeholders as in ${ticket_id}; no code.
CREATE TABLE service.reply_template (
    template_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL CHECK (code <> ''),
    language     text NOT NULL,
    name         text NOT NULL,
    body         text NOT NULL CHECK (body <> ''),
    active       boolean NOT NULL DEFAULT true,
    version      integer NOT NULL DEFAULT 1,
    UNIQUE (code, language)
);

CALL service.guard('service.message', '(audience = ''all'' '
    'OR (audience = ''partner'' AND (SELECT service.scope_provider_id()) IS NOT NULL)) '
    'AND EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = message.ticket_id)', 'message_id',
    personal => ARRAY['body', 'author_name', 'external_id']);
CALL service.guard('service.message_file',
    'EXISTS (SELECT FROM service.message m WHERE m.message_id = message_file.message_id)', 'message_id,file_id');
CALL service.guard('service.message_read',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = message_read.ticket_id)', 'ticket_id,reader',
    audited => false);
CALL service.guard('service.conversation',
    'EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = conversation.ticket_id)', 'ticket_id', audited => false);
CALL service.guard('service.reply_template', '(SELECT service.scope_provider_id()) IS NOT NULL', 'template_id');

-- What is found by words: said to and by the customer; noted among staff (0020_tickets.sql asks by this name).
CREATE OR REPLACE FUNCTION service.ticket_words(of_ticket_id bigint, OUT said text, OUT noted text) LANGUAGE sql STABLE AS
$$
    SELECT string_agg(m.body, ' ') FILTER (WHERE m.direction <> 'note'),
           string_agg(m.body, ' ') FILTER (WHERE m.direction = 'note')
    FROM service.message m
    WHERE m.ticket_id = of_ticket_id
$$;

CREATE FUNCTION service.index_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM service.index_tickets(coalesce(NEW.ticket_id, OLD.ticket_id), coalesce(NEW.ticket_id, OLD.ticket_id));
    RETURN NULL;
END
$$;
CREATE TRIGGER searchable AFTER INSERT OR DELETE OR UPDATE OF body, ticket_id ON service.message
    FOR EACH ROW EXECUTE FUNCTION service.index_message();

-- Escalations ---------------------------------------------------------------------------------------

-- Which steps are gone when a clock trips or a case comes back; the first, by place, that fits a case and has such steps.
CREATE TABLE service.escalation_ladder (
    ladder_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    place       integer NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    -- Null: of all.
    kinds       text[],
    priorities  text[],
    queues      text[],
    steps       jsonb NOT NULL CHECK (jsonb_array_length(steps) > 0),
    version     integer NOT NULL DEFAULT 1
);
CREATE INDEX escalation_ladder_place ON service.escalation_ladder (place, ladder_id);

CREATE TABLE service.escalation (
    escalation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id      bigint NOT NULL REFERENCES service.ticket,
    -- Null when somebody opened it by hand.
    ladder_id      bigint REFERENCES service.escalation_ladder,
    -- 'clock:solution', 'reopened:2', 'by_hand:1': each of a case once.
    cause          text NOT NULL,
    clock_id       bigint REFERENCES service.ticket_clock ON DELETE SET NULL,
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided', 'lapsed')),
    -- The steps of the ladder as they were at the opening, and how many of them were gone.
    steps          jsonb NOT NULL,
    steps_gone     integer NOT NULL DEFAULT 0,
    -- When the next step is due; null when that is not known yet or there is none.
    next_at        timestamptz,
    -- Who is to decide: whom the last step named.
    role           text,
    user_id        bigint REFERENCES service.app_user,
    opened_at      timestamptz NOT NULL,
    -- Who opened it by hand, and why.
    opened_by      text,
    opened_because text,
    decision       text,
    reason         text,
    decided_by     text,
    ended_at       timestamptz,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (ticket_id, cause),
    CHECK ((state = 'decided') = (decision IS NOT NULL)),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK (state = 'open' OR next_at IS NULL),
    CHECK ((ladder_id IS NULL) = (cause LIKE 'by\_hand:%')),
    CHECK ((ladder_id IS NULL) = (opened_because IS NOT NULL))
);
-- One that was opened by hand is open at a time.
CREATE UNIQUE INDEX escalation_by_hand ON service.escalation (ticket_id) WHERE ladder_id IS NULL AND state = 'open';
CREATE INDEX escalation_state ON service.escalation (state, escalation_id);
CREATE INDEX escalation_role ON service.escalation (role, state, escalation_id);
CREATE INDEX escalation_user_id ON service.escalation (user_id, escalation_id);
CREATE INDEX escalation_ladder_id ON service.escalation (ladder_id);
CREATE INDEX escalation_clock_id ON service.escalation (clock_id);
CREATE INDEX escalation_next ON service.escalation (next_at, escalation_id) WHERE next_at IS NOT NULL;

-- Steps that were gone, each once.
CREATE TABLE service.escalation_step (
    escalation_id  bigint NOT NULL REFERENCES service.escalation,
    step           integer NOT NULL,
    at             timestamptz NOT NULL,
    -- What was done, and what could not be.
    done           text[] NOT NULL,
    PRIMARY KEY (escalation_id, step)
);

-- Cases that came back, as the escalations look for them.
CREATE INDEX ticket_reopened ON service.ticket (ticket_id)
    WHERE reopened_count > 0 AND state IN ('open', 'waiting_customer', 'scheduled', 'in_progress');

CALL service.guard('service.escalation_ladder', '(SELECT service.scope_provider_id()) IS NOT NULL', 'ladder_id');
-- Not for customers, though the case is theirs.
CALL service.guard('service.escalation', '(SELECT service.scope_provider_id()) IS NOT NULL '
    'AND EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = escalation.ticket_id)', 'escalation_id', states => true,
    personal => ARRAY['reason', 'decided_by', 'opened_by', 'opened_because']);
CALL service.guard('service.escalation_step',
    'EXISTS (SELECT FROM service.escalation e WHERE e.escalation_id = escalation_step.escalation_id)',
    'escalation_id,step', audited => false);
