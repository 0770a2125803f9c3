-- Visits from the appointment to the report: what a technician is to do, did, found and left behind
-- (docs/decisions/0024-visits.md).

-- How work is done -------------------------------------------------------------------------------

-- A standard operating procedure. A version never changes: a visit keeps the one it was made with.
CREATE TABLE service.sop (
    sop_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code           text NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    title          text NOT NULL,
    -- Which work it is for; null: any.
    model_id       bigint REFERENCES service.product_model,
    product_kind   text,
    -- Kind of the ticket, or 'plan'.
    job_kind       text,
    -- What to read before work: [{code, text}].
    tips           jsonb NOT NULL,
    -- What must be in order on site before work: [{code, text, unit, minimum, maximum, photo, optional}].
    checks         jsonb NOT NULL,
    -- What to do, in order: [{code, text, kind, mandatory, unit, minimum, maximum, choices}].
    steps          jsonb NOT NULL,
    made_by        text NOT NULL,
    made_at        timestamptz NOT NULL,
    -- When a later version came, or when it was withdrawn.
    superseded_at  timestamptz,
    UNIQUE (code, version)
);
CREATE UNIQUE INDEX sop_current ON service.sop (code) WHERE superseded_at IS NULL;
CREATE INDEX sop_model_id ON service.sop (model_id);
CALL service.guard('service.sop', '(SELECT service.scope_customer_id()) IS NULL', 'sop_id');

-- The procedure for a job: what names the model before what names its kind, what names the kind of work before any.
CREATE FUNCTION service.sop_of_job(wanted_job_id bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT s.sop_id
    FROM service.job j
    JOIN service.asset a USING (asset_id)
    JOIN service.product_model m USING (model_id)
    LEFT JOIN service.ticket t ON t.ticket_id = j.ticket_id
    JOIN service.sop s ON s.superseded_at IS NULL
        AND (s.model_id IS NULL OR s.model_id = m.model_id)
        AND (s.product_kind IS NULL OR s.product_kind = m.kind)
        AND (s.job_kind IS NULL OR s.job_kind = coalesce(t.kind, 'plan'))
    WHERE j.job_id = wanted_job_id
    ORDER BY s.model_id IS NULL, s.product_kind IS NULL, s.job_kind IS NULL, s.sop_id DESC
    LIMIT 1
$$;

-- What can be wrong with machines of a kind, from what one sees to what one does about it.
CREATE TABLE service.fault_code (
    fault_code_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_kind   text NOT NULL,
    code           text NOT NULL,
    level          text NOT NULL CHECK (level IN ('symptom', 'fault', 'cause', 'remedy')),
    parent_id      bigint REFERENCES service.fault_code,
    text           text NOT NULL,
    active         boolean NOT NULL DEFAULT true,
    version        integer NOT NULL DEFAULT 1,
    UNIQUE (product_kind, code),
    CHECK ((level = 'symptom') = (parent_id IS NULL))
);
CREATE INDEX fault_code_kind ON service.fault_code (product_kind, fault_code_id);
CREATE INDEX fault_code_parent_id ON service.fault_code (parent_id);
CALL service.guard('service.fault_code', 'true', 'fault_code_id');

-- The visit --------------------------------------------------------------------------------------

ALTER TABLE service.visit DROP CONSTRAINT visit_state_check;
ALTER TABLE service.visit
    ADD CONSTRAINT visit_state_check CHECK (state IN
        ('planned', 'confirmed', 'travelling', 'started', 'completed', 'refused_unsafe', 'no_access', 'cancelled')),
    -- The job's, so that the history and the feed of a case find it.
    ADD COLUMN ticket_id       bigint REFERENCES service.ticket,
    ADD COLUMN sop_id          bigint REFERENCES service.sop,
    ADD COLUMN confirmed_at    timestamptz,
    ADD COLUMN confirmed_by    text,
    ADD COLUMN departed_at     timestamptz,
    ADD COLUMN checked_in_at   timestamptz,
    ADD COLUMN work_began_at   timestamptz,
    ADD COLUMN checked_out_at  timestamptz,
    ADD COLUMN ended_at        timestamptz,
    -- Of a visit that did not do its work: the reason's code, and the words.
    ADD COLUMN end_reason      text,
    ADD COLUMN end_note        text,
    ADD COLUMN version         integer NOT NULL DEFAULT 1;
UPDATE service.visit v SET ticket_id = j.ticket_id FROM service.job j WHERE j.job_id = v.job_id AND j.ticket_id IS NOT NULL;
DROP INDEX service.visit_one_open_per_job;
CREATE UNIQUE INDEX visit_one_open_per_job ON service.visit (job_id)
    WHERE state IN ('planned', 'confirmed', 'travelling', 'started');
CREATE INDEX visit_ticket_id ON service.visit (ticket_id, visit_id);
CREATE INDEX visit_sop_id ON service.visit (sop_id);
CREATE INDEX visit_starts_at ON service.visit (starts_at, visit_id) WHERE state <> 'cancelled';

-- The appointments offered to the customer; the visit stands at the first until one is chosen.
CREATE TABLE service.visit_slot (
    slot_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id       bigint NOT NULL REFERENCES service.visit,
    technician_id  bigint NOT NULL REFERENCES service.technician,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    state          text NOT NULL DEFAULT 'offered' CHECK (state IN ('offered', 'chosen', 'withdrawn')),
    offered_at     timestamptz NOT NULL,
    CHECK (ends_at > starts_at)
);
CREATE INDEX visit_slot_visit_id ON service.visit_slot (visit_id, slot_id);
CREATE INDEX visit_slot_technician_id ON service.visit_slot (technician_id);
CALL service.guard('service.visit_slot', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_slot.visit_id)',
    'slot_id');

