-- One group role per service, with no more rights than the service needs. Run again after every migration: granting
-- what is granted already changes nothing. Logins are made members of these; the groups themselves cannot log in.
--
-- Roles belong to the whole server, so two databases may make them at once: losing that race is as good as winning it.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['careloop_ingest', 'careloop_predictor', 'careloop_scheduler', 'careloop_api',
                                    'careloop_scoped'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- Every process checks at its start that the database is up to date.
GRANT SELECT ON public.careloop_migration TO careloop_ingest, careloop_predictor, careloop_scheduler, careloop_api;

GRANT USAGE ON SCHEMA telemetry TO careloop_ingest, careloop_predictor, careloop_scheduler, careloop_api;
GRANT USAGE ON SCHEMA prediction TO careloop_predictor, careloop_api;
GRANT USAGE ON SCHEMA scheduling TO careloop_predictor, careloop_scheduler, careloop_api;
GRANT USAGE ON SCHEMA service TO careloop_api;

-- What machines say: ingest writes, all read. The registry of assets is a view that needs no right on service's tables.
GRANT SELECT ON ALL TABLES IN SCHEMA telemetry TO careloop_ingest, careloop_predictor, careloop_scheduler, careloop_api;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry TO careloop_ingest;
REVOKE INSERT, UPDATE, DELETE ON telemetry.asset, telemetry.declared_metric, telemetry.replay_request,
    telemetry.desired_config, telemetry.issued_command FROM careloop_ingest;

-- These run with the owner's rights; by default everybody could call them.
REVOKE EXECUTE ON FUNCTION telemetry.ensure_reading_day(date) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION telemetry.drop_readings_before(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION telemetry.ensure_reading_day(date) TO careloop_ingest;
GRANT EXECUTE ON FUNCTION telemetry.drop_readings_before(timestamptz) TO careloop_ingest;
REVOKE EXECUTE ON FUNCTION telemetry.settle_readings_before(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION telemetry.settle_readings_before(timestamptz) TO careloop_ingest;

-- What the predictor thinks; the API shows it.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA prediction TO careloop_predictor;
GRANT SELECT ON ALL TABLES IN SCHEMA prediction TO careloop_api;

-- Recurring duties are claimed by whoever ticks.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA scheduling TO careloop_predictor, careloop_scheduler;

GRANT SELECT ON ALL TABLES IN SCHEMA scheduling TO careloop_api;

-- Business data has one writer. What it has done it cannot unsay; that triggers write, with the owner's rights. To erase a
-- person there is a function of its own.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA service TO careloop_api;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.audit, service.change, service.guarded FROM careloop_api;

-- The API again, in a call of somebody who sees a part only: row-level security says which (service.guard).
GRANT careloop_scoped TO careloop_api;
GRANT USAGE ON SCHEMA service, telemetry, prediction, scheduling TO careloop_scoped;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA service TO careloop_scoped;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.audit, service.change, service.guarded FROM careloop_scoped;

-- Balances of stock are derived: a trigger of the ledger writes them, with the owner's rights.
REVOKE DELETE, TRUNCATE ON service.stock_movement FROM careloop_api, careloop_scoped;
REVOKE UPDATE ON service.stock_movement FROM careloop_scoped;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.stock FROM careloop_api, careloop_scoped;
GRANT INSERT (warehouse_id, part_id, bin_id, min_quantity, max_quantity), UPDATE (bin_id, min_quantity, max_quantity)
    ON service.stock TO careloop_api, careloop_scoped;
GRANT SELECT ON ALL TABLES IN SCHEMA telemetry, prediction TO careloop_scoped;

-- So are balances of partners' accounts. What was moved or booked, and what an inspection has found, stays: the tables'
-- triggers let an update pass in a transaction that erases a person, and in no other.
REVOKE DELETE, TRUNCATE ON service.partner_entry, service.old_part_inspection FROM careloop_api, careloop_scoped;
REVOKE UPDATE ON service.partner_entry, service.old_part_inspection FROM careloop_scoped;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.partner_account FROM careloop_api, careloop_scoped;
GRANT INSERT (provider_id, currency, limit_minor, handling_minor, handling_bp, opened_at),
    UPDATE (limit_minor, handling_minor, handling_bp, version) ON service.partner_account TO careloop_api, careloop_scoped;

-- Sums of statements are written by the trigger of their lines; partners write disputes, and no lines.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.statement FROM careloop_api, careloop_scoped;
GRANT INSERT (provider_id, currency, month, created_at),
    UPDATE (state, issued_at, agreed_at, agreed_by, closed_at, paid_at, payment_reference, version)
    ON service.statement TO careloop_api;
GRANT UPDATE (state, agreed_at, agreed_by, issued_at, version) ON service.statement TO careloop_scoped;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON service.statement_line, service.rate_card, service.rate_card_line,
    service.visit_settlement, service.settlement_period FROM careloop_scoped;
REVOKE UPDATE, DELETE, TRUNCATE ON service.settlement_period FROM careloop_api;
-- These show everybody's and know no policies.
REVOKE SELECT ON telemetry.asset, telemetry.desired_config, telemetry.issued_command, telemetry.replay_request,
    telemetry.dead_letter, telemetry.message FROM careloop_scoped;

-- TimescaleDB lets only the owner refresh a continuous aggregate, set policies and drop chunks, and runs policies as the
-- owner, who must then be able to log in: without a password it still cannot, but the extension asks for the attribute.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
       AND EXISTS (SELECT FROM pg_class WHERE oid = 'telemetry.hourly'::regclass AND relkind = 'v') THEN
        ALTER ROLE careloop_ingest LOGIN;
        ALTER TABLE telemetry.reading OWNER TO careloop_ingest;
        ALTER MATERIALIZED VIEW telemetry.hourly OWNER TO careloop_ingest;
        ALTER MATERIALIZED VIEW telemetry.daily OWNER TO careloop_ingest;
    END IF;
END
$$;