-- A link for the customer who has no login; the token itself is told once and only its SHA-256 is kept.
CREATE TABLE service.visit_link (
    link_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id    bigint NOT NULL REFERENCES service.visit,
    token_hash  bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX visit_link_visit_id ON service.visit_link (visit_id);
CALL service.guard('service.visit_link', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_link.visit_id)',
    'link_id', hidden => ARRAY['token_hash']);

-- Why an appointment moved or went to somebody else, and who caused it. Holds actor and time itself.
CREATE TABLE service.visit_change (
    change_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id            bigint NOT NULL REFERENCES service.visit,
    kind                text NOT NULL CHECK (kind IN ('reschedule', 'reassign')),
    caused_by           text CHECK (caused_by IN ('customer', 'provider', 'maker', 'parts', 'weather', 'other')),
    reason              text NOT NULL,
    note                text NOT NULL DEFAULT '',
    from_technician_id  bigint NOT NULL REFERENCES service.technician,
    to_technician_id    bigint NOT NULL REFERENCES service.technician,
    from_starts_at      timestamptz NOT NULL,
    to_starts_at        timestamptz NOT NULL,
    actor               text NOT NULL,
    at                  timestamptz NOT NULL,
    CHECK ((kind = 'reschedule') = (caused_by IS NOT NULL))
);
CREATE INDEX visit_change_visit_id ON service.visit_change (visit_id, change_id);
CREATE INDEX visit_change_at ON service.visit_change (at, kind);
CREATE INDEX visit_change_from_technician_id ON service.visit_change (from_technician_id);
CREATE INDEX visit_change_to_technician_id ON service.visit_change (to_technician_id);
CALL service.guard('service.visit_change',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_change.visit_id)',
    'change_id', audited => false, personal => ARRAY['note']);

-- The customer was called, written to, or rung at the door.
CREATE TABLE service.visit_contact (
    contact_attempt_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id            bigint NOT NULL REFERENCES service.visit,
    channel             text NOT NULL,
    result              text NOT NULL,
    person              text NOT NULL DEFAULT '',
    note                text NOT NULL DEFAULT '',
    -- When it was, by the caller's clock and by ours.
    device_at           timestamptz,
    at                  timestamptz NOT NULL,
    actor               text NOT NULL
);
CREATE INDEX visit_contact_visit_id ON service.visit_contact (visit_id, contact_attempt_id);
CALL service.guard('service.visit_contact',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_contact.visit_id)',
    'contact_attempt_id', audited => false, personal => ARRAY['person', 'note']);

-- Where the technician was when; a customer does not see it.
CREATE TABLE service.visit_position (
    position_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id      bigint NOT NULL REFERENCES service.visit,
    kind          text NOT NULL CHECK (kind IN ('depart', 'check_in', 'check_out')),
    latitude      double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude     double precision CHECK (longitude BETWEEN -180 AND 180),
    accuracy_m    double precision CHECK (accuracy_m >= 0),
    -- To the site; null when either position is not known.
    distance_m    double precision,
    far           boolean NOT NULL,
    device_at     timestamptz NOT NULL,
    -- How far the device's clock goes ahead of ours.
    clock_ahead_s double precision,
    at            timestamptz NOT NULL,
    actor         text NOT NULL
);
CREATE INDEX visit_position_visit_id ON service.visit_position (visit_id, position_id);
CALL service.guard('service.visit_position',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_position.visit_id)',
    'position_id', audited => false, personal => ARRAY['latitude', 'longitude']);

-- What was done on site: tips read, checks made, steps ticked. Append-only and told twice without harm; of a code the
-- entry made last counts, by the device's clock.
CREATE TABLE service.visit_entry (
    entry_number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id      bigint NOT NULL REFERENCES service.visit,
    -- Given by the device.
    entry_id      uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('tip', 'check', 'step')),
    code          text NOT NULL,
    result        text CHECK (result IN ('pass', 'fail', 'not_applicable')),
    value         double precision,
    choice        text,
    photo_file_id bigint REFERENCES service.file ON DELETE SET NULL,
    note          text NOT NULL DEFAULT '',
    -- Whether it is as the procedure wants it, and if not, why.
    fit           boolean NOT NULL,
    misfit        text,
    device_at     timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    -- It came when the visit was over.
    late          boolean NOT NULL,
    actor         text NOT NULL,
    UNIQUE (visit_id, entry_id)
);
CREATE INDEX visit_entry_code ON service.visit_entry (visit_id, kind, code, device_at DESC, entry_number DESC);
CREATE INDEX visit_entry_photo_file_id ON service.visit_entry (photo_file_id);
CALL service.guard('service.visit_entry',
    '(SELECT service.scope_customer_id()) IS NULL '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_entry.visit_id)',
    'entry_number', audited => false, personal => ARRAY['note']);

-- Photos of why a visit did not do its work.
CREATE TABLE service.visit_photo (
    visit_id  bigint NOT NULL REFERENCES service.visit,
    file_id   bigint NOT NULL REFERENCES service.file ON DELETE CASCADE,
    PRIMARY KEY (visit_id, file_id)
);
CREATE INDEX visit_photo_file_id ON service.visit_photo (file_id);
CALL service.guard('service.visit_photo', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_photo.visit_id)',
    'visit_id,file_id');

-- Parts built in, and parts brought back.
ALTER TABLE service.stock_movement DROP CONSTRAINT stock_movement_kind_check;
ALTER TABLE service.stock_movement ADD CONSTRAINT stock_movement_kind_check
    CHECK (kind IN ('receipt', 'reserve', 'release', 'consume', 'adjust', 'return'));
CREATE TABLE service.visit_part (
    visit_part_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id        bigint NOT NULL REFERENCES service.visit,
    -- Given by the device, so that telling it twice moves nothing twice.
    entry_id        uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('used', 'returned')),
    part_id         bigint NOT NULL REFERENCES service.part,
    quantity        integer NOT NULL CHECK (quantity > 0),
    -- Where it came from or went to: what was kept for the job, or a warehouse.
    reservation_id  bigint REFERENCES service.reservation,
    warehouse_id    bigint REFERENCES service.warehouse,
    component       text,
    serial_fitted   text,
    -- What becomes of the part taken out.
    old_part        text CHECK (old_part IN ('return_to_maker', 'scrap', 'left_with_customer', 'none')),
    old_serial      text,
    -- Whose technician has it, while it is to be sent back.
    provider_id     bigint REFERENCES service.provider,
    -- When it came back, who took it in, and what they say of it.
    old_received_at    timestamptz,
    old_received_by    text,
    old_received_note  text,
    device_at       timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    actor           text NOT NULL,
    CHECK (reservation_id IS NOT NULL OR warehouse_id IS NOT NULL),
    CHECK ((kind = 'used') = (old_part IS NOT NULL)),
    CHECK (old_received_at IS NULL OR old_part = 'return_to_maker'),
    UNIQUE (visit_id, entry_id)
);
CREATE INDEX visit_part_part_id ON service.visit_part (part_id);
CREATE INDEX visit_part_reservation_id ON service.visit_part (reservation_id);
CREATE INDEX visit_part_warehouse_id ON service.visit_part (warehouse_id);
-- Old parts that are still to be sent back.
CREATE INDEX visit_part_return ON service.visit_part (visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NULL;
CREATE INDEX visit_part_received ON service.visit_part (visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NOT NULL;
CREATE INDEX visit_part_return_all ON service.visit_part (visit_part_id) WHERE old_part = 'return_to_maker';
CREATE INDEX visit_part_return_of ON service.visit_part (provider_id, visit_part_id)
    WHERE old_part = 'return_to_maker' AND old_received_at IS NULL;
CREATE INDEX visit_part_provider_id ON service.visit_part (provider_id, visit_part_id);
CALL service.guard('service.visit_part', 'EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_part.visit_id)',
    'visit_part_id');

-- The completion report: a draft until the visit is completed, frozen then.
CREATE TABLE service.visit_report (
    visit_id           bigint PRIMARY KEY REFERENCES service.visit,
    -- As it was sent (api/visits/report_models.py).
    content            jsonb NOT NULL,
    signed_by_name     text,
    signature_file_id  bigint REFERENCES service.file ON DELETE SET NULL,
    solved             boolean,
    next_step          text,
    -- Frozen at completion: the answer about warranty, prices, what was there before corrections, times.
    frozen             jsonb,
    frozen_at          timestamptz,
    pdf_file_id        bigint REFERENCES service.file ON DELETE SET NULL,
    written_by         text NOT NULL,
    written_at         timestamptz NOT NULL,
    version            integer NOT NULL DEFAULT 1
);
CREATE INDEX visit_report_signature_file_id ON service.visit_report (signature_file_id);
CREATE INDEX visit_report_pdf_file_id ON service.visit_report (pdf_file_id);
CALL service.guard('service.visit_report',
    '((SELECT service.scope_customer_id()) IS NULL OR frozen_at IS NOT NULL) '
    'AND EXISTS (SELECT FROM service.visit v WHERE v.visit_id = visit_report.visit_id)',
    'visit_id', personal => ARRAY['signed_by_name']);
